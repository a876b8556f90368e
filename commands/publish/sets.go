package publish

import (
	"fmt"
	"io"

	"f2bc/aggregate"
)

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
