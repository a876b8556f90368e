package store

import (
	"context"
	"errors"
	"fmt"
)

// A server's own account has the name of its source, and calls the procedures of schema/mysql/procedure, which write its own
// facts and nothing else: so a server that was broken into can neither forge the reports of others nor lift them, nor take
// an admin's unban back.
//
// How to write need not be configured, nor asked. An account calls for what has its own name as the source; where it may
// not, it writes to the views of own_*, which an older f2bc used; the rest, as an admin's account may, goes to the tables.
type way int32

const (
	byCall way = iota
	byViews
	byTables
)

const ownViews = "own_"

// prefix is what the names of the tables begin with.
func (w way) prefix() string {
	if w == byViews {
		return ownViews
	}
	return ""
}

// ErrNotOwn ends the message of a write that a server's own account may not do, now or ever.
var ErrNotOwn = errors.New("use your admin configuration")

// ErrNoProcedures says that a dump without them was restored. What this host reports waits until there are some again.
var ErrNoProcedures = errors.New("the database has lost f2bc's procedures, as a dump without --routines does: " +
	"run f2bc init with the owner's configuration")

// own reports whether a server's own account may write f.
func (s *Store) own(f Fact) bool {
	return s.dsn.User != "" && f.Source == s.dsn.User && !f.Forced
}

// IsOwnAccount reports whether this host's account has the name of its source.
func (s *Store) IsOwnAccount() bool { return s.dsn.User != "" && s.source == s.dsn.User }

// writeAs calls write with the first way that this account may use: for what is its own as above, for the rest the tables.
func (s *Store) writeAs(ctx context.Context, own bool, write func(ctx context.Context, w way) error) error {
	w := byTables
	if own {
		w = way(s.ways.Load())
	}
	for {
		err := retry(ctx, func(ctx context.Context) error { return write(ctx, w) })
		if w == byTables {
			return err
		}
		if closed, why := s.closed(ctx, w, err); !closed {
			return why
		}
		w++
		s.ways.Store(int32(w))
	}
}

// closed reports whether err says that this account may not write this way, and otherwise why it could not.
func (s *Store) closed(ctx context.Context, w way, err error) (bool, error) {
	switch n := number(err); {
	case w == byViews:
		return denied(err) || n == 1146 || n == 1105, err // no such view; TiDB cannot write through any
	case n == 1370: // may not execute it, as with the grants of an older f2bc
		return true, nil
	case n != 1305 && n != 1064 && n != 1105: // no such procedure; TiDB's words for CALL
		return false, err
	}
	if err := s.learn(ctx); err != nil {
		return false, err
	}
	if s.hasProcedures {
		return false, ErrNoProcedures
	}
	return true, nil
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
	for _, nothing := range []string{"CALL touch_host()", "UPDATE own_report SET len = len WHERE 1 = 0"} {
		if retry(ctx, func(ctx context.Context) error {
			_, err := s.db.ExecContext(ctx, nothing)
			return err
		}) == nil {
			return fmt.Errorf("this host's account %s; %w", only, ErrNotOwn)
		}
	}
	return err
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
