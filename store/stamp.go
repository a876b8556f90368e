package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// askBatch is how many prefixes one question is about: MariaDB makes a join of a list of 1,000 and more.
const askBatch = 900

// Stamp gives every fact that has no time its time, once: every retry carries it.
//
// Where at is zero a fact takes the later of the store's clock and the newest fact that it is about, plus 1 µs, so that
// it stands whatever the clocks of the hosts and of the cluster's nodes say. (It is never ahead of the store's clock by
// more than a fact may be, and then leaves what it is about in force.) Otherwise it happened at that time by the local
// clock, and takes the store's time for it, the same for the same at. Nothing is written.
func (s *Store) Stamp(ctx context.Context, facts []Fact, at time.Time) error {
	if err := s.learn(ctx); err != nil {
		return err
	}
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

// bearing is a wider lift, or a report and the exact lift in its row.
type bearing struct {
	Fact
	lifted Time
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
	query := s.sane(`
SELECT addr, len, source, reason, 0, at, 1 FROM lift WHERE at >= {now} AND ` + validLift + `
UNION ALL
SELECT addr, len, source, reason, at, lifted, 0 FROM ` + reports + `
WHERE (at >= {now} OR lifted >= {now}) AND (` + strings.Join(or, " OR ") + `)`)

	var rows []bearing
	err := retry(ctx, func(ctx context.Context) error {
		rows = nil
		return s.query(ctx, s.db, query, args, func(scan scanner) error {
			var key rowKey
			var r bearing
			err := scan(&key.addr, &key.len, &key.source, &key.reason, &r.At, &r.lifted, &r.Lift)
			r.Source, r.Reason = string(key.source), string(key.reason)
			if p, senseless := key.prefix(); senseless == nil {
				r.Prefix = p
				rows = append(rows, r)
			}
			return err
		})
	})
	return func(f Fact) (newest Time) {
		for _, r := range rows {
			same := r.Prefix == f.Prefix && r.Source == f.Source && r.Reason == f.Reason
			if same || f.Lift && f.covers(r.Prefix, r.Source, r.Reason) {
				newest = max(newest, r.At)
			}
			if !f.Lift && (same || r.Lift && r.covers(f.Prefix, f.Source, f.Reason)) {
				newest = max(newest, r.lifted)
			}
		}
		return newest
	}, err
}
