package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Adoption counts what became of the rows of a table of the old scripts.
type Adoption struct {
	New   int // reports that the store did not have
	Known int // reports that it had, lifted and ended ones included
	Bad   int // rows that are no address, or that may not be banned
}

// AdoptOptions say what to adopt and how.
type AdoptOptions struct {
	Table   string
	Bantime time.Duration               // from the stamp of a row
	Name    func(text string) string    // makes a source or reason of what a row has, which may be nothing
	Refuse  func(p netip.Prefix) error  // says why a prefix may not be banned, or nil
	Bad     func(row string, err error) // is told of every row that is left out
}

// Adopt turns the rows of a table of the old scripts, in the same database, into reports dated as the rows are stamped.
// The table is left as it is, and adopting it again changes nothing, though the old scripts may still write to it.
func (s *Store) Adopt(ctx context.Context, o AdoptOptions) (Adoption, error) {
	var a Adoption
	if s.dsn.Path != "" {
		return a, errors.New("adopt: the embedded store cannot hold a table of the old scripts: give the mysql:// dsn of the database that has it")
	}
	var facts []Fact
	query := "SELECT `1`, `2`, `3`, `4`, stamp, source, reason FROM `" + strings.ReplaceAll(o.Table, "`", "``") + "`"
	err := s.query(ctx, s.db, query, nil, func(scan scanner) error {
		var octet [4]sql.NullInt64
		var stamp sql.NullTime
		var source, reason sql.NullString
		if err := scan(&octet[0], &octet[1], &octet[2], &octet[3], &stamp, &source, &reason); err != nil {
			return err
		}
		f := Fact{Source: o.Name(source.String), Reason: o.Name(reason.String), Bantime: o.Bantime}
		var err error
		if f.Prefix, err = adoptedPrefix(octet); err == nil {
			err = o.Refuse(f.Prefix)
		}
		// A row without a time is as old as can be: active where bans are permanent, and lifted by any lift.
		if f.At = 1; stamp.Valid && stamp.Time.Unix() > 0 {
			f.At = min(TimeOf(stamp.Time), s.clock.now())
		}
		switch {
		case err != nil:
			a.Bad++
			o.Bad(fmt.Sprintf("%d.%d.%d.%d", octet[0].Int64, octet[1].Int64, octet[2].Int64, octet[3].Int64), err)
		case f.Expires() <= s.clock.now():
			a.Known++ // it ended; writing it would bring back what prune deleted
		default:
			facts = append(facts, f)
		}
		return nil
	})
	if err != nil {
		return a, fmt.Errorf("adopt table %q: %w", o.Table, withHint(err))
	}
	for batch := range slices.Chunk(facts, batchSize) {
		fresh, err := s.unknown(ctx, batch)
		if err == nil {
			err = s.Write(ctx, fresh)
		}
		if err != nil {
			return a, fmt.Errorf("adopt table %q: %w", o.Table, err)
		}
		a.New, a.Known = a.New+len(fresh), a.Known+len(batch)-len(fresh)
	}
	return a, nil
}

func adoptedPrefix(octet [4]sql.NullInt64) (netip.Prefix, error) {
	var a [4]byte
	for i, o := range octet {
		if !o.Valid || o.Int64 < 0 || o.Int64 > 255 {
			return netip.Prefix{}, errors.New("not an address")
		}
		a[i] = byte(o.Int64)
	}
	return netip.PrefixFrom(netip.AddrFrom4(a), 32), nil
}

// unknown returns those reports on single addresses that are later than what the store has of them.
func (s *Store) unknown(ctx context.Context, facts []Fact) ([]Fact, error) {
	type key struct {
		prefix         netip.Prefix
		source, reason string
	}
	known := map[key]Time{}
	var args []any
	for _, f := range facts {
		args = append(args, f.Prefix.Addr().AsSlice())
	}
	query := "SELECT addr, len, source, reason, at FROM " + reports + " WHERE addr IN (?" + strings.Repeat(", ?", len(args)-1) + ")"
	err := retry(ctx, func(ctx context.Context) error {
		return s.query(ctx, s.db, s.sane(query), args, func(scan scanner) error {
			f, err := scanLift(scan)
			known[key{f.Prefix, f.Source, f.Reason}] = f.At
			return err
		})
	})
	return slices.DeleteFunc(slices.Clone(facts), func(f Fact) bool {
		return known[key{f.Prefix, f.Source, f.Reason}] >= f.At
	}), err
}
