package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// proceduresName is the row of meta that says "none" where the engine knows no procedures, as TiDB does not.
const proceduresName = "procedures"

// makeProcedures makes the procedures anew at every init: a dump without --routines loses them. In MySQL, which cannot replace
// one in one step, those that are there stay: a changed one needs a migration that drops it.
func (s *Store) makeProcedures(ctx context.Context, conn *sql.Conn) error {
	files, err := fs.Glob(migrations, s.engine.dir+"/procedure/*.sql")
	if err != nil || len(files) == 0 {
		return err
	}
	var version string
	if err := conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return err
	}
	if strings.Contains(version, "TiDB") {
		return s.setMeta(ctx, proceduresName, "none")
	}
	// A procedure keeps the mode of the session that makes it.
	const mode = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
	if _, err := conn.ExecContext(ctx, mode); err != nil {
		return err
	}
	if err := sysdateMoves(ctx, conn); err != nil {
		return err
	}
	galera, err := s.isGalera(ctx, conn)
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := migrations.ReadFile(file)
		if err != nil {
			return err
		}
		err = retry(ctx, func(ctx context.Context) error {
			_, err := conn.ExecContext(ctx, strings.ReplaceAll(expand(string(text)), "{causal}", galera))
			return ignoreDone(err)
		})
		if err != nil {
			return fmt.Errorf("%s: %w; f2bc needs MariaDB 10.6, MySQL 8, or later", path.Base(file), err)
		}
	}
	return s.setMeta(ctx, proceduresName, "yes")
}

// LostProcedures reports whether a dump without the procedures was restored: then what servers report waits until init makes
// them again. An account that may not see them is told nothing.
func (s *Store) LostProcedures(ctx context.Context) (lost bool, err error) {
	if s.Embedded() || !s.hasProcedures {
		return false, nil
	}
	const query = "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() " +
		"AND ROUTINE_NAME IN ('write_fact', 'write_facts', 'write_host', 'touch_host')"
	var there int
	if err := retry(ctx, func(ctx context.Context) error { return s.db.QueryRowContext(ctx, query).Scan(&there) }); err != nil {
		return false, err
	}
	if there == 0 {
		_, err = s.db.ExecContext(ctx, "CALL touch_host()")
		return number(err) == 1305, nil
	}
	return there < 4, nil
}

// sysdateMoves refuses a server on which a session can move the clock that the procedures rely on.
func sysdateMoves(ctx context.Context, conn *sql.Conn) error {
	var now int64
	_, err := conn.ExecContext(ctx, "SET timestamp = 1000000")
	if err == nil {
		err = conn.QueryRowContext(ctx, "SELECT UNIX_TIMESTAMP(SYSDATE())").Scan(&now)
		_, undone := conn.ExecContext(ctx, "SET timestamp = DEFAULT")
		err = errors.Join(err, undone)
	}
	if err == nil && now == 1_000_000 {
		err = errors.New("the database server runs with sysdate-is-now, so that any account could date what it writes: remove that option")
	}
	return err
}

// isGalera returns the setting that makes a node wait before a read for what the other nodes wrote, empty where the server was
// built without it.
func (s *Store) isGalera(ctx context.Context, conn *sql.Conn) (setting string, err error) {
	err = s.query(ctx, conn, "SHOW VARIABLES LIKE 'wsrep_sync_wait'", nil, func(scan scanner) error {
		setting = ", wsrep_sync_wait = 1"
		var name, value string
		return scan(&name, &value)
	})
	return setting, err
}

func (s *Store) setMeta(ctx context.Context, name, value string) error {
	return retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)", name, value)
		return err
	})
}
