package commands

import (
	"bytes"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"f2bc/store/mysqldouble"
)

// doubleCommands are run against the doubles. Those of fail2ban keep what the store does not take: they end with 0.
var doubleCommands = []struct {
	line  string
	keeps bool
}{
	{line: "list"},
	{line: "export --output FILE"},
	{line: "export --output FILE --format json"},
	{line: "list 203.0.113.1"},
	{line: "list --history"},
	{line: "status"},
	{line: "allow list"},
	{line: "allow add 192.0.2.78"},
	{line: "unban 198.51.100.9"},
	{line: "ban 198.51.100.9", keeps: true},
	{line: "unban --own 198.51.100.9", keeps: true},
	{line: "prune"},
}

// someOf returns which of n places a run of the tests tries: every one where F2BC_TEST_EVERY is set, otherwise one in
// so many, and the next time others.
func someOf(n, one int64) iter.Seq[int64] {
	switch {
	case os.Getenv("F2BC_TEST_EVERY") != "":
		one = 1
	case testing.Short():
		one *= 10
	}
	return func(yield func(int64) bool) {
		for i := rand.N(one); i < n; i += one {
			if !yield(i) {
				return
			}
		}
	}
}

// check says what is wrong with the outcome of a command whose server did not keep to its part.
func (r doubledRun) check(line string, keeps bool) (wrong string) {
	whole := strings.Count(r.file, "203.0.113.") == doubleRows
	switch {
	case r.code != 0 && r.code != 1:
		return "exit code"
	case keeps && r.code != 0:
		return "the fact is lost"
	case r.code == 1 && line != "status" && !strings.HasPrefix(r.stderr, "f2bc: "):
		return "it does not say why"
	case r.code == 1 && r.file != "# f2bc, the old list\n":
		return "the old list does not stand"
	case strings.Contains(line, "--output") && r.code == 0 && !whole:
		return "the list is not whole"
	case line == "list" && r.code == 0 && strings.Count(r.stdout, "203.0.113.") != doubleRows:
		return "the list is not whole"
	case strings.Contains(r.stdout+r.stderr, doublePassword):
		return "the password is printed"
	}
	return ""
}

// TestStall: a server that says nothing more, after whichever byte of its answers, ends no list early and holds no
// command up; nor does anything go on in the background.
func TestStall(t *testing.T) {
	d := newDoubled(t)
	before := runtime.NumGoroutine()
	for _, c := range doubleCommands {
		t.Run(c.line, func(t *testing.T) {
			var running errgroup.Group
			running.SetLimit(100)                                               // most of the time is waited
			slow := regexp.MustCompile(`no answer for |dial tcp .*i/o timeout`) // the latter on a busy machine
			stalled := func(after int64) (doubledRun, int64) {
				l := mysqldouble.Listen(t)
				defer l.Close()
				server := mysqldouble.Stall(t, l, d.target, after)
				r := d.run(t.Context(), l.Addr().String(), strings.Fields(c.line)...)
				if bytes.Contains(server.Received(), []byte(doublePassword)) {
					t.Errorf("after %d bytes: the password was sent", after)
				}
				sent, _ := server.Sent()
				return r, sent
			}
			d.hasten(false)
			good, all := stalled(-1)
			d.hasten(true)
			if wrong := good.check(c.line, c.keeps); wrong != "" || good.code != 0 && c.line != "status" {
				t.Fatalf("%s: %d, %s", wrong, good.code, good.stderr)
			}
			for after := range someOf(all, 20) {
				running.Go(func() error {
					r, _ := stalled(after)
					if wrong := r.check(c.line, c.keeps); wrong != "" {
						t.Errorf("after %d of %d bytes: %s: %+v", after, all, wrong, r)
					}
					if r.code == 1 && c.line != "status" && !slow.MatchString(r.stderr) {
						t.Errorf("after %d of %d bytes: %q", after, all, r.stderr)
					}
					return nil
				})
			}
			running.Wait()
		})
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before+20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			text := make([]byte, 1<<20)
			t.Fatalf("more goroutines than the %d before\n%s", before, text[:runtime.Stack(text, true)])
		}
	}
}

// TestNonsense: whatever stands in the place of whichever packet of a session, every command ends, and the password and
// the files of this host stay here.
func TestNonsense(t *testing.T) {
	d := newDoubled(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("of-this-host-7Qx"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"list", "export --output FILE", "ban 198.51.100.9", "status", "unban 198.51.100.9"} {
		t.Run(line, func(t *testing.T) {
			var running errgroup.Group
			running.SetLimit(100)
			spoilt := func(where int, kind string) (doubledRun, int) {
				l := mysqldouble.Listen(t)
				defer l.Close()
				server := mysqldouble.Replace(t, l, d.target, func(nth int, packet []byte) ([]byte, bool) {
					if nth != where {
						return packet, false
					}
					return mysqldouble.Nonsense(packet, file)[kind], false
				})
				r := d.run(t.Context(), l.Addr().String(), strings.Fields(line)...)
				for _, secret := range []string{doublePassword, "of-this-host-7Qx"} {
					if mysqldouble.Betrays(server.Received(), []byte(secret), nil) {
						t.Errorf("%s as packet %d: the server has it from %q", kind, where, server.Received())
					}
				}
				_, packets := server.Sent()
				return r, packets
			}
			d.hasten(false)
			_, packets := spoilt(-1, "")
			d.hasten(true)
			for kind := range mysqldouble.Nonsense(mysqldouble.Packet(0, 0, 0), "") {
				for nth := range someOf(int64(packets), 4) {
					where := int(nth)
					running.Go(func() error {
						r, _ := spoilt(where, kind)
						if r.code != 0 && r.code != 1 || strings.Contains(r.stdout+r.stderr, doublePassword) {
							t.Errorf("%s as packet %d of %d: exit code %d, %s", kind, where, packets, r.code, r.stderr)
						}
						return nil
					})
				}
			}
			running.Wait()
		})
	}
}

// TestDrip: a server that never stops, but takes too long over it, ends with the time that the command may take.
func TestDrip(t *testing.T) {
	d := newDoubled(t)
	was := longest["export"]
	longest["export"] = time.Second
	defer func() { longest["export"] = was }()
	l := mysqldouble.Listen(t)
	mysqldouble.Replace(t, l, d.target, func(_ int, packet []byte) ([]byte, bool) {
		time.Sleep(100 * time.Millisecond) // the list alone has forty packets
		return packet, false
	})
	r := d.run(t.Context(), l.Addr().String(), "export", "--output", "FILE")
	if r.code != 1 || !strings.HasPrefix(r.stderr, "f2bc: not done after 1s, ") || r.file != "# f2bc, the old list\n" {
		t.Errorf("%+v", r)
	}
}
