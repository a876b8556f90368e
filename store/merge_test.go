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

// modelActive is the merge rule in ten lines: of each (prefix, source, reason) the latest report stands, of those at the
// same time a forced one and then the longest, unless a lift that covers it is not earlier, or it has ended. It returns the
// prefixes banned, with whether each is forced.
func modelActive(facts []Fact, now Time) []string {
	var lines []string
	for _, r := range facts {
		stands := !r.Lift && r.Expires() > now
		for _, f := range facts {
			same := !f.Lift && f.Prefix == r.Prefix && f.Source == r.Source && f.Reason == r.Reason
			later := f.At > r.At || f.At == r.At && (f.Forced && !r.Forced ||
				f.Forced == r.Forced && f.Expires() > r.Expires())
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
			Lift:   r.IntN(3) == 0,
			Prefix: randomPrefix(r),
			Source: pick(r, "web1", "b"),
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

func randomPrefix(r *rand.Rand) netip.Prefix {
	return netip.MustParsePrefix(pick(r, "203.0.113.0/24", "203.0.113.6/31", "203.0.113.6/32", "203.0.113.7/32",
		"0.0.0.0/0", "cb00:7106::/32", "cb00:7106::/64",
		"cb00:7106::/128")) // the bytes of the IPv6 ones lie among the IPv4 ones
}

// randomAhead draws rows of which the report, the lift or both are not facts yet.
func randomAhead(r *rand.Rand, now Time) *rowModel {
	m := &rowModel{}
	for range r.IntN(6) {
		key := keyOf(Fact{Prefix: randomPrefix(r), Source: pick(r, "web1", "b"), Reason: pick(r, "x", "y")})
		year := now.Add(365 * 24 * time.Hour)
		ahead := modelReport{key, year, Permanent, pick(r, 0, year), Permanent, pick(r, 0, year)}
		if r.IntN(4) == 0 {
			ahead = modelReport{modelKey: key, lifted: year}
		}
		if !slices.ContainsFunc(m.reports, func(r modelReport) bool { return r.modelKey == key }) {
			m.reports = append(m.reports, ahead)
		}
		key.source, key.reason = pick(r, key.source, ""), pick(r, key.reason, "")
		if !slices.ContainsFunc(m.lifts, func(l modelLift) bool { return l.modelKey == key }) {
			m.lifts = append(m.lifts, modelLift{key, year})
		}
	}
	return m
}

// TestMergeRule writes the same facts in different orders, in different batches and some several times, onto rows that
// are dated ahead: the list is the model's without those, and the rows are the same, whatever the engine, also where a
// server's own account writes its own by the procedures. Nothing counts of a source while it is blocked.
func TestMergeRule(t *testing.T) {
	smallBatches(t)
	rows := map[uint64]string{}
	now := TimeOf(time.Now()).Add(-time.Minute) // what lasts a microsecond has ended
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		mergeAll(t, writer{"tables", s, s, s.db}, now, rows)
	})
	t.Run("procedures", func(t *testing.T) {
		f := newFleet(t, "web1")
		mergeAll(t, writer{"procedures", f.open(t, "web1"), f.admin, f.server.Open(t, f.database)}, now, rows)
	})
}

// mergeAll compares the rows that every round leaves with those of the model and with rows, if there are any yet.
func mergeAll(t *testing.T, w writer, now Time, rows map[uint64]string) {
	rounds := 45
	if testing.Short() {
		rounds = 10
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 0))
		facts, start := randomFacts(r, now), randomAhead(r, now)
		for range pick(r, 0, 0, 0, 0, 50) {
			facts = append(facts, Fact{Lift: true, Prefix: randomPrefix(r), Source: pick(r, "web1", "b", ""),
				Reason: pick(r, "x", "y", ""),
				At:     now - Time(r.IntN(4))})
		}
		for i, f := range facts {
			// Ahead of the clock, but not so far that it is no fact yet.
			if r.IntN(6) == 0 && f.Bantime != time.Microsecond {
				facts[i].At = f.At.Add(80 * time.Second)
			}
		}
		blocked := map[string]bool{}
		for range r.IntN(4) {
			blocked[pick(r, "web1", "b")] = r.IntN(2) == 0
		}
		counting := slices.DeleteFunc(slices.Clone(facts), func(f Fact) bool { return blocked[f.Source] })
		want := strings.Join(modelActive(counting, now+10), "\n")
		for order := range 3 {
			w.put(t, start)
			setBlocked(t, w.admin, blocked)
			again := slices.Concat(facts, facts[:r.IntN(len(facts)+1)])
			r.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
			for len(again) > 0 {
				n := 1 + r.IntN(len(again))
				w.write(t, again[:n])
				again = again[n:]
			}
			if got := activeLines(t, w.Store); got != want {
				t.Fatalf("seed %d, order %d:\n%v\nactive:\n%s\nwant:\n%s", seed, order, facts, got, want)
			}
			dump := dumpRows(t, w.Store)
			if rows[seed] == "" {
				rows[seed] = dump
			}
			if dump != rows[seed] {
				t.Fatalf("seed %d, order %d: rows\n%s\nthe first order gave\n%s", seed, order, dump, rows[seed])
			}
		}
		ahead := now.Add(time.Minute + maxAhead)
		for _, f := range facts {
			start.merge(f, ahead)
		}
		if got, want := w.rows(t, true), start.raw(); got != want {
			t.Fatalf("seed %d: %s", seed, difference(got, want))
		}
	}
}

// setBlocked blocks sources and releases them, whatever they were.
func setBlocked(t *testing.T, s *Store, blocked map[string]bool) {
	t.Helper()
	for name, is := range blocked {
		check(t, s.Release(t.Context(), name))
		_, err := s.Block(t.Context(), name)
		check(t, err)
		if !is {
			check(t, s.Release(t.Context(), name))
		}
	}
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
	check(t, s.Bans(t.Context(), Filter{}, func(p netip.Prefix, forced bool) {
		fast = append(fast, fmt.Sprint(p,
			forced))
	}))
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
