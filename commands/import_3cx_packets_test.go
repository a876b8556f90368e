//go:build linux

package commands

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"f2bc/commands/lab"
	"f2bc/routes/netnstest"
	"f2bc/store/mariadbtest"
	"f2bc/store/threecx/postgrestest"
)

// From 3CX's event log to the packets: on the phone system by one cron line, and on another server by its own.
func TestImport3CXPackets(t *testing.T) {
	lab.Need(t, "nftables", "nft")
	lab.Need(t, "iproute2", "ip")
	attacker := netnstest.New(t)
	db := mariadbtest.New(t)
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	pg := postgrestest.Start(t)
	box := newPhone(t, pg, 2)
	dsn := fmt.Sprintf("mysql://root@/%s?socket=%s", db.Database(t), db.Socket())
	pbx, web := newLabHost(t, "pbx"), newLabHost(t, "web1")
	pbx.Configure(dsn, "")
	web.Configure(dsn, "")
	pbx.F2bc("init")

	attackers := []string{"203.0.113.66", "2001:db8:66::66"}
	free := []string{"203.0.113.99", "2001:db8:66::99"}
	for _, addr := range slices.Concat(attackers, free) {
		attacker.Run("ip", "addr", "add", addr, "dev", "lo")
	}
	var targets [][]*target // of each host, as the attackers
	for i, h := range []*lab.Host{pbx, web} {
		dev := fmt.Sprint("e", i)
		net4, net6 := fmt.Sprintf("198.51.%d.", 100+i), fmt.Sprintf("2001:db8:%d::", i)
		h.NS.Veth("e0", attacker, dev, []string{net4 + "1/24", net6 + "1/64"}, []string{net4 + "2/24", net6 + "2/64"})
		h.NS.Run("ip", "route", "add", "default", "via", net4+"2")
		h.NS.Run("ip", "route", "add", "default", "via", net6+"2")
		for _, dev := range []string{"all", "e0"} { // otherwise the routes alone would stop IPv4
			h.NS.Run("sysctl", "-qw", "net.ipv4.conf."+dev+".rp_filter=0")
		}
		targets = append(targets, []*target{newTarget(t, "SIP", net4+"1:5060", h), newTarget(t, "SIP", "["+net6+"1]:5060", h)})
		loadRules(t, h)
	}
	expect := func(what string, want bool) {
		t.Helper()
		for _, sockets := range targets {
			for i, to := range sockets {
				if got := to.arrives(t, attacker, attackers[i], free[i]); got != want {
					t.Errorf("%s: %s reaches %s: %v", what, attackers[i], to.addr, got)
				}
			}
		}
	}
	expect("before", true)

	for _, addr := range attackers {
		box.event(0, addr, "3600")
	}
	var line string
	for l := range strings.Lines(pbx.F2bc("setup", "cron", "--3cx")) {
		if strings.Contains(l, "import-3cx") && strings.HasPrefix(l, "*") {
			line = l
		}
	}
	_, command, ok := strings.Cut(line, "; ") // without the wait
	if !ok || !strings.Contains(command, " && ") {
		t.Fatalf("cron line %q", line)
	}
	command = strings.ReplaceAll(command, `\%`, "%")
	cron := func() {
		t.Helper()
		pbx.NS.Run("env", "PGHOST="+pg.Dir, fmt.Sprint("PGPORT=", pg.Port), "PGUSER="+postgrestest.Superuser, "PGDATABASE="+box.name,
			"sh", "-c", command)
		web.F2bc("sync-routes")
	}
	cron()
	expect("banned", false)
	if counters := pbx.NS.Run("nft", "list", "table", "inet", "f2bc"); strings.Contains(counters, "counter packets 0 ") {
		t.Errorf("a rule counted nothing:\n%s", counters)
	}

	web.F2bc(append([]string{"unban"}, attackers...)...)
	cron() // the same events once more
	expect("unbanned", true)
}
