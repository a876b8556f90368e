// Package import3cx is one run of the import of what a 3CX phone system has blacklisted.
//
//	clocks compared ──> never-ban rules, 3CX's own allows ──> read, dated, written in batches ──> mark kept
//
// The mark is kept last, so whatever fails on the way is read again by the next run.
package import3cx

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"f2bc/aggregate"
	"f2bc/commands/neverban"
	"f2bc/store"
	"f2bc/store/state"
	"f2bc/store/threecx"
)

// Options say what is read and what is made of it.
type Options struct {
	threecx.Options
	Window    time.Duration           // how far back events are read at least
	Blacklist bool                    // read the table blacklist instead of the events
	Bantime   time.Duration           // where an event says none; store.Forever is permanent
	Source    string                  // who reports
	Reason    func(own string) string // what is reported for the phone system's own reason

	// DryRun, if set, takes a line for each report, and nothing is written: neither the report nor the mark.
	DryRun func(line string) error
}

// Name tells apart what is read, from where (target, as Options.Target names it) and into which store: each has files
// of its own in the state directory, so that what one run has read is not taken for read by another. It is no secret,
// and made of none.
func Name(o Options, target string, into store.DSN) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%v\n%v\n%s\n%s\n%v",
		target, into, o.Events, o.Query, o.Source, o.Blacklist))
	return fmt.Sprintf("import-3cx-%x", sum[:4])
}

// Import is one run. All exported fields must be set, unless they say otherwise.
type Import struct {
	Options
	Name  string    // of its files in State
	State state.Dir // where the lock and the mark are

	Open     func(context.Context) (*store.Store, error) // Run closes the store
	NeverBan func(context.Context, *store.Store) (*neverban.List, error)

	Say     neverban.Say // takes notes, the same ones in each run
	Summary neverban.Say // takes how many entries were read, reported and withheld; may be nil

	db      *threecx.DB
	st      *store.Store
	kept    importState
	now     store.Time
	never   *neverban.List
	allowed aggregate.Set // by the phone system

	facts                    []store.Fact
	read, reported, withheld int
}

// Run imports, once for each Import. An error of the phone system's database is of a kind of package threecx; any error
// leaves the mark where it was.
func (im *Import) Run(ctx context.Context) (err error) {
	if im.DryRun == nil {
		// One that takes longer than a minute must not be overtaken: the next run reads the rest.
		unlock, err := im.State.Lock(ctx, state.Lock{Name: im.Name + ".lock", Command: "import-3cx"})
		if err != nil {
			return err
		}
		defer unlock()
	}
	if im.st, err = im.Open(ctx); err != nil {
		return fmt.Errorf("nothing is imported, the next run will do it: %w", err)
	}
	defer im.st.Close()
	if im.db, err = threecx.Open(ctx, im.Options.Options); err != nil {
		return err
	}
	defer im.db.Close()
	if err := im.load(); err != nil {
		return err
	}
	clock, err := im.compareClocks(ctx)
	if err != nil {
		return err
	}
	if im.never, err = im.NeverBan(ctx, im.st); err != nil {
		return err
	}
	if err := im.readAllowed(ctx); err != nil {
		return err
	}
	if err := im.readFrom(ctx, threecx.Since(clock, im.kept.Mark, im.Window)); err != nil {
		return err
	}
	im.kept.Mark = clock
	return im.save()
}

// readAllowed reads what the phone system itself allows. A phone system whose list cannot be read is imported all the
// same: its attackers are everybody's, and most systems allow nothing.
func (im *Import) readAllowed(ctx context.Context) error {
	list, err := im.db.Allowed(ctx, im.skipped)
	if errors.Is(err, threecx.ErrTable) || errors.Is(err, threecx.ErrColumns) || errors.Is(err, threecx.ErrPrivilege) {
		im.Say("what the phone system itself allows is not known, protect its trunks and phones with f2bc allow add: %v", err)
		return nil
	}
	for _, prefix := range list {
		im.allowed.Add(prefix)
	}
	return err
}

// readFrom reports what the phone system has blacklisted since a time of its clock.
func (im *Import) readFrom(ctx context.Context, since time.Time) (err error) {
	if im.Blacklist {
		err = im.blacklist(ctx)
	} else {
		err = im.db.Events(ctx, since, func(e threecx.Event) error { return im.event(ctx, e) }, im.skipped)
	}
	if err == nil {
		err = im.write(ctx)
	}
	if err == nil && im.Summary != nil {
		im.Summary("%d read, %d reported, %d withheld", im.read, im.reported, im.withheld)
	}
	return err
}

func (im *Import) skipped(row string, err error) { im.Say("skipped %s: %v", row, err) }
