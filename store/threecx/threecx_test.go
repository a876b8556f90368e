//go:build linux

package threecx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/store/threecx/postgrestest"
)

var rows = []postgrestest.Event{
	{ID: 1, Type: 2, Event: 12290, At: "2026-03-01 10:00:00.123+00", Params: [4]string{"203.0.113.6", "3600", "2026-03-01 11:00", "Too many failed authentications"}},
	{ID: 2, Type: 4, Event: 12290, At: "2026-03-01 10:00:01+00", Params: [4]string{"203.0.113.60", "3600", "", "information"}},
	{ID: 3, Type: 1, Event: 12292, At: "2026-03-01 10:00:02+00", Params: [4]string{"[2001:db8::6]:5060", "86400", "", "rate"}},
	{ID: 4, Type: 2, Event: 12293, At: "2026-03-01 10:00:03+00", Params: [4]string{"203.0.113.61", "3600", "", "other event"}},
	{ID: 5, Type: 2, Event: 4097, At: "2026-03-01 10:00:04+00", Params: [4]string{"203.0.113.62", "3600", "", "Trunk failed to register"}},
	{ID: 6, Type: 2, Event: 12290, At: "2026-03-01 10:00:05+00", Params: [4]string{"localhost\x1b", "3600", "", "no address"}},
	{ID: 7, Type: 2, Event: 12290, At: "2026-03-01 09:00:00+00", Params: [4]string{"203.0.113.63", "3600", "", "too old"}},
	{ID: 8, Type: 2, Event: 12290, At: "2026-03-01 09:59:59.999+00", Params: [4]string{"203.0.113.64", "3600", "", "just too old"}},
}

func clean(t *testing.T) context.Context {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	return context.Background()
}

func database(t *testing.T, s *postgrestest.Server, name, sql string) Options {
	t.Helper()
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	s.Exec(t, name, sql)
	return Options{DSN: s.DSN(postgrestest.Superuser, name)}
}

func open(t *testing.T, opts Options) *DB {
	t.Helper()
	db, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04:05Z07", s)
	if err != nil {
		t.Fatal(err)
	}
	return v.UTC()
}

// read returns the events as lines of text, and the rows skipped.
func read(t *testing.T, db *DB, since time.Time) (events, skipped []string) {
	t.Helper()
	err := db.Events(context.Background(), since, func(e Event) error {
		if e.Time.Location() != time.UTC {
			t.Errorf("time %v is not UTC", e.Time)
		}
		events = append(events, fmt.Sprintf("%d %d %s %v %v %s", e.ID, e.Event, e.Time.Format("15:04:05.999999"), e.Addr, e.Bantime, e.Reason))
		return nil
	}, func(row string, err error) { skipped = append(skipped, row+": "+err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	return events, skipped
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPostgres(t *testing.T) {
	clean(t)
	s := postgrestest.Start(t, "timezone=Europe/Berlin")
	t.Run("schemas", func(t *testing.T) { testSchemas(t, s) })
	t.Run("query", func(t *testing.T) { testQuery(t, s) })
	t.Run("purge", func(t *testing.T) { testPurge(t, s) })
	t.Run("summer time", func(t *testing.T) { testSummerTime(t, s) })
	t.Run("many", func(t *testing.T) { testMany(t, s) })
	t.Run("blacklist", func(t *testing.T) { testBlacklist(t, s) })
	t.Run("clock", func(t *testing.T) { testClock(t, s) })
	t.Run("errors", func(t *testing.T) { testErrors(t, s) }) // last: it stops the server
}

func testSchemas(t *testing.T, s *postgrestest.Server) {
	for _, schema := range postgrestest.Schemas {
		t.Run(schema.Name, func(t *testing.T) {
			sql := schema.DDL
			for _, r := range rows {
				sql += schema.Insert(r)
			}
			name := "v" + schema.Name
			db := open(t, database(t, s, name, sql))
			since := at(t, "2026-03-01 10:00:00Z")
			events, skipped := read(t, db, since)
			same(t, "events", events,
				"1 12290 10:00:00.123 203.0.113.6 1h0m0s Too many failed authentications",
				"3 12292 10:00:02 2001:db8::6 24h0m0s rate")
			if len(skipped) != 1 || !strings.HasPrefix(skipped[0], "event 6: ") || !strings.Contains(skipped[0], `localhost\x1b`) {
				t.Errorf("skipped %q", skipped)
			}
			db.opts.Events = []int{12293}
			events, _ = read(t, db, since)
			same(t, "another event id", events, "4 12293 10:00:03 203.0.113.61 1h0m0s other event")
			db.opts.Events = []int{99}
			events, _ = read(t, db, since)
			same(t, "no such event", events)

			db.opts.Events = DefaultEvents
			text, err := db.Schema(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"PostgreSQL", "Europe/Berlin", "primary key", "timestamp", "no table with blacklist",
				"newest: 2026-03-01T10:00:05Z, the clock says 20"} {
				if !strings.Contains(text, word) {
					t.Errorf("no %q in schema\n%s", word, text)
				}
			}
			if strings.Contains(text, "203.0.113") {
				t.Errorf("data in schema\n%s", text)
			}
			t.Logf("\n%s", text)
		})
	}
}

func testQuery(t *testing.T, s *postgrestest.Server) {
	const ddl = `CREATE TABLE "Log" (n serial, ip inet, secs integer, t timestamp, tz timestamptz, words text[]);
		INSERT INTO "Log" VALUES (1, '203.0.113.6', 60, '2026-03-01 11:00', '2026-03-01 10:00Z', '{203.0.113.6,60,"",why}'),
		                         (2, '203.0.113.7', 60, '2026-03-01 10:59', '2026-03-01 09:59Z', '{203.0.113.7,60,"",why}');`
	opts := database(t, s, "q", ddl)
	for name, query := range map[string]string{
		"time with zone": `SELECT n, tz, host(ip) || ',' || secs || ',,why' FROM "Log";`,
		"time without":   `SELECT n, t, host(ip) || ',' || secs || ',,why' FROM "Log" -- a comment`,
		"array":          `SELECT n AS a, t AS a, words AS a FROM "Log"`,
		"with":           `WITH x AS (SELECT * FROM "Log") SELECT n, t, words FROM x ; `,
	} {
		opts.Query = query
		events, _ := read(t, open(t, opts), at(t, "2026-03-01 10:00:00Z"))
		same(t, name, events, "1 0 10:00:00 203.0.113.6 1m0s why")
	}
	for name, query := range map[string]string{
		"two columns":    `SELECT n, tz FROM "Log"`,
		"no time":        `SELECT n, n, 'x' FROM "Log"`,
		"syntax":         `SELEC`,
		"no table":       `SELECT 1, now(), 'x' FROM missing`,
		"two statements": `SELECT 1, now(), 'x'; DROP TABLE "Log"`,
		"writes":         `SELECT nextval('"Log_n_seq"'), now(), 'x'`,
		"out of bracket": `SELECT 1, now(), 'x') AS a; DROP TABLE "Log"; SELECT (1`,
	} {
		opts.Query = query
		db := open(t, opts)
		err := db.Events(context.Background(), time.Time{}, func(Event) error { return nil }, nil)
		if !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A mark is only a time; so a purge, ids that start anew and a restored backup are nothing special.
func testPurge(t *testing.T, s *postgrestest.Server) {
	db := open(t, database(t, s, "purge", postgrestest.Schemas[1].DDL))
	since := at(t, "2026-03-01 10:00:00Z")
	insert := func(id int, at, addr string) {
		s.Exec(t, "purge", postgrestest.Schemas[1].Insert(postgrestest.Event{ID: id, Type: 2, Event: 12290, At: at, Params: [4]string{addr, "60", "", ""}}))
	}
	events, _ := read(t, db, since)
	same(t, "empty", events)
	insert(1000, "2026-03-01 10:00Z", "203.0.113.1")
	events, _ = read(t, db, since)
	same(t, "first", events, "1000 12290 10:00:00 203.0.113.1 1m0s ")
	s.Exec(t, "purge", "DELETE FROM eventlog")
	insert(1, "2026-03-01 10:01Z", "203.0.113.2")
	events, _ = read(t, db, since)
	same(t, "purged, ids anew", events, "1 12290 10:01:00 203.0.113.2 1m0s ")
	insert(1000, "2026-03-01 10:00Z", "203.0.113.1")
	events, _ = read(t, db, since)
	same(t, "restored", events, "1000 12290 10:00:00 203.0.113.1 1m0s ", "1 12290 10:01:00 203.0.113.2 1m0s ")
	s.Exec(t, "purge", "INSERT INTO eventlog VALUES (2, 'infinity', 2, 12290, '', '{203.0.113.3}')")
	_, skipped := read(t, db, since)
	same(t, "no time", skipped, `event 2: "203.0.113.3": no time`)
}

func testSummerTime(t *testing.T, s *postgrestest.Server) {
	sql := postgrestest.Schemas[0].DDL
	for i, local := range []string{
		"2026-03-29 01:59", "2026-03-29 02:30", "2026-03-29 03:00", // forward at 02:00
		"2026-10-25 01:59", "2026-10-25 02:30", "2026-10-25 02:59", "2026-10-25 03:00", // back at 03:00
	} {
		sql += fmt.Sprintf("INSERT INTO eventlog VALUES (%d, 2, 12290, '%s', '', '203.0.113.%d,60');", i, local, i)
	}
	opts := database(t, s, "summer", sql)
	db := open(t, opts)
	forward := []string{
		"0 12290 00:59:00 203.0.113.0 1m0s ",
		"2 12290 01:00:00 203.0.113.2 1m0s ",
		"1 12290 01:30:00 203.0.113.1 1m0s "} // skipped by the clock: with the offset from before
	back := []string{
		"3 12290 23:59:00 203.0.113.3 1m0s ",
		"4 12290 00:30:00 203.0.113.4 1m0s ", // twice on the clock: always the first
		"5 12290 00:59:00 203.0.113.5 1m0s ",
		"6 12290 02:00:00 203.0.113.6 1m0s "}
	events, _ := read(t, db, at(t, "2026-03-29 00:00:00Z"))
	same(t, "all", events, append(slices.Clone(forward), back...)...)
	events, _ = read(t, db, at(t, "2026-10-25 00:45:00Z"))
	// The second 02:30 is after 00:45Z, so it must not be left out, though it is read as the first.
	same(t, "from within the first hour", events, back[0], back[1], back[2], back[3])
	events, _ = read(t, db, at(t, "2026-10-25 01:35:00Z"))
	same(t, "from within the second hour", events, back[2], back[3])
	events, _ = read(t, db, at(t, "2026-10-25 02:00:00Z"))
	same(t, "after", events, back[3])

	opts.Timezone = "UTC"
	events, _ = read(t, open(t, opts), at(t, "2026-10-25 02:30:00Z"))
	same(t, "another zone", events,
		"4 12290 02:30:00 203.0.113.4 1m0s ", "5 12290 02:59:00 203.0.113.5 1m0s ", "6 12290 03:00:00 203.0.113.6 1m0s ")
	opts.Timezone = "Europe/Nowhere"
	if _, err := open(t, opts).Clock(context.Background()); err == nil || !strings.Contains(err.Error(), `"Europe/Nowhere"`) {
		t.Errorf("unknown zone: %v", err)
	}
}

func testMany(t *testing.T, s *postgrestest.Server) {
	const n = 200_000
	db := open(t, database(t, s, "many", postgrestest.Schemas[1].DDL+fmt.Sprintf(`INSERT INTO eventlog
		SELECT i, now() - interval '1 s' * i / 1000, 2, 12290, 'pbx', ARRAY[host('10.0.0.0'::inet + i), '60', '', repeat('x', 200)]
		FROM generate_series(1, %d) i`, n)))
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	got := 0
	start, last := time.Now(), time.Time{}
	err := db.Events(context.Background(), time.Now().Add(-time.Hour), func(e Event) error {
		if got++; got == n/2 {
			runtime.GC()
			runtime.ReadMemStats(&during)
		}
		if e.Time.Before(last) {
			return fmt.Errorf("%v after %v", e.Time, last)
		}
		last = e.Time
		return nil
	}, nil)
	if err != nil || got != n {
		t.Fatalf("%d events, %v", got, err)
	}
	grown := int64(during.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d events in %v, heap grown by %d kB half way", n, time.Since(start), grown/1024)
	if grown > 8<<20 { // the texts of all are 50 MB
		t.Errorf("heap grown by %d bytes half way", grown)
	}

	// However long yield takes, it is no statement.
	db.opts.StatementTimeout = 3 * time.Second
	got = 0
	err = db.Events(context.Background(), time.Now().Add(-time.Minute), func(e Event) error {
		if got++; got == 1 {
			time.Sleep(4 * time.Second)
		}
		return nil
	}, nil)
	if err != nil || got < 2*batch {
		t.Errorf("slow yield: %d events, %v", got, err)
	}
	stop := errors.New("stop")
	if err := db.Events(context.Background(), time.Time{}, func(Event) error { return stop }, nil); err != stop {
		t.Errorf("error of yield comes back as %v", err)
	}
	if _, err := db.Clock(context.Background()); err != nil {
		t.Errorf("after an error of yield: %v", err)
	}
}

func testClock(t *testing.T, s *postgrestest.Server) {
	db := open(t, Options{DSN: s.DSN(postgrestest.Superuser, "postgres")})
	before := time.Now()
	clock, err := db.Clock(context.Background())
	if err != nil || clock.Before(before.Add(-time.Second)) || clock.After(time.Now().Add(time.Second)) || clock.Location() != time.UTC {
		t.Errorf("clock %v, %v at %v", clock, err, before)
	}
	if err := func() error { db.Close(); _, err := db.Clock(context.Background()); return err }(); !errors.Is(err, ErrAway) {
		t.Errorf("closed: %v", err)
	}
}

func TestTarget(t *testing.T) {
	clean(t)
	for dsn, want := range map[string]string{
		"postgres://user:s3cret@pbx.example/phone": "pbx.example:5432/phone",
		"host=/run/pg port=5480 user=x":            "/run/pg:5480/database_single",
		"host=2001:db8::1":                         "[2001:db8::1]:5432/database_single",
	} {
		if got, err := (Options{DSN: dsn}).Target(); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", dsn, got, err, want)
		}
	}
	if got, err := (Options{DSN: "postgres://user:s3cret@:x/"}).Target(); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%q, %v", got, err)
	}
}
