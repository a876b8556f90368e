package routes

import "net/netip"

// An Entry is something that must stay reachable from this host.
type Entry struct {
	Prefix netip.Prefix
	Why    string // for people: "next hop on eth0", "resolver in /etc/resolv.conf"

	// Network marks a connected network. It is carved only out of a ban that
	// is wider than itself: such a ban would cut off all neighbours by the
	// way, while a single neighbour may well be banned.
	Network bool
}

// Shields says whether e.Prefix must be carved out of ban. It is meant for
// bans as reported: merged ones may be wider than any report.
func (e Entry) Shields(ban netip.Prefix) bool {
	return ban.Overlaps(e.Prefix) && (!e.Network || ban.Bits() < e.Prefix.Bits())
}

// Widen returns an IPv6 ban widened to bits, 0 to 128. It stays as it is where
// it is wider already, and where the wider one would take in a connected
// network: then one neighbour is banned, not all of them.
func Widen(ban netip.Prefix, bits int, guard []Entry) netip.Prefix {
	if ban.Addr().Is4() || ban.Bits() <= bits {
		return ban
	}
	wide := netip.PrefixFrom(ban.Addr(), bits).Masked()
	for _, e := range guard {
		if e.Network && bits <= e.Prefix.Bits() && wide.Overlaps(e.Prefix) {
			return ban
		}
	}
	return wide
}

// Guard collects the entries of this host. The zero value reads the files
// where Linux keeps them. A file that does not exist says nothing, one that
// cannot be read is an error.
type Guard struct {
	Resolvers []string // resolv.conf files; default: the system's, and the real ones behind a local stub
	Sessions  string   // logind's directory of sessions; default /run/systemd/sessions
	Utmp      string   // default /run/utmp
	Settings  Settings // whose table is ours, and holds no next hops
}
