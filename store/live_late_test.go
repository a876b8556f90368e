package store

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"testing"
	"time"
)

// writeAt merges facts in a transaction that gives the rows that it changes another mark: that of a server whose clock
// is behind, or of a transaction that began earlier.
func writeAt(t testing.TB, s *Store, mark Time, facts []Fact) {
	t.Helper()
	newest, err := s.Mark(t.Context())
	check(t, err)
	check(t, s.transact(t.Context(), nil, func(tx *sql.Tx) error {
		if err := s.merge(t.Context(), tx, "", facts); err != nil {
			return err
		}
		return moveMarks(t.Context(), s, tx, mark, newest)
	}))
}

// moveMarks gives the rows with marks after another one.
func moveMarks(ctx context.Context, s *Store, tx *sql.Tx, mark, after Time) error {
	set := "?"
	if s.dsn.Path == "" {
		set = "TIMESTAMP('1970-01-01') + INTERVAL ? MICROSECOND"
	}
	for _, t := range markedTables {
		query := "UPDATE " + t.table + " SET mark = " + set + " WHERE " + s.engine.afterMark
		if _, err := tx.ExecContext(ctx, query, mark, after); err != nil {
			return err
		}
	}
	return nil
}

// wantSeen wants the rows of the window to be known, so that the next refresh need not ask for them.
func wantSeen(t testing.TB, l *Live) {
	t.Helper()
	a, seen, _, err := l.after(t.Context(), l.mark, l.mark-MarkSlack.Microseconds(), l.seen)
	check(t, err)
	if !a.agrees(seen) {
		t.Errorf("of %d rows in the window it knows %d", a.count, len(seen))
	}
}

// TestLiveWindow: what happens in the window, at the newest mark or before it, is seen, and costs no whole read.
func TestLiveWindow(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		live := s.Live()
		refresh(t, live)
		whole := live.read
		const at = 1_700_000_000_000_000
		first := []Fact{report("192.0.2.1/32", "web1", at, Forever), report("192.0.2.2/32", "web1", at, time.Hour)}
		check(t, s.Write(t.Context(), first))
		refresh(t, live)
		newest := live.Mark()
		back := func(d time.Duration) Time { return newest - Time(d.Microseconds()) }
		for _, c := range []struct {
			name, want string
			mark       Time
			fact       Fact
		}{
			{"a late commit at the newest mark", "192.0.2.1/32 192.0.2.3/32",
				newest, report("192.0.2.3/32", "web1", at, Forever)},
			{"an earlier one", "192.0.2.1/32 192.0.2.3/32 192.0.2.4/32",
				back(9 * time.Second), report("192.0.2.4/32", "web1", at, Forever)},
			{"a row that moves within the window", "192.0.2.1/32 192.0.2.3/32",
				back(time.Second), lift("192.0.2.4/32", "web1", "sshd", at)},
			{"a lift of all", "", back(2 * time.Second), lift("0.0.0.0/0", "", "", at)},
		} {
			writeAt(t, s, c.mark, []Fact{c.fact})
			if !refresh(t, live) || liveText(live) != c.want {
				t.Errorf("%s: %q, want %q", c.name, liveText(live), c.want)
			}
			wantWhole(t, live)
			if live.Mark() != newest {
				t.Fatalf("%s: the newest mark is %d, not %d", c.name, live.Mark(), newest)
			}
		}

		// A row that is pruned: heard of once, and not asked for again.
		_, err := s.db.Exec("DELETE FROM report WHERE addr = X'C0000204'")
		check(t, err)
		refresh(t, live)
		wantWhole(t, live)
		wantSeen(t, live)
		if live.read != whole {
			t.Error("it read everything again")
		}
	})
}

// TestLiveSettled: when nobody wrote for long what was seen is forgotten, and what comes then is seen.
func TestLiveSettled(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		live := s.Live()
		refresh(t, live)
		whole := live.read
		check(t, s.Write(t.Context(), manyBans(100)))
		refresh(t, live)
		if len(live.seen) != 100 {
			t.Error("of 100 new rows it knows", len(live.seen))
		}
		live.moved = live.moved.Add(-time.Minute)
		if refresh(t, live) || len(live.seen) != 0 {
			t.Error("after a minute without news it knows", len(live.seen), "rows")
		}
		time.Sleep(time.Millisecond)
		check(t, s.Write(t.Context(), manyBans(101)))
		if !refresh(t, live) {
			t.Error("a new ban was not seen")
		}
		refresh(t, live)
		wantWhole(t, live)
		if live.read != whole {
			t.Error("it read everything again")
		}
	})
}

// TestLiveModel: whoever writes whatever in whichever order of marks, the list is that of a whole read.
func TestLiveModel(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 60
	}
	onEngines(t, func(t *testing.T, o Options) {
		r := rand.New(rand.NewPCG(1, 9))
		writers, live := []*Store{initStore(t, o), initStore(t, o)}, initStore(t, o).Live()
		refresh(t, live)
		whole := live.read
		now, err := writers[0].Now(t.Context())
		check(t, err)
		settledAt := -9
		for round := range rounds {
			settled := r.IntN(10) == 0 || time.Since(live.moved) > 2*MarkSlack
			if settled { // then a late commit is too late
				settledAt = round
				live.moved = live.moved.Add(-time.Minute)
				refresh(t, live)
				time.Sleep(time.Millisecond)
			}
			before, mark, allowed := liveText(live), live.mark, false
			for range r.IntN(4) {
				facts := randomFacts(r, now)
				for i := range facts {
					facts[i].At += Time(r.IntN(round + 1))
				}
				s := pick(r, writers...)
				switch n := r.IntN(10); {
				case settled || n < 4:
					check(t, s.Write(t.Context(), facts))
				case n < 8:
					writeAt(t, s, Time(live.mark-r.Int64N(9_000_000)), facts)
				case n == 8:
					deleteEnded(t, s)
				default:
					others, err := pick(r, s.AddAllow, s.RemoveAllow)(t.Context(), []string{"192.0.2.1"})
					check(t, err)
					allowed = allowed || len(others) == 0
				}
			}
			changed := refresh(t, live)
			wantWhole(t, live)
			if live.mark < mark { // the newest row got an earlier mark, which no server gives
				whole = live.read
				continue
			}
			if round > settledAt+1 {
				wantSeen(t, live)
			}
			// Here the window reaches back over what was settled, as after 20 s it does not: then more counts as changed.
			if want := liveText(live) != before || allowed; changed != want && (want || round > settledAt+1) {
				t.Errorf("round %d: changed is %v, want %v", round, changed, want)
			}
		}
		if live.read != whole {
			t.Error("it read everything again")
		}
	})
}

// deleteEnded deletes what has ended, but never the newest row, as prune does.
func deleteEnded(t testing.TB, s *Store) {
	newest, err := s.Mark(t.Context())
	check(t, err)
	query := "DELETE FROM report WHERE expires < ? AND lifted = 0 AND NOT " + s.engine.afterMark
	_, err = s.db.Exec(query, s.clock.now(), newest-1)
	check(t, err)
}
