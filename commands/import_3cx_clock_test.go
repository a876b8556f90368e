//go:build linux

package commands

import (
	"testing"
	"time"

	"f2bc/store"
	"f2bc/store/threecx/postgrestest"
)

func near(t *testing.T, what string, got store.Time, want time.Time, within time.Duration) {
	t.Helper()
	if off := got.Std().Sub(want); off.Abs() > within {
		t.Errorf("%s: dated %v, %v off", what, got.Std(), off)
	}
}

// The box's clock is ten minutes ahead, or behind, and then somebody sets it right.
func testImportWrongClock(t *testing.T, pg *postgrestest.Server) {
	for _, ahead := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			b := newPhone(t, pg, 0)
			b.setClock(ahead + 230*time.Millisecond)
			at := b.event(2*time.Minute, "203.0.113.6", "3600")
			b.event(time.Minute, "203.0.113.7", "3600")
			has(t, "first run", b.imports(), "the clock of the 3CX box is "+ahead.String()+" ahead")
			b.banned("first run", "203.0.113.6", "203.0.113.7")
			first := b.report("203.0.113.6").At
			near(t, "first run", first, at, time.Second)

			same := func(what string, code string) {
				t.Helper()
				if now := b.report("203.0.113.6").At; now != first {
					t.Errorf("%s: the same event is dated %v, was %v", what, now.Std(), first.Std())
				}
				b.banned(what, code)
			}
			b.run(0, "unban", "203.0.113.6")
			b.setClock(ahead + 1900*time.Millisecond) // both clocks go on, not quite as fast
			b.imports()
			same("a small difference", "203.0.113.7")
			b.setClock(ahead + 300*time.Millisecond)
			b.forget()
			b.imports()
			same("without a mark", "203.0.113.7")

			b.setClock(0)
			has(t, "set right", b.imports("--since", "1h"), "is 0s ahead")
			same("set right", "203.0.113.7")
			b.imports("--since", "1h")
			same("set right, again", "203.0.113.7")
			b.event(0, "203.0.113.6", "3600")
			b.event(0, "203.0.113.8", "3600")
			b.imports()
			if ahead > 0 {
				// The time comes twice on the box's clock and is taken for the first one, so the unban is newer.
				b.banned("anew, in the time that comes twice", "203.0.113.7", "203.0.113.8")
				b.changeState(func(m *marks) { m.Steps[0].Until = time.Now().Add(-time.Minute) }) // ten minutes later
				b.event(0, "203.0.113.6", "3600")
				b.imports()
			}
			b.banned("anew", "203.0.113.6", "203.0.113.7", "203.0.113.8")
		})
	}
}

func testImportSetBack(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.setClock(10 * time.Minute)
	b.imports()
	b.setClock(0)
	at := b.event(0, "203.0.113.6", "3600") // before the mark on the box's clock
	b.imports()
	b.banned("set back", "203.0.113.6")
	near(t, "set back", b.report("203.0.113.6").At, at, 11*time.Minute)
}

// The clock is set back while f2bc does not run: what happened since the mark has earlier times than it.
func testImportSetBackInOutage(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.setClock(2 * time.Hour)
	b.imports()
	b.changeState(func(m *marks) { m.Mark = m.Mark.Add(-time.Hour) }) // an hour ago
	b.setClock(0)
	b.event(58*time.Minute, "203.0.113.6", "") // just after the mark, three hours before it on the box's clock
	b.event(30*time.Minute, "203.0.113.7", "")
	b.imports()
	b.banned("caught up", "203.0.113.6", "203.0.113.7")
}

// The night in which local time 02:00 to 03:00 comes twice. The box's clock is months away from the store's, which is
// no more than another difference.
func testImportSummerTime(t *testing.T, pg *postgrestest.Server) {
	for name, change := range map[string]time.Time{
		"back":    time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
		"forward": time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			b := newPhone(t, pg, 0)
			// Five minutes after the change; the window begins ten minutes before.
			b.setClock(time.Until(change.Add(5 * time.Minute)))
			before := b.event(6*time.Minute, "203.0.113.6", "") // a minute before the change
			after := b.event(2*time.Minute, "203.0.113.7", "")  // three minutes after it
			b.imports()
			b.banned("imported", "203.0.113.6", "203.0.113.7")
			near(t, "before the change", b.report("203.0.113.6").At, before, 2*time.Second)
			first := b.report("203.0.113.7").At
			if name == "back" {
				after = after.Add(-time.Hour) // the row does not say which of the two times it is: the first
			}
			near(t, "after the change", first, after, 2*time.Second)
			b.run(0, "unban", "203.0.113.7")
			b.setClock(b.ahead + 70*time.Minute) // later that night; the difference is another one, the report is not
			b.imports("--since", "3h")
			b.banned("imported again", "203.0.113.6")
			if got := b.report("203.0.113.7").At; got != first {
				t.Errorf("imported again: dated %v, was %v", got.Std(), first.Std())
			}
		})
	}
}

// A time ahead of all clocks: a row that makes no sense, or a zone that is not the server's.
func testImportFuture(t *testing.T, pg *postgrestest.Server) {
	t.Run("row", func(t *testing.T) {
		b := newPhone(t, pg, 1)
		b.eventAt(time.Now().Add(time.Hour), "203.0.113.6", "3600")
		b.event(0, "203.0.113.7", "3600")
		has(t, "future", b.imports(), "203.0.113.6 at ", "ahead of the store's clock", "--timezone")
		b.banned("future", "203.0.113.7")
		b.setClock(time.Hour) // the clock was right after all
		b.imports()
		b.banned("when its time has come", "203.0.113.6", "203.0.113.7")
	})
	t.Run("zone", func(t *testing.T) {
		b := newPhone(t, pg, 0)
		utc := time.Now().UTC().Add(-time.Minute).Format("2006-01-02 15:04:05") // a time without zone
		b.sql("INSERT INTO public.eventlog VALUES (1, 2, 12290, '" + utc + "', DEFAULT, '203.0.113.6,3600,,x')")
		b.imports()
		b.banned("read as Berlin's it is hours old")
		b.imports("--timezone", "UTC")
		b.banned("read as UTC", "203.0.113.6")
	})
}
