package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"strings"

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
	if err := s.learn(ctx); err != nil {
		return err
	}
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
	// Own facts first: they are written even where the others are refused.
	if err := s.writePart(ctx, parts[:own], true); err != nil {
		return err
	}
	return s.writePart(ctx, parts[own:], false)
}

// writePart writes facts that are all the account's own, or all not, by several writers side by side.
func (s *Store) writePart(ctx context.Context, part []Fact, own bool) error {
	slices.SortFunc(part, Fact.compare)
	writers, ctx := errgroup.WithContext(ctx)
	share := max(batchSize, (len(part)+s.engine.writers-1)/s.engine.writers)
	if share > batchSize {
		ctx = context.WithValue(ctx, manyKey{}, true)
	}
	for stretch := range slices.Chunk(part, share) { // of the keys, so that writers do not meet
		writers.Go(func() error {
			for batch := range slices.Chunk(stretch, batchSize) {
				err := s.writeAs(ctx, own, func(ctx context.Context, w way) error {
					if w == byCall {
						return s.callFacts(ctx, batch)
					}
					return s.transact(ctx, nil, func(tx *sql.Tx) error { return s.merge(ctx, tx, w.prefix(), batch) })
				})
				if err != nil {
					return fmt.Errorf("write to %v: %w", s.dsn, s.notOwn(ctx, err, s.onlyOwn(batch[0])))
				}
			}
			return nil
		})
	}
	return writers.Wait()
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
	ahead := s.clock.now().Add(maxAhead)
	if err := reports.insert(ctx, tx, "INSERT INTO "+prefix+"report", mark, now, s.engine.mergeReport+move, ahead); err != nil {
		return err
	}
	if err := s.reset(ctx, tx, prefix, facts, ahead); err != nil {
		return err
	}
	if err := lifts.insert(ctx, tx, "INSERT INTO "+prefix+"lift", mark, now, s.engine.mergeLift+move, ahead); err != nil {
		return err
	}
	return events.insert(ctx, tx, s.engine.insertNew+prefix+"event", ", who", ", "+s.engine.who, "", ahead)
}

// reset makes times that are not facts yet 0 in all rows that the wider lifts among facts cover: they would become facts
// one day. There is hardly ever one, and looking for them locks nothing. The views do not show them. A row that no fact makes
// stays as it is: without such a time it might be one.
func (s *Store) reset(ctx context.Context, tx *sql.Tx, prefix string, facts []Fact, ahead Time) error {
	if prefix == ownViews {
		return nil
	}
	wide := slices.DeleteFunc(slices.Clone(facts), func(f Fact) bool { return !f.Lift || f.exact() })
	for batch := range slices.Chunk(wide, 200) {
		where, args := liftedBy(batch)
		later := fmt.Sprintf("(at > %d OR lifted > %[1]d) AND ", ahead) + validReport + " AND "
		var found int
		err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM report WHERE "+later+where, args...).Scan(&found)
		if err == nil && found > 0 {
			set := strings.ReplaceAll(s.engine.reset, "{ahead}", fmt.Sprint(int64(ahead)))
			_, err = tx.ExecContext(ctx, "UPDATE report SET "+set+" WHERE "+later+where, args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// liftedBy returns the condition for rows of report that one of the lifts covers.
func liftedBy(lifts []Fact) (condition string, args []any) {
	var or []string
	for _, f := range lifts {
		where, a := inside(f.Prefix)
		args = append(args, a...)
		for _, name := range []struct{ column, value string }{{"source", f.Source}, {"reason", f.Reason}} {
			if name.value != "" {
				where, args = where+" AND "+name.column+" = ?", append(args, []byte(name.value))
			}
		}
		or = append(or, where)
	}
	return "(" + strings.Join(or, " OR ") + ")", args
}

// rows are what one statement inserts.
type rows struct {
	columns []string
	values  []any // of one row after the other
}

// newRows makes room for n rows.
func newRows(n int, columns ...string) rows { return rows{columns, make([]any, 0, n*len(columns))} }

func (r *rows) add(values ...any) { r.values = append(r.values, values...) }

// insert writes the rows in one statement. column and value are the SQL of what every row has besides; in merge, ahead is
// the latest time that is a fact.
func (r *rows) insert(ctx context.Context, tx *sql.Tx, into, column, value, merge string, ahead Time) error {
	if len(r.values) == 0 {
		return nil
	}
	row := "(?" + strings.Repeat(", ?", len(r.columns)-1) + value + ")"
	query := into + " (" + strings.Join(r.columns, ", ") + column + ") VALUES\n" +
		row + strings.Repeat(",\n"+row, len(r.values)/len(r.columns)-1) + strings.ReplaceAll(merge, "{ahead}", "?")
	args := r.values
	for range strings.Count(merge, "{ahead}") { // not in the text, which is prepared once
		args = append(args, int64(ahead))
	}
	_, err := tx.ExecContext(ctx, query, args...)
	return err
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
