package commands

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"f2bc/aggregate"
	"f2bc/store"
)

// syncMemory is what sync-routes remembers of the store, to tell it from a rebuilt or restored one.
type syncMemory struct {
	Store      string     `json:"store"`
	Mark       store.Time `json:"mark"`                  // the highest seen
	Restored   bool       `json:"restored,omitempty"`    // it went back since; only --accept-store forgets that
	FleetPause store.Time `json:"fleet_pause,omitempty"` // on this host's clock, for a time when the store is away
}

// markSlack is how far a mark may go back for a moment: another node of a cluster or a replica may lag.
const markSlack = 10 * time.Second

const memoryFile = "sync-routes.json"

// readMemory returns the memory, empty before the first run.
func readMemory(cfg *config) (m syncMemory, err error) {
	if err := cfg.state.ReadJSON(memoryFile, &m); err != nil {
		return syncMemory{}, fmt.Errorf("what sync-routes remembers of the store is lost: %w", err)
	}
	return m, nil
}

// meetStore compares the store with the one that is remembered, and says why nothing may be removed on its word.
func (s *syncer) meetStore(v view) error {
	m := &s.memory
	if s.o.acceptStore {
		*m, s.memoryErr = syncMemory{}, nil
	}
	m.FleetPause = v.pause.local()
	const cure = "nothing is removed; if that is right, run f2bc sync-routes --accept-store"
	switch {
	case s.memoryErr != nil:
		return fmt.Errorf("%w; %s", s.memoryErr, cure)
	case m.Store != "" && m.Store != v.id:
		return fmt.Errorf("this is not the store that this host knows, or it was rebuilt: %s", cure)
	case v.mark < m.Mark.Add(-markSlack):
		m.Restored = true
	}
	switch {
	case m.Restored:
		return fmt.Errorf("the store's newest change went back, it was emptied or restored from a backup: %s", cure)
	case v.mark < m.Mark:
		return errors.New("the store lags behind what this host has seen: nothing is removed until it has caught up")
	}
	m.Store, m.Mark = v.id, v.mark
	return nil
}

// remember keeps the memory, and the list if it was applied whole: under --watch not more often than every minute.
func (s *syncer) remember(v view, applied bool) error {
	var err error
	if s.memoryErr == nil { // otherwise the file stays as it is, for --accept-store or a person
		err = s.cfg.state.WriteJSON(memoryFile, s.memory)
	}
	if applied {
		s.unwritten = v.list
		if !s.o.watch || time.Since(s.listWritten) >= wholeEvery {
			err = errors.Join(err, writeLast(s.cfg, v.list))
			s.listWritten, s.unwritten = time.Now(), nil
		}
	}
	if err != nil {
		return fmt.Errorf("not remembered for the next run: %w", err)
	}
	return nil
}

// The list last applied, one prefix a line. Its time is that of the last run in which it was right.
const lastFile = "last-list.txt"

func writeLast(cfg *config, list *aggregate.Set) error {
	same, err := isLast(cfg, list)
	if err != nil {
		return err
	}
	if !same {
		if err := cfg.state.Replace(lastFile, func(f *os.File) error { return list.WriteText(f, "", "\n") }); err != nil {
			return err
		}
	}
	now := time.Now()
	return os.Chtimes(cfg.state.Path(lastFile), now, now)
}

// isLast says whether the file has this list already. It holds neither in memory.
func isLast(cfg *config, list *aggregate.Set) (bool, error) {
	f, err := cfg.state.Open(lastFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	c := comparer{with: bufio.NewReader(f)}
	if err := list.WriteText(&c, "", "\n"); err != nil && !errors.Is(err, errDiffers) {
		return false, err
	} else if err != nil {
		return false, nil
	}
	_, err = c.with.ReadByte()
	return err == io.EOF, nil
}

// comparer fails with errDiffers when what is written to it is not what the reader has.
type comparer struct {
	with *bufio.Reader
	buf  []byte
}

var errDiffers = errors.New("differs")

func (c *comparer) Write(b []byte) (int, error) {
	c.buf = slices.Grow(c.buf[:0], len(b))[:len(b)]
	if _, err := io.ReadFull(c.with, c.buf); err != nil || !bytes.Equal(b, c.buf) {
		return 0, errDiffers
	}
	return len(b), nil
}

// readLast returns the list last applied, and when it was right.
func readLast(cfg *config) (list *aggregate.Set, at time.Time, err error) {
	f, err := cfg.state.Open(lastFile)
	if err != nil {
		return nil, at, fmt.Errorf("read the last list: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, at, fmt.Errorf("read the last list: %w", err)
	}
	list = new(aggregate.Set)
	var bad error
	err = list.Read(f, func(line int, text string, err error) {
		if bad == nil {
			bad = fmt.Errorf("%s:%d: %w", cfg.state.Path(lastFile), line, err)
		}
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, at, fmt.Errorf("read the last list: %w", err)
	}
	return list, info.ModTime(), nil
}
