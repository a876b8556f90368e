package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"f2bc/store"
	"f2bc/store/state"
)

const (
	clockTolerance = 2 * time.Second // as far as two clocks may be apart and still count as the same
	maxSteps       = 32
)

// importState is what a run leaves for the next one: from when to read, and how the times of the 3CX box become times of
// the store. An event that is read again must get the same time to the microsecond, or an unban in between could be undone. So what was read
// with one difference of the clocks keeps it for good, also after somebody has set the clock.
//
// Without the file a run begins anew: it reads the window, and the difference is measured again. That is rounded to
// seconds, so it is nearly always the same one; and it is zero where both clocks are right.
type importState struct {
	Mark  time.Time     `json:"mark"`            // the box's clock before the last reading that succeeded, zero if none did
	Ahead time.Duration `json:"ahead"`           // how far the box's clock is ahead of the store's, in ns
	Read  time.Time     `json:"read"`            // the latest time that was reported, on the box's clock
	Steps []clockStep   `json:"steps,omitempty"` // oldest first
}

// clockStep is a difference of the clocks that is over. On a clock that was set back the same time comes twice: then
// it counts as the first, so that a report is rather too old than newer than an unban.
type clockStep struct {
	Until time.Time     `json:"until"`
	Ahead time.Duration `json:"ahead"`
}

// measure takes the difference as it is now, exact to ± doubt, and reports whether it is another one than before.
func (s *importState) measure(ahead, doubt time.Duration) (changed bool) {
	if (ahead - s.Ahead).Abs() <= clockTolerance+doubt {
		return false
	}
	if ahead = ahead.Round(time.Second); ahead.Abs() < clockTolerance {
		ahead = 0
	}
	if last := later(s.Mark, s.Read); !last.IsZero() {
		s.Steps = append(s.Steps, clockStep{last, s.Ahead})
		s.Steps = s.Steps[max(0, len(s.Steps)-maxSteps):]
	}
	if !s.Mark.IsZero() && ahead < s.Ahead { // set back: what happened since the mark has earlier times
		s.Mark = s.Mark.Add(ahead - s.Ahead)
	}
	s.Ahead = ahead
	return true
}

// date turns a time of the box's clock into one of the store's.
func (s *importState) date(t time.Time) store.Time {
	for _, step := range s.Steps {
		if !t.After(step.Until) {
			return store.TimeOf(t.Add(-step.Ahead))
		}
	}
	return store.TimeOf(t.Add(-s.Ahead))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// loadImport reads the state. A file that makes no sense is as good as none, but said.
func loadImport(dir state.Dir, file string, say func(format string, args ...any)) (*importState, error) {
	text, err := dir.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &importState{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the mark: %w", err)
	}
	s := &importState{}
	if err := json.Unmarshal(text, s); err != nil {
		say("the mark in %s is not used, so only the time of --since is read: %v", dir.Path(file), err)
		return &importState{}, nil
	}
	return s, nil
}

func (s *importState) save(dir state.Dir, file string) error {
	if err := dir.WriteJSON(file, s); err != nil {
		return fmt.Errorf("keep the mark: %w", err)
	}
	return nil
}
