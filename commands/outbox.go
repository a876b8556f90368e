package commands

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"f2bc/commands/human"
	"f2bc/store"
	"f2bc/store/state"
)

// configureSender reads the configuration; where that is broken, facts can still be kept in the default state
// directory, under whatever name this host has when they are delivered.
func (p *process) configureSender(c *cli.Context) (*config, *store.Sender, error) {
	cfg, err := p.configuration(c)
	if err == nil {
		options, err := p.storeOptions(cfg)
		return cfg, &store.Sender{Options: options, Away: err, Report: p.sayDelivered}, nil
	}
	dir, _ := variable("STATE_DIR")
	if dir == "" {
		dir = p.place.stateDir()
	}
	if errors.Is(err, errUsage) || !filepath.IsAbs(dir) {
		return nil, nil, err
	}
	options := store.Options{State: state.Dir(dir), Warn: p.out.say}
	return &config{state: options.State}, &store.Sender{Options: options, Away: err, Report: p.sayDelivered}, nil
}

// closeSender ends a run that sent facts.
func (p *process) closeSender(s *store.Sender) {
	s.Close()
	if s.Kept > 0 {
		p.out.fail(fmt.Errorf("%s in the outbox until the store takes them: %w", human.Count(s.Kept, "fact waits", "facts wait"), s.Away))
	}
}

// deliver gives the store what waits on this host, and what it lost in a restore. Facts may also wait where they were kept
// while the configuration was broken.
func (p *process) deliver(ctx context.Context, st *store.Store) {
	p.sayDelivered(st.DeliverAll(ctx, state.Dir(p.place.stateDir())))
}

func (p *process) sayDelivered(d store.Delivery) {
	if d.Recalled > 0 {
		p.out.say("the store was restored from a backup: gave it %s that it had taken", human.Count(d.Recalled, "fact", "facts"))
	}
	if d.Delivered > 0 {
		p.out.say("delivered %s from the outbox", human.Count(d.Delivered, "fact", "facts"))
	}
	for _, rejected := range d.Aside {
		p.out.fail(fmt.Errorf("set aside, the store will never take it: %w", rejected))
	}
	for _, err := range d.Errs {
		p.out.fail(err)
	}
}
