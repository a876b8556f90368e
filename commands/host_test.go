package commands

import (
	"strings"
	"testing"
	"time"

	"f2bc/aggregate"
	"f2bc/store"
)

// TestHostRemove: a host that was broken into is shut out by one command, whatever it wrote or will write, and let in
// again by another.
func TestHostRemove(t *testing.T) {
	f := newTestFleet(t, startMariaDB(t), "web1", "web2")
	f.host("web1", 0, "ban", "203.0.113.1", "203.0.113.2")
	f.host("web2", 0, "ban", "203.0.113.2", "203.0.113.3")
	web1 := f.open("web1")
	if _, err := web1.WriteHost(t.Context(), store.Host{Name: "web1", Mode: "enforce"}); err != nil {
		t.Fatal(err)
	}
	f.sql("UPDATE host SET address = '198.51.100.1'")
	wantText(t, f.host("web2", 3, "ban", "198.51.100.1"), "198.51.100.1 must never be banned", "the address of host web1")

	// The owner of the tables may not drop accounts.
	removed := f.run("f2bc_owner", "hub", 0, "host", "remove", "web1")
	wantText(t, removed, "f2bc: web1 is blocked: 2 bans of it no longer count\n", "f2bc: your account may not drop its account; ",
		"as root of the database: DROP USER 'web1'@'%'\n")
	if strings.Count(removed, "\n") != 2 {
		t.Errorf("%d lines: %s", strings.Count(removed, "\n"), removed)
	}
	if got := f.banned("web2"); got != "203.0.113.2/31" {
		t.Errorf("web2 exports %s", got)
	}
	wantText(t, f.host("web2", 0, "list", "203.0.113.1"), "blocked")
	wantText(t, f.run("f2bc_owner", "hub", 0, "host", "list"), "web1", "blocked")
	if n := f.value("SELECT COUNT(*) FROM host WHERE source = 'web1'"); n != "0" {
		t.Errorf("its row is there")
	}

	// It goes on, now and with times ahead, and is told that it does not count.
	wantText(t, f.host("web1", 0, "ban", "203.0.113.4"),
		"f2bc: this host is blocked (f2bc host remove): what it reports does not count until f2bc host add web1\n")
	wantText(t, f.host("web1", 0, "ban", "203.0.113.4", "203.0.113.5"), "this host is blocked")
	now, err := web1.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ahead := func(d time.Duration) store.Fact {
		return fact("198.51.100.9", "web1", now.Add(d))
	}
	if err := web1.Write(t.Context(), []store.Fact{ahead(55 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	f.sql(`
INSERT INTO report (addr, len, source, reason, at, expires, longest)
VALUES (X'C6336408', 32, 'web1', 'ahead', ?, ?, ?)`,
		int64(now)+1000, store.Permanent, store.Permanent)
	if _, err := web1.WriteHost(t.Context(), store.Host{Name: "web1", Mode: "enforce"}); err != nil {
		t.Fatal(err)
	}
	f.sql("UPDATE host SET address = '198.51.100.1'")
	wantText(t, f.host("web1", 1, "status"), "this host is blocked")
	wantText(t, f.run("f2bc_reader", "hub", 1, "status"), "host    ok   web1: blocked")
	f.host("web2", 0, "ban", "198.51.100.1")
	if got := f.banned("web2"); got != "198.51.100.1 203.0.113.2/31" {
		t.Errorf("web2 exports %s", got)
	}
	if out := f.host("web2", 0, "list"); strings.Contains(out, "web1") {
		t.Errorf("web2 lists %s", out)
	}

	// Nothing of it was forgotten.
	wantText(t, f.run("f2bc_admin", "hub", 0, "host", "add", "web1"), "web1 counts again")
	f.sql("UPDATE host SET address = '198.51.100.7'")
	f.host("web2", 0, "unban", "--own", "198.51.100.1")
	if got := f.banned("web2"); got != "198.51.100.8/31 203.0.113.1 203.0.113.2/31 203.0.113.4/31" {
		t.Errorf("web2 exports %s", got)
	}
	wantText(t, f.host("web2", 3, "ban", "198.51.100.7"), "the address of host web1")
	if out := f.host("web1", 0, "ban", "203.0.113.4"); out != "" {
		t.Errorf("not blocked any more: %s", out)
	}

	// An admin's account blocks, but deletes nothing; a server's own account does neither.
	wantText(t, f.run("f2bc_admin", "hub", 0, "host", "remove", "web1"),
		"web1 is blocked", "its row stays, your account may not delete it")
	f.host("web2", 0, "ban", "198.51.100.7")
	for _, verb := range []string{"remove", "add"} {
		refused := f.host("web1", 1, "host", verb, "web1") + f.host("web1", 1, "host", verb, "web2")
		want := "this host's account cannot block a source; use your admin configuration\n"
		if strings.Count(refused, want) != 2 || strings.Contains(refused, "DROP") {
			t.Errorf("%s: %s", verb, refused)
		}
	}
	if got := f.banned("web2"); got != "198.51.100.7 203.0.113.2/31" {
		t.Errorf("web2 exports %s", got)
	}
}

func fact(address, source string, at store.Time) store.Fact {
	p, err := aggregate.ParsePrefix(address)
	if err != nil {
		panic(err)
	}
	return store.Fact{Prefix: p, Source: source, Reason: "sshd", At: at, Bantime: store.Forever}
}

// TestHostAccount: root of the database drops the account of a host that it removes, if it is nothing but that.
func TestHostAccount(t *testing.T) {
	f := newTestFleet(t, startMariaDB(t), "web1", "web2", "web3", "web4")
	f.exec("CREATE DATABASE other; CREATE USER web1@'192.0.2.1'; GRANT SELECT, EXECUTE ON `" +
		strings.ReplaceAll(f.database, "_", `\_`) + "`.* TO web1@'192.0.2.1'; " +
		"GRANT INSERT, UPDATE ON " + f.database + ".own_report TO web1@'%'")
	f.exec("GRANT SELECT ON other.* TO web2@'%'; GRANT PROCESS ON *.* TO web3@'%'; " +
		"CREATE ROLE staff; GRANT staff TO web4@'%'")
	accounts := func(name string) string {
		return f.value("SELECT COUNT(*) FROM mysql.user WHERE User = ?", name)
	}
	gone := f.run("root", "hub", 0, "host", "remove", "web1")
	wantText(t, gone, "web1 is blocked: 0 bans of it no longer count\n",
		"its account is gone: DROP USER 'web1'@'%', 'web1'@'192.0.2.1'\n")
	if accounts("web1") != "0" {
		t.Error("web1 still has an account")
	}
	for _, name := range []string{"web2", "web3", "web4", "root", "f2bc_owner", "f2bc_admin"} {
		kept := f.run("root", "hub", 0, "host", "remove", name)
		wantText(t, kept, name+" is blocked", "its account stays: ")
		if accounts(name) == "0" || strings.Contains(kept, "DROP") {
			t.Errorf("%s has no account any more: %s", name, kept)
		}
	}
	// Where there is no account, nothing is said of one, also not where none can be.
	for _, name := range []string{"web9", `\' , root@localhost -- `, `\' , root@localhost #`} {
		for _, account := range []string{"root", "f2bc_owner"} {
			out := f.run(account, "hub", 0, "host", "remove", strings.TrimSpace(name))
			if strings.Contains(out, "DROP") && (account == "root" || strings.Contains(out, "root@localhost")) {
				t.Errorf("%s removes %s: %s", account, name, out)
			}
		}
	}
	f.run("root", "hub", 2, "host", "remove")
	f.run("root", "hub", 2, "host", "remove", " web1")
}
