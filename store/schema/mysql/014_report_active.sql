-- The index of the active list, now with the column that tells a report from a row that no report makes.
ALTER TABLE report DROP KEY active, ADD KEY active (expires, at, lifted, forced, longest)
