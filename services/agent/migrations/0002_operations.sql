-- Work that goes on after its request was answered. Provisioning and messages are shown as operations from their own rows; this table has
-- what concerns many agents at once.
CREATE TABLE operations (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    gateway_id uuid NOT NULL,
    board_id uuid,
    kind text NOT NULL,
    title text NOT NULL,
    created_by text NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'succeeded', 'failed')),
    -- What is not done then is given up here; the reconciler goes on with it all the same.
    deadline_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz
);
CREATE INDEX operations_organization ON operations (organization_id, created_at DESC, id DESC);
CREATE INDEX operations_open ON operations (deadline_at) WHERE state = 'running';
CREATE INDEX operations_settled ON operations (settled_at) WHERE state <> 'running';

-- One agent of an operation. Agents that are deleted keep their line.
CREATE TABLE operation_items (
    operation_id uuid NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    agent_id uuid NOT NULL,
    agent_name text NOT NULL,
    board_id uuid,
    -- Done when the gateway has this generation of the agent.
    generation bigint NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed', 'skipped')),
    message text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (operation_id, agent_id)
);
CREATE INDEX operation_items_open ON operation_items (agent_id) WHERE state = 'waiting';

-- Messages that somebody sent on purpose are listed as operations; the others only while they cannot be sent.
ALTER TABLE messages ADD COLUMN listed boolean NOT NULL DEFAULT false;
ALTER TABLE messages ADD COLUMN title text NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN created_by text NOT NULL DEFAULT '';
CREATE INDEX messages_organization ON messages (organization_id, created_at DESC, id DESC) WHERE listed OR state <> 'sent';
-- Agents whose gateway does not have what it should.
CREATE INDEX agents_behind ON agents (organization_id, updated_at DESC, id DESC)
    WHERE observed_generation < desired_generation OR deleting_at IS NOT NULL;

-- Boards whose agents were told to pause: syncs leave them alone.
CREATE TABLE paused_boards (
    board_id uuid PRIMARY KEY,
    paused_at timestamptz NOT NULL
);
