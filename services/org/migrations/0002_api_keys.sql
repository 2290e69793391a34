-- API keys, the service accounts they may act as, and what callers used of their limits.

-- Accounts that are no persons: they sign in with their key only.
ALTER TABLE users ADD COLUMN service boolean NOT NULL DEFAULT false;

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    -- The membership the key acts with: it ends with it.
    member_id uuid NOT NULL REFERENCES members (id) ON DELETE CASCADE,
    name text NOT NULL,
    -- The part of the key that it is found by.
    key_id text NOT NULL CONSTRAINT api_keys_key_id_key UNIQUE,
    -- SHA-256 of the secret part. It is 256 random bits: a slow hash would add nothing.
    secret_hash bytea NOT NULL,
    scope text NOT NULL CHECK (scope IN ('read', 'write')),
    -- The highest role the key acts with.
    role text NOT NULL CHECK (role IN ('admin', 'member')),
    -- The only boards it reaches; empty: all that the membership gives.
    board_ids uuid[] NOT NULL DEFAULT '{}',
    expires_at timestamptz,
    last_used_at timestamptz,
    created_by_user_id uuid REFERENCES users (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_member ON api_keys (member_id, created_at DESC);

-- What callers used of their limits in the last minutes, over all replicas of the edge. Worth nothing after a crash, so not logged.
CREATE UNLOGGED TABLE usage (
    key text NOT NULL,
    -- Minutes since 1970.
    minute bigint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (key, minute)
);
CREATE INDEX usage_minute ON usage (minute);
