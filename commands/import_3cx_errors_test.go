//go:build linux

package commands

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"f2bc/store/threecx/postgrestest"
)

// Every failure has exit code 1, says what cures it, once, and leaves the mark where it is.
func testImportErrors(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.sql(`CREATE ROLE reader LOGIN PASSWORD 's3cret'; GRANT USAGE ON SCHEMA shifted TO reader; GRANT SELECT ON shifted.by TO reader;
		CREATE TABLE old (eventid int)`)
	b.imports()
	reader := []string{"--threecx-dsn", pg.URL("reader", "s3cret", b.name)}
	fails := func(what string, flags []string, words ...string) {
		t.Helper()
		out, said := b.run(1, slices.Concat([]string{"import-3cx"}, flags)...)
		has(t, what, said, words...)
		if out != "" {
			t.Errorf("%s: answer %q", what, out)
		}
		t.Logf("%s: %s", what, said)
		if _, said := b.run(1, slices.Concat([]string{"import-3cx"}, flags)...); said != "" {
			t.Errorf("%s: says %q again", what, said)
		}
		if _, said := b.run(1, slices.Concat([]string{"import-3cx", "--dry-run"}, flags)...); said == "" {
			t.Errorf("%s: a dry run says nothing", what)
		}
	}
	b.event(0, "203.0.113.6", "3600")
	fails("wrong password", []string{"--threecx-dsn", pg.URL("reader", "s3cret2", b.name)}, "wrong password", `"reader"`, "--threecx-ini")
	fails("no role", []string{"--threecx-dsn", pg.DSN("nobody", b.name)}, "phonesystem", "--threecx-ini")
	fails("wrong database", []string{"--threecx-dsn", pg.DSN(postgrestest.Superuser, "fone")}, `no database "fone"`, "--threecx-dsn")
	fails("another database", []string{"--threecx-dsn", pg.DSN(postgrestest.Superuser, "postgres")}, "no table eventlog", "--query")
	fails("no privilege", reader, `GRANT SELECT ON "public"."eventlog" TO "reader"`)
	fails("refused query", append([]string{"--query", "SELECT 1"}, b.flags...), "the query returns 1 columns, want three")
	fails("query of a missing table", append([]string{"--query", "SELECT 1, now(), 'x' FROM missing"}, b.flags...), `"missing" does not exist`)
	fails("unknown zone", append([]string{"--timezone", "Europe/Nowhere"}, b.flags...), `"Europe/Nowhere"`, "Europe/Berlin")
	fails("no ini", []string{"--threecx-ini", filepath.Join(b.dir, "missing.ini")}, "read 3CX configuration", "missing.ini")
	b.banned("nothing was imported")

	timeout := append([]string{"--query", "SELECT 1, pg_catalog.now(), pg_sleep(60)::text"}, b.flags...)
	stop := make(chan bool)
	cancelled := make(chan bool)
	go func() { // what statement_timeout does, without the wait
		defer close(cancelled)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				pg.Exec(t, "postgres", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'f2bc' AND wait_event = 'PgSleep'")
			}
		}
	}()
	fails("timeout", timeout, "cancelled a statement (limit 30s)", "locked")
	close(stop)
	<-cancelled

	b.sql("SET search_path = public; ALTER TABLE eventlog RENAME timegenerated TO happened")
	fails("unknown version", b.flags, "no column timegenerated", "--query", "--show-schema")
	out, _ := b.run(0, slices.Concat([]string{"import-3cx", "--show-schema"}, b.flags)...)
	has(t, "schema", out, `"happened" timestamp with time zone`, "no column timegenerated")
	b.sql("SET search_path = public; ALTER TABLE eventlog RENAME happened TO timegenerated")

	// All of it was before the mark moved, so nothing is lost; and granted, the role does.
	b.sql("GRANT SELECT ON public.eventlog TO reader; REVOKE ALL ON public.blacklist FROM reader")
	_, said := b.run(0, slices.Concat([]string{"import-3cx"}, reader)...)
	if said != "f2bc: works again\n" { // the missing list of what is allowed was said today
		t.Errorf("granted: %q", said)
	}
	b.banned("granted", "203.0.113.6")

	b.changeState(func(m *marks) { m.Mark = m.Mark.Add(-2 * time.Hour) })
	b.event(time.Hour, "203.0.113.7", "")
	pg.Stop(t)
	fails("away", b.flags, fmt.Sprint(pg.Port), "is it running", "--threecx-dsn")
	pg.Restart(t)
	has(t, "back", b.imports(), "works again")
	b.banned("back", "203.0.113.6", "203.0.113.7")
}
