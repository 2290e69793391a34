-- Interviews about boards, and what was said in them.

CREATE TABLE onboarding_sessions (
    id uuid PRIMARY KEY,
    board_id uuid NOT NULL CONSTRAINT onboarding_sessions_board_id_fkey REFERENCES boards ON DELETE CASCADE,
    session_key text NOT NULL,
    status text NOT NULL CONSTRAINT onboarding_sessions_status_check CHECK (status IN ('active', 'completed', 'confirmed')),
    -- An encoded OnboardingDraft.
    draft bytea,
    -- How far the last message to the agent came.
    delivery text NOT NULL CONSTRAINT onboarding_sessions_delivery_check CHECK (delivery IN ('queued', 'sent', 'failed')),
    delivery_error text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX onboarding_sessions_board ON onboarding_sessions (board_id, updated_at DESC, id DESC);
CREATE UNIQUE INDEX onboarding_sessions_active_key ON onboarding_sessions (board_id) WHERE status = 'active';

CREATE TABLE onboarding_messages (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL CONSTRAINT onboarding_messages_session_id_fkey REFERENCES onboarding_sessions ON DELETE CASCADE,
    role text NOT NULL CONSTRAINT onboarding_messages_role_check CHECK (role IN ('user', 'assistant')),
    content text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX onboarding_messages_session ON onboarding_messages (session_id, created_at, id);
