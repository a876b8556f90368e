package store

import (
	"context"
	"errors"
	"fmt"
)

// A server's own account has the name of its source, and may write through the views own_report, own_lift, own_event and
// own_host only. They let it write its own facts and nothing else, so that a server that was broken into can neither
// forge the reports of others nor lift them; what they check stands in schema/mysql/*_own_*.sql.
//
// Which way to write need not be configured, nor asked: an account writes through the views what has its own name as the
// source, and the rest, as an admin's account may, to the tables.
const ownViews = "own_"

// ErrNotOwn ends the message of a write that a server's own account may not do, now or ever.
var ErrNotOwn = errors.New("use your admin configuration")

// own reports whether a server's own account may write f.
func (s *Store) own(f Fact) bool {
	return s.dsn.User != "" && f.Source == s.dsn.User && !f.Forced
}

// writeAs calls write with the prefix of what to write to: the views for what is the account's own, the tables for the
// rest, and for all where the account may not use the views, or an older f2bc made none.
func (s *Store) writeAs(ctx context.Context, own bool, write func(ctx context.Context, prefix string) error) error {
	if own && !s.noViews.Load() {
		err := retry(ctx, func(ctx context.Context) error { return write(ctx, ownViews) })
		if !denied(err) && number(err) != 1146 && number(err) != 1105 { // no such view; TiDB cannot write through any
			return err
		}
		s.noViews.Store(true)
	}
	return retry(ctx, func(ctx context.Context) error { return write(ctx, "") })
}

// denied reports whether err says that the account may not write to a table or view.
func denied(err error) bool { return number(err) == 1142 || number(err) == 1143 }

// notOwn replaces the error of a write to the tables that was denied because this is a server's own account by one that
// says so and, in only, what it may do or not.
func (s *Store) notOwn(ctx context.Context, err error, only string) error {
	if !denied(err) {
		return err
	}
	// Privileges are checked before anything is done. An account without any lacks grants that somebody may yet give.
	const writeNothing = "UPDATE own_report SET len = len WHERE 1 = 0"
	if retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, writeNothing)
		return err
	}) != nil {
		return err
	}
	return fmt.Errorf("this host's account %s; %w", only, ErrNotOwn)
}

// onlyOwn says what a server's own account may do instead of writing f.
func (s *Store) onlyOwn(f Fact) string {
	switch {
	case f.Lift:
		return "can lift only its own reports"
	case f.Forced:
		return "cannot force a ban"
	}
	return fmt.Sprintf("can report only as source %q, not as %q", s.dsn.User, f.Source)
}
