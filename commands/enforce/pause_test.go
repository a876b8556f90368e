package enforce

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/store"
)

// A pause holds for its time, by a file that survives the process; one that cannot be read keeps everything as it is.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.server.ban("1")
		h.want(t, "before", h.run(t), "", "1")
		until, err := h.Pause(t.Context(), time.Hour)
		if err != nil || !strings.HasPrefix(until, "until 2000-01-01 01:00:00") {
			t.Error(until, err)
		}
		h.want(t, "at once", nil, "", "-1")
		h.server.ban("1 2")
		h.want(t, "paused", h.run(t), "", "-1")
		time.Sleep(time.Hour)
		h.want(t, "over", h.run(t), "", "1 2")

		h.server.change(func(s *fakeServer) { s.pause = store.TimeOf(time.Now().Add(time.Minute)) })
		h.want(t, "with the fleet", h.run(t), "", "-1 2")
		h.server.away = errAway
		h.want(t, "with the fleet, which is away", h.run(t), "routes stay", "-1 2")
		time.Sleep(time.Minute)
		h.want(t, "over, and away", h.run(t), "the rules were gone and are back", "1 2")
		h.server.away = nil

		if err := h.State.Note(pauseFile, "{"); err != nil {
			t.Fatal(err)
		}
		h.want(t, "unreadable", h.run(t), "f2bc resume removes it", "1 2")
		n, err := h.again(h.State).Flush(t.Context())
		h.want(t, "flushed", err, "", "-")
		if n != 2 {
			t.Errorf("%d routes flushed", n)
		}
		h.want(t, "until resume", h.run(t), "", "-")
		if err := errors.Join(Resume(h.State), Resume(h.State)); err != nil {
			t.Error(err)
		}
		h.want(t, "resumed", h.run(t), "", "1 2")
	})
}
