-- The central never-ban list. An entry removed stays as a tombstone: it stands where at > removed.
CREATE TABLE IF NOT EXISTS allow (
  entry   BLOB    NOT NULL PRIMARY KEY, -- prefix or host name, as text
  at      INTEGER NOT NULL DEFAULT 0,
  removed INTEGER NOT NULL DEFAULT 0,
  who     BLOB    NOT NULL,
  mark    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) WITHOUT ROWID
