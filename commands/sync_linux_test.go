package commands

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/lab"
	"f2bc/routes/netnstest"
	"f2bc/store"
	"f2bc/store/mariadbtest"
)

// newHub returns a host with a MariaDB that others reach over the network, and how.
func newHub(t *testing.T, name string) (hub *lab.Host, dsn func(addr string) string, db *mariadbtest.Server) {
	t.Helper()
	hub = newLabHost(t, name)
	db = mariadbtest.New(t)
	db.Bind = "*"
	hub.NS.Do(func() {
		if err := db.Start(); err != nil {
			t.Fatal(err)
		}
	})
	database := db.Database(t)
	db.Exec(t, "CREATE USER f2bc@'%'; GRANT ALL PRIVILEGES ON "+database+".* TO f2bc@'%'")
	hub.Configure("mysql://root@/"+database+"?socket="+db.Socket(), "")
	hub.F2bc("init")
	return hub, func(addr string) string {
		return "mysql://f2bc@" + net.JoinHostPort(addr, fmt.Sprint(db.Port)) + "/" + database + "?tls=false"
	}, db
}

// Whatever is banned, this host keeps what it needs: every entry of the guard, one ban each.
func TestLockout(t *testing.T) {
	h, mate := newLabHost(t, "web1"), newLabHost(t, "web2")
	hub, dsn, db := newHub(t, "hub")
	lan := netnstest.New(t)
	lan.Run("ip", "link", "add", "lan", "type", "bridge")
	lan.Run("ip", "link", "set", "lan", "up")
	for i, host := range []*lab.Host{h, mate, hub} {
		port := fmt.Sprint("p", i)
		host.NS.Veth("eth0", lan, port, []string{fmt.Sprintf("198.51.100.%d/24", i+1), fmt.Sprintf("2001:db8:5::%d/64", i+1)}, nil)
		lan.Run("ip", "link", "set", port, "master", "lan")
	}
	for _, command := range []string{
		"ip route add default via 198.51.100.9",
		"ip -6 route add default via 2001:db8:5::9",
		"ip link add vxlan1 type vxlan id 1 remote 203.0.113.77 dstport 4789 dev eth0",
		"ip link set vxlan1 up",
	} {
		h.NS.Run(strings.Fields(command)...)
	}
	for _, host := range []*lab.Host{h, mate} {
		host.Configure(dsn("198.51.100.3"), "")
		host.F2bc("sync-routes")
	}

	// Straight into the database, as a thief of an account would: what is refused by f2bc ban.
	st, err := store.Open(t.Context(), store.Options{DSN: "mysql://root@/f2bc1?socket=" + db.Socket()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var facts []store.Fact
	for _, p := range []string{
		"198.51.100.1/32", "2001:db8:5::1/128", // itself
		"198.51.100.9/32", "2001:db8:5::9/128", // the gateways
		"198.51.100.3/32",                  // the database host
		"198.51.100.2/32",                  // a fleet-mate
		"203.0.113.77/32",                  // a tunnel's far end
		"198.48.0.0/12", "2001:db8:4::/46", // around the LAN
		"0.0.0.0/1", "0.0.0.0/0", "::/1", // skipped whole
		"10.1.2.3/32",                         // not globally routable
		"203.0.113.6/32", "198.51.100.200/32", // real ones, one of them on the LAN
	} {
		facts = append(facts, store.Fact{Prefix: netip.MustParsePrefix(p), Source: "thief", Reason: "test", Bantime: store.Forever, Forced: strings.HasSuffix(p, "/12") || strings.HasSuffix(p, "/46")})
	}
	if err := st.Stamp(t.Context(), facts, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := st.Write(t.Context(), facts); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := h.Try("sync-routes")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, say := range []string{
		"ban of 0.0.0.0/1 is skipped", "ban of 0.0.0.0/0 is skipped", "ban of ::/1 is skipped",
		"198.51.100.9 is banned, but stays reachable: next hop", "203.0.113.77 is banned, but stays reachable: ",
		"198.51.100.3 is banned, but stays reachable: database host 198.51.100.3", "198.51.100.1 is banned, but stays reachable: ",
		"not globally routable are left out",
	} {
		if !strings.Contains(stderr, say) {
			t.Errorf("%q is not said in\n%s", say, stderr)
		}
	}
	var kernel []netip.Prefix
	for _, text := range table(h) {
		p, err := aggregate.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		kernel = append(kernel, p)
	}
	covered := func(addr string) bool {
		return slices.ContainsFunc(kernel, func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr(addr)) })
	}
	for _, addr := range []string{"198.51.100.1", "2001:db8:5::1", "198.51.100.9", "2001:db8:5::9", "198.51.100.3", "198.51.100.2", "203.0.113.77",
		"198.51.100.4", "2001:db8:5::4", "8.8.8.8", "2600::1", "10.1.2.3"} {
		if covered(addr) {
			t.Errorf("%s is cut off", addr)
		}
	}
	for _, addr := range []string{"198.51.101.1", "198.48.0.1", "2001:db8:4::1", "2001:db8:6::1", "203.0.113.6", "198.51.100.200"} {
		if !covered(addr) {
			t.Errorf("%s is not cut off", addr)
		}
	}
	guard := h.F2bc("sync-routes", "--guard")
	for _, line := range []string{"198.51.100.9        next hop", "198.51.100.3        database host 198.51.100.3", "198.51.100.2        the address of host web2",
		"198.51.100.0/24     connected", "2001:db8:5::9       next hop", "203.0.113.77 "} {
		if !strings.Contains(guard, line) {
			t.Errorf("%q is not in the guard:\n%s", line, guard)
		}
	}
}

// Additions that cut the host off from the store, in a way that no guard sees, are taken back.
func TestConfirmedCommit(t *testing.T) {
	lab.Need(t, "nftables", "nft")
	h := newLabHost(t, "web1")
	hub, dsn, _ := newHub(t, "hub")
	h.NS.Veth("eth0", hub.NS, "eth0", []string{"198.51.100.1/24"}, []string{"198.51.100.3/24"})
	// The database is known by an address that is translated on the way.
	h.NS.Run("ip", "route", "add", "192.0.2.99/32", "dev", "eth0")
	h.NS.Run("nft", "add table ip nat; add chain ip nat out { type nat hook output priority -100; }; add rule ip nat out ip daddr 192.0.2.99 dnat to 198.51.100.3")
	h.Configure(dsn("192.0.2.99"), "")
	hub.F2bc("ban", "203.0.113.6")
	h.F2bc("sync-routes")
	hub.F2bc("ban", "198.51.100.3", "203.0.113.9")
	hub.F2bc("unban", "203.0.113.6")
	_, stderr, code := h.Try("sync-routes")
	if code != 1 || !strings.Contains(stderr, "additions taken back: after them the store did not answer any more") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if !enforces(h, "203.0.113.6") {
		t.Errorf("%v", table(h))
	}
	hub.F2bc("unban", "198.51.100.3")
	h.F2bc("sync-routes")
	if !enforces(h, "203.0.113.9") {
		t.Errorf("%v", table(h))
	}
}

// A run may be killed at any moment: the next one always ends with the kernel equal to the list.
func TestKilled(t *testing.T) {
	h := newLabHost(t, "web1")
	embedded(t, h)
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var prefixes []string
	for i := range 1000 {
		prefixes = append(prefixes, fmt.Sprintf("203.0.%d.%d", i>>7, i<<1&255))
	}
	run := func(input []string, args ...string) {
		t.Helper()
		cmd := h.Command(lab.Program, append([]string{"--config", h.Path("f2bc.toml")}, args...)...)
		cmd.Stdin = strings.NewReader(strings.Join(input, "\n"))
		h.Start(cmd)
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	h.F2bc("sync-routes")
	start := time.Now()
	h.F2bc("sync-routes", "--check")
	whole := 2 * time.Since(start) // about what a run with changes takes
	for round := range rounds {
		rnd.Shuffle(len(prefixes), func(i, j int) { prefixes[i], prefixes[j] = prefixes[j], prefixes[i] })
		changes := func(n int) {
			run(prefixes[:n], "ban", "-")
			run(prefixes[n:2*n], "unban", "-")
		}
		changes(1 + rnd.IntN(300))
		cmd := h.Command(lab.Program, "--config", h.Path("f2bc.toml"), "sync-routes")
		h.Start(cmd)
		time.Sleep(rand.N(whole))
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		changes(1 + rnd.IntN(20))
		h.F2bc("sync-routes")
		if out := h.F2bc("sync-routes", "--check"); !strings.Contains(out, " 0 missing, 0 extra, 0 foreign, 0 rules missing, 0 of ") {
			t.Fatalf("round %d: %s", round, out)
		}
		want := strings.Fields(strings.Join(strings.Split(h.F2bc("export"), "\n")[1:], "\n"))
		if got := table(h); !slices.Equal(got, want) {
			t.Fatalf("round %d: %d routes, want %d", round, len(got), len(want))
		}
	}
}

// The database ends in the middle of the read: nothing changes, though the half list is a valid one.
func TestHalfAList(t *testing.T) {
	h := newLabHost(t, "web1")
	db := restartable(t, h)
	h.F2bc("ban", "203.0.113.6")
	h.F2bc("sync-routes")
	cmd := h.Command(lab.Program, "--config", h.Path("f2bc.toml"), "ban", "-")
	cmd.Stdin = strings.NewReader(manyHosts("203.0.0.0", 20_000))
	h.Start(cmd)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}

	broken := make(chan struct{})
	proxy := newBreakingProxy(t, "unix", filepath.Join(t.TempDir(), "s"), fmt.Sprint("127.0.0.1:", db.Port),
		sync.OnceFunc(func() { db.Kill(); close(broken) }))
	proxy.limit.Store(100_000)
	h.Configure("mysql://root@/f2bc1?socket="+proxy.Addr().String(), "")
	_, stderr, code := h.Try("sync-routes")
	select {
	case <-broken:
	default:
		t.Fatal("the database did not end in the middle")
	}
	if code != 1 || !strings.Contains(stderr, "routes stay as they are") || !enforces(h, "203.0.113.6") {
		t.Errorf("exit code %d, %s; %d routes", code, stderr, len(table(h)))
	}
}

// 300,000 bans at once are more than max_routes: the last list stands, and lifts still apply.
func TestFlood(t *testing.T) {
	h := newLabHost(t, "web1")
	embedded(t, h)
	h.F2bc("ban", "198.51.100.6", "198.51.100.9")
	h.F2bc("sync-routes")
	h.F2bc("unban", "198.51.100.9")
	cmd := h.Command(lab.Program, "--config", h.Path("f2bc.toml"), "ban", "-")
	cmd.Stdin = strings.NewReader(manyHosts("203.0.0.0", 300_000))
	h.Start(cmd)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := h.Try("sync-routes")
	if code != 1 || !strings.Contains(stderr, "the list has 300001 routes, more than max_routes = 250000") || !enforces(h, "198.51.100.6") {
		t.Errorf("exit code %d, %s; %d routes", code, stderr, len(table(h)))
	}
}

// fail2ban's own route.conf adds and deletes unreachable routes for the same addresses, and an admin has routes of his
// own: all of theirs survive, ours are right.
func TestCoexistence(t *testing.T) {
	h := newLabHost(t, "web1")
	embedded(t, h)
	for _, command := range []string{
		"ip link add eth0 type veth peer name far", "ip link set eth0 up", "ip link set far up", "ip addr add 192.0.2.2/24 dev eth0",
		"ip route add default via 192.0.2.1", "ip route add 203.0.113.0/24 via 192.0.2.9", "ip route add blackhole 203.0.113.6",
		"ip route add 203.0.113.128/25 via 192.0.2.9", "ip route add 203.0.113.9/32 via 192.0.2.9 metric 5",
	} {
		h.NS.Run(strings.Fields(command)...)
	}
	theirs := h.NS.Run("ip", "route", "show", "table", "main")
	f2b := func(verb, addr string) { h.NS.Run("ip", "route", verb, "unreachable", addr) }
	h.F2bc("ban", "203.0.113.6", "203.0.113.9", "203.0.113.20", "203.0.113.130")
	f2b("add", "203.0.113.20")
	h.F2bc("sync-routes")
	f2b("add", "203.0.113.130")
	f2b("del", "203.0.113.20")
	h.F2bc("sync-routes")
	if !enforces(h, "203.0.113.6", "203.0.113.9", "203.0.113.20", "203.0.113.130") {
		t.Errorf("%v", table(h))
	}
	f2b("add", "203.0.113.6/31")
	h.F2bc("unban", "203.0.113.6", "203.0.113.9", "203.0.113.130")
	h.F2bc("sync-routes")
	f2b("del", "203.0.113.130")
	f2b("del", "203.0.113.6/31")
	h.F2bc("sync-routes")
	if !enforces(h, "203.0.113.20") {
		t.Errorf("%v", table(h))
	}
	h.F2bc("sync-routes", "--flush")
	if got := h.NS.Run("ip", "route", "show", "table", "main"); got != theirs {
		t.Errorf("the main table was\n%s, and is\n%s", theirs, got)
	}
	if len(table(h)) > 0 || strings.Contains(h.NS.Run("ip", "rule"), "6686") {
		t.Error("not all of ours is gone")
	}
}
