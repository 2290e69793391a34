-- Open tasks with an owner, as the board service tells of them: an agent that went silent is woken only when it has some.
CREATE TABLE work (
    task_id uuid PRIMARY KEY,
    board_id uuid NOT NULL,
    agent_id uuid NOT NULL
);
CREATE INDEX work_agent ON work (agent_id);
CREATE INDEX work_board ON work (board_id);
