// Package threecx reads what a 3CX phone system has blacklisted out of the PostgreSQL behind it.
//
//	eventlog ── Events ────┐
//	blacklist ─ Blacklist ─┼─> the caller reports them (blacklist only when asked to)
//	          └ Allowed ───┘   … and never reports these
//
// Nobody publishes the schema, and it differs between versions 16, 18 and 20. So the room looks at the catalogue and at
// a sample of rows each time, and reads only: every method is one read-only transaction with a statement timeout.
//
// # No mark but a time
//
// Events reads by the time of the event, never by its id. An event read again has the same address, time and ban time,
// and a fact written twice changes nothing; so reading too much is harmless, and all that is needed to catch up after an outage is the
// clock of the 3CX box (Clock) before the last reading that succeeded. That the ids start anew, that old events are purged or that
// a backup is restored cannot confuse it: no row is remembered. Since says where to begin.
//
// # Times without a zone
//
// A timestamp without time zone is read in Options.Timezone, by default in the server's own TimeZone, by PostgreSQL itself. In
// the autumn night one hour happens twice on such a clock, and the row does not say which is meant. It is always read
// as the first: so each reading gives the same time, and none lies ahead of the clock (a store refuses those). An event
// of the second hour is reported an hour too old, but it is reported. A time that summer time skips is read with the offset from before.
package threecx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// DefaultEvents are the event ids by which 3CX says that an address has been blacklisted: after failed
// authentications, and for too high a rate of requests.
var DefaultEvents = []int{12290, 12292}

// Overlap is how far before its mark a reading begins: a row becomes visible only when its transaction commits, after its time.
const Overlap = 2 * time.Minute

const (
	defaultDatabase = "database_single"
	defaultTimeout  = 30 * time.Second
	connectTimeout  = 10 * time.Second
)

// Options says where the PostgreSQL of the phone system is and how to read it. The zero value is the local socket,
// the system user's role and the database database_single.
type Options struct {
	// DSN is a postgres:// URL or libpq's key=value form. What it leaves out comes from the PG* variables and
	// ~/.pgpass. A connection to another host is encrypted and verified unless it has sslmode=disable or sslmode=require.
	DSN string
	// INI is the path of the system's own 3CXPhoneSystem.ini, instead of DSN.
	INI string
	// Events are the event ids to read; default DefaultEvents.
	Events []int
	// Query replaces the discovery of the event table: a SELECT that returns (id, time, text), where time is a timestamp
	// and text a string or an array of strings as Event describes it. Rows before the wanted time are left out by Events.
	Query string
	// Timezone (such as Europe/Berlin) is that of timestamps without zone; default the server's TimeZone.
	Timezone string
	// StatementTimeout bounds each statement; default 30 s. The reading of many events is many statements.
	StatementTimeout time.Duration
}

// Target names the database that o is about, as host:port/database or socket directory:port/database: without user and
// password, and without connecting.
func (o Options) Target() (string, error) {
	cfg, err := connConfig(o)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))) + "/" + cfg.Database, nil
}

// DB is a connection to the PostgreSQL of a phone system, for one goroutine.
type DB struct {
	conn *pgx.Conn
	opts Options
}

// Open connects. Its errors are of the kinds ErrAway, ErrLogin, ErrDatabase and ErrPrivilege, or say what is wrong with the options.
func Open(ctx context.Context, opts Options) (*DB, error) {
	if len(opts.Events) == 0 {
		opts.Events = DefaultEvents
	}
	if opts.StatementTimeout <= 0 {
		opts.StatementTimeout = defaultTimeout
	}
	opts.Query = strings.TrimRight(opts.Query, "; \t\r\n")
	cfg, err := connConfig(opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, connectError(cfg, err)
	}
	return &DB{conn: conn, opts: opts}, nil
}

// Close ends the connection.
func (d *DB) Close() error { return d.conn.Close(context.Background()) }

// connConfig never lets pgx's own parse error out: it may quote the password.
func connConfig(opts Options) (*pgx.ConnConfig, error) {
	dsn := opts.DSN
	if opts.INI != "" {
		if opts.DSN != "" {
			return nil, errors.New("3CX: both a DSN and an INI file are given: leave one out")
		}
		settings, err := readINI(opts.INI)
		if err != nil {
			return nil, err
		}
		dsn = settings.dsn()
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("parse 3CX DSN: not of the form postgres://USER@HOST:5432/database_single?sslmode=require" +
			" or host=… user=… dbname=… (it is not shown, it may contain a password)")
	}
	if cfg.Database == "" {
		cfg.Database = defaultDatabase
	}
	// A one-shot process gains nothing from prepared statements, and a cached FETCH would outlive its cursor.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	cfg.RuntimeParams["application_name"] = "f2bc"
	verifyRemote(cfg)
	return cfg, nil
}

// verifyRemote replaces libpq's default, sslmode=prefer, for other hosts: it sends the password in the clear to whoever
// answers that he has no TLS. That default shows in the configuration as an attempt without TLS beside one with it.
func verifyRemote(cfg *pgx.ConnConfig) {
	plain, encrypted := cfg.TLSConfig == nil, cfg.TLSConfig != nil
	for _, f := range cfg.Fallbacks {
		plain, encrypted = plain || f.TLSConfig == nil, encrypted || f.TLSConfig != nil
	}
	if !plain || !encrypted {
		return
	}
	harden := func(host string, c *tls.Config) *tls.Config {
		if c == nil || local(host) {
			return c
		}
		c = c.Clone()
		c.InsecureSkipVerify, c.VerifyPeerCertificate, c.VerifyConnection, c.ServerName = false, nil, nil, host
		return c
	}
	cfg.TLSConfig = harden(cfg.Host, cfg.TLSConfig)
	kept := cfg.Fallbacks[:0]
	for _, f := range cfg.Fallbacks {
		if f.TLSConfig == nil && !local(f.Host) {
			continue
		}
		f.TLSConfig = harden(f.Host, f.TLSConfig)
		kept = append(kept, f)
	}
	cfg.Fallbacks = kept
}

func local(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@")
}

// Since returns from when Events should read: a window before the box's clock, or from the mark (the box's clock at the
// last reading that succeeded, zero if there is none) when that is longer ago.
func Since(clock, mark time.Time, window time.Duration) time.Time {
	since := clock.Add(-window)
	if from := mark.Add(-Overlap); !mark.IsZero() && from.Before(since) {
		return from
	}
	return since
}

// Clock returns the clock of the 3CX box as its PostgreSQL sees it, so that the caller can measure its offset.
func (d *DB) Clock(ctx context.Context) (time.Time, error) {
	var now time.Time
	err := d.read(ctx, func(tx pgx.Tx) error {
		return d.fail(tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now))
	})
	return now.UTC(), err
}

// read runs f in a read-only transaction of one snapshot, in which the session's TimeZone is the one for timestamps without zone.
func (d *DB) read(ctx context.Context, f func(pgx.Tx) error) error {
	tx, err := d.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return d.fail(err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	ms := strconv.FormatInt(max(1, d.opts.StatementTimeout.Milliseconds()), 10)
	if _, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', $1, true)", ms); err != nil {
		return d.fail(err)
	}
	if d.opts.Timezone != "" {
		if _, err := tx.Exec(ctx, "SELECT set_config('TimeZone', $1, true)", d.opts.Timezone); err != nil {
			if code(err) == invalidParameter {
				return fmt.Errorf("3CX time zone %q: PostgreSQL does not know it: give a name such as Europe/Berlin", d.opts.Timezone)
			}
			return d.fail(err)
		}
	}
	return f(tx)
}
