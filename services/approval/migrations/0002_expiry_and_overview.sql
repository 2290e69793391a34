-- Approvals that nobody decides end by themselves, and lists go over all boards of an organization.
ALTER TABLE approvals ADD COLUMN expires_at timestamptz;
ALTER TABLE approvals ADD COLUMN expired boolean NOT NULL DEFAULT false;
-- The name at that time.
ALTER TABLE approvals ADD COLUMN requested_by_name text;
ALTER TABLE approvals DROP CONSTRAINT approvals_decision;
ALTER TABLE approvals ADD CONSTRAINT approvals_decision CHECK (
    (status = 'pending') = (resolved_at IS NULL)
    AND (status = 'pending' OR expired) = (resolved_by_user_id IS NULL)
    AND (NOT expired OR status = 'rejected')
);
DROP INDEX approvals_organization;
CREATE INDEX approvals_organization_created ON approvals (organization_id, created_at DESC, id DESC);
CREATE INDEX approvals_organization_status ON approvals (organization_id, status, created_at DESC, id DESC);
CREATE INDEX approvals_due ON approvals (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL;
