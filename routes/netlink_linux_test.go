package routes

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"f2bc/routes/netnstest"
)

// open returns the kernel of ns with the default settings.
func open(t testing.TB, ns *netnstest.Namespace) (k *Netlink) {
	t.Helper()
	ns.Do(func() {
		var err error
		if k, err = Open(Settings{}); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { k.Close() })
	return k
}

// converge makes the kernel of ns equal to want, and fails where it is not.
func converge(t testing.TB, ns *netnstest.Namespace, k *Netlink, want []netip.Prefix) Result {
	t.Helper()
	var r Result
	ns.Do(func() {
		ctx := context.Background()
		st, err := k.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r, err = Commit(ctx, k, Diff(want, st), nil); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// read returns the state of ns.
func read(t testing.TB, ns *netnstest.Namespace, k *Netlink) (st State) {
	t.Helper()
	ns.Do(func() {
		var err error
		if st, err = k.Read(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
	return st
}

func TestSync(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	if r := converge(t, ns, k, some); r.Added != len(some) || r.Deleted != 0 || r.Failed != nil {
		t.Errorf("first run: %+v", r)
	}
	st := read(t, ns, k)
	if !slices.Equal(st.Ours, some) || !st.Rule4 || !st.Rule6 || st.Foreign != nil || st.ForeignRules != nil || st.NoIPv6 {
		t.Errorf("after the first run: %+v", st)
	}
	if p := Diff(some, st); !p.IsEmpty() {
		t.Errorf("second run would do %+v", p)
	}
	less := append(slices.Clone(some[1:3]), some[5])
	if r := converge(t, ns, k, less); r.Added != 0 || r.Deleted != 4 || r.Failed != nil {
		t.Errorf("third run: %+v", r)
	}
	if st := read(t, ns, k); !slices.Equal(st.Ours, less) {
		t.Errorf("after the third run: %v", st.Ours)
	}
	for _, f := range []string{"-4", "-6"} {
		if out := ns.Run("ip", f, "rule"); !strings.Contains(out, "6686:\tfrom all lookup 6686 proto 242") {
			t.Errorf("ip %s rule: %s", f, out)
		}
	}
	ns.Do(func() {
		if _, err := k.Apply(t.Context(), st.Flush()); err != nil {
			t.Error(err)
		}
	})
	if st := read(t, ns, k); st.Ours != nil || st.Rule4 || st.Rule6 {
		t.Errorf("after the flush: %+v", st)
	}
}

func TestForeign(t *testing.T) {
	ns := netnstest.New(t)
	k := open(t, ns)
	for _, c := range []string{
		"ip route add unreachable 192.0.2.1 table 6686 proto static",
		"ip route add blackhole 198.51.100.0/24 table 6686",
		"ip route add blackhole 203.0.113.5 table 6686 metric 7 proto 242",
		"ip -6 route add blackhole 2001:db8::1 table 6686",
		"ip route add blackhole 203.0.113.6/31",
		"ip -6 route add blackhole 2001:db8:1::/48",
		"ip rule add pref 6686 from 192.0.2.77 lookup 100",
		"ip rule add pref 7000 lookup 6686",
	} {
		ns.Run(strings.Fields(c)...)
	}
	others := func() string {
		return ns.Run("sh", "-c", "ip route show table all; ip -6 route show table all; ip rule")
	}
	before := others()
	r := converge(t, ns, k, some)
	if r.Added != len(some)-3 || len(r.Failed) != 3 {
		t.Errorf("%+v", r)
	}
	for _, f := range r.Failed {
		if !errors.Is(f, ErrForeign) || f.Op != "add" {
			t.Error(f)
		}
	}
	st := read(t, ns, k)
	if len(st.Foreign) != 4 || len(st.ForeignRules) != 2 || len(st.Ours) != len(some)-3 {
		t.Errorf("%+v", st)
	}
	ns.Do(func() {
		plan := st.Flush()
		plan.Del = some // also those that are someone else's
		if _, err := k.Apply(t.Context(), plan); err != nil {
			t.Error(err)
		}
	})
	if after := others(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
