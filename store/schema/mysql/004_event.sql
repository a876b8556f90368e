-- Every fact as it was written, keyed by itself, so that a replay adds nothing. Kept 90 days.
CREATE TABLE IF NOT EXISTS event (
  addr    VARBINARY(16)    NOT NULL,
  len     TINYINT UNSIGNED NOT NULL,
  at      BIGINT           NOT NULL,
  source  VARBINARY(64)    NOT NULL,
  reason  VARBINARY(64)    NOT NULL,
  expires BIGINT           NOT NULL,            -- 0: a lift
  forced  TINYINT          NOT NULL,
  who     VARBINARY(255)   NOT NULL,            -- the database account that wrote it first
  mark    DATETIME(6)      NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (addr, len, at, source, reason, expires, forced),
  KEY at (at)
)
