-- The history of one source, newest first.
CREATE INDEX IF NOT EXISTS event_source ON event (source, at)
