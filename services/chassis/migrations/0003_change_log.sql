-- Events used to be numbered and marked in the outbox, which wrote each of them three times with all its indexes. Now the outbox holds only
-- what waits: the relay moves it, in one statement, to the change log, where nothing is changed any more. How far it is published is one row.
-- What is numbered while this runs must not be missed.
LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE;

CREATE TABLE change_log (
    -- 1, 2, 3, ... in commit order as seen by the relay, so that a reader knows whether it has missed one.
    position bigint PRIMARY KEY,
    id uuid NOT NULL,
    event_type text NOT NULL,
    event bytea NOT NULL,
    -- When the transaction began that made the change.
    created_at timestamptz NOT NULL
);
CREATE INDEX change_log_created ON change_log (created_at);

CREATE TABLE relay (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Events up to this position are published.
    published bigint NOT NULL
);

INSERT INTO change_log SELECT position, id, event_type, event, created_at FROM outbox WHERE position IS NOT NULL;
INSERT INTO relay (published) SELECT coalesce((SELECT min(position) - 1 FROM outbox WHERE published_at IS NULL), (SELECT max(position) FROM outbox), 0);
DELETE FROM outbox WHERE position IS NOT NULL;

-- The version before goes on writing events while it is replaced, and so keeps the columns that it fills; its relay stops at those that are
-- gone, since two ways of numbering must not meet.
DROP INDEX outbox_unrelayed, outbox_unpublished, outbox_board, outbox_created;
ALTER TABLE outbox
    DROP CONSTRAINT outbox_pkey,
    DROP COLUMN position,
    DROP COLUMN published_at,
    ADD PRIMARY KEY (sequence);
-- Rows come and go: their places are to be used again soon.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Everything that is still kept, relayed (with a position) or waiting.
CREATE VIEW recorded AS
    SELECT position, id, event_type, event, created_at FROM change_log
    UNION ALL SELECT NULL, id, event_type, event, created_at FROM outbox;
