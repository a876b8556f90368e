package enforce

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/routes"
	"f2bc/store"
)

// A memory that is damaged lets nothing be removed, and its file stays for a person, until the store is accepted.
func TestDamagedMemory(t *testing.T) {
	h := newHost(t)
	h.server.ban("1 2")
	h.want(t, "before", h.run(t), "", "1 2")
	if err := h.State.Note(memoryFile, "{"); err != nil {
		t.Fatal(err)
	}
	h.server.ban("2 3")
	h.want(t, "damaged", h.run(t), "is lost", "1 2 3")
	if text, err := h.State.Read(memoryFile); string(text) != "{" {
		t.Errorf("the file is %q, %v", text, err)
	}
	h.want(t, "accepted", h.runWith(t, func(s *Settings) { s.AcceptStore = true }), "", "2 3")
	h.server.ban("3")
	h.want(t, "afterwards", h.run(t), "", "3")
}

// A last list that is damaged is named with its line, and nothing of it is installed.
func TestDamagedList(t *testing.T) {
	h := newHost(t)
	h.server.ban("1 2")
	h.want(t, "before", h.run(t), "", "1 2")
	if err := h.State.Note(lastFile, "203.0.113.2\nno address\nnor this\n"); err != nil {
		t.Fatal(err)
	}
	h.kernel.state = routes.State{}
	h.server.away = errAway
	h.want(t, "away", h.run(t), lastFile+":2: ", "-")
	h.server.away = nil
	h.server.id = "two"
	h.want(t, "not known", h.run(t), lastFile+":2: ", "1 2")
	h.want(t, "accepted", h.runWith(t, func(s *Settings) { s.AcceptStore = true }), "", "1 2")
	if last, _, err := readLast(h.State); err != nil || texts(last.Prefixes()) != "1 2" {
		t.Errorf("last list %v, %v", last, err)
	}
}

// The last list is written where it differs in any way, and gets the time of now where it does not.
func TestLastListIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for i, list := range []string{"1 2", "1", "1 2 3", "1 2 4", "", "1 2 4"} {
			h.server.ban(list)
			h.want(t, list, h.run(t), "", list)
			for range 2 {
				time.Sleep(time.Hour)
				h.want(t, list, h.run(t), "", list)
				last, at, err := readLast(h.State)
				if same, err := isLast(h.State, last); !same || err != nil {
					t.Errorf("step %d: not the last list, %v", i, err)
				}
				if err != nil || texts(last.Prefixes()) != list || time.Since(at) > time.Second {
					t.Errorf("step %d: %q of %v, %v", i, texts(last.Prefixes()), at, err)
				}
			}
		}
	})
}

// A run that a brake holds, that pauses or only observes keeps no list: it was not applied.
func TestListIsNotKept(t *testing.T) {
	h := newHost(t)
	h.server.ban("1 2 3")
	h.want(t, "too many", h.runWith(t, func(s *Settings) { s.MaxRoutes = 2 }), "more than max_routes = 2", "")
	h.want(t, "observing", h.runWith(t, func(s *Settings) { s.Observe = true }), "", "-")
	if _, err := h.Pause(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	h.want(t, "paused", h.run(t), "", "-")
	if h.State.Has(lastFile) {
		t.Error("a list that was never applied is kept")
	}
	if err := Resume(h.State); err != nil {
		t.Fatal(err)
	}
	h.want(t, "as many as may be", h.runWith(t, func(s *Settings) { s.MaxRoutes = 3 }), "", "1 2 3")
}

// A state directory that cannot be written stops nothing, and is an error.
func TestNotRemembered(t *testing.T) {
	h := newHost(t)
	h.server.ban("1")
	if err := os.WriteFile(h.State.Path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.State += "/file"
	h.want(t, "not remembered", h.run(t), "not remembered for the next run", "1")
}

// aheadStore is a store whose clock is ahead of this host's.
type aheadStore struct {
	Store
	ahead time.Duration
	until store.Time // on its own clock
}

func (s aheadStore) Local(t store.Time) time.Time { return t.Std().Add(-s.ahead) }

func (s aheadStore) Paused() store.Time {
	if s.until > store.TimeOf(time.Now().Add(s.ahead)) {
		return s.until
	}
	return 0
}

// A pause of the fleet ends when it does by the store's clock, also where this host's is wrong and the store is away.
func TestFleetPauseOnAnotherClock(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t)
			h.server.ban("1")
			h.want(t, "before", h.run(t), "", "1")
			until := store.TimeOf(time.Now().Add(ahead + 10*time.Minute))
			run := func() error {
				e := h.again(h.State)
				e.Open = func(ctx context.Context) (Store, error) {
					st, err := h.server.connect(ctx)
					return aheadStore{st, ahead, until}, err
				}
				return e.Once(t.Context())
			}
			h.want(t, "paused", run(), "", "-1")
			h.server.away = errAway
			time.Sleep(10*time.Minute - time.Second)
			h.want(t, "away", h.run(t), "routes stay as they are", "-1")
			h.server.away = nil
			h.want(t, "still paused", run(), "", "-1")
			time.Sleep(time.Second)
			h.want(t, "over", run(), "", "1")
			until = store.Permanent
			h.want(t, "for good", run(), "", "-1")
			h.server.away = errAway
			time.Sleep(1000 * time.Hour)
			h.want(t, "for good, and away", h.run(t), "routes stay as they are", "-1")
		})
	}
}

// A store that hangs is given up in time, and counts as away.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.server.ban("1")
		h.want(t, "before", h.run(t), "", "1")
		h.server.hangs = true
		h.kernel.state = routes.State{}
		start := time.Now()
		err := h.run(t)
		h.want(t, "hangs", err, "the list was not there within 2m0s", "1")
		if took := time.Since(start); took != answerTime || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		h.kernel.state = routes.State{}
		err = h.again(h.State).Once(ctx)
		if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "within") {
			t.Error(err)
		}
		h.want(t, "a signal", nil, "", "-")
	})
}
