package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Kept is how long events, and reports after their end, are kept.
const Kept = 90 * 24 * time.Hour

// Pruned counts the rows that Prune deleted.
type Pruned struct{ Events, Reports int64 }

// Prune deletes events that are older than Kept, and reports that ended longer ago: but never a lift, nor a report that
// was lifted, nor one of which any version may still be running or was permanent. Without those an old fact that comes
// back, from an outbox or a backup, would revive a ban. The newest row stays: hosts take a store whose newest mark went
// back for a restored one.
func (s *Store) Prune(ctx context.Context) (p Pruned, err error) {
	before := s.clock.now().Add(-Kept)
	p.Events, err = s.pruneBy(ctx, "at", "DELETE FROM event WHERE at >= ? AND at < ?", "event", before)
	if err == nil {
		p.Reports, err = s.pruneBy(ctx, "expires", `
DELETE FROM report WHERE expires >= ? AND expires < ? AND longest < ? AND lifted = 0
  AND mark < (SELECT newest FROM (SELECT MAX(mark) AS newest FROM report) AS marks)`, "report", before)
	}
	if err != nil {
		err = fmt.Errorf("prune %v: %w", s.dsn, err)
	}
	return p, err
}

// pruneBy runs statement for one slice of an hour after the other up to before, so that no transaction grows large.
func (s *Store) pruneBy(ctx context.Context, column, statement, table string, before Time) (deleted int64, err error) {
	for from := Time(0); ; {
		var first sql.NullInt64
		err := retry(ctx, func(ctx context.Context) error {
			query := "SELECT MIN(" + column + ") FROM " + table + " WHERE " + column + " >= ? AND " + column + " < ?"
			return s.db.QueryRowContext(ctx, query, from, before).Scan(&first)
		})
		if err != nil || !first.Valid {
			return deleted, err
		}
		to := min(Time(first.Int64).Add(time.Hour), before)
		args := []any{first.Int64, to, before}
		if table == "event" {
			args = args[:2]
		}
		err = retry(ctx, func(ctx context.Context) error {
			result, err := s.db.ExecContext(ctx, statement, args...)
			if err == nil {
				n, _ := result.RowsAffected()
				deleted += n
			}
			return err
		})
		if err != nil {
			return deleted, err
		}
		from = to
	}
}
