package state

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// locked takes a lock that must be free.
func locked(t *testing.T, dir Dir, l Lock) (unlock func()) {
	t.Helper()
	unlock, err := dir.Lock(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// One run at a time has a lock; the next waits, and is told once for whom.
func TestLock(t *testing.T) {
	dir := Dir(t.TempDir())
	var notes []string
	l := Lock{Name: "test.lock", Command: "test", Wait: time.Minute}
	l.Say = func(note string) { notes = append(notes, note) }
	unlock := locked(t, dir, l)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := dir.Lock(ctx, l); err == nil {
		t.Error("two have the lock")
	}
	if want := fmt.Sprintf("waiting for another test: process %d, for ", os.Getpid()); len(notes) != 1 || !strings.HasPrefix(notes[0], want) {
		t.Errorf("said %q, want %q once", notes, want)
	}
	l.Wait = 0
	want := fmt.Sprintf("another test is still at it and holds %s/test.lock: process %d, for ", dir, os.Getpid())
	if _, err := dir.Lock(t.Context(), l); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Error("without a wait:", err)
	}
	unlock()
	locked(t, dir, l)()
}

// What the holder of a lock says of itself, and what older versions said and read.
func TestLockHolder(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "a run of another version of f2bc"},                                  // and no more is known
		{fmt.Sprintf("%-20d\n", 0), "a run of another version of f2bc, for 1h0m"}, // by the time of its file
		{fmt.Sprintf("%-20d\n", 1234), "process 1234, for 1h0m"},
		{fmt.Sprintf("%-20s\n", fmt.Sprint("4194304 ", time.Now().Unix()-90)), "process 4194304, for 1m3"},
		{fmt.Sprintf("%-20s\n", fmt.Sprint("0 4194304 ", time.Now().Unix()-90)), "process 4194304, for 1m3"},
		{fmt.Sprintf("%-20s\n", fmt.Sprint("0 1234 ", time.Now().Unix()+90)), "process 1234, for 0s"},
	} {
		path := filepath.Join(t.TempDir(), "lock")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		hourAgo := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, hourAgo, hourAgo); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h := readHolder(f)
		if got := h.String(); !strings.HasPrefix(got, c.want) || h.watch != (c.text != "" && c.text[0] != '0') {
			t.Errorf("%q: %s, watches: %v; want %s", c.text, got, h.watch, c.want)
		}
	}
	for _, watch := range []bool{false, true} {
		f, err := os.Create(filepath.Join(t.TempDir(), "lock"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		holder{4194304, time.Now(), watch}.write(f)
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		var older int // a version before this one reads the first number in 21 characters, and takes it for one that watches
		if _, err := fmt.Sscan(string(text), &older); err != nil || len(text) != 21 || (older == 4194304) != watch {
			t.Errorf("watches: %v; wrote %q", watch, text)
		}
	}
}

// Where the state directory is read-only by now, as after an error of the disk, runs still exclude each other.
func TestLockReadOnly(t *testing.T) {
	dir := Dir(t.TempDir())
	l := Lock{Name: "test.lock", Command: "test"}
	locked(t, dir, l)()
	path := dir.Path("test.lock")
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	unlock := locked(t, dir, l)
	defer unlock()
	if _, err := dir.Lock(t.Context(), l); err == nil {
		t.Error("two have the lock")
	}
}
