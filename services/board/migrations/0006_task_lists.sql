-- Counts of tasks by status, and of those that are late, without reading the tasks.
CREATE INDEX tasks_board_status ON tasks (board_id, status);
CREATE INDEX tasks_board_due ON tasks (board_id, due_at) WHERE due_at IS NOT NULL AND status <> 'done';
