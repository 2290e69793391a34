-- Deliveries that are done with are deleted after a while, the oldest first.
CREATE INDEX deliveries_finished ON deliveries (created_at) WHERE status <> 'pending';
