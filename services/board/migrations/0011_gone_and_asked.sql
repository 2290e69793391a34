-- Webhooks lose an agent that is gone.
CREATE INDEX webhooks_agent ON webhooks (agent_id) WHERE agent_id IS NOT NULL;
-- The event that asked for the last message to the agent: only its outcome says how far that message came.
ALTER TABLE onboarding_sessions ADD COLUMN asked_id uuid;
