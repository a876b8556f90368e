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

// A family is the IPv4 or the IPv6 part of a list.
type family struct {
	set              *aggregate.Set
	ipset, inet, nft string // names of things that each family has one of
}

// families are the parts that the list is to have. The other one's set is left as it is, so that each family can have a
// file of its own.
func (l *List) families() (list []family) {
	if !l.OnlyIPv6 {
		list = append(list, family{l.Set.IPv4(), "f2bc4", "inet", "ipv4"})
	}
	if !l.OnlyIPv4 {
		list = append(list, family{l.Set.IPv6(), "f2bc6", "inet6", "ipv6"})
	}
	return list
}

// writeIPSet fills a new set and swaps it with the one that rules refer to. A set left over from a load that was
// interrupted is used again.
func writeIPSet(w io.Writer, l *List) error {
	if _, err := io.WriteString(w, l.header()); err != nil {
		return err
	}
	for _, f := range l.families() {
		// Creating a set that exists succeeds only with the same parameters, so they must not depend on the list.
		create := fmt.Sprintf("create -exist %%s hash:net family %s maxelem 4294967295\n", f.inet)
		if _, err := fmt.Fprintf(w, create+create+"flush %[2]s\n", f.ipset, f.ipset+"-new"); err != nil {
			return err
		}
		if err := writeHalved(f.set, w, "add "+f.ipset+"-new ", "\n"); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "swap %[1]s %[1]s-new\ndestroy %[1]s-new\n", f.ipset); err != nil {
			return err
		}
	}
	return nil
}

// writeNftables is one transaction. Rules that refer to the sets stay.
func writeNftables(w io.Writer, l *List) error {
	if _, err := io.WriteString(w, l.header()+"add table inet f2bc-list\n"); err != nil {
		return err
	}
	for _, f := range l.families() {
		_, err := fmt.Fprintf(w, "add set inet f2bc-list %[1]s { type %[1]s_addr; flags interval; }\n"+
			"flush set inet f2bc-list %[1]s\n", f.nft)
		if err != nil {
			return err
		}
		if f.set.Len() == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "add element inet f2bc-list %s {\n", f.nft); err != nil {
			return err
		}
		if err := f.set.WriteText(w, "", ",\n"); err != nil {
			return err
		}
		if _, err := io.WriteString(w, "}\n"); err != nil {
			return err
		}
	}
	return nil
}
