// Package routes makes the kernel drop what is banned, and keeps a host from
// locking itself out.
//
// A ban becomes a blackhole route in a table of our own, which one rule per
// family asks before the main table:
//
//	0:      from all lookup local
//	6686:   from all lookup 6686     <- our rule, our table, protocol 242
//	32766:  from all lookup main     <- never touched
//
// No second uplink's or VPN's rule is asked before it, routing daemons do not
// learn from it, fail2ban's own routes do not collide with it, and
// "ip rule del pref 6686" switches everything off.
//
// One run is Read, Diff, Commit. Diff is pure; Read and Apply are the kernel.
// The Guard knows what must stay reachable from this host.
package routes

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

// ErrUnsupported is what every kernel operation answers on a system other
// than Linux. It is errors.ErrUnsupported to errors.Is.
var ErrUnsupported error = unsupported{}

type unsupported struct{}

func (unsupported) Error() string        { return "not supported on " + runtime.GOOS }
func (unsupported) Is(target error) bool { return target == errors.ErrUnsupported }

// Settings name what in the kernel is ours. The zero value of a field means
// its default.
type Settings struct {
	Table    uint32 // the table of our routes, 1 to 2^32-1 except 253 to 255; default 6686
	Pref     uint32 // the place of our rules, 1 to 32765 (before main); default 6686
	Protocol uint8  // the mark of our routes and rules, 5 to 255; default 242, which is free in rt_protos
}

// WithDefaults returns s with the defaults filled in.
func (s Settings) WithDefaults() Settings {
	return Settings{cmp.Or(s.Table, 6686), cmp.Or(s.Pref, 6686), cmp.Or(s.Protocol, 242)}
}

// Validate says whether s keeps us apart from everyone else: the kernel's own
// tables, rules that main comes before, and the protocols of the kernel,
// of plain ip commands and of static routes would mix ours with theirs.
func (s Settings) Validate() error {
	s = s.WithDefaults()
	switch {
	case s.Table >= 253 && s.Table <= 255:
		return fmt.Errorf("table %d: belongs to the system (default, main, local)", s.Table)
	case s.Pref > 32765:
		return fmt.Errorf("rule preference %d: must be 1 to 32765, before the main table", s.Pref)
	case s.Protocol < 5:
		return fmt.Errorf("route protocol %d: belongs to the kernel or to an admin, use 5 to 255", s.Protocol)
	}
	return nil
}

// A Family is one of the two halves of the kernel's routing.
type Family uint8

const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String returns the flag that ip(8) takes for f.
func (f Family) String() string { return fmt.Sprintf("-%d", uint8(f)) }

func familyOf(p netip.Prefix) Family {
	if p.Addr().Is4() {
		return IPv4
	}
	return IPv6
}

// A Route is a route as the kernel identifies it.
type Route struct {
	Prefix   netip.Prefix
	Type     uint8 // RTN_*: 1 unicast, 6 blackhole, 7 unreachable
	Protocol uint8 // RTPROT_*: 3 boot (a plain ip command), 4 static, 242 ours
	Table    uint32
	Metric   uint32 // lower wins; a plain ip command makes 0 for IPv4, 1024 for IPv6
	TOS      uint8
}

// String returns r as ip(8) takes it after "ip route add".
func (r Route) String() string {
	names := map[uint8]string{1: "unicast", 2: "local", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw"}
	name, ok := names[r.Type]
	if !ok {
		name = fmt.Sprintf("type %d", r.Type)
	}
	s := fmt.Sprintf("%s %s table %d proto %d", name, r.Prefix, r.Table, r.Protocol)
	if r.Metric != 0 {
		s += fmt.Sprintf(" metric %d", r.Metric)
	}
	if r.TOS != 0 {
		s += fmt.Sprintf(" tos %#x", r.TOS)
	}
	return s
}

// A Rule is a policy rule, as far as we look at one.
type Rule struct {
	Family   Family
	Pref     uint32
	Table    uint32
	Protocol uint8
}

// String returns the ip(8) command that lists what r is about.
func (r Rule) String() string {
	return fmt.Sprintf("ip %s rule pref %d lookup %d proto %d", r.Family, r.Pref, r.Table, r.Protocol)
}

// State is what the kernel has.
type State struct {
	Ours         []netip.Prefix // our blackholes, sorted as Compare sorts
	Foreign      []Route        // routes in our table that are not ours
	Rule4, Rule6 bool           // our rule is in place
	ForeignRules []Rule         // rules at our preference or into our table that are not ours
	NoIPv6       bool           // the kernel runs without IPv6
}

// Failure is one change the kernel refused. The others were made.
type Failure struct {
	Op     string       // "add" or "delete"
	Prefix netip.Prefix // the route, or
	Rule   Family       // the rule of this family, where Prefix is invalid
	Err    error
}

func (f Failure) Error() string {
	if !f.Prefix.IsValid() {
		return fmt.Sprintf("%s our ip %s rule: %v", f.Op, f.Rule, f.Err)
	}
	return fmt.Sprintf("%s blackhole %s: %v", f.Op, f.Prefix, f.Err)
}

func (f Failure) Unwrap() error { return f.Err }

// ErrForeign is the cause of a Failure to add a route where someone else's
// stands in our table. It is left alone.
var ErrForeign = errors.New("a route that is not ours is in its place")

// Result is what is true after an Apply.
type Result struct {
	Added   int       // planned routes that are there now
	Deleted int       // planned routes that are gone now
	Failed  []Failure // everything else that was planned
}

// Compare orders prefixes as State and Plan do: IPv4 first, by address, the
// wider one first where addresses are equal.
func Compare(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
