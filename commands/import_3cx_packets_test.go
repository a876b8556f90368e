//go:build linux

package commands

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/routes/netnstest"
	"f2bc/store/mariadbtest"
	"f2bc/store/threecx/postgrestest"
)

// sipHost is a host in a namespace of its own, with f2bc, and a socket on the port of SIP.
type sipHost struct {
	*netnstest.Namespace
	t       *testing.T
	program []string // f2bc with its configuration
	socket  *net.UDPConn
	addrs   map[bool]string // by whether they are IPv6
	round   int
}

func newSIPHost(t *testing.T, name, dsn string) *sipHost {
	h := &sipHost{Namespace: netnstest.New(t), t: t}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	h.program = []string{filepath.Join(dir, "f2bc"), "--config", filepath.Join(dir, "f2bc.toml")}
	config := fmt.Sprintf("dsn = %q\nsource = %q\nstate_dir = %q\n", dsn, name, filepath.Join(dir, "state"))
	if err := os.WriteFile(h.program[2], []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, h.program[0]); err != nil { // TestMain goes by the name
		t.Fatal(err)
	}
	return h
}

// f2bc runs f2bc on the host.
func (h *sipHost) f2bc(args ...string) string { return h.Run(append(h.program, args...)...) }

// listen opens the socket, and loads the static rules as their own comment says.
func (h *sipHost) listen() {
	h.t.Helper()
	h.Do(func() {
		var err error
		if h.socket, err = net.ListenUDP("udp", &net.UDPAddr{Port: 5060}); err != nil {
			h.t.Fatal(err)
		}
	})
	h.t.Cleanup(func() { h.socket.Close() })
	rules := h.f2bc("setup", "nftables")
	file := filepath.Join(h.t.TempDir(), "f2bc.nft")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(rules) {
		if _, command, ok := strings.Cut(line, "ExecStart="); ok {
			h.Run(strings.Fields(strings.TrimLeft(strings.Replace(command, "/etc/f2bc/f2bc.nft", file, 1), "-"))...)
		}
	}
}

// reached reports whether a packet from an address reaches the socket. A second one, from an address that nobody bans,
// takes the same way after it, so it is known when to stop waiting; while the link comes up both may be lost.
func (h *sipHost) reached(attacker *netnstest.Namespace, from string) bool {
	h.t.Helper()
	six := netip.MustParseAddr(from).Is6()
	free := map[bool]string{false: "203.0.113.99", true: "2001:db8:66::99"}[six]
	b := make([]byte, 64)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		h.round++ // a packet of an earlier round may come late
		for _, addr := range []string{from, free} {
			send(h.t, attacker, addr, h.addrs[six], fmt.Sprint(h.round, addr))
		}
		h.socket.SetReadDeadline(time.Now().Add(time.Second))
		reached := false
		for {
			n, err := h.socket.Read(b)
			if err != nil {
				break
			}
			switch string(b[:n]) {
			case fmt.Sprint(h.round, from):
				reached = true
			case fmt.Sprint(h.round, free):
				return reached
			}
		}
	}
	h.t.Fatalf("not even %s reaches %s", free, h.addrs[six])
	return false
}

// send sends a packet to the port of SIP.
func send(t *testing.T, attacker *netnstest.Namespace, from, to, text string) {
	t.Helper()
	attacker.Do(func() {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(to), Port: 5060})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	})
}

// From 3CX's event log to the packets: on the phone system by one cron line, and on another server by its own.
func TestImport3CXPackets(t *testing.T) {
	for program, debianPackage := range map[string]string{"nft": "nftables", "ip": "iproute2"} {
		needProgram(t, program, debianPackage)
	}
	attacker := netnstest.New(t)
	db := mariadbtest.New(t)
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	pg := postgrestest.Start(t)
	box := newPhone(t, pg, 2)
	dsn := fmt.Sprintf("mysql://root@/%s?socket=%s", db.Database(t), db.Socket())
	pbx, web := newSIPHost(t, "pbx", dsn), newSIPHost(t, "web1", dsn)
	pbx.f2bc("init")

	attackers := []string{"203.0.113.66", "2001:db8:66::66"}
	for _, addr := range append(attackers, "203.0.113.99", "2001:db8:66::99") {
		attacker.Run("ip", "addr", "add", addr, "dev", "lo")
	}
	for i, h := range []*sipHost{pbx, web} {
		dev := fmt.Sprint("e", i)
		net4, net6 := fmt.Sprintf("198.51.%d.", 100+i), fmt.Sprintf("2001:db8:%d::", i)
		h.Veth("e0", attacker, dev, []string{net4 + "1/24", net6 + "1/64"}, []string{net4 + "2/24", net6 + "2/64"})
		h.Run("ip", "route", "add", "default", "via", net4+"2")
		h.Run("ip", "route", "add", "default", "via", net6+"2")
		for _, dev := range []string{"all", "e0"} { // otherwise the routes alone would stop IPv4
			h.Run("sysctl", "-qw", "net.ipv4.conf."+dev+".rp_filter=0")
		}
		h.addrs = map[bool]string{false: net4 + "1", true: net6 + "1"}
		h.listen()
	}
	expect := func(what string, want bool) {
		t.Helper()
		for _, h := range []*sipHost{pbx, web} {
			for _, from := range attackers {
				if got := h.reached(attacker, from); got != want {
					t.Errorf("%s: %s reaches %s: %v", what, from, h.addrs[netip.MustParseAddr(from).Is6()], got)
				}
			}
		}
	}
	expect("before", true)

	for _, addr := range attackers {
		box.event(0, addr, "3600")
	}
	var line string
	for l := range strings.Lines(pbx.f2bc("setup", "cron", "--3cx")) {
		if strings.Contains(l, "import-3cx") && strings.HasPrefix(l, "*") {
			line = l
		}
	}
	_, command, ok := strings.Cut(line, "; ") // without the wait
	if !ok || !strings.Contains(command, " && ") {
		t.Fatalf("cron line %q", line)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command = strings.ReplaceAll(strings.ReplaceAll(command, `\%`, "%"), self, pbx.program[0])
	cron := func() {
		t.Helper()
		pbx.Run("env", "PGHOST="+pg.Dir, fmt.Sprint("PGPORT=", pg.Port), "PGUSER="+postgrestest.Superuser, "PGDATABASE="+box.name,
			"sh", "-c", command)
		web.f2bc("sync-routes")
	}
	cron()
	expect("banned", false)
	if counters := pbx.Run("nft", "list", "table", "inet", "f2bc"); strings.Contains(counters, "counter packets 0 ") {
		t.Errorf("a rule counted nothing:\n%s", counters)
	}

	web.f2bc(append([]string{"unban"}, attackers...)...)
	cron() // the same events once more
	expect("unbanned", true)
}
