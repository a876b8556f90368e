package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"f2bc/aggregate"
	"f2bc/routes"
	"f2bc/store/state"
)

// testProcess is a process that prints into the returned builder.
func testProcess(t *testing.T) (*process, *strings.Builder) {
	t.Helper()
	syslogSocket = ""
	said := &strings.Builder{}
	return &process{out: newOutput(io.Discard, said)}, said
}

func TestRefuse(t *testing.T) {
	never := &neverBan{why: map[netip.Prefix]string{}}
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
		prefix, err := parsePrefix(c.prefix)
		if err != nil {
			t.Fatal(err)
		}
		for forced, want := range map[bool]bool{false: c.refused, true: c.forced} {
			err := never.refuse(prefix, forced)
			if (err != nil) != want || err != nil && !errors.Is(err, errRefused) {
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
		rest.RemovePrefix(r.prefix)
		if rest.Overlaps(r.prefix) || notRoutable(r.prefix) == nil {
			t.Errorf("%s is left", r.prefix)
		}
	}
	for _, stays := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20", "64:ff9b::/96", "8.8.8.8/32"} {
		if !rest.Contains(netip.MustParsePrefix(stays)) {
			t.Errorf("%s is gone", stays)
		}
	}
}

func TestDesireKeepsNetworks(t *testing.T) {
	d := newDesire([]routes.Entry{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Network: true},
		{Prefix: netip.MustParsePrefix("198.51.100.0/25"), Network: true},
	})
	for ban, forced := range map[string]bool{
		"192.0.2.0/23":     true,  // wider than the network, which comes out of it
		"192.0.2.7/32":     false, // a neighbour
		"198.51.100.0/24":  false, // wider than the network
		"198.51.100.0/26":  false, // a part of it
		"203.0.112.0/23":   false, // too wide
		"128.0.0.0/7":      true,  // far too wide
		"2001:db8:1::/127": false,
	} {
		d.add(netip.MustParsePrefix(ban), forced)
	}
	d.want.AddSet(&d.forced)
	var got []string
	for p := range d.want.All() {
		got = append(got, bare(p))
	}
	want := []string{"192.0.2.7", "192.0.3.0/24", "198.51.100.0/26", "198.51.100.128/25", "2001:db8:1::/127"}
	if !slices.Equal(got, want) {
		t.Errorf("wanted %v, want %v", got, want)
	}
	p, said := testProcess(t)
	p.nameSkipped(d)
	if s := said.String(); strings.Count(s, "\n") != 2 ||
		!strings.Contains(s, "ban of 128.0.0.0/7 is skipped: wider than /8, which is never banned\n") ||
		!strings.Contains(s, "ban of 203.0.112.0/23 is skipped: wider than /24 and not forced\n") {
		t.Errorf("said %q", s)
	}
}

// The last answer of the name server is kept for the time when it is away.
func TestResolveKeepsTheLastAnswer(t *testing.T) {
	defer func(old func(context.Context, string) ([]netip.Addr, error)) { lookup = old }(lookup)
	cfg := &config{state: state.Dir(filepath.Join(t.TempDir(), "state"))}
	entries := []allowEntry{{host: "office.example"}, {prefix: netip.MustParsePrefix("192.0.2.1/32")}}
	office, moved := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	away := errors.New("server misbehaving")
	for i, step := range []struct {
		answer []netip.Addr
		err    error
		want   []netip.Addr
		said   string
	}{
		{nil, away, nil, "f2bc: allowed host name office.example cannot be resolved and shields nothing: server misbehaving\n"},
		{[]netip.Addr{netip.MustParseAddr("::ffff:203.0.113.1"), office}, nil, []netip.Addr{office}, ""},
		{nil, away, []netip.Addr{office}, "f2bc: allowed host name office.example cannot be resolved, its last known addresses [203.0.113.1] are used: server misbehaving\n"},
		{[]netip.Addr{moved}, nil, []netip.Addr{moved}, ""},
		{nil, nil, []netip.Addr{moved}, "f2bc: allowed host name office.example cannot be resolved, its last known addresses [203.0.113.2] are used: no address\n"},
	} {
		lookup = func(context.Context, string) ([]netip.Addr, error) { return step.answer, step.err }
		p, said := testProcess(t)
		got := p.resolve(t.Context(), cfg, entries)["office.example"]
		if !slices.Equal(got, step.want) || said.String() != step.said {
			t.Errorf("step %d: %v, said %q, want %v, %q", i, got, said, step.want, step.said)
		}
	}

	// A file that was damaged is said to be, and is no reason to stop.
	if err := os.WriteFile(cfg.state.Path(answersFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{office}, nil }
	p, said := testProcess(t)
	if got := p.resolve(t.Context(), cfg, entries)["office.example"]; !slices.Equal(got, []netip.Addr{office}) || said.String() == "" {
		t.Errorf("after damage: %v, said %q", got, said)
	}
	info, err := cfg.state.Stat(answersFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestParseAllow(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "192.0.2.7/24": "192.0.2.0/24", "2001:DB8::1": "2001:db8::1",
		"Office.Example.": "office.example", "localhost": "localhost", "a_b.example": "a_b.example", "3.pool.example": "3.pool.example",
	} {
		if got, err := parseAllow(in); err != nil || got.String() != want {
			t.Errorf("parseAllow(%q) = %v, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "10.0.0.300", "1.2.3.4/33", "a..b", "-a.example", "a-.example", "a b", "fe80::1%eth0", "münchen.example", "example.123", strings.Repeat("a", 64)} {
		if got, err := parseAllow(in); err == nil {
			t.Errorf("parseAllow(%q) = %v, want an error", in, got)
		}
	}
}

// TestTranslatedStaysNarrow: an attacker behind a translator is not widened to all of IPv4.
func TestTranslatedStaysNarrow(t *testing.T) {
	d := newDesire(nil)
	d.ipv6Prefix = 64
	for _, ban := range []string{"64:ff9b::198.51.100.1/128", "2001:db8::1/128"} {
		d.add(netip.MustParsePrefix(ban), false)
	}
	if got := fmt.Sprint(d.want.Prefixes()); got != "[64:ff9b::c633:6401/128 2001:db8::/64]" {
		t.Error(got)
	}
}
