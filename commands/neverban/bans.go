package neverban

import (
	"maps"
	"net/netip"
	"slices"

	"f2bc/aggregate"
	"f2bc/commands/human"
)

// Bans collects what is banned. Everything is added first and then removed (Carve), so that an allow inside a banned
// prefix comes out exactly and the rest stays. The zero value is empty.
type Bans struct {
	Into func(set *aggregate.Set, ban netip.Prefix) // adds what a ban stands for; nil: the ban itself

	want, forced aggregate.Set
	skipped      map[netip.Prefix]*Refused
	wide         map[netip.Prefix]bool // taken only because they are forced
}

// Add adds a ban, which a report has forced or not.
func (b *Bans) Add(ban netip.Prefix, forced bool) {
	if r := wide(ban, forced); r != nil {
		if b.skipped == nil {
			b.skipped = map[netip.Prefix]*Refused{}
		}
		b.skipped[ban] = r
		return
	}
	set := &b.want
	if forced {
		set = &b.forced
		if wide(ban, false) != nil {
			if b.wide == nil {
				b.wide = map[netip.Prefix]bool{}
			}
			b.wide[ban] = true
		}
	}
	if b.Into != nil {
		b.Into(set, ban)
	} else {
		set.Add(ban)
	}
}

// Widen6 widens banned IPv6 hosts to their subnet of that length. What is forced stays: it is wide, or on a LAN, where a
// /64 has many owners. So does what holds IPv4 addresses.
func (b *Bans) Widen6(bits int) {
	var ipv4, all aggregate.Set
	ipv4.AddSet(&b.want)
	all.Add(nat64)
	ipv4.Keep(&all)
	b.want.Remove(&all)
	b.want.Widen6(bits)
	b.want.AddSet(&ipv4)
}

// Carve returns what is to be enforced of the bans: not what is too wide, not what is on the list, not what is kept, which
// stays reachable whoever bans it. It says what is left out, the list's entries excepted. It uses b up.
func (b *Bans) Carve(l *List, kept []Entry, say Say) *aggregate.Set {
	b.nameSkipped(say)
	want := &b.want
	if !l.Private && slices.ContainsFunc(special, func(s Entry) bool { return want.Overlaps(s.Prefix) }) {
		want.Remove(specialSet()) // at once: each removal copies the list
		say("bans of addresses that are not globally routable are left out; on a LAN set allow_private = true")
	}
	want.AddSet(&b.forced)
	never := l.Set()
	for _, entry := range kept {
		if want.Overlaps(entry.Prefix) {
			say("%s is banned, but stays reachable: %s", aggregate.Text(entry.Prefix), entry.Why)
		}
		never.Add(entry.Prefix)
	}
	want.Remove(never)
	return want
}

// nameSkipped names the bans that are too wide, but not those that another report forces.
func (b *Bans) nameSkipped(say Say) {
	named := 0
	for _, ban := range slices.SortedFunc(maps.Keys(b.skipped), netip.Prefix.Compare) {
		if b.wide[ban] {
			continue
		}
		if named++; named > human.MaxNamed {
			continue
		}
		if r := b.skipped[ban]; r.Rule == Unforced {
			say("ban of %s is skipped: wider than /%d and not forced", ban, r.By.Prefix.Bits())
		} else {
			say("ban of %s is skipped: wider than /%d, which is never banned", ban, r.By.Prefix.Bits())
		}
	}
	if named > human.MaxNamed {
		say("%d more bans are skipped: too wide", named-human.MaxNamed)
	}
}
