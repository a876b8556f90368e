package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/commands/lab"
	"f2bc/commands/publish"
	"f2bc/store/state"
)

// locked takes a lock that must be free.
func locked(t *testing.T, dir state.Dir, name string) (unlock func()) {
	t.Helper()
	unlock, err := dir.Lock(t.Context(), state.Lock{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// Two runs that change routes: the second waits, and says for whom.
func TestLockSync(t *testing.T) {
	h := newLabHost(t, "web1")
	embedded(t, h)
	h.F2bc("ban", "203.0.113.6")
	dir := state.Dir(h.Path("state"))
	unlock := locked(t, dir, "sync-routes.lock")
	cmd := h.F2bcCommand("sync-routes")
	h.Serve("sync.log", cmd)
	waiting := fmt.Sprintf("f2bc: waiting for another sync-routes: process %d, for ", os.Getpid())
	lab.Wait(t, "the word that it waits", func() bool { return strings.Contains(h.Read("sync.log"), waiting) })
	if enforces(h, "203.0.113.6") {
		t.Error("it did not wait")
	}
	unlock()
	if err := cmd.Wait(); err != nil || !enforces(h, "203.0.113.6") || strings.Count(h.Read("sync.log"), waiting) != 1 {
		t.Errorf("%v, table %v: %s", err, table(h), h.Read("sync.log"))
	}

	// An older f2bc watches.
	unlock = locked(t, dir, "sync-routes.lock")
	defer unlock()
	h.Write("state/sync-routes.lock", fmt.Sprintf("%-20d\n", 1234))
	for range 2 { // cron would mail it every minute
		_, stderr, code := h.Try("sync-routes")
		if code != 1 {
			t.Errorf("beside one that watches: exit code %d", code)
		}
		if !strings.Contains(stderr, "--watch runs already, as process 1234") {
			if stderr != "" {
				t.Errorf("beside one that watches: %s", stderr)
			}
			return
		}
	}
	t.Error("it is said again")
}

// Two exports into one file: the second waits, and at last says for whom. One into another file does not wait.
func TestLockExport(t *testing.T) {
	defer func(was time.Duration) { lockTime = was }(lockTime)
	h := newLabHost(t, "web1")
	embedded(t, h)
	h.F2bc("ban", "203.0.113.6")
	output := h.Path("list.txt")
	export := func(path string) (stderr string, code int) {
		cmd := h.F2bcCommand("export", "--output", path)
		return ends(t, h, cmd)
	}
	first := h.F2bcCommand("export", "--output", output, "--reload", "while ! test -e "+h.Path("go")+"; do sleep 0.05; done")
	h.Serve("first.log", first)
	lab.Wait(t, "the first to reload", func() bool { return h.Read("list.txt") != "" })
	if said, code := export(h.Path("other.txt")); code != 0 || said != "" {
		t.Errorf("another file: exit code %d: %s", code, said)
	}
	second := h.F2bcCommand("export", "--output", output)
	h.Serve("second.log", second)
	waiting := fmt.Sprintf("f2bc: waiting for another export to this file: process %d, for ", first.Process.Pid)
	lab.Wait(t, "the word that it waits", func() bool { return strings.Contains(h.Read("second.log"), waiting) })

	lockTime = 200 * time.Millisecond // of a third one, in this process
	p := &process{out: newOutput(new(strings.Builder), new(strings.Builder))}
	cfg, err := readConfig(h.Path("f2bc.toml"))
	if err == nil {
		err = cfg.complete(p.place)
	}
	if err != nil {
		t.Fatal(err)
	}
	err = p.exportFile(t.Context(), cfg, exportOptions{target: publish.Target{Path: output}})
	want := fmt.Sprintf("another export to this file is still at it and holds %s: process %d, for ",
		filepath.Join(cfg.StateDir, exportName(output)+".lock"), first.Process.Pid)
	if exitCode(err) != 1 || !strings.HasPrefix(fmt.Sprint(err), want) {
		t.Errorf("after the wait: %v, want %s", err, want)
	}
	h.Write("go", "")
	for _, cmd := range []interface{ Wait() error }{first, second} {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v\n%s%s", cmd, err, h.Read("first.log"), h.Read("second.log"))
		}
	}
}
