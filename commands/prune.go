package commands

import (
	"context"

	"github.com/urfave/cli/v2"

	"f2bc/commands/human"
	"f2bc/store"
)

func (p *process) pruneCommand() *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "delete what ended more than 90 days ago",
		Description: `For cron on the hub, with the account that owns the tables. Deletes events after 90 days and reports 90
days after they ended, but never a lift, nor a report that was lifted or ever permanent:
otherwise an old report that comes back would revive a ban. Names the hosts whose addresses may soon be banned,
since they were not seen for 23 days.`,
		Flags: globalFlags(),
		Action: p.stored(noArguments, func(ctx context.Context, _ *config, st *store.Store) error {
			pruned, err := st.Prune(ctx)
			if err != nil {
				return err
			}
			if err := p.sayLapsing(ctx, st); err != nil {
				return err
			}
			if !p.out.terminal {
				return nil // cron would mail it every day
			}
			p.out.say("%s and %s deleted", human.Count(pruned.Events, "event", "events"), human.Count(pruned.Reports, "report", "reports"))
			return nil
		}),
	}
}
