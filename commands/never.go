package commands

import (
	"context"
	"net"
	"net/netip"

	"f2bc/commands/neverban"
	"f2bc/store"
)

// lookup resolves one host name. It is a variable for tests.
var lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func (p *process) resolver(cfg *config) neverban.Resolver {
	return neverban.Resolver{State: cfg.state, Lookup: lookup, Say: p.out.say}
}

// neverSource is where this host's never-ban list comes from.
func (p *process) neverSource(cfg *config) *neverban.Source {
	return &neverban.Source{
		Config: cfg.path, Entries: cfg.allow, Files: cfg.AllowFiles, Private: cfg.AllowPrivate,
		Names: p.resolver(cfg), Say: p.out.say,
	}
}

// neverBan asks the configuration and the store, if it is not nil, what must never be banned.
func (p *process) neverBan(ctx context.Context, cfg *config, st *store.Store) (*neverban.List, error) {
	var protected []store.Protected
	if st != nil {
		var err error
		if protected, err = st.NeverBan(ctx); err != nil {
			return nil, err
		}
	}
	return p.neverBanOf(ctx, cfg, protected)
}

// neverBanOf is the configuration's never-ban list together with what the store has said of its own.
func (p *process) neverBanOf(ctx context.Context, cfg *config, protected []store.Protected) (*neverban.List, error) {
	var central []neverban.Text
	for _, e := range protected {
		central = append(central, neverban.Text(e))
	}
	return p.neverSource(cfg).List(ctx, central)
}
