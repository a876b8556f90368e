package commands

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"f2bc/commands/lab"
)

// TestDumpWithoutRoutines: a database that was restored from a dump without its procedures takes no bans from servers.
// They wait, the message names the cure, and after it they are delivered.
func TestDumpWithoutRoutines(t *testing.T) {
	lab.Need(t, "mariadb-client", "mariadb-dump", "mariadb")
	f := newTestFleet(t, startMariaDB(t), "web1", "web2")
	f.host("web1", 0, "ban", "203.0.113.1", "203.0.113.2")
	f.host("web1", 0, "ban", "203.0.113.3")
	f.host("web1", 0, "unban", "--own", "203.0.113.2")
	before := f.host("web2", 0, "list") + f.host("web2", 0, "list", "--history", "--format", "csv")

	socket := "--socket=" + f.server.Socket()
	dump := exec.Command("mariadb-dump", "--no-defaults", "--user=root", socket, f.database)
	text, err := dump.Output()
	if err != nil {
		t.Fatalf("mariadb-dump: %v", err)
	}
	f.sql("DROP DATABASE " + f.database)
	f.sql("CREATE DATABASE " + f.database)
	load := exec.Command("mariadb", "--no-defaults", "--user=root", socket, f.database)
	load.Stdin = strings.NewReader(string(text))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("mariadb: %v\n%s", err, out)
	}
	f.db = f.server.Open(t, f.database)

	const cure = "the database has lost f2bc's procedures, as a dump without --routines does: " +
		"run f2bc init with the owner's configuration"
	wantText(t, f.host("web1", 0, "ban", "203.0.113.4"),
		"f2bc: 1 fact waits in the outbox until the store takes them: ", cure)
	wantText(t, f.host("web2", 0, "ban", "203.0.113.5", "203.0.113.6"),
		"f2bc: 2 facts wait in the outbox until the store takes them: ", cure)
	wantText(t, f.host("web1", 0, "unban", "--own", "203.0.113.1"), "waits in the outbox", cure)
	out := f.host("web2", 0, "list")
	wantText(t, out, "deliver what waits in the outbox: ", cure, "203.0.113.1 ", "203.0.113.3 ")
	if strings.Contains(out, "203.0.113.4") || strings.Contains(out, "set aside") {
		t.Errorf("list: %s", out)
	}
	wantText(t, f.host("web1", 1, "status"), "outbox  BAD  2 facts wait for the store", cure)
	// People's accounts need none.
	f.run("f2bc_admin", "hub", 0, "ban", "203.0.113.7")

	f.run("f2bc_owner", "hub", 0, "init")
	wantText(t, f.host("web1", 0, "list"), "f2bc: delivered 2 facts from the outbox\n")
	wantText(t, f.host("web2", 0, "export"), "f2bc: delivered 2 facts from the outbox\n")
	if got := f.banned("web1"); got != "203.0.113.3 203.0.113.4/30" {
		t.Errorf("banned: %s", got)
	}
	f.host("web1", 0, "unban", "--own", "203.0.113.4")
	f.host("web2", 0, "unban", "--own", "203.0.113.4/30")
	f.run("f2bc_admin", "hub", 0, "unban", "203.0.113.7")
	f.host("web1", 0, "ban", "203.0.113.1")
	after := f.host("web2", 0, "list") + f.host("web2", 0, "list", "--history", "--format", "csv")
	for line := range strings.Lines(before) {
		if !strings.HasPrefix(line, "203") || !strings.Contains(line, ".1 ") { // that one was banned anew
			wantText(t, after, line)
		}
	}
}

// TestUpgradeSQLite: the newer program upgrades an embedded store when it opens it, and the older one goes on using it.
func TestUpgradeSQLite(t *testing.T) {
	old := oldProgram(t)
	h := newLabHost(t, "web1")
	h.Configure("sqlite://"+h.Path("f2bc.db"), "")
	before, after := member{h, t, old}, member{h, t, lab.Program}
	before.run("ban", "--reason", "sshd", "203.0.113.1", "203.0.113.2", "2001:db8::/64")
	before.run("ban", "--source", "web2", "--bantime", "24h", "203.0.113.1")
	before.run("ban", "--force", "192.168.7.0/24")
	before.run("unban", "--own", "--reason", "sshd", "203.0.113.2")
	before.run("unban", "2001:db8::/32")
	before.run("allow", "add", "192.0.2.7")
	before.run("sync-routes")
	if _, _, code := before.try(manyHosts("203.1.0.0", 20_000), "ban", "-"); code != 0 {
		t.Fatal(code)
	}
	before.run("unban", "203.1.0.0/16")
	seen := before.run("list", "--source", "web2", "--format", "json")

	// All at once, so that some read in the middle of the upgrade.
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			m := []member{before, after}[i%2]
			if got := m.run("list", "--source", "web2", "--format", "json"); got != seen {
				t.Errorf("%s sees\n%s, not\n%s", filepath.Base(m.program), got, seen)
			}
			_, stderr, code := m.try("", "ban", "--reason", "together", fmt.Sprint("198.51.100.", i))
			if code != 0 || strings.Contains(stderr, "outbox") {
				t.Errorf("%s ban: exit code %d: %s", filepath.Base(m.program), code, stderr)
			}
		})
	}
	group.Wait()
	agree := func(want string) {
		t.Helper()
		if a, b := before.look(), after.look(); a != b || !strings.Contains(a, want) {
			t.Errorf("the older program sees\n%s, the newer\n%s, want %q", a, b, want)
		}
	}
	agree("\n192.168.7.0/24\n198.51.100.0/29\n198.51.100.8/30\n203.0.113.1\n")

	// Each takes what the other wrote for its own, also after the older one is back.
	before.run("ban", "203.0.113.8")
	before.run("unban", "198.51.100.8/30")
	after.run("unban", "--own", "203.0.113.8")
	after.run("ban", "203.0.113.9")
	before.run("unban", "--own", "--reason", "together", "198.51.100.0")
	before.run("sync-routes")
	before.run("prune")
	agree("\n192.168.7.0/24\n198.51.100.1\n198.51.100.2/31\n198.51.100.4/30\n203.0.113.1\n203.0.113.9\n")
	after.run("sync-routes", "--check")
	if _, stderr, code := after.try("", "host", "remove", "web2"); code != 0 {
		t.Errorf("host remove: exit code %d: %s", code, stderr)
	}
}
