package commands

import (
	"net/netip"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/routes"
)

// maxNamed bounds how many of many are named in one run.
const maxNamed = 20

// installed returns how a ban becomes routes on a host with this guard: banned IPv6 hosts are widened to a subnet of
// that length, 0 for none, and connected networks come out of wider bans.
func installed(guard []routes.Entry, ipv6Prefix int) func(set *aggregate.Set, ban netip.Prefix) {
	var connected []netip.Prefix
	for _, entry := range guard {
		if entry.Network {
			connected = append(connected, entry.Prefix)
		}
	}
	return func(set *aggregate.Set, ban netip.Prefix) {
		if ipv6Prefix > 0 && !neverban.IsNAT64(ban) {
			ban = routes.Widen(ban, ipv6Prefix, guard)
		}
		// A connected network comes out of each wider ban by itself: an address in it may still be banned by another.
		var networks []netip.Prefix
		for _, network := range connected {
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
}

// kept returns what of the guard stays reachable whoever bans it: the connected networks are not among it.
func kept(guard []routes.Entry) (entries []neverban.Entry) {
	for _, entry := range guard {
		if !entry.Network {
			entries = append(entries, neverban.Entry{Prefix: entry.Prefix, Why: entry.Why})
		}
	}
	return entries
}
