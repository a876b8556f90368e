-- Sources that an admin has blocked, as f2bc host remove does. While blocked is the later, nothing of that source counts.
-- Both only grow. No server's account can write here.
CREATE TABLE IF NOT EXISTS source (
  name     VARBINARY(64)  NOT NULL,
  blocked  BIGINT         NOT NULL DEFAULT 0,
  released BIGINT         NOT NULL DEFAULT 0,
  who      VARBINARY(255) NOT NULL,
  mark     DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (name)
)
