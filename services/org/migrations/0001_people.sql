-- People, organizations, memberships and invites. Boards belong to another service: their ids are plain columns.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    -- Subject at the identity provider; `local-auth-user` for the local token.
    subject text NOT NULL CONSTRAINT users_subject_key UNIQUE,
    email text,
    name text,
    preferred_name text,
    pronouns text,
    timezone text,
    notes text,
    context text,
    active_organization_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_active_organization ON users (active_organization_id);

CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    -- Made by the first sign-in: every person may have one of the same name.
    personal boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX organizations_name_key ON organizations (lower(name)) WHERE NOT personal;
CREATE INDEX organizations_name ON organizations (lower(name));

ALTER TABLE users
    ADD CONSTRAINT users_active_organization_fkey FOREIGN KEY (active_organization_id) REFERENCES organizations (id) ON DELETE SET NULL;

CREATE TABLE members (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    all_boards_read boolean NOT NULL DEFAULT false,
    all_boards_write boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT members_person_key UNIQUE (organization_id, user_id)
);
CREATE INDEX members_user ON members (user_id, created_at);

CREATE TABLE board_grants (
    id uuid PRIMARY KEY,
    member_id uuid NOT NULL REFERENCES members (id) ON DELETE CASCADE,
    board_id uuid NOT NULL,
    can_read boolean NOT NULL,
    can_write boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT board_grants_board_key UNIQUE (member_id, board_id)
);
CREATE INDEX board_grants_board ON board_grants (board_id);

CREATE TABLE invites (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    -- Lower case.
    invited_email text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    all_boards_read boolean NOT NULL DEFAULT false,
    all_boards_write boolean NOT NULL DEFAULT false,
    -- [{"board_id", "can_read", "can_write"}]: becomes rows of board_grants when the invite is accepted.
    board_access jsonb NOT NULL DEFAULT '[]',
    -- SHA-256 of the token. The token itself is answered once and never kept.
    token_hash bytea NOT NULL CONSTRAINT invites_token_key UNIQUE,
    created_by_user_id uuid REFERENCES users (id) ON DELETE SET NULL,
    accepted_by_user_id uuid REFERENCES users (id) ON DELETE SET NULL,
    accepted_at timestamptz,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX invites_pending ON invites (organization_id, created_at DESC) WHERE accepted_at IS NULL;
CREATE INDEX invites_email ON invites (invited_email, created_at) WHERE accepted_at IS NULL;
