package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// The fleet is paused by a row of meta, which every host reads anyway when it opens the store.
const pauseName = "pause"

// SetPause pauses sync-routes on all hosts until a time: Permanent until further notice, zero ends the pause.
func (s *Store) SetPause(ctx context.Context, until Time) error {
	merge := "ON DUPLICATE KEY UPDATE value = VALUES(value)"
	if s.dsn.Path != "" {
		merge = "ON CONFLICT DO UPDATE SET value = excluded.value"
	}
	err := retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES (?, ?) "+merge, pauseName, strconv.FormatInt(int64(until), 10))
		return err
	})
	if err != nil {
		return fmt.Errorf("write to %v: %w", s.dsn, s.notOwn(ctx, err, "cannot pause the fleet"))
	}
	s.setPaused(strconv.FormatInt(int64(until), 10))
	return nil
}

// Paused returns until when the fleet is paused, as of Open or the last Live.Refresh: zero if it is not.
func (s *Store) Paused() Time {
	if until := Time(s.pause.Load()); until > s.clock.now() {
		return until
	}
	return 0
}

func (s *Store) setPaused(value string) {
	until, _ := strconv.ParseInt(value, 10, 64) // no row, or nonsense: not paused
	s.pause.Store(until)
}

// newestMark reads the newest mark of all facts in µs, 0 where there is none.
func (s *Store) newestMark() string {
	var newest []string
	for _, t := range s.marked() {
		newest = append(newest, "COALESCE((SELECT MAX("+s.engine.recorded+
			") FROM (SELECT MAX(mark) AS mark FROM "+t.table+") AS newest_"+t.table+"), 0)")
	}
	return s.engine.greatest + "(" + strings.Join(newest, ", ") + ")"
}

// Mark returns the newest mark of all facts, which only grows, zero where there is none. A lower one than before comes
// from an emptied or restored database, or from a replica that lags.
func (s *Store) Mark(ctx context.Context) (mark Time, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		return s.db.QueryRowContext(ctx, "SELECT "+s.newestMark()).Scan(&mark)
	})
	if err != nil {
		return 0, fmt.Errorf("read from %v: %w", s.dsn, err)
	}
	return mark, nil
}
