package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// batchSize is how many facts one transaction writes: many for speed, few so that no other writer waits long.
var batchSize = 2000 // a variable for tests

// Write merges stamped facts into the store and appends them to the event log. It works in batches, each all or
// nothing; after an error some may be written, and writing all of them again is harmless.
//
// Every writer goes through reports, lifts and events in this order and through their rows in the order of their keys:
// eight writers with unsorted rows made 619 deadlocks in 80 statements, sorted none.
func (s *Store) Write(ctx context.Context, facts []Fact) error {
	now := s.clock.now()
	for _, f := range facts {
		if err := f.check(now); err != nil {
			return err
		}
	}
	parts := make([]Fact, len(facts))
	own, others := 0, len(facts)
	for _, f := range facts {
		if s.own(f) {
			parts[own] = f
			own++
		} else {
			others--
			parts[others] = f
		}
	}
	for i, part := range [][]Fact{parts[:own], parts[own:]} { // own facts first: they are written even where the others are refused
		slices.SortFunc(part, Fact.compare)
		writers, ctx := errgroup.WithContext(ctx)
		share := max(batchSize, (len(part)+s.engine.writers-1)/s.engine.writers)
		if share > batchSize {
			ctx = context.WithValue(ctx, manyKey{}, true)
		}
		for stretch := range slices.Chunk(part, share) { // of the keys, so that writers do not meet
			writers.Go(func() error {
				for batch := range slices.Chunk(stretch, batchSize) {
					err := s.writeAs(ctx, i == 0, func(ctx context.Context, prefix string) error {
						return s.transact(ctx, nil, func(tx *sql.Tx) error { return s.merge(ctx, tx, prefix, batch) })
					})
					if err != nil {
						return fmt.Errorf("write to %v: %w", s.dsn, s.notOwn(ctx, err, s.onlyOwn(batch[0])))
					}
				}
				return nil
			})
		}
		if err := writers.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// transact runs f in a transaction.
func (s *Store) transact(ctx context.Context, options *sql.TxOptions, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// merge writes facts to the tables, or with their prefix to the views.
func (s *Store) merge(ctx context.Context, tx *sql.Tx, prefix string, facts []Fact) error {
	reports := newRows(len(facts), "addr", "len", "source", "reason", "at", "expires", "forced", "longest", "lifted")
	lifts := newRows(0, "addr", "len", "source", "reason", "at")
	events := newRows(len(facts), "addr", "len", "at", "source", "reason", "expires", "forced")
	for _, f := range facts {
		addr, len := f.Prefix.Addr().AsSlice(), f.Prefix.Bits()
		source, reason := []byte(f.Source), []byte(f.Reason)
		at, expires, forced := int64(f.At), int64(f.Expires()), int64(0)
		if f.Forced {
			forced = at
		}
		switch {
		case !f.Lift:
			reports.add(addr, len, source, reason, at, expires, forced, expires, int64(0))
		case f.exact():
			reports.add(addr, len, source, reason, int64(0), int64(0), int64(0), int64(0), at)
		default:
			lifts.add(addr, len, source, reason, at)
		}
		events.add(addr, len, at, source, reason, expires, f.Forced)
	}

	// A view cannot tell whether the mark was there before, so through one a replay that changes nothing moves it too.
	mark, now, move := "", "", ""
	if prefix == ownViews {
		mark, now, move = ", mark", ", SYSDATE(6)", ",\n  mark = VALUES(mark)"
	}
	if err := reports.insert(ctx, tx, "INSERT INTO "+prefix+"report", mark, now, s.engine.mergeReport+move); err != nil {
		return err
	}
	if err := lifts.insert(ctx, tx, "INSERT INTO "+prefix+"lift", mark, now, s.engine.mergeLift+move); err != nil {
		return err
	}
	return events.insert(ctx, tx, s.engine.insertNew+prefix+"event", ", who", ", "+s.engine.who, "")
}

// rows are what one statement inserts.
type rows struct {
	columns []string
	values  []any // of one row after the other
}

// newRows makes room for n rows.
func newRows(n int, columns ...string) rows { return rows{columns, make([]any, 0, n*len(columns))} }

func (r *rows) add(values ...any) { r.values = append(r.values, values...) }

// insert writes the rows in one statement. column and value are the SQL of what every row has besides.
func (r *rows) insert(ctx context.Context, tx *sql.Tx, into, column, value, merge string) error {
	if len(r.values) == 0 {
		return nil
	}
	row := "(?" + strings.Repeat(", ?", len(r.columns)-1) + value + ")"
	query := into + " (" + strings.Join(r.columns, ", ") + column + ") VALUES\n" +
		row + strings.Repeat(",\n"+row, len(r.values)/len(r.columns)-1) + merge
	_, err := tx.ExecContext(ctx, query, r.values...)
	return err
}

// askBatch is how many prefixes one question is about: MariaDB makes a join of a list of 1,000 and more.
const askBatch = 900

// Stamp gives every fact that has no time its time, once: every retry carries it.
//
// Where at is zero a fact takes the later of the store's clock and the newest fact that it is about, plus 1 µs, so that
// it stands whatever the clocks of the hosts and of the cluster's nodes say. (It is never ahead of the store's clock by
// more than a fact may be, and then leaves what it is about in force.) Otherwise it happened at that time by the local
// clock, and takes the store's time for it, the same for the same at. Nothing is written.
func (s *Store) Stamp(ctx context.Context, facts []Fact, at time.Time) error {
	now := s.clock.now()
	if !at.IsZero() {
		dated := s.dated(TimeOf(at))
		for i, f := range facts {
			if f.At == 0 {
				facts[i].At = dated
			}
		}
		return nil
	}
	for batch := range slices.Chunk(facts, askBatch) {
		newest, err := s.ahead(ctx, now, batch)
		if err != nil {
			return fmt.Errorf("read from %v: %w", s.dsn, err)
		}
		for i, f := range batch {
			if f.At == 0 {
				batch[i].At = min(max(now, newest(f)+1), now.Add(maxAhead))
			}
		}
	}
	return nil
}

// ahead reads what facts are about, so far as it is not before now, and returns a function that tells the newest of it.
// There is hardly ever any.
func (s *Store) ahead(ctx context.Context, now Time, facts []Fact) (func(Fact) Time, error) {
	var prefixes []netip.Prefix
	var or []string
	var args []any
	for _, f := range facts {
		if f.Lift && !f.Prefix.IsSingleIP() {
			condition, a := inside(f.Prefix)
			or, args = append(or, condition), append(args, a...)
		} else {
			prefixes = append(prefixes, f.Prefix)
		}
	}
	condition, a := exactly(prefixes)
	or, args = append(or, condition), append(args, a...)
	query := `
SELECT addr, len, source, reason, 0, at FROM lift WHERE at >= ?
UNION ALL
SELECT addr, len, source, reason, at, lifted FROM report WHERE (at >= ? OR lifted >= ?) AND (` + strings.Join(or, " OR ") + `)`
	args = append([]any{now, now, now}, args...)

	var reports []Report
	var lifts []Fact
	err := retry(ctx, func(ctx context.Context) error {
		reports, lifts = nil, nil
		return s.query(ctx, s.db, query, args, func(scan scanner) error {
			var key rowKey
			var at, lifted Time
			if err := scan(&key.addr, &key.len, &key.source, &key.reason, &at, &lifted); err != nil {
				return err
			}
			p, err := key.prefix()
			if err != nil {
				return nil // a row that makes no sense is about nothing
			}
			reports = append(reports, Report{Prefix: p, Source: string(key.source), Reason: string(key.reason), At: at})
			lifts = append(lifts, Fact{Prefix: p, Source: string(key.source), Reason: string(key.reason), At: lifted})
			return nil
		})
	})
	return func(f Fact) (newest Time) {
		for i, r := range reports {
			same := r.Prefix == f.Prefix && r.Source == f.Source && r.Reason == f.Reason
			if same || f.Lift && f.covers(r.Prefix, r.Source, r.Reason) {
				newest = max(newest, r.At)
			}
			if !f.Lift && lifts[i].covers(f.Prefix, f.Source, f.Reason) {
				newest = max(newest, lifts[i].At)
			}
		}
		return newest
	}, err
}

// exactly returns the condition for rows with one of these prefixes, in the form that the optimizers read as ranges. An
// alternative that is a constant, such as 1 = 0, would make SQLite read the whole table.
func exactly(prefixes []netip.Prefix) (condition string, args []any) {
	if len(prefixes) == 0 {
		return "addr = NULL", nil // looked up, and never true
	}
	byLen := map[int][]any{}
	for _, p := range prefixes {
		byLen[p.Bits()] = append(byLen[p.Bits()], p.Addr().AsSlice())
	}
	var or []string
	for bits, addrs := range byLen {
		or = append(or, "len = ? AND addr IN (?"+strings.Repeat(", ?", len(addrs)-1)+")")
		args = append(append(args, int64(bits)), addrs...)
	}
	return "(" + strings.Join(or, " OR ") + ")", args
}

// inside returns the condition for rows whose prefix lies in p.
func inside(p netip.Prefix) (condition string, args []any) {
	first := p.Addr().AsSlice()
	if p.IsSingleIP() {
		return "(addr = ? AND len = ?)", []any{first, p.Bits()}
	}
	last := slices.Clone(first)
	for i := p.Bits(); i < 8*len(last); i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	// An IPv6 address may lie between two IPv4 addresses as bytes do.
	return "(addr BETWEEN ? AND ? AND len >= ? AND LENGTH(addr) = ?)", []any{first, last, p.Bits(), len(first)}
}
