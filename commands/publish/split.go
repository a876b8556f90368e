package publish

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"f2bc/aggregate"
)

// maxFiles bounds a split: it is for lists a little longer than a device's limit.
const maxFiles = 1000

// A file is one of those that a list is split into.
type file struct {
	path string
	list *List
}

// split divides the list into files. Files of a longer list before are part of it, empty.
func (l *List) split(t Target) ([]file, error) {
	if t.Split == 0 {
		return []file{{t.Path, l}}, nil
	}
	if n := (l.Set.Len() + t.Split - 1) / t.Split; n > maxFiles {
		return nil, LimitError(fmt.Sprintf("%d files of %d prefixes, more than %d", n, l.Set.Len(), maxFiles))
	}
	var files []file
	room := 0
	next := func(number int) *aggregate.Set {
		part := *l
		part.Set = new(aggregate.Set)
		files = append(files, file{splitPath(t.Path, number), &part})
		room = t.Split
		return part.Set
	}
	set := next(1)
	for prefix := range l.Set.All() {
		if room == 0 {
			set = next(len(files) + 1)
		}
		set.Add(prefix)
		room--
	}
	old, err := oldParts(t.Path)
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
func splitPath(path string, number int) string {
	if number == 1 {
		return path
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), number, ext)
}

// oldParts returns the numbers of the further files that an earlier export wrote, ascending. A file of that name which
// does not begin as ours do is somebody else's.
func oldParts(path string) (numbers []int, err error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		digits := strings.TrimSuffix(entry.Name(), filepath.Ext(path))
		digits = digits[strings.LastIndexByte(digits, '-')+1:]
		number, err := strconv.Atoi(digits)
		if err != nil || number < 2 || entry.Name() != filepath.Base(splitPath(path, number)) {
			continue
		}
		if ours, err := beginsAsOurs(splitPath(path, number)); err != nil {
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
