-- The feed of comments over all boards reads by organization and board.
ALTER TABLE comments ADD COLUMN board_id uuid, ADD COLUMN organization_id uuid;
UPDATE comments c SET board_id = b.id, organization_id = b.organization_id
    FROM tasks t JOIN boards b ON b.id = t.board_id WHERE t.id = c.task_id;
ALTER TABLE comments ALTER COLUMN board_id SET NOT NULL, ALTER COLUMN organization_id SET NOT NULL;
CREATE INDEX comments_organization ON comments (organization_id, created_at DESC, id DESC);
CREATE INDEX comments_board ON comments (board_id, created_at DESC, id DESC);
