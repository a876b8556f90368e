package enforce

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/aggregate"
	"f2bc/routes"
)

// watched is a host that watches, with what must be true of it.
type watched struct {
	*fakeHost
	t    *testing.T
	what string

	away, paused  bool
	heard         *aggregate.Set // from the store
	held          bool           // it is not the store that the host knows
	kernel, lasts *aggregate.Set // our routes, and the list last applied whole
}

// events are what may happen to a host that watches.
var events = map[string]func(w *watched){
	"ban":   func(w *watched) { w.server.ban("2 3 4") },
	"unban": func(w *watched) { w.server.ban("4") },
	"away":  func(w *watched) { w.away = true; w.server.change(func(s *fakeServer) { s.away = errAway }) },
	"hangs": func(w *watched) { w.away = true; w.server.change(func(s *fakeServer) { s.hangs = true }) },
	"back": func(w *watched) {
		w.away = false
		w.server.change(func(s *fakeServer) { s.away, s.hangs = nil, false })
	},
	"other": func(w *watched) { w.server.ban("5"); w.server.change(func(s *fakeServer) { s.id = "two" }) },
	"flush": func(w *watched) {
		w.kernel = new(aggregate.Set)
		w.fakeHost.kernel.meddle(func(s *routes.State) { *s = routes.State{} })
	},
	"closed": func(w *watched) { w.fakeHost.kernel.closeWatch() },
	"pause":  func(w *watched) { w.paused = true; w.check(writePause(w.State, 0)) },
	"resume": func(w *watched) { w.paused = false; w.check(Resume(w.State)) },
}

func (w *watched) check(err error) {
	if err != nil {
		w.t.Errorf("%s: %v", w.what, err)
	}
}

// settle waits until nothing more happens, longer than the longest backoff and the look at everything take, and compares
// the kernel with the model: a store that is known is followed; one that is away, hangs or is not known removes nothing.
func (w *watched) settle() {
	w.t.Helper()
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if !w.away {
		w.heard = new(aggregate.Set)
		w.server.mu.Lock()
		for p := range w.server.bans {
			w.heard.Add(p)
		}
		w.held = w.server.id != "one"
		w.server.mu.Unlock()
	}
	switch {
	case w.paused:
	case w.held:
		w.kernel.AddSet(w.lasts)
		w.kernel.AddSet(w.heard)
	default:
		w.kernel, w.lasts = new(aggregate.Set), w.heard
		w.kernel.AddSet(w.heard)
	}
	want := texts(w.kernel.Prefixes())
	if w.paused {
		want = "-" + want
	}
	if got := w.fakeHost.kernel.ours(); got != want {
		w.t.Errorf("%s: routes %q, want %q", w.what, got, want)
	}
}

// Whatever happens in whatever order, the kernel has what it should.
func TestWatch(t *testing.T) {
	names := slices.Sorted(maps.Keys(events))
	for _, first := range names {
		for _, second := range names {
			for _, third := range names {
				if first == second || second == third {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					watchThrough(t, first, second, third)
				})
			}
		}
	}
}

func watchThrough(t *testing.T, names ...string) {
	h := newHost(t)
	h.Interval = 20 * time.Second
	h.server.ban("1 2 3")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Watch(ctx, func(error) {}) }()
	w := &watched{fakeHost: h, t: t, what: "start", kernel: new(aggregate.Set)}
	w.settle()
	for i, name := range names {
		w.what = fmt.Sprint(names[:i+1])
		events[name](w)
		w.settle()
	}
	cancel()
	w.check(<-ended)
	if last, _, err := readLast(h.State); err != nil || texts(last.Prefixes()) != texts(w.lasts.Prefixes()) {
		t.Errorf("%s: last list %v, %v, want %v", w.what, last, err, w.lasts.Prefixes())
	}
}

// A ban that ends while the store is away is lifted in time, and the kernel is repaired at once; the host's row is written
// once a minute, and at once when its mode has changed.
func TestWatchInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.server.ban("1 2")
		ends := time.Now().Add(5 * time.Minute)
		h.server.bans[prefixes("1")[0]] = fakeBan{ends: ends}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Watch(ctx, func(error) {}) }()
		after := func(d time.Duration, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := h.kernel.ours(); got != want {
				t.Errorf("routes %q, want %q", got, want)
			}
		}
		after(2*time.Second, "1 2")
		h.kernel.meddle(func(s *routes.State) { s.Ours, s.Rule4 = nil, false })
		after(0, "1 2")
		after(3*time.Minute, "1 2")
		rows, _ := h.server.written()
		if rows < 3 || rows > 5 {
			t.Errorf("%d rows in three minutes", rows)
		}
		if _, err := h.again(h.State).Pause(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		after(3*time.Second, "-1 2")
		if n, last := h.server.written(); n != rows+1 || last.Mode != "paused" || last.Name != "web1" {
			t.Errorf("%d rows more, the last %+v", n-rows, last)
		}
		if err := Resume(h.State); err != nil {
			t.Fatal(err)
		}
		after(3*time.Second, "1 2")
		h.server.change(func(s *fakeServer) { s.away = errAway })
		after(time.Until(ends)-time.Second, "1 2")
		after(3*time.Second, "2")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
