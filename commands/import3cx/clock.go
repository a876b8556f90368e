package import3cx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"f2bc/store"
)

const (
	clockTolerance = 2 * time.Second // as far as two clocks may be apart and still count as the same
	maxSteps       = 32
)

// importState is what a run leaves for the next one: from when to read, and how the times of the 3CX box become times
// of the store. An event that is read again must get the same time to the microsecond, or an unban in between could be
// undone. So what was read with one difference of the clocks keeps it for good, also after somebody has set the clock.
//
// Without the file a run begins anew: it reads the window, and the difference is measured again. That is rounded to
// seconds, so it is nearly always the same one; and it is zero where both clocks are right.
type importState struct {
	Mark  time.Time     `json:"mark"`            // the box's clock before the last reading that succeeded, or zero
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

// compareClocks asks for the clock of the 3CX box between two looks at the store's.
func (im *Import) compareClocks(ctx context.Context) (clock time.Time, err error) {
	before, err := im.st.Now(ctx)
	if err != nil {
		return clock, err
	}
	if clock, err = im.db.Clock(ctx); err != nil {
		return clock, err
	}
	if im.now, err = im.st.Now(ctx); err != nil {
		return clock, err
	}
	doubt := time.Duration(im.now-before) * time.Microsecond / 2
	if im.kept.measure(clock.Sub(before.Std().Add(doubt)), doubt) {
		im.Say("the clock of the 3CX box is %v ahead of the store's: times are corrected by that", im.kept.Ahead)
		return clock, im.save() // before the first report that is dated so
	}
	return clock, nil
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

func (im *Import) file() string { return im.Name + ".json" }

// load reads the state. A file that makes no sense is as good as none, but said.
func (im *Import) load() error {
	text, err := im.State.Read(im.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the mark: %w", err)
	}
	if err := json.Unmarshal(text, &im.kept); err != nil {
		im.Say("the mark in %s is not used, so only the time of --since is read: %v", im.State.Path(im.file()), err)
		im.kept = importState{}
	}
	return nil
}

// save keeps the state, except that of a dry run.
func (im *Import) save() error {
	if im.DryRun != nil {
		return nil
	}
	if err := im.State.WriteJSON(im.file(), im.kept); err != nil {
		return fmt.Errorf("keep the mark: %w", err)
	}
	return nil
}
