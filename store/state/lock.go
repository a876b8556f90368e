package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// A Lock lets one run at a time do something. It is a flock, which ends with its process however that ends.
type Lock struct {
	Name    string            // of its file in the state directory
	Command string            // for people
	Watch   bool              // this run keeps it for good, and others need not wait for it
	Wait    time.Duration     // how long to wait for another run; zero: not at all
	Say     func(note string) // told once, when the wait begins, who is waited for
}

// ErrNoLock is for a state directory in which nothing can be locked.
var ErrNoLock = errors.New("no lock")

// noLock is an ErrNoLock whose text is that of its cause.
type noLock struct{ error }

func (noLock) Is(target error) bool { return target == ErrNoLock }
func (e noLock) Unwrap() error      { return e.error }

// Lock takes a lock. The error is ErrNoLock, that of ctx, or says who has the lock.
func (d Dir) Lock(ctx context.Context, l Lock) (unlock func(), err error) {
	if err := d.Make(); err != nil {
		return nil, noLock{err}
	}
	path := d.Path(l.Name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		var readErr error
		if f, readErr = os.Open(path); readErr != nil { // on a file system that is read-only by now it can be locked
			return nil, noLock{fmt.Errorf("lock: %w", err)}
		}
	}
	if err := l.poll(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	holder{os.Getpid(), time.Now(), l.Watch}.write(f)
	return func() { f.Close() }, nil
}

// poll returns when l is locked by f.
func (l Lock) poll(ctx context.Context, f *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, l.Wait)
	defer cancel()
	for try := 0; ; try++ {
		free, err := lockFile(f)
		if err != nil {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if free {
			return nil
		}
		h := readHolder(f)
		if h.watch {
			return fmt.Errorf("f2bc %s --watch runs already, as process %d, and follows every change", l.Command, h.pid)
		}
		if try == 1 { // the first time its holder may be about to write who it is
			l.Say(fmt.Sprintf("waiting for another %s: %v", l.Command, h))
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("another %s is still at it and holds %s: %v", l.Command, f.Name(), h)
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

// lockFile takes an exclusive lock that ends with the process. It reports false if another process has it.
func lockFile(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}
