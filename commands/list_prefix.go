package commands

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"f2bc/aggregate"
	"f2bc/commands/human"
	"f2bc/commands/neverban"
	"f2bc/store"
)

// maxEvents bounds list --history.
const maxEvents = 1000

// listPrefixes shows everything that bears on the given prefixes.
func (p *process) listPrefixes(ctx context.Context, cfg *config, st *store.Store, o *listOptions, filter store.Filter, now store.Time) error {
	never, err := p.neverBan(ctx, cfg, st)
	if err != nil {
		return err
	}
	var rows []row
	good := 0
	invalid, err := p.eachBatch(ctx, o.prefixes, func(inputs []input) error {
		for _, in := range inputs {
			good++
			reports, lifts, err := st.About(ctx, in.Prefix)
			if err != nil {
				return err
			}
			reports, lifts = p.newest(reports, lifts)
			found := bearing(in.Prefix, reports, lifts, never, filter, now)
			if len(found) == 0 {
				p.out.say("%snothing bears on %s", in.place(), aggregate.Text(in.Prefix))
			}
			rows = append(rows, found...)
			if !never.Private && !slices.ContainsFunc(reports, func(r store.Report) bool { return r.Forced }) {
				if err := neverban.Special(in.Prefix); err != nil {
					p.out.say("%s%v", in.place(), err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	columns := []string{"kind", "prefix", "source", "reason", "at", "expires", "lifted", "state"}
	if err := render(p.out.stdout, o.layout, columns, slices.Values(rows)); err != nil {
		return err
	}
	return done("listed", good, invalid, 0)
}

// newest returns what is worth showing of very many reports and lifts on one prefix, which one server can make: of the lifts of
// one source those that have a report to lift, and of both the newest.
func (p *process) newest(reports []store.Report, lifts []store.Fact) ([]store.Report, []store.Fact) {
	if len(reports) <= maxEvents && len(lifts) <= maxEvents {
		return reports, lifts
	}
	p.out.say("of %d reports and %d lifts only the newest %d each are shown; see f2bc list --history --source NAME, f2bc host remove",
		len(reports), len(lifts), maxEvents)
	sources := map[string]bool{"": true}
	for _, r := range reports {
		sources[r.Source] = sources[r.Source] || !r.Blocked
	}
	lifts = slices.DeleteFunc(lifts, func(f store.Fact) bool { return !sources[f.Source] })
	slices.SortStableFunc(reports, func(a, b store.Report) int { return cmp.Compare(b.At, a.At) })
	slices.SortStableFunc(lifts, func(a, b store.Fact) int { return cmp.Compare(b.At, a.At) })
	return reports[:min(len(reports), maxEvents)], lifts[:min(len(lifts), maxEvents)]
}

// bearing returns the rows for one prefix: reports, wider lifts, and what shields it.
func bearing(prefix netip.Prefix, reports []store.Report, lifts []store.Fact, never *neverban.List, filter store.Filter, now store.Time) []row {
	var rows []row
	for _, r := range reports {
		if filter.Source != "" && filter.Source != r.Source || filter.Reason != "" && filter.Reason != r.Reason || r.At < filter.Since {
			continue
		}
		state := "active"
		switch {
		case r.Blocked:
			state = "blocked"
		case r.Lifted >= r.At:
			state = "lifted"
		case !r.Active(now):
			state = "expired"
		}
		rows = append(rows, row{"report", r.Prefix, r.Source, r.Reason, r.At, r.Expires, r.Lifted, state})
	}
	for _, f := range lifts {
		rows = append(rows, row{"lift", f.Prefix, anyName(f.Source), anyName(f.Reason), f.At, store.Time(0), store.Time(0), ""})
	}
	for _, entry := range never.Entries() {
		if entry.Prefix.Overlaps(prefix) {
			rows = append(rows, row{"allow", entry.Prefix, "", entry.Why, store.Time(0), store.Time(0), store.Time(0), "shields"})
		}
	}
	return rows
}

// listHistory shows the newest events, of the given prefixes or of all.
func (p *process) listHistory(ctx context.Context, st *store.Store, o *listOptions, filter store.Filter) error {
	var events []store.Event
	read := func(prefix netip.Prefix) error {
		more, senseless, err := st.History(ctx, prefix, filter, maxEvents)
		if err != nil {
			return err
		}
		if senseless > 0 {
			p.out.say("%s left out that no f2bc has written", human.Count(senseless, "event is", "events are"))
		}
		if len(more) == maxEvents {
			p.out.say("only the newest %d events are shown; narrow them with --since, --source, --reason or a PREFIX", maxEvents)
		}
		events = append(events, more...)
		return nil
	}
	good, invalid := 0, 0
	var err error
	if len(o.prefixes) == 0 {
		err = read(netip.Prefix{})
	} else {
		invalid, err = p.eachBatch(ctx, o.prefixes, func(inputs []input) error {
			for _, in := range inputs {
				good++
				if err := read(in.Prefix); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(events, func(a, b store.Event) int { return cmp.Compare(b.At, a.At) })
	columns := []string{"at", "kind", "prefix", "source", "reason", "expires", "forced", "who", "recorded"}
	rows := func(yield func(row) bool) {
		for _, e := range events {
			kind := "report"
			if e.Lift {
				kind = "lift"
			}
			if !yield(row{e.At, kind, e.Prefix, anyName(e.Source), anyName(e.Reason), e.Expires(), e.Forced, e.Who, e.Recorded}) {
				return
			}
		}
	}
	if err := render(p.out.stdout, o.layout, columns, rows); err != nil {
		return err
	}
	return done("listed", good, invalid, 0)
}
