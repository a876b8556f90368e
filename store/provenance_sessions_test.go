package store

import "strings"

// sessions are what any client may set before it sends a statement.
var sessions = []string{
	"SET sql_mode = ''", "SET sql_mode = 'ANSI'", "SET sql_mode = 'ORACLE'",
	"SET sql_mode = 'NO_UNSIGNED_SUBTRACTION,NO_BACKSLASH_ESCAPES'",
	"SET sql_mode = 'TIME_ROUND_FRACTIONAL'", "SET old_mode = 'ZERO_DATE_TIME_CAST'", "SET timestamp = 1",
	"SET timestamp = 1000000", "SET timestamp = 2147483647",
	"SET time_zone = '+13:00'", "SET time_zone = '-12:00'", "SET time_zone = 'SYSTEM'", "SET time_zone = 'Fold/Ago'",
	"SET time_zone = 'Fold/Soon'",
	"SET time_zone = 'Fold/Two'", "SET time_zone = 'Fold/TwoSoon'", "SET time_zone = 'Gap/Ago'",
	"SET time_zone = 'Gap/Hours'", "SET time_zone = 'Gap/Soon'",
	"SET autocommit = 0", "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
	"SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
	"SET SESSION TRANSACTION READ ONLY", "SET unique_checks = 0, foreign_key_checks = 0", "SET sql_select_limit = 0",
	"SET sql_select_limit = 1",
	"SET sql_safe_updates = 1", "SET sql_auto_is_null = 1", "SET max_error_count = 0", "SET max_sort_length = 64",
	"SET div_precision_increment = 0",
	"SET sql_big_selects = 0, max_join_size = 1", "SET innodb_lock_wait_timeout = 50",
	"SET max_statement_time = 0.0001", "SET max_statement_time = 0.001",
	"SET NAMES latin1", "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci", "SET collation_connection = utf16_general_ci",
	"SET character_set_client = latin1", "SET collation_database = utf8mb4_general_ci",
	"SET check_constraint_checks = 0",
	"SET optimizer_switch = 'derived_merge=off,derived_with_keys=off,mrr=on,index_merge=off'",
	"SET optimizer_switch = 'materialization=off,semijoin=off'",
	"SET tmp_memory_table_size = 1024, max_heap_table_size = 16384", "SET max_recursive_iterations = 0",
	"SET session_track_schema = OFF",
	"SET insert_id = 5, last_insert_id = 5, rand_seed1 = 1", "SET lc_time_names = 'de_DE', lc_messages = 'de_DE'",
	"SET ROLE NONE",
	"START TRANSACTION READ ONLY", "START TRANSACTION", "XA START 'x'",
	"BEGIN; SELECT COUNT(*) FROM report LOCK IN SHARE MODE", "SET @@pseudo_thread_id = 1",
}

// calling are calls that write: a report, an exact lift and a wide one, all of them among many, and what a host says.
var calling = []string{
	"CALL write_fact(X'CB007107', 32, 'sshd', 0, -1, 0, 0, 0, '[]')",
	"CALL write_fact(X'CB007101', 32, 'sshd', 0, -1, 0, 0, 0, NULL)",
	"CALL write_fact(X'CB007107', 32, 'sshd', 1, -1, 0, 0, 0, NULL)",
	"CALL write_fact(X'CB007100', 24, '', 1, -1, 5, 0, 0, NULL)",
	"CALL write_facts('[[\"cb007101\",32,\"73736864\",5,-1,0],[\"cb007107\",32,\"73736864\",9223372036854775807,-1,0]," +
		"[\"cb007107\",32,\"73736864\",6,-1,1],[\"cb007100\",24,\"73736864\",7,-1,1]]')",
	"CALL write_host('1', 1, 1, 'enforce', '')",
	"CALL touch_host()",
}

// callsOfSessions are calls after what a client may set, and in what forms it may call.
func callsOfSessions() (all []string) {
	for i, session := range sessions {
		for j, call := range calling {
			if all = append(all, session+"; "+call); (i+j)%7 == 0 {
				all = append(all, session+"; "+call+"; COMMIT")
			}
		}
	}
	for _, call := range calling {
		quoted := "'" + strings.ReplaceAll(call, "'", "''") + "'"
		all = append(all,
			call, call+"; "+call, "EXECUTE IMMEDIATE "+quoted, "PREPARE s FROM "+quoted+"; EXECUTE s; EXECUTE s",
			"START TRANSACTION; "+call+"; ROLLBACK", "START TRANSACTION; "+call+"; COMMIT",
			"SET autocommit = 0; "+call+"; ROLLBACK",
			"SAVEPOINT a; "+call+"; ROLLBACK TO a", "SET STATEMENT max_statement_time = 0.0005 FOR "+call,
			"EXPLAIN "+call, "ANALYZE "+call,
			"BEGIN NOT ATOMIC "+call+"; END",
			"BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; "+call+"; COMMIT; END",
			"BEGIN NOT ATOMIC DECLARE me VARBINARY(64) DEFAULT 'web2'; DECLARE clock DATETIME DEFAULT '2037-01-01'; "+call+"; END",
			"SET @me = 'web2', @clock = '2037-01-01', @ahead = 9e18; "+call)
	}
	return append(all,
		"PREPARE s FROM 'CALL write_fact(?, ?, ?, ?, ?, ?, ?, ?, ?)'; SET @a = X'CB007106', @l = 32, @r = 'sshd'; EXECUTE s USING @a, @l, @r, 1, -1, 0, 0, 0, NULL",
		"PREPARE s FROM 'CALL write_fact(?, 32, ?, 1, -1, 0, 0, 0, NULL)'; EXECUTE s USING X'CB007106', _utf16'sshd'",
		"CALL write_fact()", "CALL write_facts()", "CALL write_facts('[]', 1)", "CALL touch_host(1)")
}

// refused are statements that an account may not send at all.
func refused() (all []string) {
	for _, statement := range append(attacks(),
		"CREATE TEMPORARY TABLE report (addr INT)", "CREATE TEMPORARY TABLE meta (name INT)",
		"CREATE TEMPORARY TABLE x LIKE report",
		"CREATE TABLE x (a INT)", "CREATE TABLE x AS SELECT * FROM report",
		"CREATE OR REPLACE VIEW own_report AS SELECT * FROM report",
		"ALTER TABLE report ADD COLUMN x INT", "ALTER VIEW own_report AS SELECT * FROM report",
		"RENAME TABLE report TO x", "DROP TABLE report",
		"DELETE FROM report", "DELETE FROM lift", "DELETE FROM event", "DELETE FROM host", "DELETE FROM allow",
		"DELETE FROM source", "TRUNCATE source",
		"INSERT INTO source (name, blocked, who) VALUES ('web2', 5, '')",
		"UPDATE source SET released = 9223372036854775807",
		"INSERT INTO source (name, released, who) VALUES ('web3', 9223372036854775807, '') ON DUPLICATE KEY UPDATE released = VALUES(released)",
		"INSERT INTO host SELECT 'web9', version, address, at, wanted, installed, mode, error, mark, moved FROM host",
		"UPDATE host SET address = '203.0.113.6'",
		"REPLACE INTO meta VALUES ('schema', '1')", "LOAD DATA LOCAL INFILE '/dev/null' INTO TABLE report",
		"LOAD DATA INFILE '/dev/null' INTO TABLE report",
		"SELECT 1 INTO OUTFILE '/tmp/f2bc-no'", "LOCK TABLES report READ", "FLUSH TABLES",
		"FLUSH TABLES report WITH READ LOCK", "HANDLER report OPEN; DELETE FROM report",
		"DROP PROCEDURE write_fact", "ALTER PROCEDURE write_fact SQL SECURITY INVOKER",
		"CREATE PROCEDURE x() SELECT 1", "CREATE FUNCTION x() RETURNS INT RETURN 1",
		"CREATE EVENT x ON SCHEDULE EVERY 1 SECOND DO SELECT 1",
		"CREATE TRIGGER x BEFORE INSERT ON report FOR EACH ROW SET NEW.source = 'x'",
		"GRANT INSERT ON report TO web1@'%'", "CREATE USER x", "SET PASSWORD FOR 'web2'@'%' = PASSWORD('x')",
		"SET GLOBAL sql_mode = ''", "SET sql_log_bin = 0",
		"OPTIMIZE TABLE report", "ANALYZE TABLE report PERSISTENT FOR ALL", "CREATE INDEX x ON report (at)",
		"DROP INDEX active ON report",
		"BACKUP STAGE START", "SHUTDOWN", "CREATE SEQUENCE x", "INSERT INTO report_text (prefix) VALUES ('x')",
		"DELETE FROM event_text",
		"SET @@timestamp = 1; UPDATE report SET mark = mark", "UPDATE report, meta SET lifted = 1",
		"INSERT INTO lift SELECT * FROM lift",
		"SET ROLE f2bc_owner", "SET SESSION AUTHORIZATION 'f2bc_owner'@'%'",
		"CALL mysql.AddGeometryColumn('', '', '', '', 1)") {
		all = append(all, statement+" -- refused")
	}
	return all
}
