package enforce

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"f2bc/routes"
	"f2bc/store"
)

// countedKernel counts how often all routes are read, and may cut the store off while it has our rule.
type countedKernel struct {
	*fakeKernel
	reads, watches atomic.Int32
	cuts           atomic.Pointer[fakeServer]
}

func (k *countedKernel) Read(ctx context.Context) (routes.State, error) {
	k.reads.Add(1)
	return k.fakeKernel.Read(ctx)
}

func (k *countedKernel) Watch(ctx context.Context) (<-chan struct{}, error) {
	k.watches.Add(1)
	return k.fakeKernel.Watch(ctx)
}

func (k *countedKernel) Apply(ctx context.Context, p routes.Plan) (routes.Result, error) {
	r, err := k.fakeKernel.Apply(ctx, p)
	if s := k.cuts.Load(); s != nil && len(p.Add)+len(p.AddRules)+len(p.DelRules) > 0 {
		cut := len(p.Add)+len(p.AddRules) > 0
		s.change(func(s *fakeServer) { s.away = map[bool]error{true: errAway}[cut] })
	}
	return r, err
}

// watchKernel is watchCalmly with a kernel that counts.
func watchKernel(t *testing.T, test func(w *watching, k *countedKernel)) {
	var k *countedKernel
	watchCalmly(t, func(w *watching) { test(w, k) }, func(w *watching) {
		k = &countedKernel{fakeKernel: w.kernel}
		w.Kernel = k
	})
}

// All routes are read once a minute, and when somebody else changed some; not at every look.
func TestKernelIsReadSeldom(t *testing.T) {
	watchKernel(t, func(w *watching, k *countedKernel) {
		w.after(10*time.Minute + 30*time.Second)
		if n := k.reads.Load(); n != 11 || k.watches.Load() != 1 {
			t.Errorf("%d reads, watched %d times", n, k.watches.Load())
		}
		w.kernel.meddle(func(s *routes.State) { s.Ours = nil })
		if _, err := w.after(0); err != nil || k.reads.Load() != 12 || w.kernel.ours() != "1 2" {
			t.Errorf("%v, %d reads, %q", err, k.reads.Load(), w.kernel.ours())
		}
		w.kernel.mu.Lock()
		w.kernel.away = errors.New("no netlink")
		w.kernel.mu.Unlock()
		w.server.ban("1 2 3")
		if _, err := w.after(2 * time.Second); err == nil {
			t.Error("a kernel that is away is no error")
		}
		w.kernel.mu.Lock()
		w.kernel.away = nil
		w.kernel.mu.Unlock()
		w.server.ban("1 2 3 4")
		if _, err := w.after(2 * time.Second); err != nil || w.kernel.ours() != "1 2 3 4" {
			t.Errorf("%v, %q", err, w.kernel.ours())
		}
	})
}

// Where the kernel can no longer be watched it is again within a minute, and what happened meanwhile is repaired then.
func TestKernelIsWatchedAgain(t *testing.T) {
	watchKernel(t, func(w *watching, k *countedKernel) {
		w.after(30 * time.Second)
		w.kernel.closeWatch()
		w.after(0)
		w.kernel.meddle(func(s *routes.State) { s.Ours = nil })
		if w.after(10 * time.Second); w.kernel.ours() != "" {
			t.Errorf("seen without a watch: %q", w.kernel.ours())
		}
		if w.after(21 * time.Second); w.kernel.ours() != "1 2" || k.watches.Load() != 2 {
			t.Errorf("after a minute: %q, watched %d times", w.kernel.ours(), k.watches.Load())
		}
		w.kernel.meddle(func(s *routes.State) { s.Ours = nil })
		if w.after(0); w.kernel.ours() != "1 2" {
			t.Errorf("watched again: %q", w.kernel.ours())
		}
		w.kernel.closeWatch()
		w.kernel.mu.Lock()
		w.kernel.away = errors.New("no netlink")
		w.kernel.mu.Unlock()
		if _, err := w.after(time.Minute); err == nil || k.watches.Load() != 3 {
			t.Errorf("%v, watched %d times", err, k.watches.Load())
		}
	})
}

// Additions that cut the store off are taken back: those of a new ban, and our rules at the end of a pause.
func TestWatchConfirms(t *testing.T) {
	watchKernel(t, func(w *watching, k *countedKernel) {
		w.after(5 * time.Second)
		k.cuts.Store(w.server)
		w.server.ban("1 2 3")
		time.Sleep(500 * time.Millisecond)
		if _, err := w.after(time.Second); !errors.Is(err, routes.ErrTakenBack) {
			t.Errorf("a ban: %v", err)
		}
	})
	watchKernel(t, func(w *watching, k *countedKernel) {
		w.after(5 * time.Second)
		if err := writePause(w.State, 0); err != nil {
			t.Fatal(err)
		}
		if w.after(2 * time.Second); w.kernel.ours() != "-1 2" {
			t.Errorf("paused: %q", w.kernel.ours())
		}
		k.cuts.Store(w.server)
		if err := Resume(w.State); err != nil {
			t.Fatal(err)
		}
		if _, err := w.after(time.Second); !errors.Is(err, routes.ErrTakenBack) {
			t.Errorf("resumed: %v", err)
		}
	})
}

// A pause file that cannot be read is an error at every look, and leaves all routes as they are.
func TestWatchOfAnUnreadablePause(t *testing.T) {
	watchKernel(t, func(w *watching, k *countedKernel) {
		w.after(5 * time.Second)
		if err := w.State.Note(pauseFile, "{"); err != nil {
			t.Fatal(err)
		}
		steps, err := w.after(10 * time.Second)
		if steps != 10 || err == nil || !strings.Contains(err.Error(), "f2bc resume removes it") || w.kernel.ours() != "1 2" {
			t.Errorf("%d steps, %v, %q", steps, err, w.kernel.ours())
		}
	})
}

// A pause of the fleet is named with its end.
func TestFleetPauseIsNamed(t *testing.T) {
	for until, want := range map[store.Time]string{
		store.Permanent:                   "with the fleet, until f2bc resume --fleet",
		store.TimeOf(time.Unix(86400, 0)): "with the fleet, until 1970-01-02 00:00:00 UTC",
	} {
		if got := (FleetPause{Until: until}).String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
