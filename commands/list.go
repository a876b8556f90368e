package commands

import (
	"context"
	"iter"

	"github.com/urfave/cli/v2"

	"f2bc/store"
)

type listOptions struct {
	source, reason string // empty means any
	since          string
	history        bool
	layout         string
	prefixes       []string
}

func (p *process) listCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "show the bans, or everything that bears on a prefix",
		ArgsUsage: "[PREFIX…]",
		Description: `Without PREFIX: the bans, one row a prefix. With PREFIX: every report and lift on it, on what
covers it and on what lies inside it, active or not, and what shields it from being banned.
Times are UTC. In JSON "expires": null is a permanent ban.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "source", Usage: "only what `SERVER` reports"},
			&cli.StringFlag{Name: "reason", Usage: "only what is reported for the reason `NAME`"},
			&cli.StringFlag{Name: "since", Usage: "only reports since `TIME`: 15m, 24h, 7d ago, or 2026-01-01T00:00:00Z"},
			&cli.BoolFlag{Name: "history", Usage: "the log of reports and lifts instead, newest first"},
			formatFlag(),
		}, globalFlags()...),
		Action: func(c *cli.Context) (err error) {
			o := listOptions{
				source:   cleanName(c.String("source"), ""),
				reason:   cleanName(c.String("reason"), ""),
				since:    c.String("since"),
				history:  c.Bool("history"),
				prefixes: c.Args().Slice(),
			}
			if o.layout, err = parseLayout(c); err != nil {
				return err
			}
			if c.IsSet("since") {
				if _, err := parseSince(o.since, 0); err != nil {
					return err
				}
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			return p.list(c.Context, cfg, o)
		},
	}
}

func (p *process) list(ctx context.Context, cfg *config, o listOptions) error {
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	p.sayNewer(st)
	now, err := st.Now(ctx)
	if err != nil {
		return err
	}
	filter := store.Filter{Source: o.source, Reason: o.reason}
	if o.since != "" {
		if filter.Since, err = parseSince(o.since, now); err != nil {
			return err
		}
	}
	switch {
	case o.history:
		return p.listHistory(ctx, st, o, filter)
	case len(o.prefixes) > 0:
		return p.listPrefixes(ctx, cfg, st, o, filter, now)
	}
	bans, err := st.List(ctx, filter)
	if err != nil {
		return err
	}
	return render(p.out.stdout, o.layout, []string{"prefix", "expires", "first", "last", "sources", "reasons", "forced"}, banRows(bans))
}

func banRows(bans []store.Ban) iter.Seq[row] {
	return func(yield func(row) bool) {
		for _, b := range bans {
			if !yield(row{b.Prefix, b.Expires, b.First, b.Last, b.Sources, b.Reasons, b.Forced}) {
				return
			}
		}
	}
}
