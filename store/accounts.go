package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Privileges are granted account by account: MariaDB and MySQL differ in how a role becomes an account's own.
const (
	databaseSQL = `CREATE DATABASE IF NOT EXISTS {db} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER IF NOT EXISTS 'f2bc_owner'@'%' IDENTIFIED BY <password of f2bc_owner>;
GRANT ALL PRIVILEGES ON {db*}.* TO 'f2bc_owner'@'%';
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
	// The views know the account as USER() says it, up to the first @, in at most three bytes a character.
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
