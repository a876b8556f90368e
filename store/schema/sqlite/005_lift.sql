-- The wider lifts: of any source, of any reason, or of a prefix of several addresses. Never deleted.
CREATE TABLE IF NOT EXISTS lift (
  addr    BLOB    NOT NULL,
  len     INTEGER NOT NULL,
  source  BLOB    NOT NULL,            -- empty: any
  reason  BLOB    NOT NULL,            -- empty: any
  at      INTEGER NOT NULL,
  mark    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
  PRIMARY KEY (addr, len, source, reason)
) WITHOUT ROWID
