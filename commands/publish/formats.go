package publish

import (
	"fmt"
	"io"
	"net/netip"

	"f2bc/aggregate"
)

// A Format writes a list in the way one kind of device reads it.
//
// A comment has no time stamp, so that an unchanged list is an unchanged file. There always is one where the format has
// comments, because pfSense takes an empty file for a failed download.
type Format struct {
	Name, Help string
	Whole      bool // the file is more than its lines, so it cannot be split
	Write      func(io.Writer, *List) error
}

// Formats are those that show the prefixes of a list.
var Formats = []Format{
	{Name: "plain", Write: writeLines((*aggregate.Set).WriteText, "", "\n"),
		Help: "pfSense, OPNsense, an ACL file of HAProxy, and whatever reads lines"},
	{Name: "nginx", Write: writeLines((*aggregate.Set).WriteText, "deny ", ";\n"),
		Help: "deny lines, to be included"},
	{Name: "haproxy-map", Write: writeLines((*aggregate.Set).WriteText, "", " 1\n"),
		Help: "a map in which each prefix is 1"},
	{Name: "apache", Write: writeLines(writeHalved, "Require not ip ", "\n"),
		Help: "Require not ip lines, to be included in <RequireAll>"},
	{Name: "ipset", Write: writeIPSet, Whole: true,
		Help: "for ipset restore: replaces the sets f2bc4 and f2bc6 at once"},
	{Name: "nftables", Write: writeNftables, Whole: true,
		Help: "for nft -f: replaces the sets ipv4 and ipv6 of table inet f2bc-list at once"},
}

// A lineWriter writes a line for each prefix of a set, with what stands before and after it.
type lineWriter func(set *aggregate.Set, w io.Writer, head, tail string) error

// writeLines is for a format whose lines are meaningful by themselves.
func writeLines(lines lineWriter, head, tail string) func(io.Writer, *List) error {
	return func(w io.Writer, l *List) error {
		header, set := l.header(), l.Set
		if l.Placeholder.IsValid() && set.Len() == 0 {
			set = new(aggregate.Set)
			set.Add(l.Placeholder)
		}
		if _, err := io.WriteString(w, header); err != nil {
			return err
		}
		return lines(set, w, head, tail)
	}
}

// writeHalved is WriteText for apache and ipset, which take no prefix of length 0: all addresses become two halves.
func writeHalved(set *aggregate.Set, w io.Writer, head, tail string) error {
	rest := set
	if set.Contains(netip.PrefixFrom(netip.IPv4Unspecified(), 0)) {
		if _, err := fmt.Fprint(w, head, "0.0.0.0/1", tail, head, "128.0.0.0/1", tail); err != nil {
			return err
		}
		rest = rest.IPv6()
	}
	if set.Contains(netip.PrefixFrom(netip.IPv6Unspecified(), 0)) {
		if _, err := fmt.Fprint(w, head, "::/1", tail, head, "8000::/1", tail); err != nil {
			return err
		}
		rest = rest.IPv4()
	}
	return rest.WriteText(w, head, tail)
}
