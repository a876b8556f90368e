package enforce

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
)

// asker asks the store.
type asker struct {
	e       *Enforcer
	replies chan reply
	row     atomic.Pointer[store.Host] // what the follower last did
	written struct {
		host store.Host
		at   time.Time
	}
	failures int // since the last success
}

func (a *asker) run(ctx context.Context) {
	for ctx.Err() == nil {
		// An error is replied before the store is closed: the follower may just be asking it to confirm.
		if st, err := a.e.Open(ctx); err != nil {
			a.fail(ctx, err, nothingEnds)
		} else {
			err := a.ask(ctx, st)
			if ctx.Err() == nil && !errors.Is(err, store.ErrUpgraded) {
				a.fail(ctx, err, nothingEnds)
			}
			st.Close()
		}
	}
}

// fail replies that the store is away, and waits: longer each time, and not as long as the other hosts. Bans end in the
// meantime too: expire says what is left when one has.
func (a *asker) fail(ctx context.Context, away error, expire func() (d desired, ended bool)) {
	a.failures++
	a.send(ctx, reply{away: away})
	wait := min(a.e.Interval<<min(a.failures-1, 16), longestBackoff/3*2) // spread by a half it is still not longer
	for end := time.Now().Add(wait/2 + rand.N(wait)); ctx.Err() == nil && time.Now().Before(end); {
		a.sleep(ctx, min(a.e.Interval, time.Until(end)))
		if d, ended := expire(); ended {
			a.send(ctx, reply{d, away})
		}
	}
}

// nothingEnds is for a time when no list is known.
func nothingEnds() (d desired, ended bool) { return d, false }

func (a *asker) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (a *asker) send(ctx context.Context, got reply) {
	select {
	case <-ctx.Done():
	case a.replies <- got:
	}
}

// ask asks st for what changed until ctx ends, or another store is in its place.
func (a *asker) ask(ctx context.Context, st Store) error {
	live := st.Live()
	list := func(add addBan) error { live.Bans(add); return nil }
	var guard []routes.Entry
	var guardErr error
	var never *neverban.List
	var last desired
	compute := func() (err error) {
		last, err = a.e.desired(never, guard, list)
		last.st, last.guardErr, last.id, last.mark, last.pause = st, guardErr, st.ID(), live.Mark(), pausedFleet(st)
		return err
	}
	expire := func() (d desired, ended bool) {
		if last.list == nil || !live.Expire() {
			return d, false
		}
		err := compute()
		return last, err == nil
	}
	var whole time.Time
	for ctx.Err() == nil {
		changed, err := refresh(ctx, live)
		if errors.Is(err, store.ErrReplaced) || errors.Is(err, store.ErrUpgraded) {
			return err
		}
		if due := time.Since(whole) >= WholeEvery; err == nil && (due || changed || live.Mark() != last.mark || st.Paused() != last.pause.Until || a.failures > 0) {
			if due {
				st.Deliver(ctx)
				guard, guardErr = a.e.Guard(ctx)
				whole = time.Now()
			}
			var now *neverban.List
			if now, err = a.e.neverBan(ctx, st); err == nil {
				never = now
				err = compute()
			}
			if err == nil {
				if a.failures > 0 {
					a.row.Store(nil) // what was true without the store is no news for it
				}
				a.failures = 0
				a.send(ctx, reply{desired: last})
			}
		}
		if err != nil {
			a.fail(ctx, err, expire)
			continue
		}
		a.writeRow(ctx, st)
		a.sleep(ctx, a.e.Interval)
	}
	return ctx.Err()
}

func refresh(ctx context.Context, live Live) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return live.Refresh(store.WithPatience(ctx, answerTime))
}

// writeRow writes this host's row: every minute, and when there is something new to say. At every change of the list
// it would be as many writes as there are hosts.
func (a *asker) writeRow(ctx context.Context, st Store) {
	row := a.row.Load()
	if row == nil {
		return
	}
	if old := a.written.host; time.Since(a.written.at) < WholeEvery && old.Mode == row.Mode && old.Error == row.Error {
		return
	}
	a.written.host, a.written.at = *row, time.Now()
	a.e.writeHost(ctx, st, *row)
}
