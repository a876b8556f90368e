package neverban

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"f2bc/store/state"
)

// LookupTime bounds the resolving of all host names of a run together: fail2ban waits for f2bc ban.
const LookupTime = 2 * time.Second

// Resolver resolves host names. The last answer for each name is kept in the state directory: a name server that is away
// must not unshield anyone.
type Resolver struct {
	State  state.Dir
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error) // nil: as this machine resolves names
	Say    Say
}

// Resolve returns the addresses of the host names among entries.
func (r Resolver) Resolve(ctx context.Context, entries []Entry) map[string][]netip.Addr {
	hosts := map[string]bool{}
	for _, entry := range entries {
		if entry.Host != "" {
			hosts[entry.Host] = true
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	answers, failures := r.lookupAll(ctx, hosts)
	kept := r.kept()
	changed := false
	for host, addrs := range answers {
		changed = changed || !slices.Equal(addrs, kept[host])
	}
	for host, err := range failures {
		if addrs := kept[host]; len(addrs) > 0 {
			answers[host] = addrs
			r.Say("allowed host name %s cannot be resolved, its last known addresses %v are used: %v", host, addrs, err)
		} else {
			r.Say("allowed host name %s cannot be resolved and shields nothing: %v", host, err)
		}
	}
	if changed {
		for host, addrs := range kept {
			if _, ok := answers[host]; !ok {
				answers[host] = addrs
			}
		}
		if err := r.State.WriteJSON(answersFile, answers); err != nil {
			r.Say("the addresses of allowed host names are not kept: %v", err)
		}
	}
	return answers
}

// Beside returns the host names that this host has resolved before and that stand for no address in prefix.
func (r Resolver) Beside(ctx context.Context, prefix netip.Prefix) (names []string) {
	hosts := map[string]bool{}
	kept := r.kept()
	for host := range kept {
		hosts[host] = true
	}
	answers, _ := r.lookupAll(ctx, hosts)
	for host, addrs := range kept {
		addrs = append(addrs, answers[host]...)
		if !slices.ContainsFunc(addrs, prefix.Contains) {
			names = append(names, host)
		}
	}
	return names
}

func (r Resolver) lookupAll(ctx context.Context, hosts map[string]bool) (answers map[string][]netip.Addr, failures map[string]error) {
	ctx, cancel := context.WithTimeout(ctx, LookupTime)
	defer cancel()
	answers, failures = map[string][]netip.Addr{}, map[string]error{}
	lookup := r.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	var lock sync.Mutex
	var group sync.WaitGroup
	for host := range hosts {
		group.Go(func() {
			addrs, err := lookup(ctx, host)
			for i := range addrs {
				addrs[i] = addrs[i].Unmap().WithZone("")
			}
			slices.SortFunc(addrs, netip.Addr.Compare)
			lock.Lock()
			defer lock.Unlock()
			switch {
			case err != nil:
				failures[host] = err
			case len(addrs) == 0:
				failures[host] = errors.New("no address")
			default:
				answers[host] = slices.Compact(addrs)
			}
		})
	}
	group.Wait()
	return answers, failures
}

const answersFile = "allow-hosts.json"

func (r Resolver) kept() (kept map[string][]netip.Addr) {
	if err := r.State.ReadJSON(answersFile, &kept); err != nil {
		r.Say("the kept addresses of allowed host names are not used: %v", err)
		return nil
	}
	return kept
}
