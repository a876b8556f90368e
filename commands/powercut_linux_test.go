package commands

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"f2bc/store/mariadbtest"
)

// syscalls runs cmd under strace and returns, in order, what it did to files in dir: "write NAME", "fsync NAME",
// "rename NAME". A temporary file is called *.
func syscalls(t *testing.T, cmd *exec.Cmd, dir string) (calls []string) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		mariadbtest.Unavailable(t, err)
	}
	log := filepath.Join(t.TempDir(), "strace")
	cmd.Args = append([]string{"strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2",
		cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	if code, stderr := exited(t, cmd); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`^\d+ +(\w+)\((?:\d+<([^>]*)>)?(.*)`)
	temporary := regexp.MustCompile(`^\..*\.f2bc$`)
	for line := range strings.Lines(string(text)) {
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		path := m[2]
		if strings.HasPrefix(m[1], "rename") {
			quoted := regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(line, -1)
			path = quoted[len(quoted)-1][1]
		}
		name, err := filepath.Rel(dir, path)
		if path == "" || err != nil || strings.HasPrefix(name, "..") {
			continue
		}
		if temporary.MatchString(name) {
			name = "*"
		}
		verb := m[1]
		switch {
		case strings.HasPrefix(verb, "rename"):
			verb = "rename"
		case verb == "fdatasync":
			verb = "fsync"
		case verb == "pwrite64":
			verb = "write"
		}
		if c := verb + " " + name; len(calls) == 0 || calls[len(calls)-1] != c {
			calls = append(calls, c)
		}
	}
	return calls
}

// TestPowerCut: what f2bc says is done is on the disk by then, and a file is replaced whole or not at all, wherever the
// power goes. SQLite replays its write-ahead log as far as it was flushed.
func TestPowerCut(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	run := func(dsn string, args ...string) []string {
		cmd := f2bcProcess(t, args...)
		cmd.Env = append(cmd.Env, "F2BC_STATE_DIR="+state, "F2BC_DSN="+dsn)
		return syscalls(t, cmd, dir)
	}
	// The store is away: the fact is in the outbox, and flushed, before the exit code says so.
	away := "mysql://f2bc@127.0.0.1:1/f2bc"
	run(away, "ban", "203.0.113.6") // makes the file
	calls := run(away, "ban", "203.0.113.7")
	flushedLast(t, calls, "state/outbox.db-wal")

	// The embedded store.
	embedded := "sqlite://" + filepath.Join(dir, "f2bc.db")
	run(embedded, "ban", "203.0.113.6")
	flushedLast(t, run(embedded, "ban", "203.0.113.8"), "f2bc.db-wal")

	// Before a fact is delivered its time is flushed.
	run(away, "ban", "203.0.113.9")
	calls = run(embedded, "list")
	fixed, delivered := slices.Index(calls, "fsync state/outbox.db-wal"), slices.Index(calls, "write f2bc.db-wal")
	if fixed < 0 || delivered < fixed {
		t.Errorf("delivered before its time was flushed: %q", calls)
	}

	// An exported file: written, flushed, renamed, and the rename flushed.
	calls = run(embedded, "export", "--output", filepath.Join(dir, "list.txt"))
	want := []string{"write *", "fsync *", "rename list.txt", "fsync ."}
	for _, w := range want {
		i := slices.Index(calls, w)
		if i < 0 {
			t.Fatalf("%q is not among the rest of %q", w, calls)
		}
		calls = calls[i+1:]
	}
}

// flushedLast fails unless the file was written, and flushed after the last write.
func flushedLast(t *testing.T, calls []string, name string) {
	t.Helper()
	last := ""
	for _, c := range calls {
		if strings.HasSuffix(c, " "+name) {
			last = c
		}
	}
	if last != "fsync "+name || slices.Index(calls, "write "+name) < 0 {
		t.Errorf("%s is not flushed last: %q", name, calls)
	}
}
