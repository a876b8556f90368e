-- What an older f2bc adds to the event log with a server's own account: its own facts, under its own name. See own_report.
CREATE OR REPLACE SQL SECURITY DEFINER VIEW own_event AS
SELECT addr, len, at, source, reason, expires, forced, who
FROM event
WHERE source = CAST(SUBSTRING_INDEX(USER(), '@', 1) AS BINARY)
  AND who    = CAST(USER() AS BINARY)
  AND {prefix}
  AND at BETWEEN 1 AND ({clock} + 60) * 1000000
  AND (expires = 0 OR expires > at AND LENGTH(reason) > 0)
  AND ABS(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark) - {clock} * 1000000) <= 60000000
  AND forced = 0
WITH CHECK OPTION
