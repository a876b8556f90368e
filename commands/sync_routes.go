package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
	"f2bc/store/state"
)

type syncOptions struct {
	dryRun, check, watch, guard, flush, adopt bool // what to do instead of a plain run
	acceptStore, force                        bool
	interval                                  time.Duration
}

func (p *process) syncRoutesCommand() *cli.Command {
	return &cli.Command{
		Name:  "sync-routes",
		Usage: "make the kernel's blackhole routes equal to the list",
		Description: `Run it as root, from cron every minute, or for good with --watch. Adds and removes blackhole routes in
f2bc's own table 6686, which one rule a family (pref 6686) asks before the main table; nobody else's
routes are touched. A banned address is cut off in both directions, on all ports, forwarded traffic too.
What this host needs is never cut off: see --guard.
f2bc pause, or ip rule del pref 6686 (and ip -6 rule del pref 6686), switches all of it off.`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be done, as ip commands"},
			&cli.BoolFlag{Name: "check", Usage: "only compare; exit code 4 if the kernel differs from the list"},
			&cli.BoolFlag{Name: "watch", Usage: "go on until SIGTERM, following every change"},
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "with --watch, ask the store every `TIME`"},
			&cli.BoolFlag{Name: "guard", Usage: "print what is never cut off on this host, and why"},
			&cli.BoolFlag{Name: "flush", Usage: "remove all routes and rules of f2bc, and pause this host until f2bc resume"},
			&cli.BoolFlag{Name: "accept-store", Usage: "follow a store that was rebuilt or restored"},
			&cli.BoolFlag{Name: "force", Usage: "this once, install more than max_routes and max_coverage"},
			&cli.BoolFlag{Name: "adopt-routes", Usage: "delete the blackholes that the old scripts left in the main table; see them with --dry-run first"},
			&cli.IntFlag{Name: "ipv6-prefix", Usage: "widen banned IPv6 hosts to their subnet of this `LENGTH`, such as 64 (default: ipv6_prefix of the configuration)"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			o := syncOptions{
				dryRun: c.Bool("dry-run"), check: c.Bool("check"), watch: c.Bool("watch"), guard: c.Bool("guard"), flush: c.Bool("flush"),
				adopt: c.Bool("adopt-routes"), acceptStore: c.Bool("accept-store"), force: c.Bool("force"), interval: c.Duration("interval"),
			}
			if err := o.valid(c); err != nil {
				return err
			}
			if err := noArguments(c); err != nil {
				return err
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			if bits := c.Int("ipv6-prefix"); c.IsSet("ipv6-prefix") {
				if bits < neverban.Widest6 || bits > 128 {
					return usagef("--ipv6-prefix %d: want %d to 128", bits, neverban.Widest6)
				}
				cfg.IPv6Prefix = bits
			}
			return p.syncRoutes(c.Context, cfg, o)
		},
	}
}

func (o syncOptions) valid(c *cli.Context) error {
	modes := 0
	for _, on := range []bool{o.dryRun && !o.adopt, o.check, o.watch, o.guard, o.flush, o.adopt} {
		if on {
			modes++
		}
	}
	switch {
	case modes > 1:
		return usagef("give one of --dry-run, --check, --watch, --guard, --flush and --adopt-routes (which goes with --dry-run)")
	case c.IsSet("interval") && !o.watch:
		return usagef("--interval goes with --watch")
	case o.interval < 50*time.Millisecond:
		return usagef("--interval %v: want 50ms or more", o.interval)
	}
	return nil
}

// readsOnly says that nothing may be changed, neither in the kernel nor in the state directory.
func (o syncOptions) readsOnly() bool { return o.dryRun || o.check }

// syncer makes the kernel follow the list, in a single run or for good.
type syncer struct {
	p      *process
	cfg    *config
	o      syncOptions
	kernel *routes.Netlink
	words  *state.Said

	memory    syncMemory
	memoryErr error         // why the memory is not known
	known     *routes.State // of the kernel as we left it; nil: read it
	result    store.Host    // of the last run, for the store

	listWritten time.Time
	unwritten   *aggregate.Set // applied, but not yet kept as the last list
}

func (p *process) syncRoutes(ctx context.Context, cfg *config, o syncOptions) error {
	kernel, err := routes.Open(cfg.routesSettings())
	if err != nil {
		return needRoot(err)
	}
	defer kernel.Close()
	s := &syncer{p: p, cfg: cfg, o: o, kernel: kernel}
	switch {
	case o.guard:
		return s.printGuard(ctx)
	case o.flush:
		return s.flush(ctx)
	}
	if o.readsOnly() {
		s.memory, s.memoryErr = readMemory(cfg)
		return needRoot(s.once(ctx))
	}
	name := "sync-routes"
	if o.adopt {
		name = "" // cron does not run that
	}
	s.words = p.said(cfg, name)
	lock := state.Lock{Name: "sync-routes.lock", Command: "sync-routes", Watch: o.watch, Wait: lockTime}
	unlock, err := p.lock(ctx, cfg, lock, s.words)
	if err != nil {
		return p.end(s.words, err)
	}
	defer unlock()
	s.memory, s.memoryErr = readMemory(cfg)
	p.out.once = s.words.Once
	if o.watch {
		return needRoot(s.watch(ctx))
	}
	return p.end(s.words, needRoot(s.once(ctx)))
}

// once is a single run. The kernel takes as long to tell its routes as the store its bans, so both are asked at once.
func (s *syncer) once(ctx context.Context) error {
	var state routes.State
	var kernelErr error
	var reading sync.WaitGroup
	reading.Go(func() { state, kernelErr = s.readKernel(ctx) })
	asking, cancel := context.WithTimeout(ctx, answerTime) // what is done without the store needs time too
	defer cancel()
	v, err := s.askOnce(asking)
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the list was not there within %v: %w", answerTime, err)
	}
	reading.Wait()
	if v.st != nil {
		defer v.st.Close()
	}
	if kernelErr != nil {
		return errors.Join(kernelErr, err)
	}
	s.known = &state
	if err != nil {
		return s.withoutStore(ctx, err)
	}
	err = s.follow(ctx, v, true)
	if !s.o.readsOnly() {
		s.sayOnce(ctx, v.st)
		s.writeHost(ctx, v.st, s.result)
	}
	if s.o.adopt && err == nil {
		err = s.adoptRoutes(ctx, v.st)
	}
	return err
}

// askOnce opens the store and reads the list. With an error the store may be open all the same.
func (s *syncer) askOnce(ctx context.Context) (v view, err error) {
	st, err := s.p.openStore(ctx, s.cfg)
	if err != nil {
		return v, err
	}
	mark, err := st.Mark(ctx)
	if err != nil {
		return view{st: st}, err
	}
	guard, guardErr := s.guard(ctx)
	never, err := s.p.neverBan(ctx, s.cfg, st)
	if err != nil {
		return view{st: st}, err
	}
	v, err = s.look(never, guard, func(add addBan) error { return st.Bans(ctx, store.Filter{}, add) })
	v.st, v.id, v.mark, v.pause, v.guardErr = st, st.ID(), mark, fleetPaused(st), guardErr
	return v, err
}

// follow makes the kernel what v wants, or says what would be done. With confirm the store is asked once more after
// additions, and they are taken back if it does not answer any more.
func (s *syncer) follow(ctx context.Context, v view, confirm bool) error {
	state, err := s.readKernel(ctx)
	if err != nil {
		return err
	}
	hold := s.meetStore(v)
	paused, err := s.paused(v.pause)
	if err != nil {
		return err
	}
	want, braked := s.brake(v, hold, state)
	plan := routes.Diff(want, state)
	s.result = store.Host{Mode: s.cfg.Mode, Wanted: len(want), Installed: len(state.Ours)}
	switch {
	case s.o.dryRun && !s.o.adopt:
		s.sayCut(ctx, want)
		return errors.Join(s.printPlan(plan), braked)
	case s.o.check:
		return errors.Join(s.printDrift(ctx, plan, want, state, paused), braked)
	case s.o.adopt && s.o.dryRun:
		return nil
	case paused != "":
		s.result.Mode = "paused"
		s.p.out.say("paused %s: nothing is enforced", paused)
		err = s.apply(ctx, state, state.Pause(), nil)
	case s.cfg.Mode == "observe":
		s.sayObserved(ctx, want)
		err = s.apply(ctx, state, state.Flush(), nil)
	default:
		var ask func(context.Context) error
		if confirm {
			ask = s.confirm(v)
		}
		err = s.apply(ctx, state, plan, ask)
	}
	applied := err == nil && braked == nil && paused == "" && s.cfg.Mode == "enforce"
	err = errors.Join(err, braked, s.remember(v, applied))
	if err != nil {
		s.result.Error = err.Error()
	}
	return err
}

// confirmTime is how long the store has to answer after additions.
const confirmTime = 5 * time.Second

// confirm returns the question whether the additions may stay.
func (s *syncer) confirm(v view) func(context.Context) error {
	return func(ctx context.Context) error {
		if paused, err := s.paused(fleetPause{}); paused != "" || err != nil {
			return errors.Join(errors.New("paused in the meantime"), err)
		}
		ctx, cancel := context.WithTimeout(ctx, confirmTime)
		defer cancel()
		if _, err := v.st.Now(ctx); err != nil {
			return fmt.Errorf("after them the store did not answer any more: %w", err)
		}
		return nil
	}
}

// readKernel returns what the kernel has, and names what is not ours.
func (s *syncer) readKernel(ctx context.Context) (routes.State, error) {
	if s.known != nil {
		return *s.known, nil
	}
	state, err := s.kernel.Read(ctx)
	for _, route := range state.Foreign {
		s.p.out.say("left alone in our table: %v", route)
	}
	for _, rule := range state.ForeignRules {
		s.p.out.say("left alone among our rules: %v", rule)
	}
	return state, err
}

// apply changes the kernel from state by plan, and names the changes that it refused; all others are made.
func (s *syncer) apply(ctx context.Context, state routes.State, plan routes.Plan, confirm func(context.Context) error) error {
	s.known = nil
	result, err := routes.Commit(ctx, s.kernel, plan, confirm)
	s.result.Installed = len(state.Ours) + result.Added - result.Deleted
	if err != nil || len(result.Failed) == 0 {
		if err == nil && s.o.watch {
			after := state.After(plan)
			s.known = &after
		}
		return err
	}
	first := result.Failed[0]
	if errors.Is(first, fs.ErrPermission) {
		return first
	}
	for _, failure := range result.Failed[1:min(len(result.Failed), maxNamed)] {
		s.p.out.say("%v", failure)
	}
	return fmt.Errorf("%s failed, %d were made: %w", counted(len(result.Failed), "change", "changes"), result.Added+result.Deleted, first)
}

func needRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; sync-routes needs root, or CAP_NET_ADMIN", err)
	}
	return err
}

// writeHost leaves this host's word in the store. Without it routes are right all the same.
func (s *syncer) writeHost(ctx context.Context, st *store.Store, host store.Host) {
	host.Name, host.Version = s.cfg.Source, versionText()
	address, err := st.WriteHost(ctx, host)
	if err != nil {
		s.p.out.say("this host's row in the store is not up to date: %v", err)
		return
	}
	if _, err := netip.ParseAddr(address); err != nil && address != "" && address != "localhost" { // over a socket nobody has one
		s.p.out.say("not shielded: the database knows this host as %q, not by an address, so others may ban it; "+
			"set skip_name_resolve = ON there, or name its address with f2bc allow add", address)
	}
	if st.Blocked() {
		s.p.out.say("this host is blocked (f2bc host remove): nothing that it reports counts")
	}
}
