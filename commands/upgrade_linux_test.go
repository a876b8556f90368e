package commands

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"f2bc/commands/lab"
	"f2bc/store"
	"f2bc/store/mariadbtest"
)

// upgrade is a fleet of which some run the older program and some the newer.
type upgrade struct {
	t                *testing.T
	db               *mariadbtest.Server
	database         string
	old, hub         member // the owner's, of each
	old1, new1, new2 member // web1 runs both, web2 the newer one
	old2             member
}

func newUpgrade(t *testing.T) *upgrade {
	t.Helper()
	u := &upgrade{t: t, db: startMariaDB(t)}
	u.database = u.db.Database(t)
	old := oldProgram(t)
	pair := func(name, account string) (member, member) {
		h := newLabHost(t, name)
		u.configure(h, account)
		return member{h, t, old}, member{h, t, lab.Program}
	}
	u.db.Exec(t, "CREATE USER f2bc_owner@'%' IDENTIFIED BY 'sesame'; "+
		"GRANT ALL PRIVILEGES ON "+u.database+".* TO f2bc_owner@'%'")
	u.old, u.hub = pair("hub", "f2bc_owner")
	u.old1, u.new1 = pair("web1", "web1")
	u.old2, u.new2 = pair("web2", "web2")
	u.old.run("init")
	for _, account := range []string{"web1", "web2"} {
		u.db.Exec(t, strings.NewReplacer("{db}", u.database, "{account}", account).Replace(oldREADME))
	}
	return u
}

func (u *upgrade) configure(h *lab.Host, account string) {
	h.Configure("mysql://"+account+"@/"+u.database+"?socket="+u.db.Socket(), "sesame")
}

// agree wants both programs to see the same, and returns it.
func (u *upgrade) agree(when string) string {
	u.t.Helper()
	old, new := u.old.look(), u.hub.look()
	if old != new {
		u.t.Errorf("%s the older program sees\n%s, the newer\n%s", when, old, new)
	}
	return new
}

func (u *upgrade) meta(name string) (value string) {
	u.t.Helper()
	if err := u.db.Open(u.t, u.database).QueryRow("SELECT value FROM meta WHERE name = ?", name).Scan(&value); err != nil {
		u.t.Fatal(err)
	}
	return value
}

// TestUpgrade: programs of both ages use the tables of either age, also at once, and see the same.
func TestUpgrade(t *testing.T) {
	u := newUpgrade(t)
	u.old1.run("ban", "--reason", "sshd", "203.0.113.1", "203.0.113.2", "203.0.113.3")
	u.old1.run("ban", "--reason", "nginx", "--bantime", "24h", "203.0.113.1", "2001:db8::/64")
	u.old2.run("ban", "--reason", "sshd", "203.0.113.2", "198.51.100.9")
	u.old1.run("unban", "--own", "--reason", "sshd", "203.0.113.3")
	u.old1.run("unban", "--own", "2001:db8::/64")
	u.old.run("ban", "--force", "--reason", "lan", "192.168.7.0/24")
	u.old.run("unban", "198.51.100.0/25")
	u.old.run("allow", "add", "192.0.2.7", "203.0.113.2")
	u.old1.run("sync-routes")
	u.old2.run("sync-routes")
	before := u.agree("before:")
	wantText(t, before, "\n192.168.7.0/24\n203.0.113.1\n", `"203.0.113.2"`)

	// The newer program comes before its init does.
	u.new1.run("ban", "203.0.113.4")
	u.new1.run("ban", "--reason", "sshd", "--bantime", "600", "--at", fmt.Sprint(time.Now().Unix()), "203.0.113.5")
	u.new1.run("ban", "203.0.113.6", "203.0.113.7")
	u.new1.run("unban", "--own", "203.0.113.6")
	u.new1.run("unban", "--own", "--reason", "manual", "203.0.113.7")
	u.hub.run("ban", "203.0.113.8")
	u.hub.run("unban", "203.0.113.8")
	u.hub.run("allow", "add", "192.0.2.8")
	u.new1.run("list", "203.0.113.4")
	u.new1.run("sync-routes")
	u.new1.run("sync-routes", "--check")
	u.new1.run("status")
	u.hub.run("prune")
	wantText(t, u.hub.run("host", "list"), "web1", "web2")
	_, stderr, code := u.hub.try("", "host", "remove", "web2")
	if code != 1 || !strings.Contains(stderr, "run f2bc init") {
		t.Errorf("host remove with old tables: %d %s", code, stderr)
	}
	before = u.agree("with the older tables:")
	wantText(t, before, "\n203.0.113.1\n203.0.113.4/31\n")
	if n := strings.Count(before, "web1@localhost"); n != 13 {
		t.Errorf("%d events of web1 in\n%s", n, before)
	}

	for range 2 {
		u.hub.run("init")
		if after := u.agree("after init:"); after != before {
			t.Errorf("init changed\n%s to\n%s", before, after)
		}
	}
	if u.meta("min_binary") != "1" || u.meta("procedures") != "yes" {
		t.Errorf("min_binary %s, procedures %s", u.meta("min_binary"), u.meta("procedures"))
	}
	u.together()
	u.after()
}

// together has programs of both ages write at once, with the grants of either age.
func (u *upgrade) together() {
	accounts, err := store.NewAccounts(u.database, "web2")
	if err != nil {
		u.t.Fatal(err)
	}
	u.db.Exec(u.t, store.PasswordPlace.ReplaceAllString(accounts.Server+accounts.Revoke, "'sesame'"))
	var group sync.WaitGroup
	want := map[string]map[string]bool{} // reason: address
	facts := 0
	for i, m := range []member{u.old1, u.new1, u.new2, u.old, u.hub} {
		reason := fmt.Sprint("writer", i)
		banned := map[string]bool{}
		want[reason] = banned
		const rounds = 5
		facts += rounds * 14
		group.Go(func() {
			for round := range rounds {
				var list strings.Builder
				for n := range 10 {
					addr := fmt.Sprintf("198.51.100.%d", 10*round+n)
					fmt.Fprintln(&list, addr)
					banned[addr] = n > 3
				}
				one := fmt.Sprintf("2001:db8::%d", round+1)
				banned[one] = true
				for _, args := range [][]string{
					{list.String(), "ban", "--reason", reason, "-"},
					{"", "ban", "--reason", reason, one},
					{"", "unban", "--own", "--reason", reason,
						fmt.Sprintf("198.51.100.%d", 10*round), fmt.Sprintf("198.51.100.%d", 10*round+1)},
					{"", "unban", "--own", "--reason", reason, fmt.Sprintf("198.51.100.%d/31", 10*round+2)},
				} {
					if _, stderr, code := m.try(args[0], args[1:]...); code != 0 {
						u.t.Errorf("%s: %q: exit code %d: %s", reason, args, code, stderr)
					}
				}
			}
		})
	}
	for _, m := range []member{u.old1, u.new2} { // as cron does
		group.Go(func() {
			for range 5 {
				for _, args := range [][]string{{"sync-routes"}, {"export", "--output", m.Path("list")}} {
					if _, stderr, code := m.try("", args...); code != 0 {
						u.t.Errorf("%q: exit code %d: %s", args, code, stderr)
					}
				}
			}
		})
	}
	group.Wait()
	for _, m := range []member{u.old1, u.new1, u.new2, u.old, u.hub} { // on a busy machine some may wait
		if _, stderr, code := m.try("", "list"); code != 0 || strings.Contains(stderr, "set aside") {
			u.t.Errorf("list: exit code %d: %s", code, stderr)
		}
	}
	all := u.agree("after all have written at once:")
	for reason, banned := range want {
		var addrs []string
		for addr, is := range banned {
			if is {
				addrs = append(addrs, addr)
			}
		}
		slices.Sort(addrs)
		for _, m := range []member{u.old, u.hub} {
			var got []string
			list := strings.TrimSpace(m.run("list", "--reason", reason, "--format", "csv"))
			for _, line := range strings.Split(list, "\n")[1:] {
				addr, _, _ := strings.Cut(line, ",")
				got = append(got, addr)
			}
			slices.Sort(got)
			if !slices.Equal(got, addrs) {
				u.t.Errorf("%s: list %v, want %v", reason, got, addrs)
			}
		}
	}
	if n := strings.Count(all, ",writer"); n != facts {
		u.t.Errorf("%d events, want %d", n, facts)
	}
}

// after: each program takes what the other wrote for its own.
func (u *upgrade) after() {
	u.old.run("unban", "198.51.100.0/24")
	u.new2.run("ban", "--reason", "again", "198.51.100.20")
	u.old1.run("ban", "--reason", "again", "198.51.100.21")
	wantText(u.t, u.agree("after an unban by the older:"), "\n192.168.7.0/24\n198.51.100.20/31\n203.0.113.1\n")
	u.hub.run("unban", "198.51.100.21")
	u.new2.run("unban", "--own", "--reason", "again", "198.51.100.20")
	if all := u.agree("after an unban by the newer:"); strings.Contains(all, "\n198.51.100.") {
		u.t.Errorf("banned:\n%s", all)
	}
	for _, m := range []member{u.old1, u.old2, u.new1, u.new2} {
		if m.program == u.old2.program && m.Host == u.old2.Host {
			continue // its account has no rights that it knows
		}
		m.run("sync-routes")
		m.run("sync-routes", "--check")
	}
	u.old1.run("status")
	if u.meta("min_binary") != "1" {
		u.t.Errorf("min_binary %s", u.meta("min_binary"))
	}
}
