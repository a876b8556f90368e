package neverban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"f2bc/aggregate"
	"f2bc/store/state"
)

// What may be banned, and what by force only.
func TestRefuse(t *testing.T) {
	var never List
	never.add(netip.MustParsePrefix("203.0.113.0/28"), "the office")
	never.add(netip.MustParsePrefix("2001:db8:1::/48"), "the office")
	for _, c := range []struct {
		prefix          string
		refused, forced bool // refused without and with --force
	}{
		{"203.0.113.16", false, false},
		{"203.0.113.0/24", false, false}, // holds an allow, which is carved out
		{"203.0.113.0/28", true, true},
		{"203.0.113.4", true, true},
		{"2001:db8:1:2::/64", true, true},
		{"2001:db8:2::/48", false, false},
		{"198.51.0.0/23", true, false},
		{"198.0.0.0/8", true, false},
		{"198.0.0.0/7", true, true},
		{"2001:db8::/47", true, false},
		{"2000::/19", true, false},
		{"2000::/18", true, true},
		{"::/0", true, true},
		{"10.0.0.1", true, false},
		{"172.31.255.255", true, false},
		{"172.32.0.0", false, false},
		{"100.127.0.1", true, false},
		{"100.128.0.1", false, false},
		{"192.0.0.1", true, false},
		{"192.0.2.1", false, false},
		{"198.20.0.1", false, false},
		{"223.255.255.255", false, false},
		{"255.255.255.255", true, false},
		{"::1", true, false},
		{"::192.0.2.1", true, false},
		{"64:ff9b::192.0.2.1", false, false}, // behind a translator these are the attackers
		{"64:ff9b::198.51.100.0/120", false, false},
		{"64:ff9b::198.51.100.0/119", true, false},
		{"64:ff9b::/96", true, false}, // all of IPv4
		{"64:ff9b::/64", true, false},
		{"64:ff9b::/48", true, false},
		{"64:ff9b:1::1", true, false},
		{"febf::1", true, false},
		{"fdff::1", true, false},
		{"ff02::1", true, false},
	} {
		prefix, err := aggregate.ParsePrefix(c.prefix)
		if err != nil {
			t.Fatal(err)
		}
		for forced, want := range map[bool]bool{false: c.refused, true: c.forced} {
			err := never.Refuse(prefix, forced)
			if (err != nil) != want || err != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("refuse(%s, forced %v) = %v, want refused: %v", c.prefix, forced, err, want)
			}
		}
	}
}

// A set unmaps what it takes, so a special range must not be one that covers others' addresses there.
func TestSpecialRangesAreExact(t *testing.T) {
	var rest aggregate.Set
	rest.Add(netip.MustParsePrefix("0.0.0.0/0"))
	rest.Add(netip.MustParsePrefix("::/0"))
	for _, r := range special {
		rest.RemovePrefix(r.Prefix)
		if rest.Overlaps(r.Prefix) || Special(r.Prefix) == nil {
			t.Errorf("%s is left", r.Prefix)
		}
	}
	for _, stays := range []string{
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20", "64:ff9b::/96", "8.8.8.8/32",
	} {
		if !rest.Contains(netip.MustParsePrefix(stays)) {
			t.Errorf("%s is gone", stays)
		}
	}
}

// The last answer of the name server is kept for the time when it is away.
func TestResolveKeepsTheLastAnswer(t *testing.T) {
	var said strings.Builder
	r := Resolver{
		State: state.Dir(filepath.Join(t.TempDir(), "state")),
		Say:   func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) },
	}
	entries := []Entry{{Host: "office.example"}, {Prefix: netip.MustParsePrefix("192.0.2.1/32")}}
	office, moved := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	away := errors.New("server misbehaving")
	for i, step := range []struct {
		answer []netip.Addr
		err    error
		want   []netip.Addr
		said   string
	}{
		{nil, away, nil, "allowed host name office.example cannot be resolved and shields nothing: server misbehaving\n"},
		{[]netip.Addr{netip.MustParseAddr("::ffff:203.0.113.1"), office}, nil, []netip.Addr{office}, ""},
		{nil, away, []netip.Addr{office}, "allowed host name office.example cannot be resolved, " +
			"its last known addresses [203.0.113.1] are used: server misbehaving\n"},
		{[]netip.Addr{moved}, nil, []netip.Addr{moved}, ""},
		{nil, nil, []netip.Addr{moved}, "allowed host name office.example cannot be resolved, " +
			"its last known addresses [203.0.113.2] are used: no address\n"},
	} {
		r.Lookup = func(context.Context, string) ([]netip.Addr, error) { return step.answer, step.err }
		said.Reset()
		got := r.Resolve(t.Context(), entries)["office.example"]
		if !slices.Equal(got, step.want) || said.String() != step.said {
			t.Errorf("step %d: %v, said %q, want %v, %q", i, got, said.String(), step.want, step.said)
		}
	}

	// A file that was damaged is said to be, and is no reason to stop.
	if err := os.WriteFile(r.State.Path(answersFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{office}, nil }
	said.Reset()
	if got := r.Resolve(t.Context(), entries)["office.example"]; !slices.Equal(got, []netip.Addr{office}) || said.String() == "" {
		t.Errorf("after damage: %v, said %q", got, said.String())
	}
	info, err := r.State.Stat(answersFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// An entry is an address, a CIDR or what can be a host name, and nothing that is a mistyped address.
func TestParseEntry(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "192.0.2.7/24": "192.0.2.0/24", "2001:DB8::1": "2001:db8::1",
		"Office.Example.": "office.example", "localhost": "localhost", "a_b.example": "a_b.example", "3.pool.example": "3.pool.example",
	} {
		if got, err := ParseEntry(in); err != nil || got.String() != want {
			t.Errorf("ParseEntry(%q) = %v, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "10.0.0.300", "1.2.3.4/33", "a..b", "-a.example", "a-.example", "a b", "fe80::1%eth0", "münchen.example",
		"example.123", strings.Repeat("a", 64),
	} {
		if got, err := ParseEntry(in); err == nil {
			t.Errorf("ParseEntry(%q) = %v, want an error", in, got)
		}
	}
}

// What is too wide is named, and not what another report forces; special ranges go unless forced or private; what is kept
// and what is listed comes out of wider bans.
func TestCarve(t *testing.T) {
	for _, private := range []bool{false, true} {
		var said strings.Builder
		var bans Bans
		for _, ban := range []struct {
			prefix string
			forced bool
		}{
			{"203.0.112.0/23", false}, {"203.0.112.0/23", true}, {"198.51.0.0/23", false}, {"128.0.0.0/7", true}, {"2001:db8::/47", false},
			{"10.1.0.0/24", false}, {"10.2.0.0/24", true}, {"192.0.2.0/24", false},
		} {
			bans.Add(netip.MustParsePrefix(ban.prefix), ban.forced)
		}
		list := List{Private: private}
		list.add(netip.MustParsePrefix("192.0.2.0/25"), "the office")
		kept := []Entry{
			{Prefix: netip.MustParsePrefix("192.0.2.255/32"), Why: "next hop"},
			{Prefix: netip.MustParsePrefix("192.0.1.1/32"), Why: "resolver"},
		}
		want := "[10.2.0.0/24 192.0.2.128/26 192.0.2.192/27 192.0.2.224/28 192.0.2.240/29 192.0.2.248/30 " +
			"192.0.2.252/31 192.0.2.254/32 203.0.112.0/23]"
		special := "bans of addresses that are not globally routable are left out; on a LAN set allow_private = true\n"
		if private {
			want, special = "[10.1.0.0/24 "+want[1:], ""
		}
		got := fmt.Sprint(bans.Carve(&list, kept, func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }).Prefixes())
		if got != want {
			t.Errorf("private %v: %s, want %s", private, got, want)
		}
		if want := "ban of 128.0.0.0/7 is skipped: wider than /8, which is never banned\n" +
			"ban of 198.51.0.0/23 is skipped: wider than /24 and not forced\n" +
			"ban of 2001:db8::/47 is skipped: wider than /48 and not forced\n" + special +
			"192.0.2.255 is banned, but stays reachable: next hop\n"; said.String() != want {
			t.Errorf("private %v: said %q, want %q", private, said.String(), want)
		}
		if list.Overlaps(netip.MustParsePrefix("192.0.2.255/32")) {
			t.Error("what is kept came on the list")
		}
	}
}
