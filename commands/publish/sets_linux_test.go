package publish

import (
	"net"
	"strings"
	"testing"

	"f2bc/commands/lab"
	"f2bc/routes/netnstest"
)

// TestIPSet: ipset restore takes the lists again and again, and swaps the sets as a whole.
func TestIPSet(t *testing.T) {
	lab.Need(t, "ipset", "ipset")
	ns := netnstest.New(t)
	load := func(list List, text string) {
		t.Helper()
		ns.Run("sh", "-c", "ipset restore <"+written(t, list, "ipset", text))
	}
	banned := func(set, address string, want bool) {
		t.Helper()
		if out, err := ns.Try("ipset", "test", set, address); (err == nil) != want {
			t.Errorf("ipset test %s %s: %v %s, want %v", set, address, err, out, want)
		}
	}
	for _, text := range checkedLists {
		load(List{}, text)
		load(List{}, text)
	}
	banned("f2bc4", "203.0.113.6", true) // everything
	banned("f2bc6", "2001:db9::1", true)

	// Another list replaces it, though one that was interrupted has left half a set, and a rule may refer to the old
	// one.
	ns.Run("ipset", "create", "f2bc4-new", "hash:net", "maxelem", "4294967295")
	ns.Run("ipset", "add", "f2bc4-new", "203.0.113.9")
	ns.Run("ipset", "create", "all", "list:set")
	ns.Run("ipset", "add", "all", "f2bc4")
	load(List{}, checkedLists[0])
	banned("f2bc4", "203.0.113.6", true)
	banned("all", "f2bc4", true)
	banned("f2bc4", "198.51.100.77", true)
	banned("f2bc4", "203.0.113.9", false)
	banned("f2bc6", "2001:db8:1:2::3", true)
	banned("f2bc6", "2001:db8::2", false)
	if names := ns.Run("ipset", "list", "-n"); names != "f2bc4\nf2bc6\nall\n" {
		t.Errorf("sets %q", names)
	}

	// A file for one family leaves the other alone.
	load(List{OnlyIPv4: true}, "203.0.113.7\n")
	banned("f2bc4", "203.0.113.6", false)
	banned("f2bc4", "203.0.113.7", true)
	banned("f2bc6", "2001:db8:1:2::3", true)
	load(List{OnlyIPv6: true}, "2001:db8::7\n")
	banned("f2bc4", "203.0.113.7", true)
	banned("f2bc6", "2001:db8::7", true)

	// A file that breaks off changes nothing.
	path := written(t, List{OnlyIPv4: true}, "ipset", "203.0.113.8\n")
	if _, err := ns.Try("sh", "-c", "head -n 5 "+path+" | ipset restore"); err != nil {
		t.Fatal(err)
	}
	banned("f2bc4", "203.0.113.8", false)
	banned("f2bc4", "203.0.113.7", true)
}

// TestNftables: nft -f takes the lists again and again, and rules that refer to the sets stay.
func TestNftables(t *testing.T) {
	lab.Need(t, "nftables", "nft")
	ns := netnstest.New(t)
	load := func(list List, text string) {
		t.Helper()
		ns.Run("nft", "-f", written(t, list, "nftables", text))
	}
	banned := func(set, address string, want bool) {
		t.Helper()
		out, err := ns.Try("nft", "get", "element", "inet", "f2bc-list", set, "{", address, "}")
		if (err == nil) != want {
			t.Errorf("nft get element %s %s: %v %s, want %v", set, address, err, out, want)
		}
	}
	for _, text := range checkedLists {
		load(List{}, text)
		load(List{}, text)
	}
	banned("ipv4", "203.0.113.6", true) // everything
	banned("ipv6", "2001:db9::1", true)

	load(List{}, checkedLists[0])
	ns.Run("nft", "add", "chain", "inet", "f2bc-list", "input", "{ type filter hook input priority -10; }")
	ns.Run("nft", "add", "rule", "inet", "f2bc-list", "input", "ip", "saddr", "@ipv4", "counter", "drop")
	load(List{}, "203.0.113.7\n2001:db8::1\n")
	load(List{OnlyIPv4: true}, "203.0.113.7\n")
	banned("ipv4", "203.0.113.6", false)
	banned("ipv4", "203.0.113.7", true)
	banned("ipv6", "2001:db8::1", true)
	banned("ipv6", "2001:db8::2", false)

	// The rule drops exactly the banned.
	for _, address := range []string{"203.0.113.6", "203.0.113.7"} {
		ns.Run("ip", "addr", "add", address, "dev", "lo")
	}
	dropped := func(from string, want string) {
		t.Helper()
		ns.Do(func() {
			to := &net.UDPAddr{IP: net.ParseIP("127.0.0.1"), Port: 9}
			c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, to)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		})
		if rules := ns.Run("nft", "list", "chain", "inet", "f2bc-list", "input"); !strings.Contains(rules, want) {
			t.Errorf("after a packet from %s want %q in %s", from, want, rules)
		}
	}
	dropped("203.0.113.6", "counter packets 0 ")
	dropped("203.0.113.7", "counter packets 1 ")
	load(List{}, "203.0.113.6\n")
	dropped("203.0.113.7", "counter packets 1 ")
	dropped("203.0.113.6", "counter packets 2 ")
}
