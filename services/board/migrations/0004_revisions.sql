-- Counts every change of a board: its etag.
ALTER TABLE boards ADD COLUMN revision bigint NOT NULL DEFAULT 0;
