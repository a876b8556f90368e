package commands

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// lookupTime bounds the resolving of all host names of a run together: fail2ban waits for f2bc ban.
const lookupTime = 2 * time.Second

// lookup resolves one host name. It is a variable for tests.
var lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// resolve returns the addresses of the host names among entries. The last answer for each name is kept in the state
// directory: a name server that is away must not unshield anyone.
func (p *process) resolve(ctx context.Context, cfg *config, entries []allowEntry) map[string][]netip.Addr {
	hosts := map[string]bool{}
	for _, entry := range entries {
		if entry.host != "" {
			hosts[entry.host] = true
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	answers, failures := lookupAll(ctx, hosts)
	kept := p.readAnswers(cfg)
	changed := false
	for host, addrs := range answers {
		changed = changed || !slices.Equal(addrs, kept[host])
	}
	for host, err := range failures {
		if addrs := kept[host]; len(addrs) > 0 {
			answers[host] = addrs
			p.out.say("allowed host name %s cannot be resolved, its last known addresses %v are used: %v", host, addrs, err)
		} else {
			p.out.say("allowed host name %s cannot be resolved and shields nothing: %v", host, err)
		}
	}
	if changed {
		for host, addrs := range kept {
			if _, ok := answers[host]; !ok {
				answers[host] = addrs
			}
		}
		if err := cfg.state.WriteJSON(answersFile, answers); err != nil {
			p.out.say("the addresses of allowed host names are not kept: %v", err)
		}
	}
	return answers
}

// namesBeside returns the host names that this host has resolved before and that stand for no address in prefix.
func (p *process) namesBeside(ctx context.Context, cfg *config, prefix netip.Prefix) (names []string) {
	hosts := map[string]bool{}
	kept := p.readAnswers(cfg)
	for host := range kept {
		hosts[host] = true
	}
	answers, _ := lookupAll(ctx, hosts)
	for host, addrs := range kept {
		addrs = append(addrs, answers[host]...)
		if !slices.ContainsFunc(addrs, prefix.Contains) {
			names = append(names, host)
		}
	}
	return names
}

func lookupAll(ctx context.Context, hosts map[string]bool) (answers map[string][]netip.Addr, failures map[string]error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	answers, failures = map[string][]netip.Addr{}, map[string]error{}
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

func (p *process) readAnswers(cfg *config) (kept map[string][]netip.Addr) {
	if err := cfg.state.ReadJSON(answersFile, &kept); err != nil {
		p.out.say("the kept addresses of allowed host names are not used: %v", err)
		return nil
	}
	return kept
}
