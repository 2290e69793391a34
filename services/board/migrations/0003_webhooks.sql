-- Inbound webhooks and what they received.

CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    board_id uuid NOT NULL CONSTRAINT webhooks_board_id_fkey REFERENCES boards ON DELETE CASCADE,
    agent_id uuid,
    description text NOT NULL,
    enabled boolean NOT NULL,
    -- Encrypted.
    secret bytea,
    signature_header text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX webhooks_board ON webhooks (board_id, created_at DESC, id DESC);

CREATE TABLE webhook_payloads (
    id uuid PRIMARY KEY,
    webhook_id uuid NOT NULL CONSTRAINT webhook_payloads_webhook_id_fkey REFERENCES webhooks ON DELETE CASCADE,
    -- json, not jsonb: answered in the form it came.
    payload json NOT NULL,
    headers json,
    source_ip text,
    content_type text,
    received_at timestamptz NOT NULL
);
CREATE INDEX webhook_payloads_webhook ON webhook_payloads (webhook_id, received_at DESC, id DESC);
