package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"f2bc/store/state"
)

// reloadMarker is the file that exists while a reload is owed: from before the list is replaced until the command has
// succeeded, so that no failure and no power cut in between loses it.
func (t Target) reloadMarker() string {
	return filepath.Join(filepath.Dir(t.Path), "."+filepath.Base(t.Path)+".reload-owed")
}

// oweReload writes the marker anew, so that another export which reloads now sees that its own reload came too early.
func (t Target) oweReload() error {
	return state.Replace(t.reloadMarker(), 0o600, func(w *os.File) error {
		_, err := fmt.Fprintf(w, "f2bc export will reload: %d %d\n", time.Now().UnixNano(), os.Getpid())
		return err
	})
}

// reloadWait is how long what a reload command leaves in the background may hold on to its output.
const reloadWait = 2 * time.Second

// reload runs the command if it is owed.
func (t Target) reload(ctx context.Context) error {
	marker := t.reloadMarker()
	owed, err := os.ReadFile(marker)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look whether a reload is owed: %w", err)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", t.Reload)
	cmd.Env = t.Env
	cmd.WaitDelay = reloadWait
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		out = bytes.TrimSpace(out)
		return fmt.Errorf("the list is written, but reload %q failed and will be tried again at the next export: "+
			"%w: %s", t.Reload, err, out[max(0, len(out)-1000):])
	}
	// Another export may have changed the file after the command began; its own reload is still owed.
	if now, err := os.ReadFile(marker); err == nil && !bytes.Equal(now, owed) {
		return nil
	}
	if err := os.Remove(marker); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note that the reload is done: %w", err)
	}
	return nil
}
