-- What the store says of itself: id, schema, min_binary.
CREATE TABLE IF NOT EXISTS meta (
  name  VARBINARY(32)  NOT NULL,
  value VARBINARY(255) NOT NULL,
  PRIMARY KEY (name)
)
