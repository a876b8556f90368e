package enforce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/human"
	"f2bc/routes"
)

// The brakes. Each says that something is wrong with what the store says or with what we know; what may be done then:
//
//	the guard lacks something            remove what is lifted, add nothing
//	the store is not the one we know     add, remove nothing
//	too many routes, too much covered    keep the last list, remove what is lifted
//
// brake returns what to install, and why that is not all of the list.
func (e *Enforcer) brake(d desired, hold error, state routes.State) (want []netip.Prefix, err error) {
	tooMuch := e.tooMuch(d.list)
	if d.guardErr == nil && hold == nil && tooMuch == nil {
		return d.list.Prefixes(), nil
	}
	if d.guardErr != nil {
		err = fmt.Errorf("nothing is added while it is not known what must stay reachable: %w", d.guardErr)
	}
	var last aggregate.Set
	for _, p := range state.Ours {
		last.Add(p)
	}
	if d.guardErr == nil {
		if kept, _, readErr := readLast(e.State); readErr == nil {
			last.AddSet(kept)
		} else if !errors.Is(readErr, fs.ErrNotExist) {
			err = errors.Join(err, readErr)
		}
		if tooMuch == nil {
			last.AddSet(d.list)
		}
	}
	if hold == nil {
		last.Keep(d.list)
	}
	last.Remove(d.never)
	return last.Prefixes(), errors.Join(err, hold, tooMuch)
}

// tooMuch says why a list is more than a list of attackers can be.
func (e *Enforcer) tooMuch(list *aggregate.Set) error {
	if e.Force {
		return nil
	}
	if n := list.Len(); n > e.MaxRoutes {
		return fmt.Errorf("the list has %d routes, more than max_routes = %d: the last list is kept; raise max_routes, or add --force",
			n, e.MaxRoutes)
	}
	var covered uint64 // IPv4 only: next to all of IPv6 no list is large
	for p := range list.All() {
		if p.Addr().Is4() {
			covered += 1 << (32 - p.Bits())
		}
	}
	if percent := float64(covered) / (1 << 32) * 100; percent > e.MaxCoverage {
		return fmt.Errorf("the list covers %.3g %% of all IPv4 addresses, more than max_coverage = %v: the last list is kept; "+
			"raise max_coverage, or add --force", percent, e.MaxCoverage)
	}
	return nil
}

// withoutStore is a run in which the store is away or does not answer as it should. It changes nothing, but where the
// routes are gone, as after a reboot, they come back from the list last applied.
func (e *Enforcer) withoutStore(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return cause
	}
	err := e.restoreLast(ctx, cause)
	e.result.Error = err.Error()
	return err
}

func (e *Enforcer) restoreLast(ctx context.Context, cause error) error {
	stay := fmt.Errorf("routes stay as they are: %w", cause)
	state, err := e.readKernel(ctx)
	if err != nil {
		return errors.Join(stay, err)
	}
	paused, err := e.paused(FleetPause{e.memory.FleetPause, e.memory.FleetPause.Std()})
	if paused != "" || err != nil || e.Observe {
		return errors.Join(stay, err)
	}
	if len(state.Ours) > 0 {
		if plan := routes.Diff(state.Ours, state); !plan.IsEmpty() {
			return errors.Join(fmt.Errorf("the rules were gone and are back; %w", stay), e.apply(ctx, state, plan, nil))
		}
		return stay
	}
	last, at, err := readLast(e.State)
	if errors.Is(err, fs.ErrNotExist) {
		return stay
	}
	guard, guardErr := e.Guard(ctx)
	never, neverErr := e.Never(ctx, nil)
	if err := errors.Join(err, guardErr, neverErr); err != nil {
		return errors.Join(stay, err)
	}
	last.Remove(never.Set())
	for _, entry := range kept(guard) { // networks were carved out of the bans when the list was made
		last.RemovePrefix(entry.Prefix)
	}
	want := last.Prefixes()
	e.result.Wanted = len(want)
	err = e.apply(ctx, state, routes.Diff(want, state), nil)
	return errors.Join(fmt.Errorf("%s from the list of %s, which is %s old, since the store is away: %w",
		human.Count(len(want), "route is", "routes are"), at.UTC().Format("2006-01-02 15:04 UTC"),
		human.Span(time.Since(at)), cause), err)
}
