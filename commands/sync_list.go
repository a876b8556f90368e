package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
)

// view is what the store and this host's guard say.
type view struct {
	st    *store.Store
	id    string
	mark  store.Time
	pause fleetPause

	list     *aggregate.Set // what is to be enforced
	never    *aggregate.Set // what is carved out of it
	guardErr error          // why the guard may lack something
}

// addBan takes one ban, as Store.Bans and Live.Bans give them.
type addBan = func(p netip.Prefix, forced bool)

// look makes the list of the bans, minus what must never be banned, minus the guard.
func (s *syncer) look(never *neverban.List, guard []routes.Entry, bans func(add addBan) error) (v view, err error) {
	banned := neverban.Bans{Into: installed(guard, s.cfg.IPv6Prefix)}
	if err := bans(banned.Add); err != nil {
		return v, err
	}
	kept := kept(guard)
	v.list, v.never = banned.Carve(never, kept, s.p.out.say), never.Set()
	for _, entry := range kept {
		v.never.Add(entry.Prefix)
	}
	return v, nil
}

// The brakes. Each says that something is wrong with what the store says or with what we know; what may be done then:
//
//	the guard lacks something            remove what is lifted, add nothing
//	the store is not the one we know     add, remove nothing
//	too many routes, too much covered    keep the last list, remove what is lifted
//
// brake returns what to install, and why that is not all of the list.
func (s *syncer) brake(v view, hold error, state routes.State) (want []netip.Prefix, err error) {
	tooMuch := s.tooMuch(v.list)
	if v.guardErr == nil && hold == nil && tooMuch == nil {
		return v.list.Prefixes(), nil
	}
	if v.guardErr != nil {
		err = fmt.Errorf("nothing is added while it is not known what must stay reachable: %w", v.guardErr)
	}
	var last aggregate.Set
	for _, p := range state.Ours {
		last.Add(p)
	}
	if v.guardErr == nil {
		if kept, _, readErr := readLast(s.cfg); readErr == nil {
			last.AddSet(kept)
		} else if !errors.Is(readErr, fs.ErrNotExist) {
			err = errors.Join(err, readErr)
		}
		if tooMuch == nil {
			last.AddSet(v.list)
		}
	}
	if hold == nil {
		last.Keep(v.list)
	}
	last.Remove(v.never)
	return last.Prefixes(), errors.Join(err, hold, tooMuch)
}

// tooMuch says why a list is more than a list of attackers can be.
func (s *syncer) tooMuch(list *aggregate.Set) error {
	if s.o.force {
		return nil
	}
	if n := list.Len(); n > s.cfg.MaxRoutes {
		return fmt.Errorf("the list has %d routes, more than max_routes = %d: the last list is kept; raise max_routes, or add --force", n, s.cfg.MaxRoutes)
	}
	var covered uint64 // IPv4 only: next to all of IPv6 no list is large
	for p := range list.All() {
		if p.Addr().Is4() {
			covered += 1 << (32 - p.Bits())
		}
	}
	if percent := float64(covered) / (1 << 32) * 100; percent > s.cfg.MaxCoverage {
		return fmt.Errorf("the list covers %.3g %% of all IPv4 addresses, more than max_coverage = %v: the last list is kept; raise max_coverage, or add --force",
			percent, s.cfg.MaxCoverage)
	}
	return nil
}

// withoutStore is a run in which the store is away or does not answer as it should. It changes nothing, but where the
// routes are gone, as after a reboot, they come back from the list last applied.
func (s *syncer) withoutStore(ctx context.Context, cause error) error {
	if s.o.readsOnly() || s.o.adopt || ctx.Err() != nil {
		return cause
	}
	err := s.restoreLast(ctx, cause)
	s.result.Error = err.Error()
	return err
}

func (s *syncer) restoreLast(ctx context.Context, cause error) error {
	stay := fmt.Errorf("routes stay as they are: %w", cause)
	state, err := s.readKernel(ctx)
	if err != nil {
		return errors.Join(stay, err)
	}
	paused, err := s.paused(fleetPause{s.memory.FleetPause, s.memory.FleetPause.Std()})
	if paused != "" || err != nil || s.cfg.Mode != "enforce" {
		return errors.Join(stay, err)
	}
	if len(state.Ours) > 0 {
		if plan := routes.Diff(state.Ours, state); !plan.IsEmpty() {
			return errors.Join(fmt.Errorf("the rules were gone and are back; %w", stay), s.apply(ctx, state, plan, nil))
		}
		return stay
	}
	last, at, err := readLast(s.cfg)
	if errors.Is(err, fs.ErrNotExist) {
		return stay
	}
	guard, guardErr := s.guard(ctx)
	never, neverErr := s.p.neverBan(ctx, s.cfg, nil)
	if err := errors.Join(err, guardErr, neverErr); err != nil {
		return errors.Join(stay, err)
	}
	last.Remove(never.Set())
	for _, entry := range kept(guard) { // networks were carved out of the bans when the list was made
		last.RemovePrefix(entry.Prefix)
	}
	want := last.Prefixes()
	s.result.Wanted = len(want)
	err = s.apply(ctx, state, routes.Diff(want, state), nil)
	return errors.Join(fmt.Errorf("%s from the list of %s, which is %s old, since the store is away: %w", counted(len(want), "route is", "routes are"),
		at.UTC().Format("2006-01-02 15:04 UTC"), age(time.Since(at)), cause), err)
}

// age writes a time span in its largest unit.
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return counted(int(d/(24*time.Hour)), "day", "days")
	case d >= 2*time.Hour:
		return counted(int(d/time.Hour), "hour", "hours")
	}
	return counted(int(d/time.Minute), "minute", "minutes")
}
