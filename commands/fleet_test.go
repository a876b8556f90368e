package commands

import (
	"bytes"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"testing"

	"f2bc/store"
	"f2bc/store/mariadbtest"
)

// testFleet is a database with the accounts that setup mysql prints, all with the password "sesame", and f2bc on its
// servers.
type testFleet struct {
	t        *testing.T
	server   *mariadbtest.Server
	database string
	addr     string            // of the database, for those who come over TCP
	state    map[string]string // the state directory of each source
	db       *sql.DB           // root's
}

// newTestFleet makes a database on a server that runs, with accounts for these hosts.
func newTestFleet(t *testing.T, server *mariadbtest.Server, hosts ...string) *testFleet {
	t.Helper()
	f := &testFleet{t: t, server: server, state: map[string]string{}}
	f.addr = net.JoinHostPort("127.0.0.1", fmt.Sprint(server.Port))
	f.database = server.Database(t) + "_x" // _ is a wildcard in some grants
	all := f.accounts("nobody")
	f.exec(all.Database)
	f.run("f2bc_owner", "hub", 0, "init")
	f.exec(all.People)
	for _, host := range hosts {
		f.exec(f.accounts(host).Server)
	}
	f.db = server.Open(t, f.database)
	return f
}

func (f *testFleet) accounts(host string) store.Accounts {
	f.t.Helper()
	accounts, err := store.NewAccounts(f.database, host)
	if err != nil {
		f.t.Fatal(err)
	}
	return accounts
}

// exec runs statements as root, as printed but for the passwords.
func (f *testFleet) exec(statements string) {
	f.t.Helper()
	f.server.Exec(f.t, store.PasswordPlace.ReplaceAllString(statements, "'sesame'"))
}

func (f *testFleet) dsn(account string) string {
	if account == "root" {
		return "mysql://root@/" + f.database + "?socket=" + f.server.Socket()
	}
	return fmt.Sprintf("mysql://%s:sesame@%s/%s", account, f.addr, f.database)
}

// run runs f2bc on a host with an account, and returns all that it prints.
func (f *testFleet) run(account, source string, want int, args ...string) string {
	f.t.Helper()
	if f.state[source] == "" {
		f.state[source] = f.t.TempDir()
	}
	f.t.Setenv("F2BC_DSN", f.dsn(account))
	f.t.Setenv("F2BC_SOURCE", source)
	f.t.Setenv("F2BC_STATE_DIR", f.state[source])
	var out bytes.Buffer
	if got := Run(f.t.Context(), append([]string{"f2bc"}, args...), nil, &out, &out); got != want {
		f.t.Errorf("%s on %s: %q ended with %d, want %d: %s", account, source, args, got, want, &out)
	}
	return out.String()
}

// host runs f2bc on a host with that host's own account.
func (f *testFleet) host(name string, want int, args ...string) string {
	f.t.Helper()
	return f.run(name, name, want, args...)
}

// banned returns the addresses that a host exports, in one line.
func (f *testFleet) banned(name string) string {
	f.t.Helper()
	_, list, _ := strings.Cut(f.host(name, 0, "export"), "\n")
	return strings.Join(strings.Fields(list), " ")
}

// open opens the store with an account as its own host.
func (f *testFleet) open(account string) *store.Store {
	f.t.Helper()
	st, err := store.Open(f.t.Context(), store.Options{DSN: f.dsn(account), Warn: f.t.Logf})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { st.Close() })
	return st
}

// sql runs a statement in the database as root.
func (f *testFleet) sql(statement string, args ...any) {
	f.t.Helper()
	if _, err := f.db.Exec(statement, args...); err != nil {
		f.t.Fatalf("%s: %v", statement, err)
	}
}

// value returns the one value that a query as root gives.
func (f *testFleet) value(query string, args ...any) (text string) {
	f.t.Helper()
	if err := f.db.QueryRow(query, args...).Scan(&text); err != nil {
		f.t.Fatalf("%s: %v", query, err)
	}
	return text
}

// startMariaDB starts a server for one test, with further arguments.
func startMariaDB(t *testing.T, args ...string) *mariadbtest.Server {
	t.Helper()
	server := mariadbtest.New(t)
	server.Args = args
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	return server
}

// wantText wants each of texts in what was printed.
func wantText(t *testing.T, printed string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(printed, text) {
			t.Errorf("printed %q, want %q", printed, text)
		}
	}
}
