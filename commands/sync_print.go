package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"f2bc/routes"
)

func (s *syncer) printPlan(plan routes.Plan) error {
	out := bufio.NewWriter(s.p.out.stdout)
	for command := range plan.Commands(s.cfg.routesSettings()) {
		fmt.Fprintln(out, command)
	}
	return out.Flush()
}

// sample is how many bans --check asks the kernel's route lookup about.
const sample = 100

// printDrift prints what --check found. In a pause, and in observe mode, the kernel differs from the list too: a check
// that is green while nothing is enforced would be worse than none.
func (s *syncer) printDrift(ctx context.Context, plan routes.Plan, want []netip.Prefix, state routes.State, paused string) error {
	asked, through, err := s.lookUp(ctx, want)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.p.out.stdout, "%d in place, %d missing, %d extra, %d foreign, %d rules missing, %d of %d sampled bans not dropped\n",
		len(state.Ours)-len(plan.Del), len(plan.Add), len(plan.Del), len(state.Foreign)+len(state.ForeignRules), len(plan.AddRules), len(through), asked)
	switch {
	case err != nil || plan.IsEmpty() && len(through) == 0:
		return err
	case paused != "":
		return kindError{errDrift, fmt.Errorf("paused %s: nothing is enforced", paused)}
	case s.cfg.Mode == "observe":
		return kindError{errDrift, errors.New("mode = \"observe\": nothing is enforced")}
	case plan.IsEmpty():
		return kindError{errDrift, fmt.Errorf("the routes are in place, but the kernel still reaches %s, for example; look for other rules with ip rule", through[0])}
	}
	return kindError{errDrift, errors.New("the kernel differs from the list; run f2bc sync-routes")}
}

// lookUp asks the kernel where it would send packets to a sample of the bans.
func (s *syncer) lookUp(ctx context.Context, want []netip.Prefix) (asked int, through []netip.Addr, err error) {
	asked = min(len(want), sample)
	for i := range asked {
		part := len(want) / asked
		addr := want[i*part+rand.IntN(part)].Addr()
		dropped, err := s.kernel.Lookup(ctx, addr)
		if err != nil {
			return 0, nil, err
		}
		if !dropped {
			through = append(through, addr)
		}
	}
	return asked, through, nil
}

// sayObserved says what enforcing would do.
func (s *syncer) sayObserved(ctx context.Context, want []netip.Prefix) {
	s.p.out.say("observing: nothing is enforced, %s would be installed", counted(len(want), "route", "routes"))
	s.sayCut(ctx, want)
}

// sayCut names the established connections that the routes would cut.
func (s *syncer) sayCut(ctx context.Context, want []netip.Prefix) {
	conns, err := routes.Connections(ctx)
	if err != nil {
		s.p.out.say("it is not known which connections would be cut: %v", err)
		return
	}
	cut := routes.Cut(conns, want)
	if len(cut) == 0 {
		return
	}
	var names []string
	for _, c := range cut[:min(len(cut), maxNamed)] {
		if c.Inbound {
			names = append(names, fmt.Sprintf("%s to port %d here", c.Remote.Addr(), c.Local.Port()))
		} else {
			names = append(names, c.Remote.String())
		}
	}
	if len(cut) > maxNamed {
		names = append(names, fmt.Sprintf("and %d more", len(cut)-maxNamed))
	}
	s.p.out.say("would cut %d of %s: %s", len(cut), counted(len(conns), "established connection", "established connections"), strings.Join(names, ", "))
}
