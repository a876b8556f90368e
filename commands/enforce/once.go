package enforce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"time"

	"f2bc/commands/human"
	"f2bc/routes"
	"f2bc/store"
)

const (
	// answerTime is how long the store may take for an answer: the whole list over a slow line takes a while.
	answerTime = 2 * time.Minute

	// confirmTime is how long the store has to answer after additions.
	confirmTime = 5 * time.Second
)

// Once is a single run. Without the store nothing changes, but where the routes are gone the last list comes back.
func (e *Enforcer) Once(ctx context.Context) error {
	return e.once(ctx, e.withoutStore, func(d desired, err error) error {
		e.warnAboutOld(ctx, d.st)
		e.writeHost(ctx, d.st, e.result)
		return err
	})
}

func (e *Enforcer) once(ctx context.Context, away func(context.Context, error) error, finish func(desired, error) error) error {
	d, err := e.gather(ctx)
	defer d.close()
	if storeErr := (awayError{}); errors.As(err, &storeErr) {
		return away(ctx, storeErr.error)
	} else if err != nil {
		return err
	}
	err = e.follow(ctx, d, true)
	e.warnAboutUDP(ctx)
	return finish(d, err)
}

// awayError says that the kernel answered and the store did not.
type awayError struct{ error }

func (e awayError) Unwrap() error { return e.error }

// gather reads what is remembered, the kernel and the store; the kernel takes as long to tell its routes as the store its
// bans, so both are asked at once. With an error the store may be open all the same.
func (e *Enforcer) gather(ctx context.Context) (d desired, err error) {
	e.memory, e.memoryErr = readMemory(e.State)
	var state routes.State
	var kernelErr error
	var reading sync.WaitGroup
	reading.Go(func() { state, kernelErr = e.readKernel(ctx) })
	asking, cancel := context.WithTimeout(ctx, answerTime) // what is done without the store needs time too
	defer cancel()
	d, err = e.ask(asking)
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the list was not there within %v: %w", answerTime, err)
	}
	reading.Wait()
	if kernelErr != nil {
		return d, errors.Join(kernelErr, err)
	}
	e.known = &state
	if err != nil {
		err = awayError{err}
	}
	return d, err
}

// ask opens the store and reads the list. With an error the store may be open all the same.
func (e *Enforcer) ask(ctx context.Context) (d desired, err error) {
	st, err := e.Open(ctx)
	if err != nil {
		return d, err
	}
	mark, err := st.Mark(ctx)
	if err != nil {
		return desired{st: st}, err
	}
	guard, guardErr := e.Guard(ctx)
	never, err := e.neverBan(ctx, st)
	if err != nil {
		return desired{st: st}, err
	}
	d, err = e.desired(never, guard, func(add addBan) error { return st.Bans(ctx, store.Filter{}, add) })
	d.st, d.id, d.mark, d.pause, d.guardErr = st, st.ID(), mark, pausedFleet(st), guardErr
	return d, err
}

// A decision is what a run does, or would do.
type decision struct {
	state  routes.State // the kernel's
	want   []netip.Prefix
	plan   routes.Plan
	braked error  // why want is not all of the list
	paused string // until when; empty: not
}

// decide makes up its mind, and changes nothing.
func (e *Enforcer) decide(ctx context.Context, d desired) (c decision, err error) {
	if c.state, err = e.readKernel(ctx); err != nil {
		return c, err
	}
	hold := e.checkStore(d)
	if c.paused, err = e.paused(d.pause); err != nil {
		return c, err
	}
	c.want, c.braked = e.brake(d, hold, c.state)
	c.plan = routes.Diff(c.want, c.state)
	e.result = store.Host{Mode: e.mode(), Wanted: len(c.want), Installed: len(c.state.Ours)}
	return c, nil
}

// follow makes the kernel what d wants. With confirm the store is asked once more after additions, and they are taken back
// if it does not answer any more.
func (e *Enforcer) follow(ctx context.Context, d desired, confirm bool) error {
	c, err := e.decide(ctx, d)
	if err != nil {
		return err
	}
	switch {
	case c.paused != "":
		e.result.Mode = "paused"
		e.Say("paused %s: nothing is enforced", c.paused)
		err = e.apply(ctx, c.state, c.state.Pause(), nil)
	case e.Observe:
		e.Say("observing: nothing is enforced, %s would be installed", human.Count(len(c.want), "route", "routes"))
		e.warnAboutCut(ctx, c.want)
		err = e.apply(ctx, c.state, c.state.Flush(), nil)
	default:
		var question func(context.Context) error
		if confirm {
			question = e.confirm(d)
		}
		err = e.apply(ctx, c.state, c.plan, question)
	}
	applied := err == nil && c.braked == nil && c.paused == "" && !e.Observe
	err = errors.Join(err, c.braked, e.remember(d, applied))
	if err != nil {
		e.result.Error = err.Error()
	}
	return err
}

// confirm returns the question whether the additions may stay.
func (e *Enforcer) confirm(d desired) func(context.Context) error {
	return func(ctx context.Context) error {
		if paused, err := e.paused(FleetPause{}); paused != "" || err != nil {
			return errors.Join(errors.New("paused in the meantime"), err)
		}
		ctx, cancel := context.WithTimeout(ctx, confirmTime)
		defer cancel()
		if _, err := d.st.Now(ctx); err != nil {
			return fmt.Errorf("after them the store did not answer any more: %w", err)
		}
		return nil
	}
}

// readKernel returns what the kernel has, and names what is not ours.
func (e *Enforcer) readKernel(ctx context.Context) (routes.State, error) {
	if e.known != nil {
		return *e.known, nil
	}
	state, err := e.Kernel.Read(ctx)
	for _, route := range state.Foreign {
		e.Say("left alone in our table: %v", route)
	}
	for _, rule := range state.ForeignRules {
		e.Say("left alone among our rules: %v", rule)
	}
	return state, err
}

// apply changes the kernel from state by plan, and names the changes that it refused; all others are made.
func (e *Enforcer) apply(ctx context.Context, state routes.State, plan routes.Plan, confirm func(context.Context) error) error {
	e.known = nil
	result, err := routes.Commit(ctx, e.Kernel, plan, confirm)
	e.result.Installed = len(state.Ours) + result.Added - result.Deleted
	if err != nil || len(result.Failed) == 0 {
		if err == nil && e.watching {
			after := state.After(plan)
			e.known = &after
		}
		return err
	}
	first := result.Failed[0]
	if errors.Is(first, fs.ErrPermission) {
		return first
	}
	for _, failure := range result.Failed[1:min(len(result.Failed), human.MaxNamed)] {
		e.Say("%v", failure)
	}
	return fmt.Errorf("%s failed, %d were made: %w", human.Count(len(result.Failed), "change", "changes"),
		result.Added+result.Deleted, first)
}

// writeHost writes this host's row in the store. Without it routes are right all the same.
func (e *Enforcer) writeHost(ctx context.Context, st Store, host store.Host) {
	host.Name, host.Version = e.Source, e.Version
	address, err := st.WriteHost(ctx, host)
	if err != nil {
		e.Say("this host's row in the store is not up to date: %v", err)
		return
	}
	if _, err := netip.ParseAddr(address); err != nil && address != "" && address != "localhost" { // a socket has no address
		e.Say("not shielded: the database knows this host as %q, not by an address, so others may ban it; "+
			"set skip_name_resolve = ON there, or name its address with f2bc allow add", address)
	}
	if st.Blocked() {
		e.Say("this host is blocked (f2bc host remove): nothing that it reports counts")
	}
}
