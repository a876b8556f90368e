package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The numbered files of an engine are its migrations. Each is one statement that may be repeated, since MySQL commits
// DDL by itself and a run may stop anywhere; each only adds, so that older binaries go on working. The number of the
// last one is the schema's.
//
//go:embed schema
var migrations embed.FS

// minBinary is the schema that a binary must know to use a store that this binary made.
const minBinary = 1

// ErrNoTables says that the database has no f2bc tables.
var ErrNoTables = errors.New("the database has no f2bc tables: run f2bc init")

// ErrTooOld says that the store was upgraded beyond what this binary can use.
var ErrTooOld = errors.New("the store wants a newer f2bc: upgrade f2bc on this host")

func (e engine) migrations() []string {
	names, err := fs.Glob(migrations, e.dir+"/*.sql")
	if err != nil || len(names) == 0 {
		panic("no migrations in " + e.dir) // they are compiled in
	}
	slices.Sort(names)
	return names
}

// schema returns the number of the newest schema that this binary knows.
func (e engine) schema() int {
	names := e.migrations()
	return migrationNumber(names[len(names)-1])
}

func migrationNumber(name string) int {
	n, err := strconv.Atoi(path.Base(name)[:3])
	if err != nil {
		panic(name + " does not start with a number")
	}
	return n
}

// readMeta learns what the store says of itself, and its clock, in one round trip.
func (s *Store) readMeta(ctx context.Context) error {
	query := "SELECT name, value FROM meta"
	if s.dsn.Path == "" {
		query += " UNION ALL SELECT 'now', " + s.engine.now
	} else {
		var n int // SQLite has no error code of its own for a missing table
		if err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'meta'").Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return ErrNoTables
		}
	}
	asked := time.Now()
	rows, err := s.db.QueryContext(ctx, query)
	var m *mysql.MySQLError
	if errors.As(err, &m) && m.Number == 1146 {
		return ErrNoTables
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	meta := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		meta[name] = value
	}
	if err := rows.Err(); err != nil {
		return err
	}

	return s.know(asked, meta)
}

// know takes up what the store says of itself and of its clock, when it was asked.
func (s *Store) know(asked time.Time, meta map[string]string) (err error) {
	s.clock.set(asked, meta["now"])
	s.setPaused(meta[pauseName])
	if s.schema, err = strconv.Atoi(meta["schema"]); err != nil || meta["id"] == "" {
		return ErrNoTables // init stopped half-way
	}
	s.hasProcedures = s.schema >= s.engine.since && meta[proceduresName] != "none"
	if min, _ := strconv.Atoi(meta["min_binary"]); min > s.engine.schema() {
		return fmt.Errorf("%w (it wants schema %d, this one knows %d)", ErrTooOld, min, s.engine.schema())
	}
	s.id = meta["id"]
	return nil
}

// migrate brings the tables up to date. Hosts may do it at the same time: the named lock spares them most of each
// other's errors, and every step survives being done twice, since the lock is local to a cluster node.
func (s *Store) migrate(ctx context.Context) error {
	err := retry(ctx, func(ctx context.Context) error { return s.readMeta(ctx) })
	if err != nil && !errors.Is(err, ErrNoTables) {
		return err
	}
	have := s.schema
	if err != nil {
		have = 0
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	unlock, err := s.lockSchema(ctx, conn)
	if err != nil {
		return err
	}
	defer unlock()
	if s.Embedded() && s.readMeta(ctx) == nil {
		have = s.schema // another process may have been first
	}
	for _, name := range s.engine.migrations() {
		if migrationNumber(name) <= have {
			continue
		}
		statement, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		err = retry(ctx, func(ctx context.Context) error {
			_, err := conn.ExecContext(ctx, expand(string(statement)))
			return ignoreDone(err)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", path.Base(name), err)
		}
	}
	if s.Embedded() {
		if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
			return err
		}
	}
	if err := s.makeProcedures(ctx, conn); err != nil {
		return err
	}
	if err := s.writeMeta(ctx); err != nil {
		return err
	}
	return retry(ctx, func(ctx context.Context) error { return s.readMeta(ctx) })
}

// lockSchema keeps others from changing the tables until unlock, as far as the engine can. In SQLite it begins a
// transaction: then nobody misses an index that is just made anew.
func (s *Store) lockSchema(ctx context.Context, conn *sql.Conn) (unlock func(), err error) {
	begin, end := "SELECT GET_LOCK('f2bc init', 5)", "SELECT RELEASE_LOCK('f2bc init')"
	if s.Embedded() {
		begin, end = "BEGIN IMMEDIATE", "ROLLBACK" // which does nothing after the commit
	}
	err = retry(ctx, func(ctx context.Context) error {
		_, err := conn.ExecContext(ctx, begin)
		return err
	})
	if !s.Embedded() {
		err = nil // it only spares errors
	}
	return func() { conn.ExecContext(context.WithoutCancel(ctx), end) }, err
}

// connect takes one connection out of the pool, for statements that must share it.
func (s *Store) connect(ctx context.Context) (conn *sql.Conn, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		conn, err = s.db.Conn(ctx)
		return err
	})
	return conn, err
}

// writeMeta raises the numbers, and names the store unless it has a name: the first of several that try wins.
func (s *Store) writeMeta(ctx context.Context) error {
	keep, raise := "ON DUPLICATE KEY UPDATE value = value",
		"ON DUPLICATE KEY UPDATE value = IF(CAST(value AS SIGNED) < CAST(VALUES(value) AS SIGNED), VALUES(value), value)"
	if s.dsn.Path != "" {
		keep, raise = "ON CONFLICT DO NOTHING",
			"ON CONFLICT DO UPDATE SET value = excluded.value WHERE CAST(value AS INTEGER) < CAST(excluded.value AS INTEGER)"
	}
	for _, row := range []struct{ name, value, merge string }{
		{"id", rand.Text(), keep},
		{"min_binary", strconv.Itoa(minBinary), raise},
		{"schema", strconv.Itoa(s.engine.schema()), raise}, // last: with it the store is whole
	} {
		err := retry(ctx, func(ctx context.Context) error {
			_, err := s.db.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES (?, ?) "+row.merge, row.name, row.value)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ignoreDone forgives a migration that found its work done by another host.
func ignoreDone(err error) error {
	var m *mysql.MySQLError
	if errors.As(err, &m) {
		switch m.Number {
		case 1050, 1060, 1061, 1091, 1304: // table, column, key exists; column or key to drop does not; procedure exists
			return nil
		}
	}
	return err
}
