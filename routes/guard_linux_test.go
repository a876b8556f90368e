package routes

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"f2bc/routes/netnstest"
)

// noFiles is a guard that sees nothing of the machine the test runs on.
func noFiles(t testing.TB) Guard {
	none := filepath.Join(t.TempDir(), "none")
	return Guard{Resolvers: []string{none}, Sessions: none, Utmp: none}
}

func guardEntries(t *testing.T, ns *netnstest.Namespace, g Guard) []Entry {
	t.Helper()
	var es []Entry
	ns.Do(func() {
		var err error
		if es, err = g.Entries(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
	return es
}

func why(es []Entry, p string) string {
	var whys []string
	for _, e := range es {
		if e.Prefix == netip.MustParsePrefix(p) {
			whys = append(whys, e.Why)
		}
	}
	return strings.Join(whys, ", ")
}

func TestGuardKernel(t *testing.T) {
	ns, neighbour := netnstest.New(t), netnstest.New(t)
	ns.Veth("up0", neighbour, "e0", []string{"198.51.100.2/24", "2001:db8:5::2/64"}, []string{"198.51.100.1/24", "2001:db8:5::1/64"})
	for _, c := range []string{
		"ip route add default via 198.51.100.1",
		"ip -6 route add default via 2001:db8:5::1",
		"ip route add 192.0.2.0/28 dev up0",
		"ip route add 192.0.2.32/28 table 100 nexthop via 198.51.100.7 dev up0 nexthop via 198.51.100.8 dev up0",
		"ip rule add pref 100 from 10.0.0.0/8 lookup 100",
		"ip rule add pref 101 fwmark 1 lookup 6000",
		"ip route add 192.0.2.48/28 via inet6 2001:db8:5::9 dev up0 table 6000",
		"ip nexthop add id 9 via 198.51.100.9 dev up0",
		"ip route add 192.0.2.64/28 nhid 9",
		"ip link add vx0 type vxlan id 7 remote 203.0.113.70 dstport 4789 dev up0",
		"ip link add vx1 type vxlan id 8 dstport 4790 dev up0",
		"ip link add vx6 type vxlan id 9 remote 2001:db8:7::70 dstport 4791 dev up0",
		"bridge fdb append 00:00:00:00:00:00 dev vx1 dst 203.0.113.71",
		"ip xfrm policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out tmpl src 198.51.100.2 dst 203.0.113.72 proto esp mode tunnel",
		"ip -6 xfrm policy add src fd00::/8 dst fd01::/16 dir out tmpl src 2001:db8:5::2 dst 2001:db8:7::72 proto esp mode tunnel",
	} {
		ns.Run(strings.Fields(c)...)
	}
	es := guardEntries(t, ns, noFiles(t))
	for p, want := range map[string]string{
		"198.51.100.2/32":    "own address on up0",
		"2001:db8:5::2/128":  "own address on up0",
		"198.51.100.1/32":    "next hop on up0",
		"2001:db8:5::1/128":  "next hop on up0",
		"198.51.100.0/24":    "connected network on up0",
		"2001:db8:5::/64":    "connected network on up0",
		"192.0.2.0/28":       "connected network on up0",
		"198.51.100.7/32":    "next hop on up0",
		"198.51.100.8/32":    "next hop on up0",
		"2001:db8:5::9/128":  "next hop on up0",
		"198.51.100.9/32":    "next hop on up0",
		"192.0.2.32/28":      "",
		"192.0.2.64/28":      "",
		"203.0.113.70/32":    "far end of vxlan vx0",
		"2001:db8:7::70/128": "far end of vxlan vx6",
		"203.0.113.71/32":    "far end of vxlan vx1",
		"203.0.113.72/32":    "IPsec peer",
		"2001:db8:7::72/128": "IPsec peer",
		"127.0.0.0/8":        "",
	} {
		if got := why(es, p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}

// The guard asks for the tables that packets are looked up in, and never for
// ours: a dump of that is as long as the list.
func TestGuardTables(t *testing.T) {
	ns := netnstest.New(t)
	ns.Veth("up0", netnstest.New(t), "e0", []string{"198.51.100.2/24"}, nil)
	for _, c := range []string{
		"ip rule add pref 100 from 10.0.0.0/8 lookup 100",
		"ip rule add pref 101 fwmark 1 lookup 6000",
		"ip rule add pref 102 fwmark 2 lookup 7000", // a table without a route
		"ip rule add pref 103 fwmark 3 goto 32766",
		"ip rule add pref 104 fwmark 4 unreachable",
		"ip rule add pref 105 lookup 6686", // not our rule, but our table
		"ip -6 rule add pref 100 lookup 101",
		"ip route add 192.0.2.0/28 via 198.51.100.7 table 100",
		"ip route add 192.0.2.0/28 via 198.51.100.8 table 6000",
		"ip route add 192.0.2.0/28 via 198.51.100.9 table 6686", // in our table nothing needs a guard
	} {
		ns.Run(strings.Fields(c)...)
	}
	k := open(t, ns)
	converge(t, ns, k, prefixes("203.0.113.0/24", "2001:db8:2::/64"))
	tables := func(f Family, ours uint32) (got []uint32) {
		ns.Do(func() {
			var err error
			if got, err = lookupTables(t.Context(), f, nil, ours); err != nil {
				t.Fatal(err)
			}
		})
		return got
	}
	for _, c := range []struct {
		f    Family
		ours uint32
		want []uint32
	}{
		{IPv4, 6686, []uint32{100, 253, 254, 255, 6000, 7000}},
		{IPv4, 100, []uint32{253, 254, 255, 6000, 6686, 7000}},
		{IPv6, 6686, []uint32{101, 253, 254, 255}},
	} {
		if got := tables(c.f, c.ours); !slices.Equal(got, c.want) {
			t.Errorf("%v, ours is %d: %v, want %v", c.f, c.ours, got, c.want)
		}
	}
	es := guardEntries(t, ns, noFiles(t))
	const nextHop = "next hop on up0"
	for p, want := range map[string]string{"198.51.100.7/32": nextHop, "198.51.100.8/32": nextHop, "198.51.100.9/32": ""} {
		if got := why(es, p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}

// A VRF's table is named by its device alone.
func TestGuardVRF(t *testing.T) {
	vrf := link{kind: "vrf", data: appendAttr32(nil, 1, 1001)}
	if table, ok := vrf.vrfTable(); table != 1001 || !ok {
		t.Errorf("table %d, %v", table, ok)
	}
	for _, l := range []link{{kind: "vxlan", data: vrf.data}, {kind: "vrf"}, {kind: "vrf", data: []byte{5, 0, 1, 0, 1}}} {
		if table, ok := l.vrfTable(); ok {
			t.Errorf("%+v: table %d", l, table)
		}
	}
	ns := netnstest.New(t)
	if out, err := ns.Try("ip", "link", "add", "vrf0", "type", "vrf", "table", "1001"); err != nil {
		t.Skipf("this kernel has no VRF: %s", out)
	}
	ns.Veth("up0", netnstest.New(t), "e0", []string{"198.51.100.2/24"}, nil)
	ns.Run("ip", "link", "set", "vrf0", "up")
	ns.Run("ip", "link", "set", "up0", "master", "vrf0")
	ns.Run("ip", "route", "add", "192.0.2.0/28", "via", "198.51.100.7", "vrf", "vrf0")
	if got := why(guardEntries(t, ns, noFiles(t)), "198.51.100.7/32"); got != "next hop on up0" {
		t.Errorf("next hop in the VRF's table: %q", got)
	}
}

func TestGuardIPsecState(t *testing.T) {
	ns := netnstest.New(t)
	if out, err := ns.Try("ip", "xfrm", "state", "add", "src", "198.51.100.2", "dst", "203.0.113.73", "proto", "esp", "spi", "0x100", "mode", "tunnel",
		"enc", "cipher_null", "", "auth", "hmac(sha1)", "0x0123456789012345678901234567890123456789"); err != nil {
		t.Skipf("this kernel has no ESP: %s", out)
	}
	if got := why(guardEntries(t, ns, noFiles(t)), "203.0.113.73/32"); got != "IPsec peer" {
		t.Errorf("far end: %q", got)
	}
}

// The machine that runs the tests may have no module for these.
func TestGuardDevices(t *testing.T) {
	for _, tunnel := range []struct{ kind, local, remote string }{
		{"gre", "198.51.100.2", "203.0.113.80"},
		{"ipip", "198.51.100.2", "203.0.113.81"},
		{"sit", "198.51.100.2", "203.0.113.82"},
		{"ip6gre", "2001:db8:5::2", "2001:db8:7::83"},
		{"ip6tnl", "2001:db8:5::2", "2001:db8:7::84"},
		{"vti", "198.51.100.2", "203.0.113.85"},
	} {
		t.Run(tunnel.kind, func(t *testing.T) {
			ns := netnstest.New(t)
			if out, err := ns.Try("ip", "link", "add", "tun0", "type", tunnel.kind, "local", tunnel.local, "remote", tunnel.remote); err != nil {
				t.Skipf("this kernel has no %s: %s", tunnel.kind, out)
			}
			remote := netip.MustParseAddr(tunnel.remote)
			p := netip.PrefixFrom(remote, remote.BitLen()).String()
			if got := why(guardEntries(t, ns, noFiles(t)), p); got != "far end of "+tunnel.kind+" tun0" {
				t.Errorf("far end: %q", got)
			}
		})
	}
}

func TestGuardWireGuard(t *testing.T) {
	ns := netnstest.New(t)
	if out, err := ns.Try("ip", "link", "add", "wg0", "type", "wireguard"); err != nil {
		t.Skipf("this kernel has no WireGuard: %s", out)
	}
	ns.Do(func() {
		family, err := genericFamily("wireguard")
		if err != nil {
			t.Fatal(err)
		}
		c, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		body := appendAttr([]byte{unix.WG_CMD_SET_DEVICE, 1, 0, 0}, unix.WGDEVICE_A_IFNAME, []byte("wg0\x00")...)
		if _, err := c.Execute(netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(family), Flags: netlink.Request | netlink.Acknowledge},
			Data:   append(body, wireGuardPeers()[unix.GENL_HDRLEN:]...),
		}); err != nil {
			t.Fatal(err)
		}
	})
	es := guardEntries(t, ns, noFiles(t))
	for _, p := range []string{"203.0.113.90/32", "2001:db8::90/128"} {
		if got := why(es, p); got != "WireGuard peer on wg0" {
			t.Errorf("%s: %q", p, got)
		}
	}
}
