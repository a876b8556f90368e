-- One fact of the caller's own, in one call: what f2bc ban and f2bc unban --own need of the store. The source is what the
-- server sees of the account, never what the caller says. Nothing but the caller's own rows can be changed, and no column
-- can go back. A lift is of one address and one reason: the wider ones are for write_facts. Every new connection parses this:
-- it has what every call needs, and no more.
-- Times are in µs. The clock is SYSDATE in UTC: a session can move the others.
CREATE /*M! OR REPLACE */ PROCEDURE write_fact(
  f_addr   VARBINARY(16),
  f_len    INT,
  f_reason VARBINARY(64),
  is_lift  BOOLEAN,
  bantime  BIGINT,         -- of a report; -1: for ever
  happened BIGINT,         -- by the caller's clock; 0: now
  caller   BIGINT,         -- the caller's clock
  kept     BIGINT,         -- how far the store's was ahead of it, as the caller remembers: an offset that is no more than 1 s off stays
  names    LONGTEXT        -- the host names of the never-ban list that the caller has resolved, as JSON; NULL: do not ask that list
)
SQL SECURITY DEFINER
BEGIN
  DECLARE me     VARBINARY(64) DEFAULT SUBSTRING_INDEX(USER(), '@', 1);
  DECLARE clock  DATETIME(6);
  DECLARE f_last VARBINARY(16);
  DECLARE asks   BOOLEAN DEFAULT FALSE;
  DECLARE now_us, ahead, f_at, f_expires, clock_offset BIGINT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;

  {session}
  SET clock = SYSDATE(6);
  SET now_us = {now}, ahead = now_us + {max_ahead}, clock_offset = now_us - caller, f_last = {last f_addr f_len};
  SET clock_offset = IF(ABS(clock_offset - kept) <= {clock_slack}, kept, clock_offset);
  SET f_at = IF(happened = 0 OR happened + clock_offset > now_us + {clock_slack}, now_us, GREATEST(happened + clock_offset, 1));
  IF ({prefix f_addr f_len} AND LENGTH(f_reason) BETWEEN 1 AND 64
      AND (is_lift = 1 AND f_addr = f_last OR is_lift = 0 AND (bantime > 0 OR bantime = -1))) IS NOT TRUE THEN
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1369, MESSAGE_TEXT = 'this fact makes no sense';
  END IF;

  IF is_lift = 0 AND names IS NOT NULL THEN -- the caller then asks what it is
    SET asks = EXISTS (
      SELECT entry, INET6_ATON(SUBSTRING_INDEX(entry, '/', 1)) AS first,
        SUBSTRING_INDEX(SUBSTRING_INDEX(CONCAT(entry, '/', 8 * LENGTH(f_addr)), '/', 2), '/', -1) AS bits
      FROM allow WHERE at > removed
      HAVING IF(first IS NULL, NOT JSON_CONTAINS(names, JSON_QUOTE(CONVERT(entry USING utf8mb4))),
        LENGTH(first) = LENGTH(f_addr) AND first <= f_last AND {last first bits} >= f_addr)
    ) OR EXISTS (SELECT 1 FROM host WHERE LENGTH(INET6_ATON(address)) = LENGTH(f_addr) AND INET6_ATON(address) BETWEEN f_addr AND f_last);
  END IF;
  IF NOT asks THEN
    IF happened = 0 THEN -- later than what it is about, so far as that is not before now
      SET f_at = GREATEST(f_at, LEAST(ahead, 1 + GREATEST(
        COALESCE((SELECT GREATEST(IF(at <= ahead, at, 0), IF(is_lift = 0 AND lifted <= ahead, lifted, 0)) FROM report
          WHERE addr = f_addr AND len = f_len AND source = me AND reason = f_reason AND {valid}), 0),
        COALESCE((SELECT MAX(at) FROM lift WHERE at BETWEEN now_us AND ahead AND is_lift = 0 AND source IN (me, '') AND reason IN (f_reason, '')
          AND LENGTH(addr) = LENGTH(f_addr) AND len <= f_len AND f_addr BETWEEN addr AND {last addr len}), 0))));
    END IF;
    SET f_expires = IF(is_lift = 1, 0, {expires f_at});
    START TRANSACTION;
    INSERT INTO report (addr, len, source, reason, at, expires, forced, longest, lifted, mark)
    VALUES (f_addr, f_len, me, f_reason, IF(is_lift = 1, 0, f_at), f_expires, 0, f_expires, IF(is_lift = 1, f_at, 0), clock)
    {merge_report};
    INSERT IGNORE INTO event (addr, len, at, source, reason, expires, forced, who, mark)
    VALUES (f_addr, f_len, f_at, me, f_reason, f_expires, 0, USER(), clock);
    COMMIT;
  END IF;
  SELECT IF(asks, 0, f_at), clock_offset, now_us,
    (SELECT GROUP_CONCAT(name, ' ', value SEPARATOR '\n') FROM meta),
    EXISTS (SELECT 1 FROM source WHERE name = me AND blocked > released),
    EXISTS (SELECT 1 FROM host WHERE source = me AND mark NOT BETWEEN clock - INTERVAL 1 HOUR AND clock + INTERVAL 1 MINUTE);
END
