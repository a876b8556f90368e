package enforce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// WholeEvery is how often everything is looked at anew: the guard, host names, all routes of the kernel.
	WholeEvery = time.Minute

	// longestBackoff is between two tries to reach a store that is away.
	longestBackoff = 30 * time.Second
)

// reply is what the store said, or why it said nothing.
type reply struct {
	desired
	away error
}

// Watch follows the list until ctx ends, and reports the outcome of every step. Two work at it, so that a store that hangs delays no repair:
//
//	asker ── asks the store every interval ──> replies ──> follower ──> kernel
//	  ^                                                       ^  │
//	  └──────────── this host's row, for the store ───────────│──┘
//	             someone else changed our routes, a pause ────┘
func (e *Enforcer) Watch(ctx context.Context, report func(error)) error {
	e.memory, e.memoryErr = readMemory(e.State)
	e.watching = true
	asking, stop := context.WithCancel(context.WithoutCancel(ctx)) // the last step may still ask the store to confirm
	a := &asker{e: e, replies: make(chan reply)}
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { a.run(asking) })
	f := follower{e: e, asker: a, report: report}
	return f.run(ctx)
}

// follower keeps the kernel equal to the last answer.
type follower struct {
	e      *Enforcer
	asker  *asker
	report func(error)
	last   reply
	paused string
}

func (f *follower) run(ctx context.Context) error {
	changes, err := f.e.Kernel.Watch(ctx)
	if err != nil {
		return err
	}
	tick, whole := time.NewTicker(f.e.Interval), time.NewTicker(WholeEvery)
	defer tick.Stop()
	defer whole.Stop()
	for {
		confirm := false
		select {
		case <-ctx.Done():
			return f.e.leave()
		case got := <-f.asker.replies:
			if confirm = got.away == nil; got.list != nil {
				f.last = got
			}
			f.last.away = got.away
		case _, open := <-changes:
			f.e.known = nil
			if !open {
				changes = nil // until the next look at everything
			}
		case <-whole.C:
			f.e.known = nil
			if changes == nil {
				changes, err = f.e.Kernel.Watch(ctx)
			}
		case <-tick.C:
			paused, pauseErr := f.e.paused(f.last.pause)
			if paused == f.paused && pauseErr == nil {
				continue
			}
			confirm, f.paused = f.last.away == nil, paused
		}
		if ctx.Err() == nil && (f.last.list != nil || f.last.away != nil) {
			// A signal ends it between two steps: an addition half made would have to be taken back.
			f.outcome(errors.Join(f.step(context.WithoutCancel(ctx), confirm), err))
			err = nil
		}
	}
}

func (f *follower) step(ctx context.Context, confirm bool) error {
	if f.last.list == nil {
		return f.e.withoutStore(ctx, f.last.away)
	}
	err := f.e.follow(ctx, f.last.desired, confirm)
	if f.last.away != nil {
		err = errors.Join(fmt.Errorf("the store is away, what it said last is enforced: %w", f.last.away), err)
	}
	return err
}

// outcome reports the outcome of a step, and leaves it for the store.
func (f *follower) outcome(err error) {
	f.report(err)
	row := f.e.result
	f.asker.row.Store(&row)
}

// leave keeps what is to be remembered. The routes stay.
func (e *Enforcer) leave() error {
	if e.unwritten == nil {
		return nil
	}
	return writeLast(e.State, e.unwritten)
}
