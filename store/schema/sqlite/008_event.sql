-- Every fact as it was written, keyed by itself, so that a replay adds nothing. Kept 90 days.
CREATE TABLE IF NOT EXISTS event (
  addr    BLOB    NOT NULL,
  len     INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  source  BLOB    NOT NULL,
  reason  BLOB    NOT NULL,
  expires INTEGER NOT NULL,            -- 0: a lift
  forced  INTEGER NOT NULL,
  who     BLOB    NOT NULL,            -- the account that wrote it first
  mark    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
  PRIMARY KEY (addr, len, at, source, reason, expires, forced)
) WITHOUT ROWID
