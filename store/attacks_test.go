package store

import "strings"

// attacks are statements by which an account tries to write what is not its own, or to have its own count for more
// than it is.
func attacks() []string {
	const report = "INSERT INTO own_report (addr, len, source, reason, at, expires, forced, longest, lifted) VALUES "
	const ahead = "UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 + 61000000"
	all := []string{
		"INSERT INTO report (addr, len, source, reason, at, expires) VALUES (X'CB007108', 32, 'web1', 'sshd', 1, 2)",
		"UPDATE report SET lifted = 5 WHERE source = 'web1'",
		"DELETE FROM report", "DELETE FROM own_report", "DELETE FROM own_event", "TRUNCATE report",
		"DROP VIEW own_report",
		"REPLACE INTO own_report (addr, len, source, reason, at, expires) VALUES (X'CB007107', 32, 'web1', 'sshd', 1, 2)",
		"LOCK TABLES report WRITE", "CREATE VIEW mine AS SELECT 1",
		"CREATE TRIGGER t BEFORE INSERT ON report FOR EACH ROW SET NEW.source = 'x'",

		// What is another's.
		report + "(X'CB007106', 32, 'web2', 'sshd', 5, 6, 0, 6, 7) ON DUPLICATE KEY UPDATE lifted = VALUES(lifted)",
		report + "(X'CB007107', 32, 'web1', 'sshd', 5, 6, 0, 6, 7) ON DUPLICATE KEY UPDATE source = 'web2'",
		report + "(X'CB007108', 32, 'web2', 'sshd', 5, 6, 0, 6, 7), (X'CB007107', 32, 'web1', 'sshd', 5, 6, 0, 6, 7)",
		"INSERT INTO own_report (addr, len, source, reason, at, expires) SELECT addr, len, 'web2', 'forged', at, expires FROM report",
		"UPDATE own_report SET source = 'web2'",
		"UPDATE own_report JOIN meta SET own_report.source = 'web2'",
		"UPDATE own_report JOIN report AS r SET r.lifted = 5",
		"PREPARE s FROM '" + strings.ReplaceAll(report, "'", "''") +
			"(?, 32, ?, ''x'', 5, 6, 0, 6, 0)'; SET @a = X'01020304', @s = 'web2'; EXECUTE s USING @a, @s",

		// A date ahead, by whatever clock a session shows.
		report + "(X'CB007108', 32, 'web1', 'sshd', 4070908800000000, 9223372036854775807, 0, 0, 0)",
		report + "(X'CB007108', 32, 'web1', 'sshd', " + ahead + ", 9223372036854775807, 0, 0, 0)",
		report + "(X'CB007108', 32, 'web1', 'sshd', 0, 0, 0, 0, " + ahead + ")",
		"UPDATE own_report SET lifted = " + ahead,
		"SET timestamp = 2147483647; " + report +
			"(X'CB007108', 32, 'web1', 'sshd', 2147483647000000, 9223372036854775807, 0, 0, 0)",
		"SET time_zone = '+13:00'; " + report +
			"(X'CB007108', 32, 'web1', 'sshd', UNIX_TIMESTAMP() * 1000000 + 3600000000, 9223372036854775807, 0, 0, 0)",
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
		all = append(all, report+"(X'CB007108', 32, '"+name+"', 'sshd', 5, 6, 0, 6, 0)")
	}
	return all
}
