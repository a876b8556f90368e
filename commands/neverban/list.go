// Package neverban knows what must never be banned: the rules, and the list of this host and of the store.
//
//	configuration, files, store ──> Source ──> List ──┬──> Refuse: may this be banned?
//	             host names ──> Resolver ──┘          └──> Bans: what is to be enforced of all that is banned
package neverban

import (
	"maps"
	"net/netip"
	"slices"

	"f2bc/aggregate"
)

// Say takes a note for people.
type Say = func(format string, args ...any)

// List is what must never be banned, apart from the rules. The zero value is empty.
type List struct {
	Private bool // allow_private: what is not globally routable may be banned

	why     map[netip.Prefix]string
	lengths []int // of the prefixes in why, each once
	set     aggregate.Set
}

func (l *List) add(p netip.Prefix, why string) {
	if _, there := l.why[p]; there {
		return
	}
	if l.why == nil {
		l.why = map[netip.Prefix]string{}
	}
	l.why[p] = why
	l.set.Add(p)
	if !slices.Contains(l.lengths, p.Bits()) {
		l.lengths = append(l.lengths, p.Bits())
	}
}

// Refuse says why p may not be banned, as a Refused, or returns nil.
func (l *List) Refuse(p netip.Prefix, forced bool) error {
	for _, bits := range l.lengths {
		if bits > p.Bits() {
			continue
		}
		around, err := p.Addr().Prefix(bits)
		if err != nil {
			continue // a length of the other family
		}
		if why, ok := l.why[around]; ok {
			return &Refused{p, Listed, Entry{Prefix: around, Why: why}}
		}
	}
	if r := wide(p, forced); r != nil {
		return r
	}
	if l.Private || forced {
		return nil
	}
	if r := Special(p); r != nil {
		return r
	}
	return nil
}

// Overlaps reports whether p holds an address of the list.
func (l *List) Overlaps(p netip.Prefix) bool { return l.set.Overlaps(p) }

// Entries returns the list, sorted; host names stand as their addresses.
func (l *List) Entries() (entries []Entry) {
	for _, p := range slices.SortedFunc(maps.Keys(l.why), netip.Prefix.Compare) {
		entries = append(entries, Entry{Prefix: p, Why: l.why[p]})
	}
	return entries
}

// Set returns a copy of the addresses of the list.
func (l *List) Set() *aggregate.Set {
	set := new(aggregate.Set)
	set.AddSet(&l.set)
	return set
}

// Avoid returns what a list that has want must not be fitted over.
func (l *List) Avoid(want *aggregate.Set) *aggregate.Set {
	avoid := l.Set()
	if !l.Private {
		rest := specialSet()
		rest.Remove(want) // what is forced
		avoid.AddSet(rest)
	}
	return avoid
}

func specialSet() *aggregate.Set {
	set := new(aggregate.Set)
	for _, s := range special {
		set.Add(s.Prefix)
	}
	return set
}
