package commands

import (
	"fmt"
	"io"
	"iter"
	"net/netip"

	"github.com/urfave/cli/v2"

	"f2bc/aggregate"
)

// An exportFormat writes a list in the way one kind of device reads it.
//
// A comment has no time stamp, so that an unchanged list is an unchanged file. There always is one where the format has
// comments, because pfSense takes an empty file for a failed download.
type exportFormat struct {
	name, help string
	write      func(io.Writer, *exportList) error
	whole      bool // the file is more than its lines
	bans       bool // a line shows a ban, not a prefix of the aggregated list
}

var exportFormats = []exportFormat{
	{name: "plain", help: "pfSense, OPNsense, an ACL file of HAProxy, and whatever reads lines", write: exportLines((*aggregate.Set).WriteText, "", "\n")},
	{name: "nginx", help: "deny lines, to be included", write: exportLines((*aggregate.Set).WriteText, "deny ", ";\n")},
	{name: "haproxy-map", help: "a map in which each prefix is 1", write: exportLines((*aggregate.Set).WriteText, "", " 1\n")},
	{name: "apache", help: "Require not ip lines, to be included in <RequireAll>", write: exportLines(writeHalved, "Require not ip ", "\n")},
	{name: "ipset", help: "for ipset restore: replaces the sets f2bc4 and f2bc6 at once", write: writeIPSet, whole: true},
	{name: "nftables", help: "for nft -f: replaces the sets ipv4 and ipv6 of table inet f2bc-list at once", write: writeNftables, whole: true},
	{name: "json", help: "each ban with first and last report, expiry, sources, reasons; what must never be banned carved out", write: exportBans("json"), whole: true, bans: true},
	{name: "csv", help: "the same as CSV", write: exportBans("csv"), whole: true, bans: true},
}

// check refuses flags that make no sense with the format.
func (f *exportFormat) check(c *cli.Context) error {
	var flags []string
	if f.whole {
		flags = append(flags, "split")
	}
	if f.name != "plain" {
		flags = append(flags, "placeholder")
	}
	if f.bans {
		flags = append(flags, "from", "max-entries", "ipv6-prefix")
	}
	for _, flag := range flags {
		if c.IsSet(flag) {
			return usagef("--%s makes no sense with --format %s", flag, f.name)
		}
	}
	return nil
}

const headerBegin = "# f2bc: "

// header is the comment that a file begins with.
func (l *exportList) header() string {
	noun := "prefixes"
	if l.set.Len() == 1 {
		noun = "prefix"
	}
	return fmt.Sprintf(headerBegin+"%d %s%s\n", l.set.Len(), noun, l.note)
}

// exportLines has text write a line for each prefix, which is meaningful by itself.
func exportLines(text func(*aggregate.Set, io.Writer, string, string) error, head, tail string) func(io.Writer, *exportList) error {
	return func(w io.Writer, l *exportList) error {
		header, set := l.header(), l.set
		if l.o.placeholder.IsValid() && set.Len() == 0 {
			set = new(aggregate.Set)
			set.Add(l.o.placeholder)
		}
		if _, err := io.WriteString(w, header); err != nil {
			return err
		}
		return text(set, w, head, tail)
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

// An exportFamily is the IPv4 or the IPv6 part of a list.
type exportFamily struct {
	set              *aggregate.Set
	ipset, inet, nft string // names of things that each family has one of
}

// families are the parts that the options ask for. The other one's set is left as it is, so that each family can have a
// file of its own.
func (l *exportList) families() (list []exportFamily) {
	if !l.o.ipv6 {
		list = append(list, exportFamily{l.set.IPv4(), "f2bc4", "inet", "ipv4"})
	}
	if !l.o.ipv4 {
		list = append(list, exportFamily{l.set.IPv6(), "f2bc6", "inet6", "ipv6"})
	}
	return list
}

// writeIPSet fills a new set and swaps it with the one that rules refer to. A set left over from a load that was
// interrupted is used again.
func writeIPSet(w io.Writer, l *exportList) error {
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
func writeNftables(w io.Writer, l *exportList) error {
	if _, err := io.WriteString(w, l.header()+"add table inet f2bc-list\n"); err != nil {
		return err
	}
	for _, f := range l.families() {
		_, err := fmt.Fprintf(w, "add set inet f2bc-list %[1]s { type %[1]s_addr; flags interval; }\nflush set inet f2bc-list %[1]s\n", f.nft)
		if err != nil || f.set.Len() == 0 {
			if err != nil {
				return err
			}
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

func exportBans(layout string) func(io.Writer, *exportList) error {
	return func(w io.Writer, l *exportList) error {
		return render(w, layout, []string{"prefix", "expires", "first", "last", "sources", "reasons"}, l.rows())
	}
}

// rows are the bans as far as they are enforced: a ban around an allow has a row for each prefix that is left of it.
func (l *exportList) rows() iter.Seq[row] {
	return func(yield func(row) bool) {
		for _, b := range l.bans {
			for _, p := range l.enforced(b.Prefix) {
				if !yield(row{p, b.Expires, b.First, b.Last, b.Sources, b.Reasons}) {
					return
				}
			}
		}
	}
}

// enforced returns what of ban is in the list.
func (l *exportList) enforced(ban netip.Prefix) []netip.Prefix {
	switch {
	case !l.set.Overlaps(ban):
		return nil
	case l.set.Contains(ban):
		return []netip.Prefix{ban}
	}
	var out, in aggregate.Set
	out.Add(ban)
	out.Remove(l.set)
	in.Add(ban)
	in.Remove(&out)
	return in.Prefixes()
}
