-- What the log tells of things that belong to other services, kept for the dashboard and the inbox. Written in the
-- transaction that writes the log, and made anew from the log by `mission-control audit rebuild`. `version` is the position of the last
-- event in its service's change log: what comes late or again changes nothing. Deleted things stay as stones, for the same reason.
CREATE TABLE boards (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    board_group_id uuid,
    version bigint NOT NULL,
    deleted boolean NOT NULL
);
CREATE INDEX boards_organization ON boards (organization_id) WHERE NOT deleted;

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    board_id uuid NOT NULL,
    title text NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    -- When it came into its status.
    moved_at timestamptz NOT NULL,
    -- When the work on it began; null in the inbox.
    started_at timestamptz,
    -- When the work was handed over for review or done.
    finished_at timestamptz,
    -- Since when other tasks hold it up.
    blocked_since timestamptz,
    blocked_by integer NOT NULL,
    version bigint NOT NULL,
    deleted boolean NOT NULL
);
CREATE INDEX tasks_board ON tasks (board_id) WHERE NOT deleted;
CREATE INDEX tasks_blocked ON tasks (organization_id, blocked_since) WHERE blocked_since IS NOT NULL AND NOT deleted;

CREATE TABLE agents (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    -- Null for main agents.
    board_id uuid,
    gateway_id uuid,
    name text NOT NULL,
    status text NOT NULL,
    status_since timestamptz NOT NULL,
    last_seen_at timestamptz,
    -- Why it could not be set up, until it is.
    problem text,
    problem_since timestamptz,
    version bigint NOT NULL,
    deleted boolean NOT NULL
);
CREATE INDEX agents_organization ON agents (organization_id) WHERE NOT deleted;

CREATE TABLE gateways (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    -- A phase of the connection, in lower case.
    phase text NOT NULL,
    since timestamptz NOT NULL,
    error text,
    remedy text,
    version bigint NOT NULL,
    deleted boolean NOT NULL
);
CREATE INDEX gateways_organization ON gateways (organization_id) WHERE NOT deleted;

CREATE TABLE approvals (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    board_id uuid NOT NULL,
    task_id uuid,
    task_title text,
    action_type text NOT NULL,
    confidence double precision NOT NULL,
    status text NOT NULL,
    requested_by_user_id uuid,
    requested_by_name text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    version bigint NOT NULL,
    deleted boolean NOT NULL
);
CREATE INDEX approvals_pending ON approvals (organization_id, created_at DESC) WHERE status = 'pending' AND NOT deleted;

-- Events counted by board (nil: none) and kind: lists say how many there are without counting.
CREATE TABLE tallies (
    organization_id uuid NOT NULL,
    board_id uuid NOT NULL,
    event_type text NOT NULL,
    total bigint NOT NULL,
    PRIMARY KEY (organization_id, board_id, event_type)
);
INSERT INTO tallies
    SELECT organization_id, coalesce(board_id, '00000000-0000-0000-0000-000000000000'), event_type, count(*) FROM events GROUP BY 1, 2, 3;

-- Events about tasks by hour and by day (UTC), and the failures among them.
CREATE TABLE task_events (
    board_id uuid NOT NULL,
    step text NOT NULL CHECK (step IN ('hour', 'day')),
    at timestamptz NOT NULL,
    total bigint NOT NULL,
    failed bigint NOT NULL,
    PRIMARY KEY (board_id, step, at)
);
INSERT INTO task_events
    SELECT board_id, step, date_trunc(step, created_at, 'UTC'), count(*), count(*) FILTER (WHERE event_type LIKE '%failed')
    FROM events CROSS JOIN (VALUES ('hour'), ('day')) AS steps (step) WHERE task_id IS NOT NULL AND board_id IS NOT NULL GROUP BY 1, 2, 3;

-- The thing an event changed.
ALTER TABLE events ADD COLUMN target_type text NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN target_id uuid;
-- SHA-256 over the event and the hash before; null before the chain began.
ALTER TABLE events ADD COLUMN hash bytea;
-- The end of the chain, signed with the secret key; `chain_begins` is the first position that has a hash.
ALTER TABLE heads ADD COLUMN hash bytea;
ALTER TABLE heads ADD COLUMN chain_begins bigint;
ALTER TABLE heads ADD COLUMN signature bytea;
ALTER TABLE heads ADD COLUMN signed_at timestamptz;

CREATE INDEX events_task_created ON events (task_id, created_at DESC, id DESC);
CREATE INDEX events_target ON events (organization_id, target_id, position);
CREATE INDEX events_request ON events (organization_id, request_id, position);
CREATE INDEX events_actor ON events (organization_id, actor_id, position);
CREATE INDEX events_unbound_created ON events (organization_id, created_at DESC, id DESC) WHERE board_id IS NULL;
DROP INDEX events_type_created;
CREATE INDEX events_type_created ON events (organization_id, event_type, created_at DESC, id DESC);
