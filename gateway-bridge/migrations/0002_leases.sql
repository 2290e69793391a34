-- Which replica keeps the session of which gateway. A replica holds an advisory lock on its id for as long as it lives; its row and its
-- leases go when that lock is free or the row was not renewed.
CREATE TABLE replicas (
    id uuid PRIMARY KEY,
    -- Where the other replicas reach it.
    address text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE leases (
    gateway_id uuid PRIMARY KEY REFERENCES gateways (id) ON DELETE CASCADE,
    replica_id uuid NOT NULL REFERENCES replicas (id) ON DELETE CASCADE,
    -- What the replica sees of the gateway, for those that do not keep its session.
    connection bytea
);
CREATE INDEX leases_replica ON leases (replica_id);
