package enforce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"f2bc/commands/human"
	"f2bc/routes"
	"f2bc/store"
)

// addressed is a store that sees this host at address.
type addressed struct {
	Store
	address string
	blocked bool
	err     error
}

func (s addressed) Blocked() bool { return s.blocked }

func (s addressed) WriteHost(context.Context, store.Host) (string, error) { return s.address, s.err }

// A host is told when others may ban it, when nothing of it counts, and when its row cannot be written.
func TestHostIsTold(t *testing.T) {
	for _, c := range []struct {
		st   addressed
		said []string
	}{
		{addressed{address: "192.0.2.1"}, nil},
		{addressed{address: ""}, nil},
		{addressed{address: "localhost"}, nil},
		{addressed{address: "web1.example"}, []string{`not shielded: the database knows this host as "web1.example"`}},
		{addressed{address: "192.0.2.1", blocked: true}, []string{"this host is blocked"}},
		{addressed{err: errAway}, []string{"row in the store is not up to date: connection refused"}},
	} {
		h := newHost(t)
		h.writeHost(t.Context(), c.st, store.Host{})
		said := h.said.String()
		if strings.Count(said, "\n") != len(c.said) {
			t.Errorf("%+v: said %q", c.st, said)
		}
		for _, text := range c.said {
			if !strings.Contains(said, text) {
				t.Errorf("%+v: said %q, want %q", c.st, said, text)
			}
		}
	}
}

// The row of a run says what is true after it, and what went wrong.
func TestRow(t *testing.T) {
	h := newHost(t)
	h.server.ban("1 2 3")
	h.kernel.state.Ours = prefixes("9")
	h.kernel.refuses = map[netip.Prefix]error{prefixes("2")[0]: errors.New("no memory")}
	err := h.run(t)
	_, row := h.server.written()
	want := store.Host{Name: "web1", Version: "v1", Mode: "enforce", Wanted: 3, Installed: 2, Error: fmt.Sprint(err)}
	if row != want || err == nil {
		t.Errorf("row %+v, want %+v", row, want)
	}
	h.kernel.refuses = nil
	h.want(t, "observing", h.runWith(t, func(s *Settings) { s.Observe = true }), "", "-")
	_, row = h.server.written()
	if want := (store.Host{Name: "web1", Version: "v1", Mode: "observe", Wanted: 3}); row != want {
		t.Errorf("row %+v, want %+v", row, want)
	}
}

// What was made beside a refused change counts additions and deletions.
func TestRefusedAmongOthers(t *testing.T) {
	h := newHost(t)
	h.server.ban("1 2")
	h.want(t, "before", h.run(t), "", "1 2")
	h.server.ban("3 4 5")
	h.kernel.refuses = map[netip.Prefix]error{prefixes("4")[0]: errors.New("no memory")}
	h.want(t, "refused", h.run(t), "1 change failed, 4 were made", "3 5")
}

// Of many refused changes the first is the error and the next 19 are named; one that is not permitted says all.
func TestManyRefused(t *testing.T) {
	h := newHost(t)
	refuse := func(n int, err error) {
		var list []string
		h.kernel.refuses = map[netip.Prefix]error{}
		for i := range n {
			list = append(list, fmt.Sprint(i+1))
			h.kernel.refuses[prefixes(fmt.Sprint(i + 1))[0]] = err
		}
		h.server.ban(strings.Join(list, " "))
		h.said.Reset()
	}
	refuse(25, errors.New("no memory"))
	h.want(t, "refused", h.run(t), "25 changes failed, 0 were made: add blackhole 203.0.113.2/32: no memory", "")
	if n := strings.Count(h.said.String(), "add blackhole"); n != human.MaxNamed-1 {
		t.Errorf("%d named", n)
	}
	refuse(2, fs.ErrPermission)
	err := h.run(t)
	if !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error()+h.said.String(), "failed") {
		t.Errorf("%v, said %q", err, h.said.String())
	}
}

// Routes and rules of others are left alone and named, and a check counts them.
func TestForeignIsLeftAlone(t *testing.T) {
	h := newHost(t)
	h.server.ban("1")
	h.kernel.state.Foreign = []routes.Route{{Prefix: prefixes("7")[0], Type: 6, Protocol: 4, Table: 6686}}
	h.kernel.state.ForeignRules = []routes.Rule{{Family: routes.IPv4, Pref: 6686, Table: 100}}
	h.want(t, "enforced", h.run(t), "", "1")
	said := h.said.String()
	if !strings.Contains(said, "left alone in our table: ") || !strings.Contains(said, "left alone among our rules: ") {
		t.Errorf("said %q", said)
	}
	h.kernel.state.Ours = prefixes("1 5 6")
	drift, err := h.again(h.State).Check(t.Context())
	want := Drift{InPlace: 1, Extra: 2, Foreign: 2, Asked: 1}
	if err != nil || fmt.Sprint(*drift) != fmt.Sprint(want) || drift.None() {
		t.Errorf("%+v, %v, want %+v", drift, err, want)
	}
}

// A check asks the kernel about at most 100 bans, from all of the list, and says which get through.
func TestCheckSample(t *testing.T) {
	h := newHost(t)
	var list []string
	for i := range 250 {
		list = append(list, fmt.Sprintf("198.51.%d.1", i))
	}
	h.server.ban(strings.Join(list, " "))
	if err := h.run(t); err != nil {
		t.Fatal(err)
	}
	drift, err := h.again(h.State).Check(t.Context())
	if err != nil || drift.Asked != sample || !drift.None() {
		t.Errorf("%+v, %v", drift, err)
	}
	h.kernel.state.Rule4 = false
	drift, err = h.again(h.State).Check(t.Context())
	if err != nil || len(drift.Through) != sample || drift.RulesMissing != 1 || drift.None() {
		t.Errorf("%+v, %v", drift, err)
	}
	for i, addr := range drift.Through { // one of each part of the list
		if part := int(addr.As4()[2]) / 2; part != i {
			t.Errorf("%v stands for part %d", addr, i)
		}
	}
	through := []netip.Addr{{}}
	for _, d := range []Drift{
		{Missing: 1}, {Extra: 1}, {RulesMissing: 1}, {Through: through},
		{Missing: 1, Extra: 1}, {Extra: 1, RulesMissing: 1}, {RulesMissing: 1, Through: through},
	} {
		if d.None() || !(Drift{InPlace: 3, Asked: 3, Foreign: 1}).None() {
			t.Errorf("%+v is no drift", d)
		}
	}
}

// A look at a held list says which brake holds, and what would be done; without store or kernel it is an error.
func TestLookingAtABrake(t *testing.T) {
	h := newHost(t)
	h.server.ban("1")
	h.want(t, "before", h.run(t), "", "1")
	h.server.ban("2")
	h.server.id = "two"
	plan, err := h.again(h.State).DryRun(t.Context())
	if err == nil || texts(plan.Add) != "2" || len(plan.Del) != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	drift, err := h.again(h.State).Check(t.Context())
	if err == nil || drift == nil || drift.Missing != 1 || drift.Extra != 0 {
		t.Errorf("%+v, %v", drift, err)
	}
	h.kernel.away = errors.New("no netlink")
	for _, away := range []error{nil, errAway} {
		h.server.away = away
		_, dryErr := h.again(h.State).DryRun(t.Context())
		_, checkErr := h.again(h.State).Check(t.Context())
		for _, err := range []error{dryErr, checkErr, h.run(t)} {
			if !errors.Is(err, h.kernel.away) || away != nil && !errors.Is(err, away) {
				t.Errorf("%v, want %v", err, away)
			}
		}
	}
}

// The time at which a list was right is told when it comes back.
func TestOldListIsDated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.server.ban("1 2")
		h.want(t, "before", h.run(t), "", "1 2")
		h.kernel.state, h.server.away = routes.State{}, errAway
		time.Sleep(90 * time.Minute)
		h.want(t, "after a reboot", h.run(t), "2 routes are from the list of 2000-01-01 00:00 UTC, "+
			"which is 90 minutes old, since the store is away: connection refused", "1 2")
	})
}
