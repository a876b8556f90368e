package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Kept is how long events, and reports after their end, are kept.
const Kept = 90 * 24 * time.Hour

// pruneBatch is how many rows one statement deletes: few enough that none takes long, however many are of the same moment.
const pruneBatch = 5000

// Pruned counts the rows that Prune deleted.
type Pruned struct{ Events, Reports int64 }

// Prune deletes events that are older than Kept, and reports that ended longer ago: but never a lift, nor a report that
// was lifted, nor one of which any version may still be running or was permanent. Without those an old fact that comes
// back, from an outbox or a backup, would revive a ban. The newest row stays: hosts take a store whose newest mark went
// back for a restored one.
func (s *Store) Prune(ctx context.Context) (p Pruned, err error) {
	before := s.clock.now().Add(-Kept)
	p.Events, err = s.deleteSome(ctx, "event", "addr, len, at, source, reason, expires, forced", "at < ?", before)
	if err == nil {
		p.Reports, err = s.deleteSome(ctx, "report", "addr, len, source, reason", `expires < ? AND longest < ? AND lifted = 0
  AND mark < (SELECT newest FROM (SELECT MAX(mark) AS newest FROM report) AS marks)`, before, before)
	}
	if err != nil {
		err = fmt.Errorf("prune %v: %w", s.dsn, err)
	}
	return p, err
}

// deleteSome deletes the rows of a table that a condition is true of, some at a time until none is left.
func (s *Store) deleteSome(ctx context.Context, table, key, where string, args ...any) (deleted int64, err error) {
	statement := strings.NewReplacer("{table}", table, "{key}", key, "{where}", where).Replace(s.engine.deleteSome)
	for {
		var n int64
		err := retry(ctx, func(ctx context.Context) error {
			result, err := s.db.ExecContext(ctx, statement, append(append([]any{}, args...), pruneBatch)...)
			if err == nil {
				n, err = result.RowsAffected()
			}
			return err
		})
		if deleted += n; err != nil || n < pruneBatch {
			return deleted, err
		}
	}
}
