package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A reader sees the old file or the new one, and a failed write leaves the old one and nothing else.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list.txt")
	texts := []string{strings.Repeat("a", 1<<16), strings.Repeat("b", 1<<17)}
	write := func(text string) error {
		return Replace(path, 0o644, func(f *os.File) error {
			for half := range 2 {
				if _, err := f.WriteString(text[half*len(text)/2 : (half+1)*len(text)/2]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := write(texts[0]); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	done := make(chan error)
	go func() {
		for i := range 50 {
			if err := write(texts[i%2]); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != texts[0] && string(got) != texts[1] {
			t.Fatalf("a reader saw %d bytes, %v", len(got), err)
		}
	}

	full := errors.New("no space left on device")
	err := Replace(path, 0o644, func(f *os.File) error {
		f.WriteString("half a li")
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != texts[1] {
		t.Errorf("the old file is gone: %d bytes, %v", len(got), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}
