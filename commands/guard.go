package commands

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
)

// guard returns what must stay reachable from this host: what the kernel and its files tell, and the way to the store.
// The fleet's addresses and the allows are not among it: they are on the never-ban list already. With an error
// something may be missing.
func (s *syncer) guard(ctx context.Context) ([]routes.Entry, error) {
	entries, err := routes.Guard{Settings: s.cfg.routesSettings()}.Entries(ctx)
	return append(entries, s.p.wayToStore(ctx, s.cfg)...), needRoot(err)
}

// wayToStore returns the addresses of all hosts of the DSN and of the machine that ssh connects to.
func (p *process) wayToStore(ctx context.Context, cfg *config) (entries []routes.Entry) {
	var hosts []neverban.Entry
	add := func(host, why string) {
		if entry, err := neverban.ParseEntry(host); err == nil {
			entry.Why = why
			hosts = append(hosts, entry)
		}
	}
	if cfg.SSH != "" {
		for _, host := range sshHosts(ctx, cfg.SSH) {
			add(host, "ssh hub "+cfg.SSH)
		}
	}
	dsn, err := store.ParseDSN(cfg.DSN)
	if err != nil {
		return nil
	}
	for _, address := range dsn.Hosts {
		host, _, err := net.SplitHostPort(address)
		if _, notAddress := netip.ParseAddr(host); err == nil && (cfg.SSH == "" || notAddress == nil) { // a name would be the hub's word
			add(host, "database host "+host)
		}
	}
	names := p.resolver(cfg).Resolve(ctx, hosts)
	for _, entry := range hosts {
		addrs := names[entry.Host]
		if entry.Host == "" {
			addrs = []netip.Addr{entry.Prefix.Addr()}
		}
		for _, addr := range addrs {
			if !addr.IsLoopback() {
				entries = append(entries, routes.Entry{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Why: entry.Why})
			}
		}
	}
	return entries
}

// sshHosts returns the host behind an ssh destination, which may be an alias, and the jump hosts before it.
func sshHosts(ctx context.Context, destination string) (hosts []string) {
	ctx, cancel := context.WithTimeout(ctx, neverban.LookupTime)
	defer cancel()
	for range 5 { // jump hosts of jump hosts
		_, host, found := strings.Cut(destination, "@")
		if !found {
			host = destination
		}
		jump := ""
		cmd := exec.CommandContext(ctx, "ssh", "-G", "--", destination)
		cmd.Env = childEnv()
		out, err := cmd.Output()
		if err == nil {
			for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
				switch key, value, _ := strings.Cut(lines.Text(), " "); key {
				case "hostname":
					host = value
				case "proxyjump":
					jump, _, _ = strings.Cut(value, ",")
				}
			}
		}
		hosts = append(hosts, strings.Trim(host, "[]"))
		if jump == "" || jump == "none" {
			return hosts
		}
		destination = "ssh://" + strings.TrimPrefix(jump, "ssh://") // a jump host may have a port
	}
	return hosts
}

// printGuard prints what is never cut off on this host: without the store all that this host knows.
func (s *syncer) printGuard(ctx context.Context) error {
	guard, guardErr := s.guard(ctx)
	st, err := s.p.openStore(ctx, s.cfg)
	if err == nil {
		defer st.Close()
	}
	never, neverErr := s.p.neverBan(ctx, s.cfg, st)
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
		if _, err := fmt.Fprintf(s.p.out.stdout, "%-18s  %s\n", aggregate.Text(entry.Prefix), why); err != nil {
			return err
		}
	}
	return errors.Join(guardErr, err, neverErr)
}

// sayOnce warns about what the kernel does beside our routes. It is asked after routes are in place.
func (s *syncer) sayOnce(ctx context.Context, st *store.Store) {
	if filtered, err := routes.InputFiltered(ctx); err != nil {
		s.p.out.say("it is not known whether UDP from banned addresses is stopped: %v", err)
	} else if !filtered && s.cfg.Mode == "enforce" {
		s.p.out.say("a blackhole route stops the answers only: UDP packets of banned addresses still reach this host (SIP!); install what f2bc setup nftables prints")
	}
	if old, err := s.oldRoutes(ctx, st); err != nil {
		s.p.out.say("%v", err)
	} else if len(old) > 0 && !s.o.adopt {
		s.p.out.say("%s of the old scripts in the main table keep addresses out even after an unban; see f2bc sync-routes --adopt-routes --dry-run",
			counted(len(old), "blackhole route", "blackhole routes"))
	}
}

// oldRoutes returns the blackholes of the main table whose prefix is, or was, banned.
func (s *syncer) oldRoutes(ctx context.Context, st *store.Store) ([]routes.Route, error) {
	old, err := s.kernel.OldBlackholes(ctx)
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

// adoptRoutes deletes the routes of the old scripts, now that ours are in place.
func (s *syncer) adoptRoutes(ctx context.Context, st *store.Store) error {
	old, err := s.oldRoutes(ctx, st)
	if err != nil {
		return err
	}
	if s.o.dryRun {
		for _, route := range old {
			if _, err := fmt.Fprintf(s.p.out.stdout, "ip route del %v\n", route); err != nil {
				return err
			}
		}
		return nil
	}
	result, err := s.kernel.DeleteOld(ctx, old)
	if err != nil {
		return err
	}
	s.p.out.say("%s of the old scripts deleted", counted(result.Deleted, "route", "routes"))
	if len(result.Failed) > 0 {
		return fmt.Errorf("%s of the old scripts not deleted: %w", counted(len(result.Failed), "route", "routes"), result.Failed[0])
	}
	return nil
}
