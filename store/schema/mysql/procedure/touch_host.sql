-- The caller's host was seen, which keeps its address from being banned. Those that have no row are not made one.
CREATE /*M! OR REPLACE */ PROCEDURE touch_host()
SQL SECURITY DEFINER
BEGIN
  DECLARE me    VARBINARY(64)  DEFAULT SUBSTRING_INDEX(USER(), '@', 1);
  DECLARE peer  VARBINARY(255) DEFAULT SUBSTRING_INDEX(USER(), '@', -1);
  DECLARE clock DATETIME(6);
  {session}
  SET clock = SYSDATE(6);
  {seen}
END
