package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Block makes nothing of a source count from now on, whatever its date, and drops its host's row where this account may:
// dropped says whether it could. Release lets all of it count again.
//
// It is no lift: that would be one for each ban, and reports that come later would count.
func (s *Store) Block(ctx context.Context, source string) (dropped bool, err error) {
	if err := s.setSource(ctx, source, "blocked"); err != nil {
		return false, err
	}
	err = retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, "DELETE FROM host WHERE source = ?", []byte(source))
		return err
	})
	if denied(err) {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) Release(ctx context.Context, source string) error {
	return s.setSource(ctx, source, "released")
}

// setSource moves column, blocked or released, past the other one.
func (s *Store) setSource(ctx context.Context, source, column string) error {
	if s.schema < s.engine.since {
		return fmt.Errorf("write to %v: the tables are those of an older f2bc: run f2bc init", s.dsn)
	}
	err := retry(ctx, func(ctx context.Context) error {
		return s.transact(ctx, nil, func(tx *sql.Tx) error {
			var newest Time
			query := "SELECT COALESCE(MAX(" + s.engine.greatest + "(blocked, released)), 0) FROM source WHERE name = ?"
			if err := tx.QueryRowContext(ctx, query, []byte(source)).Scan(&newest); err != nil {
				return err
			}
			query = "INSERT INTO source (name, " + column + ", who) VALUES (?, ?, " + s.engine.who + ")" + s.engine.mergeSource
			_, err := tx.ExecContext(ctx, query, []byte(source), max(s.clock.now(), newest+1))
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("write to %v: %w", s.dsn, s.notOwn(ctx, err, "cannot block a source"))
	}
	return nil
}

// Blocked reports whether this host's own source is blocked, as of the last Give or NeverBan.
func (s *Store) Blocked() bool { return s.blocked.Load() }

// blockedSources reads the sources of which nothing counts.
func (s *Store) blockedSources(ctx context.Context, conn *sql.Conn) (names []string, err error) {
	if s.schema < s.engine.since {
		return nil, nil
	}
	err = s.query(ctx, conn, "SELECT name FROM source WHERE blocked > released", nil, func(scan scanner) error {
		var name string
		err := scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}

// notFrom returns the condition for rows of other sources than these.
func notFrom(names []string) (condition string, args []any) {
	if len(names) == 0 {
		return "", nil
	}
	for _, name := range names {
		args = append(args, []byte(name))
	}
	return " AND source NOT IN (?" + strings.Repeat(", ?", len(names)-1) + ")", args
}
