package enforce

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/routes"
	"f2bc/store"
)

// counted is a store of which the looks are counted, and that can be upgraded.
type counted struct {
	Store
	delivered *atomic.Int32
	upgraded  *atomic.Bool
}

func (s counted) Deliver(context.Context) { s.delivered.Add(1) }
func (s counted) Live() Live              { return countedLive{s.Store.Live(), s.upgraded} }

type countedLive struct {
	Live
	upgraded *atomic.Bool
}

func (l countedLive) Refresh(ctx context.Context) (bool, error) {
	if l.upgraded.CompareAndSwap(true, false) {
		return false, store.ErrUpgraded
	}
	return l.Live.Refresh(ctx)
}

// watching is a host that watches, and what of it can be counted.
type watching struct {
	*fakeHost
	delivered, guarded, opened atomic.Int32
	upgraded                   atomic.Bool
	outcomes                   []error // since they were last looked at
}

// watchCalmly runs test while a host of a store with two bans watches, prepared by all of prepare.
func watchCalmly(t *testing.T, test func(w *watching), prepare ...func(w *watching)) {
	synctest.Test(t, func(t *testing.T) {
		w := &watching{fakeHost: newHost(t)}
		w.server.ban("1 2")
		guard := w.Guard
		w.Guard = func(ctx context.Context) ([]routes.Entry, error) {
			w.guarded.Add(1)
			return guard(ctx)
		}
		w.Open = func(ctx context.Context) (Store, error) {
			w.opened.Add(1)
			st, err := w.server.connect(ctx)
			if err != nil {
				return nil, err
			}
			return counted{st, &w.delivered, &w.upgraded}, nil
		}
		for _, f := range prepare {
			f(w)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- w.Watch(ctx, func(err error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.outcomes = append(w.outcomes, err)
			})
		}()
		test(w)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// after returns how many steps there were in d, and their errors.
func (w *watching) after(d time.Duration) (steps int, err error) {
	time.Sleep(d)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	steps, err, w.outcomes = len(w.outcomes), errors.Join(w.outcomes...), nil
	return steps, err
}

// Where nothing happens there is one look at everything a minute, and what waits is delivered then; the row and the
// time of the last list are as old as that at most.
func TestCalmWatch(t *testing.T) {
	watchCalmly(t, func(w *watching) {
		start := time.Now()
		steps, err := w.after(31*time.Minute + 30*time.Second)
		if err != nil || steps != 63 { // the first, and then two a minute: the store's, the kernel's
			t.Errorf("%d steps, %v", steps, err)
		}
		if g, d, o := w.guarded.Load(), w.delivered.Load(), w.opened.Load(); g != 32 || d != 32 || o != 1 {
			t.Errorf("%d looks at the guard, %d deliveries, %d connections", g, d, o)
		}
		if rows, _ := w.server.written(); rows != 32 {
			t.Errorf("%d rows", rows)
		}
		if _, at, err := readLast(w.State); err != nil || at.Sub(start) != 31*time.Minute {
			t.Errorf("the last list is of %v, %v", at, err)
		}
	})
}

// A change of the bans, of a mark alone and of the fleet's pause alone are each one step within the interval.
func TestWatchSeesEachChange(t *testing.T) {
	watchCalmly(t, func(w *watching) {
		w.after(5 * time.Second)
		w.server.ban("1 2 3")
		if steps, err := w.after(2 * time.Second); steps != 1 || err != nil || w.kernel.ours() != "1 2 3" {
			t.Errorf("a ban: %d steps, %v, %q", steps, err, w.kernel.ours())
		}
		w.server.mu.Lock()
		w.server.pause = store.Permanent
		w.server.mu.Unlock()
		if _, err := w.after(2 * time.Second); err != nil || w.kernel.ours() != "-1 2 3" {
			t.Errorf("a pause: %v, %q", err, w.kernel.ours())
		}
		w.server.mu.Lock()
		w.server.pause = 0
		w.server.mu.Unlock()
		if _, err := w.after(2 * time.Second); err != nil || w.kernel.ours() != "1 2 3" {
			t.Errorf("its end: %v, %q", err, w.kernel.ours())
		}
	})
}

// Where the list changes at every look the host's row is written all the same, once a minute.
func TestBusyWatch(t *testing.T) {
	watchCalmly(t, func(w *watching) {
		for i := range 180 {
			w.server.ban([]string{"1 2", "1 3"}[i%2])
			w.after(time.Second)
		}
		if rows, _ := w.server.written(); rows != 3 {
			t.Errorf("%d rows in three minutes", rows)
		}
	})
}

// A store that was upgraded is opened anew at once and without a word; one in whose place another stands is named.
func TestWatchOpensAnew(t *testing.T) {
	watchCalmly(t, func(w *watching) {
		w.after(5 * time.Second)
		w.upgraded.Store(true)
		if steps, err := w.after(2 * time.Second); steps != 1 || err != nil || w.opened.Load() != 2 {
			t.Errorf("upgraded: %d steps, %v, %d connections", steps, err, w.opened.Load())
		}
		w.server.change(func(s *fakeServer) { s.id = "two" })
		_, err := w.after(5 * time.Second)
		if !errors.Is(err, store.ErrReplaced) || !strings.Contains(err.Error(), "not the store that this host knows") {
			t.Errorf("replaced: %v", err)
		}
	})
}

// After an outage, short or long, one answer ends it: the next looks are calm again, and the waits start anew.
func TestWatchAfterOutages(t *testing.T) {
	watchCalmly(t, func(w *watching) {
		for _, outage := range []time.Duration{5 * time.Minute, 10 * time.Second} {
			w.after(time.Minute)
			w.server.change(func(s *fakeServer) { s.away = errAway })
			if _, err := w.after(outage); !errors.Is(err, errAway) || w.kernel.ours() != "1 2" {
				t.Errorf("%v, %q", err, w.kernel.ours())
			}
			w.server.change(func(s *fakeServer) { s.away = nil })
			w.after(longestBackoff + time.Second)
			if steps, err := w.after(10 * time.Minute); steps != 20 || err != nil {
				t.Errorf("%d steps in ten minutes, %v", steps, err)
			}
		}
		w.server.change(func(s *fakeServer) { s.away = errAway })
		w.after(1100 * time.Millisecond)
		w.server.change(func(s *fakeServer) { s.away = nil })
		if _, err := w.after(3 * time.Second); err != nil && !errors.Is(err, errAway) {
			t.Error(err)
		}
		if steps, err := w.after(10 * time.Minute); steps != 20 || err != nil {
			t.Errorf("%d steps in ten minutes, %v", steps, err)
		}
	})
}
