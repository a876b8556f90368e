package commands

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/store"
)

// embeddedHost is a host with an embedded store, and that store's file.
func embeddedHost(t *testing.T) (run func(want int, args ...string) string, db *sql.DB) {
	t.Helper()
	dir := t.TempDir()
	f := &testFleet{t: t, state: map[string]string{"web1": dir}}
	path := filepath.Join(dir, "f2bc.db")
	run = func(want int, args ...string) string {
		t.Helper()
		return f.run("", "web1", want, append([]string{"--dsn", "sqlite://" + path}, args...)...)
	}
	run(0, "init")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return run, db
}

// TestUnbanInVain: an unban after which what it was to lift still bans is a failure, as a report that another server
// makes in the same moment, with a later date, shows.
func TestUnbanInVain(t *testing.T) {
	run, db := embeddedHost(t)
	again := func(source string) {
		t.Helper()
		for _, statement := range []string{"DROP TRIGGER IF EXISTS again", fmt.Sprintf(`
CREATE TRIGGER again AFTER INSERT ON lift BEGIN
  INSERT INTO report (addr, len, source, reason, at, expires, longest)
  VALUES (X'CB007106', 32, CAST('%s' AS BLOB), CAST('sshd' AS BLOB),
    new.at + 1, new.at + 3600000000, new.at + 3600000000)
  ON CONFLICT DO UPDATE SET at = excluded.at;
END`, source)} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(0, "ban", "203.0.113.6")
	again("web2")
	out := run(1, "unban", "203.0.113.0/24")
	wantText(t, out, "f2bc: 203.0.113.6 is still banned by web2 (sshd), whose report is dated 20")
	if strings.Count(out, "\n") != 1 {
		t.Errorf("printed %q", out)
	}
	// Of another source or reason it was not to lift anything.
	for _, args := range []string{"--source web1 203.0.113.0/25", "--reason manual 203.0.113.0/26"} {
		out = run(0, append([]string{"unban"}, strings.Fields(args)...)...)
		wantText(t, out, "203.0.113.6 is still banned by web2 (sshd), which was not to be lifted\n")
	}
	run(0, "unban", "--own", "203.0.113.0/27")
	again("web1")
	wantText(t, run(1, "unban", "--own", "203.0.113.0/28"),
		"f2bc: 203.0.113.6 is still banned by web1 (sshd), whose report is dated 20")
	wantText(t, run(1, "unban", "--source", "web1", "--reason", "sshd", "203.0.113.0/29"),
		"still banned by web1 (sshd), whose")
	if _, err := db.Exec("DROP TRIGGER again"); err != nil {
		t.Fatal(err)
	}
	run(0, "unban", "203.0.113.6")
	wantText(t, run(0, "export"), "# f2bc: 0 prefixes\n")
}

// TestUnbanAhead: what a wrong clock dated a year ahead is no ban, and is lifted at once and for good.
func TestUnbanAhead(t *testing.T) {
	run, db := embeddedHost(t)
	year := store.TimeOf(time.Now().AddDate(1, 0, 0))
	for _, unban := range [][]string{
		{"unban", "203.0.113.6"}, {"unban", "203.0.113.0/24"}, {"unban", "--own", "203.0.113.6"},
		{"unban", "--own", "--reason", "sshd", "203.0.113.6"},
		{"unban", "--source", "web1", "--reason", "sshd", "203.0.113.0/28"},
	} {
		_, err := db.Exec(`
INSERT INTO report (addr, len, source, reason, at, expires, longest)
VALUES (X'CB007106', 32, CAST('web1' AS BLOB), CAST('sshd' AS BLOB), ?, ?, ?)
ON CONFLICT DO UPDATE SET at = excluded.at, expires = excluded.expires, longest = excluded.longest, lifted = 0`,
			year, year+1e12, year+1e12)
		if err != nil {
			t.Fatal(err)
		}
		if out := run(0, "export"); out != "# f2bc: 0 prefixes\n" {
			t.Errorf("ahead: %s", out)
		}
		run(0, unban...)
		var at, expires, longest, forced int64
		err = db.QueryRow("SELECT at, expires, longest, forced FROM report").Scan(&at, &expires, &longest, &forced)
		if err != nil {
			t.Fatal(err)
		}
		if at != 0 || expires != 0 || longest != 0 || forced != 0 {
			t.Errorf("%q leaves at %d, expires %d, longest %d", unban, at, expires, longest)
		}
		// It is a row like any other.
		run(0, "ban", "--reason", "sshd", "203.0.113.6")
		wantText(t, run(0, "export"), "203.0.113.6\n")
		run(0, "unban", "203.0.113.6")
		if out := run(0, "export"); out != "# f2bc: 0 prefixes\n" {
			t.Errorf("unbanned: %s", out)
		}
	}
}
