-- The latest report and the latest exact lift of each (prefix, source, reason).
-- Every column but the mark only ever grows (at and expires as a pair: of reports at the same time a forced one is the later),
-- which is what makes merging order-free.
-- Times are microseconds since 1970 UTC; an expiry of 9223372036854775807 is permanent.
CREATE TABLE IF NOT EXISTS report (
  addr    VARBINARY(16)    NOT NULL,            -- 4 bytes IPv4, 16 bytes IPv6, host bits zero
  len     TINYINT UNSIGNED NOT NULL,            -- prefix length
  source  VARBINARY(64)    NOT NULL,
  reason  VARBINARY(64)    NOT NULL,
  at      BIGINT           NOT NULL DEFAULT 0,  -- time of the latest report, 0 if there was only a lift
  expires BIGINT           NOT NULL DEFAULT 0,  -- expiry of the latest report
  forced  BIGINT           NOT NULL DEFAULT 0,  -- time of the latest forced report: it is in force where it equals at
  longest BIGINT           NOT NULL DEFAULT 0,  -- latest expiry that any report had: only then may prune forget it
  lifted  BIGINT           NOT NULL DEFAULT 0,  -- time of the latest exact lift (of a single address)
  mark    DATETIME(6)      NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (addr, len, source, reason),
  KEY active (expires, at, lifted, forced),     -- covers the read of the active list: the primary key comes with it
  KEY mark (mark)
)
