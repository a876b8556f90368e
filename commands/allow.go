package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"f2bc/commands/neverban"
	"f2bc/store"
)

func (p *process) allowCommand() *cli.Command {
	var layout string
	return &cli.Command{
		Name:   "allow",
		Usage:  "the central never-ban list",
		Action: p.noCommand,
		Subcommands: []*cli.Command{
			{
				Name:      "add",
				Usage:     "never ban ENTRY, on any host",
				ArgsUsage: "ENTRY…",
				Description: `ENTRY is an address, a CIDR or a host name; - reads them from standard input, one a line.
It takes effect at every host's next sync, also inside wider bans.`,
				Flags:  globalFlags(),
				Action: func(c *cli.Context) error { return p.changeAllows(c, p.addAllows) },
			},
			{
				Name:      "remove",
				Usage:     "take ENTRY off the list again",
				ArgsUsage: "ENTRY…",
				Flags:     globalFlags(),
				Action:    func(c *cli.Context) error { return p.changeAllows(c, p.removeAllows) },
			},
			{
				Name:  "list",
				Usage: "show the central list and this host's own",
				Flags: append([]cli.Flag{formatFlag()}, globalFlags()...),
				Action: p.configured(parseListing(&layout), func(ctx context.Context, cfg *config) error {
					return p.listAllows(ctx, cfg, layout)
				}),
			},
		},
	}
}

// changeAllows reads the entries and has them changed; each that is invalid is named.
func (p *process) changeAllows(c *cli.Context, change func(context.Context, *store.Store, []string) error) error {
	if !c.Args().Present() {
		return usagef("no entry given, such as %s 192.0.2.7; see %s --help", commandName(c), commandName(c))
	}
	cfg, err := p.configure(c)
	if err != nil {
		return err
	}
	entries, invalid, err := p.readEntries(c.Context, c.Args().Slice())
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		st, err := p.openStore(c.Context, cfg)
		if err != nil {
			return err
		}
		defer st.Close()
		if err := change(c.Context, st, entries); err != nil {
			return err
		}
	}
	return done("changed", len(entries), invalid, 0)
}

func (p *process) readEntries(ctx context.Context, args []string) (entries []string, invalid int, err error) {
	read := func(line int, text string) error {
		entry, err := neverban.ParseEntry(text)
		if err != nil {
			invalid++
			p.out.fail(fmt.Errorf("%s%w", input{line: line}.place(), err))
			return nil
		}
		entries = append(entries, entry.String())
		return nil
	}
	for _, arg := range args {
		if arg == "-" {
			err = errors.Join(err, eachLine(ctx, p.stdin, read))
		} else {
			err = errors.Join(err, read(0, arg))
		}
	}
	return entries, invalid, err
}

func (p *process) addAllows(ctx context.Context, st *store.Store, entries []string) error {
	there, err := st.AddAllow(ctx, entries)
	for _, entry := range there {
		p.out.say("%s was on the list already", entry)
	}
	return err
}

func (p *process) removeAllows(ctx context.Context, st *store.Store, entries []string) error {
	missing, err := st.RemoveAllow(ctx, entries)
	for _, entry := range missing {
		p.out.say("%s was not on the central list; see f2bc allow list", entry)
	}
	return err
}

func (p *process) listAllows(ctx context.Context, cfg *config, layout string) error {
	local, err := p.neverSource(cfg).Own()
	if err != nil {
		return err
	}
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	central, err := st.Allows(ctx)
	if err != nil {
		return err
	}
	return render(p.out.stdout, layout, []string{"entry", "since", "who", "where"}, func(yield func(row) bool) {
		for _, a := range central {
			if !yield(row{a.Entry, a.At, a.Who, "central"}) {
				return
			}
		}
		for _, e := range local {
			if !yield(row{e.String(), store.Time(0), "", e.Why}) {
				return
			}
		}
	})
}
