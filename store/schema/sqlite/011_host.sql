-- What each host last said of itself.
CREATE TABLE IF NOT EXISTS host (
  source    BLOB    NOT NULL PRIMARY KEY,
  version   BLOB    NOT NULL,
  address   BLOB    NOT NULL,
  at        INTEGER NOT NULL,
  wanted    INTEGER NOT NULL,
  installed INTEGER NOT NULL,
  mode      BLOB    NOT NULL,
  error     BLOB    NOT NULL,
  mark      INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) WITHOUT ROWID
