package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
)

// galera is a cluster of three real nodes.
type galera struct {
	t     *testing.T
	nodes [3]*mariadbtest.Server
}

func newGalera(t *testing.T) *galera {
	t.Helper()
	const provider = "/usr/lib/galera/libgalera_smm.so"
	for _, need := range []string{provider, "/usr/bin/rsync", "/usr/sbin/mariadbd"} {
		if _, err := os.Stat(need); err != nil {
			mariadbtest.Unavailable(t, fmt.Errorf("no Galera: install Debian's mariadb-server, galera-4 and rsync: %w", err))
		}
	}
	// As root, rsync drops to nobody, who can read nothing: the nodes run as Debian's mysql.
	account, err := user.Current()
	check(t, err)
	if account.Uid == "0" {
		if account, err = user.Lookup("mysql"); err != nil {
			mariadbtest.Unavailable(t, err)
		}
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	dir, err := os.MkdirTemp("", "f2bc-galera")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))

	g := &galera{t: t}
	var group [3]int
	for i := range group {
		group[i] = freePort(t)
	}
	for i := range g.nodes {
		node := &mariadbtest.Server{Dir: filepath.Join(dir, fmt.Sprint(i)), Bind: "127.0.0.1", User: account.Username}
		data := filepath.Join(node.Dir, "data")
		for _, d := range []string{node.Dir, data} {
			check(t, os.Mkdir(d, 0o755))
			check(t, os.Chown(d, uid, gid))
		}
		if i == 0 { // the others get theirs from it
			out, err := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal",
				"--skip-test-db", "--user="+account.Username).CombinedOutput()
			if err != nil {
				t.Fatalf("mariadb-install-db: %v\n%s", err, out)
			}
		}
		transfer, increments := freePort(t), freePort(t)
		node.Args = []string{"--wsrep-on=ON", "--wsrep-provider=" + provider, "--binlog-format=ROW",
			"--innodb-autoinc-lock-mode=2", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
			"--wsrep-sst-method=rsync", fmt.Sprint("--wsrep-sst-receive-address=127.0.0.1:", transfer),
			fmt.Sprint("--wsrep-node-address=127.0.0.1:", group[i]), fmt.Sprint("--wsrep-node-name=node", i),
			fmt.Sprintf("--wsrep-cluster-address=gcomm://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", group[0], group[1], group[2]),
			fmt.Sprintf("--wsrep-provider-options=base_port=%d;gmcast.listen_addr=tcp://127.0.0.1:%[1]d;ist.recv_addr=127.0.0.1:%d;gcache.size=16M;"+
				"evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.install_timeout=PT4S", group[i], increments),
		}
		g.nodes[i] = node
		t.Cleanup(node.Kill)
	}
	g.nodes[0].Args = append(g.nodes[0].Args, "--wsrep-new-cluster")
	for i, node := range g.nodes {
		if err := node.Start(); err != nil {
			donor, _ := os.ReadFile(filepath.Join(g.nodes[0].Dir, "log"))
			t.Fatalf("%v\nnode 0:\n%s", err, donor)
		}
		g.wait(i, "Synced")
	}
	g.nodes[0].Args = slices.DeleteFunc(g.nodes[0].Args, func(arg string) bool { return arg == "--wsrep-new-cluster" })
	return g
}

// wait waits until a node says that it is in the state.
func (g *galera) wait(i int, state string) {
	g.t.Helper()
	db := g.nodes[i].Open(g.t, "")
	defer db.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var name, value string
		err := db.QueryRow("SHOW STATUS LIKE 'wsrep_local_state_comment'").Scan(&name, &value)
		if err == nil && value == state {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(g.nodes[i].Dir, "log"))
			g.t.Fatalf("node %d is %q, %v, want %s\n%s", i, value, err, state, log)
		}
	}
}

// isolate cuts a node off from the others, or brings it back.
func (g *galera) isolate(i, on int) {
	g.t.Helper()
	g.nodes[i].Exec(g.t, fmt.Sprintf("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=%d'", on))
}

// options name all nodes, node i first.
func (g *galera) options(i int) Options {
	var hosts []string
	for n := range g.nodes {
		hosts = append(hosts, fmt.Sprint("127.0.0.1:", g.nodes[(i+n)%3].Port))
	}
	return Options{DSN: "mysql://root@" + strings.Join(hosts, ",") + "/f2bc", Warn: g.t.Logf}
}

// only names one node.
func (g *galera) only(i int) Options {
	return Options{DSN: g.nodes[i].DSN("f2bc"), Warn: g.t.Logf}
}

// open opens a store whose clock is off by the given time, as that of the node would be.
func (g *galera) open(o Options, off time.Duration) *Store {
	g.t.Helper()
	s, err := Open(g.t.Context(), o)
	check(g.t, err)
	g.t.Cleanup(func() { s.Close() })
	s.clock.store = s.clock.store.Add(off)
	return s
}

var nodeClocks = [3]time.Duration{0, 25 * time.Second, -25 * time.Second}

// galeraWriter bans and lifts at random until it is stopped, each fact as a command of its own would. It knows the facts
// that the store took.
type galeraWriter struct {
	mu    sync.Mutex
	facts []Fact
}

func (w *galeraWriter) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.facts)
}

func (w *galeraWriter) run(t *testing.T, s *Store, r *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		facts := randomFacts(r, 0)[:1]
		facts[0].At = 0
		if facts[0].Bantime == time.Microsecond { // would end while the test runs
			facts[0].Bantime = time.Hour
		}
		// The time does not depend on the machine; what takes this long has failed.
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		err := s.Stamp(ctx, facts, time.Time{})
		if err == nil {
			err = s.Write(ctx, facts)
		}
		cancel()
		if err != nil {
			t.Error(err)
			return
		}
		w.mu.Lock()
		w.facts = append(w.facts, facts...)
		w.mu.Unlock()
	}
}

// TestGalera writes at all nodes at once, their clocks apart, while one is killed and one is cut off, and both come back:
// no write fails, nothing is lost, nothing is there twice, and an unban beats what it is about.
func TestGalera(t *testing.T) {
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("three nodes take half a minute")
	}
	g := newGalera(t)
	g.nodes[0].Exec(t, "CREATE DATABASE f2bc")
	initStore(t, g.options(0))

	t.Run("unban at one node", g.unbanElsewhere)

	var writers [3]galeraWriter
	var wg sync.WaitGroup
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	for i := range writers {
		s := g.open(g.options(i), nodeClocks[i])
		wg.Go(func() { writers[i].run(t, s, rand.New(rand.NewPCG(uint64(i), 0)), stop) })
	}
	more := func() { // 30 more facts at each node, whatever is the case
		var from [3]int
		for i := range writers {
			from[i] = writers[i].count()
		}
		for i := range writers {
			for writers[i].count() < from[i]+30 && !t.Failed() {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	more()
	g.nodes[0].Kill()
	more()
	check(t, g.nodes[0].Start())
	g.wait(0, "Synced")
	more()
	g.isolate(1, 1)
	more()
	g.wait(1, "Initialized") // cut off, as it calls it
	g.stale(1)
	more()
	g.isolate(1, 0)
	g.wait(1, "Synced")
	more()
	end()

	var facts []Fact
	for i := range writers {
		facts = append(facts, writers[i].facts...)
	}
	var dump string
	for i := range g.nodes {
		s := g.open(g.only(i), nodeClocks[i])
		check(t, s.Write(t.Context(), facts[:10])) // a replay, and a wait for what the others wrote
		if got, want := activeLines(t, s), strings.Join(modelActive(facts, s.clock.now()), "\n"); got != want {
			t.Errorf("node %d has\n%s\nwant\n%s", i, got, want)
		}
		rows := dumpRows(t, s)
		if i > 0 && rows != dump {
			t.Errorf("node %d has\n%s\nnode 0\n%s", i, rows, dump)
		}
		dump = rows
	}
	distinct := map[Fact]bool{}
	for _, f := range facts {
		distinct[f] = true
	}
	var events int
	check(t, g.nodes[0].Open(t, "f2bc").QueryRow("SELECT COUNT(*) FROM event WHERE addr NOT BETWEEN X'C0000200' AND X'C00002FF'").Scan(&events))
	if events != len(distinct) {
		t.Errorf("%d events of %d facts", events, len(distinct))
	}
	t.Log(len(facts), "facts")
}

// unbanElsewhere: an unban at a node whose clock is behind beats a report made just before at a node whose clock is ahead.
func (g *galera) unbanElsewhere(t *testing.T) {
	ahead, behind, third := g.open(g.only(1), 25*time.Second), g.open(g.only(2), -25*time.Second), g.open(g.only(0), 0)
	for i := range 40 {
		prefix := fmt.Sprintf("192.0.2.%d/32", i)
		ban, unban := []Fact{report(prefix, "web1", 0, Forever)}, []Fact{lift(prefix, "", "", 0)}
		check(t, ahead.Stamp(t.Context(), ban, time.Time{}))
		check(t, ahead.Write(t.Context(), ban))
		check(t, behind.Stamp(t.Context(), unban, time.Time{}))
		check(t, behind.Write(t.Context(), unban))
		if got := banned(t, third, Filter{}); got != "" {
			t.Fatal("still banned:", got)
		}
	}
}

// stale wants a node that is cut off to answer nothing rather than what it last knew.
func (g *galera) stale(i int) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Second)
	defer cancel()
	s, err := Open(ctx, g.only(i))
	if err == nil {
		s.Close()
		g.t.Error("a node that is cut off was opened")
	} else if number(err) != 1047 {
		g.t.Error("a node that is cut off:", err)
	}
}
