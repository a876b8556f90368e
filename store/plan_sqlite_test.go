package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// recorder is an SQLite that notes what runs on it.
type recorder struct {
	db      driver.Driver
	path    string
	queries []string
	args    [][]any
	most    int64 // rows that one statement changed
}

// record has s use its SQLite through a recorder.
func record(t *testing.T, s *Store) *recorder {
	plain := s.db
	r := &recorder{db: plain.Driver(), path: s.dsn.Path}
	s.db = sql.OpenDB(r)
	t.Cleanup(func() { s.db.Close(); s.db = plain })
	return r
}

func (r *recorder) Driver() driver.Driver { return r.db }

func (r *recorder) Connect(context.Context) (driver.Conn, error) {
	c, err := r.db.Open(r.path)
	return &recordedConn{c, r}, err
}

type recordedConn struct {
	driver.Conn
	r *recorder
}

func (c *recordedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	var values []any
	for _, a := range args {
		values = append(values, a.Value)
	}
	c.r.queries, c.r.args = append(c.r.queries, query), append(c.r.args, values)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *recordedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	if err == nil {
		n, _ := result.RowsAffected()
		c.r.most = max(c.r.most, n)
	}
	return result, err
}

func (c *recordedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

// plan returns how SQLite runs a statement, a step a line.
func plan(t *testing.T, db *sql.DB, query string, args []any) string {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+query, args...)
	check(t, err)
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		check(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	check(t, rows.Err())
	return strings.Join(steps, "\n")
}

// reads finds the steps that go through all rows of a table, or through all active ones.
var reads = regexp.MustCompile(`SCAN (report|lift|event)\b.*|SEARCH report USING INDEX report_active.*`)

// TestPlansSQLite: what a ban, an unban and a poll ask about a few prefixes is looked up, however many rows there are.
func TestPlansSQLite(t *testing.T) {
	s := initStore(t, sqliteOptions(t))
	_, err := s.db.Exec(`
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO report (addr, len, source, reason, at, expires, longest, mark)
SELECT unhex(printf('%08X', 16777216 + i * 503)), 32, CAST('web1' AS BLOB), CAST('sshd' AS BLOB),
       1700000000000000 + i, 9223372036854775807, 9223372036854775807,
       1600000000000000 + i * 1000000 FROM n`)
	check(t, err)
	plain := s.db
	r := record(t, s)
	var several []netip.Prefix
	for _, text := range []string{"203.0.113.6/32", "203.0.113.7/32", "198.51.100.0/24", "2001:db8::1/128"} {
		several = append(several, netip.MustParsePrefix(text))
	}
	many := make([]netip.Prefix, 2*askBatch)
	for i := range many {
		many[i] = prefix4([4]byte{198, 18 + byte(i/62500), byte(i / 250), byte(i % 250)})
	}
	for name, prefixes := range map[string][]netip.Prefix{"one": several[:1], "several": several, "a network": several[2:3], "many": many} {
		live := s.Live()
		_, err := live.Refresh(t.Context())
		check(t, err)
		r.queries, r.args = nil, nil
		for _, isLift := range []bool{false, true} {
			facts := make([]Fact, len(prefixes))
			for i, p := range prefixes {
				facts[i] = Fact{Prefix: p, Source: "web1", Reason: "sshd", Bantime: Forever, Lift: isLift}
			}
			check(t, s.Stamp(t.Context(), facts, time.Time{}))
			check(t, s.Write(t.Context(), facts))
			_, err := live.Refresh(t.Context())
			check(t, err)
		}
		_, err = s.Reported(t.Context(), prefixes)
		check(t, err)
		_, err = s.Mark(t.Context())
		check(t, err)
		_, _, err = s.About(t.Context(), prefixes[0])
		check(t, err)
		if len(r.queries) < 9 {
			t.Fatalf("%d queries", len(r.queries))
		}
		for i, query := range r.queries {
			if steps := plan(t, plain, query, r.args[i]); reads.MatchString(steps) {
				t.Errorf("%s: %s\n%.600s", name, reads.FindString(steps), query)
			}
		}
	}
}
