package store

import (
	"slices"
	"strings"
	"testing"

	"f2bc/store/mariadbtest"
)

// TestProvenanceViews: with the rights that an older f2bc granted, where the database can only say what a row may be, no
// statement makes more of web1's rows than facts of its own could. TestViewsLimit has what it may do besides.
func TestProvenanceViews(t *testing.T) {
	onServers(t, oldGrants, func(t *testing.T, s *siege) {
		host, thin := s.peer(t), 1
		s.views = true
		if s.resolves || testing.Short() {
			thin = 5
		}
		for i, statements := range viewStatements(host) {
			if i%thin == 0 {
				s.restore(t) // the views show what was just written
				s.try(t, statements, sense)
			}
		}
		nothing := func(_, _ ownRow, _ Time) string { return "it changed a row" }
		for i, attack := range attacks() {
			ignoring := strings.Replace(attack, "INSERT INTO own", "INSERT IGNORE INTO own", 1)
			ignoring = strings.Replace(ignoring, "UPDATE own", "UPDATE IGNORE own", 1)
			for j, attack := range []string{attack, "SET sql_mode = ''; " + attack, ignoring} {
				if (i+j)%min(thin, 3) != 0 {
					continue
				}
				s.restore(t)
				err := s.try(t, "SET time_zone = '+00:00'; "+strings.ReplaceAll(attack, "'127.0.0.1'", "'"+host+"'"),
					nothing)
				// An update may find nothing to change, and IGNORE turns some errors into warnings.
				if !slices.Contains([]uint16{1369, 1142, 1044, 1227}, number(err)) && !strings.Contains(attack,
					"UPDATE own") && attack != ignoring {
					t.Errorf("%s: %v", attack, err)
				}
			}
		}
		t.Log(s.count, "statements")
	})
}

// peer returns the address or the name by which the database knows the thief.
func (s *siege) peer(t *testing.T) (peer string) {
	t.Helper()
	check(t, s.thief.QueryRow("SELECT SUBSTRING_INDEX(USER(), '@', -1)").Scan(&peer))
	return peer
}

var viewMarks = []string{"NULL", "DEFAULT", "'2020-01-01'", "'2037-01-01'", "'0000-00-00'", "'x'", "SYSDATE(6)",
	"NOW(6)", "UTC_TIMESTAMP(6)",
	"SYSDATE(6) - INTERVAL 2 SECOND", "SYSDATE(6) - INTERVAL 5 SECOND", "SYSDATE(6) - INTERVAL 1 HOUR",
	"SYSDATE(6) - INTERVAL 2 HOUR",
	"SYSDATE(6) + INTERVAL 1 SECOND", "SYSDATE(6) + INTERVAL 1 HOUR", "UTC_TIMESTAMP(6) - INTERVAL 1 HOUR",
	"UTC_TIMESTAMP(6) + INTERVAL 1 HOUR"}

// viewStatements are statements that try every value in every column of every view, in every form that writes.
func viewStatements(host string) (all []string) {
	const at = "1700000000000000"
	for view, columns := range map[string][]parameter{
		"own_report": {{"addr", "X'CB007107'", addresses}, {"len", "32", lengths}, {"source", "'web1'", names},
			{"reason", "'sshd'", names}, {"at", at, times},
			{"expires", "9223372036854775807", times}, {"forced", "0", append([]string{at}, times...)}, {"longest",
				"9223372036854775807", times},
			{"lifted", "0", times}, {"mark", "SYSDATE(6)", viewMarks}},
		"own_lift": {{"addr", "X'CB007100'", addresses}, {"len", "24", lengths}, {"source", "'web1'", names},
			{"reason", "''", names}, {"at", at, times},
			{"mark", "SYSDATE(6)", viewMarks}},
		"own_event": {{"addr", "X'CB007107'", addresses}, {"len", "32", lengths}, {"at", at, times}, {"source",
			"'web1'", names}, {"reason", "'sshd'", names},
			{"expires", "9223372036854775807", times}, {"forced", "0", lengths}, {"who", "USER()",
				append([]string{"'web2@127.0.0.1'", "CURRENT_USER()"}, names...)}},
		"own_host": {{"source", "'web1'", names}, {"version", "''", names}, {"address", "'" + host + "'",
			append([]string{"'203.0.113.6'", "'127.0.0.2'"}, names...)},
			{"at", at, times}, {"wanted", "0", lengths}, {"installed", "0", lengths}, {"mode", "''", names}, {"error",
				"''", names}},
	} {
		all = append(all, statementsOf(view, columns)...)
	}
	slices.Sort(all) // a map has no order
	all = append(all, statementsNearFolds()...)
	for i, statement := range all {
		session := "SET time_zone = '+00:00'; "
		if i%3 == 0 && !strings.HasPrefix(statement, "SET") {
			session += sessions[i/3%len(sessions)] + "; "
		}
		all[i] = session + statement
	}
	return all
}

// statementsNearFolds try dates ahead and marks of another time, where a change of the clocks may mislead the database.
func statementsNearFolds() (all []string) {
	const utc = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
	ats := []string{"5", µsNow, utc + " + 59000000", utc + " + 61000000", utc + " + 3000000000", utc + " + 6600000000"}
	for _, session := range sessions {
		for _, mark := range viewMarks {
			for i, at := range ats {
				if !strings.HasPrefix(session, "SET time_zone") || i > 0 && !strings.Contains(mark, "UTC") {
					continue
				}
				report := "INSERT INTO own_report (addr, len, source, reason, lifted, mark) VALUES (X'CB007107', 32, 'web1', 'sshd', " + at + ", " + mark + ")"
				lift := "INSERT INTO own_lift (addr, len, source, reason, at, mark) VALUES (X'CB007100', 24, 'web1', '', " + at + ", " + mark + ")"
				all = append(all,
					session+"; "+report+" ON DUPLICATE KEY UPDATE lifted = VALUES(lifted), mark = VALUES(mark)",
					session+"; "+lift+" ON DUPLICATE KEY UPDATE at = VALUES(at), mark = VALUES(mark)")
			}
		}
	}
	return all
}

func statementsOf(view string, columns []parameter) (all []string) {
	var list, good, keep []string
	for _, c := range columns {
		list, good = append(list, c.name), append(good, c.good)
		keep = append(keep, c.name+" = VALUES("+c.name+")")
	}
	into := view + " (" + strings.Join(list, ", ") + ") "
	n := 0
	for i, c := range columns {
		for _, value := range c.tries {
			row := slices.Clone(good)
			row[i] = value
			bad, other := "("+strings.Join(row, ", ")+")", "("+strings.Join(good, ", ")+")"
			forms := []string{
				"INSERT INTO " + into + "VALUES " + bad,
				"UPDATE " + view + " SET " + c.name + " = " + value,
				"INSERT INTO " + into + "VALUES " + other + " ON DUPLICATE KEY UPDATE " + c.name + " = " + value,
				"INSERT IGNORE INTO " + into + "VALUES " + bad,
				"INSERT INTO " + into + "VALUES " + bad + " ON DUPLICATE KEY UPDATE " + strings.Join(keep, ", "),
				"UPDATE IGNORE " + view + " SET " + c.name + " = " + value,
				"REPLACE INTO " + into + "VALUES " + bad,
				"INSERT INTO " + into + "VALUES " + other + ", " + bad + " ON DUPLICATE KEY UPDATE " +
					strings.Join(keep, ", "),
				"INSERT IGNORE INTO " + into + "VALUES " + bad + ", " + other + " ON DUPLICATE KEY UPDATE " + c.name +
					" = " + value,
				"PREPARE s FROM 'INSERT INTO " + into + strings.ReplaceAll("SELECT "+strings.Join(row,
					", ")+" FROM meta LIMIT 1", "'", "''") +
					" ON DUPLICATE KEY UPDATE " + strings.Join(keep, ", ") + "'; EXECUTE s",
			}
			for range 2 { // one after the other, so that every value has some of them
				all, n = append(all, forms[n%len(forms)]), n+1
			}
			n++
		}
	}
	return all
}

// TestViewsLimit says what a view cannot: that a column does not go back. So with the old rights an account can take back
// an unban of its own reports, in the row of the report or in one of lift under its name, but none of everybody's.
func TestViewsLimit(t *testing.T) {
	s := newSiege(t, besieged(t, mariadbtest.Shared(t), oldGrants))
	const row = "INSERT INTO own_report (addr, len, source, reason, at, expires, forced, longest, lifted, mark) VALUES (X'CB007101', 32, 'web1', 'sshd', "
	for _, c := range []struct {
		statement string
		refused   uint16
		back      string // what is banned again
	}{
		{row + "1, 2, 0, 2, 0, SYSDATE(6)) ON DUPLICATE KEY UPDATE lifted = 0, mark = VALUES(mark)", 0,
			"203.0.113.1/32"},
		{"UPDATE own_report SET lifted = 0, mark = SYSDATE(6) WHERE lifted > 0", 0, "203.0.113.1/32"},
		{"UPDATE own_lift SET at = 1, mark = SYSDATE(6)", 0, "203.0.113.2/32"},
		{"UPDATE own_lift SET at = 0, mark = SYSDATE(6)", 1369, ""},
		{"UPDATE own_report SET reason = 'x', at = 1, expires = 2, longest = 2, mark = SYSDATE(6) WHERE lifted > 0; " +
			row + "5, 9223372036854775807, 0, 9223372036854775807, 0, SYSDATE(6))", 0, "203.0.113.1/32"},
		{"UPDATE lift SET at = 1", 1142, ""},
		{row + "1, 2, 0, 2, 0, SYSDATE(6)) ON DUPLICATE KEY UPDATE at = 0, forced = 0, lifted = -1", 1369, ""},
		{row +
			"0, 0, 0, 0, -1, SYSDATE(6)) ON DUPLICATE KEY UPDATE at = 0, expires = 9223372036854775807, forced = 0, lifted = -1", 1369, ""},
		{strings.Replace(row, "CB007101', 32", "0A000000', 8", 1) +
			"0, 9223372036854775807, 0, 9223372036854775807, -1, SYSDATE(6))", 1369, ""},
	} {
		s.restore(t)
		err := attempt(t, s.thief, "SET time_zone = '+00:00'; "+c.statement)
		if number(err) != c.refused {
			t.Errorf("%s: %v", c.statement, err)
		}
		got := banned(t, s.other, Filter{Source: "web1"})
		want := map[bool]string{true: c.back + " "}[c.back != ""] + "203.0.113.7/32 203.0.113.9/32 2001:db8::1/128"
		if got != want {
			t.Errorf("%s: %s is banned, want %s", c.statement, got, want)
		}
	}
}
