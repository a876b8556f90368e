package threecx

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The kinds of errors, for errors.Is. The text of each error names the cure, and never a password.
var (
	ErrAway      = errors.New("PostgreSQL is away")
	ErrLogin     = errors.New("PostgreSQL refused the login") // password, role or pg_hba.conf
	ErrDatabase  = errors.New("no such database")
	ErrTable     = errors.New("no such table")
	ErrColumns   = errors.New("the table is not as expected")
	ErrPrivilege = errors.New("no privilege")
	ErrTimeout   = errors.New("statement timeout")
	ErrQuery     = errors.New("PostgreSQL refused the query") // Options.Query
)

// Error is what went wrong with the PostgreSQL of the phone system.
type Error struct {
	Kind error  // one of the above
	Text string // one line, with the cure
	Err  error  // the cause, nil if there is none but what was found
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

func problem(kind, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Text: "3CX: " + fmt.Sprintf(format, args...), Err: cause}
}

// SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	invalidAuthorization  = "28000"
	invalidPassword       = "28P01"
	invalidCatalog        = "3D000"
	insufficientPrivilege = "42501"
	undefinedTable        = "42P01"
	undefinedColumn       = "42703"
	invalidParameter      = "22023"
	queryCanceled         = "57014"
	readOnlyTransaction   = "25006"
)

func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// connectError drops pgx's outer error, which carries the whole configuration, and keeps its cause.
func connectError(cfg *pgx.ConnConfig, err error) error {
	where := fmt.Sprintf("%s port %d", cfg.Host, cfg.Port)
	if outer := new(pgconn.ConnectError); errors.As(err, &outer) {
		err = outer.Unwrap()
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var dial *net.OpError
		hint := "is it running, and does 3CX use another port (5432, on old systems 5480)?"
		switch {
		case errors.As(err, &dial) && dial.Op == "dial":
			err = dial
		case cfg.TLSConfig != nil && !local(cfg.Host):
			hint = "if its certificate cannot be verified, say so with sslmode=require in the DSN"
		}
		attempts := strings.ReplaceAll(err.Error(), "\n", "; ")
		return problem(ErrAway, err, "connect to PostgreSQL at %s: %s: %s", where, attempts, hint)
	}
	switch pg.Code {
	case invalidPassword:
		return problem(ErrLogin, pg, "log in to PostgreSQL at %s as %q: wrong password, or none given", where, cfg.User)
	case invalidAuthorization:
		return problem(ErrLogin, pg, "log in to PostgreSQL at %s as %q: %s: run it as the system user of that role"+
			" (3CX's is phonesystem), or name a role with a password", where, cfg.User, pg.Message)
	case invalidCatalog:
		return problem(ErrDatabase, pg, "no database %q in PostgreSQL at %s: 3CX calls it %s; name it in the DSN",
			cfg.Database, where, defaultDatabase)
	case insufficientPrivilege:
		return problem(ErrPrivilege, pg, "role %q may not connect to database %q; its owner runs: GRANT CONNECT ON DATABASE %s TO %s",
			cfg.User, cfg.Database, identifier(cfg.Database), identifier(cfg.User))
	}
	return problem(ErrAway, pg, "connect to PostgreSQL at %s: %v", where, pg)
}

// fail tells apart what PostgreSQL answers to a statement of ours. nil stays nil.
func (d *DB) fail(err error) error {
	if err == nil {
		return nil
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if d.conn.IsClosed() {
			return problem(ErrAway, err, "connection to PostgreSQL lost: %v", err)
		}
		return fmt.Errorf("3CX: %w", err)
	}
	switch {
	case pg.Code == queryCanceled:
		return problem(ErrTimeout, pg, "PostgreSQL cancelled a statement (limit %v): %s: is the table locked,"+
			" or so large that its time wants an index?", d.opts.StatementTimeout, pg.Message)
	case pg.Code == insufficientPrivilege:
		return problem(ErrPrivilege, pg, "role %q: %s; grant it SELECT there", d.role(), pg.Message)
	case pg.Code == undefinedTable:
		return problem(ErrTable, pg, "%s", pg.Message)
	case pg.Code == undefinedColumn:
		return problem(ErrColumns, pg, "%s", pg.Message)
	case pg.Severity == "FATAL" || d.conn.IsClosed(): // an administrator ended the connection, or PostgreSQL shuts down
		return problem(ErrAway, pg, "connection to PostgreSQL lost: %v", pg)
	}
	return fmt.Errorf("3CX: %w", pg)
}

// failOn is fail for a statement on one table: it names the statements that cure a missing privilege.
func (d *DB) failOn(t table, err error) error {
	if code(err) != insufficientPrivilege {
		return d.fail(err)
	}
	return problem(ErrPrivilege, err, "role %q may not read %s; its owner runs: GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s",
		d.role(), t.sql(), identifier(t.schema), identifier(d.role()), t.sql(), identifier(d.role()))
}

// failQuery is fail for the query of Options.
func (d *DB) failQuery(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code != insufficientPrivilege && (strings.HasPrefix(pg.Code, "42") || pg.Code == readOnlyTransaction) {
		return problem(ErrQuery, pg, "PostgreSQL refused the query: %s", pg.Message)
	}
	return d.fail(err)
}

func (d *DB) role() string { return d.conn.Config().User }
