-- The latest report and the latest exact lift of each (prefix, source, reason).
-- Every column but the mark only ever grows (at and expires as a pair: of reports at the same time a forced one is the later),
-- which is what makes merging order-free.
-- Times are microseconds since 1970 UTC; an expiry of 9223372036854775807 is permanent.
CREATE TABLE IF NOT EXISTS report (
  addr    BLOB    NOT NULL,            -- 4 bytes IPv4, 16 bytes IPv6, host bits zero
  len     INTEGER NOT NULL,            -- prefix length
  source  BLOB    NOT NULL,
  reason  BLOB    NOT NULL,
  at      INTEGER NOT NULL DEFAULT 0,  -- time of the latest report, 0 if there was only a lift
  expires INTEGER NOT NULL DEFAULT 0,  -- expiry of the latest report
  forced  INTEGER NOT NULL DEFAULT 0,  -- time of the latest forced report: it is in force where it equals at
  longest INTEGER NOT NULL DEFAULT 0,  -- latest expiry that any report had: only then may prune forget it
  lifted  INTEGER NOT NULL DEFAULT 0,  -- time of the latest exact lift (of a single address)
  mark    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
  PRIMARY KEY (addr, len, source, reason)
) WITHOUT ROWID
