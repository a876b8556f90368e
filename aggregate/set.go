// Package aggregate is arithmetic on sets of addresses: prefixes in, the
// fewest equal prefixes out, allows carved out exactly, a list fitted to a
// device's limit, and text in and out at speed. It knows nothing of where
// prefixes come from.
//
//	Read, Add ──> Set ──> All, WriteText
//	               │ ^
//	               v │
//	  Remove (allows), Widen6, Fit (a budget)
//
//	 192.0.2.0 ─┐                             minus 192.0.2.2
//	 192.0.2.1 ─┼─> 192.0.2.0 … 192.0.2.3 ──> 192.0.2.0/31, 192.0.2.3
//	192.0.2.2/31┘   (written: 192.0.2.0/30)
package aggregate

import (
	"encoding/binary"
	"iter"
	"net/netip"
)

// Set is a set of IPv4 and IPv6 addresses. The zero value is empty and ready.
// Adding is an append; the first question after it sorts and merges once.
// Therefore not even two readers may use a Set at the same time. Methods that
// take a prefix panic if it is not valid: ignoring it would lose a ban or an
// allow.
type Set struct {
	v4, v6 family
}

// families are IPv4 and IPv6. The zero value of the second does not know yet
// which it is.
func (s *Set) families() [2]*family {
	s.v6.six = true
	return [2]*family{&s.v4, &s.v6}
}

// Add adds the addresses of p, masked and unmapped (::ffff:192.0.2.1/128 is
// 192.0.2.1/32).
func (s *Set) Add(p netip.Prefix) {
	if a := p.Addr(); a.Is4() && p.Bits() == 32 { // nearly all of a million bans
		b := a.As4()
		s.v4.hosts4 = append(s.v4.hosts4, binary.BigEndian.Uint32(b[:]))
		s.v4.dirty = true
		return
	}
	f, sp := s.locate(p)
	f.add(sp)
}

// AddSet adds every address of t.
func (s *Set) AddSet(t *Set) {
	if s == t {
		return
	}
	other := t.families()
	for i, f := range s.families() {
		f.absorb(other[i])
	}
}

// Remove takes every address of t out of s, exactly: what surrounds an
// address of t stays.
func (s *Set) Remove(t *Set) {
	other := t.families()
	for i, f := range s.families() {
		f.subtract(other[i])
	}
}

// RemovePrefix is Remove of the addresses of p.
func (s *Set) RemovePrefix(p netip.Prefix) {
	var t Set
	t.Add(p)
	s.Remove(&t)
}

// Keep takes every address out of s that is not in t.
func (s *Set) Keep(t *Set) {
	var others Set
	others.AddSet(s)
	others.Remove(t)
	s.Remove(&others)
}

// Contains reports whether every address of p is in the set.
func (s *Set) Contains(p netip.Prefix) bool {
	f, sp := s.locate(p)
	f.normalise()
	return f.contains(sp)
}

// Overlaps reports whether any address of p is in the set.
func (s *Set) Overlaps(p netip.Prefix) bool {
	f, sp := s.locate(p)
	f.normalise()
	return f.overlaps(sp)
}

// IPv4 returns a copy of the IPv4 part.
func (s *Set) IPv4() *Set { return &Set{v4: s.v4.clone()} }

// IPv6 returns a copy of the IPv6 part.
func (s *Set) IPv6() *Set { return &Set{v6: s.v6.clone()} }

// Widen6 adds to every IPv6 address the others of its /bits, 0 to 128: with 64
// a banned host becomes the subnet its owner can choose addresses from.
// Prefixes that are no longer than bits stay. Remove allows after it.
func (s *Set) Widen6(bits int) {
	if bits < 0 || bits > 128 {
		panic("aggregate: IPv6 prefix length out of range")
	}
	free := lowBits(128 - bits)
	in := s.families()[1]
	var out Set
	for sp := range in.spans {
		out.families()[1].add(span{sp.first.andNot(free), sp.last.or(free)})
	}
	*in = out.v6
}

// All yields the fewest prefixes that have exactly the addresses of the set,
// ascending, IPv4 before IPv6. The set must not change meanwhile. What was
// carved out of an IPv6 prefix that held ::ffff:0:0/96 is yielded as IPv6.
func (s *Set) All() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for _, f := range s.families() {
			f.normalise()
			for sp := range f.spans {
				for first, free := range sp.blocks {
					if !yield(toPrefix(f.six, first, free)) {
						return
					}
				}
			}
		}
	}
}

// Prefixes is All as a slice.
func (s *Set) Prefixes() []netip.Prefix {
	list := make([]netip.Prefix, 0, s.Len())
	for p := range s.All() {
		list = append(list, p)
	}
	return list
}

// Len is the number of prefixes All yields.
func (s *Set) Len() int {
	n := 0
	for _, f := range s.families() {
		f.normalise()
		n += f.hosts()
		for j := range f.ranges() {
			for range f.rang(j).blocks {
				n++
			}
		}
	}
	return n
}

func (s *Set) normalise() {
	for _, f := range s.families() {
		f.normalise()
	}
}

// locate gives the family of p and the span of its addresses.
func (s *Set) locate(p netip.Prefix) (*family, span) {
	if !p.IsValid() {
		panic("aggregate: invalid prefix")
	}
	a, bits := p.Addr(), p.Bits()
	if a.Is4In6() && bits >= 96 {
		a, bits = a.Unmap(), bits-96
	}
	if a.Is4() {
		b := a.As4()
		return s.families()[0], spanOf(u128{lo: uint64(binary.BigEndian.Uint32(b[:]))}, 32-bits)
	}
	b := a.As16()
	return s.families()[1], spanOf(u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}, 128-bits)
}

// toPrefix is the prefix of first with so many free bits.
func toPrefix(six bool, first u128, free int) netip.Prefix {
	if !six {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(first.lo))
		return netip.PrefixFrom(netip.AddrFrom4(b), 32-free)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], first.hi)
	binary.BigEndian.PutUint64(b[8:], first.lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), 128-free)
}
