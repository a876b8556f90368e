package commands

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"f2bc/aggregate"
	"f2bc/commands/human"
	"f2bc/store"
)

// What unban says of the list, before a lift is written and after it.

// count returns how many bans a lift of one source or reason is about, in one look through the list.
func (u *unbanner) count(ctx context.Context, inputs []input) (int, error) {
	if u.o.source == "" && u.o.reason == "" {
		return 0, nil
	}
	lifted, lengths, found := map[netip.Prefix]bool{}, map[int]bool{}, map[netip.Prefix]bool{}
	for _, in := range inputs {
		lifted[in.Prefix], lengths[in.Bits()] = true, true
	}
	err := u.st.Bans(ctx, store.Filter{Source: u.o.source, Reason: u.o.reason}, func(p netip.Prefix, _ bool) {
		for bits := range lengths {
			wider, err := p.Addr().Prefix(bits)
			found[p] = found[p] || err == nil && bits <= p.Bits() && lifted[wider]
		}
	})
	maps.DeleteFunc(found, func(_ netip.Prefix, inside bool) bool { return !inside })
	return len(found), err
}

// nameUnbanned names the prefixes without anything to lift: probably mistyped. They are lifted all the same, which
// stops reports that are still on their way.
func (u *unbanner) nameUnbanned(ctx context.Context, inputs []input) error {
	if len(inputs) > manyPrefixes {
		return nil
	}
	now, err := u.st.Now(ctx)
	if err != nil {
		return err
	}
	for _, in := range inputs {
		reports, _, err := u.st.About(ctx, in.Prefix)
		if err != nil {
			return err
		}
		banned := slices.ContainsFunc(reports, func(r store.Report) bool { return r.Active(now) && u.selected(in.Prefix, r) })
		if !banned {
			u.p.out.say("%s%s was not banned%s", in.place(), aggregate.Text(in.Prefix), u.scope())
		}
	}
	return nil
}

// readBack names what still bans the prefixes that were lifted.
func (u *unbanner) readBack(ctx context.Context) error {
	left := u.lifted
	if len(left) > manyPrefixes {
		var banned aggregate.Set
		if err := u.st.Bans(ctx, store.Filter{}, func(p netip.Prefix, _ bool) { banned.Add(p) }); err != nil {
			return err
		}
		left = slices.DeleteFunc(slices.Clone(left), func(p netip.Prefix) bool { return !banned.Overlaps(p) })
	}
	now, err := u.st.Now(ctx)
	if err != nil {
		return err
	}
	for _, prefix := range left {
		reports, _, err := u.st.About(ctx, prefix)
		if err != nil {
			return err
		}
		for _, r := range reports {
			if r.Active(now) {
				u.nameBanned(prefix, r)
			}
		}
	}
	if more := u.others - human.MaxNamed; more > 0 {
		u.p.out.say("%s, which were not to be lifted", human.Count(more, "more ban stays", "more bans stay"))
	}
	return nil
}

func (u *unbanner) nameBanned(prefix netip.Prefix, r store.Report) {
	by := fmt.Sprintf("%s (%s)", r.Source, r.Reason)
	switch {
	case u.selected(prefix, r):
		u.left++
		u.p.out.say("%s is still banned by %s, whose report is dated %s", aggregate.Text(r.Prefix), by, timeText(r.At))
	case u.o.own: // fail2ban lifts its own; the reports of others are not its business
	case r.Prefix.Bits() < prefix.Bits():
		u.p.out.say("%s is still covered by the ban of %s by %s; to lift that too: f2bc unban %s", aggregate.Text(prefix), r.Prefix, by, r.Prefix)
	default:
		if u.others++; u.others <= human.MaxNamed {
			u.p.out.say("%s is still banned by %s, which was not to be lifted", aggregate.Text(r.Prefix), by)
		}
	}
}
