// Package store keeps the list of bans: facts in, the active list out.
//
//	ban, import-3cx ── reports ──┐            ┌── Bans   (export, sync-routes)
//	                             ├── Write ───┤
//	unban ──────────── lifts ────┘  (merge)   └── List, About, History (people)
//
// A fact is a report (this source says that this prefix misbehaved, until then) or a lift (it is forgiven). For each
// (prefix, source, reason) the store remembers the latest report and the latest lift, so writing a fact twice, late or
// in another order gives the same list. Retries, the outbox and cluster fail-over rely on it: nothing here may break it.
//
// Behind the same methods stand MySQL and its kin (mysql://) and an embedded SQLite (sqlite://); engine.go has what
// differs between them.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"f2bc/store/state"
)

// Options say how to open a store.
type Options struct {
	DSN          string
	Password     string                           // overrides the password in the DSN
	PasswordFile string                           // read at every connect, so that a password can be changed; overrides the one in the DSN
	SSH          string                           // user@host or an alias of ~/.ssh/config: the hosts of the DSN are reached from there
	Source       string                           // of this host; empty: the account's name
	State        state.Dir                        // where the last good host and the distance of the clocks are remembered; may be empty
	Warn         func(format string, args ...any) // told of rows that make no sense; may be nil

	progress time.Duration // how long the server may say nothing; 0: ProgressTime
}

// Store is an open store. Its methods may be called from several goroutines.
type Store struct {
	db     *sql.DB
	engine engine
	dsn    DSN
	warn   func(format string, args ...any)
	id     string
	schema int // of the store, possibly newer than this binary's

	state       state.Dir // of Options
	source, ssh string

	clock   clock
	pause   atomic.Int64 // until when the fleet is paused, as last read
	ways    atomic.Int32 // the first way in which this account may write what is its own
	blocked atomic.Bool  // this host's source is, as last read

	hasProcedures bool
}

// Open connects to the store.
//
// A sqlite:// store is created or upgraded when needed. A mysql:// store without tables is ErrNoTables, one that
// this binary is too old for is ErrTooOld.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := Prepare(o)
	if err != nil {
		return nil, err
	}
	if err := s.learn(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Prepare returns a store that is opened when it is first used. Until then only its methods Give, Stamp, Write and Close may
// be called.
func Prepare(o Options) (*Store, error) { return dial(o) }

// learn opens the store, unless that is done.
func (s *Store) learn(ctx context.Context) error {
	if s.id != "" {
		return nil
	}
	err := retry(ctx, func(ctx context.Context) error { return s.readMeta(ctx) })
	if s.dsn.Path != "" && (errors.Is(err, ErrNoTables) || err == nil && s.schema < s.engine.schema()) {
		err = s.migrate(ctx)
	}
	if err != nil {
		return fmt.Errorf("open %v: %w", s.dsn, err)
	}
	return nil
}

// Init creates or upgrades the tables, as only an owner's account can, and returns the open store.
func Init(ctx context.Context, o Options) (*Store, error) {
	o.progress = initTime
	ctx = WithPatience(ctx, initTime)
	s, err := dial(o)
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("init %v: %w", s.dsn, err)
	}
	return s, nil
}

// Close ends all connections.
func (s *Store) Close() error { return s.db.Close() }

// ID returns the identity that init gave the store.
func (s *Store) ID() string { return s.id }

// Newer reports whether the store's schema is newer than this binary, which may use it all the same.
func (s *Store) Newer() bool { return s.schema > s.engine.schema() }

// Embedded reports whether the store is a file of this machine.
func (s *Store) Embedded() bool { return s.dsn.Path != "" }

// dial prepares a store without talking to it, but for the creation of an embedded store's file.
func dial(o Options) (*Store, error) {
	d, err := ParseDSN(o.DSN)
	if err != nil {
		return nil, err
	}
	if o.SSH != "" && d.Hosts == nil {
		return nil, fmt.Errorf("open %v: %w", d, ErrSSH)
	}
	s := &Store{dsn: d, warn: o.Warn, state: o.State, source: cmp.Or(o.Source, d.User), ssh: o.SSH}
	if s.warn == nil {
		s.warn = func(string, ...any) {}
	}
	if d.Path != "" {
		if filepath.Dir(d.Path) == string(o.State) {
			if err := o.State.Make(); err != nil {
				return nil, err
			}
		}
		s.engine = sqliteEngine
		s.engine.who = quote(localUser())
		s.db, err = openSQLite(d.Path)
	} else {
		s.engine = mysqlEngine
		s.db, err = openMySQL(d, o)
	}
	if err != nil {
		return nil, fmt.Errorf("open %v: %w", d, err)
	}
	return s, nil
}
