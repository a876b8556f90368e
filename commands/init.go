package commands

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/commands/human"
	"f2bc/store"
)

type initOptions struct {
	adopt   string // a table of the old scripts, empty for none
	bantime time.Duration
}

func (p *process) initCommand() *cli.Command {
	var o initOptions
	return &cli.Command{
		Name:  "init",
		Usage: "create or upgrade the tables",
		Description: `Safe to repeat, and safe on several hosts at once. Hosts with another version of f2bc go on working.

--adopt TABLE turns the rows of a table of the old scripts (columns 1, 2, 3, 4, stamp, source,
reason), in the same database, into reports. The table stays as it is, and may be adopted again
while the old scripts still write to it.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "adopt", Destination: &o.adopt, Usage: "turn the rows of `TABLE`, such as fail2ban, into reports"},
			&cli.StringFlag{Name: "bantime", Value: "-1", Usage: "with --adopt: `TIME` from a row's stamp in seconds, or 24h, 30d; -1 is permanent"},
		}, globalFlags()...),
		Action: p.configured(func(c *cli.Context) (err error) {
			if o.bantime, err = parseBantime(c.String("bantime")); err != nil {
				return err
			}
			switch {
			case c.IsSet("adopt") && o.adopt == "":
				return usagef("--adopt \"\": names no table")
			case c.IsSet("bantime") && !c.IsSet("adopt"):
				return usagef("--bantime belongs to --adopt; see %s --help", commandName(c))
			}
			return noArguments(c)
		}, func(ctx context.Context, cfg *config) error { return p.init(ctx, cfg, o) }),
	}
}

func (p *process) init(ctx context.Context, cfg *config, o initOptions) error {
	options, err := p.storeOptions(cfg)
	if err != nil {
		return err
	}
	st, err := store.Init(ctx, options)
	if err != nil {
		return err
	}
	defer st.Close()
	p.sayNewer(st)
	if resolves, err := st.ResolvesNames(ctx); err != nil {
		return err
	} else if resolves {
		p.out.say("%s", namesShieldNothing)
	}
	if _, err := fmt.Fprintf(p.out.stdout, "store %s is ready\n", st.ID()); err != nil {
		return err
	}
	if o.adopt == "" {
		return nil
	}
	return p.adopt(ctx, cfg, st, o)
}

func (p *process) adopt(ctx context.Context, cfg *config, st *store.Store, o initOptions) error {
	never, err := p.neverBan(ctx, cfg, st)
	if err != nil {
		return err
	}
	refused := 0
	a, err := st.Adopt(ctx, store.AdoptOptions{
		Table:   o.adopt,
		Bantime: o.bantime,
		Name:    func(text string) string { return cleanName(text, "adopted") },
		Refuse:  func(prefix netip.Prefix) error { return never.Refuse(prefix, false) },
		Bad: func(row string, err error) {
			if errors.Is(err, errRefused) {
				refused++
			}
			p.out.say("row %s of %s is left out: %v", row, o.adopt, err)
		},
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(p.out.stdout, "%s of %s adopted, %d known before\n", human.Count(a.New, "row", "rows"), o.adopt, a.Known); err != nil {
		return err
	}
	switch {
	case a.Bad > refused:
		return invalidf("%s left out, %d of them refused", human.Count(a.Bad, "row", "rows"), refused)
	case refused > 0:
		return refusedf("%s left out, refused", human.Count(refused, "row", "rows"))
	}
	return nil
}
