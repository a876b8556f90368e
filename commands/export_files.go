package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"f2bc/aggregate"
	"f2bc/store/state"
)

// maxFiles bounds --split: it is for lists a little longer than a device's limit.
const maxFiles = 1000

// An exportFile is one file of a list that is split.
type exportFile struct {
	path string
	list *exportList
}

// publish writes the list into its file or files. All are written before the first is renamed: after a failure, a full
// disk for example, either all or none are new. Then it reloads, if that is owed.
func (p *process) publish(ctx context.Context, list *exportList) error {
	files, err := list.files()
	if err != nil {
		return err
	}
	var changed []*state.Staged
	defer func() {
		for _, s := range changed {
			s.Discard()
		}
	}()
	for _, f := range files {
		// Readable by all, since a web server serves it.
		s, err := state.Stage(f.path, 0o644, func(w *os.File) error { return list.o.format.write(w, f.list) })
		if err != nil {
			return fmt.Errorf("write %s, the old file stands: %w", f.path, err)
		}
		if s != nil {
			changed = append(changed, s)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	owed := reloadMarker(list.o.output)
	if list.o.reload != "" && len(changed) > 0 {
		if err := state.Replace(owed, 0o600, func(w *os.File) error {
			_, err := fmt.Fprintf(w, "f2bc export will reload: %d %d\n", time.Now().UnixNano(), os.Getpid())
			return err
		}); err != nil {
			return fmt.Errorf("note that a reload is owed, the old file stands: %w", err)
		}
	}
	for _, s := range changed {
		if err := s.Commit(); err != nil {
			return fmt.Errorf("write %s: %w", s.Path(), err)
		}
	}
	if list.o.reload == "" {
		return nil
	}
	return reload(ctx, list.o.reload, owed)
}

// files divides the list into those of --split. Files of a longer list before are part of it, empty.
func (l *exportList) files() ([]exportFile, error) {
	if l.o.split == 0 {
		return []exportFile{{l.o.output, l}}, nil
	}
	if n := (l.set.Len() + l.o.split - 1) / l.o.split; n > maxFiles {
		return nil, fmt.Errorf("--split %d makes %d files of %d prefixes, more than %d; nothing is written", l.o.split, n, l.set.Len(), maxFiles)
	}
	var files []exportFile
	room := 0
	next := func(number int) *aggregate.Set {
		part := *l
		part.set = new(aggregate.Set)
		files = append(files, exportFile{splitPath(l.o.output, number), &part})
		room = l.o.split
		return part.set
	}
	set := next(1)
	for prefix := range l.set.All() {
		if room == 0 {
			set = next(len(files) + 1)
		}
		set.Add(prefix)
		room--
	}
	old, err := oldParts(l.o.output)
	if err != nil {
		return nil, fmt.Errorf("look for the files of a longer list: %w", err)
	}
	used := len(files)
	for _, number := range old {
		if number > used {
			next(number)
		}
	}
	return files, nil
}

// splitPath is list.txt, list-2.txt, list-3.txt …
func splitPath(output string, number int) string {
	if number == 1 {
		return output
	}
	ext := filepath.Ext(output)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(output, ext), number, ext)
}

// oldParts returns the numbers of the further files that an earlier export wrote, ascending. A file of that name which
// does not begin as ours do is somebody else's.
func oldParts(output string) (numbers []int, err error) {
	entries, err := os.ReadDir(filepath.Dir(output))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		digits := strings.TrimSuffix(entry.Name(), filepath.Ext(output))
		digits = digits[strings.LastIndexByte(digits, '-')+1:]
		number, err := strconv.Atoi(digits)
		if err != nil || number < 2 || entry.Name() != filepath.Base(splitPath(output, number)) {
			continue
		}
		if ours, err := beginsAsOurs(splitPath(output, number)); err != nil {
			return nil, err
		} else if ours {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func beginsAsOurs(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	begin := make([]byte, len(headerBegin))
	_, err = io.ReadFull(f, begin)
	return err == nil && string(begin) == headerBegin, nil
}

// reloadMarker is the file that exists while a reload is owed: from before the list is replaced until the command has
// succeeded, so that no failure and no power cut in between loses it.
func reloadMarker(output string) string {
	return filepath.Join(filepath.Dir(output), "."+filepath.Base(output)+".reload-owed")
}

// reloadWait is how long what a reload command leaves in the background may hold on to its output.
const reloadWait = 2 * time.Second

// reload runs the command if it is owed.
func reload(ctx context.Context, command, marker string) error {
	owed, err := os.ReadFile(marker)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look whether a reload is owed: %w", err)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = childEnv()
	cmd.WaitDelay = reloadWait
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		out = bytes.TrimSpace(out)
		return fmt.Errorf("the list is written, but reload %q failed and will be tried again at the next export: %w: %s",
			command, err, out[max(0, len(out)-1000):])
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
