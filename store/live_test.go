package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
)

func liveText(l *Live) string {
	var text []string
	l.Bans(func(p netip.Prefix, forced bool) {
		if forced {
			text = append(text, p.String()+"!")
		} else {
			text = append(text, p.String())
		}
	})
	slices.Sort(text)
	return strings.Join(text, " ")
}

// TestLive: asking for what changed gives the same list as reading everything, whoever writes what in which order.
func TestLive(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		writer, reader := initStore(t, o), initStore(t, o)
		live := reader.Live()
		if changed, err := live.Refresh(t.Context()); err != nil || !changed {
			t.Fatal("the first refresh:", changed, err)
		}
		whole := live.read
		now, err := writer.Now(t.Context())
		check(t, err)
		r := rand.New(rand.NewPCG(1, 2))
		for round := range 60 {
			before := liveText(live)
			facts := randomFacts(r, now)
			for i := range facts {
				facts[i].At += Time(r.IntN(round+1)) * 2
			}
			check(t, writer.Write(t.Context(), facts))
			changed, err := live.Refresh(t.Context())
			check(t, err)
			want := reader.Live()
			_, err = want.Refresh(t.Context())
			check(t, err)
			if got := liveText(live); got != liveText(want) {
				t.Fatalf("round %d: %v\nlive: %s\nwant: %s", round, facts, got, liveText(want))
			} else if changed != (got != before) {
				t.Errorf("round %d: changed is %v, %q to %q", round, changed, before, got)
			}
			if changed, err := live.Refresh(t.Context()); changed || err != nil {
				t.Error("a refresh without a change:", changed, err)
			}
		}
		if live.read != whole {
			t.Error("it read everything again")
		}

		_, err = writer.AddAllow(t.Context(), []string{"192.0.2.1"})
		check(t, err)
		if changed, err := live.Refresh(t.Context()); !changed || err != nil {
			t.Error("after an allow:", changed, err)
		}

		// A ban ends by itself, when nobody writes.
		now, err = writer.Now(t.Context())
		check(t, err)
		check(t, writer.Write(t.Context(), []Fact{report("192.0.2.99/32", "web1", now, 300*time.Millisecond)}))
		seen := false
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			changed, err := live.Refresh(t.Context())
			check(t, err)
			if is := strings.Contains(liveText(live), "192.0.2.99/32"); is != seen && !changed {
				t.Error("a change that was not told")
			} else if seen = seen || is; seen && !is {
				return
			}
		}
		t.Error("a ban of 300 ms was not seen, or did not end")
	})
}

// TestLiveLateCommit: a transaction that commits later with an earlier mark is seen all the same.
func TestLiveLateCommit(t *testing.T) {
	writer := initStore(t, mariadbOptions(t))
	live := writer.Live()
	_, err := live.Refresh(t.Context())
	check(t, err)
	tx, err := writer.db.Begin()
	check(t, err)
	defer tx.Rollback()
	check(t, writer.merge(t.Context(), tx, "", []Fact{report("192.0.2.1/32", "web1", 1_700_000_000_000_000, Forever)}))
	check(t, writer.Write(t.Context(), []Fact{report("192.0.2.2/32", "web1", 1_700_000_000_000_000, Forever)}))
	_, err = live.Refresh(t.Context())
	check(t, err)
	if got := liveText(live); got != "192.0.2.2/32" {
		t.Fatal(got)
	}
	check(t, tx.Commit())
	if changed, err := live.Refresh(t.Context()); !changed || err != nil || liveText(live) != "192.0.2.1/32 192.0.2.2/32" {
		t.Error(changed, err, liveText(live))
	}
}

// TestLiveUpgraded: a watcher that outlives an upgrade of the tables opens the store anew, or it would never learn of what is new.
func TestLiveUpgraded(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		_, err := s.db.Exec("UPDATE meta SET value = ? WHERE name = 'schema'", fmt.Sprint(s.engine.since-1))
		check(t, err)
		old, err := dial(o)
		check(t, err)
		defer old.Close()
		check(t, old.readMeta(t.Context()))
		live := old.Live()
		refresh(t, live)
		refresh(t, live)
		initStore(t, o)
		if _, err := live.Refresh(t.Context()); !errors.Is(err, ErrUpgraded) {
			t.Error("after an upgrade:", err)
		}
	})
}

// TestLiveBlocked: what a blocked source has reported leaves at the next refresh, what it reports later never comes, and
// released it is back.
func TestLiveBlocked(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		live := s.Live()
		refresh(t, live)
		now := s.clock.now()
		check(t, s.Write(t.Context(), []Fact{report("192.0.2.1/32", "web1", now, Forever), report("192.0.2.2/32", "web2", now, Forever),
			report("192.0.2.3/32", "web1", now, Forever), report("192.0.2.3/32", "web2", now, Forever)}))
		want := func(want string) {
			t.Helper()
			if refresh(t, live); liveText(live) != want {
				t.Errorf("%s, want %s", liveText(live), want)
			}
			wantBanned(t, s, want)
		}
		want("192.0.2.1/32 192.0.2.2/32 192.0.2.3/32")
		_, err := s.Block(t.Context(), "web1")
		check(t, err)
		want("192.0.2.2/32 192.0.2.3/32")
		check(t, s.Write(t.Context(), []Fact{report("192.0.2.4/32", "web1", s.clock.now(), Forever)}))
		want("192.0.2.2/32 192.0.2.3/32")
		check(t, s.Release(t.Context(), "web1"))
		want("192.0.2.1/32 192.0.2.2/32 192.0.2.3/32 192.0.2.4/32")
	})
}

// TestLiveClock: a watcher outlives a change of the clocks, as by a suspend: what is new is not taken for ahead.
func TestLiveClock(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		writer, reader := initStore(t, o), initStore(t, o)
		live := reader.Live()
		for i, want := range []string{"192.0.2.0/32", "192.0.2.0/32 192.0.2.1/32"} {
			reader.clock.store = reader.clock.store.Add(-2 * time.Minute)
			check(t, writer.Write(t.Context(), []Fact{report(fmt.Sprintf("192.0.2.%d/32", i), "web1", writer.clock.now(), Forever)}))
			if refresh(t, live); liveText(live) != want {
				t.Errorf("%q, want %q", liveText(live), want)
			}
		}
	})
}

// TestSysdateIsNow: init refuses a server on which any account could date what it writes.
func TestSysdateIsNow(t *testing.T) {
	server := mariadbtest.New(t)
	server.Args = []string{"--sysdate-is-now"}
	check(t, server.Start())
	_, err := Init(t.Context(), Options{DSN: server.DSN(server.Database(t))})
	if err == nil || !strings.Contains(err.Error(), "sysdate-is-now") {
		t.Error(err)
	}
}
