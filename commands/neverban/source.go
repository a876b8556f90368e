package neverban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is where the never-ban list of a host comes from.
type Source struct {
	Config  string   // the file that Files stand in, for messages; empty: none
	Entries []Entry  // of the configuration
	Files   []string // patterns of files with an entry a line
	Private bool     // allow_private

	Names Resolver
	Say   Say
}

// ErrInvalid is what an error is that the configuration or one of its files is to blame for.
var ErrInvalid = errors.New("invalid never-ban list")

// invalid is an ErrInvalid whose text is that of its cause.
type invalid struct{ error }

func (invalid) Is(target error) bool { return target == ErrInvalid }

func (s *Source) wrongf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if s.Config != "" {
		err = fmt.Errorf("configuration %s: %w", s.Config, err)
	}
	return invalid{err}
}

// Own returns this host's own entries. A file that cannot be read is an error: going on without it would ban what it
// shields.
func (s *Source) Own() (entries []Entry, err error) {
	entries = slices.Clone(s.Entries)
	for _, pattern := range s.Files {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, s.wrongf("allow_files %q: %w", pattern, err)
		}
		if len(files) == 0 && !strings.ContainsAny(pattern, `*?[\`) {
			return nil, s.wrongf("allow_files: %q does not exist", pattern)
		}
		slices.Sort(files)
		for _, file := range files {
			more, err := readFile(file)
			if err != nil {
				return nil, err
			}
			entries = append(entries, more...)
		}
	}
	return entries, nil
}

func readFile(file string) (entries []Entry, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read allow_files: %w", err)
	}
	line := 0
	for text := range strings.Lines(string(text)) {
		line++
		text, _, _ = strings.Cut(strings.TrimPrefix(text, "\ufeff"), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		entry, err := ParseEntry(text)
		if err != nil {
			return nil, invalid{fmt.Errorf("%s:%d: %w", file, line, err)}
		}
		entry.Why = file
		entries = append(entries, entry)
	}
	return entries, nil
}

// Text is an entry as the store has it.
type Text struct{ Entry, Why string }

// List returns the list: this host's own entries, and what the store has said of its own.
func (s *Source) List(ctx context.Context, central []Text) (*List, error) {
	entries, err := s.Own()
	if err != nil {
		return nil, err
	}
	for _, text := range central {
		entry, err := ParseEntry(text.Entry)
		if err != nil {
			// Another host's or a newer version's entry must not stop this host.
			s.Say("never-ban entry %q of the store is ignored: %v", text.Entry, err)
			continue
		}
		entry.Why = text.Why
		entries = append(entries, entry)
	}
	list := &List{Private: s.Private}
	names := s.Names.Resolve(ctx, entries)
	for _, entry := range entries {
		if entry.Host == "" {
			list.add(entry.Prefix, entry.Why)
		}
		for _, addr := range names[entry.Host] {
			list.add(netip.PrefixFrom(addr, addr.BitLen()), entry.Why+", host name "+entry.Host)
		}
	}
	return list, nil
}
