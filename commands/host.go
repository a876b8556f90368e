package commands

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"f2bc/commands/human"
	"f2bc/store"
)

func (p *process) hostCommand() *cli.Command {
	var layout string
	return &cli.Command{
		Name:   "host",
		Usage:  "the hosts of the fleet: see them, remove one, take it back",
		Action: p.noCommand,
		Subcommands: []*cli.Command{
			{
				Name:      "remove",
				Usage:     "block hosts: nothing that they report counts any more",
				ArgsUsage: "NAME…",
				Description: `For a server that was broken into or is gone. Whatever it has reported or will report counts nowhere from the next
sync on, its address is no longer kept from being banned, and its database account is dropped where your account
may do that; otherwise the statement is printed. f2bc host add takes it back.`,
				Flags:  globalFlags(),
				Action: p.eachHost(p.hostRemove),
			},
			{
				Name:        "add",
				Usage:       "take removed hosts back",
				ArgsUsage:   "NAME…",
				Description: "What they have reported counts again. For their accounts see f2bc setup mysql --source NAME.",
				Flags:       globalFlags(),
				Action:      p.eachHost(p.hostAdd),
			},
			{
				Name:  "list",
				Usage: "show the hosts, and which are blocked",
				Flags: append([]cli.Flag{formatFlag()}, globalFlags()...),
				Action: p.stored(parseListing(&layout), func(ctx context.Context, _ *config, st *store.Store) error {
					return p.hostList(ctx, st, layout)
				}),
			},
		},
	}
}

// eachHost is the action of a command that does something with hosts that are named.
func (p *process) eachHost(do func(context.Context, *store.Store, string) error) cli.ActionFunc {
	var names []string
	return p.stored(func(c *cli.Context) error {
		if names = c.Args().Slice(); len(names) == 0 {
			return usagef("no host named; see %s --help", commandName(c))
		}
		return nil
	}, func(ctx context.Context, _ *config, st *store.Store) error {
		for _, name := range names {
			if name != cleanName(name, "") {
				return usagef("%q is no host's name", name)
			}
			if err := do(ctx, st, name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *process) hostAdd(ctx context.Context, st *store.Store, name string) error {
	if err := st.Release(ctx, name); err != nil {
		return err
	}
	p.out.say("%s counts again; for its account see f2bc setup mysql --source %[1]s", name)
	return nil
}

func (p *process) hostRemove(ctx context.Context, st *store.Store, name string) error {
	banned := map[netip.Prefix]bool{}
	err := st.Bans(ctx, store.Filter{Source: name}, func(prefix netip.Prefix, _ bool) { banned[prefix] = true })
	if err != nil {
		return err
	}
	hosts, err := st.Hosts(ctx)
	if err != nil {
		return err
	}
	if len(banned) == 0 && !slices.ContainsFunc(hosts, func(h store.Host) bool { return h.Name == name }) {
		p.out.say("no host %s was ever seen, nor anything that it bans: is that its name?", name)
	}
	dropped, err := st.Block(ctx, name)
	if err != nil {
		return err
	}
	row := ""
	if !dropped {
		row = "; its row stays, your account may not delete it"
	}
	p.out.say("%s is blocked: %s of it no longer %s%s", name, human.Count(len(banned), "ban", "bans"),
		map[bool]string{true: "counts", false: "count"}[len(banned) == 1], row)
	account, err := st.DropAccount(ctx, name)
	switch {
	case err != nil && account == "":
		p.out.say("its account stays: %v", err)
	case err != nil:
		p.out.say("your account may not drop its account; as root of the database: %s", account)
	case account != "":
		p.out.say("its account is gone: %s", account)
	}
	return nil
}

func (p *process) hostList(ctx context.Context, st *store.Store, layout string) error {
	hosts, now, err := hostsNow(ctx, st)
	if err != nil {
		return err
	}
	rows := func(yield func(row) bool) {
		for _, h := range hosts {
			var state []string
			if h.Blocked {
				state = append(state, "blocked")
			}
			until := h.Shields(now)
			if until == 0 {
				state = append(state, "not shielded")
			}
			if !yield(row{h.Name, h.Version, h.Address, h.Seen, h.At, h.Mode, h.Wanted, h.Installed, strings.Join(state, ", "), until}) {
				return
			}
		}
	}
	columns := []string{"name", "version", "address", "seen", "synced", "mode", "wanted", "installed", "state", "shielded_until"}
	return render(p.out.stdout, layout, columns, rows)
}

// hostsNow returns all hosts, and the store's clock to compare their times with.
func hostsNow(ctx context.Context, st *store.Store) ([]store.Host, store.Time, error) {
	hosts, err := st.Hosts(ctx)
	if err != nil {
		return nil, 0, err
	}
	now, err := st.Now(ctx)
	return hosts, now, err
}

// sayLapsing names the hosts whose addresses may soon be banned, since they were not seen for long.
func (p *process) sayLapsing(ctx context.Context, st *store.Store) error {
	hosts, now, err := hostsNow(ctx, st)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if text := lapsing(h, now); text != "" {
			p.out.say("host %s %s", h.Name, text)
		}
	}
	return nil
}

// lapseNotice is how long before an address may be banned that is said.
const lapseNotice = 7 * 24 * 60 * 60 * 1_000_000 // µs

func lapsing(h store.Host, now store.Time) string {
	until := h.Shields(now)
	if until == 0 || until > now+lapseNotice {
		return ""
	}
	return fmt.Sprintf("was last seen %s: from %s on its address %s may be banned; f2bc host remove %s if it is gone",
		human.Time(h.Seen.Std()), human.Time(until.Std()), h.Address, h.Name)
}
