// Package netnstest gives tests network namespaces of their own, so that real
// routes and packets never meet the machine's.
package netnstest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A Namespace is a network namespace that ends with its test. It has no name:
// a killed test leaves nothing behind.
type Namespace struct {
	t    testing.TB
	file *os.File
}

// New returns an empty namespace whose loopback is up. Without root it
// skips the test, or fails it where CI is set.
func New(t testing.TB) *Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("network namespaces need root")
		}
		t.Skip("network namespaces need root")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home := current(t)
	defer home.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	n := &Namespace{t, current(t)}
	enter(home)
	t.Cleanup(n.Close)
	n.Run("ip", "link", "set", "lo", "up")
	return n
}

// Close ends n once its last process and socket are gone; the end of the test
// does it too.
func (n *Namespace) Close() { n.file.Close() }

func current(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatalf("open network namespace: %v", err)
	}
	return f
}

// enter moves this thread. To go on in the wrong namespace could change the
// machine's routes, so there is no error to overlook.
func enter(ns *os.File) {
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(fmt.Sprintf("enter network namespace: %v", err))
	}
}

// Do runs f on a thread inside n. Sockets that f opens and processes that it
// starts stay in n; goroutines that it starts run outside.
func (n *Namespace) Do(f func()) {
	n.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home := current(n.t)
	defer home.Close()
	enter(n.file)
	defer enter(home)
	f()
}

// Start starts cmd inside n.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	var err error
	n.Do(func() { err = cmd.Start() })
	return err
}

// Try runs a command inside n and returns what it printed.
func (n *Namespace) Try(command ...string) (string, error) {
	var out strings.Builder
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// Run is Try for a command that must succeed.
func (n *Namespace) Run(command ...string) string {
	n.t.Helper()
	out, err := n.Try(command...)
	if err != nil {
		n.t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return out
}

// Veth lays a cable from n to m and sets both ends up. An address with its
// length, of either family, may be given for each end; others follow with Run.
func (n *Namespace) Veth(dev string, m *Namespace, peer string, addr, peerAddr []string) {
	n.t.Helper()
	ns := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), m.file.Fd())
	n.Run("ip", "link", "add", "name", dev, "type", "veth", "peer", "name", peer, "netns", ns)
	n.up(dev, addr)
	m.up(peer, peerAddr)
}

func (n *Namespace) up(dev string, addrs []string) {
	n.t.Helper()
	for _, a := range addrs {
		// Duplicate address detection would keep an IPv6 address unusable for a second.
		n.Run("ip", "addr", "add", a, "dev", dev, "nodad")
	}
	n.Run("ip", "link", "set", "dev", dev, "up")
}
