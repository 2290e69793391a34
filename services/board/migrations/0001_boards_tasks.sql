-- Boards, tasks, their links and comments. Ids of other services' rows are plain uuids.

CREATE TABLE boards (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    description text NOT NULL,
    -- Null only after the gateway was deleted.
    gateway_id uuid,
    board_group_id uuid,
    board_type text NOT NULL,
    objective text,
    -- json, not jsonb: answered in the form it was given.
    success_metrics json,
    target_date timestamptz,
    goal_confirmed boolean NOT NULL,
    goal_source text,
    require_approval_for_done boolean NOT NULL,
    require_review_before_done boolean NOT NULL,
    comment_required_for_review boolean NOT NULL,
    block_status_changes_with_pending_approval boolean NOT NULL,
    only_lead_can_change_status boolean NOT NULL,
    max_agents integer NOT NULL CONSTRAINT boards_max_agents_check CHECK (max_agents >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX boards_organization ON boards (organization_id, lower(name), created_at DESC);
CREATE INDEX boards_gateway ON boards (gateway_id, created_at);

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    board_id uuid NOT NULL CONSTRAINT tasks_board_id_fkey REFERENCES boards ON DELETE CASCADE,
    title text NOT NULL,
    description text,
    status text NOT NULL CONSTRAINT tasks_status_check CHECK (status IN ('inbox', 'in_progress', 'review', 'done')),
    priority text NOT NULL,
    due_at timestamptz,
    assigned_agent_id uuid,
    created_by_user_id uuid,
    -- The lead that created it: leads may comment on what they created.
    created_by_agent_id uuid,
    in_progress_at timestamptz,
    -- When the work before the present state began: comments since then count for review.
    previous_in_progress_at timestamptz,
    -- Who brought it to review; gets it back for rework.
    last_worker_id uuid,
    -- Counts every change of the row or its links: a reader that waited for a lock sees that its snapshot is old.
    revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX tasks_board_created ON tasks (board_id, created_at DESC, id DESC);
CREATE INDEX tasks_assignee ON tasks (assigned_agent_id) WHERE assigned_agent_id IS NOT NULL;
CREATE INDEX tasks_last_worker ON tasks (last_worker_id) WHERE last_worker_id IS NOT NULL;

CREATE TABLE task_dependencies (
    task_id uuid NOT NULL CONSTRAINT task_dependencies_task_id_fkey REFERENCES tasks ON DELETE CASCADE,
    depends_on_task_id uuid NOT NULL CONSTRAINT task_dependencies_depends_on_task_id_fkey REFERENCES tasks ON DELETE CASCADE,
    position integer NOT NULL,
    PRIMARY KEY (task_id, depends_on_task_id),
    CONSTRAINT task_dependencies_self_check CHECK (task_id <> depends_on_task_id)
);
CREATE INDEX task_dependencies_depends_on ON task_dependencies (depends_on_task_id);

CREATE TABLE tags (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    color text NOT NULL CONSTRAINT tags_color_check CHECK (color ~ '^[0-9a-f]{6}$'),
    description text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT tags_organization_slug_key UNIQUE (organization_id, slug)
);
CREATE INDEX tags_organization_name ON tags (organization_id, lower(name), created_at);

CREATE TABLE task_tags (
    task_id uuid NOT NULL CONSTRAINT task_tags_task_id_fkey REFERENCES tasks ON DELETE CASCADE,
    tag_id uuid NOT NULL CONSTRAINT task_tags_tag_id_fkey REFERENCES tags ON DELETE CASCADE,
    position integer NOT NULL,
    PRIMARY KEY (task_id, tag_id)
);
CREATE INDEX task_tags_tag ON task_tags (tag_id);

CREATE TABLE comments (
    -- Also the id of the event that tells of it.
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL CONSTRAINT comments_task_id_fkey REFERENCES tasks ON DELETE CASCADE,
    message text NOT NULL,
    agent_id uuid,
    user_id uuid,
    author_name text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX comments_task ON comments (task_id, created_at, id);
CREATE INDEX comments_agent ON comments (task_id, agent_id, created_at) WHERE agent_id IS NOT NULL;
