package enforce

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"f2bc/commands/human"
	"f2bc/routes"
)

// The old scripts left blackholes in the main table. They keep addresses out even after an unban.

// Old returns those whose prefix is, or was, banned.
func (e *Enforcer) Old(ctx context.Context) ([]routes.Route, error) {
	d, err := e.gather(ctx)
	defer d.close()
	if err != nil {
		return nil, err
	}
	return e.old(ctx, d.st)
}

// DeleteOld is Once, which does nothing where the store is away, and deletes them then.
func (e *Enforcer) DeleteOld(ctx context.Context) error {
	away := func(_ context.Context, cause error) error { return cause }
	return e.once(ctx, away, func(d desired, err error) error {
		e.writeHost(ctx, d.st, e.result)
		if err == nil {
			err = e.deleteOld(ctx, d.st)
		}
		return err
	})
}

func (e *Enforcer) old(ctx context.Context, st Store) ([]routes.Route, error) {
	old, err := e.Kernel.OldBlackholes(ctx)
	if err != nil || len(old) == 0 {
		return nil, err
	}
	prefixes := make([]netip.Prefix, len(old))
	for i, route := range old {
		prefixes[i] = route.Prefix
	}
	reported, err := st.Reported(ctx, prefixes)
	return slices.DeleteFunc(old, func(r routes.Route) bool { return !reported[r.Prefix] }), err
}

func (e *Enforcer) warnAboutOld(ctx context.Context, st Store) {
	if old, err := e.old(ctx, st); err != nil {
		e.Say("%v", err)
	} else if len(old) > 0 {
		e.Say("%s of the old scripts in the main table keep addresses out even after an unban; "+
			"see f2bc sync-routes --adopt-routes --dry-run", human.Count(len(old), "blackhole route", "blackhole routes"))
	}
}

func (e *Enforcer) deleteOld(ctx context.Context, st Store) error {
	old, err := e.old(ctx, st)
	if err != nil {
		return err
	}
	result, err := e.Kernel.DeleteOld(ctx, old)
	if err != nil {
		return err
	}
	e.Say("%s of the old scripts deleted", human.Count(result.Deleted, "route", "routes"))
	if len(result.Failed) > 0 {
		return fmt.Errorf("%s of the old scripts not deleted: %w", human.Count(len(result.Failed), "route", "routes"), result.Failed[0])
	}
	return nil
}
