-- The log: every event of every service, in one order per organization.
CREATE TABLE events (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    -- From 1, without gaps, per organization.
    position bigint NOT NULL,
    event_type text NOT NULL,
    message text NOT NULL,
    actor_type text NOT NULL,
    actor_id text NOT NULL,
    actor_name text NOT NULL,
    agent_id uuid,
    task_id uuid,
    board_id uuid,
    gateway_id uuid,
    request_id text NOT NULL,
    before text,
    after text,
    created_at timestamptz NOT NULL,
    CONSTRAINT events_position_key UNIQUE (organization_id, position)
);
CREATE INDEX events_organization_created ON events (organization_id, created_at DESC, id DESC);
CREATE INDEX events_board_created ON events (board_id, created_at DESC, id DESC);
CREATE INDEX events_agent_created ON events (agent_id, created_at DESC, id DESC);
CREATE INDEX events_type_created ON events (organization_id, event_type, created_at DESC);

-- The last position of each organization; its row lock orders concurrent writers.
CREATE TABLE heads (
    organization_id uuid PRIMARY KEY,
    position bigint NOT NULL
);

-- Outbound webhooks.
CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    url text NOT NULL,
    description text,
    event_types text[] NOT NULL,
    board_id uuid,
    -- Sealed.
    secret bytea NOT NULL,
    enabled boolean NOT NULL,
    disabled_reason text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX webhooks_organization ON webhooks (organization_id, created_at DESC);

CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    payload text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    -- Attempts that were made before the schedule began, or began anew by a redelivery.
    schedule_from integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    -- Put on the queue, or being worked on, until then.
    claimed_until timestamptz,
    last_status integer,
    last_error text,
    created_at timestamptz NOT NULL,
    delivered_at timestamptz,
    CONSTRAINT deliveries_once UNIQUE (webhook_id, event_id)
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, created_at DESC);

CREATE TABLE attempts (
    delivery_id uuid NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status integer,
    error text,
    response_excerpt text,
    PRIMARY KEY (delivery_id, number)
);
