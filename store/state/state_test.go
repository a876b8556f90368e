package state

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Where there is no state directory, or none yet, nothing is found; only the second can be written to.
func TestNone(t *testing.T) {
	for name, dir := range map[string]Dir{"none": "", "not there": Dir(filepath.Join(t.TempDir(), "a/b")), "a file": Dir(os.Args[0])} {
		_, statErr := dir.Stat("x")
		_, openErr := dir.Open("x")
		_, readErr := dir.Read("x")
		names, findErr := dir.Find("*")
		for what, err := range map[string]error{"Stat": statErr, "Open": openErr, "Read": readErr} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		v := 7
		if err := errors.Join(dir.ReadJSON("x", &v), findErr); dir.Has("x") || names != nil || v != 7 || err != nil {
			t.Errorf("%s: %v, %v, %d, %v", name, dir.Has("x"), names, v, err)
		}
		writes := []error{dir.Write("x", nil), dir.WriteJSON("j", 8), dir.Note("n", "n"), dir.Append("a", nil)}
		_, err := dir.Lock(t.Context(), Lock{Name: "l"})
		for i, err := range append(writes, err) {
			if (err == nil) != (name == "not there") || name == "none" && !errors.Is(err, ErrNone) {
				t.Errorf("%s: write %d: %v", name, i, err)
			}
		}
		if name != "not there" && !errors.Is(err, ErrNoLock) {
			t.Errorf("%s: lock: %v", name, err)
		}
	}
}

// What is written is read back; what is removed is gone, and once more is no error.
func TestKeep(t *testing.T) {
	dir := Dir(filepath.Join(t.TempDir(), "state"))
	check(t, dir.WriteJSON("j", []int{1, 2}))
	check(t, dir.Append("a", []byte("1")))
	check(t, dir.Append("a", []byte("2")))
	check(t, dir.Note("n", "note"))
	var v []int
	check(t, dir.ReadJSON("j", &v))
	a, err := dir.Read("a")
	check(t, err)
	n, err := dir.Read("n")
	check(t, err)
	if !slices.Equal(v, []int{1, 2}) || string(a) != "12" || string(n) != "note" {
		t.Errorf("%v %q %q", v, a, n)
	}
	before, err := dir.Stat("j")
	check(t, err)
	check(t, dir.WriteJSON("j", v))
	if after, err := dir.Stat("j"); err != nil || !os.SameFile(before, after) {
		t.Error("the same once more is written:", err)
	}
	for _, name := range []string{"j", "a", "n"} {
		if info, err := dir.Stat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if names, err := dir.Find("?"); err != nil || !slices.Equal(names, []string{"a", "j", "n"}) {
		t.Error(names, err)
	}
	check(t, dir.Remove("j"))
	check(t, dir.Remove("j"))
	if dir.Has("j") {
		t.Error("still there")
	}
}

// A directory that others may write into is refused: when it is opened, and whenever something is written.
func TestNotOurs(t *testing.T) {
	path := t.TempDir()
	for _, mode := range []fs.FileMode{0o777, 0o720, 0o702} {
		check(t, os.Chmod(path, mode))
		if _, err := Open(path); !errors.Is(err, ErrNotOurs) {
			t.Errorf("mode %04o: %v", mode, err)
		}
		_, statErr := Dir(path).Stat("x")
		_, openErr := Dir(path).Open("x")
		_, findErr := Dir(path).Find("*")
		for i, err := range []error{Dir(path).Write("x", nil), Dir(path).ReadJSON("x", new(int)), statErr, openErr, findErr} {
			if !errors.Is(err, ErrNotOurs) {
				t.Errorf("mode %04o: %d: %v", mode, i, err)
			}
		}
	}
	check(t, os.Chmod(path, 0o755))
	if dir, err := Open(path); dir != Dir(path) || err != nil {
		t.Error(dir, err)
	}
	if dir, err := Open(filepath.Join(path, "new")); dir == "" || err != nil {
		t.Error("not there yet:", err)
	}
}

// A note is returned once, one that differs in its numbers once alike, and a failure is known from the second time until
// the run succeeds; a later run goes on with that.
func TestSaid(t *testing.T) {
	dir, failure := Dir(t.TempDir()), errors.New("port 1234 is closed")
	for run := range 3 {
		said, err := dir.Said("cmd")
		check(t, err)
		first := run == 0
		if got := said.Once("a note"); (got == "a note") != first || said.Once("a note") != "" {
			t.Errorf("run %d: %q", run, got)
		}
		if got := said.OnceAlike("port 1"); (got == "port 1") != first || said.OnceAlike("port 2") != "" {
			t.Errorf("run %d: alike %q", run, got)
		}
		if notes, known := said.End(failure); notes != nil || known == first {
			t.Errorf("run %d: %q, known: %v", run, notes, known)
		}
	}
	said, err := dir.Said("cmd")
	check(t, err)
	if notes, known := said.End(context.Canceled); notes != nil || known {
		t.Errorf("interrupted: %q, %v", notes, known)
	}
	if notes, known := said.End(nil); !slices.Equal(notes, []string{"works again"}) || known {
		t.Errorf("%q, %v", notes, known)
	}
	if notes, _ := said.End(nil); notes != nil {
		t.Errorf("works again, again: %q", notes)
	}
	if _, known := said.End(failure); known {
		t.Error("a new failure is known")
	}
}

// Words are forgotten after a day, those of a clock that was ahead at once, and there are no more than a hundred notes.
func TestSaidForgets(t *testing.T) {
	dir, now := Dir(t.TempDir()), time.Now()
	check(t, dir.WriteJSON("cmd.said.json", keptWords{Notes: map[string]time.Time{
		"old": now.Add(-25 * time.Hour), "ahead": now.Add(time.Hour), "today": now.Add(-23 * time.Hour),
	}}))
	said, err := dir.Said("cmd")
	check(t, err)
	if said.Once("old") == "" || said.Once("ahead") == "" || said.Once("today") != "" {
		t.Error("what is said again is wrong")
	}
	shown := 0
	for i := range 300 {
		if note := string(rune('a'+i%26)) + string(rune('a'+i/26)); said.Once(note) != "" {
			shown++
		}
	}
	if shown != maxReminded-3+1 { // the last one says that there are more
		t.Errorf("%d notes are shown", shown)
	}
}

// Where the words cannot be kept that is said, and once.
func TestSaidUnkept(t *testing.T) {
	dir := Dir(t.TempDir())
	said, err := dir.Said("cmd")
	check(t, err)
	check(t, os.Chmod(string(dir), 0o777))
	said.Once("a note")
	for i, want := range []int{1, 0, 0} {
		if notes, _ := said.End(nil); len(notes) != want {
			t.Errorf("end %d: %q", i, notes)
		}
	}
	check(t, os.WriteFile(dir.Path("other.said.json"), []byte("{"), 0o600))
	if said, err := dir.Said("other"); err == nil || said.Once("a note") == "" {
		t.Error("a broken file:", err)
	}
}
