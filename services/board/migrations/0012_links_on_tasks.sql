-- Pages of tasks are read far more often than links change: each task carries the ids of its links, in their order, so that a page needs no
-- join. The link tables stay the truth; whatever changes them, also a cascade, brings the copy up to date in the same transaction.
ALTER TABLE tasks
    ADD COLUMN tag_ids uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN depends_on uuid[] NOT NULL DEFAULT '{}';

UPDATE tasks t SET tag_ids = l.ids
FROM (SELECT task_id, array_agg(tag_id ORDER BY position) AS ids FROM task_tags GROUP BY task_id) l WHERE l.task_id = t.id;
UPDATE tasks t SET depends_on = l.ids
FROM (SELECT task_id, array_agg(depends_on_task_id ORDER BY position) AS ids FROM task_dependencies GROUP BY task_id) l WHERE l.task_id = t.id;

-- Writes nothing where the copy is right already, as after the creation of a task.
CREATE FUNCTION copy_task_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE board.tasks t SET tag_ids = l.ids
    FROM (
        SELECT c.task_id, coalesce(array_agg(k.tag_id ORDER BY k.position) FILTER (WHERE k.tag_id IS NOT NULL), '{}') AS ids
        FROM (SELECT DISTINCT task_id FROM changed) c LEFT JOIN board.task_tags k ON k.task_id = c.task_id GROUP BY c.task_id
    ) l
    WHERE l.task_id = t.id AND t.tag_ids <> l.ids;
    RETURN NULL;
END
$$;
CREATE FUNCTION copy_task_dependencies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE board.tasks t SET depends_on = l.ids
    FROM (
        SELECT c.task_id, coalesce(array_agg(k.depends_on_task_id ORDER BY k.position) FILTER (WHERE k.task_id IS NOT NULL), '{}') AS ids
        FROM (SELECT DISTINCT task_id FROM changed) c LEFT JOIN board.task_dependencies k ON k.task_id = c.task_id GROUP BY c.task_id
    ) l
    WHERE l.task_id = t.id AND t.depends_on <> l.ids;
    RETURN NULL;
END
$$;

CREATE TRIGGER task_tags_added AFTER INSERT ON task_tags
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION copy_task_tags();
CREATE TRIGGER task_tags_moved AFTER UPDATE ON task_tags
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION copy_task_tags();
CREATE TRIGGER task_tags_removed AFTER DELETE ON task_tags
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION copy_task_tags();
CREATE TRIGGER task_dependencies_added AFTER INSERT ON task_dependencies
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION copy_task_dependencies();
CREATE TRIGGER task_dependencies_moved AFTER UPDATE ON task_dependencies
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION copy_task_dependencies();
CREATE TRIGGER task_dependencies_removed AFTER DELETE ON task_dependencies
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION copy_task_dependencies();
