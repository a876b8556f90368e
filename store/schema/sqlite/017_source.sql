-- Sources that an admin has blocked, as f2bc host remove does. While blocked is the later, nothing of that source counts.
-- Both only grow.
CREATE TABLE IF NOT EXISTS source (
  name     BLOB    NOT NULL PRIMARY KEY,
  blocked  INTEGER NOT NULL DEFAULT 0,
  released INTEGER NOT NULL DEFAULT 0,
  who      BLOB    NOT NULL,
  mark     INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) WITHOUT ROWID
