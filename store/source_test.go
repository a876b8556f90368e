package store

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestBlock: while a source is blocked nothing of it counts, whatever its date, and everything does when it is
// released.
func TestBlock(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		admin, other := initStore(t, o), initStore(t, o)
		ctx := t.Context()
		now, err := admin.Now(ctx)
		check(t, err)
		wide := report("198.51.100.0/24", "web1", now, Forever)
		check(t, admin.Write(ctx, []Fact{
			report("203.0.113.1/32", "web1", now, Forever), report("203.0.113.2/32", "web1", now, time.Hour),
			report("203.0.113.2/32", "web2", now, time.Hour), report("203.0.113.3/32", "web2", now, Forever), wide}))
		const all, rest = "198.51.100.0/24 203.0.113.1/32 203.0.113.2/32 203.0.113.3/32", "203.0.113.2/32 203.0.113.3/32"
		for range 3 { // whoever was blocked and released before may be again, within the same µs
			_, err := admin.Block(ctx, "web1")
			check(t, err)
			wantBanned(t, other, rest)
			check(t, admin.Release(ctx, "web1"))
			wantBanned(t, other, all)
		}
		for range 2 {
			dropped, err := admin.Block(ctx, "web1")
			check(t, err)
			if !dropped {
				t.Error("the owner may not drop a row")
			}
		}

		// What it reports later counts as little, also dated ahead so far as that is a fact.
		check(t, admin.Write(ctx, []Fact{report("203.0.113.4/32", "web1", now.Add(55*time.Second), Forever),
			report("203.0.113.3/32", "web1", now+1, Forever)}))
		wantBanned(t, other, rest)
		if got := banned(t, other, Filter{Source: "web1"}); got != "" {
			t.Error("of web1:", got)
		}
		if got := banned(t, other, Filter{MinSources: 2}); got != "" {
			t.Error("by two:", got)
		}
		reports, _, err := other.About(ctx, netip.MustParsePrefix("203.0.113.0/24"))
		check(t, err)
		for _, r := range reports {
			if r.Blocked != (r.Source == "web1") || r.Active(now) == r.Blocked {
				t.Errorf("%+v", r)
			}
		}
		check(t, admin.Release(ctx, "web1"))
		wantBanned(t, other, all+" 203.0.113.4/32")
		if got := banned(t, other, Filter{MinSources: 2}); got != "203.0.113.2/32 203.0.113.3/32" {
			t.Error("by two:", got)
		}

		// Names that differ in case are different hosts, and one that never wrote may be blocked.
		for _, name := range []string{"WEB2", "web2 ", "web9"} {
			_, err := admin.Block(ctx, name)
			check(t, err)
		}
		wantBanned(t, other, all+" 203.0.113.4/32")
		hosts, err := admin.Hosts(ctx)
		check(t, err)
		var names []string
		for _, h := range hosts {
			if h.Blocked {
				names = append(names, h.Name)
			}
		}
		if got := strings.Join(names, ","); got != "WEB2,web2 ,web9" {
			t.Errorf("blocked: %q", got)
		}
	})
}
