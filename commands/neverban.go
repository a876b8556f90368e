package commands

import (
	"context"
	"net/netip"
	"slices"

	"f2bc/aggregate"
	"f2bc/store"
)

// The never-ban rules, asked where a ban is made (refuse) and again where it is enforced (desired), since the
// database may have been written by someone else:
//
//	wider than /8, /19 (IPv6)      never
//	wider than /24, /48 (IPv6)     only if forced; so is /120 where IPv6 holds IPv4
//	inside an allow or a host      never; an allow inside a ban is carved out when it is enforced
//	not globally routable          only if forced, or with allow_private
const (
	widest4, widest6     = 8, 19
	unforced4, unforced6 = 24, 48
)

type specialRange struct {
	prefix netip.Prefix
	name   string
}

// special are the ranges that are not globally routable, after IANA's registries of special-purpose addresses. The
// documentation ranges are left out: they may be banned, since they are what examples use.
var special = []specialRange{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved and broadcast"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/64"), "IPv4-compatible and IPv4-mapped"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local translation"},
	{netip.MustParsePrefix("100::/64"), "discard-only"},
	{netip.MustParsePrefix("2001:2::/48"), "benchmarking"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// tooWide returns the length that p exceeds and so may not be banned, 0 if it exceeds none.
func tooWide(p netip.Prefix, forced bool) (limit int) {
	widest, unforced := widest4, unforced4
	if p.Addr().Is6() {
		widest, unforced = widest6, unforced6
	}
	switch {
	case p.Bits() < widest:
		return widest
	case p.Bits() < unforced && !forced:
		return unforced
	case p.Overlaps(nat64) && p.Bits() < unforcedNAT64 && !forced:
		return unforcedNAT64
	}
	return 0
}

// nat64 is where all of IPv4 is for a host that has IPv6 only (RFC 6052): a /96 would cut it off, a /120 is a /24.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

const unforcedNAT64 = 96 + unforced4

// notRoutable says why p is not globally routable, or returns nil.
func notRoutable(p netip.Prefix) error {
	for _, s := range special {
		if s.prefix.Bits() <= p.Bits() && s.prefix.Contains(p.Addr()) {
			return refusedf("%s is not globally routable (%s, %s); on a LAN add --force, or set allow_private = true", bare(p), s.name, s.prefix)
		}
	}
	return nil
}

// neverBan is what must never be banned, apart from the general rules.
type neverBan struct {
	private bool // allow_private
	why     map[netip.Prefix]string
	lengths []int // of the prefixes in why, each once
	set     aggregate.Set
}

// neverBan asks the configuration and the store, if it is not nil, what must never be banned.
func (p *process) neverBan(ctx context.Context, cfg *config, st *store.Store) (*neverBan, error) {
	if st == nil {
		return p.neverBanOf(ctx, cfg, nil)
	}
	protected, err := st.NeverBan(ctx)
	if err != nil {
		return nil, err
	}
	return p.neverBanOf(ctx, cfg, protected)
}

// neverBanOf is the configuration's never-ban list together with what the store has said of its own.
func (p *process) neverBanOf(ctx context.Context, cfg *config, protected []store.Protected) (*neverBan, error) {
	entries, err := localAllows(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, e := range protected {
		entry, err := parseAllow(e.Entry)
		if err != nil {
			// Another host's or a newer version's entry must not stop this host.
			p.out.say("never-ban entry %q of the store is ignored: %v", e.Entry, err)
			continue
		}
		entry.why = e.Why
		entries = append(entries, entry)
	}
	never := &neverBan{private: cfg.AllowPrivate, why: map[netip.Prefix]string{}}
	names := p.resolve(ctx, cfg, entries)
	for _, entry := range entries {
		if entry.host == "" {
			never.add(entry.prefix, entry.why)
		}
		for _, addr := range names[entry.host] {
			never.add(netip.PrefixFrom(addr, addr.BitLen()), entry.why+", host name "+entry.host)
		}
	}
	return never, nil
}

func (n *neverBan) add(p netip.Prefix, why string) {
	if _, there := n.why[p]; there {
		return
	}
	n.why[p] = why
	n.set.Add(p)
	if !slices.Contains(n.lengths, p.Bits()) {
		n.lengths = append(n.lengths, p.Bits())
	}
}

// refuse says why p may not be banned, or returns nil.
func (n *neverBan) refuse(p netip.Prefix, forced bool) error {
	for _, bits := range n.lengths {
		if bits > p.Bits() {
			continue
		}
		around, err := p.Addr().Prefix(bits)
		if err != nil {
			continue // a length of the other family
		}
		if why, ok := n.why[around]; ok {
			return refusedf("%s must never be banned: %s %s", bare(p), bare(around), why)
		}
	}
	switch limit := tooWide(p, forced); limit {
	case 0:
	case widest4, widest6:
		return refusedf("%s is wider than /%d, which is never banned", p, limit)
	default:
		return refusedf("%s is wider than /%d; add --force if you mean it", p, limit)
	}
	if n.private || forced {
		return nil
	}
	return notRoutable(p)
}

// needsForce reports whether p is banned only by force. Others are not marked as forced: an account of one host may
// not write that mark.
func needsForce(p netip.Prefix) bool { return tooWide(p, false) > 0 || notRoutable(p) != nil }
