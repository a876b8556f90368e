package neverban

import (
	"errors"
	"fmt"
	"net/netip"

	"f2bc/aggregate"
)

// The rules. They are asked where a ban is made (List.Refuse) and again where it is enforced (Bans), since the database
// may have been written by someone else:
//
//	wider than /8, /19 (IPv6)      never
//	wider than /24, /48 (IPv6)     only if forced; so is /120 where IPv6 holds IPv4
//	inside an allow or a host      never; an allow inside a ban is carved out when it is enforced
//	not globally routable          only if forced, or with allow_private
const (
	widest4              = 8
	unforced4, unforced6 = 24, 48

	// Widest6 is the length of the widest IPv6 prefix that is ever banned.
	Widest6 = 19
)

// A Rule is why something may not be banned.
type Rule int

const (
	Listed     Rule = iota // inside an entry of the list
	TooWide                // wider than anything that is ever banned
	Unforced               // so wide that it must be forced
	Unroutable             // not globally routable
)

// ErrRefused is what every Refused is.
var ErrRefused = errors.New("refused")

// Refused says that a prefix may not be banned.
type Refused struct {
	Prefix netip.Prefix
	Rule   Rule
	By     Entry // the entry or the special range around Prefix, or the widest around its address that the rule permits
}

func (r *Refused) Is(target error) bool { return target == ErrRefused }

func (r *Refused) Error() string {
	by := r.By.Prefix
	switch r.Rule {
	case Listed:
		return fmt.Sprintf("%s must never be banned: %s %s", aggregate.Text(r.Prefix), aggregate.Text(by), r.By.Why)
	case TooWide:
		return fmt.Sprintf("%s is wider than /%d, which is never banned", r.Prefix, by.Bits())
	case Unforced:
		return fmt.Sprintf("%s is wider than /%d; add --force if you mean it", r.Prefix, by.Bits())
	}
	return fmt.Sprintf("%s is not globally routable (%s, %s); on a LAN add --force, or set allow_private = true",
		aggregate.Text(r.Prefix), r.By.Why, by)
}

// special are the ranges that are not globally routable, after IANA's registries of special-purpose addresses. The
// documentation ranges are left out: they may be banned, since they are what examples use.
var special = []Entry{
	{Prefix: netip.MustParsePrefix("0.0.0.0/8"), Why: "this network"},
	{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Why: "private"},
	{Prefix: netip.MustParsePrefix("100.64.0.0/10"), Why: "carrier-grade NAT"},
	{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Why: "loopback"},
	{Prefix: netip.MustParsePrefix("169.254.0.0/16"), Why: "link-local"},
	{Prefix: netip.MustParsePrefix("172.16.0.0/12"), Why: "private"},
	{Prefix: netip.MustParsePrefix("192.0.0.0/24"), Why: "protocol assignments"},
	{Prefix: netip.MustParsePrefix("192.168.0.0/16"), Why: "private"},
	{Prefix: netip.MustParsePrefix("198.18.0.0/15"), Why: "benchmarking"},
	{Prefix: netip.MustParsePrefix("224.0.0.0/4"), Why: "multicast"},
	{Prefix: netip.MustParsePrefix("240.0.0.0/4"), Why: "reserved and broadcast"},
	{Prefix: netip.MustParsePrefix("::/128"), Why: "unspecified"},
	{Prefix: netip.MustParsePrefix("::1/128"), Why: "loopback"},
	{Prefix: netip.MustParsePrefix("::/64"), Why: "IPv4-compatible and IPv4-mapped"},
	{Prefix: netip.MustParsePrefix("64:ff9b:1::/48"), Why: "local translation"},
	{Prefix: netip.MustParsePrefix("100::/64"), Why: "discard-only"},
	{Prefix: netip.MustParsePrefix("2001:2::/48"), Why: "benchmarking"},
	{Prefix: netip.MustParsePrefix("5f00::/16"), Why: "segment routing"},
	{Prefix: netip.MustParsePrefix("fc00::/7"), Why: "private"},
	{Prefix: netip.MustParsePrefix("fe80::/10"), Why: "link-local"},
	{Prefix: netip.MustParsePrefix("fec0::/10"), Why: "site-local"},
	{Prefix: netip.MustParsePrefix("ff00::/8"), Why: "multicast"},
}

// nat64 is where all of IPv4 is for a host that has IPv6 only (RFC 6052): a /96 would cut it off, a /120 is a /24.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

const unforcedNAT64 = 96 + unforced4

// IsNAT64 reports whether p holds IPv4 addresses, or a part of them, in IPv6 form.
func IsNAT64(p netip.Prefix) bool { return p.Overlaps(nat64) }

// wide refuses a prefix for its width, or returns nil.
func wide(p netip.Prefix, forced bool) *Refused {
	widest, unforced := widest4, unforced4
	if p.Addr().Is6() {
		widest, unforced = Widest6, unforced6
	}
	rule, limit := Unforced, 0
	switch {
	case p.Bits() < widest:
		rule, limit = TooWide, widest
	case forced:
	case p.Bits() < unforced:
		limit = unforced
	case IsNAT64(p) && p.Bits() < unforcedNAT64:
		limit = unforcedNAT64
	}
	if limit == 0 {
		return nil
	}
	return &Refused{p, rule, Entry{Prefix: netip.PrefixFrom(p.Addr(), limit)}}
}

// Special refuses a prefix that is not globally routable, or returns nil.
func Special(p netip.Prefix) *Refused {
	for _, s := range special {
		if s.Prefix.Bits() <= p.Bits() && s.Prefix.Contains(p.Addr()) {
			return &Refused{p, Unroutable, s}
		}
	}
	return nil
}

// NeedsForce reports whether p is banned only by force. Others are not marked as forced: an account of one host may
// not write that mark.
func NeedsForce(p netip.Prefix) bool { return wide(p, false) != nil || Special(p) != nil }
