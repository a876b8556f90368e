package enforce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/routes"
	"f2bc/store"
)

var errAway = errors.New("connection refused")

// run is a run of a new process on the host.
func (h *fakeHost) run(t *testing.T) error {
	h.Enforcer = h.again(h.State)
	return h.Once(t.Context())
}

// runWith is run with settings that differ.
func (h *fakeHost) runWith(t *testing.T, set func(*Settings)) error {
	h.Enforcer = h.again(h.State)
	set(&h.Settings)
	return h.Once(t.Context())
}

func (h *fakeHost) want(t *testing.T, what string, err error, failure, routes string) {
	t.Helper()
	if (err == nil) != (failure == "") || err != nil && !strings.Contains(err.Error(), failure) {
		t.Errorf("%s: error %v, want %q", what, err, failure)
	}
	if got := h.kernel.ours(); got != routes {
		t.Errorf("%s: routes %q, want %q", what, got, routes)
	}
}

// Every brake, alone and with each other one, against the rule that stands at the top of brakes.go: 1 and 2 are in place,
// 1 is lifted, 3 is new. Those that keep the last list install it too, where the kernel lost a part of it.
func TestBrakes(t *testing.T) {
	for bits := range 8 {
		guardLacks, unknown, tooMany := bits&1 != 0, bits&2 != 0, bits&4 != 0
		h := newHost(t)
		h.server.ban("1 2")
		h.want(t, "before", h.run(t), "", "1 2")

		h.server.ban("2 3")
		var failures []string
		if guardLacks {
			h.guardErr = errors.New("no netlink")
			failures = append(failures, "nothing is added while it is not known")
		}
		if unknown {
			h.server.id = "two"
			failures = append(failures, "nothing is removed")
		}
		limit := 1000
		if tooMany {
			limit = 1 // of two
			failures = append(failures, "more than max_routes = 1")
		}
		want := []string{"2"}
		if unknown {
			want = []string{"1", "2"}
		}
		if !guardLacks && !tooMany {
			want = append(want, "3")
		}
		err := h.runWith(t, func(s *Settings) { s.MaxRoutes = limit })
		for _, failure := range failures {
			h.want(t, fmt.Sprint("brakes ", bits), err, failure, strings.Join(want, " "))
		}
		if len(failures) == 0 {
			h.want(t, "no brake", err, "", "2 3")
		}
		err = h.runWith(t, func(s *Settings) { s.MaxRoutes, s.Force, s.AcceptStore = limit, true, true })
		if !guardLacks {
			h.want(t, "forced and accepted", err, "", "2 3")
		}
	}
}

// A list that covers too much of IPv4 is not installed; the last one stands, also where the kernel lost it.
func TestTooMuchCovered(t *testing.T) {
	h := newHost(t)
	h.server.ban("1")
	h.want(t, "before", h.run(t), "", "1")
	h.server.change(func(s *fakeServer) { s.bans[prefixes("16.0.0.0/8")[0]] = fakeBan{forced: true} })
	cover := func(percent float64) func(*Settings) { return func(s *Settings) { s.MaxCoverage = percent } }
	h.want(t, "0.39 of 0.3 percent", h.runWith(t, cover(0.3)), "max_coverage = 0.3", "1")
	h.kernel.state = routes.State{}
	h.want(t, "after a reboot", h.runWith(t, cover(0.3)), "max_coverage = 0.3", "1")
	h.want(t, "0.39 of 0.4 percent", h.runWith(t, cover(0.4)), "", "16.0.0.0/8 1")
}

// A mark that goes back by more than 10 s is that of a restored store, which stays so until it is accepted; one that goes
// back by less is a node that lags.
func TestMarkGoesBack(t *testing.T) {
	h := newHost(t)
	h.server.mark = store.TimeOf(time.Now())
	h.server.ban("1 2")
	h.want(t, "before", h.run(t), "", "1 2")
	back := func(d time.Duration, texts string) {
		h.server.ban(texts)
		h.server.mark = h.server.mark.Add(-time.Second - d)
	}
	back(10*time.Second, "2 3")
	h.want(t, "lags", h.run(t), "lags behind", "1 2 3")
	h.server.mark = h.server.mark.Add(10 * time.Second)
	h.want(t, "has caught up", h.run(t), "", "2 3")
	back(10*time.Second+time.Microsecond, "3 4")
	h.want(t, "went back", h.run(t), "went back", "2 3 4")
	h.server.ban("4")
	h.server.mark = h.server.mark.Add(time.Hour)
	h.want(t, "is ahead again", h.run(t), "went back", "2 3 4")
	h.want(t, "accepted", h.runWith(t, func(s *Settings) { s.AcceptStore = true }), "", "4")
	h.server.ban("5")
	h.want(t, "afterwards", h.run(t), "", "5")
}

// Without the store nothing changes. Where the routes are gone the last list comes back, without what must not be banned
// by now; only the rules where only they are gone; and nothing in a pause or where nothing is to be enforced.
func TestWithoutStore(t *testing.T) {
	h := newHost(t)
	h.server.away = errAway
	h.want(t, "never run", h.run(t), "routes stay as they are", "-")
	h.server.away = nil
	h.server.ban("1 2 3")
	h.want(t, "before", h.run(t), "", "1 2 3")

	h.server.away = errAway
	h.want(t, "away", h.run(t), "routes stay as they are: connection refused", "1 2 3")
	h.kernel.state.Rule4 = false
	h.want(t, "rule gone", h.run(t), "the rules were gone and are back", "1 2 3")
	h.kernel.state = routes.State{}
	h.want(t, "observing", h.runWith(t, func(s *Settings) { s.Observe = true }), "routes stay as they are", "-")
	h.allow, h.guard = []string{"203.0.113.2"}, []routes.Entry{{Prefix: prefixes("2")[0], Why: "next hop"}}
	h.guardErr = errors.New("no netlink")
	h.want(t, "guard not known", h.run(t), "no netlink", "-")
	h.guardErr = nil
	if _, err := h.Pause(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	h.want(t, "paused", h.run(t), "routes stay as they are", "-")
	if err := Resume(h.State); err != nil {
		t.Fatal(err)
	}
	h.want(t, "after a reboot", h.run(t), "1 route is from the list of", "3")
}

// After additions the store must still answer, or they are taken back.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.server.ban("1")
		h.want(t, "before", h.run(t), "", "1")
		h.server.ban("2")
		e := h.again(h.State)
		e.Kernel = &cutOff{h.kernel, h.server}
		h.want(t, "cut off", e.Once(t.Context()), "the store did not answer any more", "1")
	})
}

// cutOff is a kernel whose additions cut the store off.
type cutOff struct {
	*fakeKernel
	server *fakeServer
}

func (k *cutOff) Apply(ctx context.Context, p routes.Plan) (routes.Result, error) {
	r, err := k.fakeKernel.Apply(ctx, p)
	k.server.change(func(s *fakeServer) { s.hangs = len(p.Add) > 0 })
	return r, err
}

// What only looks changes neither the kernel nor the state directory, and a check is not green in a pause.
func TestLooking(t *testing.T) {
	h := newHost(t)
	h.server.ban("1 2")
	plan, err := h.DryRun(t.Context())
	if err != nil || texts(plan.Add) != "1 2" || len(plan.AddRules) != 2 {
		t.Errorf("%+v, %v", plan, err)
	}
	drift, err := h.again(h.State).Check(t.Context())
	if err != nil || drift.Missing != 2 || drift.RulesMissing != 2 || len(drift.Through) != 2 || drift.Asked != 2 || drift.None() {
		t.Errorf("%+v, %v", drift, err)
	}
	if names, err := h.State.Find("*"); len(names) != 0 || len(h.kernel.applied) != 0 || err != nil {
		t.Errorf("%q, %v, %v", names, h.kernel.applied, err)
	}
	h.want(t, "enforced", h.run(t), "", "1 2")
	if drift, err = h.again(h.State).Check(t.Context()); err != nil || !drift.None() || drift.InPlace != 2 {
		t.Errorf("%+v, %v", drift, err)
	}
	if _, err := h.Pause(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if drift, err = h.again(h.State).Check(t.Context()); err != nil || drift.Paused == "" || drift.None() {
		t.Errorf("paused: %+v, %v", drift, err)
	}
}

// One change that the kernel refuses is named, and all others are made.
func TestRefusedChange(t *testing.T) {
	h := newHost(t)
	h.server.ban("1 2 3")
	h.kernel.refuses = map[netip.Prefix]error{prefixes("2")[0]: errors.New("no memory")}
	h.want(t, "refused", h.run(t), "1 change failed, 2 were made", "1 3")
	h.kernel.refuses[prefixes("3")[0]] = fs.ErrPermission
	h.server.ban("1 2")
	if err := h.run(t); err == nil || slices.Contains(h.kernel.state.Ours, prefixes("2")[0]) {
		t.Error(err)
	}
}
