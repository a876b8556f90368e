package commands

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/commands/enforce"
	"f2bc/store"
)

type pauseOptions struct {
	span  time.Duration // zero: until resume
	fleet bool
}

func (p *process) pauseCommand() *cli.Command {
	var o pauseOptions
	return &cli.Command{
		Name:  "pause",
		Usage: "stop enforcing bans, at once, on this host or on all",
		Description: `Takes f2bc's rules out of the kernel, so that no ban is enforced, and keeps sync-routes from putting them
back. Bans go on being reported and listed. f2bc resume ends it.`,
		Flags: append([]cli.Flag{
			&cli.DurationFlag{Name: "for", Destination: &o.span, Usage: "resume by itself after `TIME`, such as 2h"},
			&cli.BoolFlag{Name: "fleet", Destination: &o.fleet, Usage: "on all hosts, each at its next sync"},
		}, globalFlags()...),
		Action: p.configured(func(c *cli.Context) error {
			if c.IsSet("for") && o.span <= 0 {
				return usagef("--for %v: want a time above 0, such as 2h", o.span)
			}
			return noArguments(c)
		}, func(ctx context.Context, cfg *config) error {
			if o.fleet {
				return p.pauseFleet(ctx, cfg, o)
			}
			return p.pause(ctx, cfg, o)
		}),
	}
}

func (p *process) resumeCommand() *cli.Command {
	var fleet bool
	return &cli.Command{
		Name:  "resume",
		Usage: "end a pause",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "fleet", Destination: &fleet, Usage: "the pause of all hosts; those that are paused by themselves stay so"},
		}, globalFlags()...),
		Action: p.configured(noArguments, func(ctx context.Context, cfg *config) error { return p.resume(ctx, cfg, fleet) }),
	}
}

func (p *process) pause(ctx context.Context, cfg *config, o pauseOptions) error {
	e, done, err := p.enforcer(cfg, syncOptions{})
	if err != nil {
		return err
	}
	defer done()
	until, err := e.Pause(ctx, o.span)
	if err != nil {
		return needRoot(err)
	}
	p.out.say("paused %s: nothing is enforced on this host", until)
	return nil
}

func (p *process) pauseFleet(ctx context.Context, cfg *config, o pauseOptions) error {
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	until := store.Permanent
	if o.span > 0 {
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		until = now.Add(o.span)
	}
	if err := st.SetPause(ctx, until); err != nil {
		return err
	}
	p.out.say("paused %s: every host stops enforcing at its next sync", enforce.FleetPause{Until: until})
	return nil
}

func (p *process) resume(ctx context.Context, cfg *config, fleet bool) error {
	if !fleet {
		if err := enforce.Resume(cfg.state); err != nil {
			return err
		}
		p.out.say("resumed: the next sync-routes enforces the list again")
		return nil
	}
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.SetPause(ctx, 0); err != nil {
		return err
	}
	p.out.say("resumed: every host that is not paused by itself enforces the list at its next sync")
	return nil
}
