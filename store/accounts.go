package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Privileges are granted account by account: MariaDB and MySQL differ in how a role becomes an account's own.
const (
	databaseSQL = `CREATE DATABASE IF NOT EXISTS {db} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER IF NOT EXISTS 'f2bc_owner'@'%' IDENTIFIED BY <password of f2bc_owner>;
GRANT ALL PRIVILEGES ON {db*}.* TO 'f2bc_owner'@'%';
GRANT SELECT ON mysql.tables_priv TO 'f2bc_owner'@'%';
`
	serverSQL = `CREATE USER IF NOT EXISTS {account}@'%' IDENTIFIED BY <password of {source}>
  WITH MAX_USER_CONNECTIONS 20;
GRANT SELECT, EXECUTE ON {db*}.* TO {account}@'%';
`
	// What an older f2bc granted: its binaries write through these views, whose rights the procedures make superfluous.
	revokeSQL = `REVOKE INSERT, UPDATE ON {db}.own_report FROM {account}@'%';
REVOKE INSERT, UPDATE ON {db}.own_lift FROM {account}@'%';
REVOKE INSERT, UPDATE ON {db}.own_host FROM {account}@'%';
REVOKE INSERT ON {db}.own_event FROM {account}@'%';
`
	peopleSQL = `CREATE USER IF NOT EXISTS 'f2bc_admin'@'%' IDENTIFIED BY <password of f2bc_admin>;
GRANT SELECT, INSERT, UPDATE ON {db*}.* TO 'f2bc_admin'@'%';
CREATE USER IF NOT EXISTS 'f2bc_reader'@'%' IDENTIFIED BY <password of f2bc_reader>;
GRANT SELECT ON {db*}.* TO 'f2bc_reader'@'%';
`
)

// PasswordPlace stands in the statements where a password belongs.
var PasswordPlace = regexp.MustCompile(`<password of [^>]*>`)

// Accounts are the SQL statements by which an admin gives a fleet its accounts, each in need of a password where it says
// <password of …>: until then none of them runs.
type Accounts struct {
	Database string // makes it, and the owner's account, which makes the tables and prunes
	Server   string // makes a server's own account, once there are tables
	Revoke   string // takes the rights from a server's account that an older f2bc gave it
	People   string // makes accounts that may write everything, and nothing, once there are tables
}

// NewAccounts returns the statements for the database of a DSN and for the server whose source is given.
func NewAccounts(database, source string) (Accounts, error) {
	// The procedures know the account as USER() says it, up to the first @, in at most three bytes a character.
	bad := func(r rune) bool {
		return strings.ContainsRune("@'`\\", r) || r > 0xffff || r == utf8.RuneError || !unicode.IsPrint(r)
	}
	if strings.ContainsFunc(source, bad) {
		return Accounts{}, fmt.Errorf("source %q: %w", source, errNoAccount)
	}
	if strings.ContainsFunc(database, bad) {
		return Accounts{}, fmt.Errorf("database %q: %w", database, errNoAccount)
	}
	fill := strings.NewReplacer("{source}", source, "{account}", quote(source), "{db}", "`"+database+"`",
		"{db*}", "`"+strings.NewReplacer("_", `\_`, "%", `\%`).Replace(database)+"`") // a pattern there
	return Accounts{fill.Replace(databaseSQL), fill.Replace(serverSQL), fill.Replace(revokeSQL), fill.Replace(peopleSQL)}, nil
}

var errNoAccount = errors.New("a database account cannot be limited to a name with @, quotes, backslashes or what is not printed; choose another name")

// DropAccount drops the accounts of a server, and returns the statement that does it. It is empty where there is none, or one
// with rights that a server's account never has: it is somebody's, and stays, as err says. With another error the statement is
// for somebody who may do it.
func (s *Store) DropAccount(ctx context.Context, name string) (statement string, err error) {
	if _, err := NewAccounts(s.dsn.Database, name); s.Embedded() || err != nil {
		return "", nil // what is printed may be pasted into root's client
	}
	var accounts []string
	err = s.query(ctx, s.db, "SELECT Host FROM mysql.user WHERE User = ?", []any{name}, func(scan scanner) error {
		var host string
		err := scan(&host)
		accounts = append(accounts, quote(name)+"@"+quote(host))
		return err
	})
	if err != nil {
		return "DROP USER " + quote(name) + "@'%'", err
	}
	for _, account := range accounts {
		if err := s.onlyServers(ctx, account); err != nil {
			return "", err
		}
	}
	if len(accounts) == 0 {
		return "", nil
	}
	statement = "DROP USER " + strings.Join(accounts, ", ")
	_, err = s.db.ExecContext(ctx, statement)
	return statement, err
}

// onlyServers says why an account may be more than a server's.
func (s *Store) onlyServers(ctx context.Context, account string) error {
	return s.query(ctx, s.db, "SHOW GRANTS FOR "+account, nil, func(scan scanner) error {
		var grant string
		if err := scan(&grant); err != nil {
			return err
		}
		privileges, on, _ := strings.Cut(strings.TrimPrefix(grant, "GRANT "), " ON ")
		on = strings.NewReplacer(`\_`, "_", `\%`, "%").Replace(on)
		allowed := []string{"USAGE"}
		switch database := "`" + s.dsn.Database + "`."; {
		case strings.HasPrefix(on, database+"* TO "):
			allowed = []string{"SELECT", "EXECUTE"}
		case strings.HasPrefix(on, database+"`"+ownViews):
			allowed = []string{"INSERT", "UPDATE"}
		}
		for privilege := range strings.SplitSeq(privileges, ", ") {
			if !slices.Contains(allowed, privilege) {
				return fmt.Errorf("%s may do more than a server", account)
			}
		}
		return nil
	})
}

// OldAccounts returns the accounts that still have the rights on views that an older f2bc gave them. known is false where this
// account may not see that.
func (s *Store) OldAccounts(ctx context.Context) (accounts []string, known bool, err error) {
	if s.Embedded() || !s.hasProcedures {
		return nil, true, nil
	}
	const query = `
SELECT DISTINCT CONCAT('''', User, '''@''', Host, '''') FROM mysql.tables_priv
WHERE Db = ? AND Table_name IN ('own_report', 'own_lift', 'own_event', 'own_host') AND Table_priv <> '' ORDER BY 1`
	err = retry(ctx, func(ctx context.Context) error {
		accounts = nil
		return s.query(ctx, s.db, query, []any{s.dsn.Database}, func(scan scanner) error {
			var account string
			err := scan(&account)
			accounts = append(accounts, account)
			return err
		})
	})
	if denied(err) {
		return nil, false, nil
	}
	return accounts, err == nil, err
}
