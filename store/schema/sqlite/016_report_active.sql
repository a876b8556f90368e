-- The index of the active list, now with the column that tells a report from a row that no report makes.
CREATE INDEX IF NOT EXISTS report_active ON report (expires, at, lifted, forced, longest)
