package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lockTime is how long a run waits for another to end.
const lockTime = 30 * time.Second

// lockSync lets one run at a time change routes. Another single run is waited for, one that watches is not.
func lockSync(ctx context.Context, cfg *config, watch bool) (unlock func(), err error) {
	if err := makeStateDir(cfg); err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.StateDir, "sync-routes.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		free, err := lockFile(f)
		if err == nil && free {
			err = writeHolder(f, watch)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if free {
			return func() { f.Close() }, nil
		}
		if pid := watcher(f); pid != 0 {
			f.Close()
			return nil, fmt.Errorf("f2bc sync-routes --watch runs already, as process %d, and follows every change", pid)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, fmt.Errorf("another sync-routes has been running for %v and holds %s", lockTime, path)
			}
			return nil, ctx.Err()
		}
	}
}

// writeHolder notes who has the lock: the process, if it watches, otherwise 0.
func writeHolder(f *os.File, watch bool) error {
	pid := 0
	if watch {
		pid = os.Getpid()
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%-20d\n", pid), 0)
	return err
}

func watcher(f *os.File) (pid int) {
	text := make([]byte, 21)
	n, _ := f.ReadAt(text, 0) // an empty file: the holder has just made it
	fmt.Sscan(string(text[:n]), &pid)
	return pid
}
