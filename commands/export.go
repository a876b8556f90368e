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
	"f2bc/store"
	"f2bc/store/state"
)

// An exportList is what is to be written.
type exportList struct {
	set   *aggregate.Set
	avoid *aggregate.Set // what must stay free, none of it in set; only if something is to be added
	bans  []store.Ban    // those that set comes from, sorted; only for a format that shows them
	note  string         // for the header, after the number of prefixes
	o     exportOptions
}

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
			if o.output == "" {
				return p.export(c.Context, cfg, o)
			}
			return p.exportFile(c.Context, cfg, o)
		},
	}
}

// exportFile is an export that cron runs every minute. One at a time writes a file: of two, the one that read the older
// list might write last. Who has no state directory, as an ordinary user on a hub, exports all the same.
func (p *process) exportFile(ctx context.Context, cfg *config, o exportOptions) error {
	name := exportName(o.output)
	words := p.said(cfg, name)
	p.out.once = words.Once
	unlock, err := p.lock(ctx, cfg, state.Lock{Name: name + ".lock", Command: "export to this file", Wait: lockTime}, words)
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
	var list *exportList
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
		if err := p.fit(list); err != nil {
			return err
		}
	}
	if o.placeholder.IsValid() && list.avoid.Overlaps(o.placeholder) {
		return refusedf("--placeholder %s must never be banned", aggregate.Text(o.placeholder))
	}
	if o.output == "" {
		err = o.format.write(p.out.stdout, list)
	} else {
		err = p.publish(ctx, list)
	}
	if err == nil && invalid > 0 {
		err = invalidf("%d lines were skipped", invalid)
	}
	return err
}

// exportStore makes the list of what the store has.
func (p *process) exportStore(ctx context.Context, cfg *config, o exportOptions, allow *aggregate.Set) (*exportList, error) {
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
	list := &exportList{o: o}
	var bans neverban.Bans
	add := func(ban netip.Prefix, forced bool) {
		if o.wants(ban) {
			bans.Add(ban, forced)
		}
	}
	if o.format.bans {
		list.bans, err = st.List(ctx, filter)
		for _, b := range list.bans {
			add(b.Prefix, b.Forced)
		}
	} else {
		err = st.Bans(ctx, filter, add)
	}
	if err != nil {
		return nil, err
	}
	if o.widen6 > 0 {
		bans.Widen6(o.widen6)
	}
	list.set = bans.Carve(never, nil, p.out.say)
	list.set.Remove(allow)
	if o.maxEntries > 0 || o.placeholder.IsValid() {
		list.avoid = never.Avoid(list.set)
		list.avoid.AddSet(allow)
	}
	return list, nil
}

// fit makes the list short enough.
func (p *process) fit(list *exportList) error {
	o := list.o
	fitted, extra, err := list.set.Fit(o.maxEntries, list.avoid)
	if budget := (*aggregate.BudgetError)(nil); errors.As(err, &budget) {
		return fmt.Errorf("--max-entries %d is impossible without covering what must stay free, nothing is written: %w", o.maxEntries, err)
	} else if err != nil {
		return err
	}
	text := fmt.Sprintf("%d extra IPv4 addresses and %d extra IPv6 /64s", extra.IPv4, extra.IPv6)
	if extra.IPv6 > o.maxCollateral || extra.IPv4 > o.maxCollateral-extra.IPv6 {
		return fmt.Errorf("%d prefixes instead of %d would cover %s, more than %d, nothing is written; raise --max-entries, or --max-collateral if you mean it",
			o.maxEntries, list.set.Len(), text, o.maxCollateral)
	}
	if extra.IPv4+extra.IPv6 > 0 {
		// Always, and not once a day: these are addresses that nobody reported.
		p.out.line(syslogNotice, fmt.Sprintf("%d prefixes instead of %d cover %s", fitted.Len(), list.set.Len(), text))
	}
	list.set, list.note = fitted, ", with "+text
	return nil
}
