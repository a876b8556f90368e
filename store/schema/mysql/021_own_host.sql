-- What an older f2bc says of its host with a server's own account: its address is the one that the database sees. See
-- own_report.
CREATE OR REPLACE SQL SECURITY DEFINER VIEW own_host AS
SELECT source, version, address, at, wanted, installed, mode, error
FROM host
WHERE source  = CAST(SUBSTRING_INDEX(USER(), '@', 1) AS BINARY)
  AND address = CAST(SUBSTRING_INDEX(USER(), '@', -1) AS BINARY)
  AND at BETWEEN 1 AND ({clock} + 60) * 1000000
  AND ABS(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark) - {clock} * 1000000) <= 60000000
WITH CHECK OPTION
