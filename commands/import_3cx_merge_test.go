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
	"f2bc/store/mariadbtest"
	"f2bc/store/state"
	"f2bc/store/threecx/postgrestest"
)

func testImportUnban(t *testing.T, pg *postgrestest.Server) {
	t.Run("embedded", func(t *testing.T) { importUnban(newPhone(t, pg, 1)) })
	t.Run("mariadb", func(t *testing.T) {
		b := newPhone(t, pg, 1)
		db := mariadbtest.New(t)
		if err := db.Start(); err != nil {
			t.Fatal(err)
		}
		b.store(db.DSN(db.Database(t)))
		b.run(0, "init")
		importUnban(b)
		importAway(b, db)
	})
}

func importUnban(b *phone) {
	at := b.event(2*time.Minute, "203.0.113.6", "3600")
	b.event(time.Minute, "203.0.113.7", "3600")
	b.imports()
	b.banned("imported", "203.0.113.6", "203.0.113.7")
	if got := b.report("203.0.113.6"); got.At != store.TimeOf(at) {
		b.t.Errorf("reported at %v, happened at %v", got.At.Std(), at)
	}
	before := b.history()
	b.run(0, "unban", "203.0.113.6")
	b.imports()
	b.banned("imported again after an unban", "203.0.113.7")
	b.forget()
	b.imports("--since", "1h")
	b.banned("imported again without a mark", "203.0.113.7")
	if after := b.history(); strings.Count(after, "\n") != strings.Count(before, "\n")+1 { // the lift
		b.t.Errorf("history was\n%sand is\n%s", before, after)
	}
	b.event(0, "203.0.113.6", "3600")
	b.imports()
	b.banned("blacklisted anew", "203.0.113.6", "203.0.113.7")
}

// importAway: while the store is away the mark stays, and the next run imports what the window no longer shows.
func importAway(b *phone, db *mariadbtest.Server) {
	const hour = time.Hour
	b.changeState(func(m *marks) { m.Mark = m.Mark.Add(-hour) })
	b.event(50*time.Minute, "203.0.113.8", "7200")
	state, err := os.ReadFile(b.files()[0])
	if err != nil {
		b.t.Fatal(err)
	}
	db.Stop()
	_, said := b.run(1, append([]string{"import-3cx"}, b.flags...)...)
	has(b.t, "away", said, "nothing is imported, the next run will do it", "connect")
	_, said = b.run(1, append([]string{"import-3cx"}, b.flags...)...)
	if said != "" {
		b.t.Errorf("still away, says %q again", said)
	}
	if now, err := os.ReadFile(b.files()[0]); err != nil || string(now) != string(state) {
		b.t.Errorf("the mark was %s and is %s, %v", state, now, err)
	}
	if err := db.Start(); err != nil {
		b.t.Fatal(err)
	}
	has(b.t, "back", b.imports(), "works again")
	b.banned("after the outage", "203.0.113.6", "203.0.113.7", "203.0.113.8")
	before := b.history()
	b.imports("--since", "2h")
	if after := b.history(); after != before {
		b.t.Errorf("history was\n%sand is\n%s", before, after)
	}
}

// The event log is purged, the ids begin anew, and a backup brings back what was purged.
func testImportPurge(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.id = 999
	first := time.Now().Add(-5 * time.Minute)
	b.eventAt(first, "203.0.113.6", "3600")
	b.imports()
	b.run(0, "unban", "203.0.113.6")
	b.sql("DELETE FROM public.eventlog")
	b.imports()
	b.id = 0
	b.event(0, "203.0.113.7", "3600")
	b.imports()
	b.banned("ids anew", "203.0.113.7")
	b.id = 999
	b.eventAt(first, "203.0.113.6", "3600")
	b.id = 1
	b.event(0, "203.0.113.8", "3600")
	b.imports()
	b.banned("backup restored", "203.0.113.7", "203.0.113.8")
}

// A run after a pause reads from the mark, not only the window.
func testImportOutage(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 0)
	b.imports()
	b.changeState(func(m *marks) { m.Mark = m.Mark.Add(-48 * time.Hour) })
	b.event(49*time.Hour, "203.0.113.6", "") // before it
	b.event(47*time.Hour, "203.0.113.7", "")
	b.event(time.Minute, "203.0.113.8", "")
	b.imports()
	b.banned("caught up", "203.0.113.7", "203.0.113.8")
	b.forget()
	b.event(47*time.Hour, "203.0.113.9", "")
	b.imports()
	b.banned("without mark", "203.0.113.7", "203.0.113.8")
	b.imports("--since", "3d")
	b.banned("a longer window", "203.0.113.6", "203.0.113.7", "203.0.113.8", "203.0.113.9")
}

func testImportOneAtATime(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.event(0, "203.0.113.6", "3600")
	b.imports()
	lock := strings.TrimSuffix(b.files()[0], ".json") + ".lock"
	unlock, err := state.Dir(filepath.Dir(lock)).Lock(t.Context(), state.Lock{Name: filepath.Base(lock)})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	_, said := b.run(1, append([]string{"import-3cx"}, b.flags...)...)
	has(t, "locked", said, "another import-3cx is still at it", lock)
	unlock()
	b.imports()
}

func testImportLostState(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.event(0, "203.0.113.6", "3600")
	b.imports()
	if err := os.WriteFile(b.files()[0], []byte("{ half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	has(t, "damaged", b.imports(), b.files()[0]+" is not used")
	if said := b.imports(); said != "" {
		t.Errorf("repaired, and says %q", said)
	}
	b.forget()
	if err := os.WriteFile(filepath.Join(b.dir, "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, said := b.run(1, append([]string{"import-3cx"}, b.flags...)...)
	has(t, "no state directory", said, "make the state directory")
}

// More events than the 2,000 that are in memory at a time; BenchmarkCompareImport3CX has 200,000.
func testImportMany(t *testing.T, pg *postgrestest.Server) {
	const n = 2*2000 + 1
	b := newPhone(t, pg, 1)
	b.manyEvents(n)
	b.imports()
	before := b.history()
	b.imports()
	if b.history() != before {
		t.Error("the second run changed the history")
	}
	out, _ := b.run(0, "list", "--format", "csv")
	if got := strings.Count(out, "\n") - 1; got != n {
		t.Errorf("%d bans, want %d", got, n)
	}
}

func (b *phone) manyEvents(n int) {
	b.sql(fmt.Sprintf(`INSERT INTO public.eventlog SELECT i, pg_catalog.now() - interval '1 s' * i / 1000, 2, 12290, 'pbx',
		ARRAY[host('203.0.113.0'::inet + i), '3600', '', repeat('x', 100)] FROM generate_series(1, %d) i`, n))
}

// What must never be banned is named once a day, and is no failure.
func testImportNeverBan(t *testing.T, pg *postgrestest.Server) {
	b := newPhone(t, pg, 1)
	b.run(0, "allow", "add", "203.0.113.6")
	b.sql(`INSERT INTO public.blacklist (ipaddr, ipmask, blocktype) VALUES ('198.51.100.0', '255.255.255.0', 1), ('broken', '', 1)`)
	for _, addr := range []string{"203.0.113.6", "10.0.0.5", "198.51.100.9", "203.0.113.7", "203.0.113.8 and 203.0.113.9"} {
		b.event(time.Minute, addr, "3600")
	}
	said := b.imports()
	has(t, "first run", said, "203.0.113.6 must never be banned", "10.0.0.5 is not globally routable", `skipped blacklist: "broken"`,
		"198.51.100.9 is not reported: the phone system allows it", `skipped event 5: "203.0.113.8 and 203.0.113.9`)
	b.banned("first run", "203.0.113.7")
	if said := b.imports(); said != "" {
		t.Errorf("second run says %q", said)
	}
	b.event(0, "10.0.0.6", "3600")
	if said := b.imports(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "10.0.0.6") {
		t.Errorf("third run says %q", said)
	}
	// A day later.
	file, err := filepath.Glob(filepath.Join(b.dir, "state/*.said.json"))
	if err != nil || len(file) != 1 {
		t.Fatalf("%q, %v", file, err)
	}
	text, err := os.ReadFile(file[0])
	if err != nil {
		t.Fatal(err)
	}
	today, before := time.Now().Format("2006-01-02T"), time.Now().AddDate(0, 0, -2).Format("2006-01-02T")
	if err := os.WriteFile(file[0], []byte(strings.ReplaceAll(string(text), today, before)), 0o600); err != nil {
		t.Fatal(err)
	}
	has(t, "a day later", b.imports(), "203.0.113.6 must never be banned", "10.0.0.6 is not")

	b.sql("DROP TABLE public.blacklist")
	b.event(0, "203.0.113.10", "3600")
	has(t, "no list", b.imports(), "what the phone system itself allows is not known", "f2bc allow add", "no table blacklist")
	b.banned("without the list", "198.51.100.9", "203.0.113.10", "203.0.113.7")

	var many []string
	for i := range 300 {
		many = append(many, b.schema.Insert(postgrestest.Event{ID: 1000 + i, Type: 2, Event: 12290, At: time.Now().Add(-2 * time.Minute).Format(time.RFC3339),
			Params: [4]string{fmt.Sprint("nonsense ", i)}}))
	}
	b.sql("SET search_path = public;" + strings.Join(slices.Clone(many), ""))
	said = b.imports()
	if lines := strings.Count(said, "\n"); lines > 100 || !strings.Contains(said, "more like that") {
		t.Errorf("%d lines: %q", lines, said)
	}
}
