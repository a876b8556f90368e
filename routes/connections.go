package routes

import (
	"net/netip"
	"slices"
)

// A Connection is an established TCP connection of this host itself, not of a
// container behind it.
type Connection struct {
	Local, Remote netip.AddrPort
	Inbound       bool // something here listens on the local port
}

// Cut returns those of conns that blackholes would cut. bans are sorted as
// Compare sorts, and none overlaps another.
func Cut(conns []Connection, bans []netip.Prefix) []Connection {
	var cut []Connection
	for _, c := range conns {
		a := c.Remote.Addr()
		i, found := slices.BinarySearchFunc(bans, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
		if found || i > 0 && bans[i-1].Contains(a) {
			cut = append(cut, c)
		}
	}
	return cut
}
