-- Covers the read of the active list: the primary key comes with it.
CREATE INDEX IF NOT EXISTS report_active ON report (expires, at, lifted, forced)
