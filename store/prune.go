package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"
)

// Kept is how long events, and reports after their end, are kept.
const Kept = 90 * 24 * time.Hour

// Pruned counts the rows that Prune deleted.
type Pruned struct{ Events, Reports int64 }

// pruneStep is how many rows one statement deletes at most, so that no other writer waits long. A variable for tests.
var pruneStep = 5000

// Prune deletes events that are older than Kept, and reports that ended longer ago: but never a lift, nor a report that
// was lifted, nor one of which any version may still be running or was permanent. Without those an old fact that comes
// back, from an outbox or a backup, would revive a ban. The newest row stays: hosts take a store whose newest mark went
// back for a restored one.
func (s *Store) Prune(ctx context.Context) (p Pruned, err error) {
	before := s.clock.now().Add(-Kept)
	events := pruning{table: "event", key: "addr, len, at, source, reason, expires, forced", column: "at"}
	events.from = math.MinInt64 // what has a negative time was never a fact
	reports := pruning{table: "report", key: "addr, len, source, reason", column: "expires", condition: `
  AND lifted = 0 AND longest < ?
  AND mark < (SELECT newest FROM (SELECT MAX(mark) AS newest FROM report) AS marks)`, args: []any{before}}
	p.Events, err = s.prune(ctx, events, before)
	if err == nil {
		p.Reports, err = s.prune(ctx, reports, before)
	}
	if err != nil {
		err = fmt.Errorf("prune %v: %w", s.dsn, err)
	}
	return p, err
}

// pruning says which rows of a table go.
type pruning struct {
	table, key string
	column     string // the time by which they go, which has an index
	from       Time   // rows before this time stay
	condition  string // rows for which this does not hold stay, with args
	args       []any
}

// prune deletes the rows up to before, by stretches of the column that hold a step of rows. Only one that is a single
// time holds more, and then takes several statements.
func (s *Store) prune(ctx context.Context, p pruning, before Time) (deleted int64, err error) {
	next := fmt.Sprintf("SELECT %[1]s FROM %[2]s WHERE %[1]s >= ? AND %[1]s < ? ORDER BY %[1]s LIMIT 1 OFFSET %[3]d",
		p.column, p.table, pruneStep)
	condition := fmt.Sprintf("%[1]s >= ? AND %[1]s < ?%s", p.column, p.condition)
	statement := fmt.Sprintf(s.engine.deleteSome, p.table, p.key, condition, p.column, pruneStep)
	for from, to := p.from, p.from; to < before; from = to {
		err := retry(ctx, func(ctx context.Context) error {
			err := s.db.QueryRowContext(ctx, next, from, before).Scan(&to)
			if errors.Is(err, sql.ErrNoRows) {
				to, err = before, nil
			}
			return err
		})
		if to == from {
			to++
		}
		for n := int64(pruneStep); err == nil && n == int64(pruneStep); deleted += n {
			n = 0
			err = retry(ctx, func(ctx context.Context) error {
				result, err := s.db.ExecContext(ctx, statement, append([]any{from, to}, p.args...)...)
				if err == nil {
					n, err = result.RowsAffected()
				}
				return err
			})
		}
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}
