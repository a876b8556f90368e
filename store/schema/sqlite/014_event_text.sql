-- The event log for human eyes.
CREATE VIEW IF NOT EXISTS event_text AS
SELECT datetime(at / 1000000, 'unixepoch') AS at,
       CASE expires WHEN 0 THEN 'lift' ELSE 'report' END AS fact,
       CASE length(addr)
         WHEN 4 THEN (16 * instr('0123456789ABCDEF', substr(hex(addr), 1, 1)) + instr('0123456789ABCDEF', substr(hex(addr), 2, 1)) - 17) || '.' ||
         (16 * instr('0123456789ABCDEF', substr(hex(addr), 3, 1)) + instr('0123456789ABCDEF', substr(hex(addr), 4, 1)) - 17) || '.' ||
         (16 * instr('0123456789ABCDEF', substr(hex(addr), 5, 1)) + instr('0123456789ABCDEF', substr(hex(addr), 6, 1)) - 17) || '.' ||
         (16 * instr('0123456789ABCDEF', substr(hex(addr), 7, 1)) + instr('0123456789ABCDEF', substr(hex(addr), 8, 1)) - 17)
         ELSE lower(substr(hex(addr), 1, 4) || ':' || substr(hex(addr), 5, 4) || ':' || substr(hex(addr), 9, 4) || ':' || substr(hex(addr), 13, 4) || ':' ||
         substr(hex(addr), 17, 4) || ':' || substr(hex(addr), 21, 4) || ':' || substr(hex(addr), 25, 4) || ':' || substr(hex(addr), 29, 4))
       END || '/' || len AS prefix,
       CAST(source AS TEXT) AS source,
       CAST(reason AS TEXT) AS reason,
       CASE expires WHEN 0 THEN NULL WHEN 9223372036854775807 THEN 'permanent' ELSE datetime(expires / 1000000, 'unixepoch') END AS expires,
       forced,
       CAST(who AS TEXT) AS who,
       datetime(mark / 1000000, 'unixepoch') AS recorded
FROM event
