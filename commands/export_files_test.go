package commands

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"f2bc/store"
	"f2bc/store/mariadbtest"
)

// f2bcProcess returns f2bc as a process of its own, away from the machine's own configuration.
func f2bcProcess(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(t.TempDir(), "home")
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "f2bc"
	program := filepath.Join(filepath.Dir(home), "f2bc") // TestMain goes by the name
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	cmd.Path = program
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
	return cmd
}

// exited runs cmd and returns its exit code and what it printed on stderr.
func exited(t testing.TB, cmd *exec.Cmd) (int, string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// manyHosts is a list of n hosts of which no two can be merged.
func manyHosts(first string, n int) string {
	var b strings.Builder
	a := netip.MustParseAddr(first)
	for range n {
		fmt.Fprintln(&b, a)
		a = a.Next().Next()
	}
	return b.String()
}

func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func dirNames(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestReaderNeverSeesPart: whoever reads the file while exports replace it, and are killed in the middle, reads one of
// the lists whole.
func TestReaderNeverSeesPart(t *testing.T) {
	dir, lists := t.TempDir(), t.TempDir()
	output := filepath.Join(dir, "list.txt")
	var sources, wants []string
	for i, first := range []string{"192.0.2.0", "198.51.100.0"} {
		text := manyHosts(first, 20_000*(i+1))
		sources = append(sources, writeFile(t, filepath.Join(lists, fmt.Sprint(i)), text))
		wants = append(wants, fmt.Sprintf("# f2bc: %d prefixes\n%s", 20_000*(i+1), text))
	}
	if code, stderr := exited(t, f2bcProcess(t, "export", "--from", sources[0], "--output", output)); code != 0 {
		t.Fatal(code, stderr)
	}
	var reads atomic.Int64
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			text, err := os.ReadFile(output)
			if err != nil || string(text) != wants[0] && string(text) != wants[1] {
				t.Errorf("read %d bytes, %v: not one of the lists", len(text), err)
				return
			}
			reads.Add(1)
		}
	})
	killed := 0
	for i := range 30 {
		cmd := f2bcProcess(t, "export", "--from", sources[i%2], "--output", output)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i%3 != 0 {
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			cmd.Process.Kill()
		}
		if cmd.Wait() != nil {
			killed++
		}
	}
	close(done)
	reader.Wait()
	if killed == 0 || reads.Load() == 0 {
		t.Errorf("%d exports killed, %d reads: nothing was tested", killed, reads.Load())
	}
}

// TestAbandonedFiles: what killed exports left is removed once it is old.
func TestAbandonedFiles(t *testing.T) {
	dir := t.TempDir()
	list := writeFile(t, filepath.Join(t.TempDir(), "list"), "203.0.113.6\n")
	for _, name := range []string{".list.txt.1234.f2bc", ".list.txt.12345.f2bc", ".other.txt.1234.f2bc", ".list.txt.reload-owed", ".list.txt.f2bc.txt"} {
		old := time.Now().Add(-2 * time.Hour)
		if err := os.Chtimes(writeFile(t, filepath.Join(dir, name), "192.0.2.1\n"), old, old); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, ".list.txt.5678.f2bc"), "192.0.2.1\n")
	if code, stderr := exited(t, f2bcProcess(t, "export", "--from", list, "--output", filepath.Join(dir, "list.txt"))); code != 0 {
		t.Fatal(code, stderr)
	}
	if got, want := dirNames(t, dir), ".list.txt.5678.f2bc .list.txt.f2bc.txt .list.txt.reload-owed .other.txt.1234.f2bc list.txt"; got != want {
		t.Errorf("the directory holds %s, want %s", got, want)
	}
}

// TestExportDiskFull: a list that does not fit leaves the old one, of several files all of them, and nothing beside them.
func TestExportDiskFull(t *testing.T) {
	if err := exec.Command("unshare", "--map-root-user", "--mount", "true").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("a mount namespace is needed: ", err)
		}
		t.Skip("no mount namespace; needs the Debian package util-linux: ", err)
	}
	dir, lists := t.TempDir(), t.TempDir()
	small := writeFile(t, filepath.Join(lists, "small"), manyHosts("192.0.2.0", 5000))
	large := writeFile(t, filepath.Join(lists, "large"), manyHosts("198.51.100.0", 50_000))
	f2bc := f2bcProcess(t)
	script := `
mount -t tmpfs -o size=256k none "$DIR" && cd "$DIR"
f2bc() { "$F2BC" export "$@"; }
f2bc --from "$SMALL" --output list.txt
f2bc --from "$SMALL" --output part.txt --split 3000 --reload true
sha256sum list.txt part.txt part-2.txt >/tmp/sums.$$
ls -A >/tmp/names.$$
trap 'rm /tmp/sums.$$ /tmp/names.$$' EXIT
f2bc --from "$LARGE" --output list.txt && exit 9
f2bc --from "$LARGE" --output part.txt --split 3000 --reload 'touch ran' && exit 9
sha256sum -c /tmp/sums.$$
ls -A | cmp - /tmp/names.$$
`
	script = strings.ReplaceAll(script, "/tmp/", lists+"/")
	cmd := exec.Command("unshare", "--map-root-user", "--mount", "sh", "-eu", "-c", script)
	cmd.Env = append(f2bc.Env, "DIR="+dir, "SMALL="+small, "LARGE="+large, "F2BC="+f2bc.Path)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "no space left on device") != 2 {
		t.Errorf("%v: %s", err, out)
	}
}

// A breakingProxy passes connections on to a database until the database has sent so many bytes.
type breakingProxy struct {
	net.Listener
	target string
	sent   atomic.Int64
	limit  atomic.Int64
	broken func() // called when the limit is reached, before the connection is closed
}

func newBreakingProxy(t *testing.T, network, addr, target string, broken func()) *breakingProxy {
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &breakingProxy{Listener: l, target: target, broken: broken}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(client)
		}
	}()
	return p
}

func (p *breakingProxy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	buf := make([]byte, 1000)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if p.sent.Add(int64(n)) > p.limit.Load() {
			p.broken()
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestStoreGoesAway: when the database goes away in the middle of the read, the old file stands and the exit code is 1.
func TestStoreGoesAway(t *testing.T) {
	server := mariadbtest.New(t)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	database := server.Database(t)
	st, err := store.Init(t.Context(), store.Options{DSN: server.DSN(database), Warn: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var facts []store.Fact
	for _, line := range strings.Fields(manyHosts("203.0.0.0", 20_000)) {
		a := netip.MustParseAddr(line)
		facts = append(facts, store.Fact{Prefix: netip.PrefixFrom(a, 32), Source: "web1", Reason: "sshd", At: 1, Bantime: store.Forever})
	}
	if err := st.Write(t.Context(), facts); err != nil {
		t.Fatal(err)
	}
	killed := make(chan struct{})
	target := fmt.Sprint("127.0.0.1:", server.Port)
	proxy := newBreakingProxy(t, "tcp", "127.0.0.1:0", target, func() {})
	killer := newBreakingProxy(t, "tcp", "127.0.0.1:0", target, sync.OnceFunc(func() { server.Kill(); close(killed) }))
	dir := t.TempDir()
	output := filepath.Join(dir, "list.txt")
	export := func(proxy *breakingProxy, limit int64) (int, string) {
		t.Helper()
		proxy.sent.Store(0)
		proxy.limit.Store(limit)
		dsn := fmt.Sprintf("mysql://root@%s/%s", proxy.Addr(), database)
		return exited(t, f2bcProcess(t, "--dsn", dsn, "export", "--output", output))
	}
	if code, stderr := export(proxy, 1<<40); code != 0 {
		t.Fatal(code, stderr)
	}
	all := proxy.sent.Load()
	list := readFile(t, output)
	if strings.Count(list, "\n") < 20_000 {
		t.Fatalf("%d lines in %d bytes from the database", strings.Count(list, "\n"), all)
	}
	old := writeFile(t, output, "the old list\n")
	stands := func(where string, code int, stderr string) {
		t.Helper()
		if code != 1 || !strings.Contains(stderr, "f2bc: read from mysql://") || readFile(t, old) != "the old list\n" || dirNames(t, dir) != "list.txt" {
			t.Errorf("%s: exit code %d, stderr %q, the directory holds %s", where, code, stderr, dirNames(t, dir))
		}
	}
	for percent := int64(20); percent <= 90; percent += 10 {
		code, stderr := export(proxy, all*percent/100)
		stands(fmt.Sprintf("cut at %d %%", percent), code, stderr)
	}
	// The server itself dies, between two rows.
	code, stderr := export(killer, all/2)
	<-killed
	stands("killed", code, stderr)
}
