-- The wider lifts for human eyes.
CREATE VIEW IF NOT EXISTS lift_text AS
SELECT CASE length(addr)
         WHEN 4 THEN (16 * instr('0123456789ABCDEF', substr(hex(addr), 1, 1)) + instr('0123456789ABCDEF', substr(hex(addr), 2, 1)) - 17) || '.' ||
         (16 * instr('0123456789ABCDEF', substr(hex(addr), 3, 1)) + instr('0123456789ABCDEF', substr(hex(addr), 4, 1)) - 17) || '.' ||
         (16 * instr('0123456789ABCDEF', substr(hex(addr), 5, 1)) + instr('0123456789ABCDEF', substr(hex(addr), 6, 1)) - 17) || '.' ||
         (16 * instr('0123456789ABCDEF', substr(hex(addr), 7, 1)) + instr('0123456789ABCDEF', substr(hex(addr), 8, 1)) - 17)
         ELSE lower(substr(hex(addr), 1, 4) || ':' || substr(hex(addr), 5, 4) || ':' || substr(hex(addr), 9, 4) || ':' || substr(hex(addr), 13, 4) || ':' ||
         substr(hex(addr), 17, 4) || ':' || substr(hex(addr), 21, 4) || ':' || substr(hex(addr), 25, 4) || ':' || substr(hex(addr), 29, 4))
       END || '/' || len AS prefix,
       CASE length(source) WHEN 0 THEN '(any)' ELSE CAST(source AS TEXT) END AS source,
       CASE length(reason) WHEN 0 THEN '(any)' ELSE CAST(reason AS TEXT) END AS reason,
       datetime(at / 1000000, 'unixepoch') AS lifted
FROM lift
