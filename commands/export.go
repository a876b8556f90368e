package commands

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net/netip"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/commands/publish"
	"f2bc/store"
	"f2bc/store/state"
)

func (p *process) exportCommand() *cli.Command {
	return &cli.Command{
		Name:        "export",
		Usage:       "write the list for firewalls: aggregated, without what must never be banned",
		Description: exportDescription(),
		Flags:       append(exportFlags(), globalFlags()...),
		Action: func(c *cli.Context) error {
			o, err := parseExport(c)
			if err != nil {
				return err
			}
			if o.from != "" {
				return p.export(c.Context, nil, o) // no configuration for a list that comes from a file
			}
			cfg, err := p.configure(c)
			if err != nil {
				return err
			}
			if o.target.Path == "" {
				return p.export(c.Context, cfg, o)
			}
			return p.exportFile(c.Context, cfg, o)
		},
	}
}

// exportFile is an export that cron runs every minute. One at a time writes a file: of two, the one that read the older
// list might write last. Who has no state directory, as an ordinary user on a hub, exports all the same.
func (p *process) exportFile(ctx context.Context, cfg *config, o exportOptions) error {
	name := exportName(o.target.Path)
	words := p.said(cfg, name)
	p.out.once = words.Once
	lock := state.Lock{Name: name + ".lock", Command: "export to this file", Wait: lockTime}
	unlock, err := p.lock(ctx, cfg, lock, words)
	switch {
	case err == nil:
		defer unlock()
	case !errors.Is(err, state.ErrNoLock):
		return p.end(words, err)
	case cfg.StateDir != "" && !errors.Is(err, fs.ErrPermission):
		p.out.say("another export to this file would not be kept out: %v", err)
	}
	return p.end(words, p.export(ctx, cfg, o))
}

// exportName tells the exports of a host apart.
func exportName(output string) string {
	if path, err := filepath.Abs(output); err == nil {
		output = path
	}
	return fmt.Sprintf("export-%08x", crc32.ChecksumIEEE([]byte(output)))
}

func (p *process) export(ctx context.Context, cfg *config, o exportOptions) error {
	allow, err := readAllowList(o.allow)
	if err != nil {
		return err
	}
	var list *publish.List
	invalid := 0
	if o.from != "" {
		list, invalid, err = p.exportFrom(ctx, o, allow)
	} else {
		list, err = p.exportStore(ctx, cfg, o, allow)
	}
	if err != nil {
		return err
	}
	if o.maxEntries > 0 {
		if err := p.fit(o, list); err != nil {
			return err
		}
	}
	if list.Placeholder.IsValid() && list.Avoid.Overlaps(list.Placeholder) {
		return refusedf("--placeholder %s must never be banned", aggregate.Text(list.Placeholder))
	}
	if o.target.Path == "" {
		err = list.Format.Write(p.out.stdout, list)
	} else {
		err = list.Write(ctx, o.target)
		if errors.As(err, new(publish.LimitError)) {
			err = fmt.Errorf("--split %d makes %w; nothing is written", o.target.Split, err)
		}
	}
	if err == nil && invalid > 0 {
		err = invalidf("%d lines were skipped", invalid)
	}
	return err
}

// exportStore makes the list of what the store has.
func (p *process) exportStore(ctx context.Context, cfg *config, o exportOptions, allow *aggregate.Set) (
	*publish.List, error,
) {
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	filter := store.Filter{Source: o.source, Reason: o.reason, MinSources: o.minSources}
	if o.since != "" {
		now, err := st.Now(ctx)
		if err != nil {
			return nil, err
		}
		if filter.Since, err = parseSince(o.since, now); err != nil {
			return nil, err
		}
	}
	never, err := p.neverBan(ctx, cfg, st)
	if err != nil {
		return nil, err
	}
	list := &o.list
	bans, err := readBans(ctx, st, filter, list)
	if err != nil {
		return nil, err
	}
	if o.widen6 > 0 {
		bans.Widen6(o.widen6)
	}
	list.Set = bans.Carve(never, nil, p.out.say)
	list.Set.Remove(allow)
	if o.maxEntries > 0 || list.Placeholder.IsValid() {
		list.Avoid = never.Avoid(list.Set)
		list.Avoid.AddSet(allow)
	}
	return list, nil
}

// readBans reads what list is to hold, and if its format shows bans makes what writes them.
func readBans(ctx context.Context, st *store.Store, filter store.Filter, list *publish.List) (*neverban.Bans, error) {
	bans := new(neverban.Bans)
	add := func(ban netip.Prefix, forced bool) {
		if ban.Addr().Is4() && !list.OnlyIPv6 || ban.Addr().Is6() && !list.OnlyIPv4 {
			bans.Add(ban, forced)
		}
	}
	if !showsBans(list.Format) {
		return bans, st.Bans(ctx, filter, add)
	}
	shown, err := st.List(ctx, filter)
	for _, b := range shown {
		add(b.Prefix, b.Forced)
	}
	list.Format.Write = writeBans(list.Format.Name, shown)
	return bans, err
}

// fit makes the list short enough.
func (p *process) fit(o exportOptions, list *publish.List) error {
	said, err := list.Fit(o.maxEntries, o.maxCollateral)
	switch {
	case errors.As(err, new(publish.LimitError)):
		return fmt.Errorf("%w, nothing is written; raise --max-entries, or --max-collateral if you mean it", err)
	case err != nil:
		return fmt.Errorf("--max-entries %d is impossible without covering what must stay free, nothing is written: %w",
			o.maxEntries, err)
	case said != "":
		// Always, and not once a day: these are addresses that nobody reported.
		p.out.line(syslogNotice, said)
	}
	return nil
}
