package commands

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/commands/lab"
)

// ends runs cmd on h, which must not hang, and returns what it said on standard error.
func ends(t *testing.T, h *lab.Host, cmd *exec.Cmd) (stderr string, code int) {
	t.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	h.Start(cmd)
	late := time.AfterFunc(lab.Long, func() { cmd.Process.Kill() })
	cmd.Wait() // the exit code says it
	if !late.Stop() {
		t.Fatalf("%v does not end; it said:\n%s", cmd, said.String())
	}
	return said.String(), cmd.ProcessState.ExitCode()
}

// A state directory that takes nothing hangs no export: it does what it can, and says what is wrong.
func TestExportStateDirRefused(t *testing.T) {
	h := newLabHost(t, "web1")
	embedded(t, h)
	h.F2bc("ban", "203.0.113.6")
	output := h.Path("list.txt")
	missing := h.Path("missing/list.txt")
	for _, path := range []string{output, missing} {
		if err := os.MkdirAll(h.Path("state/"+exportName(path)+".said.json/in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	said, code := ends(t, h, h.F2bcCommand("export", "--output", missing))
	const again = "every run will say this again"
	if code != 1 || !strings.Contains(said, "no such file or directory") || !strings.Contains(said, again) {
		t.Errorf("exit code %d: %s", code, said)
	}
	said, code = ends(t, h, h.F2bcCommand("export", "--output", output))
	if code != 0 || !strings.Contains(h.Read("list.txt"), "203.0.113.6") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// full returns cmd with a state directory on a disk without room.
func full(t *testing.T, h *lab.Host, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	lab.Need(t, "util-linux", "unshare", "mount")
	script := `mount -t tmpfs -o size=4k,mode=700 full "$0" && head -c 4096 /dev/zero >"$0/fill" && exec "$@"`
	if err := os.MkdirAll(h.Path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	return h.Command("unshare", append([]string{"--mount", "sh", "-c", script, h.Path("state")}, cmd.Args...)...)
}

// The same on a full disk, where files can be made and nothing can be written into them.
func TestStateDirFull(t *testing.T) {
	h := newLabHost(t, "web1")
	embedded(t, h)
	h.F2bc("ban", "203.0.113.6")
	said, code := ends(t, h, full(t, h, h.F2bcCommand("export", "--output", h.Path("missing/list.txt"))))
	if code != 1 || !strings.Contains(said, "no such file or directory") || !strings.Contains(said, "no space left on device") {
		t.Errorf("export into a missing directory: exit code %d: %s", code, said)
	}
	said, code = ends(t, h, full(t, h, h.F2bcCommand("export", "--output", h.Path("list.txt"))))
	if code != 0 || !strings.Contains(h.Read("list.txt"), "203.0.113.6") {
		t.Errorf("export: exit code %d: %s", code, said)
	}
	said, code = ends(t, h, full(t, h, h.F2bcCommand("sync-routes")))
	if code != 1 || !strings.Contains(said, "no space left on device") || !enforces(h, "203.0.113.6") {
		t.Errorf("sync-routes: exit code %d, table %v: %s", code, table(h), said)
	}
}

// A watcher whose state directory is gone goes on enforcing, and says what is wrong, once.
func TestWatchStateDirRefused(t *testing.T) {
	h := newLabHost(t, "web1")
	admin := lab.NewHost(t, "web2", h.NS)
	embedded(t, h, admin)
	h.F2bc("ban", "203.0.113.6")
	watching(h, "--interval", "100ms")
	lab.Wait(t, "the first list", func() bool { return enforces(h, "203.0.113.6") })
	if err := os.Rename(h.Path("state"), h.Path("moved")); err != nil {
		t.Fatal(err)
	}
	h.Write("state", "a file in the way")
	ban := func(address string, now ...string) {
		t.Helper()
		admin.F2bc("ban", address)
		defer func() {
			if t.Failed() {
				t.Logf("table: %v\nlog:\n%s", table(h), h.Read("watch.log"))
			}
		}()
		lab.Wait(t, "the ban of "+address, func() bool { return enforces(h, now...) })
	}
	ban("203.0.113.9", "203.0.113.6", "203.0.113.9")
	ban("203.0.113.11", "203.0.113.6", "203.0.113.9", "203.0.113.11")
	ban("203.0.113.13", "203.0.113.6", "203.0.113.9", "203.0.113.11", "203.0.113.13")
	log := h.Read("watch.log")
	for _, once := range []string{"not remembered for the next run", "every run will say this again"} {
		if n := strings.Count(log, once); n != 1 {
			t.Errorf("%q is said %d times:\n%s", once, n, log)
		}
	}
	if err := os.Remove(h.Path("state")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(h.Path("moved"), h.Path("state")); err != nil {
		t.Fatal(err)
	}
	ban("203.0.113.15", "203.0.113.6", "203.0.113.9", "203.0.113.11", "203.0.113.13", "203.0.113.15")
	lab.Wait(t, "the word that it works again", func() bool { return strings.Contains(h.Read("watch.log"), "works again") })
	if _, err := os.Stat(filepath.Join(h.Path("state"), "sync-routes.said.json")); err != nil {
		t.Error(err)
	}
}
