package commands

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"f2bc/store"
	"f2bc/store/mariadbtest"
)

// trouble is a proxy before the database that can be slow, and cut connections.
type trouble struct {
	net.Listener
	target string
	delay  atomic.Int64 // nanoseconds for every piece of data
	mu     sync.Mutex
	open   []net.Conn
}

func newTrouble(t *testing.T, target string) *trouble {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &trouble{Listener: l, target: target}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, client, server)
			p.mu.Unlock()
			go p.pipe(client, server)
			go p.pipe(server, client)
		}
	}()
	return p
}

func (p *trouble) pipe(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		time.Sleep(time.Duration(p.delay.Load()))
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

func (p *trouble) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		c.Close()
	}
	p.open = nil
}

// soakHost is one server: its commands come one after the other, and it remembers what those did that exited 0.
type soakHost struct {
	name, dir string
	env       []string
	program   string
	banned    map[string]bool // what the last command on an address did; absent while that is not known
	log       []string
}

func (h *soakHost) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.program, args...)
	cmd.Env = h.env
	return cmd
}

// act runs one command, sometimes killing it, and returns what went wrong.
func (h *soakHost) act(r *rand.Rand) error {
	address := fmt.Sprintf("192.0.2.%d", r.IntN(30))
	args := []string{"ban", "--reason", "sshd", address}
	if r.IntN(3) == 0 {
		args = []string{"unban", "--own", "--reason", "sshd", address}
	}
	cmd := h.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	if r.IntN(8) == 0 {
		delete(h.banned, address)
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		h.log = append(h.log, strings.Join(args, " ")+": killed")
		return nil
	}
	err := cmd.Wait()
	h.log = append(h.log, fmt.Sprintf("%s: %v %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String())))
	if err != nil {
		return fmt.Errorf("%s: %s: %w: %s", h.name, strings.Join(args, " "), err, stderr.String())
	}
	h.banned[address] = args[0] == "ban"
	return nil
}

// stepClock does to what waits what a step of the wall clock by an hour would have done.
func (h *soakHost) stepClock() {
	path := filepath.Join(h.dir, "state/outbox.db")
	if _, err := os.Stat(path); err == nil {
		exec.Command("sqlite3", "-cmd", ".timeout 2000", path, "UPDATE fact SET made = made + 3600000000 * (1 - 2 * (seq % 2))").Run()
	}
}

// TestSoak bans and lifts from 8 hosts while the database goes through everything that can happen to one. What exited 0
// is in the store in the end. It takes 30 s, or as long as F2BC_SOAK says.
func TestSoak(t *testing.T) {
	length := 30 * time.Second
	if text := os.Getenv("F2BC_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	server := mariadbtest.New(t)
	diskFull := limitDisk(t, server)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	database := server.Database(t)
	proxy := newTrouble(t, fmt.Sprintf("127.0.0.1:%d", server.Port))
	server.Exec(t, "CREATE USER web@'%'; GRANT ALL ON "+database+".* TO web@'%'") // root may write to a read-only server
	dsn := fmt.Sprintf("mysql://web@127.0.0.1:%d/%s", proxy.Addr().(*net.TCPAddr).Port, database)
	direct := store.Options{DSN: server.DSN(database)}
	st, err := store.Init(t.Context(), direct)
	if err != nil {
		t.Fatal(err)
	}
	st.Close()

	end := time.Now().Add(length)
	var group sync.WaitGroup
	var hosts []*soakHost
	for i := range 8 {
		cmd := f2bcProcess(t)
		h := &soakHost{name: fmt.Sprint("web", i), dir: t.TempDir(), program: cmd.Path, banned: map[string]bool{}}
		h.env = append(cmd.Env, "F2BC_DSN="+dsn, "F2BC_SOURCE="+h.name, "F2BC_STATE_DIR="+filepath.Join(h.dir, "state"))
		hosts = append(hosts, h)
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))
			for n := 0; time.Now().Before(end); n++ {
				if err := h.act(r); err != nil {
					t.Error(err)
				}
				if n%20 == 19 {
					h.command("list", "--source", "nobody").Run() // as cron does: delivers what waits, where it can
				}
				if n%25 == 24 {
					h.stepClock()
				}
			}
		})
	}
	troubles := []func(){
		func() { server.Stop(); time.Sleep(time.Second); server.Start() },
		func() { server.Kill(); server.Start() },
		func() {
			server.Process().Signal(syscall.SIGSTOP)
			time.Sleep(2 * time.Second)
			server.Process().Signal(syscall.SIGCONT)
		},
		func() {
			proxy.delay.Store(int64(300 * time.Millisecond))
			time.Sleep(2 * time.Second)
			proxy.delay.Store(0)
		},
		proxy.cut,
		func() {
			server.Exec(t, "SET GLOBAL read_only = 1")
			time.Sleep(time.Second)
			server.Exec(t, "SET GLOBAL read_only = 0")
		},
		func() {
			server.Exec(t, "RENAME TABLE "+database+".report TO "+database+".away")
			time.Sleep(time.Second)
			server.Exec(t, "RENAME TABLE "+database+".away TO "+database+".report")
		},
		diskFull,
	}
	for i := 0; time.Now().Before(end); i++ {
		troubles[i%len(troubles)]()
		time.Sleep(500 * time.Millisecond)
	}
	group.Wait()
	proxy.delay.Store(0)
	if st, err = store.Open(t.Context(), direct); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, h := range hosts {
		h.compare(t, st)
	}
}

// compare delivers what still waits, and compares the store with what the host remembers.
func (h *soakHost) compare(t *testing.T, st *store.Store) {
	t.Helper()
	for try := 0; ; try++ {
		out, err := h.command("list", "--source", "nobody").CombinedOutput()
		if err == nil {
			break
		}
		if try == 20 {
			t.Fatalf("%s: the database is back, and f2bc says: %v\n%s", h.name, err, out)
		}
		time.Sleep(500 * time.Millisecond)
	}
	bans, err := st.List(t.Context(), store.Filter{Source: h.name})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range bans {
		got = append(got, b.Prefix.Addr().String())
	}
	known := 0
	for address, banned := range h.banned {
		known++
		if slices.Contains(got, address) == banned {
			continue
		}
		var history []string
		for _, line := range h.log {
			if strings.Contains(line, address+":") {
				history = append(history, line)
			}
		}
		t.Errorf("%s: %s banned is %v, want %v:\n%s", h.name, address, !banned, banned, strings.Join(history, "\n"))
	}
	t.Logf("%s: %d commands, %d of 30 addresses known, as they should be", h.name, len(h.log), known)
}

// limitDisk puts the server's data on a small file system of its own, and returns what fills it for a while.
func limitDisk(t *testing.T, server *mariadbtest.Server) (fill func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not root: the disk does not run full")
		return func() {}
	}
	data := filepath.Join(server.Dir, "data")
	disk := t.TempDir()
	for _, args := range [][]string{{"mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", disk}, {"cp", "-a", data + "/.", disk}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() {
		server.Kill()
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(disk, data); err != nil {
		t.Fatal(err)
	}
	return func() {
		filler := filepath.Join(disk, "filler")
		if f, err := os.Create(filler); err == nil {
			io.Copy(f, zeros{})
			f.Close()
		}
		time.Sleep(2 * time.Second)
		os.Remove(filler)
		// InnoDB may have given up.
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port)); err == nil {
			c.Close()
			return
		}
		server.Kill()
		server.Start()
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
