//go:build linux

// These tests run f2bc as a user does: the built binary, as processes, against real
// peers, in network namespaces.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"f2bc/commands/lab"
	"f2bc/routes/netnstest"
	"f2bc/store/mariadbtest"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "f2bc")
	if err == nil {
		err = lab.Build(dir)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	mariadbtest.StopShared()
	os.RemoveAll(dir)
	os.Exit(code)
}

// The main job: an attacker fails to log in on server A, and server B drops him.
func TestEndToEnd(t *testing.T) {
	lab.Need(t, "openssh-server", "sshd")
	lab.Need(t, "openssh-client", "ssh", "ssh-keygen")
	lab.Need(t, "fail2ban", "fail2ban-server")
	t.Run("IPv4", func(t *testing.T) { endToEnd(t, newNetwork(t, "198.51.100.", "203.0.113.", 24)) })
	t.Run("IPv6", func(t *testing.T) { endToEnd(t, newNetwork(t, "2001:db8:5::", "2001:db8:6::", 64)) })
}

// network is the servers' network and the attacker's, with the internet, which is one router, between them.
type network struct {
	attacker, a, b, hub                 *lab.Host
	attackerAddr, aAddr, bAddr, hubAddr string
}

func newNetwork(t *testing.T, servers, outside string, bits int) *network {
	internet := netnstest.New(t)
	n := &network{attackerAddr: outside + "66", aAddr: servers + "1", bAddr: servers + "2", hubAddr: servers + "3"}
	internet.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	internet.Run("ip", "link", "add", "servers", "type", "bridge")
	internet.Run("ip", "addr", "add", fmt.Sprintf("%s99/%d", servers, bits), "dev", "servers", "nodad")
	internet.Run("ip", "link", "set", "servers", "up")
	join := func(name, addr, router string, routerAddr []string) *lab.Host {
		ns := netnstest.New(t)
		ns.Veth("eth0", internet, name, []string{fmt.Sprintf("%s/%d", addr, bits)}, routerAddr)
		if routerAddr == nil {
			internet.Run("ip", "link", "set", name, "master", "servers")
		}
		ns.Run("ip", "route", "add", "default", "via", router)
		return lab.NewHost(t, name, ns)
	}
	n.a = join("web1", n.aAddr, servers+"99", nil)
	n.b = join("web2", n.bAddr, servers+"99", nil)
	n.hub = join("hub", n.hubAddr, servers+"99", nil)
	n.attacker = join("attacker", n.attackerAddr, outside+"99", []string{fmt.Sprintf("%s99/%d", outside, bits)})
	return n
}

func endToEnd(t *testing.T, n *network) {
	n.startStore(t)
	n.a.StartSSHD()
	n.a.StartFail2ban()
	target := net.JoinHostPort(n.bAddr, "80")
	n.b.Echo(target)
	const adminsRoute = "blackhole 192.0.2.128/25 metric 7"
	n.b.NS.Run(strings.Fields("ip route add " + adminsRoute)...)
	open := n.attacker.Reaches(target)

	n.attacker.FailLogins(n.aAddr, func() bool { return n.a.Ban(n.attackerAddr) != nil })
	ban := n.b.Ban(n.attackerAddr)
	if ban["sources"] != "web1" || ban["reasons"] != "sshd" || ban["expires"] == "permanent" {
		t.Errorf("web2 lists %v", ban)
	}
	if !lab.Answers(open, lab.Long) {
		t.Error("the attacker is cut off before web2's sync-routes")
	}

	n.b.F2bc("sync-routes")
	if lab.Answers(open, lab.Brief) {
		t.Error("after web2's sync-routes the open connection goes on")
	}
	if _, err := n.attacker.Dial(target, lab.Brief); err == nil {
		t.Error("after web2's sync-routes the attacker still connects")
	}
	n.hub.Reaches(target)
	if export := n.hub.F2bc("export"); export != "# f2bc: 1 prefix\n"+n.attackerAddr+"\n" {
		t.Errorf("the hub exports\n%s", export)
	}
	n.b.HasRoute(adminsRoute)

	n.hub.F2bc("unban", n.attackerAddr)
	n.b.F2bc("sync-routes")
	n.attacker.Reaches(target)
	if export := n.hub.F2bc("export"); export != "# f2bc: 0 prefixes\n" {
		t.Errorf("after the unban the hub exports\n%s", export)
	}
	n.b.HasRoute(adminsRoute)
	if strings.Contains(n.a.Read("fail2ban.log"), "ERROR") {
		t.Error("fail2ban logged an error")
	}
}

// startStore runs MariaDB on the hub. Each host but the attacker is configured to reach it over the network.
func (n *network) startStore(t *testing.T) {
	db := mariadbtest.New(t)
	db.Bind = "*"
	n.hub.NS.Do(func() {
		if err := db.Start(); err != nil {
			t.Fatal(err)
		}
	})
	database := db.Database(t)
	db.Exec(t, "CREATE USER f2bc_owner@'%' IDENTIFIED BY 'owner''s'; GRANT ALL PRIVILEGES ON "+database+".* TO f2bc_owner@'%';"+
		"CREATE USER f2bc@'%' IDENTIFIED BY 'server''s'; GRANT SELECT, INSERT, UPDATE ON "+database+".* TO f2bc@'%'")
	at := "@" + net.JoinHostPort(n.hubAddr, fmt.Sprint(db.Port)) + "/" + database + "?tls=false"
	n.hub.Configure("mysql://f2bc_owner"+at, "owner's")
	n.hub.F2bc("init")
	for _, h := range []*lab.Host{n.a, n.b, n.hub} {
		h.Configure("mysql://f2bc"+at, "server's")
	}
}

// atOnce runs n times f2bc ban, the i-th with the source and addresses of i. All processes are there before any gets
// its addresses.
func atOnce(t *testing.T, h *lab.Host, n int, addresses func(i int) []string) {
	t.Helper()
	type process struct {
		*exec.Cmd
		stdin  io.WriteCloser
		output strings.Builder
	}
	all := make([]*process, n)
	for i := range all {
		p := &process{Cmd: h.F2bcCommand("ban", "--source", fmt.Sprint("web", i), "-")}
		var err error
		if p.stdin, err = p.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		p.Stdout, p.Stderr = &p.output, &p.output
		h.Start(p.Cmd)
		all[i] = p
	}
	for i, p := range all {
		io.WriteString(p.stdin, strings.Join(addresses(i), "\n"))
	}
	for _, p := range all {
		p.stdin.Close()
	}
	for i, p := range all {
		// A slow machine may say that facts wait in the outbox: the next command, list, delivers them.
		if err := p.Wait(); err != nil {
			t.Errorf("ban by web%d: %v\n%s", i, err, &p.output)
		}
	}
	reported := map[string]bool{}
	for _, event := range h.Rows("list", "--history") {
		reported[event["source"]+" "+event["prefix"]] = true
	}
	want := 0
	for i := range n {
		for _, address := range addresses(i) {
			want++
			if report := fmt.Sprintf("web%d %s", i, address); !reported[report] {
				t.Errorf("the report %s is missing", report)
			}
		}
	}
	if len(reported) != want {
		t.Errorf("%d reports in the history, want %d", len(reported), want)
	}
}

func TestConcurrency(t *testing.T) {
	t.Run("50 processes on MariaDB", func(t *testing.T) {
		db := mariadbtest.Shared(t)
		h := lab.NewHost(t, "web1", nil)
		h.Configure(db.DSN(db.Database(t)), "")
		h.F2bc("init")
		// The first ten addresses are everybody's, the others are shared by two.
		atOnce(t, h, 50, func(i int) (addresses []string) {
			for k := range 10 {
				addresses = append(addresses, fmt.Sprint("203.0.113.", k), fmt.Sprintf("2001:db8::%x:%x", i/2+1, k+1))
			}
			return addresses
		})
		if bans := len(h.Rows("list")); bans != 10+25*10 {
			t.Errorf("%d bans", bans)
		}
	})
	t.Run("200 processes on the embedded store", func(t *testing.T) {
		h := lab.NewHost(t, "web1", nil)
		h.Configure("sqlite://"+h.Path("f2bc.db"), "")
		atOnce(t, h, 200, func(i int) []string { return []string{"203.0.113.6", fmt.Sprint("198.51.100.", i)} })
	})
}

// A store may be newer than the binary, too new for it, without tables, or closed to it.
func TestStores(t *testing.T) {
	db := mariadbtest.Shared(t)
	database := db.Database(t)
	h := lab.NewHost(t, "web1", nil)
	h.Configure(db.DSN(database), "")
	refuses := func(t *testing.T, said ...string) {
		t.Helper()
		stdout, stderr, code := h.Try("list")
		if code != 1 || stdout != "" {
			t.Errorf("exit code %d, want 1\n%s", code, stdout)
		}
		for _, text := range said {
			if !strings.Contains(stderr, text) {
				t.Errorf("%q is not in: %s", text, stderr)
			}
		}
	}
	t.Run("without tables", func(t *testing.T) { refuses(t, "no f2bc tables", "run f2bc init") })
	h.F2bc("init")
	t.Run("newer", func(t *testing.T) {
		db.Exec(t, "ALTER TABLE "+database+".report ADD COLUMN later INT NOT NULL DEFAULT 5;"+
			"UPDATE "+database+".meta SET value = 999 WHERE name = 'schema'")
		if _, stderr, code := h.Try("init"); code != 0 || !strings.Contains(stderr, "newer f2bc; this one may go on using it") {
			t.Errorf("init: exit code %d\n%s", code, stderr)
		}
		h.F2bc("ban", "203.0.113.6", "203.0.113.7")
		h.F2bc("unban", "203.0.113.7")
		if h.Ban("203.0.113.6") == nil || h.Ban("203.0.113.7") != nil {
			t.Errorf("bans: %v", h.Rows("list"))
		}
	})
	t.Run("too new", func(t *testing.T) {
		db.Exec(t, "UPDATE "+database+".meta SET value = 999 WHERE name = 'min_binary'")
		refuses(t, "upgrade f2bc on this host", "schema 999")
		db.Exec(t, "UPDATE "+database+".meta SET value = 1 WHERE name = 'min_binary'")
	})
	t.Run("wrong password", func(t *testing.T) {
		const secret = "open, sesame"
		db.Exec(t, "CREATE USER f2bc@'127.0.0.1' IDENTIFIED BY 'another'")
		h.Configure(strings.Replace(db.DSN(database), "root@", "f2bc@", 1), secret)
		refuses(t, "check the user and the password", "password_file", "'f2bc'@'127.0.0.1'")
		h.Configure(strings.Replace(db.DSN(database), "root@", "f2bc:open%2C%20sesame@", 1), secret)
		for _, command := range []string{"list", "export", "init", "prune", "ban 203.0.113.6", "unban 203.0.113.6", "allow list"} {
			stdout, stderr, _ := h.Try(strings.Fields(command)...)
			if strings.Contains(stdout+stderr, "sesame") {
				t.Errorf("f2bc %s prints the password: %s%s", command, stdout, stderr)
			}
		}
	})
}

// The README's first command line, as a user who is not root runs it on a fresh copy of the source.
func TestQuickStart(t *testing.T) {
	_, blocks := lab.Readme(t)
	dir := t.TempDir()
	files, err := filepath.Glob("[a-z]*")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", append(append([]string{"-r"}, files...), dir)...).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	args := []string{"sh", "-eu", "-c", blocks[0]}
	if os.Geteuid() == 0 {
		// The same user to the file system, who may read Go's caches, but without any of root's powers.
		args = append([]string{"unshare", "--user", "--map-user=1000", "--map-group=1000"}, args...)
	}
	caches, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "F2BC_") && !strings.HasPrefix(variable, "XDG_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cache := strings.Fields(string(caches))
	cmd.Env = append(cmd.Env, "HOME="+dir, "GOCACHE="+cache[0], "GOMODCACHE="+cache[1])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", blocks[0], err, out)
	}
	hasLines(t, string(out), `203\.0\.113\.6 +permanent .*`, `203\.0\.113\.7 +permanent .*`, `203\.0\.113\.6/31`)
	if _, err := os.Stat(filepath.Join(dir, ".local/state/f2bc/f2bc.db")); err != nil {
		t.Error(err)
	}
}

func hasLines(t *testing.T, out string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !regexp.MustCompile("(?m)^" + line + "$").MatchString(out) {
			t.Errorf("no line %s in\n%s", line, out)
		}
	}
}

// elsewhere are the commands that stand in the README's text or want another machine, and what runs them.
var elsewhere = map[string]string{
	"fail2ban-client set JAIL unbanip ADDRESS":      "TestFail2ban in commands",
	"/etc/rc.update_urltables now forceupdate NAME": "pfSense",
	"f2bc import-3cx":                 "TestImport3CX in commands",
	"f2bc export --from FILE":         "testdata/export_from.txtar",
	"f2bc config example":             "testdata/config_errors.txtar",
	"f2bc sync-routes --accept-store": "testdata/sync_brakes.txtar",
	"ip rule del pref 6686":           "TestPanicSwitch in routes",
	"ip -6 rule del pref 6686":        "TestPanicSwitch in routes",
	"f2bc import-3cx --threecx-ini /var/lib/3cxpbx/Bin/3CXPhoneSystem.ini --since 30d --dry-run": "TestImport3CX in commands",
	"f2bc setup cron --3cx >/etc/cron.d/f2bc":                                                    "testdata/setup_cron.txtar",
	"runuser -u phonesystem -- psql database_single <<'EOF'":                                     "TestImport3CX in commands",
	"f2bc import-3cx --threecx-dsn 'host=localhost user=f2bc dbname=database_single' --dry-run":  "TestImport3CX in commands",
}

// All of the README's commands, one after the other on one server, but the first, which TestQuickStart runs, and the
// last, which runs this.
func TestReadme(t *testing.T) {
	lab.Need(t, "fail2ban", "fail2ban-server")
	lab.Need(t, "mariadb-client", "mariadb")
	text, blocks := lab.Readme(t)
	if last := blocks[len(blocks)-1]; last != "testdata/test.sh\n" {
		t.Fatalf("the README's last command is %q", last)
	}
	blocks = blocks[1 : len(blocks)-1]
	script := strings.Join(blocks, "\n")
	for _, m := range regexp.MustCompile("`((?:f2bc|ip|fail2ban-client|/etc/rc[^ `]*) [^`]*)`").FindAllStringSubmatch(text, -1) {
		if elsewhere[m[1]] == "" && !strings.Contains(script, m[1]) {
			t.Errorf("the README's %s is run by no test", m[1])
		}
	}
	// Blocks in bash want a phone system.
	for _, block := range regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(regexp.MustCompile("(?ms)<<'EOF'$.*?^EOF$").ReplaceAllString(block[1], "<<'EOF'")) {
			if elsewhere[strings.TrimSpace(line)] == "" {
				t.Errorf("the README's %q is run by no test", line)
			}
		}
	}
	for i, block := range blocks {
		if strings.Contains(block, "--adopt fail2ban") {
			blocks[i] = oldTable + block
		}
	}
	// A reload of fail2ban drops an action that is new to it: it must have been restarted.
	out := lab.NewHost(t, "web1", netnstest.New(t)).RunOnFreshServer(strings.Join(blocks, "\n") + `
fail2ban-client set sshd banip 203.0.113.99
timeout 120 sh -c 'until f2bc list | grep "^203.0.113.99 .* sshd "; do sleep 0.1; done' || cat /var/log/fail2ban.log
f2bc list 203.0.113.99
f2bc export
fail2ban-client stop
`)
	hasLines(t, out,
		`.*\b1 row.* adopted.*`,
		`ip -4 rule add pref 6686 .*`,
		`report +203\.0\.113\.99 +web1 +sshd .* active *`,
		`203\.0\.113\.200`)
}

const oldTable = "mariadb f2bc <<'EOF'\n" +
	"CREATE TABLE fail2ban (`1` smallint, `2` smallint, `3` smallint, `4` smallint, stamp timestamp, source varchar(50),\n" +
	"  reason varchar(50), PRIMARY KEY (`1`, `2`, `3`, `4`));\n" +
	"INSERT INTO fail2ban VALUES (203, 0, 113, 200, '2020-01-01', 'old1', 'sshd');\n" +
	"EOF\n"
