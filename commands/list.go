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
	o := new(listOptions)
	return &cli.Command{
		Name:      "list",
		Usage:     "show the bans, or everything that bears on a prefix",
		ArgsUsage: "[PREFIX…]",
		Description: `Without PREFIX: the bans, one row a prefix. With PREFIX: every report and lift on it, on what
covers it and on what lies inside it, active or not, and what shields it from being banned.
Times are UTC. In JSON "expires": null is a permanent ban.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "source", Destination: &o.source, Usage: "only what `SERVER` reports"},
			&cli.StringFlag{Name: "reason", Destination: &o.reason, Usage: "only what is reported for the reason `NAME`"},
			&cli.StringFlag{Name: "since", Destination: &o.since, Usage: "only reports since `TIME`: 15m, 24h, 7d ago, or 2026-01-01T00:00:00Z"},
			&cli.BoolFlag{Name: "history", Destination: &o.history, Usage: "the log of reports and lifts instead, newest first"},
			formatFlag(),
		}, globalFlags()...),
		Action: p.stored(o.parse, func(ctx context.Context, cfg *config, st *store.Store) error { return p.list(ctx, cfg, st, o) }),
	}
}

func (o *listOptions) parse(c *cli.Context) (err error) {
	o.source, o.reason, o.prefixes = cleanName(o.source, ""), cleanName(o.reason, ""), c.Args().Slice()
	if o.layout, err = parseLayout(c); err == nil && c.IsSet("since") {
		_, err = parseSince(o.since, 0)
	}
	return err
}

func (p *process) list(ctx context.Context, cfg *config, st *store.Store, o *listOptions) error {
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
