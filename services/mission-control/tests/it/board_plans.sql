-- 500 boards of 50 organizations; one board has 10,000 tasks, the others 5 each; everything else in proportion.
INSERT INTO board.board_groups SELECT gen_random_uuid(), o.id, 'Group ' || n, 'group', NULL, now(), now()
    FROM (SELECT gen_random_uuid() AS id, n AS place FROM generate_series(1, 50) n) o, generate_series(1, 5) n;
INSERT INTO board.boards (id, organization_id, name, slug, description, gateway_id, board_group_id, board_type, goal_confirmed,
        require_approval_for_done, require_review_before_done, comment_required_for_review, block_status_changes_with_pending_approval,
        only_lead_can_change_status, max_agents, created_at, updated_at)
    SELECT gen_random_uuid(), g.organization_id, 'Board ' || n, 'board', 'd', gen_random_uuid(), g.id, 'goal', false, true, false, false, false,
        false, 1, now() - n * interval '1 hour', now()
    FROM (SELECT id, organization_id, row_number() OVER () AS place FROM board.board_groups) g, generate_series(1, 2) n;
INSERT INTO board.tags SELECT gen_random_uuid(), o.organization_id, 'Tag ' || n, 'tag-' || n, '9e9e9e', NULL, now(), now()
    FROM (SELECT DISTINCT organization_id FROM board.boards) o, generate_series(1, 40) n;
INSERT INTO board.tasks (id, board_id, title, description, status, priority, due_at, assigned_agent_id, last_worker_id, created_at, updated_at)
    SELECT gen_random_uuid(), b.id, 'Task ' || n, repeat('words ', 20), (ARRAY['inbox', 'in_progress', 'review', 'done'])[1 + n % 4], 'medium',
        CASE WHEN n % 10 = 0 THEN now() + n * interval '1 minute' END, CASE WHEN n % 3 = 0 THEN agents.ids[1 + n % 500] END,
        CASE WHEN n % 5 = 0 THEN agents.ids[1 + n % 500] END, now() - n * interval '1 minute', now()
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM board.boards) b,
        (SELECT array_agg(gen_random_uuid()) AS ids FROM generate_series(1, 500)) agents,
        LATERAL generate_series(1, CASE WHEN b.place = 1 THEN 10000 ELSE 5 END) n;
INSERT INTO board.task_dependencies
    SELECT id, before, 1 FROM (SELECT id, lag(id) OVER (PARTITION BY board_id ORDER BY created_at) AS before FROM board.tasks) t WHERE before IS NOT NULL;
INSERT INTO board.task_tags
    SELECT t.id, k.id, k.place FROM board.tasks t JOIN board.boards b ON b.id = t.board_id
    JOIN (SELECT id, organization_id, row_number() OVER (PARTITION BY organization_id ORDER BY id) AS place FROM board.tags) k
      ON k.organization_id = b.organization_id AND k.place < 3;
INSERT INTO board.comments (id, task_id, board_id, organization_id, message, agent_id, author_name, created_at)
    SELECT gen_random_uuid(), t.id, t.board_id, b.organization_id, 'words', t.assigned_agent_id, 'Ann', t.created_at + interval '1 minute'
    FROM board.tasks t JOIN board.boards b ON b.id = t.board_id;
INSERT INTO board.board_memory SELECT gen_random_uuid(), b.id, 'words', NULL, NULL, n % 2 = 0, now() - n * interval '1 minute'
    FROM board.boards b, generate_series(1, 20) n;
INSERT INTO board.group_memory SELECT gen_random_uuid(), g.id, 'words', NULL, NULL, n % 2 = 0, now() - n * interval '1 minute'
    FROM board.board_groups g, generate_series(1, 30) n;
INSERT INTO board.webhooks SELECT gen_random_uuid(), b.id, NULL, 'd', true, NULL, NULL, now(), now() FROM board.boards b, generate_series(1, 2) n;
INSERT INTO board.webhook_payloads SELECT gen_random_uuid(), w.id, '{}', NULL, NULL, NULL, now() - n * interval '1 minute'
    FROM board.webhooks w, generate_series(1, 5) n;
INSERT INTO board.custom_fields SELECT gen_random_uuid(), o.organization_id, 'key-' || n, 'Label ' || n, 'text', 'always', NULL, NULL, false, '"d"',
        now(), now()
    FROM (SELECT DISTINCT organization_id FROM board.boards) o, generate_series(1, 40) n;
INSERT INTO board.board_custom_fields
    SELECT b.id, f.id FROM board.boards b JOIN (SELECT id, organization_id, row_number() OVER (PARTITION BY organization_id ORDER BY id) AS place
    FROM board.custom_fields) f ON f.organization_id = b.organization_id AND f.place <= 3;
INSERT INTO board.task_custom_field_values
    SELECT t.id, f.custom_field_id, '"v"' FROM board.tasks t JOIN board.board_custom_fields f ON f.board_id = t.board_id;
INSERT INTO board.onboarding_sessions SELECT gen_random_uuid(), b.id, 'agent:x:main', 'confirmed', NULL, 'sent', NULL, now(), now()
    FROM board.boards b, generate_series(1, 2) n;
INSERT INTO board.onboarding_messages SELECT gen_random_uuid(), s.id, 'user', 'words', now() FROM board.onboarding_sessions s, generate_series(1, 5) n;
ANALYZE;
