package enforce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"f2bc/commands/human"
	"f2bc/routes"
)

// DryRun returns what a run would do. The error may come with a plan: it says which brake holds.
func (e *Enforcer) DryRun(ctx context.Context) (routes.Plan, error) {
	d, err := e.gather(ctx)
	defer d.close()
	if err != nil {
		return routes.Plan{}, err
	}
	c, err := e.decide(ctx, d)
	if err != nil {
		return routes.Plan{}, err
	}
	e.warnAboutCut(ctx, c.want)
	return c.plan, c.braked
}

// Drift is how the kernel differs from what it should be.
type Drift struct {
	InPlace, Missing, Extra, Foreign, RulesMissing int
	Asked                                          int          // how many bans the kernel's route lookup was asked about
	Through                                        []netip.Addr // those of them that it does not drop
	Paused                                         string       // until when nothing is enforced; empty: no pause
}

// None reports whether all is as it should be.
func (d Drift) None() bool { return d.Missing+d.Extra+d.RulesMissing+len(d.Through) == 0 }

// Check compares the kernel with the list, and changes nothing. In a pause, and where Observe is set, the two differ too:
// a check that is green while nothing is enforced would be worse than none. The error may come with a drift: it says
// which brake holds.
func (e *Enforcer) Check(ctx context.Context) (drift *Drift, err error) {
	d, err := e.gather(ctx)
	defer d.close()
	if err != nil {
		return nil, err
	}
	c, err := e.decide(ctx, d)
	if err != nil {
		return nil, err
	}
	drift = &Drift{
		InPlace: len(c.state.Ours) - len(c.plan.Del), Missing: len(c.plan.Add), Extra: len(c.plan.Del),
		Foreign: len(c.state.Foreign) + len(c.state.ForeignRules), RulesMissing: len(c.plan.AddRules), Paused: c.paused,
	}
	if drift.Asked, drift.Through, err = e.lookUp(ctx, c.want); err != nil {
		return nil, errors.Join(err, c.braked)
	}
	return drift, c.braked
}

// sample is how many bans Check asks the kernel's route lookup about.
const sample = 100

// lookUp asks the kernel where it would send packets to a sample of the bans.
func (e *Enforcer) lookUp(ctx context.Context, want []netip.Prefix) (asked int, through []netip.Addr, err error) {
	asked = min(len(want), sample)
	for i := range asked {
		part := len(want) / asked
		addr := want[i*part+rand.IntN(part)].Addr()
		dropped, err := e.Kernel.Lookup(ctx, addr)
		if err != nil {
			return 0, nil, err
		}
		if !dropped {
			through = append(through, addr)
		}
	}
	return asked, through, nil
}

// warnAboutCut names the established connections that the routes would cut.
func (e *Enforcer) warnAboutCut(ctx context.Context, want []netip.Prefix) {
	conns, err := routes.Connections(ctx)
	if err != nil {
		e.Say("it is not known which connections would be cut: %v", err)
		return
	}
	cut := routes.Cut(conns, want)
	if len(cut) == 0 {
		return
	}
	var names []string
	for _, c := range cut[:min(len(cut), human.MaxNamed)] {
		if c.Inbound {
			names = append(names, fmt.Sprintf("%s to port %d here", c.Remote.Addr(), c.Local.Port()))
		} else {
			names = append(names, c.Remote.String())
		}
	}
	if len(cut) > human.MaxNamed {
		names = append(names, fmt.Sprintf("and %d more", len(cut)-human.MaxNamed))
	}
	e.Say("would cut %d of %s: %s", len(cut), human.Count(len(conns), "established connection", "established connections"),
		strings.Join(names, ", "))
}

// warnAboutUDP is for after routes are in place: they stop the answers only.
func (e *Enforcer) warnAboutUDP(ctx context.Context) {
	if filtered, err := routes.InputFiltered(ctx); err != nil {
		e.Say("it is not known whether UDP from banned addresses is stopped: %v", err)
	} else if !filtered && !e.Observe {
		e.Say("a blackhole route stops the answers only: UDP packets of banned addresses still reach this host (SIP!); " +
			"install what f2bc setup nftables prints")
	}
}
