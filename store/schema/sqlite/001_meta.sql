-- What the store says of itself: id, schema, min_binary.
CREATE TABLE IF NOT EXISTS meta (
  name  BLOB NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID
