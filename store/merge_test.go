package store

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// modelActive is the merge rule in ten lines: of each (prefix, source, reason) the latest report stands (of several at the
// same time a forced one, and then the longest), unless a lift
// that covers it is not earlier, or it has ended. It returns the prefixes banned, with whether each is forced.
func modelActive(facts []Fact, now Time) []string {
	var lines []string
	for _, r := range facts {
		stands := !r.Lift && r.Expires() > now
		for _, f := range facts {
			same := !f.Lift && f.Prefix == r.Prefix && f.Source == r.Source && f.Reason == r.Reason
			later := f.At > r.At || f.At == r.At && (f.Forced && !r.Forced || f.Forced == r.Forced && f.Expires() > r.Expires())
			stands = stands && !(same && later) && !(f.Lift && f.covers(r.Prefix, r.Source, r.Reason) && f.At >= r.At)
		}
		if stands {
			forced := slices.ContainsFunc(facts, func(f Fact) bool {
				return f.Forced && f.At == r.At && f.Prefix == r.Prefix && f.Source == r.Source && f.Reason == r.Reason
			})
			lines = append(lines, fmt.Sprint(r.Prefix, r.Source, r.Reason, r.At, r.Expires(), forced))
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomFacts draws facts that bear on each other: nested prefixes, few names, equal times.
func randomFacts(r *rand.Rand, now Time) []Fact {
	facts := make([]Fact, 1+r.IntN(14))
	for i := range facts {
		f := Fact{
			Lift: r.IntN(3) == 0,
			Prefix: netip.MustParsePrefix(pick(r, "203.0.113.0/24", "203.0.113.6/31", "203.0.113.6/32", "203.0.113.7/32", "0.0.0.0/0",
				"cb00:7106::/32", "cb00:7106::/64", "cb00:7106::/128")), // the bytes of the IPv6 ones lie among the IPv4 ones
			Source: pick(r, "a", "b"),
			Reason: pick(r, "x", "y"),
			At:     now - Time(r.IntN(4)),
		}
		if f.Lift {
			f.Source, f.Reason = pick(r, f.Source, ""), pick(r, f.Reason, "")
		} else {
			f.Bantime = pick(r, Forever, time.Hour, 2*time.Hour, time.Microsecond)
			f.Forced = r.IntN(4) == 0
		}
		facts[i] = f
	}
	return facts
}

// TestMergeRule writes the same facts in different orders, in different batches and some several times: the list is
// the model's, and the rows are the same.
func TestMergeRule(t *testing.T) {
	smallBatches(t)
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		now, err := s.Now(t.Context())
		check(t, err)
		now -= Time(time.Minute.Microseconds()) // what lasts a microsecond has ended
		for seed := range uint64(rounds) {
			r := rand.New(rand.NewPCG(seed, 0))
			facts := randomFacts(r, now)
			want := strings.Join(modelActive(facts, now+10), "\n")
			var rows string
			for order := range 3 {
				for _, table := range []string{"report", "lift", "event"} {
					_, err := s.db.Exec("DELETE FROM " + table)
					check(t, err)
				}
				again := slices.Concat(facts, facts[:r.IntN(len(facts)+1)])
				r.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
				for len(again) > 0 {
					n := 1 + r.IntN(len(again))
					check(t, s.Write(t.Context(), again[:n]))
					again = again[n:]
				}
				if got := activeLines(t, s); got != want {
					t.Fatalf("seed %d, order %d:\n%v\nactive:\n%s\nwant:\n%s", seed, order, facts, got, want)
				}
				if dump := dumpRows(t, s); order > 0 && dump != rows {
					t.Fatalf("seed %d, order %d: rows\n%s\nthe first order gave\n%s", seed, order, dump, rows)
				} else {
					rows = dump
				}
			}
		}
	})
}

func activeLines(t *testing.T, s *Store) string {
	t.Helper()
	var lines []string
	check(t, s.activeReports(t.Context(), Filter{}, true, func(r Report) {
		lines = append(lines, fmt.Sprint(r.Prefix, r.Source, r.Reason, r.At, r.Expires, r.Forced))
	}))
	slices.Sort(lines)

	// Bans and About must see the same.
	var fast []string
	check(t, s.Bans(t.Context(), Filter{}, func(p netip.Prefix, forced bool) { fast = append(fast, fmt.Sprint(p, forced)) }))
	var about int
	for _, everything := range []string{"0.0.0.0/0", "::/0"} {
		reports, _, err := s.About(t.Context(), netip.MustParsePrefix(everything))
		check(t, err)
		for _, r := range reports {
			if r.Active(s.clock.now()) {
				about++
			}
		}
	}
	if len(fast) != len(lines) || about != len(lines) {
		t.Errorf("List %d, Bans %d, About %d active reports", len(lines), len(fast), about)
	}
	return strings.Join(lines, "\n")
}

func dumpRows(t *testing.T, s *Store) string {
	t.Helper()
	var out strings.Builder
	for _, query := range []string{
		"SELECT addr, len, source, reason, at, expires, forced, longest, lifted FROM report ORDER BY 1, 2, 3, 4",
		"SELECT addr, len, source, reason, at, 0, 0, 0, 0 FROM lift ORDER BY 1, 2, 3, 4",
		"SELECT addr, len, source, reason, at, expires, forced, 0, 0 FROM event ORDER BY 1, 2, 3, 4, 5, 6, 7",
	} {
		check(t, s.query(t.Context(), s.db, query, nil, func(scan scanner) error {
			var b [4][]byte
			var n [5]int64
			err := scan(&b[0], &b[1], &b[2], &b[3], &n[0], &n[1], &n[2], &n[3], &n[4])
			fmt.Fprintf(&out, "%x %s %q %q %v\n", b[0], b[1], b[2], b[3], n)
			return err
		}))
	}
	return out.String()
}
