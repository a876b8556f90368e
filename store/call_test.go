package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestNeverBanAsked: what the procedure says of the never-ban list is what the list itself says.
func TestNeverBanAsked(t *testing.T) {
	f := newFleet(t, "web4")
	s := f.open(t, "web4")
	ctx := t.Context()
	r := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	prefix := func() netip.Prefix { // few bits differ, so that many cover each other
		addr := [16]byte{15: byte(r.IntN(256)), 14: byte(r.IntN(4)), 0: 0x20}
		if r.IntN(2) == 0 {
			p, _ := netip.AddrFrom4([4]byte(addr[12:])).Prefix(32 - r.IntN(9))
			return p
		}
		p, _ := netip.AddrFrom16(addr).Prefix(128 - r.IntN(9))
		return p
	}
	seen := map[bool]int{}
	for round := range 10 {
		var entries []string
		for range 6 {
			if p := prefix(); p.IsSingleIP() && r.IntN(2) == 0 {
				entries = append(entries, p.Addr().String())
			} else {
				entries = append(entries, p.String())
			}
		}
		known, strange := fmt.Sprint("known", round, ".example"), fmt.Sprint("strange", round, ".example")
		if entries = append(entries, known); round%5 == 0 {
			entries = append(entries, strange)
		}
		slices.Sort(entries)
		entries = slices.Compact(entries)
		_, err := f.admin.AddAllow(ctx, entries)
		check(t, err)
		for range 20 {
			p := prefix()
			want := round%5 == 0
			for _, e := range entries {
				allowed, err := netip.ParsePrefix(e)
				if addr, bad := netip.ParseAddr(e); bad == nil {
					allowed, err = netip.PrefixFrom(addr, addr.BitLen()), nil
				}
				want = want || err == nil && allowed.Overlaps(p)
			}
			got := false
			_, err := s.Give(ctx, []Fact{{Prefix: p, Source: "web4", Reason: "sshd", Bantime: Forever}}, time.Time{}, &Check{
				Names: []string{known},
				Facts: func([]Protected) ([]Fact, error) { got = true; return nil, nil },
			})
			check(t, err)
			if got != want {
				t.Fatalf("%v: asked %v, want %v of %v", p, got, want, entries)
			}
			seen[got]++
		}
		_, err = f.admin.RemoveAllow(ctx, entries)
		check(t, err)
	}
	events, _, err := s.History(ctx, netip.Prefix{}, Filter{}, 1000)
	check(t, err)
	if seen[true] == 0 || seen[false] == 0 || len(events) != seen[false] {
		t.Errorf("%v, %d events", seen, len(events))
	}
}

// TestAheadLifted: a report that is dated a year ahead is lifted by the procedures, and by an admin, at once and for
// good.
func TestAheadLifted(t *testing.T) {
	f := newFleet(t, "web4")
	s := f.open(t, "web4")
	db := f.server.Open(t, f.database)
	ctx := t.Context()
	now, err := s.Now(ctx)
	check(t, err)
	year := now.Add(365 * 24 * time.Hour)
	given := func(ctx context.Context, l Fact) error {
		_, err := s.Give(ctx, []Fact{l}, time.Time{}, nil)
		return err
	}
	written := func(ctx context.Context, l Fact) error {
		facts := []Fact{l, lift("192.0.2.0/24", "web4", "", 0)}
		return errors.Join(s.Stamp(ctx, facts, time.Time{}), s.Write(ctx, facts))
	}
	admins := func(ctx context.Context, l Fact) error {
		facts := []Fact{l}
		return errors.Join(f.admin.Stamp(ctx, facts, time.Time{}), f.admin.Write(ctx, facts))
	}
	ways := map[string]func(context.Context, Fact) error{"write_fact": given, "write_facts": written, "tables": admins}
	lifts := []Fact{lift("203.0.113.6/32", "web4", "sshd", 0), lift("203.0.113.6/32", "web4", "", 0),
		lift("203.0.113.0/24", "web4", "sshd", 0)}
	for name, write := range ways {
		for _, l := range lifts {
			for _, lifted := range []Time{0, year} {
				_, err := db.Exec(`
REPLACE INTO report (addr, len, source, reason, at, expires, forced, longest, lifted) VALUES
(X'CB007106', 32, 'web4', 'sshd', ?, ?, ?, ?, ?), (X'CB007106', 32, 'web2', 'sshd', ?, ?, ?, ?, ?)`,
					year, year+9, year, year+9, lifted, year, year+9, year, year+9, lifted)
				check(t, err)
				wantBanned(t, s, "")
				check(t, write(ctx, l))
				var at, expires, forced, longest, l2 Time
				row := db.QueryRow("SELECT at, expires, forced, longest, lifted FROM report WHERE source = 'web4'")
				check(t, row.Scan(&at, &expires, &forced, &longest, &l2))
				if at != 0 || expires != 0 || forced != 0 || longest != 0 || l2 > now.Add(time.Hour) {
					t.Errorf("%s: %+v leaves %d %d %d %d %d", name, l, at, expires, forced, longest, l2)
				}
				check(t, db.QueryRow("SELECT at FROM report WHERE source = 'web2'").Scan(&at))
				if at != year {
					t.Errorf("%s: %+v changed another's row: %d", name, l, at)
				}
			}
		}
	}
}
