-- The central never-ban list. An entry removed stays as a tombstone: it stands where at > removed.
CREATE TABLE IF NOT EXISTS allow (
  entry   VARBINARY(255)   NOT NULL,            -- prefix or host name, as text
  at      BIGINT           NOT NULL DEFAULT 0,
  removed BIGINT           NOT NULL DEFAULT 0,
  who     VARBINARY(255)   NOT NULL,
  mark    DATETIME(6)      NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (entry)
)
