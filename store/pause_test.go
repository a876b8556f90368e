package store

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		admin, host := initStore(t, o), initStore(t, o)
		live := host.Live()
		refresh := func() {
			t.Helper()
			_, err := live.Refresh(t.Context())
			check(t, err)
		}
		refresh()
		if host.Paused() != 0 {
			t.Error("paused from the start")
		}
		for _, until := range []Time{Permanent, TimeOf(time.Now().Add(time.Hour))} {
			check(t, admin.SetPause(t.Context(), until))
			refresh()
			if got := host.Paused(); got != until {
				t.Errorf("paused until %d, want %d", got, until)
			}
			if got := initStore(t, o).Paused(); got != until {
				t.Errorf("opened, paused until %d, want %d", got, until)
			}
		}
		check(t, admin.SetPause(t.Context(), TimeOf(time.Now())))
		refresh()
		if host.Paused() != 0 {
			t.Error("a pause that is over")
		}
	})
}

func TestMark(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		live := s.Live()
		mark := func() Time {
			t.Helper()
			_, err := live.Refresh(t.Context())
			check(t, err)
			m, err := s.Mark(t.Context())
			check(t, err)
			if m != live.Mark() {
				t.Errorf("Store.Mark is %d, Live.Mark %d", m, live.Mark())
			}
			return m
		}
		if m := mark(); m != 0 {
			t.Error("an empty store has the mark", m)
		}
		now, err := s.Now(t.Context())
		check(t, err)
		last := Time(0)
		grows := func(what string) {
			t.Helper()
			time.Sleep(2 * time.Millisecond) // SQLite's marks have milliseconds
			if m := mark(); m <= last {
				t.Errorf("%s: mark %d after %d", what, m, last)
			} else {
				last = m
			}
		}
		check(t, s.Write(t.Context(), []Fact{report("192.0.2.1/32", "web1", now, Forever)}))
		grows("a report")
		time.Sleep(2 * time.Millisecond)
		check(t, s.Write(t.Context(), []Fact{{Lift: true, Prefix: netip.MustParsePrefix("192.0.2.0/24"), At: now}}))
		grows("a lift")
		time.Sleep(2 * time.Millisecond)
		_, err = s.AddAllow(t.Context(), []string{"192.0.2.9"})
		check(t, err)
		grows("an allow")

		// Rows that disappear are noticed: the mark goes back and the list is read whole.
		for _, table := range []string{"report", "lift", "allow"} {
			_, err := s.db.Exec("DELETE FROM " + table)
			check(t, err)
		}
		if changed, err := live.Refresh(t.Context()); !changed || err != nil || live.Mark() != 0 || liveText(live) != "" {
			t.Error("emptied:", changed, err, live.Mark(), liveText(live))
		}
	})
}

func TestLiveReplaced(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		live := s.Live()
		_, err := live.Refresh(t.Context())
		check(t, err)
		_, err = s.db.Exec("UPDATE meta SET value = 'another' WHERE name = 'id'")
		check(t, err)
		if _, err := live.Refresh(t.Context()); !errors.Is(err, ErrReplaced) {
			t.Error(err)
		}
	})
}
