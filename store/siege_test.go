package store

import (
	"database/sql"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A siege is a fleet in which a thief has the account of web1, and may send any SQL. After every statement it looks at
// the tables as root, and at the list as the host web2 sees it.
type siege struct {
	*fleet
	thief, root *sql.DB
	other       *Store // of web2
	resolves    bool   // the database asks the DNS who connects
	views       bool   // the thief may write to the views, and so move his rows away
	count       int    // of the statements that were tried
	start       *rowModel
	others      string // all that is not web1's
	own         map[modelKey]ownRow
	events      map[string]bool // of web1
	bans        string          // by the model
}

// ownRow is a row of web1's in report, or with at only in lift.
type ownRow struct {
	modelReport
	mark Time
}

// newSiege makes what stands in the tables when the thief comes: an admin lifted the first of web1's reports exactly, the
// second for all of web1's reasons and the third for everybody, and forced two, of which one is in force.
func newSiege(t *testing.T, f *fleet) *siege {
	t.Helper()
	s := &siege{fleet: f, thief: f.raw(t, "web1"), root: f.server.Open(t, f.database), other: f.open(t, "web2"),
		start: &rowModel{}}
	f.server.Exec(t, "SET time_zone = '+00:00'")
	web1, now := f.open(t, "web1"), f.admin.clock.now()-1_000_000
	forced := Fact{Prefix: netip.MustParsePrefix("203.0.113.9/32"), Source: "web1", Reason: "admin", Bantime: Forever,
		Forced: true, At: now - 90}
	later, first, far := forced, forced, forced
	first.Reason, later.Reason, later.At, later.Forced = "later", "later", now-80, false
	far.Prefix, far.Source = netip.MustParsePrefix("198.18.0.0/16"), "f2bc_admin"
	check(t, web1.Write(t.Context(), []Fact{
		report("203.0.113.1/32", "web1", now-100, Forever), report("203.0.113.2/32", "web1", now-100, Forever),
		report("203.0.113.3/32", "web1", now-100, Forever), report("203.0.113.7/32", "web1", now-100, time.Hour),
		report("2001:db8::1/128", "web1", now-100, Forever), lift("198.51.100.0/24", "web1", "", now-100),
	}))
	check(t, f.admin.Write(t.Context(), []Fact{
		forced, first, later, far,
		lift("203.0.113.1/32", "web1", "sshd", now-50), lift("203.0.113.2/32", "web1", "", now-50),
		lift("203.0.113.3/32", "", "", now-50),
	}))
	check(t, s.other.Write(t.Context(), []Fact{
		report("203.0.113.6/32", "web2", now-100, Forever), report("203.0.113.1/32", "web2", now-100, time.Hour),
		lift("198.51.100.0/24", "web2", "", now-100),
	}))
	check(t, f.admin.Write(t.Context(), []Fact{report("203.0.113.5/32", "web3", now-100, Forever)}))
	_, err := f.admin.Block(t.Context(), "web3")
	check(t, err)
	_, err = f.admin.AddAllow(t.Context(), []string{"192.0.2.1"})
	check(t, err)
	for _, s := range []*Store{web1, s.other} {
		writeHost(t, s, Host{Name: s.source})
	}
	s.others, s.own, s.events = s.look(t)
	for _, row := range slices.Collect(maps.Values(s.own)) {
		s.start.reports = append(s.start.reports, row.modelReport)
	}
	s.bans = s.list(t)
	wantBanned(t, s.other, "198.18.0.0/16 203.0.113.1/32 203.0.113.6/32 203.0.113.7/32 203.0.113.9/32 2001:db8::1/128")
	return s
}

// look reads the sums of what is not web1's, and what is.
func (s *siege) look(t *testing.T) (others string, own map[modelKey]ownRow, events map[string]bool) {
	t.Helper()
	var sums []string
	for _, q := range []struct{ table, columns string }{
		{"report WHERE source <> 'web1'",
			"HEX(addr), len, HEX(source), HEX(reason), at, expires, forced, longest, lifted, mark"},
		{"lift WHERE source <> 'web1'", "HEX(addr), len, HEX(source), HEX(reason), at, mark"},
		{"event WHERE source <> 'web1' OR who NOT LIKE 'web1@%'",
			"HEX(addr), len, at, HEX(source), HEX(reason), expires, forced, HEX(who), mark"},
		{"host WHERE source <> 'web1'",
			"HEX(source), version, HEX(address), at, wanted, installed, mode, error, mark, moved"},
		{"allow", "HEX(entry), at, removed, HEX(who), mark"},
		{"source", "HEX(name), blocked, released, HEX(who), mark"},
		{"meta", "HEX(name), HEX(value)"},
	} {
		sums = append(sums,
			"SELECT '"+q.table[:4]+"', COUNT(*), COALESCE(SUM(CRC32(CONCAT_WS('|', "+q.columns+"))), 0) FROM "+q.table)
	}
	ctx := t.Context()
	check(t, s.admin.query(ctx, s.root, strings.Join(sums, " UNION ALL "), nil, func(scan scanner) error {
		var table, count, sum string
		err := scan(&table, &count, &sum)
		others += table + " " + count + " " + sum + "\n"
		return err
	}))
	own, events = map[modelKey]ownRow{}, map[string]bool{}
	check(t, s.admin.query(ctx, s.root, `
SELECT addr, len, 'report', reason, at, expires, forced, longest, lifted, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark) FROM report WHERE source = 'web1'
UNION ALL
SELECT addr, len, 'lift',   reason, at, 0, 0, 0, 0, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark) FROM lift WHERE source = 'web1'
UNION ALL
SELECT address, 0, 'host', '', at, 0, 0, 0, 0, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark) FROM host WHERE source = 'web1'`,
		nil, func(scan scanner) error {
			var r ownRow
			err := scan(&r.addr, &r.len, &r.source, &r.reason, &r.at, &r.expires, &r.forced, &r.longest, &r.lifted,
				&r.mark)
			own[r.modelKey] = r
			return err
		}))
	check(t, s.admin.query(ctx, s.root,
		"SELECT HEX(addr), len, at, reason, expires, forced, who, mark FROM event WHERE source = 'web1' AND who LIKE 'web1@%'",
		nil, func(scan scanner) error {
			var c [8]string
			err := scan(&c[0], &c[1], &c[2], &c[3], &c[4], &c[5], &c[6], &c[7])
			events[strings.Join(c[:], " ")] = true
			return err
		}))
	return others, own, events
}

// list returns what the model makes of the rows as they are.
func (s *siege) list(t *testing.T) string {
	t.Helper()
	m := &rowModel{blocked: []string{"web3"}}
	m.load(t, s.admin, s.root)
	return m.bans(s.other.clock.now())
}

// restore gives web1 the rows again that it had.
func (s *siege) restore(t *testing.T) {
	t.Helper()
	query := "START TRANSACTION; DELETE FROM report WHERE source = 'web1'; DELETE FROM lift WHERE source = 'web1'; " +
		"DELETE FROM event WHERE source = 'web1' AND who LIKE 'web1@%'; " +
		"UPDATE host SET mark = NOW(6) - INTERVAL 2 HOUR WHERE source = 'web1'" // so that it is to be seen
	for _, r := range s.start.reports {
		switch r.source {
		case "report":
			query += "; INSERT INTO report (addr, len, source, reason, at, expires, forced, longest, lifted) VALUES (X'" +
				fmt.Sprintf("%x', %d, 'web1', '%s', %d, %d, %d, %d, %d)", r.addr, r.len, r.reason, r.at, r.expires,
					r.forced, r.longest, r.lifted)
		case "lift":
			query += fmt.Sprintf("; INSERT INTO lift (addr, len, source, reason, at) VALUES (X'%x', %d, 'web1', '%s', %d)", r.addr, r.len, r.reason, r.at)
		}
	}
	_, err := s.root.Exec(query + "; COMMIT")
	check(t, err)
	_, s.own, s.events = s.look(t)
	s.bans = s.list(t)
}
