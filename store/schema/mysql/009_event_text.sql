-- The event log for human eyes.
CREATE OR REPLACE VIEW event_text AS
SELECT TIMESTAMP('1970-01-01') + INTERVAL at MICROSECOND  AS at,
       IF(expires = 0, 'lift', 'report')                  AS fact,
       CONCAT(INET6_NTOA(addr), '/', len)                 AS prefix,
       CONVERT(source USING utf8mb4)                      AS source,
       CONVERT(reason USING utf8mb4)                      AS reason,
       CASE expires WHEN 0 THEN NULL
                    WHEN 9223372036854775807 THEN 'permanent'
                    ELSE CAST(TIMESTAMP('1970-01-01') + INTERVAL expires MICROSECOND AS CHAR) END AS expires,
       forced,
       CONVERT(who USING utf8mb4)                         AS who,
       mark                                               AS recorded
FROM event
