package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"f2bc/commands/enforce"
)

// printPlan prints what a run would do, as ip commands.
func (p *process) printPlan(ctx context.Context, cfg *config, e *enforce.Enforcer) error {
	plan, err := e.DryRun(ctx)
	out := bufio.NewWriter(p.out.stdout)
	for command := range plan.Commands(cfg.routesSettings()) {
		fmt.Fprintln(out, command)
	}
	return errors.Join(out.Flush(), err)
}

// printDrift prints how the kernel differs from the list.
func (p *process) printDrift(ctx context.Context, e *enforce.Enforcer) error {
	drift, err := e.Check(ctx)
	if drift == nil {
		return err
	}
	_, printErr := fmt.Fprintf(p.out.stdout,
		"%d in place, %d missing, %d extra, %d foreign, %d rules missing, %d of %d sampled bans not dropped\n",
		drift.InPlace, drift.Missing, drift.Extra, drift.Foreign, drift.RulesMissing, len(drift.Through), drift.Asked)
	return errors.Join(printErr, driftError(drift, e.Observe), err)
}

func driftError(d *enforce.Drift, observe bool) error {
	switch {
	case d.None():
		return nil
	case d.Paused != "":
		return kindError{errDrift, fmt.Errorf("paused %s: nothing is enforced", d.Paused)}
	case observe:
		return kindError{errDrift, errors.New("mode = \"observe\": nothing is enforced")}
	case d.Missing+d.Extra+d.RulesMissing == 0:
		return kindError{errDrift, fmt.Errorf("the routes are in place, but the kernel still reaches %s, for example; "+
			"look for other rules with ip rule", d.Through[0])}
	}
	return kindError{errDrift, errors.New("the kernel differs from the list; run f2bc sync-routes")}
}

// printOld prints the routes of the old scripts that --adopt-routes would delete.
func (p *process) printOld(ctx context.Context, e *enforce.Enforcer) error {
	old, err := e.Old(ctx)
	for _, route := range old {
		if _, err := fmt.Fprintf(p.out.stdout, "ip route del %v\n", route); err != nil {
			return err
		}
	}
	return err
}
