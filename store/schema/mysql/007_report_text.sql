-- The reports for human eyes.
CREATE OR REPLACE VIEW report_text AS
SELECT CONCAT(INET6_NTOA(addr), '/', len)    AS prefix,
       CONVERT(source USING utf8mb4)         AS source,
       CONVERT(reason USING utf8mb4)         AS reason,
       IF(at = 0, NULL, TIMESTAMP('1970-01-01') + INTERVAL at MICROSECOND)         AS reported,
       CASE expires WHEN 0 THEN NULL
                    WHEN 9223372036854775807 THEN 'permanent'
                    ELSE CAST(TIMESTAMP('1970-01-01') + INTERVAL expires MICROSECOND AS CHAR) END AS expires,
       IF(lifted = 0, NULL, TIMESTAMP('1970-01-01') + INTERVAL lifted MICROSECOND) AS lifted,
       at > 0 AND forced = at                AS forced
FROM report
