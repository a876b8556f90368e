package commands

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/store"
	"f2bc/store/state"
	"f2bc/store/threecx"
)

const (
	importBatch = 2000             // reports in memory
	maxFuture   = 30 * time.Second // the store refuses reports that are more than twice as far ahead
)

// importer is one run of import-3cx.
//
//	clocks compared ──> never-ban rules, 3CX's own allows ──> read, dated, written in batches ──> mark kept
//
// The mark is kept last, so whatever fails on the way is read again by the next run.
type importer struct {
	p     *process
	cfg   *config
	o     importOptions
	name  string // of its files in the state directory
	notes *state.Said

	db      *threecx.DB
	st      *store.Store
	state   *importState
	now     store.Time
	never   *neverban.List
	allowed aggregate.Set // by the phone system

	facts                    []store.Fact
	read, reported, withheld int
}

// say prints a note that was not said for a day.
func (im *importer) say(format string, args ...any) {
	im.p.out.sayOnce(im.notes.Once, fmt.Sprintf(format, args...))
}

func (im *importer) lockedRun(ctx context.Context) error {
	if !im.o.dryRun {
		// One that takes longer than a minute must not be overtaken: the next run reads the rest.
		unlock, err := im.cfg.state.Lock(ctx, state.Lock{Name: im.name + ".lock", Command: "import-3cx"})
		if err != nil {
			return err
		}
		defer unlock()
	}
	return im.run(ctx)
}

func (im *importer) run(ctx context.Context) (err error) {
	if im.st, err = im.p.openStore(ctx, im.cfg); err != nil {
		return fmt.Errorf("nothing is imported, the next run will do it: %w", err)
	}
	defer im.st.Close()
	if im.db, err = threecx.Open(ctx, im.o.Options); err != nil {
		return threecxHint(err)
	}
	defer im.db.Close()
	file := im.name + ".json"
	if im.state, err = loadImport(im.cfg.state, file, im.say); err != nil {
		return err
	}
	clock, moved, err := im.compareClocks(ctx)
	if err != nil {
		return threecxHint(err)
	}
	if moved && !im.o.dryRun {
		// Before the first report that is dated so.
		if err := im.state.save(im.cfg.state, file); err != nil {
			return err
		}
	}
	if im.never, err = im.p.neverBan(ctx, im.cfg, im.st); err != nil {
		return err
	}
	if err := im.readAllowed(ctx); err != nil {
		return threecxHint(err)
	}
	since := threecx.Since(clock, im.state.Mark, im.o.window)
	if im.o.blacklist {
		err = im.blacklist(ctx)
	} else {
		err = im.db.Events(ctx, since, func(e threecx.Event) error { return im.event(ctx, e) }, im.skipped)
	}
	if err == nil {
		err = im.write(ctx)
	}
	if err != nil {
		return threecxHint(err)
	}
	if im.p.out.terminal {
		im.p.out.say("%d read, %d reported, %d withheld", im.read, im.reported, im.withheld)
	}
	if im.o.dryRun {
		return nil
	}
	im.state.Mark = clock
	return im.state.save(im.cfg.state, file)
}

// compareClocks asks for the clock of the 3CX box between two looks at the store's.
func (im *importer) compareClocks(ctx context.Context) (clock time.Time, moved bool, err error) {
	before, err := im.st.Now(ctx)
	if err != nil {
		return clock, false, err
	}
	if clock, err = im.db.Clock(ctx); err != nil {
		return clock, false, err
	}
	if im.now, err = im.st.Now(ctx); err != nil {
		return clock, false, err
	}
	doubt := time.Duration(im.now-before) * time.Microsecond / 2
	moved = im.state.measure(clock.Sub(before.Std().Add(doubt)), doubt)
	if moved {
		im.say("the clock of the 3CX box is %v ahead of the store's: times are corrected by that", im.state.Ahead)
	}
	return clock, moved, nil
}

// readAllowed reads what the phone system itself allows. A phone system whose list cannot be read is imported all the
// same: its attackers are everybody's, and most systems allow nothing.
func (im *importer) readAllowed(ctx context.Context) error {
	list, err := im.db.Allowed(ctx, im.skipped)
	if errors.Is(err, threecx.ErrTable) || errors.Is(err, threecx.ErrColumns) || errors.Is(err, threecx.ErrPrivilege) {
		im.say("what the phone system itself allows is not known, protect its trunks and phones with f2bc allow add: %v", err)
		return nil
	}
	for _, prefix := range list {
		im.allowed.Add(prefix)
	}
	return err
}

func (im *importer) skipped(row string, err error) { im.say("skipped %s: %v", row, err) }

func (im *importer) event(ctx context.Context, e threecx.Event) error {
	im.read++
	bantime := e.Bantime
	if bantime == 0 {
		bantime = im.o.bantime
	}
	return im.report(ctx, netip.PrefixFrom(e.Addr, e.Addr.BitLen()), e.Time, bantime, e.Reason)
}

// report takes up what happened at a time of the box's clock, unless it must not be reported.
func (im *importer) report(ctx context.Context, prefix netip.Prefix, at time.Time, bantime time.Duration, reason string) error {
	fact := store.Fact{
		Prefix: prefix, Source: im.o.source, Reason: im.reason(reason), At: im.state.date(at), Bantime: bantime,
	}
	if fact.At <= 0 || bantime <= 0 {
		im.say("skipped %s at %s for %v: these times make no sense", aggregate.Text(prefix), at.Format(time.RFC3339), bantime)
		im.withheld++
		return nil
	}
	if fact.At > im.now.Add(maxFuture) {
		// Not with the time of now: that would be another one at each reading. Its time will come.
		im.say("%s at %s is dated ahead of the store's clock and is reported when that time comes; if it is past already,"+
			" --timezone names the zone of 3CX's times", aggregate.Text(prefix), at.Format(time.RFC3339))
		im.withheld++
		return nil
	}
	if im.refuses(prefix) {
		return nil
	}
	im.state.Read = later(im.state.Read, at)
	return im.take(ctx, fact)
}

func (im *importer) reason(own string) string {
	if im.o.keepReason {
		return cleanName(own, threecxReason)
	}
	return threecxReason
}

// refuses names a prefix that must not be reported. That is no failure: cron goes on with the routes.
func (im *importer) refuses(prefix netip.Prefix) bool {
	err := im.never.Refuse(prefix, false)
	if err == nil && im.allowed.Overlaps(prefix) {
		err = refusedf("%s is not reported: the phone system allows it, or a part of it", aggregate.Text(prefix))
	}
	if err != nil {
		im.say("%v", err)
		im.withheld++
	}
	return err != nil
}

func (im *importer) take(ctx context.Context, fact store.Fact) error {
	im.facts = append(im.facts, fact)
	if len(im.facts) < importBatch {
		return nil
	}
	return im.write(ctx)
}

// write writes what was taken up, or prints it.
func (im *importer) write(ctx context.Context) error {
	im.reported += len(im.facts)
	facts := im.facts
	im.facts = im.facts[:0]
	if !im.o.dryRun {
		return im.st.Write(ctx, facts)
	}
	for _, f := range facts {
		expires := "permanent"
		if f.Expires() != store.Permanent {
			expires = f.Expires().Std().Format(time.RFC3339)
		}
		line := fmt.Sprintf("%s %s until %s %s %s", f.At.Std().Format(time.RFC3339Nano), aggregate.Text(f.Prefix), expires, f.Source, f.Reason)
		if _, err := fmt.Fprintln(im.p.out.stdout, printable(line)); err != nil {
			return err
		}
	}
	return nil
}
