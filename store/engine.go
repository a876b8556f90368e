package store

// engine is what differs between the two databases, side by side.
type engine struct {
	dir string // of the migrations

	now     string // the server's clock in µs; empty where that is this machine's clock
	who     string // the account that writes, as an SQL expression
	peer    string // the address from which the server sees this connection, as an SQL expression
	active  string // makes the read of the active list use the covering index, whatever the statistics say
	writers int    // how many write side by side

	recorded  string // the mark in µs, as an SQL expression
	greatest  string // the name of the function that returns the greatest of its arguments
	afterMark string // the condition for rows with a mark after the parameter, in µs

	// What follows the VALUES of an insert, to merge with the row that is there.
	mergeReport, mergeLift, mergeAllow, replaceHost string

	// deleteSome deletes rows: a format with the table, its key, the condition, the column to go by and how many.
	deleteSome string

	insertNew string // begins an insert that leaves rows alone that are there: it needs no right to change them
}

var mysqlEngine = engine{
	dir:       "schema/mysql",
	now:       "CAST(UNIX_TIMESTAMP(CURRENT_TIMESTAMP(6)) * 1000000 AS SIGNED)",
	who:       "USER()",
	peer:      "SUBSTRING_INDEX(USER(), '@', -1)",
	active:    "FORCE INDEX (active)",
	writers:   2,
	greatest:  "GREATEST",
	recorded:  "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark)",
	afterMark: "mark > TIMESTAMP('1970-01-01') + INTERVAL ? MICROSECOND",

	// Assignments run from left to right and see the values assigned before: the time comes after the expiry that
	// is compared with it. The server moves the mark by itself, and only when a value changed.
	mergeReport: `
ON DUPLICATE KEY UPDATE
  expires = IF((VALUES(at), VALUES(expires)) > (at, expires), VALUES(expires), expires),
  at      = GREATEST(at, VALUES(at)),
  forced  = GREATEST(forced, VALUES(forced)),
  longest = GREATEST(longest, VALUES(longest)),
  lifted  = GREATEST(lifted, VALUES(lifted))`,
	mergeLift: `
ON DUPLICATE KEY UPDATE at = GREATEST(at, VALUES(at))`,
	mergeAllow: `
ON DUPLICATE KEY UPDATE at = GREATEST(at, VALUES(at)), removed = GREATEST(removed, VALUES(removed)), who = VALUES(who)`,
	replaceHost: `
ON DUPLICATE KEY UPDATE
  version = VALUES(version), at = VALUES(at), wanted = VALUES(wanted), installed = VALUES(installed),
  mode = VALUES(mode), error = VALUES(error), address = VALUES(address)`,

	insertNew:  "INSERT IGNORE INTO ",
	deleteSome: "DELETE FROM %[1]s WHERE %[3]s ORDER BY %[4]s LIMIT %[5]d",
}

var sqliteEngine = engine{
	dir:       "schema/sqlite",
	peer:      "''",
	active:    "INDEXED BY report_active",
	writers:   1,
	greatest:  "MAX",
	recorded:  "mark",
	afterMark: "mark > ?",

	mergeReport: `
ON CONFLICT DO UPDATE SET
  expires = CASE WHEN (excluded.at, excluded.expires) > (at, expires) THEN excluded.expires ELSE expires END,
  at      = MAX(at, excluded.at),
  forced  = MAX(forced, excluded.forced),
  longest = MAX(longest, excluded.longest),
  lifted  = MAX(lifted, excluded.lifted),
  mark    = excluded.mark
WHERE (excluded.at, excluded.expires) > (at, expires)
   OR excluded.forced > forced OR excluded.longest > longest OR excluded.lifted > lifted`,
	mergeLift: `
ON CONFLICT DO UPDATE SET at = excluded.at, mark = excluded.mark WHERE excluded.at > at`,
	mergeAllow: `
ON CONFLICT DO UPDATE SET
  at = MAX(at, excluded.at), removed = MAX(removed, excluded.removed), who = excluded.who, mark = excluded.mark`,
	replaceHost: `
ON CONFLICT DO UPDATE SET
  version = excluded.version, at = excluded.at, wanted = excluded.wanted, installed = excluded.installed,
  mode = excluded.mode, error = excluded.error, address = excluded.address, mark = excluded.mark`,

	insertNew:  "INSERT OR IGNORE INTO ",
	deleteSome: "DELETE FROM %[1]s WHERE (%[2]s) IN (SELECT %[2]s FROM %[1]s WHERE %[3]s ORDER BY %[4]s LIMIT %[5]d)",
}
