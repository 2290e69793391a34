-- The same three tables in every service's schema; applied with the schema first in the search path.

-- The change log: written in the transaction that makes the change, relayed in commit order, kept for a week for resuming watchers.
CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    -- Given when relayed: 1, 2, 3, ... in commit order as seen by the relay, so that a reader knows whether it has missed one.
    position bigint UNIQUE,
    event_type text NOT NULL,
    organization_id uuid,
    board_id uuid,
    event bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX outbox_unrelayed ON outbox (sequence) WHERE position IS NULL;
CREATE INDEX outbox_unpublished ON outbox (position) WHERE published_at IS NULL;
CREATE INDEX outbox_board ON outbox (board_id, position);
CREATE INDEX outbox_created ON outbox (created_at);

-- What each consumer has handled or parked, so that a redelivered message has no second effect.
CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_handled ON inbox (handled_at);

-- Messages a consumer gave up on; listed and replayed by an administrator.
CREATE TABLE parked (
    id uuid PRIMARY KEY,
    consumer text NOT NULL,
    event_type text NOT NULL,
    event bytea NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    -- Set by an administrator: the consumer takes it up again.
    requeued_at timestamptz
);
CREATE INDEX parked_requeued ON parked (consumer, id) WHERE requeued_at IS NOT NULL;
