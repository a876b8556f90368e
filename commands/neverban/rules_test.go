package neverban

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"f2bc/aggregate"
)

// A refusal says what is wrong and what to do, as text and for programs.
func TestRefused(t *testing.T) {
	var never List
	never.add(netip.MustParsePrefix("203.0.113.0/28"), "the office")
	for _, c := range []struct {
		prefix string
		rule   Rule
		text   string
	}{
		{"203.0.113.4", Listed, "203.0.113.4 must never be banned: 203.0.113.0/28 the office"},
		{"198.0.0.0/7", TooWide, "198.0.0.0/7 is wider than /8, which is never banned"},
		{"2000::/18", TooWide, "2000::/18 is wider than /19, which is never banned"},
		{"198.51.0.0/23", Unforced, "198.51.0.0/23 is wider than /24; add --force if you mean it"},
		{"2001:db8::/47", Unforced, "2001:db8::/47 is wider than /48; add --force if you mean it"},
		{"64:ff9b::c633:6400/119", Unforced, "64:ff9b::c633:6400/119 is wider than /120; add --force if you mean it"},
		{"10.0.0.1", Unroutable, "10.0.0.1 is not globally routable (private, 10.0.0.0/8); " +
			"on a LAN add --force, or set allow_private = true"},
	} {
		prefix, err := aggregate.ParsePrefix(c.prefix)
		if err != nil {
			t.Fatal(err)
		}
		err = never.Refuse(prefix, false)
		var refused *Refused
		if !errors.As(err, &refused) || refused.Rule != c.rule || refused.Prefix != prefix || err.Error() != c.text {
			t.Errorf("%s: %v, want %q", c.prefix, err, c.text)
		}
	}
	never.Private = true
	if err := never.Refuse(netip.MustParsePrefix("10.0.0.1/32"), false); err != nil {
		t.Error(err)
	}
}

// Only what is wide or not globally routable needs force.
func TestNeedsForce(t *testing.T) {
	for text, want := range map[string]bool{
		"198.51.0.0/23": true, "10.0.0.1/32": true, "198.51.100.0/24": false, "2001:db8::/47": true, "2001:db8::/48": false,
	} {
		if got := NeedsForce(netip.MustParsePrefix(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// Of many bans that are too wide 20 are named and the others counted.
func TestManySkipped(t *testing.T) {
	for n, more := range map[int]string{
		20: "", 21: "1 more bans are skipped: too wide", 23: "3 more bans are skipped: too wide",
	} {
		var bans Bans
		for i := range n {
			bans.Add(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(2 * i), 0}), 23), false)
		}
		var said []string
		bans.Carve(&List{}, nil, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
		named := 0
		for _, note := range said {
			if strings.HasSuffix(note, "wider than /24 and not forced") {
				named++
			}
		}
		if last := said[len(said)-1]; named != 20 || (more != "") != (last == more) || len(said) != named+min(len(more), 1) {
			t.Errorf("%d skipped: %d named of %q", n, named, said)
		}
	}
}

// Banned IPv6 hosts are widened, but not what is forced, nor what holds IPv4 addresses.
func TestWiden6(t *testing.T) {
	var bans Bans
	for text, forced := range map[string]bool{
		"2001:db8::1/128": false, "2001:db8:1::1/128": true, "64:ff9b::c633:6401/128": false, "198.51.100.1/32": false,
	} {
		bans.Add(netip.MustParsePrefix(text), forced)
	}
	bans.Widen6(64)
	got := fmt.Sprint(bans.Carve(&List{}, nil, nil).Prefixes())
	if want := "[198.51.100.1/32 64:ff9b::c633:6401/128 2001:db8::/64 2001:db8:1::1/128]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A fitted list spreads over nothing that is listed or special, but where a special address is banned by force.
func TestAvoid(t *testing.T) {
	list := List{}
	list.add(netip.MustParsePrefix("203.0.113.0/28"), "the office")
	var want aggregate.Set
	want.Add(netip.MustParsePrefix("10.1.0.0/16"))
	for text, avoided := range map[string][2]bool{ // by default, with allow_private
		"203.0.113.1/32": {true, true}, "10.2.0.0/16": {true, false},
		"10.1.0.0/16": {false, false}, "198.51.100.0/24": {false, false},
	} {
		for i, private := range []bool{false, true} {
			list.Private = private
			if got := list.Avoid(&want).Overlaps(netip.MustParsePrefix(text)); got != avoided[i] {
				t.Errorf("%s, private %v: %v", text, private, got)
			}
		}
	}
}

// A host name is at most 253 bytes of labels of at most 63.
func TestHostNameLengths(t *testing.T) {
	label := strings.Repeat("a", 63)
	longest := strings.Join([]string{label, label, label, strings.Repeat("a", 61)}, ".")
	for name, want := range map[string]bool{label: true, label + "a": false, longest: true, longest + "a": false} {
		entry, err := ParseEntry(name)
		if (err == nil) != want || want && (entry.Host != name || entry.String() != name) {
			t.Errorf("%d bytes: %v, %v", len(name), entry, err)
		}
	}
}
