package commands

import (
	"bytes"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"f2bc/commands/lab"
	"f2bc/routes/netnstest"
	"f2bc/store"
	"f2bc/store/mariadbtest"
	"f2bc/store/mysqldouble"
)

// synced is a host whose kernel has one list while the store has another one by now.
type synced struct {
	d    *doubled
	h    *lab.Host
	runs int
}

const (
	syncedStays, syncedGoes, syncedComes = "203.0.113.201", "203.0.113.203", "203.0.113.205"
)

func (d *doubled) newSynced(t *testing.T) *synced {
	t.Helper()
	s := &synced{d: d, h: lab.NewHost(t, "web1", netnstest.New(t))}
	s.h.NS.Run("ip", "link", "set", "lo", "up")
	return s
}

// reset makes the kernel as it was after the last sync.
func (s *synced) reset() {
	if slices.Equal(table(s.h), []string{syncedStays, syncedGoes}) {
		return
	}
	s.h.NS.Run("ip", "route", "flush", "table", "6686")
	for _, addr := range []string{syncedStays, syncedGoes} {
		s.h.NS.Run("ip", "route", "add", "blackhole", addr, "table", "6686", "proto", "242")
	}
}

// sync runs sync-routes on the host against a double that listens there.
func (s *synced) sync(t *testing.T, patience time.Duration, double func(net.Listener) *mysqldouble.Between) (
	code int, stderr string, sent int64, packets int,
) {
	t.Helper()
	var l net.Listener
	s.h.NS.Do(func() { l = mysqldouble.Listen(t) })
	defer l.Close()
	b := double(l)
	s.runs++
	state := s.h.Path(fmt.Sprint("state", s.runs))
	if s.runs > 1 {
		if err := os.CopyFS(state, os.DirFS(s.h.Path("state1"))); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(state)
	}
	cmd := f2bcProcess(t, "sync-routes")
	cmd.Env = append(cmd.Env, "F2BC_TEST_ROOT=1", "F2BC_SOURCE=web1", "F2BC_STATE_DIR="+state, fmt.Sprint("F2BC_TEST_PATIENCE=", patience),
		"F2BC_PASSWORD="+doublePassword, fmt.Sprintf("F2BC_DSN=mysql://f2bc@%s/%s", l.Addr(), s.d.name))
	var said bytes.Buffer
	cmd.Stderr = &said
	s.h.Start(cmd)
	cmd.Wait() // the exit code says it
	if bytes.Contains(b.Received(), []byte(doublePassword)) || strings.Contains(said.String(), doublePassword) {
		t.Errorf("the password was sent or printed: %s", &said)
	}
	sent, packets = b.Sent()
	return cmd.ProcessState.ExitCode(), said.String(), sent, packets
}

// TestStalledSync: where the server stalls, or says something else, the routes stay as they are; or the run had all
// that it asked for, and they are as the list is.
func TestStalledSync(t *testing.T) {
	d := newDoubled(t)
	ban := func(args ...string) {
		t.Helper()
		if r := d.run(t.Context(), d.target, args...); r.code != 0 {
			t.Fatal(args, r.stderr)
		}
	}
	ban(append([]string{"unban"}, doubleBans()...)...)
	ban("ban", syncedStays, syncedGoes)
	honest := func(l net.Listener) *mysqldouble.Between { return mysqldouble.Stall(t, l, d.target, -1) }
	hosts := make([]*synced, 16)
	for i := range hosts {
		hosts[i] = d.newSynced(t)
		code, stderr, _, _ := hosts[i].sync(t, time.Minute, honest)
		if got := strings.Join(table(hosts[i].h), " "); code != 0 || got != syncedStays+" "+syncedGoes {
			t.Fatal(code, stderr, got)
		}
	}
	ban("unban", syncedGoes)
	ban("ban", syncedComes)
	code, stderr, all, packets := hosts[0].sync(t, time.Minute, honest)
	if code != 0 || strings.Join(table(hosts[0].h), " ") != syncedStays+" "+syncedComes {
		t.Fatal(code, stderr, table(hosts[0].h))
	}

	type try struct {
		what   string
		double func(net.Listener) *mysqldouble.Between
		stalls bool
	}
	var tries []try
	for after := range someOf(all, 50) {
		tries = append(tries, try{fmt.Sprintf("a stall after %d of %d bytes", after, all),
			func(l net.Listener) *mysqldouble.Between { return mysqldouble.Stall(t, l, d.target, after) }, true})
	}
	file := filepath.Join(t.TempDir(), "none")
	for _, kind := range []string{"garbage", "one byte", "half", "OK", "error", "short error", "wrong sequence",
		"promises more", "file", "huge count", "full", "key"} {
		for nth := range someOf(int64(packets), 6) {
			where := int(nth)
			spoil := func(nth int, packet []byte) ([]byte, bool) {
				if nth != where {
					return packet, false
				}
				return mysqldouble.Nonsense(packet, file)[kind], false
			}
			tries = append(tries, try{fmt.Sprintf("%s as packet %d of %d", kind, where, packets),
				func(l net.Listener) *mysqldouble.Between { return mysqldouble.Replace(t, l, d.target, spoil) }, false})
		}
	}
	var running sync.WaitGroup // not t.Parallel: most of the time is waited, whatever the number of cores
	for i, s := range hosts {
		running.Go(func() {
			for j := i; j < len(tries); j += len(hosts) {
				s.reset()
				code, stderr, _, _ := s.sync(t, time.Second, tries[j].double)
				old := slices.Equal(table(s.h), []string{syncedStays, syncedGoes})
				now := slices.Equal(table(s.h), []string{syncedStays, syncedComes})
				if code == 1 && !old || code == 0 && !now && tries[j].stalls || code != 0 && code != 1 {
					t.Errorf("%s: exit code %d, routes %v, %s", tries[j].what, code, table(s.h), stderr)
				}
			}
		})
	}
	running.Wait()
}

// TestNoConnection: where one account holds all connections, or this host's account has no more, everything that was
// known stays in force, and says why within its time.
func TestNoConnection(t *testing.T) {
	server := mariadbtest.New(t)
	server.Args = []string{"--max-connections=10"} // the least there is, and one more for root
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	d := &doubled{t: t, target: fmt.Sprint("127.0.0.1:", server.Port), name: server.Database(t), dir: t.TempDir()}
	server.Exec(t, "CREATE USER f2bc@'%' IDENTIFIED BY '"+doublePassword+"'; GRANT ALL ON "+d.name+".* TO f2bc@'%'")
	server.Exec(t, "CREATE USER thief@'%'")
	st, err := store.Init(t.Context(), store.Options{DSN: server.DSN(d.name)})
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	s := d.newSynced(t)
	honest := func(l net.Listener) *mysqldouble.Between { return mysqldouble.Stall(t, l, d.target, -1) }
	run := func(args ...string) (int, string) {
		cmd := f2bcProcess(t, args...)
		cmd.Env = append(cmd.Env, "F2BC_TEST_PATIENCE=5s", "F2BC_SOURCE=web1", "F2BC_STATE_DIR="+s.h.Path("state"),
			"F2BC_PASSWORD="+doublePassword, fmt.Sprintf("F2BC_DSN=mysql://f2bc@%s/%s", d.target, d.name))
		return exited(t, cmd)
	}
	file := s.h.Path("list.txt")
	good := func() {
		t.Helper()
		if code, stderr := run("ban", syncedStays); code != 0 || stderr != "" {
			t.Fatal(code, stderr)
		}
		if code, stderr := run("export", "--output", file); code != 0 {
			t.Fatal(code, stderr)
		}
		if code, stderr, _, _ := s.sync(t, time.Minute, honest); code != 0 || !slices.Equal(table(s.h), []string{syncedStays}) {
			t.Fatal(code, stderr, table(s.h))
		}
	}
	good()
	list := readFile(t, file)
	refused := func(what, want string) {
		t.Helper()
		code, stderr := run("export", "--output", file)
		says := func(text string) bool { return strings.Contains(stderr, text) }
		if code != 1 || !says(want) || !says("all connections are taken") || readFile(t, file) != list {
			t.Errorf("%s: export: %d, %s", what, code, stderr)
		}
		code, stderr, _, _ = s.sync(t, 5*time.Second, honest)
		stay := slices.Equal(table(s.h), []string{syncedStays})
		if code != 1 || !says("routes stay as they are: ") || !says(want) || !stay {
			t.Errorf("%s: sync-routes: %d, %v, %s", what, code, table(s.h), stderr)
		}
		if code, stderr = run("ban", syncedStays); code != 0 || !strings.Contains(stderr, "1 fact waits in the outbox") {
			t.Errorf("%s: ban: %d, %s", what, code, stderr)
		}
		os.Remove(s.h.Path("state/store-away"))
	}
	hold := func(user, password string) (release func()) {
		db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/", user, password, d.target))
		if err != nil {
			t.Fatal(err)
		}
		var held []*sql.Conn
		for {
			c, err := db.Conn(t.Context())
			if err != nil {
				break
			}
			held = append(held, c)
		}
		return func() {
			for _, c := range held {
				c.Close()
			}
			db.Close()
			lab.Wait(t, "connections", func() bool { code, _ := run("export", "--output", file); return code == 0 })
		}
	}

	release := hold("thief", "")
	refused("a thief holds all", "Too many connections")
	release()
	server.Exec(t, "ALTER USER f2bc@'%' WITH MAX_USER_CONNECTIONS 1")
	release = hold("f2bc", doublePassword)
	refused("the account's own limit", "max_user_connections")
	release()
}
