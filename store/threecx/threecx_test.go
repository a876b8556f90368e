//go:build linux

package threecx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/store/threecx/postgrestest"
)

// The three schemas are ours, made after what is known of the versions.
var schemas = []struct {
	name, ddl, insert string // $ID $TYPE $EVENT $AT (timestamptz) $P1 to $P4
}{
	{"16", // a time without zone, a list in the sixth column, the system's own address beside it
		`CREATE TABLE eventlog (id serial PRIMARY KEY, entrytype integer, eventid integer, timegenerated timestamp,
		 source varchar(50) DEFAULT '192.0.2.1', message text);`,
		`INSERT INTO eventlog VALUES ($ID, $TYPE, $EVENT, $AT, DEFAULT, concat_ws(',', $P1, $P2, $P3, $P4));`},
	{"18", // a time with zone, parameters, another key and order
		`CREATE TABLE eventlog (idevent bigint PRIMARY KEY, timegenerated timestamptz NOT NULL, entrytype smallint, eventid integer,
		 computer text DEFAULT 'pbx', params text[]);`,
		`INSERT INTO eventlog VALUES ($ID, $AT, $TYPE, $EVENT, DEFAULT, ARRAY[$P1, $P2, $P3, $P4]);`},
	{"20", // names in upper case in a schema of its own, an extra column, the key last, the sentence beside the parameters
		`CREATE SCHEMA pbx; CREATE TABLE pbx."EventLog" ("Parameters" varchar(200)[], "Extra" jsonb DEFAULT '{"a": 1}', "TimeGenerated" timestamptz(3),
		 "EventId" bigint, message text, "EntryType" integer, "Id" bigint PRIMARY KEY);`,
		`INSERT INTO pbx."EventLog" VALUES (ARRAY[$P1, $P2, $P3, $P4], DEFAULT, $AT, $EVENT,
		 'The IP ' || $P1 || ' has been blacklisted', $TYPE, $ID);`},
	{"sentence", // nothing but the sentence
		`CREATE TABLE event_log (entry_type text, event_id text, time_generated timestamp(3), message text, id integer PRIMARY KEY);`,
		`INSERT INTO event_log VALUES ($TYPE, $EVENT, $AT, 'The IP ' || $P1 || ' has been blacklisted for ' || $P2 || ' sec. Reason: ' || $P4, $ID);`},
}

type row struct {
	id, kind, event int
	at              string
	params          [4]string
}

var rows = []row{
	{1, 2, 12290, "2026-03-01 10:00:00.123+00", [4]string{"203.0.113.6", "3600", "2026-03-01 11:00", "Too many failed authentications"}},
	{2, 4, 12290, "2026-03-01 10:00:01+00", [4]string{"203.0.113.60", "3600", "", "information"}},
	{3, 1, 12292, "2026-03-01 10:00:02+00", [4]string{"[2001:db8::6]:5060", "86400", "", "rate"}},
	{4, 2, 12293, "2026-03-01 10:00:03+00", [4]string{"203.0.113.61", "3600", "", "other event"}},
	{5, 2, 4097, "2026-03-01 10:00:04+00", [4]string{"203.0.113.62", "3600", "", "Trunk failed to register"}},
	{6, 2, 12290, "2026-03-01 10:00:05+00", [4]string{"localhost\x1b", "3600", "", "no address"}},
	{7, 2, 12290, "2026-03-01 09:00:00+00", [4]string{"203.0.113.63", "3600", "", "too old"}},
	{8, 2, 12290, "2026-03-01 09:59:59.999+00", [4]string{"203.0.113.64", "3600", "", "just too old"}},
}

func (r row) sql(insert string) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	return strings.NewReplacer("$ID", fmt.Sprint(r.id), "$TYPE", fmt.Sprint(r.kind), "$EVENT", fmt.Sprint(r.event),
		"$AT", "timestamptz "+quote(r.at), "$P1", quote(r.params[0]), "$P2", quote(r.params[1]),
		"$P3", quote(r.params[2]), "$P4", quote(r.params[3])).Replace(insert)
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
	for _, schema := range schemas {
		t.Run(schema.name, func(t *testing.T) {
			sql := schema.ddl
			for _, r := range rows {
				sql += r.sql(schema.insert)
			}
			name := "v" + schema.name
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

			text, err := db.Schema(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"PostgreSQL", "Europe/Berlin", "primary key", "timestamp", "no table with blacklist"} {
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
	db := open(t, database(t, s, "purge", schemas[1].ddl))
	since := at(t, "2026-03-01 10:00:00Z")
	insert := func(id int, at, addr string) {
		s.Exec(t, "purge", row{id, 2, 12290, at, [4]string{addr, "60", "", ""}}.sql(schemas[1].insert))
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
	sql := schemas[0].ddl
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
	db := open(t, database(t, s, "many", schemas[1].ddl+fmt.Sprintf(`INSERT INTO eventlog
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
	stop := errors.New("stop")
	if err := db.Events(context.Background(), time.Time{}, func(Event) error { return stop }, nil); err != stop {
		t.Errorf("error of yield comes back as %v", err)
	}
	if _, err := db.Clock(context.Background()); err != nil {
		t.Errorf("after an error of yield: %v", err)
	}
}

func testBlacklist(t *testing.T, s *postgrestest.Server) {
	ctx := context.Background()
	opts := database(t, s, "black", `CREATE TABLE blacklist (idblacklist serial PRIMARY KEY, ipaddr varchar(50), ipmask varchar(50),
		blocktype integer, expiresat timestamp, description text, addedby integer);
		INSERT INTO blacklist (ipaddr, ipmask, blocktype, expiresat, description, addedby) VALUES
		('203.0.113.6', '255.255.255.255', 0, '2099-01-01 01:00', 'attack', 1),
		('203.0.113.0', '255.255.255.0', 0, NULL, NULL, NULL),
		('2001:db8::6', NULL, 0, 'infinity', '', 0),
		('203.0.113.61', '255.255.255.255', 0, '2020-01-01', 'expired', 1),
		('203.0.113.62', '255.255.255.255', 0, '2099-01-01', 'from the maker', 3),
		('bad'||chr(27), '255.255.255.255', 0, NULL, 'unreadable', 1),
		('192.0.2.0', '255.255.255.0', 1, NULL, 'trunk', 1),
		('192.0.2.99', '255.255.255.255', 1, '2099-01-01', 'allowed by the maker', 3),
		('198.51.100.1', '255.255.255.255', 1, '2020-01-01', 'no longer allowed', 1);
		INSERT INTO blacklist (ipaddr, ipmask, blocktype, addedby)
		SELECT host('198.18.0.0'::inet + i), '255.255.255.255', 0, 3 FROM generate_series(1, 5000) i`)
	db := open(t, opts)
	var got, skipped []string
	entry := func(e Entry) error {
		got = append(got, fmt.Sprintf("%v %s %s %q", e.Prefix, e.Time.Format(time.DateTime), e.Expires.Format(time.DateTime), e.Description))
		return nil
	}
	skip := func(row string, err error) { skipped = append(skipped, row+": "+err.Error()) }
	if err := db.Blacklist(ctx, entry, skip); err != nil {
		t.Fatal(err)
	}
	same(t, "blacklist", got,
		`203.0.113.6/32 0001-01-01 00:00:00 2099-01-01 00:00:00 "attack"`,
		`203.0.113.0/24 0001-01-01 00:00:00 0001-01-01 00:00:00 ""`,
		`2001:db8::6/128 0001-01-01 00:00:00 0001-01-01 00:00:00 ""`)
	same(t, "skipped", skipped, `blacklist: "bad\x1b 255.255.255.255": no address in it`)
	allowed, err := db.Allowed(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.99/32")}; !slices.Equal(allowed, want) {
		t.Errorf("allowed %v, want %v", allowed, want)
	}

	s.Exec(t, "black", `ALTER TABLE blacklist ADD added timestamptz DEFAULT '2026-03-01 10:00Z'; DELETE FROM blacklist WHERE idblacklist > 1`)
	got = nil
	if err := db.Blacklist(ctx, entry, skip); err != nil {
		t.Fatal(err)
	}
	same(t, "with a time", got, `203.0.113.6/32 2026-03-01 10:00:00 2099-01-01 00:00:00 "attack"`)

	s.Exec(t, "black", `ALTER TABLE blacklist RENAME addedby TO origin`)
	if err := db.Blacklist(ctx, entry, skip); !errors.Is(err, ErrColumns) || !strings.Contains(err.Error(), "addedby") {
		t.Errorf("without addedby: %v", err)
	}
	if _, err := db.Allowed(ctx, nil); err != nil {
		t.Errorf("allowed without addedby: %v", err)
	}
	s.Exec(t, "black", `DROP TABLE blacklist`)
	if _, err := db.Allowed(ctx, nil); !errors.Is(err, ErrTable) {
		t.Errorf("without table: %v", err)
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

func testErrors(t *testing.T, s *postgrestest.Server) {
	const password = "s3cret%2Fword"
	ctx := context.Background()
	database(t, s, "phone", schemas[1].ddl+`CREATE ROLE reader LOGIN PASSWORD 's3cret/word'; CREATE SCHEMA hidden;
		REVOKE CONNECT ON DATABASE q FROM PUBLIC; ALTER DATABASE phone SET log_statement = 'none';
		CREATE TABLE hidden.blacklist (ipaddr text, blocktype int, expiresat timestamp, addedby int);`)
	check := func(name string, err, kind error, words ...string) {
		t.Helper()
		if !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", name, err, kind)
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %T", name, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, e.Err, e.Err); strings.Contains(text, "s3cret") {
			t.Errorf("%s: password in %s", name, text)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: no %q in %v", name, word, err)
			}
		}
		t.Logf("%s: %v", name, err)
	}
	opening := func(dsn string) error {
		db, err := Open(ctx, Options{DSN: dsn})
		if err == nil {
			db.Close()
		}
		return err
	}
	events := func(db *DB) error { return db.Events(ctx, time.Time{}, func(Event) error { return nil }, nil) }

	check("wrong password", opening(s.URL("reader", "s3cret", "phone")), ErrLogin, "wrong password", `"reader"`)
	check("no such role", opening(s.DSN("nobody", "phone")), ErrLogin, `role "nobody" does not exist`)
	check("wrong database", opening(s.URL("reader", password, "fone")), ErrDatabase, `"fone"`, "database_single")
	check("may not connect", opening(s.URL("reader", password, "q")), ErrPrivilege, `GRANT CONNECT ON DATABASE "q" TO "reader"`)

	reader := open(t, Options{DSN: s.URL("reader", password, "phone")})
	check("may not read", events(reader), ErrPrivilege, `GRANT SELECT ON "public"."eventlog" TO "reader"`)
	_, err := reader.Allowed(ctx, nil)
	check("may not enter", err, ErrPrivilege, `GRANT USAGE ON SCHEMA "hidden" TO "reader"`, `GRANT SELECT ON "hidden"."blacklist" TO "reader"`)
	text, err := reader.Schema(ctx)
	if err != nil || !strings.Contains(text, "GRANT SELECT") || !strings.Contains(text, `"params" text[]`) || strings.Contains(text, "s3cret") {
		t.Errorf("schema without privilege: %v\n%s", err, text)
	}
	s.Exec(t, "phone", "GRANT SELECT ON eventlog TO reader")
	if err := events(reader); err != nil {
		t.Errorf("granted and no rows: %v", err)
	}
	s.Exec(t, "phone", "INSERT INTO eventlog VALUES (1, now(), 2, 12290, 'pbx', '{phone,60}')")
	check("no column with an address", events(reader), ErrColumns, `"computer", "params"`)

	slow := open(t, Options{DSN: s.DSN(postgrestest.Superuser, "phone"), StatementTimeout: 50 * time.Millisecond,
		Query: "SELECT 1, now(), pg_sleep(30)::text"})
	check("timeout", events(slow), ErrTimeout, "50ms")
	if _, err := slow.Clock(ctx); err != nil {
		t.Errorf("after a timeout: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := open(t, Options{DSN: s.DSN(postgrestest.Superuser, "phone")}).Clock(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	s.Exec(t, "phone", "ALTER TABLE eventlog RENAME timegenerated TO at")
	check("column missing", events(reader), ErrColumns, "no column timegenerated", `"public"."eventlog"`)
	s.Exec(t, "phone", "ALTER TABLE eventlog RENAME at TO timegenerated; ALTER TABLE eventlog ALTER timegenerated TYPE text")
	check("time is text", events(reader), ErrColumns, "not a timestamp")
	s.Exec(t, "phone", "DROP TABLE eventlog")
	check("no table", events(reader), ErrTable, "no table eventlog", `"phone"`)

	ini := filepath.Join(t.TempDir(), "3CXPhoneSystem.ini")
	os.WriteFile(ini, fmt.Appendf(nil, "DBPort = %d\nDBName = phone\nMasterDBUser = reader\nMasterDBPassword = s3cret/word\n", s.Port), 0o600)
	open(t, Options{INI: ini})

	s.Stop(t)
	check("stopped meanwhile", events(reader), ErrAway)
	check("away, port", opening(s.URL("reader", password, "phone")), ErrAway, "127.0.0.1", "refused")
	check("away, socket", opening(s.DSN("reader", "phone")), ErrAway, s.Dir)
	s.Restart(t)
	if err := opening(s.URL("reader", password, "phone")); err != nil {
		t.Errorf("back again: %v", err)
	}
}
