package commands

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	statedir "f2bc/store/state"

	"f2bc/aggregate"
	"f2bc/routes/netnstest"
	"f2bc/store"
	"f2bc/store/mariadbtest"
	"f2bc/testdata/bench"
)

// silentHost returns a namespace in which the packets to 192.0.2.1 are lost, and f2bc in it with its database there.
func silentHost(t testing.TB, state string) (ban func(address string) *exec.Cmd) {
	ns := netnstest.New(t)
	for _, args := range []string{"link add d0 type veth peer name d1", "address add 192.0.2.2/24 dev d0", "link set d0 up", "link set d1 up",
		"neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev d0 nud permanent"} {
		ns.Run(append([]string{"ip"}, strings.Fields(args)...)...)
	}
	return func(address string) *exec.Cmd {
		cmd := f2bcProcess(t, "ban", "--reason", "sshd", address)
		cmd.Env = append(cmd.Env, "F2BC_STATE_DIR="+state, "F2BC_DSN=mysql://f2bc@192.0.2.1/f2bc", "F2BC_SOURCE=web1")
		ns.Do(func() {
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
		})
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
}

// TestSilentStore: where nobody answers at all, a ban is kept, and the next one does not wait again.
func TestSilentStore(t *testing.T) {
	state := t.TempDir()
	ban := silentHost(t, state)
	start := time.Now()
	ban("203.0.113.6")
	first := time.Since(start)
	start = time.Now()
	ban("203.0.113.7")
	if next := time.Since(start); first < store.SendTime || next > store.SendTime {
		t.Errorf("the first ban took %v, the next one %v: want the first one alone to wait for %v", first, next, store.SendTime)
	}
	outbox, err := store.OpenOutbox(t.Context(), statedir.Dir(state))
	if err != nil {
		t.Fatal(err)
	}
	defer outbox.Close()
	if s, err := outbox.State(t.Context()); err != nil || s.Waiting != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func BenchmarkCompareOutage(b *testing.B) {
	state := b.TempDir()
	ban := silentHost(b, state)
	timed := func(address string) time.Duration {
		start := time.Now()
		ban(address)
		return time.Since(start)
	}
	first := timed("203.0.113.6")
	next := timed("203.0.113.7")
	bench.Print("ban while the packets to the database are lost: the first %v (goal: 2 s), the next %v (goal: 50 ms)",
		first.Round(time.Millisecond), next.Round(time.Millisecond))

	outbox, err := store.OpenOutbox(b.Context(), statedir.Dir(state))
	if err != nil {
		b.Fatal(err)
	}
	defer outbox.Close()
	var facts []store.Fact
	for i := range 10_000 {
		p, err := aggregate.ParsePrefix(fmt.Sprintf("203.%d.%d.1", i/250, i%250))
		if err != nil {
			b.Fatal(err)
		}
		facts = append(facts, store.Fact{Prefix: p, Reason: "sshd", Bantime: store.Forever})
	}
	if err := outbox.Add(b.Context(), facts, time.Time{}); err != nil {
		b.Fatal(err)
	}
	server := mariadbtest.New(b)
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	dsn := server.DSN(server.Database(b))
	st, err := store.Init(b.Context(), store.Options{DSN: dsn})
	if err != nil {
		b.Fatal(err)
	}
	st.Close()
	cmd := f2bcProcess(b, "list", "--source", "nobody")
	cmd.Env = append(cmd.Env, "F2BC_STATE_DIR="+state, "F2BC_DSN="+dsn, "F2BC_SOURCE=web1")
	start := time.Now()
	code, stderr := exited(b, cmd)
	took := time.Since(start)
	if code != 0 || !strings.Contains(stderr, "delivered 10002 facts") {
		b.Fatalf("%d: %s", code, stderr)
	}
	bench.Print("10,000 waiting facts delivered in %v (goal: 5 s)", took.Round(time.Millisecond))
}

// BenchmarkCompareBan compares one ban as a whole process, as fail2ban starts it on a server with an account of its own, with
// a client that connects and inserts one row.
func BenchmarkCompareBan(b *testing.B) {
	server := mariadbtest.New(b)
	server.Args = []string{"--innodb-buffer-pool-size=2G", "--innodb-log-file-size=1G"}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	database := server.Database(b)
	st, err := store.Init(b.Context(), store.Options{DSN: server.DSN(database)})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	server.Exec(b, "CREATE TABLE "+database+".bare (id INT AUTO_INCREMENT PRIMARY KEY, a INT); CREATE USER web1@'%'; "+
		"GRANT SELECT, EXECUTE ON "+database+".* TO web1@'%'")
	dir := b.TempDir()
	for name, path := range map[string]string{"f2bc": "..", "bare": "../testdata/bare"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), path)
		build.Env = append(build.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	n := 0
	ours := bench.Timed(b, func() error {
		n++
		cmd := exec.Command(filepath.Join(dir, "f2bc"), "ban", "--reason", "sshd",
			"--at", fmt.Sprint(time.Now().Unix()), "--bantime", "600", "--", fmt.Sprintf("198.51.%d.%d", n/200, n%200))
		cmd.Env = []string{"F2BC_DSN=" + strings.Replace(server.DSN(database), "root@", "web1@", 1), "F2BC_STATE_DIR=" + dir, "F2BC_SOURCE=web1"}
		return cmd.Run()
	})
	bare := bench.Timed(b, func() error {
		return exec.Command(filepath.Join(dir, "bare"), fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s", server.Port, database)).Run()
	})
	compare := func(rows string) {
		bench.Compare(b, "one ban as a whole process, "+rows+" in the store", 41, bench.Side{Name: "f2bc ban", Run: ours},
			bench.Side{Name: "connect and insert a row", Run: bare}, "1.8")
	}
	compare("no rows")
	db := server.Open(b, database)
	if _, err := db.Exec(`
INSERT INTO report (addr, len, source, reason, at, expires, longest)
SELECT UNHEX(LPAD(HEX(16777216 + seq * 503), 8, '0')), 32, 'web2', 'sshd', 1700000000000000 + seq, 9223372036854775807, 9223372036854775807
FROM seq_1_to_1000000`); err != nil {
		b.Fatal(err)
	}
	compare("1,000,000 rows")
}
