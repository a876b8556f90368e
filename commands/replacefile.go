package commands

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// replaceFile writes the file at path whole or not at all, and leaves it alone if its content is already right.
func replaceFile(path string, mode fs.FileMode, write func(io.Writer) error) error {
	s, err := stageFile(path, mode, write)
	if err != nil || s == nil {
		return err
	}
	return s.commit()
}

// A stagedFile is the next content of a file: in a temporary file beside it, flushed to the disk, and to be renamed over
// it. A reader sees the old file or the new one.
type stagedFile struct{ temporary, path string }

// stageFile prepares to replace the file at path. It returns nil if what write writes is what the file holds already.
// Owner and mode will stay as they are, a new file gets mode; a symbolic link stays one, its target is replaced.
func stageFile(path string, mode fs.FileMode, write func(io.Writer) error) (s *stagedFile, err error) {
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
	f, err := os.CreateTemp(filepath.Dir(path), temporaryName(path))
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
	old, err := os.Open(path) // one that cannot be read is replaced
	c := &comparer{w: f, old: old, same: err == nil}
	if err == nil {
		defer old.Close()
	}
	if err := write(c); err != nil {
		return nil, err
	}
	if c.equal() {
		return nil, nil
	}
	if err := f.Chmod(mode); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return &stagedFile{f.Name(), path}, nil
}

// commit puts the new content in place, for good even if the power fails now.
func (s *stagedFile) commit() error {
	if err := os.Rename(s.temporary, s.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// discard leaves the old file. After commit it does nothing.
func (s *stagedFile) discard() { os.Remove(s.temporary) }

// comparer passes on what is written, and compares it with what is there already.
type comparer struct {
	w    io.Writer
	old  io.Reader
	same bool // so far
	buf  []byte
}

func (c *comparer) Write(b []byte) (int, error) {
	if c.same {
		if len(c.buf) < len(b) {
			c.buf = make([]byte, len(b))
		}
		n, err := io.ReadFull(c.old, c.buf[:len(b)])
		c.same = err == nil && bytes.Equal(c.buf[:n], b)
	}
	return c.w.Write(b)
}

// equal reports whether all of the old content was written again, and nothing else.
func (c *comparer) equal() bool {
	if !c.same {
		return false
	}
	_, err := io.ReadFull(c.old, make([]byte, 1))
	return err == io.EOF
}

func temporaryName(path string) string { return "." + filepath.Base(path) + ".*.f2bc" }

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
		if !matches(temporaryName(path), name) {
			continue
		}
		name = filepath.Join(filepath.Dir(path), name)
		if info, err := os.Lstat(name); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(name)
		}
	}
}

// matches reports whether name is what os.CreateTemp makes of pattern.
func matches(pattern, name string) bool {
	head, tail, _ := bytes.Cut([]byte(pattern), []byte("*"))
	return len(name) > len(pattern) && bytes.HasPrefix([]byte(name), head) && bytes.HasSuffix([]byte(name), tail)
}

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
