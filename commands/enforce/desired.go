package enforce

import (
	"context"
	"net/netip"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/routes"
	"f2bc/store"
)

// desired is what the store and this host's guard say.
type desired struct {
	st    Store // nil where it could not be opened
	id    string
	mark  store.Time
	pause FleetPause

	list     *aggregate.Set // what is to be enforced
	never    *aggregate.Set // what is carved out of it
	guardErr error          // why the guard may lack something
}

func (d desired) close() {
	if d.st != nil {
		d.st.Close()
	}
}

// addBan takes one ban, as Store.Bans and Live.Bans give them.
type addBan = func(p netip.Prefix, forced bool)

// desired makes the list of the bans, minus what must never be banned, minus the guard.
func (e *Enforcer) desired(never *neverban.List, guard []routes.Entry, bans func(add addBan) error) (d desired, err error) {
	banned := neverban.Bans{Into: installed(guard, e.IPv6Prefix)}
	if err := bans(banned.Add); err != nil {
		return d, err
	}
	kept := kept(guard)
	d.list, d.never = banned.Carve(never, kept, e.Say), never.Set()
	for _, entry := range kept {
		d.never.Add(entry.Prefix)
	}
	return d, nil
}

// neverBan asks what must never be banned.
func (e *Enforcer) neverBan(ctx context.Context, st Store) (*neverban.List, error) {
	central, err := st.NeverBan(ctx)
	if err != nil {
		return nil, err
	}
	return e.Never(ctx, central)
}

// installed returns how a ban becomes routes on a host with this guard: banned IPv6 hosts are widened to a subnet of
// that length, 0 for none, and connected networks come out of wider bans.
func installed(guard []routes.Entry, ipv6Prefix int) func(set *aggregate.Set, ban netip.Prefix) {
	var connected []netip.Prefix
	for _, entry := range guard {
		if entry.Network {
			connected = append(connected, entry.Prefix)
		}
	}
	return func(set *aggregate.Set, ban netip.Prefix) {
		if ipv6Prefix > 0 && !neverban.IsNAT64(ban) {
			ban = routes.Widen(ban, ipv6Prefix, guard)
		}
		// A connected network comes out of each wider ban by itself: an address in it may still be banned by another.
		var networks []netip.Prefix
		for _, network := range connected {
			if ban.Bits() < network.Bits() && ban.Overlaps(network) {
				networks = append(networks, network)
			}
		}
		if networks == nil {
			set.Add(ban)
			return
		}
		var rest aggregate.Set
		rest.Add(ban)
		for _, network := range networks {
			rest.RemovePrefix(network)
		}
		set.AddSet(&rest)
	}
}

// kept returns what of the guard stays reachable whoever bans it: the connected networks are not among it.
func kept(guard []routes.Entry) (entries []neverban.Entry) {
	for _, entry := range guard {
		if !entry.Network {
			entries = append(entries, neverban.Entry{Prefix: entry.Prefix, Why: entry.Why})
		}
	}
	return entries
}
