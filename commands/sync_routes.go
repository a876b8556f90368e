package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/routes"
	"f2bc/store"
)

type syncOptions struct {
	dryRun, check bool
	settings      routes.Settings
}

func (p *process) syncRoutesCommand() *cli.Command {
	return &cli.Command{
		Name:  "sync-routes",
		Usage: "make the kernel's blackhole routes equal to the list",
		Description: `Run it as root, from cron every minute. Adds and removes blackhole routes in f2bc's own table 6686,
which one rule a family (pref 6686) asks before the main table; nobody else's routes are touched.
A banned address is cut off in both directions, on all ports, forwarded traffic too.
This host's addresses and next hops are never cut off, nor its networks by a wider ban.
ip rule del pref 6686 (and ip -6 rule del pref 6686) switches all of it off until the next run.`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be done, as ip commands"},
			&cli.BoolFlag{Name: "check", Usage: "only compare; exit code 4 if the kernel differs from the list"},
		}, globalFlags()...),
		Action: func(c *cli.Context) error {
			o := syncOptions{dryRun: c.Bool("dry-run"), check: c.Bool("check")}
			if o.dryRun && o.check {
				return usagef("give one of --dry-run and --check")
			}
			if err := noArguments(c); err != nil {
				return err
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			return p.syncRoutes(c.Context, cfg, o)
		},
	}
}

func (p *process) syncRoutes(ctx context.Context, cfg *config, o syncOptions) error {
	kernel, err := routes.Open(o.settings)
	if err != nil {
		return needRoot(err)
	}
	defer kernel.Close()
	if !o.dryRun && !o.check {
		unlock, err := lockSync(ctx, cfg)
		if err != nil {
			return err
		}
		defer unlock()
	}
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return fmt.Errorf("routes stay as they are: %w", err)
	}
	defer st.Close()
	want, state, err := p.compare(ctx, cfg, st, kernel)
	if err != nil {
		return fmt.Errorf("routes stay as they are: %w", err)
	}
	plan := routes.Diff(want, state)
	switch {
	case o.dryRun:
		return p.printPlan(plan, o.settings)
	case o.check:
		return p.printDrift(plan, state)
	}
	result, err := routes.Commit(ctx, kernel, plan, func(ctx context.Context) error {
		_, err := st.Now(ctx)
		return err
	})
	if err == nil {
		err = p.nameFailed(result)
	}
	p.writeHost(ctx, cfg, st, store.Host{Wanted: len(want), Installed: len(state.Ours) + result.Added - result.Deleted}, err)
	return needRoot(err)
}

// compare returns what should be in the kernel and what is.
func (p *process) compare(ctx context.Context, cfg *config, st *store.Store, kernel *routes.Netlink) (want []netip.Prefix, state routes.State, err error) {
	guard, err := routes.Guard{}.Entries(ctx)
	if err != nil {
		return nil, state, needRoot(err)
	}
	list, err := p.desired(ctx, cfg, st, store.Filter{}, guard)
	if err != nil {
		return nil, state, err
	}
	state, err = kernel.Read(ctx)
	for _, route := range state.Foreign {
		p.out.say("left alone in our table: %v", route)
	}
	for _, rule := range state.ForeignRules {
		p.out.say("left alone among our rules: %v", rule)
	}
	return list.Prefixes(), state, needRoot(err)
}

func (p *process) printPlan(plan routes.Plan, settings routes.Settings) error {
	out := bufio.NewWriter(p.out.stdout)
	for command := range plan.Commands(settings) {
		fmt.Fprintln(out, command)
	}
	return out.Flush()
}

func (p *process) printDrift(plan routes.Plan, state routes.State) error {
	_, err := fmt.Fprintf(p.out.stdout, "%d in place, %d missing, %d extra, %d rules missing, %d rules extra\n",
		len(state.Ours)-len(plan.Del), len(plan.Add), len(plan.Del), len(plan.AddRules), len(plan.DelRules))
	if err != nil || plan.IsEmpty() {
		return err
	}
	return kindError{errDrift, errors.New("the kernel differs from the list; run f2bc sync-routes")}
}

// nameFailed names the changes that the kernel refused; all others are made.
func (p *process) nameFailed(result routes.Result) error {
	if len(result.Failed) == 0 {
		return nil
	}
	first := result.Failed[0]
	if errors.Is(first, fs.ErrPermission) {
		return first
	}
	for _, failure := range result.Failed[1:min(len(result.Failed), maxNamed)] {
		p.out.say("%v", failure)
	}
	return fmt.Errorf("%d changes failed, %d were made: %w", len(result.Failed), result.Added+result.Deleted, first)
}

func needRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; sync-routes needs root, or CAP_NET_ADMIN", err)
	}
	return err
}

// writeHost leaves this host's word in the store. Without it routes are right all the same.
func (p *process) writeHost(ctx context.Context, cfg *config, st *store.Store, host store.Host, failed error) {
	host.Name, host.Version, host.Mode = cfg.Source, versionText(), "enforce"
	if failed != nil {
		host.Error = failed.Error()
	}
	if err := st.WriteHost(ctx, host); err != nil {
		p.out.say("this host's row in the store is not up to date: %v", err)
	}
}

// lockTime is how long a run waits for another to end.
const lockTime = 30 * time.Second

// lockSync lets one run at a time change routes.
func lockSync(ctx context.Context, cfg *config) (unlock func(), err error) {
	if err := makeStateDir(cfg); err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.StateDir, "sync-routes.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		free, err := lockFile(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if free {
			return func() { f.Close() }, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, fmt.Errorf("another sync-routes has been running for %v and holds %s", lockTime, path)
			}
			return nil, ctx.Err()
		}
	}
}
