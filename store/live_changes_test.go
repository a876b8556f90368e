package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// manyBans returns bans of n addresses.
func manyBans(n int) []Fact {
	facts := make([]Fact, n)
	for i := range facts {
		facts[i] = report(fmt.Sprintf("198.%d.%d.%d/32", 18+i>>16, i>>8&255, i&255), "web1", 1_700_000_000_000_000, Forever)
	}
	return facts
}

func refresh(t testing.TB, l *Live) (changed bool) {
	t.Helper()
	changed, err := l.Refresh(t.Context())
	check(t, err)
	return changed
}

// wantWhole wants l to have what reading everything gives.
func wantWhole(t testing.TB, l *Live) {
	t.Helper()
	whole := l.s.Live()
	refresh(t, whole)
	if got, want := liveText(l), liveText(whole); got != want {
		t.Fatalf("live: %.500s\nwant: %.500s", got, want)
	}
}

// TestLiveBurst: more bans within the slack than are asked for one by one cost one whole read.
func TestLiveBurst(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		live := s.Live()
		refresh(t, live)
		first := live.read
		check(t, s.Write(t.Context(), manyBans(6000)))
		if !refresh(t, live) || live.read == first {
			t.Error("the burst was not taken up by a whole read")
		}
		wantWhole(t, live)
		burst := live.read
		check(t, s.Write(t.Context(), []Fact{report("192.0.2.1/32", "web1", 1_700_000_000_000_000, Forever)}))
		for range 5 {
			refresh(t, live)
		}
		if live.read != burst {
			t.Error("it read everything again")
		}
		wantWhole(t, live)
	})
}

// TestLiveQuiet: what was sent is not sent again.
func TestLiveQuiet(t *testing.T) {
	o := mariadbOptions(t)
	writer := initStore(t, o)
	d, err := ParseDSN(o.DSN)
	check(t, err)
	w := newWire(t, d.Hosts[0])
	reader := initStore(t, Options{DSN: strings.Replace(o.DSN, d.Hosts[0], w.Addr().String(), 1)})
	check(t, writer.Write(t.Context(), manyBans(1)))
	live := reader.Live()
	refresh(t, live)
	poll := func() int64 {
		before := w.answered.Load()
		refresh(t, live)
		return w.answered.Load() - before
	}
	idle := poll()
	for _, n := range []int{1000, 6000} {
		check(t, writer.Write(t.Context(), manyBans(n)))
		burst := poll()
		for range 3 {
			if got := poll(); got > 2*idle {
				t.Errorf("after %d bans, sent in %d bytes, a poll takes %d, an idle one %d", n, burst, got, idle)
			}
		}
	}
	live.seen[1] = live.mark - MarkSlack.Microseconds() // a row that the window has left behind
	if got := poll(); got > 2*idle {
		t.Errorf("after a row left the window a poll takes %d bytes, an idle one %d", got, idle)
	}
	wantWhole(t, live)
}

// TestLiveFailedRead: what a refresh that failed half-way has heard of is not lost.
func TestLiveFailedRead(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		live := s.Live()
		refresh(t, live)
		check(t, s.Write(t.Context(), manyBans(6000)))
		for wait := time.Millisecond; ; wait = wait * 5 / 4 {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			_, err := live.Refresh(ctx)
			cancel()
			if err == nil {
				break
			} else if wait > time.Minute {
				t.Fatal(err)
			}
		}
		wantWhole(t, live)
	})
}

// TestLiveReplacedWhole: a whole read takes no list from another store. It also says whether the fleet is paused.
func TestLiveReplacedWhole(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s, admin := initStore(t, o), initStore(t, o)
		live := s.Live()
		check(t, admin.SetPause(t.Context(), Permanent))
		refresh(t, live)
		if s.Paused() != Permanent {
			t.Error("the first read did not take up a pause")
		}
		_, err := s.db.Exec("UPDATE meta SET value = ? WHERE name = 'id'", []byte("another"))
		check(t, err)
		for _, whole := range []bool{false, true} {
			if whole {
				live.read = time.Time{}
			}
			if changed, err := live.Refresh(t.Context()); changed || !errors.Is(err, ErrReplaced) {
				t.Errorf("whole %v: %v, %v", whole, changed, err)
			}
		}
	})
}

// TestLiveManyWideLifts: many lifts in one poll cost one walk through the bans, not one each.
func TestLiveManyWideLifts(t *testing.T) {
	s := initStore(t, sqliteOptions(t))
	check(t, s.Write(t.Context(), manyBans(20_000)))
	live := s.Live()
	refresh(t, live)
	var lifts []Fact
	for i := range 30_000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		lifts = append(lifts, Fact{Lift: true, Prefix: p.Masked(), At: 1_700_000_000_000_000})
	}
	check(t, s.Write(t.Context(), lifts))
	start := time.Now()
	refresh(t, live)
	took := time.Since(start)
	start = time.Now()
	wantWhole(t, live)
	if whole := time.Since(start); took > 15*whole+time.Second {
		t.Errorf("30,000 lifts took %v, reading everything %v", took, whole)
	}
}
