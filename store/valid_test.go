package store

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRuleBoundaries compares the three conditions of valid.go with the model at every boundary of all columns.
func TestRuleBoundaries(t *testing.T) {
	onEngines(t, func(t *testing.T, o Options) {
		s := initStore(t, o)
		const now, ahead = 100_000_000, 160_000_000
		values := []string{"-9223372036854775807", "-1", "0", "1", "99999999", "100000000", "100000001",
			"160000000", "160000001", "9223372036854775807"}
		fill := strings.NewReplacer("{now}", fmt.Sprint(now), "{ahead}", fmt.Sprint(ahead))
		query := "WITH v AS (SELECT " + strings.Join(values, " AS x UNION ALL SELECT ") + `)
SELECT a.x AS at, b.x AS expires, c.x AS forced, d.x AS longest, e.x AS lifted
FROM v AS a, v AS b, v AS c, v AS d, v AS e`
		query = "SELECT at, expires, forced, longest, lifted, " + validReport + ", " + standing + ", " + active +
			" FROM (" + query + ") AS rows_"
		rows, bad := 0, 0
		check(t, s.query(t.Context(), s.db, fill.Replace(query), nil, func(scan scanner) error {
			r := modelReport{modelKey: modelKey{addr: "\x01\x02\x03\x04", len: 32}}
			var valid, stands, active bool
			err := scan(&r.at, &r.expires, &r.forced, &r.longest, &r.lifted, &valid, &stands, &active)
			rows++
			f, all := r.facts(ahead), r.facts(Permanent)
			if valid != (all.at+all.lifted != 0) || stands != (f.at > 0) ||
				active != (f.at > f.lifted && f.expires > now) {
				if bad++; bad < 10 {
					t.Errorf("%+v: valid %t, standing %t, active %t", r, valid, stands, active)
				}
			}
			return err
		}))
		if rows != 100_000 {
			t.Error(rows, "rows")
		}
	})
}

// A writer is one of the ways in which facts are written, with what reads and changes its tables at will.
type writer struct {
	name string
	*Store
	admin *Store // writes what is not the account's own
	raw   *sql.DB
}

// write writes facts, those that are the account's own as such.
func (w writer) write(t *testing.T, facts []Fact) {
	t.Helper()
	var own, others []Fact
	for _, f := range facts {
		if w.own(f) {
			own = append(own, f)
		} else {
			others = append(others, f)
		}
	}
	check(t, w.Write(t.Context(), own))
	check(t, w.admin.Write(t.Context(), others))
}

func writers(t *testing.T) []writer {
	var all []writer
	for name, o := range map[string]Options{"sqlite": sqliteOptions(t), "tables": mariadbOptions(t)} {
		o.Warn = nil
		s := initStore(t, o)
		all = append(all, writer{name, s, s, s.db})
	}
	f := newFleet(t, "web1")
	return append(all, writer{"procedures", f.open(t, "web1"), f.admin, f.server.Open(t, f.database)})
}

// put replaces all rows by those of the model.
func (w writer) put(t *testing.T, m *rowModel) {
	t.Helper()
	exec := func(query string, args ...any) {
		t.Helper()
		_, err := w.raw.Exec(query, args...)
		check(t, err)
	}
	for _, table := range []string{"report", "lift", "event", "source"} {
		exec("DELETE FROM " + table)
	}
	var args [3][]any
	for _, r := range m.reports {
		args[0] = append(args[0], []byte(r.addr), r.len, []byte(r.source), []byte(r.reason),
			int64(r.at), int64(r.expires), int64(r.forced), int64(r.longest), int64(r.lifted))
	}
	for _, l := range m.lifts {
		args[1] = append(args[1], []byte(l.addr), l.len, []byte(l.source), []byte(l.reason), int64(l.at))
	}
	for _, e := range m.events {
		args[2] = append(args[2], []byte(e.addr), e.len, []byte(e.source), []byte(e.reason),
			int64(e.at), int64(e.expires), e.forced)
	}
	for i, into := range []string{
		"report (addr, len, source, reason, at, expires, forced, longest, lifted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"lift (addr, len, source, reason, at) VALUES (?, ?, ?, ?, ?)",
		"event (addr, len, source, reason, at, expires, forced, who) VALUES (?, ?, ?, ?, ?, ?, ?, '')",
	} {
		_, row, _ := strings.Cut(into, " VALUES ")
		if n := len(args[i]) / strings.Count(row, "?"); n > 0 {
			exec("INSERT INTO "+into+strings.Repeat(", "+row, n-1), args[i]...)
		}
	}
	for _, name := range m.blocked {
		exec("INSERT INTO source (name, blocked, who) VALUES (?, 1, '')", []byte(name))
	}
}

// load takes up the reports and lifts of db as they are, whatever they hold.
func (m *rowModel) load(t *testing.T, s *Store, db *sql.DB) {
	t.Helper()
	const query = `
SELECT addr, len, source, reason, at, expires, forced, longest, lifted, 0 FROM report
UNION ALL
SELECT addr, len, source, reason, at, 0, 0, 0, 0, 1 FROM lift`
	check(t, s.query(t.Context(), db, query, nil, func(scan scanner) error {
		var r modelReport
		var lift bool
		err := scan(&r.addr, &r.len, &r.source, &r.reason, &r.at, &r.expires, &r.forced, &r.longest, &r.lifted, &lift)
		if lift {
			m.lifts = append(m.lifts, modelLift{r.modelKey, r.at})
		} else {
			m.reports = append(m.reports, r)
		}
		return err
	}))
}

// rows returns the rows of report and lift: raw as they are, or what they say.
func (w writer) rows(t *testing.T, raw bool) string {
	t.Helper()
	m := &rowModel{}
	m.load(t, w.Store, w.raw)
	if raw {
		return m.raw()
	}
	return m.rows(w.clock.now().Add(maxAhead))
}

// TestArbitraryRows: whatever stands in the tables, every reader takes it for what the model does, and facts that are
// merged onto it leave the rows that the model leaves: in both engines, and the same rows by the procedures.
func TestArbitraryRows(t *testing.T) {
	smallBatches(t)
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	all := writers(t)
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 1))
		now, err := all[0].Now(t.Context())
		check(t, err)
		m := randomRows(r, now, 100)
		if r.IntN(3) == 0 {
			m.blocked = []string{pick(r, "web1", "WEB1")}
		}
		facts := factsOn(r, m, now)
		var dumps []string
		var first *Fact
		for i := len(all) - 1; i >= 0; i-- { // the procedures come first: they give a fact its time
			w, m := all[i], rowModel{slices.Clone(m.reports), slices.Clone(m.lifts), slices.Clone(m.events), m.blocked}
			w.put(t, &m)
			live := w.Live()
			w.read(t, &m, live, r)
			facts := slices.Clone(facts)
			if w.name == "procedures" {
				before := w.clock.now()
				given, err := w.Give(t.Context(), facts[:1:1], time.Time{}, nil)
				check(t, err)
				m.wantStamp(t, w.name, given[0], before.Add(-time.Second), w.clock.now().Add(time.Second)) // two clocks
				first = &given[0]
			}
			facts[0] = *first
			check(t, w.Write(t.Context(), facts))
			for _, f := range facts {
				m.merge(f, now.Add(maxAhead))
			}
			if got, want := w.rows(t, false), m.rows(now.Add(maxAhead)); got != want {
				t.Fatalf("seed %d, %s: %v\n%s", seed, w.name, facts, difference(got, want))
			}
			m.events = append(m.events, eventsOf(m.events, facts)...)
			w.read(t, &m, live, r)
			dumps = append(dumps, w.rows(t, true))
		}
		if dumps[0] != dumps[1] || dumps[1] != dumps[2] {
			t.Fatalf("seed %d: rows of the ways differ: %s%s", seed,
				difference(dumps[0], dumps[1]), difference(dumps[1], dumps[2]))
		}
	}
}
