-- Gateways of organizations. Secrets are sealed by the service before they come here.
CREATE TABLE gateways (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    workspace_root text NOT NULL,
    allow_insecure_tls boolean NOT NULL DEFAULT false,
    disable_device_pairing boolean NOT NULL DEFAULT false,
    tls_fingerprint text,
    -- The gateway's shared token.
    token bytea,
    -- What the gateway gave to our device when it was approved.
    device_token bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gateways_organization ON gateways (organization_id, created_at DESC, id DESC);

-- The identity an organization's gateways pair with: one for all of them, so that an approval made before a gateway is stored counts.
CREATE TABLE devices (
    organization_id uuid PRIMARY KEY,
    key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
