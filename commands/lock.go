package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lockTime is how long a run waits for another to end; a variable for tests.
var lockTime = 30 * time.Second

// runLock lets one run at a time do something. It is a flock, which ends with its process however that ends.
type runLock struct {
	path    string            // of its file
	command string            // for people
	watch   bool              // this run keeps it for good, and others need not wait for it
	wait    time.Duration     // how long to wait for another run; zero: not at all
	say     func(note string) // told once, when the wait begins, who is waited for
}

// errNoLock is for a state directory in which nothing can be locked.
var errNoLock = errors.New("no lock")

// lock takes a lock whose path is a name in the state directory.
func (cfg *config) lock(ctx context.Context, l runLock) (unlock func(), err error) {
	if err := makeStateDir(cfg); err != nil {
		return nil, kindError{errNoLock, err}
	}
	l.path = filepath.Join(cfg.StateDir, l.path)
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		var readErr error
		if f, readErr = os.Open(l.path); readErr != nil { // on a file system that is read-only by now it can be locked
			return nil, kindError{errNoLock, fmt.Errorf("lock: %w", err)}
		}
	}
	if err := l.poll(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	holder{os.Getpid(), time.Now(), l.watch}.write(f)
	return func() { f.Close() }, nil
}

// lock takes a lock for a run that words are of.
func (p *process) lock(ctx context.Context, cfg *config, l runLock, words *reminder) (unlock func(), err error) {
	l.say = func(note string) { p.out.sayOnce(words.onceAlike, note) }
	if unlock, err = cfg.lock(ctx, l); err != nil {
		return nil, err
	}
	words.read() // what the other run has said meanwhile; where that fails, it was told before
	return unlock, nil
}

// poll returns when l is locked by f.
func (l runLock) poll(ctx context.Context, f *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	for try := 0; ; try++ {
		free, err := lockFile(f)
		if err != nil {
			return fmt.Errorf("lock %s: %w", l.path, err)
		}
		if free {
			return nil
		}
		h := readHolder(f)
		if h.watch {
			return fmt.Errorf("f2bc %s --watch runs already, as process %d, and follows every change", l.command, h.pid)
		}
		if try == 1 { // the first time its holder may be about to write who it is
			l.say(fmt.Sprintf("waiting for another %s: %v", l.command, h))
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("another %s is still at it and holds %s: %v", l.command, l.path, h)
			}
			return ctx.Err()
		}
	}
}

// holder is who has a lock, as its file says for people and other runs. It is one record of 20 characters, which an
// older f2bc reads and replaces as a whole: "PID START" of a run that watches, "0 PID START" of another. The older one
// wrote "PID" and "0", or nothing at all.
type holder struct {
	pid   int       // 0: not known
	since time.Time // zero: not known
	watch bool
}

const holderForm = "%-20s\n"

// write is advice: where it fails, as on a full disk, the lock holds all the same.
func (h holder) write(f *os.File) {
	text := fmt.Sprint(h.pid, " ", h.since.Unix())
	if !h.watch {
		text = "0 " + text
	}
	f.WriteAt(fmt.Appendf(nil, holderForm, text), 0)
}

func readHolder(f *os.File) (h holder) {
	text := make([]byte, len(fmt.Sprintf(holderForm, "")))
	n, _ := f.ReadAt(text, 0)
	if n == 0 {
		return h // the holder has just made it
	}
	var first int
	var since int64
	rest := strings.NewReader(string(text[:n]))
	fmt.Fscan(rest, &first)
	if h.watch = first != 0; h.watch {
		h.pid = first
	} else {
		fmt.Fscan(rest, &h.pid)
	}
	if _, err := fmt.Fscan(rest, &since); err == nil {
		h.since = time.Unix(since, 0)
	} else if info, err := f.Stat(); err == nil {
		h.since = info.ModTime()
	}
	return h
}

func (h holder) String() string {
	text := "a run of another version of f2bc"
	if h.pid != 0 {
		text = fmt.Sprint("process ", h.pid)
	}
	if !h.since.IsZero() {
		text += fmt.Sprintf(", for %v", max(0, time.Since(h.since)).Round(time.Second))
	}
	return text
}
