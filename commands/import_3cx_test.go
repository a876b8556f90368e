//go:build linux

package commands

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/aggregate"
	"f2bc/store"
	"f2bc/store/state"
	"f2bc/store/threecx/postgrestest"
)

// phone is a 3CX phone system, and f2bc on it with a store of its own.
type phone struct {
	t      testing.TB
	pg     *postgrestest.Server
	schema postgrestest.Schema
	name   string // of the database
	dir    string
	dsn    string   // of the store
	flags  []string // of every import
	id     int      // of the last event
	ahead  time.Duration
}

// shiftedClock is a clock that can be set: PostgreSQL looks for functions in this schema first.
const shiftedClock = `CREATE SCHEMA shifted; CREATE TABLE shifted.by AS SELECT interval '0' AS d;
	CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz AS 'SELECT pg_catalog.clock_timestamp() + d FROM shifted.by' LANGUAGE sql;
	CREATE FUNCTION shifted.now() RETURNS timestamptz AS 'SELECT pg_catalog.now() + d FROM shifted.by' LANGUAGE sql;
	ALTER DATABASE %s SET search_path = shifted, pg_catalog, public;`

const blacklistTable = `CREATE TABLE blacklist (id serial PRIMARY KEY, ipaddr varchar(50), ipmask varchar(50), blocktype integer,
	expiresat timestamptz, description text, addedby integer);`

func newPhone(t testing.TB, pg *postgrestest.Server, schema int) *phone {
	t.Helper()
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, value)
			os.Unsetenv(name)
		}
	}
	defer func(old string) { t.Cleanup(func() { syslogSocket = old }) }(syslogSocket)
	b := &phone{t: t, pg: pg, schema: postgrestest.Schemas[schema], dir: t.TempDir()}
	syslogSocket = filepath.Join(b.dir, "nobody")
	b.name = "phone_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
	pg.Exec(t, "postgres", "CREATE DATABASE "+b.name)
	b.sql(fmt.Sprintf(shiftedClock, b.name) + "SET search_path = public;" + b.schema.DDL + blacklistTable)
	b.flags = []string{"--threecx-dsn", pg.DSN(postgrestest.Superuser, b.name)}
	b.store("sqlite://" + filepath.Join(b.dir, "f2bc.db"))
	return b
}

func (b *phone) sql(sql string) { b.t.Helper(); b.pg.Exec(b.t, b.name, sql) }

// store configures the store.
func (b *phone) store(dsn string) {
	b.t.Helper()
	b.dsn = dsn
	text := fmt.Sprintf("dsn = %q\nsource = \"pbx\"\nstate_dir = %q\n", dsn, filepath.Join(b.dir, "state"))
	if err := os.WriteFile(filepath.Join(b.dir, "f2bc.toml"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// run runs f2bc as cron does, without a terminal.
func (b *phone) run(code int, args ...string) (stdout, stderr string) {
	b.t.Helper()
	var out, err bytes.Buffer
	args = append([]string{"f2bc", "--config", filepath.Join(b.dir, "f2bc.toml")}, args...)
	if got := Run(context.Background(), args, strings.NewReader(""), &out, &err); got != code {
		b.t.Fatalf("%q: exit code %d, want %d: %s", args, got, code, err.String())
	}
	for _, text := range []string{out.String(), err.String()} {
		if strings.Contains(text, "s3cret") {
			b.t.Errorf("%q prints a password: %s", args, text)
		}
	}
	return out.String(), err.String()
}

// imports runs import-3cx, which must succeed, and returns what it said.
func (b *phone) imports(flags ...string) string {
	b.t.Helper()
	out, said := b.run(0, slices.Concat([]string{"import-3cx"}, b.flags, flags)...)
	if out != "" {
		b.t.Errorf("import-3cx answers %q", out)
	}
	return said
}

func (b *phone) dryRun(flags ...string) string {
	b.t.Helper()
	out, _ := b.run(0, slices.Concat([]string{"import-3cx", "--dry-run"}, b.flags, flags)...)
	return out
}

// event writes into the event log that 3CX has blacklisted an address so long ago, and returns when that really was.
func (b *phone) event(ago time.Duration, addr, seconds string) time.Time {
	b.t.Helper()
	at := time.Now().Add(-ago).Truncate(time.Millisecond)
	b.eventAt(at.Add(b.ahead), addr, seconds)
	return at
}

// eventAt is event at a time of the box's clock.
func (b *phone) eventAt(at time.Time, addr, seconds string) {
	b.t.Helper()
	b.id++
	b.sql("SET search_path = public;" + b.schema.Insert(postgrestest.Event{ID: b.id, Type: 2, Event: 12290,
		At: at.UTC().Format("2006-01-02 15:04:05.999999Z07:00"), Params: [4]string{addr, seconds, "", "too many failed authentications"}}))
}

// setClock sets the box's clock.
func (b *phone) setClock(ahead time.Duration) {
	b.t.Helper()
	b.ahead = ahead
	b.sql(fmt.Sprintf("UPDATE shifted.by SET d = interval '%d microseconds'", ahead.Microseconds()))
}

// forget removes the marks.
func (b *phone) forget() {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.dir, "state")); err != nil {
		b.t.Fatal(err)
	}
}

// files returns the state files.
func (b *phone) files() []string {
	files, err := filepath.Glob(filepath.Join(b.dir, "state/import-3cx-????????.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	return files
}

// marks is what a run leaves for the next one, as the state files have it.
type marks struct {
	Mark  time.Time     `json:"mark"`
	Ahead time.Duration `json:"ahead"`
	Read  time.Time     `json:"read"`
	Steps []struct {
		Until time.Time     `json:"until"`
		Ahead time.Duration `json:"ahead"`
	} `json:"steps,omitempty"`
}

// changeState rewrites the state files.
func (b *phone) changeState(change func(*marks)) {
	b.t.Helper()
	files := b.files()
	if len(files) == 0 {
		b.t.Fatal("no state file")
	}
	for _, file := range files {
		var m marks
		dir := state.Dir(filepath.Dir(file))
		if err := dir.ReadJSON(filepath.Base(file), &m); err != nil {
			b.t.Fatal(err)
		}
		change(&m)
		if err := dir.WriteJSON(filepath.Base(file), m); err != nil {
			b.t.Fatal(err)
		}
	}
}

// about returns the reports on an address.
func (b *phone) about(addr string) []store.Report {
	b.t.Helper()
	st, err := store.Open(context.Background(), store.Options{DSN: b.dsn})
	if err != nil {
		b.t.Fatal(err)
	}
	defer st.Close()
	p, err := aggregate.ParsePrefix(addr)
	if err != nil {
		b.t.Fatal(err)
	}
	reports, _, err := st.About(context.Background(), p)
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.DeleteFunc(reports, func(r store.Report) bool { return r.Prefix != p })
}

// report returns the only report on an address.
func (b *phone) report(addr string) store.Report {
	b.t.Helper()
	reports := b.about(addr)
	if len(reports) != 1 {
		b.t.Fatalf("reports on %s: %v, want one", addr, reports)
	}
	return reports[0]
}

func (b *phone) history() string {
	b.t.Helper()
	out, _ := b.run(0, "list", "--history", "--format", "csv")
	return out
}

// banned checks which addresses are banned, and no others.
func (b *phone) banned(what string, want ...string) {
	b.t.Helper()
	st, err := store.Open(context.Background(), store.Options{DSN: b.dsn})
	if err != nil {
		b.t.Fatal(err)
	}
	defer st.Close()
	var got []string
	err = st.Bans(context.Background(), store.Filter{}, func(p netip.Prefix, _ bool) { got = append(got, aggregate.Text(p)) })
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		b.t.Errorf("%s: banned are %q, want %q, %v", what, got, want, err)
	}
}

func has(t testing.TB, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s: no %q in %q", what, word, text)
		}
	}
}

func TestImport3CX(t *testing.T) {
	pg := postgrestest.Start(t, "timezone=Europe/Berlin")
	for name, test := range map[string]func(*testing.T, *postgrestest.Server){
		"versions":           testImportVersions,
		"flags":              testImportFlags,
		"unban stays":        testImportUnban,
		"purge":              testImportPurge,
		"outage":             testImportOutage,
		"wrong clock":        testImportWrongClock,
		"clock set back":     testImportSetBack,
		"clock set back off": testImportSetBackInOutage,
		"summer time":        testImportSummerTime,
		"future":             testImportFuture,
		"never ban":          testImportNeverBan,
		"blacklist":          testImportBlacklist,
		"blacklist dated":    testImportBlacklistDated,
		"one at a time":      testImportOneAtATime,
		"lost state":         testImportLostState,
		"many":               testImportMany,
	} {
		t.Run(name, func(t *testing.T) { test(t, pg) })
	}
	t.Run("errors", func(t *testing.T) { testImportErrors(t, pg) }) // last: it stops the server
}

// Three versions with the same events give the same reports.
func testImportVersions(t *testing.T, pg *postgrestest.Server) {
	at := time.Now().Add(-5 * time.Minute).Truncate(time.Millisecond).UTC()
	var first string
	for i := range postgrestest.Schemas {
		t.Run(postgrestest.Schemas[i].Name, func(t *testing.T) {
			b := newPhone(t, pg, i)
			for _, e := range []postgrestest.Event{
				{Type: 2, Event: 12290, Params: [4]string{"203.0.113.6", "3600", "x", "too many failed authentications"}},
				{Type: 1, Event: 12292, Params: [4]string{"[2001:db8::6]:5060", "86400", "x", "rate"}},
				{Type: 2, Event: 12290, Params: [4]string{"203.0.113.7", "forever", "x", "no ban time"}},
				{Type: 4, Event: 12290, Params: [4]string{"203.0.113.60", "3600", "x", "information"}},
				{Type: 2, Event: 12293, Params: [4]string{"203.0.113.61", "3600", "x", "another event"}},
				{Type: 2, Event: 4097, Params: [4]string{"203.0.113.62", "3600", "x", "a trunk failed to register"}},
				{Type: 2, Event: 12290, Params: [4]string{"unknown\x1b", "3600", "x", "no address"}},
				{Type: 2, Event: 12290, Params: [4]string{"from 203.0.113.63 to 203.0.113.64", "3600", "x", "two addresses"}},
			} {
				b.id++
				e.ID, e.At = b.id, at.Add(time.Duration(b.id)*time.Second).Format(time.RFC3339Nano)
				b.sql("SET search_path = public;" + b.schema.Insert(e))
			}
			out, said := b.run(0, slices.Concat([]string{"import-3cx", "--dry-run"}, b.flags)...)
			line := func(i int, rest string) string {
				return at.Add(time.Duration(i)*time.Second).Format(time.RFC3339Nano) + " " + rest + " pbx 3CX-banned\n"
			}
			want := line(1, "203.0.113.6 until "+at.Add(time.Second+time.Hour).Format(time.RFC3339)) +
				line(2, "2001:db8::6 until "+at.Add(2*time.Second+24*time.Hour).Format(time.RFC3339)) +
				line(3, "203.0.113.7 until permanent")
			if out != want {
				t.Errorf("dry run:\n%swant\n%s", out, want)
			}
			if first == "" {
				first = out
			} else if out != first {
				t.Errorf("differs from the first version:\n%s", out)
			}
			has(t, "skipped", said, `unknown\x1b`, "no address in it", "from 203.0.113.63 to 203.0.113.64", "two addresses in it")
			b.banned("a dry run writes nothing")
			if b.files() != nil {
				t.Errorf("a dry run leaves %q", b.files())
			}
			b.imports()
			b.banned("imported", "203.0.113.6", "203.0.113.7", "2001:db8::6")
			if r := b.report("203.0.113.6"); r.At != store.TimeOf(at.Add(time.Second)) || r.Expires != r.At.Add(time.Hour) || r.Source != "pbx" || r.Reason != "3CX-banned" {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func testImportFlags(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.event(time.Minute, "203.0.113.6", "")
	b.event(time.Hour, "203.0.113.7", "7200")
	has(t, "defaults", b.dryRun(), "203.0.113.6 until permanent pbx 3CX-banned\n")
	out := b.dryRun("--since", "2h", "--bantime", "30d", "--keep-reason", "--source", "box")
	has(t, "flags", out, "203.0.113.7 until ", "203.0.113.6 until "+time.Now().Add(30*24*time.Hour-time.Minute).UTC().Format("2006-01-02T"),
		" box too many failed authentications\n")
	if out := b.dryRun("--events", "12292, 12293"); out != "" {
		t.Errorf("other events: %q", out)
	}
	out = b.dryRun("--query", "SELECT idevent, timegenerated, params FROM public.eventlog", "--since", "2h")
	if strings.Count(out, "\n") != 2 {
		t.Errorf("query: %q", out)
	}

	b.imports()
	b.imports("--source", "box")
	if len(b.files()) != 2 {
		t.Errorf("two sources leave %q", b.files())
	}
	for _, file := range b.files() {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
		}
	}

	ini := filepath.Join(b.dir, "3CXPhoneSystem.ini")
	text := fmt.Sprintf("[CfgServerProfile]\nDBHost = 127.0.0.1\nDBPort = %d\nDBName = %s\nMasterDBUser = ini\nMasterDBPassword = s3cret\n", pg.Port, b.name)
	if err := os.WriteFile(ini, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.sql("CREATE ROLE ini LOGIN PASSWORD 's3cret'; GRANT SELECT ON ALL TABLES IN SCHEMA public, shifted TO ini; GRANT USAGE ON SCHEMA shifted TO ini")
	out, _ = b.run(0, "import-3cx", "--dry-run", "--threecx-ini", ini)
	has(t, "ini", out, "203.0.113.6 until permanent")
	out, _ = b.run(0, "import-3cx", "--show-schema", "--threecx-ini", ini)
	has(t, "schema", out, `table "public"."eventlog"`, `"params" text[]`, "role      ini", "newest: ")
}
