package store

import (
	"fmt"
	"regexp"
	"strings"
)

// A row of report is what some sequence of facts makes, or it is nothing. One rule says so, and every reader asks it, of
// tables into which somebody else may have written:
//
//   - at = 0, there was only a lift: expires, forced and longest are 0, lifted is not;
//   - at > 0: expires is later, longest is not before expires, forced is 0 or at most at;
//   - lifted is not negative; the prefix is masked and of its family's length (prefixOf, and {prefix} in MySQL).
//
// A time more than maxAhead ahead of the store's clock is not a fact yet, whatever wrote it: readers take it as 0, a merge
// replaces it, and a lift resets it in the rows that it covers. So a year on a wrong clock is lifted at once.
const (
	validReport = `lifted >= 0 AND CASE WHEN at = 0 THEN expires = 0 AND forced = 0 AND longest = 0 AND lifted > 0
    ELSE at > 0 AND expires > at AND longest >= expires AND forced BETWEEN 0 AND at END`

	// standing is a valid report that is a fact by now. It is the whole rule for at > 0, in the order in which most rows fail.
	standing = `at BETWEEN 1 AND {ahead} AND expires > at AND longest >= expires AND forced BETWEEN 0 AND at AND lifted >= 0`

	// active is a standing report that has not ended and is not lifted by an exact lift.
	active = `expires > {now} AND ` + standing + ` AND (lifted < at OR lifted > {ahead})`

	validLift = `at BETWEEN 1 AND {ahead}`

	// validEvent is the same for the event log. A lift has no expiry.
	validEvent = `at BETWEEN 1 AND {ahead} AND (expires = 0 OR expires > at) AND forced BETWEEN 0 AND 1`
)

// reports are the valid rows of report, with 0 for a time that is not a fact yet: a row of which nothing is left is none.
const reports = `(
  SELECT addr, len, source, reason, mark,
    CASE WHEN at     > {ahead} THEN 0 ELSE at      END AS at,
    CASE WHEN at     > {ahead} THEN 0 ELSE expires END AS expires,
    CASE WHEN at     > {ahead} THEN 0 ELSE forced  END AS forced,
    CASE WHEN lifted > {ahead} THEN 0 ELSE lifted  END AS lifted
  FROM report WHERE ` + validReport + ` AND (at BETWEEN 1 AND {ahead} OR lifted BETWEEN 1 AND {ahead})) AS report`

// active returns the condition for rows of report that are an active report. The tables of an older f2bc have an index that
// lacks longest.
func (s *Store) active() string {
	if s.schema < s.engine.since {
		return s.sane(strings.Replace(active, " AND longest >= expires", "", 1))
	}
	return s.sane(active)
}

// validPrefix returns the condition for rows whose addr and len are a prefix. Into an embedded store nobody else writes.
func (s *Store) validPrefix() string {
	if s.Embedded() {
		return "length(addr) IN (4, 16) AND len BETWEEN 0 AND 8 * length(addr)"
	}
	return expand("{prefix}")
}

// sane puts the store's times into a statement that has one of the rules above in it.
func (s *Store) sane(query string) string {
	now := s.clock.now()
	return strings.NewReplacer("{now}", fmt.Sprint(int64(now)), "{ahead}", fmt.Sprint(int64(now.Add(maxAhead)))).Replace(query)
}

// fragments are what the views and procedures of MySQL have in common with each other and with the statements here: {name} there
// stands for one of them. In a procedure ahead, clock, now_us, me and peer are variables.
var fragments = map[string]string{
	// No write waits longer for a lock. Procedures of an account that is no owner's but root's would write to a replica.
	"session": `SET time_zone = '+00:00', innodb_lock_wait_timeout = 2{causal};
  IF CONCAT(@@global.read_only) NOT IN ('0', 'OFF') THEN
    SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290, MESSAGE_TEXT = 'the server is read-only';
  END IF;`,
	"now": `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', clock)`,
	// Not the variable: while a call waited for a lock, a time that was ahead when it began may have become an admin's unban.
	"ahead":        `(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', SYSDATE(6)) + {max_ahead})`,
	"max_ahead":    fmt.Sprint(maxAhead.Microseconds()),
	"clock_slack":  fmt.Sprint(clockSlack.Microseconds()),
	"valid":        validReport,
	"clock":        `LEAST(UNIX_TIMESTAMP(SYSDATE(6)), UNIX_TIMESTAMP(SYSDATE(6) - INTERVAL 3 HOUR) + 10800)`,
	"late_clock":   `GREATEST(UNIX_TIMESTAMP(SYSDATE(6)), UNIX_TIMESTAMP(SYSDATE(6) + INTERVAL 3 HOUR) - 10800)`,
	"merge_report": unchanged + strings.TrimPrefix(mysqlEngine.mergeReport, "\nON DUPLICATE KEY UPDATE"),
	"merge_lift": `ON DUPLICATE KEY UPDATE
  mark = IF(at BETWEEN VALUES(at) AND {ahead}, mark, VALUES(mark)),` + strings.TrimPrefix(mysqlEngine.mergeLift, "\nON DUPLICATE KEY UPDATE"),
	"merge_host": `ON DUPLICATE KEY UPDATE
  moved = IF(address = VALUES(address) AND mark > VALUES(mark) - INTERVAL 30 DAY, moved, VALUES(moved)), mark = VALUES(mark),` +
		strings.TrimPrefix(mysqlEngine.replaceHost, "\nON DUPLICATE KEY UPDATE"),
	"seen": `UPDATE host SET moved = IF(address = peer, moved, clock), address = peer, mark = clock
  WHERE source = me AND mark NOT BETWEEN clock - INTERVAL 1 HOUR AND clock + INTERVAL 1 MINUTE;`,

	// What a wider lift of one's own resets, which is hardly ever there: counting locks nothing.
	"reset": `SELECT COUNT(*) INTO found FROM report WHERE {reset_rows};
    IF found > 0 THEN
      UPDATE report SET at = IF(at > {ahead}, 0, at), expires = IF(at = 0, 0, expires), forced = IF(at = 0, 0, forced),
        longest = IF(at = 0, 0, longest), lifted = IF(lifted > {ahead}, 0, lifted), mark = clock WHERE {reset_rows};
    END IF;`,
	"reset_rows": `source = me AND f_reason IN (reason, '') AND LENGTH(addr) = LENGTH(f_addr) AND len >= f_len
      AND addr BETWEEN f_addr AND f_last AND (at > {ahead} OR lifted > {ahead}) AND {valid}`,

	"facts": `(
    SELECT n, fact_addr, fact_len, fact_reason, LEAST(given, ahead) AS fact_at, bantime, fact_lift, {last fact_addr fact_len} AS fact_last,
      fact_lift = 1 AND fact_reason <> '' AND fact_len = 8 * LENGTH(fact_addr) AS fact_exact,
      IF(fact_lift = 1, 0, {expires LEAST(given,ahead)}) AS fact_expires
    FROM (
      SELECT n, UNHEX(hex) AS fact_addr, fact_len, UNHEX(reason_hex) AS fact_reason, given, bantime, fact_lift
      FROM JSON_TABLE(facts, '$[*]' COLUMNS (n FOR ORDINALITY, hex VARCHAR(32) PATH '$[0]', fact_len INT PATH '$[1]',
        reason_hex VARCHAR(128) PATH '$[2]', given BIGINT PATH '$[3]', bantime BIGINT PATH '$[4]', fact_lift INT PATH '$[5]')) AS parsed
    ) AS raw) AS fact`,
}

// unchanged keeps the mark of a row that a report that is not forced or an exact lift does not change.
const unchanged = `ON DUPLICATE KEY UPDATE
  mark = IF(` + validReport + ` AND at <= {ahead} AND lifted <= {ahead}
    AND (VALUES(at), VALUES(at) = 0, VALUES(expires)) <= (at, forced = at, expires) AND VALUES(longest) <= longest AND VALUES(lifted) <= lifted, mark, VALUES(mark)),`

// functions are fragments with arguments, $1 and $2.
var functions = map[string]string{
	// The last address of a prefix: bit operations on binary strings are not the same in MariaDB and MySQL.
	"last": `LEFT(RPAD(CONCAT(LEFT($1, $2 DIV 8), CHAR(ASCII(SUBSTRING($1, $2 DIV 8 + 1, 1)) | (255 >> ($2 % 8)))), ` +
		`LENGTH($1), X'FF'), LENGTH($1))`,
	// Whether a prefix is masked, of its family's length and no IPv4 address in IPv6 clothes.
	"prefix": `LENGTH($1) IN (4, 16) AND $2 BETWEEN 0 AND 8 * LENGTH($1) AND ASCII(SUBSTRING($1, $2 DIV 8 + 1, 1)) & (255 >> ($2 % 8)) = 0
  AND TRIM(TRAILING X'00' FROM SUBSTRING($1, $2 DIV 8 + 2)) = '' AND (LENGTH($1) = 4 OR LEFT($1, 12) <> X'00000000000000000000FFFF')`,
	// The expiry of a report of a ban time.
	"expires": `IF(bantime = -1 OR bantime > 9223372036854775807 - $1, 9223372036854775807, $1 + bantime)`,
}

var fragment = regexp.MustCompile(`\{(\w+)((?: [^ }]+)*)\}`)

// expand puts the fragments into a migration or a procedure.
func expand(sql string) string {
	return fragment.ReplaceAllStringFunc(sql, func(match string) string {
		m := fragment.FindStringSubmatch(match)
		args := strings.Fields(m[2])
		text, ok := fragments[m[1]]
		if function, is := functions[m[1]]; is {
			if len(args) == 0 {
				args = []string{"addr", "len"} // the columns
			}
			text, ok = strings.NewReplacer("$1", args[0], "$2", args[len(args)-1]).Replace(function), true
		}
		if m[1] == "causal" {
			return match // the server's to say
		}
		if !ok {
			panic("no fragment " + match) // they are compiled in
		}
		return expand(text)
	})
}
