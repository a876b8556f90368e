-- One fact of the caller's own, in one call: what f2bc ban and f2bc unban --own need of the store. The source is what the
-- server sees of the account, never what the caller says. Nothing but the caller's own rows can be changed, and no column
-- can go back. Where the never-ban list has something to say of a report, nothing is written and that is the answer.
-- Times are in µs. The clock is SYSDATE in UTC: a session can move the others.
CREATE /*M! OR REPLACE */ PROCEDURE write_fact(
  f_addr   VARBINARY(16),
  f_len    INT,
  f_reason VARBINARY(64),  -- of a lift, empty: any
  is_lift  BOOLEAN,
  bantime  BIGINT,         -- of a report; -1: for ever
  happened BIGINT,         -- by the caller's clock; 0: now
  caller   BIGINT,         -- the caller's clock
  kept     BIGINT,         -- how far the store's was ahead of it, as the caller remembers: an offset that is no more than 1 s off stays
  names    LONGTEXT        -- the host names of the never-ban list that the caller has resolved, as JSON; NULL: do not ask that list
)
SQL SECURITY DEFINER
run: BEGIN
  DECLARE me      VARBINARY(64)  DEFAULT SUBSTRING_INDEX(USER(), '@', 1);
  DECLARE peer    VARBINARY(255) DEFAULT SUBSTRING_INDEX(USER(), '@', -1);
  DECLARE clock   DATETIME(6);
  DECLARE f_last  VARBINARY(16);
  DECLARE f_exact BOOLEAN;
  DECLARE now_us, ahead, f_at, f_expires, clock_offset, found BIGINT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;

  {session}
  SET clock = SYSDATE(6);
  SET now_us = {now}, ahead = now_us + {max_ahead}, clock_offset = now_us - caller;
  SET clock_offset = IF(ABS(clock_offset - kept) <= {clock_slack}, kept, clock_offset);
  SET f_at = IF(happened = 0 OR happened + clock_offset > now_us + {clock_slack}, now_us, GREATEST(happened + clock_offset, 1));
  SET f_last = {last f_addr f_len}, f_exact = f_reason <> '' AND f_len = 8 * LENGTH(f_addr);
  IF ({prefix f_addr f_len} AND LENGTH(f_reason) <= 64
      AND (is_lift = 1 OR is_lift = 0 AND (bantime > 0 OR bantime = -1) AND f_reason <> '')) IS NOT TRUE THEN
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1369, MESSAGE_TEXT = 'this fact makes no sense';
  END IF;

  IF is_lift = 0 AND names IS NOT NULL THEN
    SELECT COUNT(*) INTO found FROM {never} WHERE {bears};
    IF found > 0 THEN
      SELECT 'never' AS kind, entry AS text, host AS detail, 0 AS number FROM {never} WHERE {bears};
      LEAVE run;
    END IF;
  END IF;

  IF happened = 0 THEN -- later than what it is about, so far as that is not before now
    SELECT GREATEST(f_at, LEAST(COALESCE(MAX(newest), 0) + 1, ahead)) INTO f_at FROM (
      SELECT GREATEST(IF(at > ahead, 0, at), IF(is_lift = 1 OR lifted > ahead, 0, lifted)) AS newest FROM report
      WHERE addr = f_addr AND len = f_len AND source = me AND reason = f_reason AND {valid}
      UNION ALL
      SELECT at FROM lift
      WHERE at BETWEEN now_us AND ahead AND is_lift = 0 AND source IN (me, '') AND reason IN (f_reason, '')
        AND LENGTH(addr) = LENGTH(f_addr) AND len <= f_len AND f_addr BETWEEN addr AND {last addr len}
      UNION ALL
      SELECT at FROM report FORCE INDEX (mark)
      WHERE mark > IF(is_lift = 1 AND NOT f_exact, clock - INTERVAL 70 SECOND, '9999-12-31') AND source = me
        AND f_reason IN (reason, '') AND LENGTH(addr) = LENGTH(f_addr) AND len >= f_len AND addr BETWEEN f_addr AND f_last AND {valid}
    ) AS about WHERE newest BETWEEN now_us AND ahead;
  END IF;
  SET f_expires = IF(is_lift = 1, 0, {expires f_at});

  START TRANSACTION;
  IF is_lift = 0 OR f_exact THEN
    INSERT INTO report (addr, len, source, reason, at, expires, forced, longest, lifted, mark)
    VALUES (f_addr, f_len, me, f_reason, IF(is_lift = 1, 0, f_at), f_expires, 0, f_expires, IF(is_lift = 1, f_at, 0), clock)
    {merge_report};
  ELSE
    {reset}
    INSERT INTO lift (addr, len, source, reason, at, mark) VALUES (f_addr, f_len, me, f_reason, f_at, clock)
    {merge_lift};
  END IF;
  INSERT IGNORE INTO event (addr, len, at, source, reason, expires, forced, who, mark)
  VALUES (f_addr, f_len, f_at, me, f_reason, f_expires, 0, USER(), clock);
  {seen}
  COMMIT;

  SELECT name AS kind, value AS text, '' AS detail, 0 AS number FROM meta
  UNION ALL SELECT 'now', '', '', now_us
  UNION ALL SELECT 'offset', '', '', clock_offset
  UNION ALL SELECT 'written', '', '', f_at
  UNION ALL SELECT 'blocked', '', '', blocked FROM source WHERE name = me AND blocked > released;
END
