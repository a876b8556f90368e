package store

import "strings"

// engine is what differs between the two databases, side by side.
type engine struct {
	dir   string // of the migrations
	since int    // the schema that knows blocked sources and, in MySQL, has the procedures

	now     string // the server's clock in µs; empty where that is this machine's clock
	who     string // the account that writes, as an SQL expression
	peer    string // the address from which the server sees this connection, as an SQL expression
	active  string // makes the read of the active list use the covering index, whatever the statistics say
	writers int    // how many write side by side

	recorded  string // the mark in µs, as an SQL expression
	greatest  string // the name of the function that returns the greatest of its arguments
	afterMark string // the condition for rows with a mark after the parameter, in µs

	// What follows the VALUES of an insert, to merge with the row that is there.
	mergeReport, mergeLift, mergeAllow, mergeSource, replaceHost string

	reset string // sets the times of a row of report that are not facts yet to 0

	// deleteSome deletes rows: a format with the table, its key, the condition, the column to go by and how many.
	deleteSome string

	insertNew string // begins an insert that leaves rows alone that are there: it needs no right to change them
}

var mysqlEngine = engine{
	dir:       "schema/mysql",
	since:     21,
	now:       "CAST(UNIX_TIMESTAMP(CURRENT_TIMESTAMP(6)) * 1000000 AS SIGNED)",
	who:       "USER()",
	peer:      "SUBSTRING_INDEX(USER(), '@', -1)",
	active:    "FORCE INDEX (active)",
	writers:   2,
	greatest:  "GREATEST",
	recorded:  "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark)",
	afterMark: "mark > TIMESTAMP('1970-01-01') + INTERVAL ? MICROSECOND",

	// Assignments run from left to right and see the values assigned before. So the time comes first, where it takes a
	// number below 0 for what is to be replaced (-1: the report, -2: the whole row), and again after the expiry that is
	// compared with it. Of reports at the same time a forced one comes last, so that none that is not can make it last longer.
	// The server moves the mark by itself, and only when a value changed.
	mergeReport: `
ON DUPLICATE KEY UPDATE
  at      = IF(` + validReport + `, IF(at > {ahead}, -1, at), -2),
  expires = IF((VALUES(at), VALUES(forced) = VALUES(at), VALUES(expires)) > (at, forced = at, expires) OR at < 0, VALUES(expires), expires),
  forced  = IF(at < 0, VALUES(forced), GREATEST(forced, VALUES(forced))),
  longest = IF(at < 0, VALUES(longest), GREATEST(longest, VALUES(longest))),
  lifted  = IF(at = -2 OR lifted > {ahead}, VALUES(lifted), GREATEST(lifted, VALUES(lifted))),
  at      = GREATEST(at, VALUES(at))`,
	mergeLift: `
ON DUPLICATE KEY UPDATE at = IF(at > {ahead}, VALUES(at), GREATEST(at, VALUES(at)))`,
	mergeAllow: `
ON DUPLICATE KEY UPDATE at = GREATEST(at, VALUES(at)), removed = GREATEST(removed, VALUES(removed)), who = VALUES(who)`,
	mergeSource: `
ON DUPLICATE KEY UPDATE blocked = GREATEST(blocked, VALUES(blocked)), released = GREATEST(released, VALUES(released)), who = VALUES(who)`,
	replaceHost: `
ON DUPLICATE KEY UPDATE
  version = VALUES(version), at = VALUES(at), wanted = VALUES(wanted), installed = VALUES(installed),
  mode = VALUES(mode), error = VALUES(error), address = VALUES(address)`,

	reset: "at = IF(at > {ahead}, 0, at), expires = IF(at = 0, 0, expires), forced = IF(at = 0, 0, forced), " +
		"longest = IF(at = 0, 0, longest), lifted = IF(lifted > {ahead}, 0, lifted)",
	insertNew:  "INSERT IGNORE INTO ",
	deleteSome: "DELETE FROM %[1]s WHERE %[3]s ORDER BY %[4]s LIMIT %[5]d",
}

// sqliteMark is the mark of a row that is written now.
const sqliteMark = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"

// replaced is a report that a merge replaces: its row is none, or it is not a fact yet.
const replaced = `(at > {ahead} OR NOT (` + validReport + `))`

// later says that what is written is the later report.
const later = `(excluded.at, excluded.forced = excluded.at, excluded.expires) > (at, forced = at, expires)`

var sqliteEngine = engine{
	dir:       "schema/sqlite",
	since:     18,
	peer:      "''",
	active:    "INDEXED BY report_active",
	writers:   1,
	greatest:  "MAX",
	recorded:  "mark",
	afterMark: "mark > ?",

	mergeReport: `
ON CONFLICT DO UPDATE SET
  expires = CASE WHEN ` + replaced + ` OR ` + later + ` THEN excluded.expires ELSE expires END,
  at      = CASE WHEN ` + replaced + ` THEN excluded.at      ELSE MAX(at, excluded.at) END,
  forced  = CASE WHEN ` + replaced + ` THEN excluded.forced  ELSE MAX(forced, excluded.forced) END,
  longest = CASE WHEN ` + replaced + ` THEN excluded.longest ELSE MAX(longest, excluded.longest) END,
  lifted  = CASE WHEN lifted > {ahead} OR NOT (` + validReport + `) THEN excluded.lifted ELSE MAX(lifted, excluded.lifted) END,
  mark    = excluded.mark
WHERE ` + replaced + ` OR lifted > {ahead} OR ` + later + `
   OR excluded.forced > forced OR excluded.longest > longest OR excluded.lifted > lifted`,
	mergeLift: `
ON CONFLICT DO UPDATE SET at = excluded.at, mark = excluded.mark WHERE excluded.at > at OR at > {ahead}`,
	mergeAllow: `
ON CONFLICT DO UPDATE SET
  at = MAX(at, excluded.at), removed = MAX(removed, excluded.removed), who = excluded.who, mark = excluded.mark`,
	mergeSource: `
ON CONFLICT DO UPDATE SET
  blocked = MAX(blocked, excluded.blocked), released = MAX(released, excluded.released), who = excluded.who, mark = excluded.mark`,
	replaceHost: `
ON CONFLICT DO UPDATE SET
  version = excluded.version, at = excluded.at, wanted = excluded.wanted, installed = excluded.installed,
  mode = excluded.mode, error = excluded.error, address = excluded.address, mark = excluded.mark`,

	reset: "at = iif(at > {ahead}, 0, at), expires = iif(at > {ahead}, 0, expires), forced = iif(at > {ahead}, 0, forced), " +
		"longest = iif(at > {ahead}, 0, longest), lifted = iif(lifted > {ahead}, 0, lifted), mark = " + sqliteMark,
	insertNew:  "INSERT OR IGNORE INTO ",
	deleteSome: "DELETE FROM %[1]s WHERE (%[2]s) IN (SELECT %[2]s FROM %[1]s WHERE %[3]s ORDER BY %[4]s LIMIT %[5]d)",
}

// recordedOf is the mark of a table in µs, where several have one.
func (e engine) recordedOf(table string) string {
	return strings.Replace(e.recorded, "mark", table+".mark", 1)
}
