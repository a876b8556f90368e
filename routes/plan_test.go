package routes

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func prefixes(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

var some = prefixes("192.0.2.1/32", "198.51.100.0/24", "203.0.113.5/32", "203.0.113.6/31",
	"2001:db8::1/128", "2001:db8:1::/48", "2001:db8:2::/64")

// fake is a kernel in memory. It refuses to add what is in refuse.
type fake struct {
	state  State
	refuse map[netip.Prefix]error
	calls  []Plan
	err    error // of the next Apply
}

func (k *fake) Read(context.Context) (State, error) { return k.state, nil }

func (k *fake) Apply(ctx context.Context, p Plan) (Result, error) {
	k.calls = append(k.calls, p)
	if err := errors.Join(ctx.Err(), k.err); err != nil {
		return Result{}, err
	}
	var r Result
	for _, a := range p.Add {
		if err := k.refuse[a]; err != nil {
			r.Failed = append(r.Failed, Failure{Op: "add", Prefix: a, Err: err})
			continue
		}
		k.state.Ours = append(k.state.Ours, a)
		r.Added++
	}
	for _, d := range p.Del {
		k.state.Ours = slices.DeleteFunc(k.state.Ours, func(o netip.Prefix) bool { return o == d })
		r.Deleted++
	}
	slices.SortFunc(k.state.Ours, Compare)
	for _, f := range p.AddRules {
		*k.rule(f) = true
	}
	for _, f := range p.DelRules {
		*k.rule(f) = false
	}
	return r, nil
}

func (k *fake) rule(f Family) *bool {
	if f == IPv4 {
		return &k.state.Rule4
	}
	return &k.state.Rule6
}

// Whatever the kernel has and whatever is wanted, applying the difference
// makes them equal, and the difference is as small as sets say.
func TestDiff(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	pool := slices.Clone(some)
	for range 20 {
		v4 := netip.AddrFrom4([4]byte{203, 0, 113, byte(rnd.IntN(16))})
		v6 := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(rnd.IntN(16))})
		pool = append(pool, netip.PrefixFrom(v4, 28+rnd.IntN(5)).Masked(), netip.PrefixFrom(v6, 124+rnd.IntN(5)).Masked())
	}
	slices.SortFunc(pool, Compare)
	pool = slices.Compact(pool)
	subset := func() (ps []netip.Prefix) {
		for _, p := range pool {
			if rnd.IntN(3) == 0 {
				ps = append(ps, p)
			}
		}
		return ps
	}
	for range 500 {
		k := &fake{state: State{Ours: subset(), Rule4: rnd.IntN(2) == 0}}
		had, want := slices.Clone(k.state.Ours), subset()
		given := slices.Clone(want)
		rnd.Shuffle(len(given), func(i, j int) { given[i], given[j] = given[j], given[i] })
		p := Diff(given, k.state)
		for _, a := range p.Add {
			if slices.Contains(had, a) {
				t.Fatalf("adds %s, which is there", a)
			}
		}
		for _, d := range p.Del {
			if !slices.Contains(had, d) || slices.Contains(want, d) {
				t.Fatalf("deletes %s", d)
			}
		}
		if _, err := Commit(t.Context(), k, p, nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(k.state.Ours, want) || !k.state.Rule4 || !k.state.Rule6 {
			t.Fatalf("want %v, got %+v", want, k.state)
		}
		if p := Diff(want, k.state); !p.IsEmpty() {
			t.Fatalf("not settled: %+v", p)
		}
	}
}

// TestAfter compares what a plan is said to lead to with what a kernel has when the plan was applied.
func TestAfter(t *testing.T) {
	pick := func() (ps []netip.Prefix) {
		for _, p := range some {
			if rand.IntN(2) == 0 {
				ps = append(ps, p)
			}
		}
		return ps
	}
	for range 500 {
		before := State{Ours: pick(), Rule4: rand.IntN(2) == 0, Rule6: rand.IntN(2) == 0}
		for _, plan := range []Plan{{}, Diff(pick(), before), before.Pause(), before.Flush()} {
			kernel := &fake{state: before}
			kernel.state.Ours = slices.Clone(before.Ours)
			if _, err := kernel.Apply(t.Context(), plan); err != nil {
				t.Fatal(err)
			}
			got, want := before.After(plan), kernel.state
			if !slices.Equal(got.Ours, want.Ours) || got.Rule4 != want.Rule4 || got.Rule6 != want.Rule6 {
				t.Fatalf("%+v after %+v: %+v, want %+v", before, plan, got, want)
			}
		}
	}
}

func TestDiffWithoutIPv6(t *testing.T) {
	p := Diff(some, State{NoIPv6: true})
	if !slices.Equal(p.Add, some[:4]) || !slices.Equal(p.AddRules, []Family{IPv4}) {
		t.Errorf("%+v", p)
	}
}

func TestPauseAndFlush(t *testing.T) {
	st := State{Ours: some, Rule4: true, Rule6: true}
	if p := st.Pause(); p.Del != nil || !slices.Equal(p.DelRules, []Family{IPv4, IPv6}) {
		t.Errorf("pause: %+v", p)
	}
	if p := st.Flush(); !slices.Equal(p.Del, some) || !slices.Equal(p.DelRules, []Family{IPv4, IPv6}) {
		t.Errorf("flush: %+v", p)
	}
	if p := (State{}).Flush(); !p.IsEmpty() {
		t.Errorf("flush of nothing: %+v", p)
	}
}

func TestCommands(t *testing.T) {
	p := Plan{Add: some[2:6], Del: some[:1], AddRules: []Family{IPv4, IPv6}}
	got := slices.Collect(p.Commands(Settings{}))
	want := []string{
		"ip -4 route add blackhole 203.0.113.5/32 table 6686 proto 242",
		"ip -4 route add blackhole 203.0.113.6/31 table 6686 proto 242",
		"ip -6 route add blackhole 2001:db8::1/128 table 6686 proto 242 metric 1024",
		"ip -6 route add blackhole 2001:db8:1::/48 table 6686 proto 242 metric 1024",
		"ip -4 rule add pref 6686 lookup 6686 protocol 242",
		"ip -6 rule add pref 6686 lookup 6686 protocol 242",
		"ip -4 route del blackhole 192.0.2.1/32 table 6686 proto 242",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	p = Plan{DelRules: []Family{IPv6}}
	got = slices.Collect(p.Commands(Settings{Table: 77, Pref: 88, Protocol: 99}))
	if !slices.Equal(got, []string{"ip -6 rule del pref 88 lookup 77 protocol 99"}) {
		t.Errorf("%q", got)
	}
	for range p.Commands(Settings{}) {
		break // must not go on
	}
}

func TestCommitOrder(t *testing.T) {
	k := &fake{state: State{Ours: prefixes("203.0.113.0/24")}, refuse: map[netip.Prefix]error{some[3]: errors.New("no memory")}}
	asked := 0
	p := Diff(some, k.state)
	r, err := Commit(t.Context(), k, p, func(context.Context) error {
		asked++
		if !slices.Contains(k.state.Ours, netip.MustParsePrefix("203.0.113.0/24")) {
			t.Error("the wide ban went before the narrow ones were confirmed")
		}
		return nil
	})
	if err != nil || asked != 1 || r.Added != len(some)-1 || r.Deleted != 1 || len(r.Failed) != 1 || r.Failed[0].Prefix != some[3] {
		t.Errorf("asked %d times, %+v, %v", asked, r, err)
	}
	if _, err := Commit(t.Context(), k, Plan{Del: some[:1]}, func(context.Context) error { t.Error("asked without additions"); return nil }); err != nil {
		t.Error(err)
	}
}

func TestCommitTakesBack(t *testing.T) {
	for _, rule := range []bool{true, false} {
		before := State{Ours: prefixes("192.0.2.1/32", "192.0.2.9/32"), Rule4: rule, Rule6: rule}
		k := &fake{state: before, refuse: map[netip.Prefix]error{some[3]: errors.New("no memory")}}
		k.state.Ours = slices.Clone(before.Ours)
		ctx, cancel := context.WithCancel(t.Context())
		cause := errors.New("store away")
		r, err := Commit(ctx, k, Diff(some, k.state), func(context.Context) error {
			cancel() // a signal in the worst moment
			return cause
		})
		if !errors.Is(err, ErrTakenBack) || !errors.Is(err, cause) {
			t.Errorf("error %v", err)
		}
		if r.Added != 0 || r.Deleted != 0 {
			t.Errorf("result %+v", r)
		}
		if !slices.Equal(k.state.Ours, before.Ours) || k.state.Rule4 != rule || k.state.Rule6 != rule {
			t.Errorf("state %+v", k.state)
		}
		cancel()
	}
}

func TestCommitStops(t *testing.T) {
	k := &fake{err: errors.New("no netlink")}
	asked := 0
	confirm := func(context.Context) error { asked++; return nil }
	if _, err := Commit(t.Context(), k, Diff(some, k.state), confirm); !errors.Is(err, k.err) || len(k.calls) != 1 || asked != 1 {
		t.Errorf("%v after %d calls, asked %d times", err, len(k.calls), asked)
	}
}

// A kernel that fails half-way and a host that is cut off by the first half.
func TestCommitTakesHalfBack(t *testing.T) {
	k := &fake{}
	half := &halfway{fake: k}
	_, err := Commit(t.Context(), half, Diff(some, k.state), func(context.Context) error { return errors.New("store away") })
	if !errors.Is(err, ErrTakenBack) || !errors.Is(err, errHalf) || len(k.state.Ours) != 0 {
		t.Errorf("%v, left %v", err, k.state.Ours)
	}
}

var errHalf = errors.New("no netlink")

type halfway struct{ *fake }

func (k *halfway) Apply(ctx context.Context, p Plan) (Result, error) {
	if len(p.Add) == 0 {
		return k.fake.Apply(ctx, p)
	}
	_, err := k.fake.Apply(ctx, Plan{Add: p.Add[:len(p.Add)/2]})
	return Result{}, errors.Join(err, errHalf)
}

func TestSettings(t *testing.T) {
	for _, s := range []Settings{{}, {Table: 100}, {Table: 1 << 31, Pref: 1, Protocol: 5}, {Pref: 32765}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []Settings{{Table: 254}, {Table: 253}, {Table: 255}, {Pref: 32766}, {Protocol: 3}} {
		if s.Validate() == nil {
			t.Errorf("%+v is taken", s)
		}
	}
}

func TestShields(t *testing.T) {
	gateway := Entry{Prefix: netip.MustParsePrefix("198.51.100.1/32")}
	network := Entry{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Network: true}
	for _, c := range []struct {
		ban              string
		gateway, network bool
	}{
		{"198.51.100.1/32", true, false},
		{"198.51.100.7/32", false, false},
		{"198.51.100.0/25", true, false},
		{"198.51.100.0/24", true, false},
		{"198.51.100.0/23", true, true},
		{"0.0.0.0/0", true, true},
		{"198.51.96.0/22", false, false},
		{"2001:db8::/32", false, false},
	} {
		ban := netip.MustParsePrefix(c.ban)
		if g, n := gateway.Shields(ban), network.Shields(ban); g != c.gateway || n != c.network {
			t.Errorf("%s: gateway %t, network %t", ban, g, n)
		}
	}
}

func TestWiden(t *testing.T) {
	guard := []Entry{
		{Prefix: netip.MustParsePrefix("2001:db8:5::/64"), Network: true},
		{Prefix: netip.MustParsePrefix("2001:db8:6::1/128")},
	}
	for _, c := range []struct {
		ban  string
		bits int
		want string
	}{
		{"2001:db8:7::9/128", 64, "2001:db8:7::/64"},
		{"2001:db8:6::9/128", 64, "2001:db8:6::/64"}, // the single address is carved out of it
		{"2001:db8:5::9/128", 64, "2001:db8:5::9/128"},
		{"2001:db8:5::9/128", 56, "2001:db8:5::9/128"},
		{"2001:db8:5::9/128", 96, "2001:db8:5::/96"},
		{"2001:db8:5:1::9/128", 56, "2001:db8:5:1::9/128"},
		{"2001:db8:7::/48", 64, "2001:db8:7::/48"},
		{"203.0.113.5/32", 24, "203.0.113.5/32"},
	} {
		if got := Widen(netip.MustParsePrefix(c.ban), c.bits, guard).String(); got != c.want {
			t.Errorf("%s to /%d: %s, want %s", c.ban, c.bits, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	conn := func(remote string) Connection {
		return Connection{Local: netip.MustParseAddrPort("192.0.2.200:22"), Remote: netip.MustParseAddrPort(remote)}
	}
	conns := []Connection{
		conn("192.0.2.1:1"), conn("192.0.2.2:1"), conn("198.51.100.255:1"), conn("198.51.101.0:1"), conn("203.0.113.7:1"),
		conn("0.0.0.1:1"), conn("[2001:db8::1]:1"), conn("[2001:db8::2]:1"), conn("[2001:db8:1:ffff::9]:1"), conn("[::1]:1"), conn("[ffff::]:1"),
	}
	var got []string
	for _, c := range Cut(conns, some) {
		got = append(got, c.Remote.String())
	}
	want := []string{"192.0.2.1:1", "198.51.100.255:1", "203.0.113.7:1", "[2001:db8::1]:1", "[2001:db8:1:ffff::9]:1"}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if Cut(conns, nil) != nil {
		t.Error("no ban cuts nothing")
	}
}

func TestUnsupported(t *testing.T) {
	if !errors.Is(ErrUnsupported, errors.ErrUnsupported) {
		t.Error("not told by errors.Is")
	}
}
