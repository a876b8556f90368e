package enforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"f2bc/commands/human"
	"f2bc/store"
	"f2bc/store/state"
)

// hostPause is the content of the pause file.
type hostPause struct {
	Until time.Time `json:"until"` // zero: until resume
}

const pauseFile = "pause.json"

func writePause(dir state.Dir, span time.Duration) error {
	var pause hostPause
	if span > 0 {
		pause.Until = time.Now().Add(span).UTC().Truncate(time.Second)
	}
	if err := dir.WriteJSON(pauseFile, pause); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	return nil
}

// Pause stops enforcing on this host at once, for a span or, where that is zero, until Resume. It returns until when, for
// people.
func (e *Enforcer) Pause(ctx context.Context, span time.Duration) (until string, err error) {
	// First the file: a sync that runs right now sees it, and takes back what it has added.
	if err := writePause(e.State, span); err != nil {
		return "", err
	}
	state, err := e.Kernel.Read(ctx)
	if err == nil {
		err = e.apply(ctx, state, state.Pause(), nil)
	}
	if err != nil {
		return "", fmt.Errorf("paused, but the rules are still there: %w", err)
	}
	return e.paused(FleetPause{})
}

// Flush removes all that is ours from the kernel, and pauses this host: the next run would bring it back. It returns how
// many routes there were.
func (e *Enforcer) Flush(ctx context.Context) (routes int, err error) {
	if err := writePause(e.State, 0); err != nil {
		return 0, err
	}
	state, err := e.readKernel(ctx)
	if err == nil {
		err = e.apply(ctx, state, state.Flush(), nil)
	}
	return len(state.Ours), err
}

// Resume ends the pause of a host, if there is one. The next run enforces again.
func Resume(dir state.Dir) error {
	if err := dir.Remove(pauseFile); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return nil
}

// paused says until when this host is paused, by itself or with the fleet; empty if it is not. A pause file that cannot
// be read is an error: somebody wanted a pause.
func (e *Enforcer) paused(fleet FleetPause) (string, error) {
	if fleet.on() {
		return fleet.String(), nil
	}
	text, err := e.State.Read(pauseFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var pause hostPause
	if err == nil {
		err = json.Unmarshal(text, &pause)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s, so routes stay as they are: %w; f2bc resume removes it", e.State.Path(pauseFile), err)
	case pause.Until.IsZero():
		return "until f2bc resume", nil
	case time.Now().Before(pause.Until):
		return "until " + human.Time(pause.Until), nil
	}
	return "", nil
}

// FleetPause is a pause of all hosts. It is on the store's clock, and this host's may be wrong: so it is known when it
// ends here, and no time of one clock is compared with the other.
type FleetPause struct {
	Until store.Time // on the store's clock, for people; zero: no pause
	ends  time.Time  // on this host's clock; zero where Until is Permanent
}

// pausedFleet returns the pause that st told of last.
func pausedFleet(st Store) FleetPause {
	f := FleetPause{Until: st.Paused()}
	if f.Until != 0 && f.Until != store.Permanent {
		f.ends = st.Local(f.Until)
	}
	return f
}

func (f FleetPause) on() bool {
	return f.Until == store.Permanent || f.Until != 0 && time.Now().Before(f.ends)
}

// local is what a later run may know of f: until when it is on this host's clock.
func (f FleetPause) local() store.Time {
	if f.Until == 0 || f.Until == store.Permanent {
		return f.Until
	}
	return store.TimeOf(f.ends.Round(time.Second)) // no two measurements of the clocks find the same
}

// String says until when, for people.
func (f FleetPause) String() string {
	if f.Until == store.Permanent {
		return "with the fleet, until f2bc resume --fleet"
	}
	return "with the fleet, until " + human.Time(f.Until.Std())
}
