-- The dashboard counts the agents of the boards it is asked for.
CREATE INDEX agents_board ON agents (board_id) WHERE NOT deleted;
-- The audit trail of a board goes back in the order of the chain.
CREATE INDEX events_board ON events (organization_id, board_id, position);
