package commands

import (
	"context"

	"f2bc/store"
)

// storeOptions returns how to open the configured store. With an error they say what else is known.
func (p *process) storeOptions(cfg *config) (store.Options, error) {
	options := store.Options{
		DSN: cfg.DSN, Password: cfg.Password, PasswordFile: cfg.PasswordFile, SSH: cfg.SSH, Source: cfg.Source,
		State: cfg.state, Warn: p.out.say,
	}
	if cfg.DSN == "" {
		return options, invalidf("configuration %s names no store; add a line such as dsn = \"mysql://f2bc@db.example/f2bc\"", cfg.path)
	}
	if cfg.SSH != "" && cfg.store.Hosts == nil {
		return options, cfg.wrongf("%w", store.ErrSSH)
	}
	return options, nil
}

// openStore opens the configured store and delivers what waits for it on this host.
func (p *process) openStore(ctx context.Context, cfg *config) (*store.Store, error) {
	options, err := p.storeOptions(cfg)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	p.deliver(ctx, st)
	if err := st.Touch(ctx); err != nil {
		p.out.say("the store is not told that this host was seen: %v", err)
	}
	return st, nil
}

// sayNewer is for the commands of people: cron and fail2ban would repeat it every minute until all hosts are upgraded.
func (p *process) sayNewer(st *store.Store) {
	if st.Newer() {
		p.out.say("the store was made by a newer f2bc; this one may go on using it")
	}
}
