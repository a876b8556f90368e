package store

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

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
	f := &fleet{server: mariadbtest.Shared(t)}
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

// TestOwnAccount: with its own account a server does all that it has to, and the rest fails clearly.
func TestOwnAccount(t *testing.T) {
	smallBatches(t)
	for _, c := range []struct {
		name, statements string
		way              way
	}{{"web1", "", byCall}, {"wéb 1.example-x", "", byCall}, {"web1", oldGrants, byViews}} {
		name := c.name
		f := newFleetWith(t, c.statements, name)
		s := f.open(t, name)
		ctx := t.Context()
		write := func(s *Store, facts ...Fact) error {
			if err := s.Stamp(ctx, facts, time.Time{}); err != nil {
				return err
			}
			return s.Write(ctx, facts)
		}
		check(t, write(s, report("203.0.113.6/32", name, 0, Forever), report("198.51.100.0/24", name, 0, time.Hour)))
		check(t, write(s, report("203.0.113.6/32", name, 0, time.Hour), report("2001:db8::1/128", name, 0, Forever)))
		writeHost(t, s, Host{Name: name, Version: "1", Mode: "enforce"})
		writeHost(t, s, Host{Name: name, Version: "2", Mode: "enforce"})
		wantBanned(t, s, "198.51.100.0/24 203.0.113.6/32 2001:db8::1/128")
		check(t, write(s, lift("198.51.100.0/23", name, "", 0), lift("203.0.113.6/32", name, "sshd", 0)))
		wantBanned(t, s, "2001:db8::1/128")
		again := []Fact{report("203.0.113.6/32", name, s.clock.now(), Forever)}
		check(t, s.Write(ctx, again))
		f.server.Exec(t, "UPDATE "+f.database+".report SET mark = '2020-01-01'; UPDATE "+f.database+".lift SET mark = '2020-01-01'")
		check(t, s.Write(ctx, append(again, lift("198.51.100.0/23", name, "", 1)))) // as an outbox may
		if w := way(s.ways.Load()); w != c.way {
			t.Errorf("wrote in the way %d, want %d", w, c.way)
		}

		for _, c := range []struct {
			err  error
			want string
		}{
			{write(s, lift("203.0.113.6/32", "", "", 0)), "can lift only its own reports"},
			{write(s, lift("203.0.113.6/32", "web2", "sshd", 0)), "can lift only its own reports"},
			{write(s, report("203.0.113.6/32", "web2", 0, Forever)), "can report only as source"},
			{write(s, Fact{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Source: name, Reason: "x", Bantime: Forever, Forced: true}), "cannot force a ban"},
			{allowError(s.AddAllow(ctx, []string{"192.0.2.1"})), "cannot change the never-ban list"},
			{hostError(s.WriteHost(ctx, Host{Name: "web2"})), "can write only as source"},
		} {
			want := "this host's account " + c.want
			if !errors.Is(c.err, ErrNotOwn) || !strings.Contains(c.err.Error(), want) || !strings.HasSuffix(c.err.Error(), "; use your admin configuration") {
				t.Errorf("%v, want %q", c.err, want)
			}
		}

		var many []Fact
		for i := range 20 {
			many = append(many, report(fmt.Sprintf("192.0.2.%d/32", 100+i), name, 0, time.Hour))
		}
		check(t, write(s, many...))
		for i := range many {
			many[i] = lift(many[i].Prefix.String(), name, "sshd", 0)
		}
		check(t, write(s, many...))
		wantBanned(t, s, "203.0.113.6/32 2001:db8::1/128")

		// What is its own is written, though another's stands beside it.
		err := write(s, report("192.0.2.1/32", "web2", 0, Forever), report("192.0.2.2/32", name, 0, Forever))
		if !errors.Is(err, ErrNotOwn) {
			t.Error("another's fact beside an own one:", err)
		}
		wantBanned(t, s, "192.0.2.2/32 203.0.113.6/32 2001:db8::1/128")

		// The admin may do all that, and everybody can read who did it.
		_, err = f.admin.AddAllow(ctx, []string{"192.0.2.1"})
		check(t, err)
		check(t, write(f.admin, lift("0.0.0.0/0", "", "", 0)))
		check(t, write(f.admin, report("192.0.2.9/32", "web2", 0, Forever)))
		wantBanned(t, s, "192.0.2.9/32 2001:db8::1/128")
		events, _, err := s.History(ctx, netip.Prefix{}, Filter{}, 100)
		check(t, err)
		who := map[string]int{}
		for _, e := range events {
			who[e.Who]++
		}
		if len(events) != 51 || who["f2bc_admin@127.0.0.1"] != 2 || who[name+"@127.0.0.1"] != 49 {
			t.Errorf("%d events by %v", len(events), who)
		}
		if _, err := f.admin.db.Exec("DELETE FROM event"); !denied(err) {
			t.Error("an admin's account may delete:", err)
		}
	}
}

func allowError(_ []string, err error) error { return err }

func hostError(_ string, err error) error { return err }

func writeHost(t testing.TB, s *Store, h Host) {
	t.Helper()
	_, err := s.WriteHost(t.Context(), h)
	check(t, err)
}

// TestAccounts: accounts that are not a server's own write to the tables, or say what they lack.
func TestAccounts(t *testing.T) {
	f := newFleet(t, "web1")
	fact := func(source string) []Fact {
		return []Fact{report("203.0.113.6/32", source, 1_700_000_000_000_000, Forever)}
	}

	reader := f.open(t, "f2bc_reader")
	for _, source := range []string{"f2bc_reader", "web1"} {
		err := reader.Write(t.Context(), fact(source))
		if err == nil || errors.Is(err, ErrNotOwn) || !strings.Contains(err.Error(), "lacks a privilege") {
			t.Errorf("a reader writes as %s: %v", source, err)
		}
	}

	// One account that several servers share, and one of a database without views.
	f.server.Exec(t, "CREATE USER shared@'%' IDENTIFIED BY 'sesame'; GRANT SELECT ON "+f.database+".* TO shared@'%'")
	for _, table := range []string{"report", "lift", "event", "host"} {
		f.server.Exec(t, "GRANT INSERT, UPDATE ON "+f.database+"."+table+" TO shared@'%'")
	}
	for _, source := range []string{"web7", "shared"} {
		s := f.open(t, "shared")
		check(t, s.Write(t.Context(), fact(source)))
		writeHost(t, s, Host{Name: source})
		if way(s.ways.Load()) != map[string]way{"web7": byCall, "shared": byTables}[source] {
			t.Errorf("source %s: way %d", source, s.ways.Load())
		}
	}
	f.server.Exec(t, "DROP VIEW "+f.database+".own_report")
	owner := f.open(t, "f2bc_owner")
	check(t, owner.Write(t.Context(), fact("f2bc_owner")))
	bans, err := f.admin.List(t.Context(), Filter{})
	check(t, err)
	if len(bans) != 1 || !slices.Equal(bans[0].Sources, []string{"f2bc_owner", "shared", "web7"}) {
		t.Errorf("%+v", bans)
	}
	for _, bad := range []string{"web@1", "web'1", `web\1`, "web`1", "web\n1", "web\xff", "web\U0001f600"} {
		if _, err := NewAccounts("f2bc", bad); err == nil {
			t.Errorf("an account for %q", bad)
		}
	}
}

// TestProvenance: with the account of web1 any client may try any SQL: the database itself refuses what is not web1's own.
func TestProvenance(t *testing.T) {
	f := newFleetWith(t, oldGrants, "web1", "web2")
	now, err := f.admin.Now(t.Context())
	check(t, err)
	forced := Fact{Prefix: netip.MustParsePrefix("203.0.113.9/32"), Source: "web1", Reason: "admin", Bantime: Forever, Forced: true, At: now - 90}
	later := forced
	later.At, later.Forced, later.Reason = now-80, false, "later"
	first := later
	first.At, first.Forced = now-90, true
	check(t, f.admin.Write(t.Context(), []Fact{
		report("203.0.113.6/32", "web2", now-100, Forever), lift("198.51.100.0/24", "web2", "", now-100), lift("192.0.2.0/24", "", "", now-100),
		forced, first, later,
	}))
	_, err = f.admin.AddAllow(t.Context(), []string{"192.0.2.1"})
	check(t, err)
	writeHost(t, f.admin, Host{Name: "web2"})
	own := []Fact{report("203.0.113.7/32", "web1", now-100, Forever), lift("198.51.100.0/24", "web1", "", now-100)}
	db := f.raw(t, "web1")

	const report = "INSERT INTO own_report (addr, len, source, reason, at, expires, forced, longest, lifted) VALUES "
	const ahead = "UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 + 61000000"
	attacks := []string{
		"INSERT INTO report (addr, len, source, reason, at, expires) VALUES (X'CB007108', 32, 'web1', 'sshd', 1, 2)",
		"UPDATE report SET lifted = 5 WHERE source = 'web1'",
		"DELETE FROM report", "DELETE FROM own_report", "DELETE FROM own_event", "TRUNCATE report", "DROP VIEW own_report",
		"REPLACE INTO own_report (addr, len, source, reason, at, expires) VALUES (X'CB007107', 32, 'web1', 'sshd', 1, 2)",
		"LOCK TABLES report WRITE", "CREATE VIEW mine AS SELECT 1", "CREATE TRIGGER t BEFORE INSERT ON report FOR EACH ROW SET NEW.source = 'x'",

		// What is another's.
		report + "(X'CB007106', 32, 'web2', 'sshd', 5, 6, 0, 6, 7) ON DUPLICATE KEY UPDATE lifted = VALUES(lifted)",
		report + "(X'CB007107', 32, 'web1', 'sshd', 5, 6, 0, 6, 7) ON DUPLICATE KEY UPDATE source = 'web2'",
		report + "(X'CB007108', 32, 'web2', 'sshd', 5, 6, 0, 6, 7), (X'CB007107', 32, 'web1', 'sshd', 5, 6, 0, 6, 7)",
		"INSERT INTO own_report (addr, len, source, reason, at, expires) SELECT addr, len, 'web2', 'forged', at, expires FROM report",
		"UPDATE own_report SET source = 'web2'",
		"UPDATE own_report JOIN meta SET own_report.source = 'web2'",
		"UPDATE own_report JOIN report AS r SET r.lifted = 5",
		"PREPARE s FROM '" + strings.ReplaceAll(report, "'", "''") + "(?, 32, ?, ''x'', 5, 6, 0, 6, 0)'; SET @a = X'01020304', @s = 'web2'; EXECUTE s USING @a, @s",

		// A date ahead, by whatever clock a session shows.
		report + "(X'CB007108', 32, 'web1', 'sshd', 4070908800000000, 9223372036854775807, 0, 0, 0)",
		report + "(X'CB007108', 32, 'web1', 'sshd', " + ahead + ", 9223372036854775807, 0, 0, 0)",
		report + "(X'CB007108', 32, 'web1', 'sshd', 0, 0, 0, 0, " + ahead + ")",
		"UPDATE own_report SET lifted = " + ahead,
		"SET timestamp = 2147483647; " + report + "(X'CB007108', 32, 'web1', 'sshd', 2147483647000000, 9223372036854775807, 0, 0, 0)",
		"SET time_zone = '+13:00'; " + report + "(X'CB007108', 32, 'web1', 'sshd', UNIX_TIMESTAMP() * 1000000 + 3600000000, 9223372036854775807, 0, 0, 0)",
		"INSERT INTO own_lift (addr, len, source, reason, at) VALUES (X'CB007100', 24, 'web1', '', " + ahead + ")",
		// A mark ahead, which would hide what others write from those who ask for what is newer.
		"SET timestamp = 2147483647; " + report + "(X'CB007108', 32, 'web1', 'sshd', 5, 6, 0, 6, 0)",
		"SET timestamp = 2147483647; UPDATE own_report SET at = at + 1",
		"SET time_zone = '+13:00'; UPDATE own_report SET at = at + 1",
		"SET time_zone = '+13:00'; UPDATE own_lift SET at = at + 1",

		// A mark back, which would look like a restored backup.
		"UPDATE own_report SET mark = '2020-01-01'", "UPDATE own_lift SET mark = '2020-01-01'",
		"SET timestamp = 1000000; UPDATE own_report SET at = at + 1",
		"INSERT INTO own_report (addr, len, source, reason, mark) VALUES (X'CB007107', 32, 'web1', 'sshd', SYSDATE(6)) ON DUPLICATE KEY UPDATE mark = '2020-01-01'",

		// A forced report, also an admin's that is not in force any more.
		report + "(X'0A000000', 8, 'web1', 'sshd', 5, 9223372036854775807, 5, 5, 0)",
		"UPDATE own_report SET forced = at",
		report + "(X'CB007109', 32, 'web1', 'admin', 5, 6, 0, 6, 0) ON DUPLICATE KEY UPDATE expires = VALUES(expires)",
		report + "(X'CB007109', 32, 'web1', 'later', 5, 6, 0, 6, 0) ON DUPLICATE KEY UPDATE at = forced",
		report + "(X'CB007109', 32, 'web1', 'later', 5, 6, 0, 6, 0) ON DUPLICATE KEY UPDATE at = 0",

		// Wide lifts, lifts of another, allows, meta.
		"INSERT INTO lift (addr, len, source, reason, at) VALUES (X'CB007100', 24, '', '', 5)",
		"INSERT INTO own_lift (addr, len, source, reason, at) VALUES (X'CB007100', 24, '', '', 5)",
		"INSERT INTO own_lift (addr, len, source, reason, at) VALUES (X'CB007100', 24, 'web2', '', 5)",
		"INSERT INTO own_lift (addr, len, source, reason, at) VALUES (X'C6336400', 24, 'web2', '', 5) ON DUPLICATE KEY UPDATE at = 5",
		"UPDATE own_lift SET source = ''",
		"INSERT INTO allow (entry, at, who) VALUES ('203.0.113.6', 5, 'root')",
		"UPDATE allow SET removed = at",
		"UPDATE meta SET value = '999' WHERE name = 'min_binary'",

		// History is added to under one's own name and at its time, and never changed.
		"INSERT INTO own_event (addr, len, at, source, reason, expires, forced, who) VALUES (X'CB007106', 32, 5, 'web2', 'sshd', 6, 0, USER())",
		"INSERT INTO own_event (addr, len, at, source, reason, expires, forced, who) VALUES (X'CB007106', 32, 5, 'web1', 'sshd', 6, 0, 'web2@127.0.0.1')",
		"INSERT INTO own_event (addr, len, at, source, reason, expires, forced, who) VALUES (X'CB007106', 32, 5, 'web1', 'sshd', 6, 1, USER())",
		"SET timestamp = 1000000; INSERT INTO own_event (addr, len, at, source, reason, expires, forced, who) VALUES (X'CB007106', 32, 5, 'web1', 'sshd', 6, 0, USER())",
		"UPDATE own_event SET at = 5", "UPDATE event SET at = 5",

		// The address of a host is what the database sees: nobody shields himself by naming one.
		"INSERT INTO own_host (source, version, address, at, wanted, installed, mode, error) VALUES ('web1', '', '203.0.113.6', 5, 0, 0, '', '')",
		"INSERT INTO own_host (source, version, address, at, wanted, installed, mode, error) VALUES ('web2', '', '127.0.0.1', 5, 0, 0, '', '')",
		"INSERT INTO own_host (source, version, address, at, wanted, installed, mode, error) VALUES ('web1', '', '127.0.0.1', " + ahead + ", 0, 0, '', '')",
	}
	for _, name := range []string{"web2", "WEB1", "wéb1", "web1 ", "web1\x00", ""} {
		attacks = append(attacks, report+"(X'CB007108', 32, '"+name+"', 'sshd', 5, 6, 0, 6, 0)")
	}
	web1 := f.open(t, "web1")
	for _, attack := range attacks {
		ignoring := strings.Replace(attack, "INSERT INTO own", "INSERT IGNORE INTO own", 1)
		ignoring = strings.Replace(ignoring, "UPDATE own", "UPDATE IGNORE own", 1)
		for _, attack := range []string{attack, "SET sql_mode = ''; " + attack, ignoring} {
			check(t, web1.Write(t.Context(), own)) // its view shows what was just written
			before := checksums(t, f.admin)
			err := attempt(t, db, attack)
			if after := checksums(t, f.admin); after != before {
				t.Fatalf("%s: %v; it changed\n%s to\n%s", attack, err, before, after)
			}
			// An update may find nothing to change, and IGNORE turns some errors into warnings.
			if !slices.Contains([]uint16{1369, 1142, 1044, 1227}, number(err)) && !strings.Contains(attack, "UPDATE own") && attack != ignoring {
				t.Errorf("%s: %v", attack, err)
			}
		}
	}

	// Nor does a name that is like another's open its account.
	for _, name := range []string{"WEB1", "wéb1", "web1 "} {
		if err := f.raw(t, name).Ping(); err == nil {
			t.Errorf("logged in as %q", name)
		}
	}
}

// attempt runs statements on a connection of their own.
func attempt(t *testing.T, db *sql.DB, statements string) error {
	t.Helper()
	conn, err := db.Conn(t.Context())
	check(t, err)
	defer conn.Close()
	defer conn.Raw(func(any) error { return driver.ErrBadConn }) // what it set must not stay
	_, err = conn.ExecContext(t.Context(), statements)
	return err
}

// checksums sums up all that the tables hold.
func checksums(t *testing.T, s *Store) (sums string) {
	t.Helper()
	check(t, s.query(t.Context(), s.db, "CHECKSUM TABLE report, lift, event, allow, host, meta", nil, func(scan scanner) error {
		var table string
		var sum int64
		err := scan(&table, &sum)
		sums += fmt.Sprint(table, " ", sum, " ")
		return err
	}))
	return sums
}

// TestOwnerGone: procedures and views run with the rights of the account that made them. Without it a fact is not lost: it waits.
func TestOwnerGone(t *testing.T) {
	for _, grants := range []string{"", oldGrants} {
		f := newFleetWith(t, grants, "web1")
		web1 := f.open(t, "web1")
		facts := []Fact{report("203.0.113.6/32", "web1", 1_700_000_000_000_000, Forever)}
		f.server.Exec(t, "RENAME USER f2bc_owner TO somebody")
		err := web1.Write(t.Context(), facts)
		f.server.Exec(t, "RENAME USER somebody TO f2bc_owner")
		if err == nil || Rejected(err) || errors.Is(err, ErrNotOwn) {
			t.Error("without the owner's account:", err)
		}
		check(t, web1.Write(t.Context(), facts))
		same := facts[0]
		same.Reason, same.At = "forced", facts[0].At+1
		forced := same
		forced.Forced = true
		check(t, f.admin.Write(t.Context(), []Fact{forced}))
		err = web1.Write(t.Context(), []Fact{same})
		if grants == "" {
			check(t, err) // it changes nothing
		} else if !Rejected(err) || !strings.Contains(err.Error(), "none in place of a forced report") {
			t.Error("in place of a forced report:", err)
		}
		bans, err := f.admin.List(t.Context(), Filter{Reason: "forced"})
		check(t, err)
		if len(bans) != 1 || !bans[0].Forced {
			t.Errorf("%+v", bans)
		}
	}
}
