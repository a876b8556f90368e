-- When the address of a host last became another one. The mark is when the host was last seen.
ALTER TABLE host ADD COLUMN moved DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), ADD KEY moved (moved)
