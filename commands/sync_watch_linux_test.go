package commands

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/enforce"
	"f2bc/commands/lab"
	"f2bc/routes"
	"f2bc/routes/netnstest"
	"f2bc/store/mariadbtest"
)

var labProgram sync.Once

// newLabHost returns a host in a network namespace that runs the test's own build of f2bc, race detector and all.
func newLabHost(t *testing.T, name string) *lab.Host {
	t.Helper()
	ns := netnstest.New(t)
	labProgram.Do(func() {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		// The program that people run, beside the test's own, which the race detector makes many times slower.
		if err := lab.Build(filepath.Dir(self)); err != nil {
			t.Fatal(err)
		}
	})
	return lab.NewHost(t, name, ns)
}

// embedded configures hosts for one embedded store.
func embedded(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	path := "sqlite://" + filepath.Join(t.TempDir(), "f2bc.db")
	for _, h := range hosts {
		h.Configure(path, "")
	}
	hosts[0].F2bc("init")
}

// table returns what a host's table 6686 holds, IPv4 before IPv6.
func table(h *lab.Host) (prefixes []string) {
	var state routes.State
	h.NS.Do(func() {
		kernel, err := routes.Open(routes.Settings{})
		if err != nil {
			panic(err)
		}
		defer kernel.Close()
		if state, err = kernel.Read(context.Background()); err != nil {
			panic(err)
		}
	})
	for _, p := range state.Ours {
		prefixes = append(prefixes, aggregate.Text(p))
	}
	return prefixes
}

// enforces says whether a host's table is this and our rules are in place.
func enforces(h *lab.Host, prefixes ...string) bool {
	for _, family := range []string{"-4", "-6"} {
		if !strings.Contains(h.NS.Run("ip", family, "rule"), "6686:") {
			return false
		}
	}
	return slices.Equal(table(h), prefixes)
}

// watching starts sync-routes --watch.
func watching(h *lab.Host, flags ...string) *exec.Cmd {
	cmd := h.Command(lab.Program, append([]string{"--config", h.Path("f2bc.toml"), "sync-routes", "--watch"}, flags...)...)
	h.Serve("watch.log", cmd)
	return cmd
}

// restartable is a MariaDB that hosts in other namespaces reach through its socket.
func restartable(t *testing.T, hosts ...*lab.Host) *mariadbtest.Server {
	t.Helper()
	db := mariadbtest.New(t)
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	dsn := "mysql://root@/" + db.Database(t) + "?socket=" + db.Socket()
	for _, h := range hosts {
		h.Configure(dsn, "")
	}
	hosts[0].F2bc("init")
	return db
}

// Everything that happens to a host that watches.
func TestWatch(t *testing.T) {
	h := newLabHost(t, "web1")
	db := restartable(t, h)
	h.F2bc("ban", "203.0.113.6", "203.0.113.7", "2001:db8:2::/64")
	cmd := watching(h, "--interval", "100ms")
	wait := func(what string, prefixes ...string) {
		t.Helper()
		defer func() {
			if t.Failed() {
				t.Logf("table: %v\nlog:\n%s", table(h), h.Read("watch.log"))
			}
		}()
		lab.Wait(t, what, func() bool { return enforces(h, prefixes...) })
	}
	wait("the first list", "203.0.113.6/31", "2001:db8:2::/64")
	if _, stderr, code := h.Try("sync-routes"); code != 1 || !strings.Contains(stderr, fmt.Sprintf("--watch runs already, as process %d", cmd.Process.Pid)) {
		t.Errorf("a second run: exit code %d, %s", code, stderr)
	}

	h.F2bc("ban", "203.0.113.9")
	wait("a ban", "203.0.113.6/31", "203.0.113.9", "2001:db8:2::/64")
	h.F2bc("unban", "203.0.113.7")
	wait("an unban", "203.0.113.6", "203.0.113.9", "2001:db8:2::/64")
	h.F2bc("allow", "add", "203.0.113.6")
	wait("an allow", "203.0.113.9", "2001:db8:2::/64")
	h.F2bc("ban", "--bantime", "2", "203.0.113.10")
	wait("a ban of two seconds", "203.0.113.9", "203.0.113.10", "2001:db8:2::/64")
	wait("its end, which nobody writes", "203.0.113.9", "2001:db8:2::/64")

	// Somebody flushes the table and the rules: they are back long before the next look at everything.
	flush := func() {
		h.NS.Run("sh", "-c", "ip rule del pref 6686; ip -6 rule del pref 6686; ip route flush table 6686; ip -6 route flush table 6686")
	}
	flushed := time.Now()
	flush()
	wait("what was flushed", "203.0.113.9", "2001:db8:2::/64")
	if took := time.Since(flushed); took > enforce.WholeEvery/2 {
		t.Errorf("back only after %v", took)
	} else {
		t.Logf("back after %v", took)
	}

	// The same while the database is away, and nothing else happens until it is back, but that bans end.
	h.F2bc("ban", "--bantime", "15", "203.0.113.30")
	wait("a ban of 15 seconds", "203.0.113.9", "203.0.113.30", "2001:db8:2::/64")
	db.Kill()
	lab.Wait(t, "the word that the store is away", func() bool { return strings.Contains(h.Read("watch.log"), "the store is away") })
	flush()
	wait("what was flushed, without the store", "203.0.113.9", "2001:db8:2::/64")
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	h.F2bc("ban", "203.0.113.11")
	wait("a ban after the database is back", "203.0.113.9", "203.0.113.11", "2001:db8:2::/64")
	lab.Wait(t, "the word that it works again", func() bool { return strings.Contains(h.Read("watch.log"), "works again") })

	h.F2bc("pause")
	if strings.Contains(h.NS.Run("ip", "rule"), "6686") {
		t.Error("paused, but the rule is there")
	}
	h.F2bc("ban", "203.0.113.12")
	time.Sleep(lab.Brief)
	if strings.Contains(h.NS.Run("ip", "rule"), "6686") || slices.Contains(table(h), "203.0.113.12") {
		t.Error("the pause does not last")
	}
	h.F2bc("resume")
	wait("the end of the pause", "203.0.113.9", "203.0.113.11", "203.0.113.12", "2001:db8:2::/64")
	h.F2bc("pause", "--fleet")
	lab.Wait(t, "the pause of the fleet", func() bool { return !strings.Contains(h.NS.Run("ip", "rule"), "6686") })
	h.F2bc("resume", "--fleet")
	wait("the end of it", "203.0.113.9", "203.0.113.11", "203.0.113.12", "2001:db8:2::/64")

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	if !enforces(h, "203.0.113.9", "203.0.113.11", "203.0.113.12", "2001:db8:2::/64") {
		t.Error("routes did not stay after SIGTERM")
	}
	if log := h.Read("watch.log"); strings.Contains(log, "DATA RACE") || strings.Count(log, "\n") > 30 {
		t.Errorf("log:\n%s", log)
	}
}

// After a reboot with the database away the routes are back from the last list; with --watch, and with cron.
func TestAwayAtBoot(t *testing.T) {
	h := newLabHost(t, "web1")
	db := restartable(t, h)
	h.F2bc("ban", "203.0.113.6", "203.0.113.9", "2001:db8:2::/64")
	h.F2bc("sync-routes")
	old := time.Now().Add(-30 * time.Hour)
	if err := os.Chtimes(h.Path("state/last-list.txt"), old, old); err != nil {
		t.Fatal(err)
	}
	db.Kill()
	reboot := func() {
		h.NS = netnstest.New(t)
		h.NS.Run("ip", "address", "add", "203.0.113.9/32", "dev", "lo") // its own by now
	}
	reboot()
	_, stderr, code := h.Try("sync-routes")
	if code != 1 || !strings.Contains(stderr, "2 routes are from the list of "+old.UTC().Format("2006-01-02 15:04 UTC")+", which is 30 hours old, since the store is away") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if !enforces(h, "203.0.113.6", "2001:db8:2::/64") {
		t.Errorf("%v", table(h))
	}
	h.NS.Run("ip", "rule", "del", "pref", "6686")
	if _, stderr, code := h.Try("sync-routes"); code != 1 || !enforces(h, "203.0.113.6", "2001:db8:2::/64") {
		t.Errorf("without the rule: exit code %d, %s", code, stderr)
	}

	reboot()
	watching(h, "--interval", "100ms")
	lab.Wait(t, "the last list", func() bool { return enforces(h, "203.0.113.6", "2001:db8:2::/64") })
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	h.F2bc("ban", "203.0.113.11")
	lab.Wait(t, "the list of now", func() bool { return enforces(h, "203.0.113.6", "203.0.113.11", "2001:db8:2::/64") })
}
