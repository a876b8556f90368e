package routes

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/routes/netnstest"
)

func TestWatch(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	ctx, cancel := context.WithCancel(t.Context())
	var changed <-chan struct{}
	ns.Do(func() {
		var err error
		if changed, err = k.Watch(ctx); err != nil {
			t.Fatal(err)
		}
	})
	quiet := func(what string) {
		t.Helper()
		select {
		case <-changed:
			t.Errorf("signal after %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
	want := append(scattered(1000), some...)
	slices.SortFunc(want, Compare)
	converge(t, ns, k, want)
	converge(t, ns, k, some)
	quiet("our own changes")
	ns.Run("ip", "route", "add", "blackhole", "203.0.113.5")
	ns.Run("ip", "route", "del", "blackhole", "203.0.113.5")
	ns.Run("ip", "rule", "add", "pref", "7000", "lookup", "100")
	quiet("changes elsewhere")
	for _, c := range []string{
		"ip route del blackhole 203.0.113.5 table 6686",
		"ip route replace unreachable 203.0.113.6/31 table 6686",
		"ip -6 route del blackhole 2001:db8::1 table 6686",
		"ip route flush table 6686",
		"ip -6 route flush table 6686",
		"ip rule del pref 6686",
		"ip -6 rule del pref 6686",
		"ip route add unreachable 192.0.2.77 table 6686",
	} {
		ns.Run(strings.Fields(c)...)
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Errorf("no signal after %s", c)
		}
		for range 2 { // a flush may make more than one
			select {
			case <-changed:
			case <-time.After(50 * time.Millisecond):
			}
		}
		converge(t, ns, k, some)
		if c == "ip route add unreachable 192.0.2.77 table 6686" {
			continue
		}
		if st := read(t, ns, k); !st.Rule4 || !st.Rule6 || !slices.Equal(st.Ours, some) && len(st.Foreign) == 0 {
			t.Errorf("after %s: %+v", c, st)
		}
	}
	cancel()
	select {
	case _, open := <-changed:
		if open {
			t.Error("signal after the end")
		}
	case <-time.After(10 * time.Second):
		t.Error("the channel stays open")
	}
}

// What fail2ban's shipped route.conf does for the same addresses, in any
// order with what we do, leaves both right.
func TestFail2banRoutes(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	rnd := rand.New(rand.NewPCG(5, 6))
	theirs := make(map[string]bool)
	ours := make(map[string]bool)
	for i := range 120 {
		p := some[rnd.IntN(4)]
		a := p.String()
		if rnd.IntN(2) == 0 {
			if theirs[a] {
				ns.Run("ip", "route", "del", "unreachable", a)
			} else {
				ns.Run("ip", "route", "add", "unreachable", a)
			}
			theirs[a] = !theirs[a]
		} else {
			ours[a] = !ours[a]
			want := slices.DeleteFunc(slices.Clone(some), func(p2 netip.Prefix) bool { return !ours[p2.String()] })
			if r := converge(t, ns, k, want); r.Failed != nil {
				t.Fatalf("step %d: %+v", i, r)
			}
		}
		main := ns.Run("ip", "route", "show", "table", "main")
		st := read(t, ns, k)
		for _, q := range some[:4] {
			short := strings.TrimSuffix(q.String(), "/32")
			if got := strings.Contains(main, "unreachable "+short+" "); got != theirs[q.String()] {
				t.Fatalf("step %d: fail2ban's %s is %t", i, q, got)
			}
			if got := slices.Contains(st.Ours, q); got != ours[q.String()] {
				t.Fatalf("step %d: our %s is %t", i, q, got)
			}
		}
	}
}

func TestOldBlackholes(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	for _, c := range []string{
		"ip route add blackhole 203.0.113.5",
		"ip route add blackhole 203.0.113.0/28 proto static",
		"ip route add blackhole 192.0.2.1",
		"ip route add blackhole 192.0.2.2 metric 5",
		"ip route add blackhole 192.0.2.3 proto bird",
		"ip route add unreachable 192.0.2.4",
		"ip route add blackhole 192.0.2.5 table 100",
		"ip -6 route add blackhole 2001:db8::5",
	} {
		ns.Run(strings.Fields(c)...)
	}
	converge(t, ns, k, some)
	var old []Route
	ns.Do(func() {
		var err error
		if old, err = k.OldBlackholes(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	var got []string
	for _, r := range old {
		got = append(got, r.String())
	}
	want := []string{"blackhole 192.0.2.1/32 table 254 proto 3", "blackhole 203.0.113.0/28 table 254 proto 4", "blackhole 203.0.113.5/32 table 254 proto 3"}
	if !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	ns.Do(func() {
		r, err := k.DeleteOld(t.Context(), old[1:])
		if err != nil || r.Deleted != 2 || r.Failed != nil {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := k.DeleteOld(t.Context(), []Route{{Prefix: some[0], Type: 6, Protocol: 3, Table: 254, Metric: 5}}); err == nil {
			t.Error("deletes an admin's route")
		}
	})
	main := ns.Run("ip", "route", "show", "table", "main")
	if strings.Contains(main, "203.0.113") || strings.Count(main, "\n") != 4 {
		t.Errorf("left:\n%s", main)
	}
	if st := read(t, ns, k); !slices.Equal(st.Ours, some) {
		t.Errorf("%v", st.Ours)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(Settings{Table: 254}); err == nil || errors.Is(err, ErrUnsupported) {
		t.Errorf("main table: %v", err)
	}
}
