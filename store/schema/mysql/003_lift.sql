-- The wider lifts: of any source, of any reason, or of a prefix of several addresses. Never deleted.
CREATE TABLE IF NOT EXISTS lift (
  addr    VARBINARY(16)    NOT NULL,
  len     TINYINT UNSIGNED NOT NULL,
  source  VARBINARY(64)    NOT NULL,            -- empty: any
  reason  VARBINARY(64)    NOT NULL,            -- empty: any
  at      BIGINT           NOT NULL,
  mark    DATETIME(6)      NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (addr, len, source, reason),
  KEY at (at),
  KEY mark (mark)
)
