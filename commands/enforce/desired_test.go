package enforce

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/routes"
)

// noted collects what is said.
func noted(said *strings.Builder) func(format string, args ...any) {
	return func(format string, args ...any) { fmt.Fprintf(said, format+"\n", args...) }
}

// A connected network comes out of wider bans, and a neighbour in it may be banned.
func TestInstalledKeepsNetworks(t *testing.T) {
	bans := neverban.Bans{Into: installed([]routes.Entry{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Network: true},
		{Prefix: netip.MustParsePrefix("198.51.100.0/25"), Network: true},
	}, 0)}
	for ban, forced := range map[string]bool{
		"192.0.2.0/23":     true,  // wider than the network, which comes out of it
		"192.0.2.7/32":     false, // a neighbour
		"198.51.100.0/24":  false, // wider than the network
		"198.51.100.0/26":  false, // a part of it
		"203.0.112.0/23":   false, // too wide
		"128.0.0.0/7":      true,  // far too wide
		"2001:db8:1::/127": false,
	} {
		bans.Add(netip.MustParsePrefix(ban), forced)
	}
	var said strings.Builder
	var got []string
	for p := range bans.Carve(&neverban.List{}, nil, noted(&said)).All() {
		got = append(got, aggregate.Text(p))
	}
	want := []string{"192.0.2.7", "192.0.3.0/24", "198.51.100.0/26", "198.51.100.128/25", "2001:db8:1::/127"}
	if !slices.Equal(got, want) {
		t.Errorf("wanted %v, want %v", got, want)
	}
	if s := said.String(); strings.Count(s, "\n") != 2 ||
		!strings.Contains(s, "ban of 128.0.0.0/7 is skipped: wider than /8, which is never banned\n") ||
		!strings.Contains(s, "ban of 203.0.112.0/23 is skipped: wider than /24 and not forced\n") {
		t.Errorf("said %q", s)
	}
}

// TestTranslatedStaysNarrow: an attacker behind a translator is not widened to all of IPv4.
func TestTranslatedStaysNarrow(t *testing.T) {
	bans := neverban.Bans{Into: installed(nil, 64)}
	for _, ban := range []string{"64:ff9b::198.51.100.1/128", "2001:db8::1/128"} {
		bans.Add(netip.MustParsePrefix(ban), false)
	}
	if got := fmt.Sprint(bans.Carve(&neverban.List{}, nil, nil).Prefixes()); got != "[64:ff9b::c633:6401/128 2001:db8::/64]" {
		t.Error(got)
	}
}
