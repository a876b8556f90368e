package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/commands/enforce"
	"f2bc/commands/human"
	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
	"f2bc/store/state"
)

type syncOptions struct {
	mode               syncMode
	acceptStore, force bool
	interval           time.Duration
	ipv6Prefix         int // 0: that of the configuration
}

// syncMode is what to do instead of a plain run, as the flag that asks for it is called.
type syncMode string

const (
	syncDryRun, syncCheck, syncWatch   syncMode = "dry-run", "check", "watch"
	syncGuard, syncFlush               syncMode = "guard", "flush"
	syncDeleteOld, syncDeleteOldDryRun syncMode = "adopt-routes", "adopt-routes --dry-run"
)

func (p *process) syncRoutesCommand() *cli.Command {
	var o syncOptions
	return &cli.Command{
		Name:  "sync-routes",
		Usage: "make the kernel's blackhole routes equal to the list",
		Description: `Run it as root, from cron every minute, or for good with --watch. Adds and removes blackhole routes in
f2bc's own table 6686, which one rule a family (pref 6686) asks before the main table; nobody else's
routes are touched. A banned address is cut off in both directions, on all ports, forwarded traffic too.
What this host needs is never cut off: see --guard.
f2bc pause, or ip rule del pref 6686 (and ip -6 rule del pref 6686), switches all of it off.`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: string(syncDryRun), Usage: "print what would be done, as ip commands"},
			&cli.BoolFlag{Name: string(syncCheck), Usage: "only compare; exit code 4 if the kernel differs from the list"},
			&cli.BoolFlag{Name: string(syncWatch), Usage: "go on until SIGTERM, following every change"},
			&cli.DurationFlag{Name: "interval", Destination: &o.interval, Value: time.Second, Usage: "with --watch, ask the store every `TIME`"},
			&cli.BoolFlag{Name: string(syncGuard), Usage: "print what is never cut off on this host, and why"},
			&cli.BoolFlag{Name: string(syncFlush), Usage: "remove all routes and rules of f2bc, and pause this host until f2bc resume"},
			&cli.BoolFlag{Name: "accept-store", Destination: &o.acceptStore, Usage: "follow a store that was rebuilt or restored"},
			&cli.BoolFlag{Name: "force", Destination: &o.force, Usage: "this once, install more than max_routes and max_coverage"},
			&cli.BoolFlag{Name: string(syncDeleteOld), Usage: "delete the blackholes that the old scripts left in the main table; see them with --dry-run first"},
			&cli.IntFlag{Name: "ipv6-prefix", Destination: &o.ipv6Prefix, Usage: "widen banned IPv6 hosts to their subnet of this `LENGTH`, such as 64 (default: ipv6_prefix of the configuration)"},
		}, globalFlags()...),
		Action: p.configured(func(c *cli.Context) error {
			if err := o.parse(c); err != nil {
				return err
			}
			return noArguments(c)
		}, func(ctx context.Context, cfg *config) error {
			cfg.IPv6Prefix = cmp.Or(o.ipv6Prefix, cfg.IPv6Prefix)
			return p.syncRoutes(ctx, cfg, o)
		}),
	}
}

func (o *syncOptions) parse(c *cli.Context) error {
	o.mode = ""
	for _, mode := range []syncMode{syncDeleteOld, syncDryRun, syncCheck, syncWatch, syncGuard, syncFlush} {
		switch {
		case !c.Bool(string(mode)):
		case o.mode == "":
			o.mode = mode
		case o.mode == syncDeleteOld && mode == syncDryRun:
			o.mode = syncDeleteOldDryRun
		default:
			return usagef("give one of --dry-run, --check, --watch, --guard, --flush and --adopt-routes (which goes with --dry-run)")
		}
	}
	switch {
	case c.IsSet("interval") && o.mode != syncWatch:
		return usagef("--interval goes with --watch")
	case o.interval < 50*time.Millisecond:
		return usagef("--interval %v: want 50ms or more", o.interval)
	case c.IsSet("ipv6-prefix") && (o.ipv6Prefix < neverban.Widest6 || o.ipv6Prefix > 128):
		return usagef("--ipv6-prefix %d: want %d to 128", o.ipv6Prefix, neverban.Widest6)
	}
	return nil
}

// enforcer returns what does the work, and a function to be called at the end.
func (p *process) enforcer(cfg *config, o syncOptions) (e *enforce.Enforcer, done func(), err error) {
	kernel, err := routes.Open(cfg.routesSettings())
	if err != nil {
		return nil, nil, needRoot(err)
	}
	return &enforce.Enforcer{
		Settings: enforce.Settings{
			Source: cfg.Source, Version: versionText(), Observe: cfg.Mode == "observe", IPv6Prefix: cfg.IPv6Prefix,
			MaxRoutes: cfg.MaxRoutes, MaxCoverage: cfg.MaxCoverage, Force: o.force, AcceptStore: o.acceptStore, Interval: o.interval,
		},
		Kernel: kernel, State: cfg.state, Say: p.out.say,
		Open: func(ctx context.Context) (enforce.Store, error) {
			st, err := p.openStore(ctx, cfg)
			if err != nil {
				return nil, err
			}
			return enforcedStore{st, func(ctx context.Context) { p.deliver(ctx, st) }}, nil
		},
		Guard: func(ctx context.Context) ([]routes.Entry, error) { return p.guard(ctx, cfg) },
		Never: func(ctx context.Context, central []store.Protected) (*neverban.List, error) {
			return p.neverBanOf(ctx, cfg, central)
		},
	}, func() { kernel.Close() }, nil
}

// enforcedStore is the store as package enforce sees it.
type enforcedStore struct {
	*store.Store
	deliver func(context.Context)
}

func (s enforcedStore) Live() enforce.Live          { return s.Store.Live() }
func (s enforcedStore) Deliver(ctx context.Context) { s.deliver(ctx) }

func (p *process) syncRoutes(ctx context.Context, cfg *config, o syncOptions) error {
	e, done, err := p.enforcer(cfg, o)
	if err != nil {
		return err
	}
	defer done()
	switch o.mode {
	case syncGuard:
		return p.printGuard(ctx, cfg)
	case syncFlush:
		return p.syncFlush(ctx, e)
	case syncDryRun:
		return needRoot(p.printPlan(ctx, cfg, e))
	case syncCheck:
		return needRoot(p.printDrift(ctx, e))
	case syncDeleteOldDryRun:
		return needRoot(p.printOld(ctx, e))
	}
	name := "sync-routes"
	if o.mode == syncDeleteOld {
		name = "" // cron does not run that
	}
	words := p.said(cfg, name)
	lock := state.Lock{Name: "sync-routes.lock", Command: "sync-routes", Watch: o.mode == syncWatch, Wait: lockTime}
	unlock, err := p.lock(ctx, cfg, lock, words)
	if err != nil {
		return p.end(words, err)
	}
	defer unlock()
	p.out.once = words.Once
	switch o.mode {
	case syncWatch:
		return needRoot(e.Watch(ctx, func(err error) {
			if err := p.end(words, needRoot(err)); err != nil && !errors.Is(err, errSaid) {
				p.out.fail(err)
			}
		}))
	case syncDeleteOld:
		err = e.DeleteOld(ctx)
	default:
		err = e.Once(ctx)
	}
	return p.end(words, needRoot(err))
}

func (p *process) syncFlush(ctx context.Context, e *enforce.Enforcer) error {
	n, err := e.Flush(ctx)
	if err != nil {
		return needRoot(err)
	}
	p.out.say("%s removed; nothing is enforced on this host until f2bc resume", human.Count(n, "route", "routes"))
	return nil
}

func needRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; sync-routes needs root, or CAP_NET_ADMIN", err)
	}
	return err
}
