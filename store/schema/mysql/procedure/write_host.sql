-- What the caller's host says of itself. Its name and its address are what the server sees; the answer is that address.
CREATE /*M! OR REPLACE */ PROCEDURE write_host(
  its_version   VARBINARY(64),
  its_wanted    INT,
  its_installed INT,
  its_mode      VARBINARY(32),
  its_error     VARBINARY(255)
)
SQL SECURITY DEFINER
BEGIN
  DECLARE me    VARBINARY(64)  DEFAULT SUBSTRING_INDEX(USER(), '@', 1);
  DECLARE peer  VARBINARY(255) DEFAULT SUBSTRING_INDEX(USER(), '@', -1);
  DECLARE clock DATETIME(6);
  {session}
  SET clock = SYSDATE(6);
  INSERT INTO host (source, version, address, at, wanted, installed, mode, error, mark, moved)
  VALUES (me, its_version, peer, {now}, its_wanted, its_installed, its_mode, its_error, clock, clock)
  {merge_host};
  SELECT peer;
END
