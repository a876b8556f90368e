-- The history of one source, newest first.
ALTER TABLE event ADD KEY source_at (source, at)
