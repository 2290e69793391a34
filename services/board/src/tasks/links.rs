//! Dependencies and tags of tasks: checked, then replaced.

use std::collections::HashSet;

use chassis::{Error, Result, error::Kind, identity::uuid_of};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::strings;
use crate::rules::Status;

/// The ids of a request, each once, in their order.
pub fn unique(ids: &[String]) -> Result<Vec<Uuid>> {
    let mut seen = HashSet::with_capacity(ids.len());
    let ids: Vec<Uuid> = ids.iter().map(|id| uuid_of(id)).collect::<Result<_>>()?;
    Ok(ids.into_iter().filter(|id| seen.insert(*id)).collect())
}

/// Checks the dependencies that a task is to have and answers those that are not done. Their rows are locked against changes of status.
/// `task` is the task itself, when it exists already.
pub async fn check_dependencies(
    connection: &mut PgConnection,
    board: Uuid,
    task: Option<Uuid>,
    dependencies: &[Uuid],
) -> Result<Vec<Uuid>> {
    if dependencies.is_empty() {
        return Ok(Vec::new());
    }
    if task.is_some_and(|task| dependencies.contains(&task)) {
        return Err(Error::unprocessable("Task cannot depend on itself.")
            .beside("rule", "dependency_itself")
            .beside("remedy", "Leave the task's own id out of depends_on_task_ids."));
    }
    let found = sqlx::query!(
        "SELECT id, status FROM board.tasks WHERE board_id = $1 AND id = ANY($2) ORDER BY id FOR SHARE",
        board,
        dependencies
    )
    .fetch_all(&mut *connection)
    .await?;
    let known: HashSet<Uuid> = found.iter().map(|row| row.id).collect();
    let missing: Vec<Uuid> = dependencies.iter().copied().filter(|id| !known.contains(id)).collect();
    if !missing.is_empty() {
        return Err(
            Error::not_found("One or more dependency tasks were not found on this board.")
                .with("missing_task_ids", strings(&missing))
                .beside("rule", "dependency_unknown")
                .beside(
                    "remedy",
                    "List the tasks of the board and use their ids in depends_on_task_ids.",
                ),
        );
    }
    if let Some(task) = task {
        // OFFSET 0 keeps the planner from reading all dependencies there are instead of following these.
        let cycle = sqlx::query_scalar!(
            "WITH RECURSIVE reached (id) AS ( \
               SELECT unnest($2::uuid[]) \
               UNION SELECT l.id FROM reached CROSS JOIN LATERAL ( \
                 SELECT d.depends_on_task_id AS id FROM board.task_dependencies d WHERE d.task_id = reached.id OFFSET 0 \
               ) l \
             ) SELECT EXISTS (SELECT FROM reached WHERE id = $1) AS \"cycle!\"",
            task,
            dependencies
        )
        .fetch_one(connection)
        .await?;
        if cycle {
            return Err(Error::new(
                Kind::Conflict,
                "Dependency cycle detected. Remove the cycle before saving.",
            )
            .beside("rule", "dependency_cycle")
            .beside(
                "remedy",
                "Leave those tasks out of depends_on_task_ids that wait for this one themselves, directly or through others.",
            ));
        }
    }
    let done: HashSet<Uuid> = found
        .iter()
        .filter(|row| row.status == Status::Done.as_str())
        .map(|row| row.id)
        .collect();
    Ok(dependencies.iter().copied().filter(|id| !done.contains(id)).collect())
}

/// Gives a task these dependencies and no others.
pub async fn replace_dependencies(connection: &mut PgConnection, task: Uuid, dependencies: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM board.task_dependencies WHERE task_id = $1 AND depends_on_task_id <> ALL($2)) \
         INSERT INTO board.task_dependencies (task_id, depends_on_task_id, position) \
         SELECT $1, id, place FROM unnest($2::uuid[]) WITH ORDINALITY AS given (id, place) \
         ON CONFLICT (task_id, depends_on_task_id) DO UPDATE SET position = excluded.position",
        task,
        dependencies
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Tags as a task carries them.
#[derive(Default)]
pub struct Tags {
    pub ids: Vec<Uuid>,
    pub names: Vec<String>,
    pub slugs: Vec<String>,
    pub colors: Vec<String>,
}

/// Checks the tags that a task is to have. They are locked against deletion.
pub async fn check_tags(connection: &mut PgConnection, organization: Uuid, ids: &[Uuid]) -> Result<Tags> {
    if ids.is_empty() {
        return Ok(Tags::default());
    }
    let mut found: std::collections::HashMap<Uuid, _> = sqlx::query!(
        "SELECT id, name, slug, color FROM board.tags WHERE organization_id = $1 AND id = ANY($2) ORDER BY id FOR KEY SHARE",
        organization,
        ids
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| (row.id, row))
    .collect();
    let mut tags = Tags::default();
    let mut missing = Vec::new();
    for id in ids {
        match found.remove(id) {
            Some(row) => {
                tags.ids.push(row.id);
                tags.names.push(row.name);
                tags.slugs.push(row.slug);
                tags.colors.push(row.color);
            }
            None => missing.push(*id),
        }
    }
    if missing.is_empty() {
        Ok(tags)
    } else {
        Err(Error::not_found("One or more tags do not exist in this organization.")
            .with("missing_tag_ids", strings(&missing))
            .beside("rule", "tag_unknown")
            .beside(
                "remedy",
                "List the tags of the organization and use their ids in tag_ids.",
            ))
    }
}

/// Gives a task these tags and no others.
pub async fn replace_tags(connection: &mut PgConnection, task: Uuid, tags: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM board.task_tags WHERE task_id = $1 AND tag_id <> ALL($2)) \
         INSERT INTO board.task_tags (task_id, tag_id, position) \
         SELECT $1, id, place FROM unnest($2::uuid[]) WITH ORDINALITY AS given (id, place) \
         ON CONFLICT (task_id, tag_id) DO UPDATE SET position = excluded.position",
        task,
        tags
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_once_in_their_order() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let given = [b.to_string(), a.to_string(), b.simple().to_string()];
        assert_eq!(unique(&given).unwrap(), [b, a]);
        assert!(unique(&["x".to_owned()]).is_err());
    }
}
