-- Many facts of the caller's own that have their times already. See write_fact.
CREATE /*M! OR REPLACE */ PROCEDURE write_facts(
  facts LONGTEXT  -- JSON: [[address as hex, length, reason as hex, time in µs, ban time in µs or -1, 1 for a lift], …], sorted by key
)
SQL SECURITY DEFINER
BEGIN
  DECLARE me       VARBINARY(64)  DEFAULT SUBSTRING_INDEX(USER(), '@', 1);
  DECLARE peer     VARBINARY(255) DEFAULT SUBSTRING_INDEX(USER(), '@', -1);
  DECLARE clock    DATETIME(6);
  DECLARE f_addr, f_last VARBINARY(16);
  DECLARE f_reason VARBINARY(64);
  DECLARE now_us, ahead, f_len, found BIGINT;
  DECLARE done     BOOLEAN DEFAULT FALSE;
  DECLARE wide CURSOR FOR SELECT DISTINCT fact_addr, fact_last, fact_len, fact_reason FROM {facts} WHERE fact_lift = 1 AND NOT fact_exact;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;

  {session}
  SET clock = SYSDATE(6);
  SET now_us = {now}, ahead = now_us + {max_ahead};
  IF EXISTS (
    SELECT 1 FROM {facts}
    WHERE ({prefix fact_addr fact_len} AND LENGTH(fact_reason) <= 64 AND fact_at > 0
      AND (fact_lift = 1 OR fact_lift = 0 AND (bantime > 0 OR bantime = -1) AND fact_reason <> '')) IS NOT TRUE
  ) THEN
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1369, MESSAGE_TEXT = 'a fact among these makes no sense';
  END IF;

  START TRANSACTION;
  INSERT INTO report (addr, len, source, reason, at, expires, forced, longest, lifted, mark)
  SELECT fact_addr, fact_len, me, fact_reason, IF(fact_lift = 1, 0, fact_at), fact_expires, 0, fact_expires,
    IF(fact_lift = 1, fact_at, 0), clock
  FROM {facts} WHERE fact_lift = 0 OR fact_exact
  {merge_report};
  OPEN wide;
  covered: LOOP
    FETCH wide INTO f_addr, f_last, f_len, f_reason;
    IF done THEN LEAVE covered; END IF;
    {reset}
  END LOOP;
  CLOSE wide;
  INSERT INTO lift (addr, len, source, reason, at, mark)
  SELECT fact_addr, fact_len, me, fact_reason, fact_at, clock FROM {facts} WHERE fact_lift = 1 AND NOT fact_exact
  {merge_lift};
  INSERT IGNORE INTO event (addr, len, at, source, reason, expires, forced, who, mark)
  SELECT fact_addr, fact_len, fact_at, me, fact_reason, fact_expires, 0, USER(), clock FROM {facts};
  {seen}
  COMMIT;
END
