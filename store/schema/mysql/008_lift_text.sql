-- The wider lifts for human eyes.
CREATE OR REPLACE VIEW lift_text AS
SELECT CONCAT(INET6_NTOA(addr), '/', len)                       AS prefix,
       IF(source = '', '(any)', CONVERT(source USING utf8mb4))  AS source,
       IF(reason = '', '(any)', CONVERT(reason USING utf8mb4))  AS reason,
       TIMESTAMP('1970-01-01') + INTERVAL at MICROSECOND        AS lifted
FROM lift
