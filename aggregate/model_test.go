package aggregate

import (
	"math/rand/v2"
	"net/netip"
	"slices"
)

// units is the size of the model's world, in units.
const units = 256

// world lays the model over a part of the address space: unit u is the block
// of 1<<scale addresses at base + u<<scale. The worlds below put both ends of
// both families, the middle of an IPv6 address and whole families into it.
type world struct {
	name  string
	base  netip.Addr
	scale int // free bits of a unit
}

var worlds = []world{
	{"first IPv4", netip.MustParseAddr("0.0.0.0"), 0},
	{"last IPv4", netip.MustParseAddr("255.255.255.0"), 0},
	{"IPv4 across a half", netip.MustParseAddr("127.255.255.128"), 0},
	{"IPv4 /20s", netip.MustParseAddr("10.16.0.0"), 12},
	{"all IPv4", netip.MustParseAddr("0.0.0.0"), 24},
	{"first IPv6", netip.MustParseAddr("::"), 0},
	{"last IPv6", netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00"), 0},
	{"IPv6 across the words", netip.MustParseAddr("2001:db8::ffff:ffff:ffff:ff80"), 0},
	{"IPv6 /64s", netip.MustParseAddr("2001:db8:0:ff00::"), 64},
	{"IPv6 /62s across the words", netip.MustParseAddr("2001:db8:1::"), 60},
	{"all IPv6", netip.MustParseAddr("::"), 120},
}

// bitset is the naive model of a set: one bool a unit.
type bitset [units]bool

// addr is the first address of unit u, computed apart from u128.
func (w world) addr(u int) netip.Addr {
	b := w.base.As16()
	// Add u<<scale byte by byte from the end.
	carry := u << (w.scale % 8)
	for i := 15 - w.scale/8; i >= 0 && carry > 0; i-- {
		carry += int(b[i])
		b[i] = byte(carry)
		carry >>= 8
	}
	a := netip.AddrFrom16(b)
	if w.base.Is4() {
		return a.Unmap()
	}
	return a
}

// prefix is the block of 1<<log units at u, which is a multiple of that.
func (w world) prefix(u, log int) netip.Prefix {
	a := w.addr(u)
	return netip.PrefixFrom(a, a.BitLen()-w.scale-log)
}

// random is a random block: its first unit and the logarithm of its size.
// Small ones are more likely. Worlds that begin in the middle of a block allow
// none larger than half a world.
func (w world) random(r *rand.Rand) (u, log int) {
	largest := 8
	if w.prefix(0, 8) != w.prefix(0, 8).Masked() {
		largest = 7
	}
	log = min(r.IntN(largest+1), r.IntN(largest+1), r.IntN(largest+1))
	if r.IntN(40) == 0 {
		log = largest
	}
	return r.IntN(units>>log) << log, log
}

func (b *bitset) fill(u, log int, to bool) {
	for i := range 1 << log {
		b[u+i] = to
	}
}

func (b *bitset) all(u, log int) bool {
	return !slices.Contains(b[u:u+1<<log], false)
}

func (b *bitset) any(u, log int) bool {
	return slices.Contains(b[u:u+1<<log], true)
}

// minimal is the fewest prefixes for the units of b, found by halving.
func (b *bitset) minimal(w world) []netip.Prefix {
	var list []netip.Prefix
	var halve func(u, log int)
	halve = func(u, log int) {
		p := w.prefix(u, log)
		switch {
		case !b.any(u, log):
		case b.all(u, log) && p == p.Masked():
			list = append(list, p)
		default:
			halve(u, log-1)
			halve(u+1<<(log-1), log-1)
		}
	}
	halve(0, 8)
	return list
}

// operation adds or removes a block.
type operation struct {
	remove bool
	u, log int
}

// decode makes operations from bytes, two each, for fuzzing.
func (w world) decode(data []byte) (list []operation) {
	for ; len(data) >= 2; data = data[2:] {
		log := int(data[0]) % 8
		list = append(list, operation{data[0] >= 128, int(data[1]) >> log << log, log})
	}
	return list
}
