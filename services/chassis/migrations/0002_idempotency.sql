-- Requests that named an idempotency key: a repetition within a day gets the first answer and has no second effect.
CREATE TABLE idempotency (
    -- Who asked: `<kind>:<id>`. Keys of different callers have nothing to do with each other.
    principal text NOT NULL,
    key text NOT NULL,
    -- SHA-256 of the method and the request message.
    fingerprint bytea NOT NULL,
    -- The execution that holds the key. Its transaction commits only while it does.
    claim uuid NOT NULL,
    claimed_until timestamptz NOT NULL,
    -- Set in the transaction of the effect.
    committed boolean NOT NULL DEFAULT false,
    -- gRPC code of the answer; null while there is none.
    code integer,
    -- The answer, sealed: it may carry a secret that is shown once.
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);
