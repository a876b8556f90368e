package commands

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/commands/lab"
	"f2bc/routes/netnstest"
	"f2bc/store"
	"f2bc/store/mariadbtest"
)

// shielded is a fleet on one network: web1 is 198.51.100.1, web2 .2, and the database server .3.
type shielded struct {
	t               *testing.T
	hub, web1, web2 *lab.Host
	db              *sql.DB
	server          *mariadbtest.Server
	dsn             func(account string) string
	said            string // by the first sync-routes of web1
}

func newShielded(t *testing.T, args ...string) *shielded {
	t.Helper()
	s := &shielded{t: t, server: mariadbtest.New(t)}
	s.web1, s.web2, s.hub = newLabHost(t, "web1"), newLabHost(t, "web2"), newLabHost(t, "hub")
	lan := netnstest.New(t)
	lan.Run("ip", "link", "add", "lan", "type", "bridge")
	lan.Run("ip", "link", "set", "lan", "up")
	for i, host := range []*lab.Host{s.web1, s.web2, s.hub} {
		port := fmt.Sprint("p", i)
		host.NS.Veth("eth0", lan, port, []string{fmt.Sprintf("198.51.100.%d/24", i+1)}, nil)
		lan.Run("ip", "link", "set", port, "master", "lan")
	}
	s.server.Bind, s.server.Args = "*", args
	s.hub.NS.Do(func() {
		if err := s.server.Start(); err != nil {
			t.Fatal(err)
		}
	})
	database := s.server.Database(t)
	s.db = s.server.Open(t, database)
	s.dsn = func(account string) string {
		return fmt.Sprintf("mysql://%s@198.51.100.3:%d/%s?tls=false", account, s.server.Port, database)
	}
	run := func(statements string) {
		s.server.Exec(t, store.PasswordPlace.ReplaceAllString(statements, "'sesame'"))
	}
	var accounts [2]store.Accounts
	for i, host := range []string{"web1", "web2"} {
		var err error
		if accounts[i], err = store.NewAccounts(database, host); err != nil {
			t.Fatal(err)
		}
	}
	run(accounts[0].Database)
	s.hub.Configure(s.dsn("f2bc_owner"), "sesame")
	s.hub.F2bc("init")
	s.hub.Configure("mysql://root@/"+database+"?socket="+s.server.Socket(), "")
	run(accounts[0].People + accounts[0].Server + accounts[1].Server)
	s.web1.Configure(s.dsn("web1"), "sesame")
	s.web2.Configure(s.dsn("web2"), "sesame")
	s.said = try(t, s.web1, 0, "sync-routes")
	s.web2.F2bc("sync-routes")
	return s
}

func (s *shielded) exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Exec(statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// seen sets how long ago web1 was seen.
func (s *shielded) seen(ago time.Duration) {
	s.t.Helper()
	s.exec("UPDATE host SET mark = SYSDATE(6) - INTERVAL ? SECOND WHERE source = 'web1'", int64(ago.Seconds()))
}

// ago is how long ago web1 was seen.
func (s *shielded) ago() time.Duration {
	s.t.Helper()
	var seconds int64
	const query = "SELECT TIMESTAMPDIFF(SECOND, mark, SYSDATE(6)) FROM host WHERE source = 'web1'"
	if err := s.db.QueryRow(query).Scan(&seconds); err != nil {
		s.t.Fatal(err)
	}
	return time.Duration(seconds) * time.Second
}

// try runs f2bc, which must end with this code, and returns all that it printed.
func try(t *testing.T, h *lab.Host, want int, args ...string) string {
	t.Helper()
	stdout, stderr, code := h.Try(args...)
	if code != want {
		t.Errorf("f2bc %s: exit code %d, want %d: %s", strings.Join(args, " "), code, want, stderr)
	}
	return stdout + stderr
}

const day = 24 * time.Hour

// TestShield: the address from which the store sees a host is kept from being banned as long as the host is seen.
func TestShield(t *testing.T) {
	s := newShielded(t)
	const mine = "198.51.100.1"
	exported := func(h *lab.Host) bool { return strings.Contains(h.F2bc("export"), "\n"+mine+"\n") }
	for _, ago := range []time.Duration{0, 22 * day, 29 * day} {
		s.seen(ago)
		wantText(t, try(t, s.web2, 3, "ban", mine), mine+" must never be banned: "+mine+" the address of host web1")
		try(t, s.web2, 3, "ban", mine, "203.0.113.1")
	}
	// Who writes to the tables is not asked: the shield holds where a ban is enforced.
	s.exec(`
INSERT INTO report (addr, len, source, reason, at, expires, longest)
VALUES (X'C6336401', 32, 'thief', 'x', 1, ?, ?)`, store.Permanent, store.Permanent)
	if exported(s.web2) || exported(s.hub) {
		t.Error("a shielded address is exported")
	}

	// 7 days before it is over that is said, where somebody looks.
	s.exec("UPDATE host SET at = 1 WHERE source = 'web1'") // it does not sync
	const lapsing = "f2bc host remove web1 if it is gone"
	for ago, said := range map[time.Duration]bool{22 * day: false, 24 * day: true, 29 * day: true, 31 * day: false} {
		s.seen(ago)
		for _, args := range [][]string{{"status"}, {"prune"}} {
			if stdout, stderr, _ := s.hub.Try(args...); strings.Contains(stdout+stderr, lapsing) != said {
				t.Errorf("%q, not seen for %v: %s%s", args, ago, stdout, stderr)
			}
		}
	}

	s.seen(31 * day)
	if !exported(s.web2) {
		t.Error("after 30 days the address is shielded")
	}
	if exported(s.hub) {
		t.Error("the machine of the database bans a server that was away for long")
	}
	s.hub.Configure(strings.Replace(s.dsn("f2bc_owner"), "198.51.100.3", "127.0.0.1", 1), "sesame")
	if exported(s.hub) {
		t.Error("the machine of the database bans a server that was away for long, by loopback")
	}
	if out := try(t, s.web2, 0, "ban", mine); out != "" {
		t.Errorf("ban: %s", out)
	}
	s.web2.F2bc("sync-routes")
	if !enforces(s.web2, mine, "203.0.113.1") {
		t.Errorf("web2 has the routes %v", table(s.web2))
	}
	// It comes back by any command that reaches the store.
	s.web2.F2bc("unban", "--own", mine)
	s.web2.F2bc("sync-routes")
	s.web1.F2bc("list")
	if exported(s.web2) {
		t.Error("a host that is back is not shielded")
	}

	// A mark ahead of the server's clock is none, and does not stay.
	s.seen(-day)
	if !exported(s.web2) {
		t.Error("a mark ahead shields")
	}
	try(t, s.web2, 0, "ban", mine)
	s.web1.F2bc("list")
	if ago := s.ago(); ago < 0 || ago > time.Hour {
		t.Errorf("a host that is there was last seen %v ago", ago)
	}
	wantText(t, try(t, s.web2, 3, "ban", mine), "must never be banned")
}

// TestNameShieldsNothing: whoever rules the domain of an address could otherwise have any address shielded.
func TestNameShieldsNothing(t *testing.T) {
	// The server asks a hosts file of its own who connects.
	dir := t.TempDir()
	program := `#!/bin/sh
program=$(PATH=${PATH#*:} command -v mariadbd)
exec unshare --mount sh -c 'mount --bind "$0" /etc/hosts; exec "$@"' ` + dir + `/hosts "$program" "$@"
`
	hosts := "127.0.0.1 localhost\n198.51.100.1 evil.example\n198.51.100.2 www.example\n"
	for name, text := range map[string]string{"mariadbd": program, "hosts": hosts} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	s := newShielded(t, "--skip-name-resolve=OFF")
	var address string
	err := s.db.QueryRow("SELECT address FROM host WHERE source = 'web1'").Scan(&address)
	if err != nil || address != "evil.example" {
		t.Fatalf("the server knows web1 as %q, %v", address, err)
	}
	const not = `not shielded: the database knows this host as "evil.example", not by an address, so others may ban it; `
	wantText(t, s.said, not)
	if out := try(t, s.web2, 0, "ban", "198.51.100.1"); out != "" {
		t.Errorf("ban: %s", out)
	}
	wantText(t, s.web2.F2bc("export"), "\n198.51.100.1\n")
	wantText(t, s.hub.F2bc("host", "list"), "evil.example", "not shielded")
	const off = "skip_name_resolve is off: a server's address may be known by a name only, " +
		"which shields nothing; set it on"
	wantText(t, try(t, s.hub, 0, "init"), off)
	wantText(t, try(t, s.web2, 1, "status"), off)

	// As the message says.
	s.hub.F2bc("allow", "add", "198.51.100.1")
	if out := s.web2.F2bc("export"); strings.Contains(out, "198.51.100.1") {
		t.Errorf("an allowed address is exported: %s", out)
	}
}
