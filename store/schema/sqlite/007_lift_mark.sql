CREATE INDEX IF NOT EXISTS lift_mark ON lift (mark)
