-- What an older f2bc writes of wider lifts with a server's own account: those of its own source. See own_report.
CREATE OR REPLACE SQL SECURITY DEFINER VIEW own_lift AS
SELECT addr, len, source, reason, at, mark
FROM lift
WHERE source = CAST(SUBSTRING_INDEX(USER(), '@', 1) AS BINARY)
  AND {prefix}
  AND at BETWEEN 1 AND ({clock} + 60) * 1000000
  AND TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark) BETWEEN {late_clock} * 1000000 - 3000000 AND {clock} * 1000000
WITH CHECK OPTION
