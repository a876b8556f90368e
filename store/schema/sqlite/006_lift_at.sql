CREATE INDEX IF NOT EXISTS lift_at ON lift (at)
