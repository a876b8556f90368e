package aggregate

import "math/bits"

// u128 is an address of either family as a number; an IPv4 address has hi 0.
// Sums and differences wrap around.
type u128 struct{ hi, lo uint64 }

func (a u128) less(b u128) bool {
	return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo
}

func (a u128) add(b u128) u128 {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	return u128{a.hi + b.hi + carry, lo}
}

func (a u128) sub(b u128) u128 {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	return u128{a.hi - b.hi - borrow, lo}
}

func (a u128) next() u128 { return a.add(u128{0, 1}) }
func (a u128) prev() u128 { return a.sub(u128{0, 1}) }

func (a u128) or(b u128) u128     { return u128{a.hi | b.hi, a.lo | b.lo} }
func (a u128) xor(b u128) u128    { return u128{a.hi ^ b.hi, a.lo ^ b.lo} }
func (a u128) andNot(b u128) u128 { return u128{a.hi &^ b.hi, a.lo &^ b.lo} }

// len is the number of bits a needs, 0 to 128.
func (a u128) len() int {
	if a.hi != 0 {
		return 64 + bits.Len64(a.hi)
	}
	return bits.Len64(a.lo)
}

// trailingZeros is 128 for zero.
func (a u128) trailingZeros() int {
	if a.lo != 0 {
		return bits.TrailingZeros64(a.lo)
	}
	return 64 + bits.TrailingZeros64(a.hi)
}

// lowBits has the n lowest bits set, n from 0 to 128. A shift by 64 or more
// gives 0, which makes both halves come out right.
func lowBits(n int) u128 {
	return u128{1<<max(n-64, 0) - 1, 1<<n - 1}
}

// span is every address from first to last, both included, so that a whole
// family needs no address beyond its end.
type span struct{ first, last u128 }

// spanOf is the prefix that a is in, by the number of its free bits.
func spanOf(a u128, free int) span {
	return span{a.andNot(lowBits(free)), a.or(lowBits(free))}
}

func (a span) single() bool { return a.first == a.last }

// touches says whether b, which begins no earlier than a, overlaps a or
// follows it without a gap.
func (a span) touches(b span) bool {
	return !a.last.less(b.first) || a.last.next() == b.first
}

// blocks ranges over the fewest prefixes that make up a, in order: each by its
// first address and the number of its free bits (32 or 128 minus the length).
func (a span) blocks(yield func(first u128, free int) bool) {
	for {
		// The largest block that begins here: as aligned as the address is,
		// and not beyond last. The size is 0 for the whole of IPv6.
		free := a.first.trailingZeros()
		if size := a.last.sub(a.first).next(); size != (u128{}) {
			free = min(free, size.len()-1)
		}
		end := a.first.or(lowBits(free))
		if !yield(a.first, free) || end == a.last {
			return
		}
		a.first = end.next()
	}
}
