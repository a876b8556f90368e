CREATE INDEX IF NOT EXISTS event_at ON event (at)
