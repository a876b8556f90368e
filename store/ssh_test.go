package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
)

// hub is a real sshd, from Debian's openssh-server, behind a wire that can be cut. An ssh of our own in front of the real
// one makes it read the test's configuration, where the hub is called hub, instead of the user's.
type hub struct {
	t    *testing.T
	dir  string
	wire *wire
}

func newHub(t *testing.T) *hub {
	t.Helper()
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		mariadbtest.Unavailable(t, fmt.Errorf("no sshd: install Debian's openssh-server: %w", err))
	}
	if os.Geteuid() == 0 {
		os.Mkdir("/run/sshd", 0o755) // without it root's sshd does not start; Debian's service makes it too
	}
	h := &hub{t: t, dir: t.TempDir()}
	for _, key := range []string{"host", "other", "user"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", h.path(key)).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	port := freePort(t)
	h.write("sshd_config", fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s\nPidFile none\nAuthorizedKeysFile %s\nStrictModes no\n"+
		"UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n",
		port, h.path("host"), h.path("authorized")))
	cmd := exec.Command(sshd, "-D", "-e", "-f", h.path("sshd_config"))
	log, err := os.Create(h.path("log"))
	check(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for {
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			conn.Close()
			break
		}
		if cmd.Process.Signal(syscall.Signal(0)) != nil {
			t.Fatal("sshd ended: ", h.read("log"))
		}
		time.Sleep(10 * time.Millisecond)
	}

	h.wire = newWire(t, fmt.Sprint("127.0.0.1:", port))
	h.trust("host")
	h.configure("")
	real, err := exec.LookPath("ssh")
	check(t, err)
	h.write("ssh", fmt.Sprintf("#!/bin/sh\necho $$ >>%s\nenv >%s\nexec %s -F %s \"$@\"\n", h.path("pids"), h.path("env"), real, h.path("config")))
	check(t, os.Chmod(h.path("ssh"), 0o755))
	t.Setenv("PATH", h.dir+":"+os.Getenv("PATH"))
	t.Cleanup(h.noneLeft)
	return h
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (h *hub) path(name string) string { return filepath.Join(h.dir, name) }
func (h *hub) write(name, text string) { check(h.t, os.WriteFile(h.path(name), []byte(text), 0o600)) }
func (h *hub) read(name string) string {
	text, _ := os.ReadFile(h.path(name))
	return string(text)
}

// configure writes ssh's configuration, with more of it.
func (h *hub) configure(more string) {
	h.write("config", fmt.Sprintf("Host hub\nHostName 127.0.0.1\nHostKeyAlias hub\nPort %d\nIdentityFile %s\nIdentitiesOnly yes\nUserKnownHostsFile %s\nGlobalKnownHostsFile none\n%s",
		h.wire.port(), h.path("user"), h.path("known"), more))
}

// trust makes the named key that of the hub in known_hosts.
func (h *hub) trust(key string) { h.write("known", "hub "+h.read(key+".pub")) }

// permit lets the user's key reach one database, and nothing else.
func (h *hub) permit(address string) {
	h.write("authorized", fmt.Sprintf("restrict,port-forwarding,permitopen=%q %s", address, h.read("user.pub")))
}

// noneLeft wants every ssh that was started to be gone, zombies too.
func (h *hub) noneLeft() {
	for _, text := range strings.Fields(h.read("pids")) {
		pid, err := strconv.Atoi(text)
		check(h.t, err)
		for deadline := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				h.t.Errorf("ssh %d is still there", pid)
				return
			}
		}
	}
}

// wire passes connections on until it is cut.
type wire struct {
	net.Listener
	mu       sync.Mutex
	ends     []net.Conn
	accepted int
	mute     bool         // takes connections and passes nothing on
	answered atomic.Int64 // bytes passed on to those who connected
}

func newWire(t testing.TB, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	w := &wire{Listener: l}
	t.Cleanup(func() { l.Close(); w.cut() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.accepted++
			w.ends = append(w.ends, near, far)
			if !w.mute {
				go func() { io.Copy(far, near); far.Close() }()
				go func() { io.Copy(near, io.TeeReader(far, w)); near.Close() }()
			}
			w.mu.Unlock()
		}
	}()
	return w
}

// Write counts an answer.
func (w *wire) Write(answer []byte) (int, error) {
	w.answered.Add(int64(len(answer)))
	return len(answer), nil
}

func (w *wire) port() int { return w.Addr().(*net.TCPAddr).Port }

// cut ends all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.ends {
		c.Close()
	}
	w.ends = nil
}

func (w *wire) set(mute bool) (accepted int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute = mute
	return w.accepted
}

// TestSSH reaches a real database through a real sshd, and is told by ssh why where it does not.
func TestSSH(t *testing.T) {
	server := mariadbtest.Shared(t)
	h := newHub(t)
	address := fmt.Sprint("127.0.0.1:", server.Port)
	h.permit(address)
	t.Setenv("F2BC_PASSWORD", "sesame")
	o := Options{DSN: server.DSN(server.Database(t)), SSH: "hub", Warn: t.Logf}
	s := initStore(t, o)
	if strings.Contains(h.read("env"), "F2BC_") || !strings.Contains(h.read("env"), "PATH=") {
		t.Error("ssh was given the environment", h.read("env"))
	}

	t.Run("cut", func(t *testing.T) {
		var want []string
		for i := range 200 {
			if i%40 == 20 { // while the next ones are written; the one after that connects anew
				time.AfterFunc(time.Duration(i)*20*time.Microsecond, h.wire.cut)
			}
			prefix := fmt.Sprintf("203.0.113.%d/32", i)
			want = append(want, prefix)
			check(t, s.Write(t.Context(), []Fact{report(prefix, "web1", Time(1_700_000_000_000_000+i), Forever)}))
		}
		s, err := Open(t.Context(), Options{DSN: o.DSN})
		check(t, err)
		defer s.Close()
		wantBanned(t, s, strings.Join(want, " "))
	})

	refused := func(name string, o Options, want string) {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), o)
			if err == nil {
				s.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
	other := o
	other.DSN = fmt.Sprintf("mysql://root@127.0.0.1:%d/f2bc", freePort(t))
	refused("address not permitted", other, "ssh hub: channel 0: open failed: administratively prohibited: open failed; stdio forwarding failed")
	h.permit(strings.TrimPrefix(strings.TrimSuffix(other.DSN, "/f2bc"), "mysql://root@"))
	refused("database away", other, "ssh hub: channel 0: open failed: connect failed: Connection refused; stdio forwarding failed")
	h.write("authorized", "")
	refused("key refused", o, "127.0.0.1: Permission denied (publickey). (see for yourself: ssh -v -W "+address+" hub)")
	h.permit(address)
	h.trust("other")
	refused("host key changed", o, "ssh hub: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; IT IS POSSIBLE")
	h.write("known", "")
	refused("host key unknown", o, "ssh hub: Host key verification failed. (see for yourself: ssh -v -W "+address+" hub)")
	h.trust("host")
	refused("no such hub", Options{DSN: o.DSN, SSH: "-oProxyCommand=touch " + h.path("planted")}, "ssh -oProxyCommand")
	if h.read("planted") != "" {
		t.Error("the name of the hub was taken for an option")
	}
	for _, dsn := range []string{"sqlite://" + h.path("f2bc.db"), "mysql://root@/f2bc?socket=" + server.Socket()} {
		if _, err := Open(t.Context(), Options{DSN: dsn, SSH: "hub"}); !errors.Is(err, ErrSSH) {
			t.Error(dsn, err)
		}
	}
}

// TestSSHHangs: a hub that takes connections and says nothing costs the time there is, and leaves no process behind. Of
// two databases the one that can be reached from the hub is used.
func TestSSHHangs(t *testing.T) {
	server := mariadbtest.Shared(t)
	h := newHub(t)
	h.permit(fmt.Sprint("127.0.0.1:", server.Port))
	o := Options{DSN: server.DSN(server.Database(t)), SSH: "hub"}
	initStore(t, o)
	two := o
	two.DSN = strings.Replace(o.DSN, "@", fmt.Sprintf("@127.0.0.1:%d,", freePort(t)), 1)
	s, err := Open(t.Context(), two)
	check(t, err)
	s.Close()

	h.wire.set(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = Open(ctx, o)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "ssh hub: no answer from 127.0.0.1:") {
		t.Error(err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Error("took", d)
	}

	t.Setenv("PATH", "/nonexistent")
	if _, err := Open(t.Context(), o); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "openssh-client") {
		t.Error("without ssh:", err)
	}
}

// TestSSHSharing: where the user's configuration shares connections, the second one needs no new connection to the hub,
// and the master that stays behind holds nothing up.
func TestSSHSharing(t *testing.T) {
	server := mariadbtest.Shared(t)
	h := newHub(t)
	h.permit(fmt.Sprint("127.0.0.1:", server.Port))
	sockets, err := os.MkdirTemp("", "f2bc") // the path of a socket is short
	check(t, err)
	defer os.RemoveAll(sockets)
	h.configure("ControlMaster auto\nControlPersist 60\nControlPath " + filepath.Join(sockets, "%C") + "\n")
	t.Cleanup(func() { exec.Command(h.path("ssh"), "-O", "exit", "hub").Run() })
	o := Options{DSN: server.DSN(server.Database(t)), SSH: "hub"}
	initStore(t, o)
	before := h.wire.set(false)
	for range 3 {
		s, err := Open(t.Context(), o)
		check(t, err)
		check(t, s.Close())
	}
	if after := h.wire.set(false); after != before || before == 0 {
		t.Errorf("%d connections to the hub, then %d", before, after)
	}
	// A master that is gone with its network is told as any other trouble, or replaced.
	h.wire.cut()
	s, err := Open(t.Context(), o)
	check(t, err)
	check(t, s.Close())
}
