-- What a server's own account may say of itself: its address is the one that the database sees. See own_report.
CREATE OR REPLACE SQL SECURITY DEFINER VIEW own_host AS
SELECT source, version, address, at, wanted, installed, mode, error
FROM host
WHERE source  = CAST(SUBSTRING_INDEX(USER(), '@', 1) AS BINARY)
  AND address = CAST(SUBSTRING_INDEX(USER(), '@', -1) AS BINARY)
  AND at     <= (UNIX_TIMESTAMP(SYSDATE(6)) + 60) * 1000000
WITH CHECK OPTION
