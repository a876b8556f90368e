package commands

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fail2ban is a real fail2ban with the printed action, on files of its own, and an embedded store.
type fail2ban struct {
	t       *testing.T
	dir     string
	program string // f2bc
	server  *exec.Cmd
}

// needProgram skips the test where a program is missing, but fails it where everything must be there.
func needProgram(t *testing.T, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatalf("%s is missing: install the Debian package %s", name, debianPackage)
	default:
		t.Skipf("%s is missing: install the Debian package %s", name, debianPackage)
	}
	return ""
}

func newFail2ban(t *testing.T) *fail2ban {
	needProgram(t, "fail2ban-server", "fail2ban")
	f := &fail2ban{t: t, dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f.program = filepath.Join(f.dir, "f2bc")
	if err := os.Symlink(self, f.program); err != nil { // TestMain goes by the name
		t.Fatal(err)
	}
	f.write("f2bc.toml", fmt.Sprintf("dsn = \"sqlite://%s/f2bc.db\"\nsource = \"web1\"\n", f.dir))
	f.write("auth.log", "")
	f.write("fail2ban.conf", "[Definition]\nloglevel = INFO\nlogtarget = STDOUT\nsyslogsocket = auto\n"+
		f.expand("socket = DIR/socket\npidfile = DIR/pid\ndbfile = DIR/fail2ban.sqlite3\n")+"dbpurgeage = 1d\ndbmaxmatches = 10\n")
	f.write("filter.d/demo.conf",
		"[Definition]\nfailregex = ^\\s*<F-JAIL>%(jail)s</F-JAIL> failure from (?:<ADDR>|<F-ID>-</F-ID>)$\n")
	jail := "[DEFAULT]\nbackend = polling\nusedns = no\nmaxretry = 1\nfindtime = 600\nignoreself = false\n" +
		f.expand("logpath = DIR/auth.log\naction = f2bc[f2bc=\"DIR/f2bc\"]\n")
	for name, options := range map[string]string{
		"demo":  "bantime = 3600\n",
		"brief": "bantime = 6\n",
		"more":  "bantime = 2\nbantime.increment = true\nbantime.factor = 1000\n",
		"ever":  "bantime = -1\n",
		"any":   "bantime = 3600\n",
	} {
		jail += fmt.Sprintf("[%s]\nenabled = true\nfilter = demo[jail=%s]\n%s", name, name, options)
	}
	f.write("jail.conf", jail)
	f.write("action.d/f2bc.conf", f.f2bc("setup", "fail2ban"))
	return f
}

func (f *fail2ban) expand(s string) string { return strings.ReplaceAll(s, "DIR", f.dir) }

func (f *fail2ban) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// f2bc runs f2bc and returns its answer.
func (f *fail2ban) f2bc(args ...string) string {
	f.t.Helper()
	cmd := exec.Command(f.program, append([]string{"--config", filepath.Join(f.dir, "f2bc.toml")}, args...)...)
	cmd.Env = f.env()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("f2bc %v: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// env has nothing of the machine's own configuration.
func (f *fail2ban) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(f.dir, "home"), "LANG=C.UTF-8"}
}

func (f *fail2ban) start() {
	f.t.Helper()
	log, err := os.OpenFile(filepath.Join(f.dir, "fail2ban.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	f.server = exec.Command("fail2ban-server", "-f", "-c", f.dir, "start")
	f.server.Env, f.server.Stdout, f.server.Stderr = f.env(), log, log
	if _, err := f.server.StdinPipe(); err != nil { // nobody writes to it, and it does not end
		f.t.Fatal(err)
	}
	if err := f.server.Start(); err != nil {
		f.t.Fatal(err)
	}
	server := f.server
	f.t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	f.wait("fail2ban to start all jails", func() bool {
		out, err := f.client("status").CombinedOutput()
		return err == nil && bytes.Contains(out, []byte("Number of jail:\t5"))
	})
}

func (f *fail2ban) stop() {
	f.t.Helper()
	f.server.Process.Signal(syscall.SIGTERM)
	if err := f.server.Wait(); err != nil {
		f.t.Fatalf("fail2ban: %v\n%s", err, f.log())
	}
}

func (f *fail2ban) client(args ...string) *exec.Cmd {
	cmd := exec.Command("fail2ban-client", append([]string{"-c", f.dir, "-s", filepath.Join(f.dir, "socket"), "-p", filepath.Join(f.dir, "pid")}, args...)...)
	cmd.Env = f.env()
	return cmd
}

// attack writes a line to the log that fail2ban watches.
func (f *fail2ban) attack(jail, address string) {
	f.t.Helper()
	log, err := os.OpenFile(filepath.Join(f.dir, "auth.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	fmt.Fprintf(log, "%s %s failure from %s\n", time.Now().Format("2006-01-02 15:04:05"), jail, address)
}

func (f *fail2ban) log() string {
	text, _ := os.ReadFile(filepath.Join(f.dir, "fail2ban.log"))
	return string(text)
}

// wait is generous, since a test must not depend on the machine's speed.
func (f *fail2ban) wait(what string, done func() bool) {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("waited in vain for %s; fail2ban's log:\n%s", what, f.log())
		}
	}
}

func (f *fail2ban) waitLog(text string) {
	f.t.Helper()
	f.wait(text, func() bool { return strings.Contains(f.log(), text) })
}

// rows returns the answer of f2bc list as maps from column to text.
func (f *fail2ban) rows(args ...string) (rows []map[string]string) {
	f.t.Helper()
	lines, err := csv.NewReader(strings.NewReader(f.f2bc(append([]string{"list", "--format", "csv"}, args...)...))).ReadAll()
	if err != nil {
		f.t.Fatal(err)
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

// ban returns the row of a prefix in the list, nil if it is not banned.
func (f *fail2ban) ban(prefix string) map[string]string {
	f.t.Helper()
	for _, row := range f.rows() {
		if row["prefix"] == prefix {
			return row
		}
	}
	return nil
}

// lasts is how long a ban lasts from its last report.
func lasts(t *testing.T, ban map[string]string) time.Duration {
	t.Helper()
	last, err1 := time.Parse(time.RFC3339, ban["last"])
	expires, err2 := time.Parse(time.RFC3339, ban["expires"])
	if err1 != nil || err2 != nil {
		t.Fatalf("times of %v: %v, %v", ban, err1, err2)
	}
	return expires.Sub(last)
}

func TestFail2ban(t *testing.T) {
	f := newFail2ban(t)
	if out, err := f.client("-t").CombinedOutput(); err != nil {
		t.Fatalf("fail2ban-client -t: %v\n%s", err, out)
	}
	f.start()

	f.attack("demo", "203.0.113.6")
	f.attack("demo", "2001:db8::6")
	f.attack("ever", "203.0.113.7")
	f.attack("demo", "10.0.0.5") // refused: exit code 3, which is no error for fail2ban
	f.waitLog("[demo] Ban 10.0.0.5")
	f.wait("the bans", func() bool {
		return f.ban("203.0.113.6") != nil && f.ban("2001:db8::6") != nil && f.ban("203.0.113.7") != nil
	})
	if ban := f.ban("203.0.113.6"); ban["reasons"] != "demo" || ban["sources"] != "web1" || lasts(t, ban) != time.Hour {
		t.Errorf("203.0.113.6 is banned as %v", ban)
	}
	if ban := f.ban("203.0.113.7"); ban["expires"] != "permanent" {
		t.Errorf("203.0.113.7 is banned as %v", ban)
	}
	if ban := f.ban("10.0.0.5"); ban != nil {
		t.Errorf("10.0.0.5 is banned as %v", ban)
	}

	t.Run("an admin's unban lifts", func(t *testing.T) {
		if out, err := f.client("set", "demo", "unbanip", "203.0.113.6").CombinedOutput(); err != nil {
			t.Fatalf("unbanip: %v\n%s", err, out)
		}
		f.wait("the lift", func() bool { return f.ban("203.0.113.6") == nil })
		if f.ban("2001:db8::6") == nil {
			t.Error("the other ban went too")
		}
	})
	t.Run("an expiry lifts nothing", func(t *testing.T) {
		f.attack("brief", "203.0.113.8")
		f.waitLog("[brief] Unban 203.0.113.8")
		f.wait("the end of the ban", func() bool { return f.ban("203.0.113.8") == nil })
		for _, event := range f.rows("--history", "203.0.113.8") {
			if event["kind"] != "report" {
				t.Errorf("history has %v", event)
			}
		}
	})
	t.Run("a repeated offence is prolonged", func(t *testing.T) {
		f.attack("more", "203.0.113.9")
		f.waitLog("[more] Unban 203.0.113.9") // at its expiry, so that fail2ban remembers the offence
		time.Sleep(time.Second)               // the log has whole seconds, and fail2ban ignores what is not after the unban
		f.attack("more", "203.0.113.9")
		f.wait("the longer ban", func() bool { ban := f.ban("203.0.113.9"); return ban != nil && lasts(t, ban) > time.Hour })
	})
	t.Run("a ticket that is a dash reads nothing", func(t *testing.T) {
		f.attack("any", "-")
		f.waitLog("[any] Ban -")
		if out, err := f.client("set", "any", "unbanip", "-").CombinedOutput(); err != nil { // waits for the ban
			t.Fatalf("unbanip: %v\n%s", err, out)
		}
		f.attack("any", "203.0.113.10")
		f.wait("the ban after it", func() bool { return f.ban("203.0.113.10") != nil })
	})
	t.Run("a restart changes nothing", func(t *testing.T) {
		before := f.f2bc("list", "--history", "--format", "csv")
		f.stop()
		f.start()
		f.waitLog("[demo] Restore Ban 2001:db8::6")
		f.stop()
		if after := f.f2bc("list", "--history", "--format", "csv"); after != before {
			t.Errorf("history before:\n%safter:\n%s", before, after)
		}
		if f.ban("2001:db8::6") == nil || f.ban("203.0.113.7") == nil {
			t.Error("a ban was withdrawn")
		}
	})
	if strings.Contains(f.log(), "ERROR") {
		t.Errorf("fail2ban logged errors:\n%s", f.log())
	}
}
