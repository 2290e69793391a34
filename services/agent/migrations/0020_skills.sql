-- Skill packs: git repositories that skills are found in.
CREATE TABLE skill_packs (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    source_url text NOT NULL,
    branch text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,

    -- The reading of the repository: asked for, worked on under a lease, ended.
    sync_state text NOT NULL DEFAULT 'never' CHECK (sync_state IN ('never', 'queued', 'running', 'succeeded', 'failed')),
    sync_attempts integer NOT NULL DEFAULT 0,
    sync_error text,
    sync_warnings text[] NOT NULL DEFAULT '{}',
    sync_commit text,
    sync_found integer NOT NULL DEFAULT 0,
    sync_created integer NOT NULL DEFAULT 0,
    sync_updated integer NOT NULL DEFAULT 0,
    sync_requested_at timestamptz,
    sync_finished_at timestamptz,
    lease_id uuid,
    lease_until timestamptz,

    CONSTRAINT skill_packs_source_key UNIQUE (organization_id, source_url)
);
CREATE INDEX skill_packs_organization ON skill_packs (organization_id, created_at DESC, id DESC);
CREATE INDEX skill_packs_due ON skill_packs (sync_requested_at) WHERE sync_state IN ('queued', 'running');

-- Skills of the marketplace of an organization.
CREATE TABLE skills (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    category text,
    risk text,
    source_url text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The repository it is in.
    repository text NOT NULL GENERATED ALWAYS AS (split_part(source_url, '/tree/', 1)) STORED,
    -- What a search looks at.
    words text NOT NULL GENERATED ALWAYS AS (
        lower(name || E'\n' || coalesce(description, '') || E'\n' || coalesce(category, '') || E'\n' || coalesce(risk, '') || E'\n' || source_url)
    ) STORED,
    CONSTRAINT skills_source_key UNIQUE (organization_id, source_url)
);
CREATE INDEX skills_organization ON skills (organization_id, created_at DESC, id DESC);
CREATE INDEX skills_repository ON skills (organization_id, repository, created_at DESC, id DESC);

-- What gateways were asked to have. The row stays after an uninstallation, for the message that is on its way.
CREATE TABLE skill_installs (
    gateway_id uuid NOT NULL,
    skill_id uuid NOT NULL REFERENCES skills (id) ON DELETE CASCADE,
    organization_id uuid NOT NULL,
    installed boolean NOT NULL,
    installed_at timestamptz,
    -- What was true before the last message: true again when it could not be delivered.
    before_installed boolean NOT NULL DEFAULT false,
    before_installed_at timestamptz,
    dispatch text NOT NULL CHECK (dispatch IN ('queued', 'sent', 'failed')),
    message_key text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (gateway_id, skill_id),
    CONSTRAINT skill_installs_message_key UNIQUE (message_key)
);
CREATE INDEX skill_installs_skill ON skill_installs (skill_id);
CREATE INDEX skill_installs_organization ON skill_installs (organization_id);
CREATE INDEX skill_installs_open ON skill_installs (message_key) WHERE dispatch = 'queued';

-- Souls of the directory that roles got, so that agents' files stay the same while the directory is away.
CREATE TABLE role_souls (
    role text PRIMARY KEY,
    -- Null when the directory had none.
    markdown text,
    source_url text,
    fetched_at timestamptz NOT NULL
);
