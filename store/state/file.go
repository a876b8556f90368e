package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Replace writes the file at path whole or not at all, and leaves it alone if its content is already right.
func Replace(path string, mode fs.FileMode, write func(*os.File) error) error {
	s, err := Stage(path, mode, write)
	if err != nil || s == nil {
		return err
	}
	return s.Commit()
}

// Staged is the next content of a file: in a temporary file beside it, flushed to the disk, and to be renamed over
// it. A reader sees the old file or the new one.
type Staged struct{ temporary, path string }

// Stage prepares to replace the file at path. It returns nil if what write writes is what the file holds already.
// Owner and mode will stay as they are, a new file gets mode; a symbolic link stays one, its target is replaced.
func Stage(path string, mode fs.FileMode, write func(*os.File) error) (s *Staged, err error) {
	path, err = followLink(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	exists := err == nil
	switch {
	case exists && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case exists:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	removeAbandoned(path)
	f, err := os.CreateTemp(filepath.Dir(path), temporaryPrefix(path)+"*"+temporarySuffix)
	if err != nil {
		return nil, err
	}
	defer func() {
		f.Close()
		if s == nil {
			os.Remove(f.Name())
		}
	}()
	if exists {
		if err := keepOwner(f, info); err != nil {
			return nil, err
		}
	}
	if err := write(f); err != nil {
		return nil, err
	}
	if exists && sameContent(f, path) {
		return nil, nil
	}
	if err := f.Chmod(mode); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return &Staged{f.Name(), path}, nil
}

// Path is the file that is replaced: what a symbolic link points to.
func (s *Staged) Path() string { return s.path }

// Commit puts the new content in place, for good even if the power fails now.
func (s *Staged) Commit() error {
	if err := os.Rename(s.temporary, s.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// Discard leaves the old file. After Commit it does nothing.
func (s *Staged) Discard() { os.Remove(s.temporary) }

// sameContent reports whether the file at path is a copy of f. One that cannot be read is none.
func sameContent(f *os.File, path string) bool {
	old, err := os.Open(path)
	if err != nil {
		return false
	}
	defer old.Close()
	info, err := f.Stat()
	oldInfo, oldErr := old.Stat()
	if err != nil || oldErr != nil || info.Size() != oldInfo.Size() {
		return false
	}
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); at < info.Size(); {
		n, err := f.ReadAt(a, at)
		if err != nil && err != io.EOF {
			return false
		}
		if _, err := old.ReadAt(b[:n], at); n == 0 || err != nil && err != io.EOF || !bytes.Equal(a[:n], b[:n]) {
			return false
		}
		at += int64(n)
	}
	return true
}

// removeAbandoned removes the temporary files that killed runs left: a run takes seconds. One that cannot be removed
// does no harm.
func removeAbandoned(path string) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasPrefix(name, temporaryPrefix(path)) || !strings.HasSuffix(name, temporarySuffix) {
			continue
		}
		name = filepath.Join(dir.Name(), name)
		if info, err := os.Lstat(name); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(name)
		}
	}
}

const temporarySuffix = ".f2bc"

func temporaryPrefix(path string) string { return "." + filepath.Base(path) + "." }

func followLink(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return "", fmt.Errorf("%s is a symbolic link to nothing", path)
		}
		return path, nil
	}
	return target, err
}

// syncDir makes a rename last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// keepOwner gives f the owner of the file it replaces. Who may not do that gets a file of his own, if he is not root.
func keepOwner(f *os.File, old fs.FileInfo) error {
	stat, ok := old.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() && int(stat.Gid) == os.Getegid() {
		return nil
	}
	err := f.Chown(int(stat.Uid), int(stat.Gid))
	if os.Geteuid() != 0 {
		return nil
	}
	return err
}
