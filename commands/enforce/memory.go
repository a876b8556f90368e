package enforce

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
	"f2bc/store/state"
)

// memory is what is remembered of the store, to tell it from a rebuilt or restored one.
type memory struct {
	Store      string     `json:"store"`
	Mark       store.Time `json:"mark"`                  // the highest seen
	Restored   bool       `json:"restored,omitempty"`    // it went back since; only --accept-store forgets that
	FleetPause store.Time `json:"fleet_pause,omitempty"` // on this host's clock, for a time when the store is away
}

const memoryFile = "sync-routes.json"

// readMemory returns the memory, empty before the first run.
func readMemory(dir state.Dir) (m memory, err error) {
	if err := dir.ReadJSON(memoryFile, &m); err != nil {
		return memory{}, fmt.Errorf("what sync-routes remembers of the store is lost: %w", err)
	}
	return m, nil
}

// checkStore compares the store with the one that is remembered, and says why nothing may be removed on its word.
func (e *Enforcer) checkStore(d desired) error {
	m := &e.memory
	if e.AcceptStore {
		*m, e.memoryErr = memory{}, nil
	}
	m.FleetPause = d.pause.local()
	const cure = "nothing is removed; if that is right, run f2bc sync-routes --accept-store"
	switch {
	case e.memoryErr != nil:
		return fmt.Errorf("%w; %s", e.memoryErr, cure)
	case m.Store != "" && m.Store != d.id:
		return fmt.Errorf("this is not the store that this host knows, or it was rebuilt: %s", cure)
	case d.mark < m.Mark.Add(-store.MarkSlack): // within it another node of a cluster or a replica may lag for a moment
		m.Restored = true
	}
	switch {
	case m.Restored:
		return fmt.Errorf("the store's newest change went back, it was emptied or restored from a backup: %s", cure)
	case d.mark < m.Mark:
		return errors.New("the store lags behind what this host has seen: nothing is removed until it has caught up")
	}
	m.Store, m.Mark = d.id, d.mark
	return nil
}

// remember keeps the memory, and the list if it was applied whole: when watching not more often than every minute.
func (e *Enforcer) remember(d desired, applied bool) error {
	var err error
	if e.memoryErr == nil { // otherwise the file stays as it is, for --accept-store or a person
		err = e.State.WriteJSON(memoryFile, e.memory)
	}
	if applied {
		e.unwritten = d.list
		if !e.watching || time.Since(e.listWritten) >= WholeEvery {
			err = errors.Join(err, writeLast(e.State, d.list))
			e.listWritten, e.unwritten = time.Now(), nil
		}
	}
	if err != nil {
		return fmt.Errorf("not remembered for the next run: %w", err)
	}
	return nil
}

// The list last applied, one prefix a line. Its time is that of the last run in which it was right.
const lastFile = "last-list.txt"

func writeLast(dir state.Dir, list *aggregate.Set) error {
	same, err := isLast(dir, list)
	if err != nil {
		return err
	}
	if !same {
		if err := dir.Replace(lastFile, func(f *os.File) error { return list.WriteText(f, "", "\n") }); err != nil {
			return err
		}
	}
	return dir.Touch(lastFile)
}

// isLast says whether the file has this list already. It holds neither in memory.
func isLast(dir state.Dir, list *aggregate.Set) (bool, error) {
	f, err := dir.Open(lastFile)
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
func readLast(dir state.Dir) (list *aggregate.Set, at time.Time, err error) {
	f, err := dir.Open(lastFile)
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
			bad = fmt.Errorf("%s:%d: %w", dir.Path(lastFile), line, err)
		}
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, at, fmt.Errorf("read the last list: %w", err)
	}
	return list, info.ModTime(), nil
}
