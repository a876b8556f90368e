package neverban

import (
	"fmt"
	"net/netip"
	"strings"

	"f2bc/aggregate"
)

// An Entry is a prefix, or a host name that stands for its addresses.
type Entry struct {
	Prefix netip.Prefix // valid unless Host is set
	Host   string
	Why    string // where it comes from, for messages: "allow in /etc/f2bc/f2bc.toml"
}

// String is the entry in the form in which the store keeps it.
func (e Entry) String() string {
	if e.Host != "" {
		return e.Host
	}
	return aggregate.Text(e.Prefix)
}

// ParseEntry reads an address, a CIDR or a host name.
func ParseEntry(text string) (Entry, error) {
	text = strings.TrimSpace(text)
	if prefix, err := aggregate.ParsePrefix(text); err == nil {
		return Entry{Prefix: prefix}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if !isHostName(name) {
		return Entry{}, fmt.Errorf("parse %q: not an address, CIDR or host name", text)
	}
	return Entry{Host: name}, nil
}

// ParseEntries reads entries that stand as allow in some place, for messages.
func ParseEntries(texts []string, place string) (entries []Entry, err error) {
	for _, text := range texts {
		entry, err := ParseEntry(text)
		if err != nil {
			return nil, err
		}
		entry.Why = "allow in " + place
		entries = append(entries, entry)
	}
	return entries, nil
}

// isHostName accepts what can be a name in the DNS or /etc/hosts. The last label must not be all digits, so that a
// mistyped address is no host name.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
