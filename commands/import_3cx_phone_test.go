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
	CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz AS
		'SELECT pg_catalog.clock_timestamp() + d FROM shifted.by' LANGUAGE sql;
	CREATE FUNCTION shifted.now() RETURNS timestamptz AS 'SELECT pg_catalog.now() + d FROM shifted.by' LANGUAGE sql;
	ALTER DATABASE %s SET search_path = shifted, pg_catalog, public;`

const blacklistTable = `CREATE TABLE blacklist (id serial PRIMARY KEY, ipaddr varchar(50), ipmask varchar(50),
	blocktype integer, expiresat timestamptz, description text, addedby integer);`

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
		At:     at.UTC().Format("2006-01-02 15:04:05.999999Z07:00"),
		Params: [4]string{addr, seconds, "", "too many failed authentications"}}))
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
	err = st.Bans(context.Background(), store.Filter{}, func(p netip.Prefix, _ bool) {
		got = append(got, aggregate.Text(p))
	})
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
