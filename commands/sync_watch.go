package commands

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
)

const (
	// wholeEvery is how often everything is looked at anew: the guard, host names, all routes of the kernel.
	wholeEvery = time.Minute

	// longestWait is between two tries to reach a store that is away.
	longestWait = 30 * time.Second
)

// answerTime is how long the store may take for an answer: the whole list over a slow line takes a while.
var answerTime = 2 * time.Minute // a variable for tests

// reply is what the store said, or why it said nothing.
type reply struct {
	view
	away error
}

// watch follows the list until ctx ends. Two work at it, so that a store that hangs delays no repair:
//
//	asker ── asks the store every interval ──> replies ──> follower ──> kernel
//	  ^                                                       ^  │
//	  └──────────── this host's word, for the store ──────────│──┘
//	             someone else changed our routes, a pause ────┘
func (s *syncer) watch(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	a := &asker{s: s, replies: make(chan reply)}
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { a.run(ctx) })
	f := follower{s: s, asker: a}
	return f.run(ctx)
}

// follower keeps the kernel equal to the last answer.
type follower struct {
	s      *syncer
	asker  *asker
	last   reply
	paused string
}

func (f *follower) run(ctx context.Context) error {
	changes, err := f.s.kernel.Watch(ctx)
	if err != nil {
		return err
	}
	tick, whole := time.NewTicker(f.s.o.interval), time.NewTicker(wholeEvery)
	defer tick.Stop()
	defer whole.Stop()
	for {
		confirm := false
		select {
		case <-ctx.Done():
			return f.s.leave()
		case got := <-f.asker.replies:
			if confirm = got.away == nil; got.list != nil {
				f.last = got
			}
			f.last.away = got.away
		case _, open := <-changes:
			f.s.known = nil
			if !open {
				changes = nil // until the next look at everything
			}
		case <-whole.C:
			f.s.known = nil
			if changes == nil {
				changes, err = f.s.kernel.Watch(ctx)
			}
		case <-tick.C:
			paused, pauseErr := f.s.paused(f.last.pause)
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
		return f.s.withoutStore(ctx, f.last.away)
	}
	err := f.s.follow(ctx, f.last.view, confirm)
	if f.last.away != nil {
		err = errors.Join(fmt.Errorf("the store is away, what it said last is enforced: %w", f.last.away), err)
	}
	return err
}

// outcome says what is new about the outcome of a step, and leaves it for the store.
func (f *follower) outcome(err error) {
	if err = f.s.p.end(f.s.words, needRoot(err)); err != nil && !errors.Is(err, errSaid) {
		f.s.p.out.fail(err)
	}
	word := f.s.result
	f.asker.word.Store(&word)
}

// leave keeps what is to be remembered. The routes stay.
func (s *syncer) leave() error {
	if s.unwritten == nil {
		return nil
	}
	return writeLast(s.cfg, s.unwritten)
}

// asker asks the store.
type asker struct {
	s       *syncer
	replies chan reply
	word    atomic.Pointer[store.Host] // what the follower last did
	written struct {
		host store.Host
		at   time.Time
	}
	failures int // since the last success
}

func (a *asker) run(ctx context.Context) {
	for ctx.Err() == nil {
		// An error is replied before the store is closed: the follower may just be asking it to confirm.
		if st, err := a.s.p.openStore(ctx, a.s.cfg); err != nil {
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
func (a *asker) fail(ctx context.Context, away error, expire func() (v view, ended bool)) {
	a.failures++
	a.send(ctx, reply{away: away})
	wait := min(a.s.o.interval<<min(a.failures-1, 16), longestWait)
	for end := time.Now().Add(wait/2 + rand.N(wait)); ctx.Err() == nil && time.Now().Before(end); {
		a.sleep(ctx, min(a.s.o.interval, time.Until(end)))
		if v, ended := expire(); ended {
			a.send(ctx, reply{v, away})
		}
	}
}

// nothingEnds is for a time when no list is known.
func nothingEnds() (v view, ended bool) { return v, false }

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
func (a *asker) ask(ctx context.Context, st *store.Store) error {
	live := st.Live()
	list := func(add addBan) error { live.Bans(add); return nil }
	var guard []routes.Entry
	var guardErr error
	var never *neverban.List
	var last view
	look := func() (err error) {
		last, err = a.s.look(never, guard, list)
		last.st, last.guardErr, last.id, last.mark, last.pause = st, guardErr, st.ID(), live.Mark(), fleetPaused(st)
		return err
	}
	expire := func() (v view, ended bool) {
		if last.list == nil || !live.Expire() {
			return v, false
		}
		err := look()
		return last, err == nil
	}
	var whole time.Time
	for ctx.Err() == nil {
		changed, err := refresh(ctx, live)
		if errors.Is(err, store.ErrReplaced) || errors.Is(err, store.ErrUpgraded) {
			return err
		}
		if due := time.Since(whole) >= wholeEvery; err == nil && (due || changed || live.Mark() != last.mark || st.Paused() != last.pause.until || a.failures > 0) {
			if due {
				a.s.p.deliver(ctx, a.s.cfg, st)
				guard, guardErr = a.s.guard(ctx)
				whole = time.Now()
			}
			var now *neverban.List
			if now, err = a.s.p.neverBan(ctx, a.s.cfg, st); err == nil {
				never = now
				err = look()
			}
			if err == nil {
				a.failures = 0
				a.send(ctx, reply{view: last})
			}
		}
		if err != nil {
			a.fail(ctx, err, expire)
			continue
		}
		a.writeWord(ctx, st)
		a.sleep(ctx, a.s.o.interval)
	}
	return ctx.Err()
}

func refresh(ctx context.Context, live *store.Live) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return live.Refresh(store.WithPatience(ctx, answerTime))
}

// writeWord writes this host's row: every minute, and when there is something new to say. At every change of the list
// it would be as many writes as there are hosts.
func (a *asker) writeWord(ctx context.Context, st *store.Store) {
	word := a.word.Load()
	if word == nil {
		return
	}
	if old := a.written.host; time.Since(a.written.at) < wholeEvery && old.Mode == word.Mode && old.Error == word.Error {
		return
	}
	a.written.host, a.written.at = *word, time.Now()
	a.s.writeHost(ctx, st, *word)
}
