package commands

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stateDir is a configuration with a state directory only.
func stateDir(t *testing.T) *config {
	return &config{configFile: configFile{StateDir: t.TempDir()}}
}

// locked takes a lock that must be free.
func locked(t *testing.T, cfg *config, l runLock) (unlock func()) {
	t.Helper()
	unlock, err := cfg.lock(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// One run at a time has a lock; the next waits, and is told once for whom.
func TestLock(t *testing.T) {
	cfg := stateDir(t)
	var notes []string
	l := runLock{path: "test.lock", command: "test", wait: time.Minute}
	l.say = func(note string) { notes = append(notes, note) }
	unlock := locked(t, cfg, l)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := cfg.lock(ctx, l); err == nil {
		t.Error("two have the lock")
	}
	if want := fmt.Sprintf("waiting for another test: process %d, for ", os.Getpid()); len(notes) != 1 || !strings.HasPrefix(notes[0], want) {
		t.Errorf("said %q, want %q once", notes, want)
	}
	l.wait = 0
	want := fmt.Sprintf("another test is still at it and holds %s/test.lock: process %d, for ", cfg.StateDir, os.Getpid())
	if _, err := cfg.lock(t.Context(), l); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Error("without a wait:", err)
	}
	unlock()
	locked(t, cfg, l)()
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
		path := writeFile(t, filepath.Join(t.TempDir(), "lock"), c.text)
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
		text := readFile(t, f.Name())
		var older int // a version before this one reads the first number in 21 characters, and takes it for one that watches
		if _, err := fmt.Sscan(text, &older); err != nil || len(text) != 21 || (older == 4194304) != watch {
			t.Errorf("watches: %v; wrote %q", watch, text)
		}
	}
}

// Where the state directory is read-only by now, as after an error of the disk, runs still exclude each other.
func TestLockReadOnly(t *testing.T) {
	cfg := stateDir(t)
	l := runLock{path: "test.lock", command: "test"}
	locked(t, cfg, l)()
	path := filepath.Join(cfg.StateDir, "test.lock")
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	unlock := locked(t, cfg, l)
	defer unlock()
	if _, err := cfg.lock(t.Context(), l); err == nil {
		t.Error("two have the lock")
	}
}
