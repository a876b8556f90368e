package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrSSH says that ssh is to reach what it cannot.
var ErrSSH = errors.New("ssh reaches a database host and port, not a socket or a file: " +
	"write the host into the dsn as the ssh host sees it, such as mysql://f2bc@127.0.0.1/f2bc, or remove ssh")

// sshConn is a connection through a process of OpenSSH, which brings the user's keys, config, known_hosts and connection
// sharing. It is the far end of the process's standard input and output.
type sshConn struct {
	in, out *os.File
	first   *bufio.Reader // of out; holds what came before the dial was done
	process *os.Process
	exited  chan struct{}
}

// dialSSH connects to address, host:port as seen from destination. It returns when the database has spoken, as MySQL
// does first, so that whatever keeps ssh from there is an error here, in the words of ssh.
func dialSSH(ctx context.Context, destination, address string) (net.Conn, error) {
	// The limits matter where this process is gone and ssh is not: it must not wait for a dead network.
	cmd := exec.Command("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
		"-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=2", "-W", address, "--", destination)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "F2BC_") })
	said := &tail{}
	cmd.Stderr = said
	cmd.WaitDelay = 100 * time.Millisecond // a master that stays for connection sharing may keep stderr open
	c, err := startSSH(cmd)
	if err != nil {
		return nil, fmt.Errorf("ssh: %w; install Debian's openssh-client", err)
	}

	stop := context.AfterFunc(ctx, func() { c.out.SetReadDeadline(time.Unix(1, 0)) })
	_, err = c.first.Peek(1)
	if stop() && err == nil {
		return c, nil
	}
	c.process.Kill()
	c.Close()
	<-c.exited
	words := said.String()
	switch {
	case ctx.Err() != nil && words != "":
		return nil, fmt.Errorf("ssh %s: no answer from %s in time: %w: %s", destination, address, ctx.Err(), words)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ssh %s: no answer from %s in time: %w", destination, address, ctx.Err())
	case words != "":
		return nil, fmt.Errorf("ssh %s: %s (see for yourself: ssh -v -W %s %s)", destination, words, address, destination)
	}
	return nil, fmt.Errorf("ssh %s: connection to %s closed: %w", destination, address, err)
}

// startSSH starts cmd with both ends of a connection. Its process is waited for, however it ends.
func startSSH(cmd *exec.Cmd) (*sshConn, error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		stdin.Close()
		in.Close()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout = stdin, stdout
	err = cmd.Start()
	stdin.Close()
	stdout.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	c := &sshConn{in: in, out: out, first: bufio.NewReader(out), process: cmd.Process, exited: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

func (c *sshConn) Read(b []byte) (int, error)  { return c.first.Read(b) }
func (c *sshConn) Write(b []byte) (int, error) { return c.in.Write(b) }

// Close ends the connection. ssh then ends by itself, and with it what shares its connection is not cut; only one that
// hangs is killed.
func (c *sshConn) Close() error {
	err := errors.Join(c.in.Close(), c.out.Close())
	time.AfterFunc(5*time.Second, func() { c.process.Kill() }) // no effect once it was waited for
	return err
}

func (c *sshConn) LocalAddr() net.Addr                { return sshAddr{} }
func (c *sshConn) RemoteAddr() net.Addr               { return sshAddr{} }
func (c *sshConn) SetReadDeadline(t time.Time) error  { return c.out.SetReadDeadline(t) }
func (c *sshConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }
func (c *sshConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SyscallConn is what the driver looks at before it uses an idle connection again: a cut one shows there.
func (c *sshConn) SyscallConn() (syscall.RawConn, error) { return c.out.SyscallConn() }

type sshAddr struct{}

func (sshAddr) Network() string { return "ssh" }
func (sshAddr) String() string  { return "ssh" }

// tail keeps the end of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-4096):]
	return len(b), nil
}

// String returns the text on one line, without the frames that ssh draws.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for line := range bytes.Lines(t.text) {
		if text := strings.Trim(string(line), "@ \t\r\n"); text != "" {
			lines = append(lines, text)
		}
	}
	return strings.ToValidUTF8(strings.Join(lines, "; "), "?")
}
