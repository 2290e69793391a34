-- Groups of boards, and what boards and groups remember.

CREATE TABLE board_groups (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    description text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX board_groups_organization ON board_groups (organization_id, lower(name), created_at DESC);

ALTER TABLE boards ADD CONSTRAINT boards_board_group_id_fkey FOREIGN KEY (board_group_id) REFERENCES board_groups;
CREATE INDEX boards_group ON boards (board_group_id, lower(name)) WHERE board_group_id IS NOT NULL;

CREATE TABLE board_memory (
    -- Also the id of the event that tells of it.
    id uuid PRIMARY KEY,
    board_id uuid NOT NULL CONSTRAINT board_memory_board_id_fkey REFERENCES boards ON DELETE CASCADE,
    content text NOT NULL,
    tags text[],
    source text,
    is_chat boolean NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX board_memory_board ON board_memory (board_id, created_at DESC, id DESC);
CREATE INDEX board_memory_chat ON board_memory (board_id, is_chat, created_at DESC, id DESC);

CREATE TABLE group_memory (
    -- Also the id of the event that tells of it.
    id uuid PRIMARY KEY,
    board_group_id uuid NOT NULL CONSTRAINT group_memory_board_group_id_fkey REFERENCES board_groups ON DELETE CASCADE,
    content text NOT NULL,
    tags text[],
    source text,
    is_chat boolean NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX group_memory_group ON group_memory (board_group_id, created_at DESC, id DESC);
CREATE INDEX group_memory_chat ON group_memory (board_group_id, is_chat, created_at DESC, id DESC);
