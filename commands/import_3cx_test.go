//go:build linux

package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/store"
	"f2bc/store/threecx/postgrestest"
)

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
