package commands

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"f2bc/commands/lab"
	"f2bc/routes/netnstest"
)

// loadRules installs what setup nftables prints, by the commands in its comment.
func loadRules(t *testing.T, h *lab.Host) {
	t.Helper()
	rules := h.F2bc("setup", "nftables")
	h.Write("f2bc.nft", rules)
	for line := range strings.Lines(rules) {
		if _, command, ok := strings.Cut(line, "ExecStart="); ok {
			h.NS.Run(strings.Fields(strings.TrimLeft(strings.Replace(command, "/etc/f2bc/f2bc.nft", h.Path("f2bc.nft"), 1), "-"))...)
		}
	}
}

// target is an address with an echo on TCP and a socket on UDP.
type target struct {
	what, addr string // with its port
	udp        *net.UDPConn
	tcp        bool // tried too
	round      int  // a packet of an earlier one may come late
}

func newTarget(t *testing.T, what, addr string, h *lab.Host) *target {
	to := &target{what: what, addr: addr, tcp: true}
	h.Echo(addr)
	h.NS.Do(func() {
		var err error
		if to.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { to.udp.Close() })
	return to
}

// arrives says whether a packet from an address reaches the socket. One from a free address is sent after it by the same
// way, so it is known when to stop waiting.
func (to *target) arrives(t *testing.T, attacker *netnstest.Namespace, from, free string) bool {
	t.Helper()
	b := make([]byte, 100)
	for end := time.Now().Add(lab.Long); time.Now().Before(end); {
		to.round++
		for which, source := range []string{from, free} {
			attacker.Do(func() {
				c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(source)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to.addr)))
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				fmt.Fprint(c, to.round, which)
			})
		}
		to.udp.SetReadDeadline(time.Now().Add(time.Second))
		arrived := false
		for {
			n, err := to.udp.Read(b)
			if err != nil {
				break
			}
			switch string(b[:n]) {
			case fmt.Sprint(to.round, 0):
				arrived = true
			case fmt.Sprint(to.round, 1):
				return arrived
			}
		}
	}
	t.Errorf("%s: not even %s reaches %s", to.what, free, to.addr)
	return false
}

// connects says whether an address reaches the echo.
func (to *target) connects(attacker *netnstest.Namespace, from string, timeout time.Duration) bool {
	var c net.Conn
	var err error
	attacker.Do(func() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: timeout}
		c, err = d.Dial("tcp", to.addr)
	})
	if err != nil {
		return false
	}
	defer c.Close()
	return lab.Answers(c, timeout)
}

// Real packets of both families, to this host and through it, by a second uplink, over a bridge and without a default
// route: with and without the static rules only what is banned is dropped. Without them UDP still comes in.
func TestPackets(t *testing.T) {
	lab.Need(t, "nftables", "nft")
	server, inside, guest, attacker := newLabHost(t, "web1"), newLabHost(t, "inside"), newLabHost(t, "guest"), netnstest.New(t)
	server.NS.Veth("eth0", attacker, "eth0", []string{"198.51.100.1/24", "2001:db8:5::1/64"}, []string{"198.51.100.2/24", "2001:db8:5::2/64"})
	server.NS.Veth("eth1", attacker, "eth1", []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
	inside.NS.Veth("eth0", server.NS, "inside", []string{"10.77.0.2/24", "2001:db8:77::2/64"}, nil)
	guest.NS.Veth("eth0", server.NS, "guest", []string{"10.77.0.3/24", "10.77.0.4/24", "2001:db8:77::3/64", "2001:db8:77::4/64"}, nil)
	setup := func(ns *netnstest.Namespace, commands ...string) {
		for _, command := range commands {
			ns.Run("sh", "-c", command)
		}
	}
	setup(server.NS, "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
		"for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done",
		"ip link add br0 type bridge; ip link set br0 up; ip link set inside master br0; ip link set guest master br0",
		"ip addr add 10.77.0.1/24 dev br0; ip addr add 2001:db8:77::1/64 dev br0 nodad",
		"ip route add default via 198.51.100.2; ip -6 route add default via 2001:db8:5::2",
		"ip rule add pref 20000 from 192.0.2.1 lookup 100; ip route add default via 192.0.2.2 table 100")
	setup(inside.NS, "ip route add default via 10.77.0.1; ip -6 route add default via 2001:db8:77::1")
	setup(attacker, "ip route add 10.77.0.0/24 via 198.51.100.1; ip -6 route add 2001:db8:77::/64 via 2001:db8:5::1",
		"for a in 66 67 90 92; do ip addr add 203.0.113.$a/32 dev lo; done",
		"for a in :66 :67 1::90 1::92; do ip addr add 2001:db8:66:$a/128 dev lo nodad; done")
	targets := []*target{
		newTarget(t, "to this host", "198.51.100.1:5060", server),
		newTarget(t, "to this host", "[2001:db8:5::1]:5060", server),
		newTarget(t, "by the second uplink", "192.0.2.1:5060", server),
		newTarget(t, "forwarded", "10.77.0.2:5060", inside),
		newTarget(t, "forwarded", "[2001:db8:77::2]:5060", inside),
	}
	embedded(t, server)
	server.F2bc("ban", "203.0.113.66", "203.0.113.88/29", "2001:db8:66::66", "2001:db8:66:1::/64")
	server.F2bc("allow", "add", "203.0.113.92", "2001:db8:66:1::92")
	server.F2bc("sync-routes")

	// Each source, and whether it is banned. The second is free.
	sources := map[bool]map[string]bool{
		false: {"203.0.113.66": true, "203.0.113.90": true, "203.0.113.67": false, "203.0.113.92": false},
		true:  {"2001:db8:66::66": true, "2001:db8:66:1::90": true, "2001:db8:66::67": false, "2001:db8:66:1::92": false},
	}
	free := map[bool]string{false: "203.0.113.67", true: "2001:db8:66::67"}
	try := func(filtered bool) {
		word := fmt.Sprintf("filtered %t, ", filtered)
		var running sync.WaitGroup
		for _, to := range targets {
			six := netip.MustParseAddrPort(to.addr).Addr().Is6()
			for source, banned := range sources[six] {
				if got, want := to.arrives(t, attacker, source, free[six]), !banned || !filtered; got != want {
					t.Errorf("%s%s: UDP from %s to %s arrives: %t, want %t", word, to.what, source, to.addr, got, want)
				}
				timeout := lab.Long
				if banned {
					timeout = lab.Brief
				}
				if to.tcp {
					running.Go(func() {
						if to.connects(attacker, source, timeout) == banned {
							t.Errorf("%s%s: TCP from %s to %s: connects: %t", word, to.what, source, to.addr, banned)
						}
					})
				}
			}
		}
		running.Wait()
		// What the bridge carries is nobody's business.
		for _, to := range targets {
			if to.what != "forwarded" {
				continue
			}
			from := []string{"10.77.0.3", "10.77.0.4"}
			if netip.MustParseAddrPort(to.addr).Addr().Is6() {
				from = []string{"2001:db8:77::3", "2001:db8:77::4"}
			}
			if !to.arrives(t, guest.NS, from[0], from[1]) || !to.connects(guest.NS, from[0], lab.Long) {
				t.Errorf("%sover the bridge: %s does not reach %s", word, from[0], to.addr)
			}
		}
	}
	try(false)
	loadRules(t, server)
	try(true)

	// Without a default route nothing can be answered, but what comes one way still comes.
	server.NS.Run("sh", "-c", "ip route del default; ip -6 route del default; ip route flush table 100")
	for _, to := range targets {
		to.tcp, to.what = false, to.what+" without a default route"
	}
	try(true)
	if counted := server.NS.Run("nft", "list", "table", "inet", "f2bc"); strings.Count(counted, "packets 0 ") > 0 {
		t.Errorf("a rule that drops nothing:\n%s", counted)
	}
}
