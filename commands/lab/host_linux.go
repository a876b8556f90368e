// Package lab has machines for tests of f2bc as a whole: each a network namespace with files of its own, on which the
// built binary, real attackers and real defenders run.
package lab

import (
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"f2bc/routes/netnstest"
)

// Program is the f2bc that hosts run, which Build makes.
var Program string

// Build builds f2bc in dir.
func Build(dir string) error {
	Program = filepath.Join(dir, "f2bc")
	cmd := exec.Command("go", "build", "-o", Program, "f2bc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Need fails the test where a program is missing and CI is set, and otherwise skips it.
func Need(t *testing.T, debianPackage string, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing: install the Debian package %s", name, debianPackage)
		}
		t.Skipf("%s is missing: install the Debian package %s", name, debianPackage)
	}
}

// What must happen may take Long, on a machine that is busy; what must not happen is not waited for as long.
const Long, Brief = time.Minute, 2 * time.Second

// Wait polls until done.
func Wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * Long); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A Host is a machine of its own as far as f2bc can tell: a network namespace, a configuration and a state directory.
type Host struct {
	NS *netnstest.Namespace // nil: the test's own

	t         *testing.T
	name, dir string
}

// NewHost returns a host; name is its source.
func NewHost(t *testing.T, name string, ns *netnstest.Namespace) *Host {
	return &Host{ns, t, name, t.TempDir()}
}

// Configure writes the host's configuration.
func (h *Host) Configure(dsn, password string) {
	h.t.Helper()
	h.Write("password", password+"\n")
	h.Write("f2bc.toml", fmt.Sprintf("dsn = %q\nsource = %q\npassword_file = %q\nstate_dir = %q\n",
		dsn, h.name, h.Path("password"), h.Path("state")))
}

// Path returns the path of one of the host's files.
func (h *Host) Path(name string) string { return filepath.Join(h.dir, name) }

// Write writes one of the host's files.
func (h *Host) Write(name, text string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(h.Path(name)), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.Path(name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// Command returns a command with nothing of the machine's own configuration.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "LANG=C.UTF-8"}
	return cmd
}

// Start starts cmd on the host.
func (h *Host) Start(cmd *exec.Cmd) {
	h.t.Helper()
	start := cmd.Start
	if h.NS != nil {
		start = func() error { return h.NS.Start(cmd) }
	}
	if err := start(); err != nil {
		h.t.Fatalf("%v: %v", cmd, err)
	}
}

// F2bcCommand returns f2bc with the host's configuration.
func (h *Host) F2bcCommand(args ...string) *exec.Cmd {
	return h.Command(Program, append([]string{"--config", h.Path("f2bc.toml")}, args...)...)
}

// Try runs f2bc and returns what it printed on both outputs.
func (h *Host) Try(args ...string) (stdout, stderr string, code int) {
	h.t.Helper()
	cmd := h.F2bcCommand(args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	h.Start(cmd)
	cmd.Wait() // the exit code says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// F2bc runs f2bc, which must succeed, and returns its answer.
func (h *Host) F2bc(args ...string) string {
	h.t.Helper()
	stdout, stderr, code := h.Try(args...)
	if code != 0 {
		h.t.Fatalf("%s: f2bc %s: exit code %d\n%s", h.name, strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// Serve starts a program that runs until the end of the test; log is where its output goes.
func (h *Host) Serve(log string, cmd *exec.Cmd) {
	h.t.Helper()
	f, err := os.OpenFile(h.Path(log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout = f
	if cmd.Stderr == nil {
		cmd.Stderr = f
	}
	h.Start(cmd)
	h.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// Read returns the text of one of the host's files, as far as there is one.
func (h *Host) Read(name string) string {
	text, _ := os.ReadFile(h.Path(name))
	return string(text)
}

// Ban returns the row of a prefix in the list, nil if it is not banned.
func (h *Host) Ban(prefix string) map[string]string {
	h.t.Helper()
	rows := h.Rows("list")
	if i := slices.IndexFunc(rows, func(row map[string]string) bool { return row["prefix"] == prefix }); i >= 0 {
		return rows[i]
	}
	return nil
}

// Rows returns the answer of f2bc list as maps from column to text.
func (h *Host) Rows(args ...string) (rows []map[string]string) {
	h.t.Helper()
	lines, err := csv.NewReader(strings.NewReader(h.F2bc(append(args, "--format", "csv")...))).ReadAll()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// Echo serves TCP at addr of the host: what comes in goes back.
func (h *Host) Echo(addr string) {
	h.t.Helper()
	h.NS.Do(func() { Echo(h.t, addr) })
}

// Echo serves TCP at addr, in the namespace that it is called in: what comes in goes back.
func Echo(t testing.TB, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
}

// Dial connects from the host. Brief is long enough for two SYNs.
func (h *Host) Dial(addr string, timeout time.Duration) (c net.Conn, err error) {
	h.NS.Do(func() { c, err = net.DialTimeout("tcp", addr, timeout) })
	if err == nil {
		h.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// Reaches connects from the host to an Echo, and gets an answer.
func (h *Host) Reaches(addr string) net.Conn {
	h.t.Helper()
	c, err := h.Dial(addr, Long)
	if err != nil || !Answers(c, Long) {
		h.t.Fatalf("%s does not reach %s: %v", h.name, addr, err)
	}
	return c
}

// Answers reports whether c still goes to and fro.
func Answers(c net.Conn, timeout time.Duration) bool {
	c.SetDeadline(time.Now().Add(timeout))
	if _, err := c.Write([]byte{'?'}); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 1))
	return err == nil
}

// HasRoute fails the test if the IPv4 main table has no such route.
func (h *Host) HasRoute(route string) {
	h.t.Helper()
	if routes := h.NS.Run("ip", "route", "show"); !strings.Contains(routes, route) {
		h.t.Errorf("%s is gone from %s, which has:\n%s", route, h.name, routes)
	}
}
