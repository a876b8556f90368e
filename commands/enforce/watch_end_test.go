package enforce

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/routes"
	"f2bc/store"
)

// slowKernel takes its time for a change.
type slowKernel struct{ *fakeKernel }

func (k slowKernel) Apply(ctx context.Context, p routes.Plan) (routes.Result, error) {
	time.Sleep(2 * time.Second)
	return k.fakeKernel.Apply(ctx, p)
}

// closable is a connection that is asked nothing more once it is closed.
type closable struct {
	Store
	closed atomic.Bool
}

func (s *closable) Close() error {
	s.closed.Store(true)
	return s.Store.Close()
}

func (s *closable) Now(ctx context.Context) (store.Time, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	return s.Store.Now(ctx)
}

// A signal that comes in the middle of an addition takes nothing back: the store is open until it was asked to confirm.
func TestSignalInAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Kernel = slowKernel{h.kernel}
		h.Open = func(ctx context.Context) (Store, error) {
			st, err := h.server.connect(ctx)
			return &closable{Store: st}, err
		}
		h.server.ban("1 2")
		ctx, cancel := context.WithCancel(t.Context())
		var outcomes []error
		ended := make(chan error)
		go func() { ended <- h.Watch(ctx, func(err error) { outcomes = append(outcomes, err) }) }()
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; err != nil || errors.Join(outcomes...) != nil || len(outcomes) != 1 {
			t.Errorf("ended with %v after %v", err, outcomes)
		}
		if got := h.kernel.ours(); got != "1 2" {
			t.Errorf("routes %q", got)
		}
	})
}

// The waits between two tries grow, and none is longer than longestBackoff, however far they are spread.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		var tries []time.Time
		h.Open = func(context.Context) (Store, error) {
			tries = append(tries, time.Now())
			return nil, errAway
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := h.Watch(ctx, func(error) {}); err != nil {
			t.Fatal(err)
		}
		for i := range len(tries) - 1 {
			wait := tries[i+1].Sub(tries[i])
			if wait > longestBackoff || i < 4 && wait < h.Interval<<i/2 {
				t.Errorf("wait %d is %v", i, wait)
			}
			if i >= 5 && wait < 10*time.Second {
				t.Errorf("wait %d is only %v", i, wait)
			}
		}
	})
}

// The first row that is written after an outage says how the host works.
func TestRowAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.server.ban("1")
		h.server.away = errAway
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Watch(ctx, func(error) {}) }()
		time.Sleep(time.Minute)
		h.server.change(func(s *fakeServer) { s.away = nil })
		time.Sleep(2 * time.Minute)
		cancel()
		<-ended
		for _, row := range h.server.rows {
			if row.Mode != "enforce" {
				t.Errorf("row %+v", row)
			}
		}
	})
}

// A watch that begins without the store, as after a reboot, brings the last list back at once, and again where it is
// gone; one that has no answer yet changes nothing.
func TestWatchAfterAReboot(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t)
			h.server.ban("1 2")
			h.want(t, "before", h.run(t), "", "1 2")
			h.kernel.state = routes.State{}
			h.server.away, h.server.hangs = errAway, hangs
			e := h.again(h.State)
			ctx, cancel := context.WithCancel(t.Context())
			steps := 0
			ended := make(chan error)
			go func() { ended <- e.Watch(ctx, func(error) { steps++ }) }()
			for range 2 {
				time.Sleep(61 * time.Second)
				synctest.Wait()
				if got := h.kernel.ours(); got != map[bool]string{false: "1 2", true: "-"}[hangs] {
					t.Errorf("hangs %v: routes %q", hangs, got)
				}
				h.kernel.meddle(func(s *routes.State) { *s = routes.State{} })
			}
			cancel()
			if err := <-ended; err != nil || hangs != (steps == 0) {
				t.Errorf("hangs %v: %v after %d steps", hangs, err, steps)
			}
		})
	}
}
