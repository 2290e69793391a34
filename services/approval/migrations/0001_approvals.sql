-- Requests for a decision, and the decisions. Boards, tasks, agents and people belong to other services.

CREATE TABLE approvals (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    board_id uuid NOT NULL,
    action_type text NOT NULL,
    -- json, not jsonb: the decider sees it in the form it was sent.
    payload json,
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 100),
    rubric_scores json,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected')),
    -- The agent that asked or was asked for.
    agent_id uuid,
    -- The person who asked.
    requested_by_user_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by_user_id uuid,
    -- The name at that time.
    resolved_by_name text,
    decision_reason text,
    CONSTRAINT approvals_decision CHECK ((status = 'pending') = (resolved_at IS NULL) AND (status = 'pending') = (resolved_by_user_id IS NULL)),
    -- Target of the links' copy of the status.
    CONSTRAINT approvals_status_key UNIQUE (id, status)
);
CREATE INDEX approvals_board ON approvals (board_id, created_at DESC, id DESC);
CREATE INDEX approvals_board_status ON approvals (board_id, status, created_at DESC, id DESC);
CREATE INDEX approvals_organization ON approvals (organization_id);

-- The tasks of an approval; the first one by position is the primary task.
CREATE TABLE links (
    approval_id uuid NOT NULL,
    task_id uuid NOT NULL,
    position integer NOT NULL,
    -- The task's title as last heard.
    title text NOT NULL,
    -- The approval's status: the key below keeps it equal.
    status text NOT NULL,
    PRIMARY KEY (approval_id, task_id),
    CONSTRAINT links_approval_fkey FOREIGN KEY (approval_id, status) REFERENCES approvals (id, status) ON UPDATE CASCADE ON DELETE CASCADE
);
-- Each task has one pending approval at most.
CREATE UNIQUE INDEX links_pending_key ON links (task_id) WHERE status = 'pending';
CREATE INDEX links_task ON links (task_id);
