-- What an older f2bc writes of reports with a server's own account: the newer ones call the procedures. Only where the
-- source is, byte for byte, the account's name, nothing dated ahead, nothing forced, and nothing that no fact makes. A view
-- sees the new row only, so it cannot say that a time does not go back. It runs with the rights of the account that made it.
-- Ahead is more than 60 s: what is not, an unban still beats. SYSDATE is the one clock that a session cannot move with SET
-- timestamp, and UNIX_TIMESTAMP undoes its SET time_zone, but for the hour that a change of the clocks repeats: hence
-- {clock}, which is never ahead, and {late_clock}, which is never behind.
-- The mark is the time of the write: one ahead would hide what others write from those who ask for what is newer, one
-- back would look like a restored backup. 3 s are more than a write waits for a lock.
CREATE OR REPLACE SQL SECURITY DEFINER VIEW own_report AS
SELECT addr, len, source, reason, at, expires, forced, longest, lifted, mark
FROM report
WHERE source = CAST(SUBSTRING_INDEX(USER(), '@', 1) AS BINARY)
  AND {prefix}
  AND LENGTH(reason) > 0
  AND {valid}
  AND GREATEST(at, lifted) <= ({clock} + 60) * 1000000
  AND TIMESTAMPDIFF(MICROSECOND, '1970-01-01', mark) BETWEEN {late_clock} * 1000000 - 3000000 AND {clock} * 1000000
  AND (forced = 0 OR forced < at)
WITH CHECK OPTION
