package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"f2bc/aggregate"
	"f2bc/commands/enforce"
	"f2bc/routes"
)

// guard returns what must stay reachable from this host: what the kernel and its files tell, and the way to the store.
// The fleet's addresses and the allows are not among it: they are on the never-ban list already. With an error
// something may be missing.
func (p *process) guard(ctx context.Context, cfg *config) ([]routes.Entry, error) {
	entries, err := routes.Guard{Settings: cfg.routesSettings()}.Entries(ctx)
	way := enforce.Way{Hosts: cfg.store.Hosts, SSH: cfg.SSH, Env: childEnv(), Names: p.resolver(cfg)}
	return append(entries, way.Entries(ctx)...), needRoot(err)
}

// printGuard prints what is never cut off on this host: without the store all that this host knows.
func (p *process) printGuard(ctx context.Context, cfg *config) error {
	guard, guardErr := p.guard(ctx, cfg)
	st, err := p.openStore(ctx, cfg)
	if err == nil {
		defer st.Close()
	}
	never, neverErr := p.neverBan(ctx, cfg, st)
	if neverErr == nil {
		for _, entry := range never.Entries() {
			guard = append(guard, routes.Entry{Prefix: entry.Prefix, Why: entry.Why})
		}
	}
	slices.SortStableFunc(guard, func(a, b routes.Entry) int { return routes.Compare(a.Prefix, b.Prefix) })
	for _, entry := range guard {
		why := printable(entry.Why)
		if entry.Network {
			why += ", kept out of wider bans only"
		}
		if _, err := fmt.Fprintf(p.out.stdout, "%-18s  %s\n", aggregate.Text(entry.Prefix), why); err != nil {
			return err
		}
	}
	return errors.Join(guardErr, err, neverErr)
}
