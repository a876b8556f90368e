package routes

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
)

// Plan is what to change in the kernel. The zero value changes nothing.
type Plan struct {
	Add, Del           []netip.Prefix // blackholes of ours, sorted as Compare sorts
	AddRules, DelRules []Family
}

// IsEmpty says that p changes nothing.
func (p Plan) IsEmpty() bool {
	return len(p.Add)+len(p.Del)+len(p.AddRules)+len(p.DelRules) == 0
}

// Diff plans how to get from state to want: masked prefixes, none twice.
// Foreign routes and rules are no part of it. On a kernel without IPv6 there
// is nothing to drop, so IPv6 is left out.
func Diff(want []netip.Prefix, state State) Plan {
	if !slices.IsSortedFunc(want, Compare) {
		want = slices.SortedFunc(slices.Values(want), Compare)
	}
	if state.NoIPv6 {
		v4, _ := slices.BinarySearchFunc(want, IPv6, func(p netip.Prefix, f Family) int { return int(familyOf(p)) - int(f) })
		want = want[:v4]
	}
	ours := state.Ours
	var p Plan
	p.Add = slices.Grow(p.Add, max(len(want)-len(ours), 0))
	p.Del = slices.Grow(p.Del, max(len(ours)-len(want), 0))
	for len(want) > 0 || len(ours) > 0 {
		switch {
		case len(ours) == 0 || len(want) > 0 && Compare(want[0], ours[0]) < 0:
			p.Add, want = append(p.Add, want[0]), want[1:]
		case len(want) == 0 || Compare(want[0], ours[0]) > 0:
			p.Del, ours = append(p.Del, ours[0]), ours[1:]
		default:
			want, ours = want[1:], ours[1:]
		}
	}
	if !state.Rule4 {
		p.AddRules = append(p.AddRules, IPv4)
	}
	if !state.Rule6 && !state.NoIPv6 {
		p.AddRules = append(p.AddRules, IPv6)
	}
	return p
}

// After returns what s becomes by all of p, which was planned for it.
func (s State) After(p Plan) State {
	if p.IsEmpty() {
		return s
	}
	ours := make([]netip.Prefix, 0, len(s.Ours)+len(p.Add)-len(p.Del))
	add, del := p.Add, p.Del
	for _, o := range s.Ours {
		for len(add) > 0 && Compare(add[0], o) < 0 {
			ours, add = append(ours, add[0]), add[1:]
		}
		if len(del) > 0 && del[0] == o {
			del = del[1:]
		} else {
			ours = append(ours, o)
		}
	}
	s.Ours = append(ours, add...)
	for _, f := range p.AddRules {
		s.Rule4, s.Rule6 = s.Rule4 || f == IPv4, s.Rule6 || f == IPv6
	}
	for _, f := range p.DelRules {
		s.Rule4, s.Rule6 = s.Rule4 && f != IPv4, s.Rule6 && f != IPv6
	}
	return s
}

// Pause plans the panic switch: our rules go, so that no route of ours is
// asked any more, and the routes stay for a quick way back.
func (s State) Pause() Plan {
	var p Plan
	if s.Rule4 {
		p.DelRules = append(p.DelRules, IPv4)
	}
	if s.Rule6 {
		p.DelRules = append(p.DelRules, IPv6)
	}
	return p
}

// Flush plans the removal of everything that is ours.
func (s State) Flush() Plan {
	p := s.Pause()
	p.Del = s.Ours
	return p
}

// Undo plans to take back what applying p added, given the result.
func (p Plan) Undo(r Result) Plan {
	failed := make(map[netip.Prefix]bool)
	u := Plan{DelRules: slices.Clone(p.AddRules)}
	for _, f := range r.Failed {
		switch {
		case f.Op != "add":
		case f.Prefix.IsValid():
			failed[f.Prefix] = true
		default:
			u.DelRules = slices.DeleteFunc(u.DelRules, func(fam Family) bool { return fam == f.Rule })
		}
	}
	for _, a := range p.Add {
		if !failed[a] {
			u.Del = append(u.Del, a)
		}
	}
	return u
}

// Commands yields p as ip(8) commands in the order in which Apply works, for
// people to read (the routes themselves go in an order the kernel is fast at).
func (p Plan) Commands(s Settings) iter.Seq[string] {
	s = s.WithDefaults()
	route := func(verb string, pre netip.Prefix) string {
		f := familyOf(pre)
		return fmt.Sprintf("ip %s route %s %s", f, verb, s.blackhole(pre))
	}
	rule := func(verb string, f Family) string {
		return fmt.Sprintf("ip %s rule %s pref %d lookup %d protocol %d", f, verb, s.Pref, s.Table, s.Protocol)
	}
	return func(yield func(string) bool) {
		for _, f := range p.DelRules {
			if !yield(rule("del", f)) {
				return
			}
		}
		for _, a := range p.Add {
			if !yield(route("add", a)) {
				return
			}
		}
		for _, f := range p.AddRules {
			if !yield(rule("add", f)) {
				return
			}
		}
		for _, d := range p.Del {
			if !yield(route("del", d)) {
				return
			}
		}
	}
}

// blackhole returns our route for p. The kernel gives an IPv6 route without
// a metric 1024; naming it makes a delete hit nothing else.
func (s Settings) blackhole(p netip.Prefix) Route {
	r := Route{Prefix: p, Type: 6, Protocol: s.Protocol, Table: s.Table}
	if familyOf(p) == IPv6 {
		r.Metric = 1024
	}
	return r
}

// Kernel is what Commit works on. It is an interface so that the order of
// changes, and what happens when one fails or the host is cut off, is tested
// without a kernel; the real one is Netlink.
type Kernel interface {
	// Read returns what the kernel has now.
	Read(ctx context.Context) (State, error)
	// Apply makes the changes of p that the kernel allows: rules that go,
	// then additions, then rules that come, then deletions, so that a
	// re-aggregated list never opens a gap. An error means that it stopped in
	// the middle and only a new Read tells what is true.
	Apply(ctx context.Context, p Plan) (Result, error)
}

// ErrTakenBack is wrapped by the error of a Commit whose additions cut the
// host off from what confirm asks.
var ErrTakenBack = errors.New("additions taken back")

// Commit applies p, additions first. If it tried to add anything, confirm is
// asked whether the host still reaches what it must; when it answers with an
// error, this run's additions are taken back, nothing is deleted, and the
// error is ErrTakenBack wrapping the cause. A nil confirm asks nothing.
func Commit(ctx context.Context, k Kernel, p Plan, confirm func(context.Context) error) (Result, error) {
	add := Plan{Add: p.Add, AddRules: p.AddRules, DelRules: p.DelRules}
	r, err := k.Apply(ctx, add)
	// Half an Apply can cut a host off too, so an error does not end it here.
	if confirm != nil && len(p.Add)+len(p.AddRules) > 0 {
		if cause := confirm(ctx); cause != nil {
			// A signal must not leave a cut-off host behind.
			u, undo := k.Apply(context.WithoutCancel(ctx), add.Undo(r))
			if undo != nil {
				return r, fmt.Errorf("take back additions: %w, after: %w", undo, errors.Join(err, cause))
			}
			r = Result{Failed: append(r.Failed, u.Failed...)}
			return r, fmt.Errorf("%w: %w", ErrTakenBack, errors.Join(err, cause))
		}
	}
	if err != nil {
		return r, err
	}
	d, err := k.Apply(ctx, Plan{Del: p.Del})
	return Result{r.Added + d.Added, r.Deleted + d.Deleted, append(r.Failed, d.Failed...)}, err
}
