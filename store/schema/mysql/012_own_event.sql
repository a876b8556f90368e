-- What a server's own account may add to the event log: its own facts, under its own name. See own_report.
CREATE OR REPLACE SQL SECURITY DEFINER VIEW own_event AS
SELECT addr, len, at, source, reason, expires, forced, who
FROM event
WHERE source = CAST(SUBSTRING_INDEX(USER(), '@', 1) AS BINARY)
  AND who    = CAST(USER() AS BINARY)
  AND at    <= (UNIX_TIMESTAMP(SYSDATE(6)) + 60) * 1000000
  AND ABS(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark) - UNIX_TIMESTAMP(SYSDATE(6)) * 1000000) <= 60000000
  AND forced = 0
WITH CHECK OPTION
