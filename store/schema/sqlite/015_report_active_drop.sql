DROP INDEX IF EXISTS report_active
