package routes

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/routes/netnstest"
)

// listen serves TCP at addr inside ns: it echoes.
func listen(t *testing.T, ns *netnstest.Namespace, addr string) {
	t.Helper()
	ns.Do(func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					b := make([]byte, 64)
					for n, err := 0, error(nil); err == nil; {
						if n, err = c.Read(b); err == nil {
							_, err = c.Write(b[:n])
						}
					}
				}()
			}
		}()
	})
}

// dial connects from an address inside ns.
func dial(ns *netnstest.Namespace, from, to string) (net.Conn, error) {
	var c net.Conn
	var err error
	ns.Do(func() {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), Timeout: 10 * time.Second}
		ctx, cancel := context.WithTimeout(context.Background(), d.Timeout)
		defer cancel()
		c, err = d.DialContext(ctx, "tcp", to)
	})
	return c, err
}

// reaches connects and exchanges a word.
func reaches(t *testing.T, ns *netnstest.Namespace, from, to string) {
	t.Helper()
	c, err := dial(ns, from, to)
	if err != nil {
		t.Errorf("%s does not reach %s: %v", from, to, err)
		return
	}
	defer c.Close()
	if !echoes(c, 10*time.Second) {
		t.Errorf("%s reaches %s, but nothing comes back", from, to)
	}
}

func echoes(c net.Conn, wait time.Duration) bool {
	c.SetDeadline(time.Now().Add(wait))
	if _, err := c.Write([]byte("word")); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 4))
	return err == nil
}

// cut tries long enough for two SYNs.
func cut(t *testing.T, ns *netnstest.Namespace, from, to string) {
	t.Helper()
	ns.Do(func() {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), Timeout: 1500 * time.Millisecond}
		if c, err := d.Dial("tcp", to); err == nil {
			c.Close()
			t.Errorf("%s still reaches %s", from, to)
		}
	})
}

func TestPackets(t *testing.T) {
	server, attacker := netnstest.New(t), netnstest.New(t)
	server.Veth("e0", attacker, "e0", []string{"198.51.100.1/24", "2001:db8:5::1/64"},
		[]string{"198.51.100.66/24", "198.51.100.67/24", "198.51.100.90/24", "2001:db8:5::66/64", "2001:db8:5::67/64", "2001:db8:5::ff:1/64"})
	listen(t, server, "198.51.100.1:80")
	listen(t, server, "[2001:db8:5::1]:80")
	k := open(t, server)
	const v4, v6 = "198.51.100.1:80", "[2001:db8:5::1]:80"

	old, err := dial(attacker, "198.51.100.66", v4)
	if err != nil || !echoes(old, 10*time.Second) {
		t.Fatalf("before any ban: %v", err)
	}
	defer old.Close()
	converge(t, server, k, prefixes("198.51.100.66/32", "198.51.100.88/29", "2001:db8:5::66/128", "2001:db8:5::ff:0/112"))
	if echoes(old, 500*time.Millisecond) {
		t.Error("an open connection goes on")
	}
	cut(t, attacker, "198.51.100.66", v4)
	cut(t, attacker, "198.51.100.90", v4)
	cut(t, attacker, "2001:db8:5::66", v6)
	cut(t, attacker, "2001:db8:5::ff:1", v6)
	reaches(t, attacker, "198.51.100.67", v4)
	reaches(t, attacker, "2001:db8:5::67", v6)

	converge(t, server, k, nil)
	reaches(t, attacker, "198.51.100.66", v4)
	reaches(t, attacker, "2001:db8:5::ff:1", v6)
}

// The panic switch works by hand and through Pause.
func TestPanicSwitch(t *testing.T) {
	server, attacker := netnstest.New(t), netnstest.New(t)
	server.Veth("e0", attacker, "e0", []string{"198.51.100.1/24"}, []string{"198.51.100.66/24"})
	listen(t, server, "198.51.100.1:80")
	k := open(t, server)
	banned := prefixes("198.51.100.66/32")
	pause := func() {
		server.Do(func() {
			st, err := k.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Apply(t.Context(), st.Pause()); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, off := range []func(){pause, func() { server.Run("ip", "rule", "del", "pref", "6686") }} {
		converge(t, server, k, banned)
		cut(t, attacker, "198.51.100.66", "198.51.100.1:80")
		off()
		reaches(t, attacker, "198.51.100.66", "198.51.100.1:80")
		if st := read(t, server, k); !slices.Equal(st.Ours, banned) || st.Rule4 {
			t.Errorf("%+v", st)
		}
	}
}

// A second uplink answers by a rule and a table of its own. Blackholes in the
// main table would not be asked.
func TestSecondUplink(t *testing.T) {
	server, attacker := netnstest.New(t), netnstest.New(t)
	server.Veth("first", attacker, "first", []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
	server.Veth("second", attacker, "second", []string{"198.51.100.1/24"}, []string{"198.51.100.2/24"})
	attacker.Run("ip", "addr", "add", "203.0.113.66/32", "dev", "lo")
	for _, c := range []string{
		"ip route add default via 192.0.2.2",
		"ip route add default via 198.51.100.2 table 100",
		"ip rule add pref 20000 from 198.51.100.1 lookup 100",
		"ip route add blackhole 203.0.113.66/32",
	} {
		server.Run(strings.Fields(c)...)
	}
	listen(t, server, "198.51.100.1:80")
	reaches(t, attacker, "203.0.113.66", "198.51.100.1:80") // the hole
	k := open(t, server)
	converge(t, server, k, prefixes("203.0.113.66/32"))
	cut(t, attacker, "203.0.113.66", "198.51.100.1:80")
}

func TestForwarded(t *testing.T) {
	router, attacker, inside := netnstest.New(t), netnstest.New(t), netnstest.New(t)
	router.Veth("out", attacker, "e0", []string{"198.51.100.1/24"}, []string{"198.51.100.66/24", "198.51.100.67/24"})
	router.Veth("in", inside, "e0", []string{"192.0.2.1/24"}, []string{"192.0.2.2/24"})
	router.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	attacker.Run("ip", "route", "add", "192.0.2.0/24", "via", "198.51.100.1")
	inside.Run("ip", "route", "add", "default", "via", "192.0.2.1")
	listen(t, inside, "192.0.2.2:80")
	k := open(t, router)
	converge(t, router, k, prefixes("198.51.100.66/32"))
	cut(t, attacker, "198.51.100.66", "192.0.2.2:80")
	reaches(t, attacker, "198.51.100.67", "192.0.2.2:80")
}

func TestLookup(t *testing.T) {
	ns, neighbour := netnstest.New(t), netnstest.New(t)
	ns.Veth("e0", neighbour, "e0", []string{"198.51.100.2/24", "2001:db8:5::2/64"}, nil)
	for _, c := range []string{
		"ip route add default via 198.51.100.1",
		"ip -6 route add default via 2001:db8:5::1",
		"ip route add unreachable 192.0.2.7",
		"ip route add prohibit 192.0.2.8",
		"ip -6 route add unreachable 2001:db8:9::7",
	} {
		ns.Run(strings.Fields(c)...)
	}
	k := open(t, ns)
	converge(t, ns, k, some)
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "198.51.100.99": true, "203.0.113.6": true, "203.0.113.7": true,
		"2001:db8::1": true, "2001:db8:1:ffff::": true,
		"192.0.2.2": false, "192.0.2.7": false, "192.0.2.8": false, "203.0.113.8": false, "198.51.100.2": false,
		"2001:db8::2": false, "2001:db8:9::7": false, "2001:db8:5::2": false,
	} {
		ns.Do(func() {
			got, err := k.Lookup(t.Context(), netip.MustParseAddr(addr))
			if err != nil || got != want {
				t.Errorf("%s: %t, %v", addr, got, err)
			}
		})
	}
	ns.Run("ip", "route", "del", "default")
	ns.Do(func() {
		if got, err := k.Lookup(t.Context(), netip.MustParseAddr("203.0.113.8")); got || err != nil {
			t.Errorf("without a route: %t, %v", got, err)
		}
	})
}

func TestConnections(t *testing.T) {
	server, client := netnstest.New(t), netnstest.New(t)
	server.Veth("e0", client, "e0", []string{"198.51.100.1/24", "2001:db8:5::1/64"}, []string{"198.51.100.2/24", "2001:db8:5::2/64"})
	listen(t, server, ":443") // both families on one socket
	listen(t, client, "198.51.100.2:25")
	for _, c := range []struct {
		from     *netnstest.Namespace
		addr, to string
	}{
		{client, "198.51.100.2", "198.51.100.1:443"},
		{client, "2001:db8:5::2", "[2001:db8:5::1]:443"},
		{server, "198.51.100.1", "198.51.100.2:25"},
		{server, "127.0.0.1", "127.0.0.1:443"},
	} {
		conn, err := dial(c.from, c.addr, c.to)
		if err != nil || !echoes(conn, 10*time.Second) {
			t.Fatalf("%s to %s: %v", c.addr, c.to, err)
		}
		defer conn.Close()
	}
	var got []string
	server.Do(func() {
		conns, err := Connections(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conns {
			if c.Inbound {
				got = append(got, c.Local.String()+" from "+c.Remote.Addr().String())
			} else {
				got = append(got, c.Local.Addr().String()+" to "+c.Remote.String())
			}
		}
	})
	slices.Sort(got)
	want := []string{"198.51.100.1 to 198.51.100.2:25", "198.51.100.1:443 from 198.51.100.2", "[2001:db8:5::1]:443 from 2001:db8:5::2"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
