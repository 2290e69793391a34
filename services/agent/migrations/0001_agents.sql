-- Agents: who they are, their credential, what was heard of them and how far their gateway follows.
CREATE TABLE agents (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    gateway_id uuid NOT NULL,
    -- Null for a gateway's main agent.
    board_id uuid,
    name text NOT NULL,
    -- As stored; what is shown also depends on when the agent was last seen.
    status text NOT NULL DEFAULT 'provisioning',
    -- What was last told to watchers, so that a change is told once.
    shown_status text NOT NULL DEFAULT 'provisioning',
    is_board_lead boolean NOT NULL DEFAULT false,
    heartbeat_config jsonb,
    -- `heartbeat_config.every` in seconds: silence is measured in it.
    heartbeat_seconds integer NOT NULL DEFAULT 600 CHECK (heartbeat_seconds > 0),
    identity_profile jsonb,
    identity_template text,
    soul_template text,
    session_key text NOT NULL,

    -- The token: found by its key id, verified by the hash, rendered into files from the sealed copy.
    token_key_id text NOT NULL,
    token_hash text NOT NULL,
    token_sealed bytea NOT NULL,

    last_seen_at timestamptz,

    -- Raised by every change that the gateway has to follow; `observed` is what it has.
    desired_generation bigint NOT NULL DEFAULT 1,
    observed_generation bigint NOT NULL DEFAULT 0,
    -- What the next pass does beyond writing what differs: {"wake", "reset_session", "overwrite", "bootstrap", "verify"}.
    wishes jsonb NOT NULL DEFAULT '{}',
    conditions jsonb NOT NULL DEFAULT '[]',
    -- Digest of what was applied last: equal means that nothing has to be sent.
    applied_digest text,
    -- When the reconciler looks again; null when nothing is to be done.
    next_attempt_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    -- Who works on it now, and until when that counts.
    lease_id uuid,
    lease_until timestamptz,
    -- Failures that were told since it last converged, as `Condition/Reason`, separated by blanks.
    last_failure text,
    last_provision_error text,
    wake_attempts integer NOT NULL DEFAULT 0,
    last_wake_at timestamptz,
    deleting_at timestamptz,

    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT agents_token_key UNIQUE (token_key_id),
    CONSTRAINT agents_session_key UNIQUE (gateway_id, session_key)
);
-- Names are unique without regard to case, on the board and on the whole gateway; an agent on its way out does not hold its name.
CREATE UNIQUE INDEX agents_board_name_key ON agents (board_id, lower(name)) WHERE board_id IS NOT NULL AND deleting_at IS NULL;
CREATE UNIQUE INDEX agents_gateway_name_key ON agents (gateway_id, lower(name)) WHERE board_id IS NOT NULL AND deleting_at IS NULL;
CREATE UNIQUE INDEX agents_main_key ON agents (gateway_id) WHERE board_id IS NULL;
CREATE UNIQUE INDEX agents_lead_key ON agents (board_id) WHERE is_board_lead;
CREATE INDEX agents_organization ON agents (organization_id, created_at DESC, id DESC);
CREATE INDEX agents_board ON agents (board_id, created_at);
CREATE INDEX agents_due ON agents (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX agents_present ON agents (last_seen_at) WHERE shown_status NOT IN ('provisioning', 'updating', 'deleting', 'offline');

-- Messages to agents: written with the change that causes them, sent when the gateway can take them.
CREATE TABLE messages (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    board_id uuid,
    task_id uuid,
    gateway_id uuid NOT NULL,
    session_key text NOT NULL,
    label text NOT NULL,
    text text NOT NULL,
    deliver boolean NOT NULL DEFAULT false,
    idempotency_key text NOT NULL,
    -- Events told when it was sent or given up, with their sentences; null for none.
    sent_event text,
    sent_text text NOT NULL DEFAULT '',
    failed_event text,
    failed_text text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    lease_id uuid,
    lease_until timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    CONSTRAINT messages_idempotency_key UNIQUE (idempotency_key)
);
CREATE INDEX messages_due ON messages (next_attempt_at) WHERE state = 'waiting';
CREATE INDEX messages_order ON messages (agent_id, created_at, id) WHERE state = 'waiting';
CREATE INDEX messages_settled ON messages (settled_at) WHERE state <> 'waiting';

-- What a board's lead last said about a task: goes with the task when it is sent back for changes.
CREATE TABLE lead_remarks (
    task_id uuid PRIMARY KEY,
    board_id uuid NOT NULL,
    text text NOT NULL,
    said_at timestamptz NOT NULL
);

-- Agents that stay behind on a gateway they were moved away from.
CREATE TABLE leftovers (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    gateway_id uuid NOT NULL,
    agent_key text NOT NULL,
    session_key text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT leftovers_agent_key UNIQUE (gateway_id, agent_key)
);
CREATE INDEX leftovers_due ON leftovers (next_attempt_at);
