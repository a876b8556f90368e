package store

import (
	"net/netip"
	"testing"
	"time"
)

// TestForcedTie: at the time of an admin's forced report a server's own report neither makes it last longer nor becomes
// forced by it, in whatever order they come.
func TestForcedTie(t *testing.T) {
	forced := Fact{Prefix: netip.MustParsePrefix("198.51.0.0/16"), Source: "web1", Reason: "sshd", Bantime: time.Hour,
		Forced: true}
	f := newFleet(t, "web1")
	web1 := f.open(t, "web1")
	for i, order := range [][2]*Store{{f.admin, web1}, {web1, f.admin}} {
		forced.At = web1.clock.now() - Time(i)*100 - 1000
		forced.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51 + byte(i)}), 16)
		for _, s := range order {
			fact := forced
			if s == web1 {
				fact.Bantime, fact.Forced = Forever, false
			}
			check(t, s.Write(t.Context(), []Fact{fact}))
		}
		reports, _, err := f.admin.About(t.Context(), forced.Prefix)
		check(t, err)
		if len(reports) != 1 || !reports[0].Forced || reports[0].Expires != forced.Expires() {
			t.Errorf("order %d: %+v", i, reports)
		}
	}
}
