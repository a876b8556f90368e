CREATE INDEX IF NOT EXISTS report_mark ON report (mark)
