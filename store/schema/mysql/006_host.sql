-- What each host last said of itself. The address is what the server saw, never what the host says.
CREATE TABLE IF NOT EXISTS host (
  source    VARBINARY(64)  NOT NULL,
  version   VARBINARY(64)  NOT NULL,
  address   VARBINARY(255) NOT NULL,
  at        BIGINT         NOT NULL,
  wanted    INT            NOT NULL,
  installed INT            NOT NULL,
  mode      VARBINARY(32)  NOT NULL,
  error     VARBINARY(255) NOT NULL,
  mark      DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (source)
)
