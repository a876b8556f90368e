package commands

import (
	"maps"
	"net/netip"
	"slices"

	"f2bc/aggregate"
	"f2bc/routes"
)

// maxNamed bounds how many skipped bans are named in one run.
const maxNamed = 20

// desire collects the bans. Everything is added first and then removed (carve), so that an allow inside a banned prefix
// comes out exactly and the rest stays.
type desire struct {
	guard        []routes.Entry
	networks     []netip.Prefix // the connected ones in guard
	ipv6Prefix   int            // what IPv6 hosts are widened to, 0 for nothing
	want, forced aggregate.Set
	tooWide      map[netip.Prefix]int  // skipped, with the length they exceed
	wide         map[netip.Prefix]bool // taken only because they are forced
}

func newDesire(guard []routes.Entry) *desire {
	d := &desire{guard: guard, tooWide: map[netip.Prefix]int{}, wide: map[netip.Prefix]bool{}}
	for _, entry := range guard {
		if entry.Network {
			d.networks = append(d.networks, entry.Prefix)
		}
	}
	return d
}

// carve returns what is to be enforced of the collected bans, and names those that are not.
func (p *process) carve(d *desire, never *neverBan) *aggregate.Set {
	p.nameSkipped(d)
	if !never.private {
		p.removeSpecial(&d.want)
	}
	d.want.AddSet(&d.forced)
	for _, entry := range d.guard {
		if entry.Network {
			continue
		}
		if d.want.Overlaps(entry.Prefix) {
			p.out.say("%s is banned, but stays reachable: %s", bare(entry.Prefix), entry.Why)
		}
		never.set.Add(entry.Prefix)
	}
	d.want.Remove(&never.set)
	return &d.want
}

func (d *desire) add(ban netip.Prefix, forced bool) {
	if limit := tooWide(ban, forced); limit > 0 {
		d.tooWide[ban] = limit
		return
	}
	set := &d.want
	if forced {
		set = &d.forced
		if tooWide(ban, false) > 0 {
			d.wide[ban] = true
		}
	}
	if d.ipv6Prefix > 0 && !ban.Overlaps(nat64) {
		ban = routes.Widen(ban, d.ipv6Prefix, d.guard)
	}
	// A connected network comes out of each wider ban by itself: an address in it may still be banned by another.
	var networks []netip.Prefix
	for _, network := range d.networks {
		if ban.Bits() < network.Bits() && ban.Overlaps(network) {
			networks = append(networks, network)
		}
	}
	if networks == nil {
		set.Add(ban)
		return
	}
	var rest aggregate.Set
	rest.Add(ban)
	for _, network := range networks {
		rest.RemovePrefix(network)
	}
	set.AddSet(&rest)
}

// nameSkipped names the bans that are too wide, but not those that another report forces.
func (p *process) nameSkipped(d *desire) {
	named := 0
	for _, ban := range slices.SortedFunc(maps.Keys(d.tooWide), netip.Prefix.Compare) {
		if d.wide[ban] {
			continue
		}
		if named++; named > maxNamed {
			continue
		}
		switch limit := d.tooWide[ban]; limit {
		case widest4, widest6:
			p.out.say("ban of %s is skipped: wider than /%d, which is never banned", ban, limit)
		default:
			p.out.say("ban of %s is skipped: wider than /%d and not forced", ban, limit)
		}
	}
	if named > maxNamed {
		p.out.say("%d more bans are skipped: too wide", named-maxNamed)
	}
}

func (p *process) removeSpecial(want *aggregate.Set) {
	if !slices.ContainsFunc(special, func(r specialRange) bool { return want.Overlaps(r.prefix) }) {
		return
	}
	want.Remove(specialSet()) // at once: each removal copies the list
	p.out.say("bans of addresses that are not globally routable are left out; on a LAN set allow_private = true")
}

func specialSet() *aggregate.Set {
	var set aggregate.Set
	for _, r := range special {
		set.Add(r.prefix)
	}
	return &set
}
