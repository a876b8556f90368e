package store

import (
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"f2bc/store/mariadbtest"
)

// fleet is a database with the accounts that setup mysql prints, all with the password "sesame".
type fleet struct {
	server   *mariadbtest.Server
	database string
	admin    *Store
}

func newFleet(t testing.TB, servers ...string) *fleet {
	t.Helper()
	return newFleetWith(t, "", servers...)
}

// oldGrants are what an older f2bc granted to a server's account.
const oldGrants = `
REVOKE EXECUTE ON {db*}.* FROM '{account}'@'%';
GRANT INSERT, UPDATE ON {db}.own_report TO '{account}'@'%';
GRANT INSERT, UPDATE ON {db}.own_lift TO '{account}'@'%';
GRANT INSERT, UPDATE ON {db}.own_host TO '{account}'@'%';
GRANT INSERT ON {db}.own_event TO '{account}'@'%';
`

// newFleetWith runs further statements for each server's account.
func newFleetWith(t testing.TB, statements string, servers ...string) *fleet {
	t.Helper()
	return newFleetOn(t, mariadbtest.Shared(t), statements, servers...)
}

func newFleetOn(t testing.TB, server *mariadbtest.Server, statements string, servers ...string) *fleet {
	t.Helper()
	f := &fleet{server: server}
	f.database = f.server.Database(t) + "_x" // _ is a wildcard in some grants
	run := func(statements string) {
		t.Helper()
		f.server.Exec(t, PasswordPlace.ReplaceAllString(statements, "'sesame'"))
	}
	all, err := NewAccounts(f.database, "nobody")
	check(t, err)
	run(all.Database)
	initStore(t, f.options("f2bc_owner"))
	run(all.People)
	for _, name := range servers {
		own, err := NewAccounts(f.database, name)
		check(t, err)
		run(own.Server)
		if statements != "" {
			run(strings.NewReplacer("{db}", f.database, "{db*}", "`"+strings.ReplaceAll(f.database, "_", `\_`)+"`", "{account}", name).Replace(statements))
		}
	}
	f.admin = f.open(t, "f2bc_admin")
	return f
}

func (f *fleet) options(account string) Options {
	dsn := strings.Replace(f.server.DSN(f.database), "root@", url.PathEscape(account)+":sesame@", 1)
	return Options{DSN: dsn}
}

func (f *fleet) open(t testing.TB, account string) *Store {
	t.Helper()
	s, err := Open(t.Context(), f.options(account))
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// raw opens a connection of an account as any client could.
func (f *fleet) raw(t testing.TB, account string) *sql.DB {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = account, "sesame", f.database
	cfg.Net, cfg.Addr = "tcp", fmt.Sprint("127.0.0.1:", f.server.Port)
	cfg.MultiStatements = true
	db, err := sql.Open("mysql", cfg.FormatDSN())
	check(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}
