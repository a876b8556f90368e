// Package state is the only door to this host's disk: the state directory, and files that are written whole or not at all.
//
//	who remembers, waits or writes ──> Dir ──┬──> names in the state directory: texts, JSON, notes, locks, what was said
//	                                         └──> nothing, where there is none
//	who publishes a file ──> Stage, Replace ───> any file, old or new and never half of one
//
// It decides nothing about what it keeps, and never prints: what is to be said is returned.
package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Dir is a state directory, which is nobody else's business. The empty one is none: nothing is found in it, and nothing
// can be kept. One that does not exist yet is made when something is written into it.
type Dir string

var (
	// ErrNone says that there is no state directory.
	ErrNone = errors.New("no state directory: there is no home directory; set F2BC_STATE_DIR")

	// ErrNotOurs says that somebody else may write into the state directory: he could plant links there, and withdraw
	// what waits.
	ErrNotOurs = errors.New("not ours alone")
)

// Open returns the state directory at path, which need not exist; the error is ErrNotOurs. Whatever is done in such a
// directory fails with that, too.
func Open(path string) (Dir, error) {
	d := Dir(path)
	if err := d.check(); errors.Is(err, ErrNotOurs) {
		return d, err
	}
	return d, nil
}

// Make makes the directory if it is not there. The error is ErrNone, ErrNotOurs, or the system's.
func (d Dir) Make() error {
	if d == "" {
		return ErrNone
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w; run f2bc as root, or set F2BC_STATE_DIR", err)
	}
	return d.check()
}

func (d Dir) check() error {
	if d == "" {
		return fs.ErrNotExist
	}
	info, err := os.Stat(string(d))
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fs.ErrNotExist
	case err != nil:
		return fmt.Errorf("state directory: %w", err)
	case !info.IsDir():
		return fs.ErrNotExist
	}
	if info.Mode().Perm()&0o022 != 0 || !trusted(info) {
		return notOurs{fmt.Errorf("state directory %s belongs to another user, or others can write into it (mode %04o); run chown and chmod 0700 %s",
			d, info.Mode().Perm(), d)}
	}
	return nil
}

// notOurs is an ErrNotOurs whose text says it all.
type notOurs struct{ error }

func (notOurs) Is(target error) bool { return target == ErrNotOurs }

// trusted reports whether a file belongs to root or to the user who runs f2bc.
func trusted(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || stat.Uid == 0 || int(stat.Uid) == os.Geteuid()
}

// Path returns where the file of that name is, for messages and for databases.
func (d Dir) Path(name string) string { return filepath.Join(string(d), name) }

// Find returns the names that match a pattern of path.Match, sorted.
func (d Dir) Find(pattern string) (names []string, err error) {
	if err := d.check(); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(d.Path(pattern))
	for _, file := range files {
		names = append(names, filepath.Base(file))
	}
	return names, err
}

// Stat returns what is known of a file; the error is fs.ErrNotExist where there is none.
func (d Dir) Stat(name string) (fs.FileInfo, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return os.Lstat(d.Path(name))
}

// Has reports whether there is a file of that name.
func (d Dir) Has(name string) bool {
	_, err := d.Stat(name)
	return err == nil
}

// Open opens a file for reading; the error is fs.ErrNotExist where there is none.
func (d Dir) Open(name string) (*os.File, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return os.Open(d.Path(name))
}

// Read returns what is in a file; the error is fs.ErrNotExist where there is none.
func (d Dir) Read(name string) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return os.ReadFile(d.Path(name))
}

// ReadJSON reads a file into v, which stays as it is where there is none.
func (d Dir) ReadJSON(name string, v any) error {
	text, err := d.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// Write replaces a file for good, unless it is so already: most runs change nothing, and a flash disk need not pay for
// them.
func (d Dir) Write(name string, text []byte) error {
	if old, err := d.Read(name); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return d.Replace(name, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

// WriteJSON is Write for a value.
func (d Dir) WriteJSON(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return d.Write(name, text)
}

// Replace is Write for a file that is long.
func (d Dir) Replace(name string, write func(*os.File) error) error {
	if err := d.Make(); err != nil {
		return err
	}
	return Replace(d.Path(name), 0o600, write)
}

// Touch gives a file the time of now.
func (d Dir) Touch(name string) error {
	now := time.Now()
	return os.Chtimes(d.Path(name), now, now)
}

// Note writes what may be lost, or torn, in a power cut.
func (d Dir) Note(name, text string) error {
	if err := d.Make(); err != nil {
		return err
	}
	return os.WriteFile(d.Path(name), []byte(text), 0o600)
}

// Append adds to a file, by one call, so that processes that append do not mix what they write. It may be lost in a power
// cut.
func (d Dir) Append(name string, text []byte) error {
	if err := d.Make(); err != nil {
		return err
	}
	f, err := os.OpenFile(d.Path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// Remove removes a file, if there is one.
func (d Dir) Remove(name string) error {
	if d == "" {
		return nil
	}
	if err := os.Remove(d.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
