//go:build linux

// These tests run f2bc as a user does: the built binary, as processes, against real
// peers, in network namespaces.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"f2bc/routes/netnstest"
	"f2bc/store/mariadbtest"
	"f2bc/testdata/lab"
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

	n.attacker.FailLogins(n.aAddr, func() bool { return n.a.Bans(n.attackerAddr) != nil })
	ban := n.b.Bans(n.attackerAddr)
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
