//! What other services' changes mean for approvals.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use chassis::{
    Caller, Change, Result, Store, Tx,
    bus::{Consumer, Handler},
    identity::Signer,
    outbox::unpack,
};
use proto::{approval::v1::Approval, board::v1::Task, event::v1::Event};
use uuid::Uuid;

use crate::rows::{self, Counts, Row};

/// Titles follow the tasks; links end with their task, approvals with their last task, board or organization.
pub fn board_changes(store: &Store, signer: &Signer) -> Consumer {
    Consumer {
        name: "approval.board-changes",
        topics: &[
            "task.updated",
            "task.status_changed",
            "task.deleted",
            "board.deleted",
            "organization.deleted",
        ],
        store: store.clone(),
        handler: Arc::new(BoardChanges { signer: signer.clone() }),
    }
}

struct BoardChanges {
    signer: Signer,
}

#[async_trait]
impl Handler for BoardChanges {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let mut titles = BTreeMap::new();
        let mut deleted: BTreeMap<Uuid, &Event> = BTreeMap::new();
        let mut boards: BTreeMap<Uuid, &Event> = BTreeMap::new();
        let mut organizations = Vec::new();
        for event in events {
            match event.r#type.as_str() {
                "task.deleted" => deleted.extend(Uuid::parse_str(&event.task_id).ok().map(|task| (task, event))),
                "board.deleted" => boards.extend(Uuid::parse_str(&event.board_id).ok().map(|board| (board, event))),
                "organization.deleted" => organizations.extend(Uuid::parse_str(&event.organization_id)),
                _ => {
                    if let Some(task) = unpack::<Task>(event.after.as_ref())
                        && let Ok(id) = Uuid::parse_str(&task.id)
                    {
                        titles.insert(id, task.title);
                    }
                }
            }
        }
        if !boards.is_empty() {
            self.remove_boards(tx, &boards).await?;
        }
        if !organizations.is_empty() {
            sqlx::query!(
                "DELETE FROM approval.approvals WHERE organization_id = ANY($1)",
                &organizations
            )
            .execute(&mut **tx)
            .await?;
        }
        if !titles.is_empty() {
            let (tasks, titles): (Vec<Uuid>, Vec<String>) = titles.into_iter().unzip();
            sqlx::query!(
                "UPDATE approval.links SET title = now.title FROM unnest($1::uuid[], $2::text[]) AS now (task_id, title) \
                 WHERE links.task_id = now.task_id AND links.title <> now.title",
                &tasks,
                &titles
            )
            .execute(&mut **tx)
            .await?;
        }
        if !deleted.is_empty() {
            self.unlink(tx, &deleted).await?;
        }
        Ok(())
    }
}

impl BoardChanges {
    /// Ends everything on boards that are gone. What still waited there is told of, so that nobody counts it any more.
    async fn remove_boards(&self, tx: &mut Tx, boards: &BTreeMap<Uuid, &Event>) -> Result<()> {
        let ids: Vec<Uuid> = boards.keys().copied().collect();
        rows::lock_boards(tx, &ids).await?;
        let waiting = sqlx::query_scalar!(
            "SELECT id FROM approval.approvals WHERE board_id = ANY($1) AND status = 'pending'",
            &ids
        )
        .fetch_all(&mut **tx)
        .await?;
        let waiting = rows::hold(tx, &waiting).await?;
        sqlx::query!("DELETE FROM approval.approvals WHERE board_id = ANY($1)", &ids)
            .execute(&mut **tx)
            .await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let counts = Counts::of(tx, &waiting).await?;
        let events: Vec<Event> = waiting
            .iter()
            .filter_map(|row| {
                let caller = self.because_of(boards.get(&row.board_id)?, row);
                Some(deletion(row, "board", &counts).into_event(&caller))
            })
            .collect();
        tx.record_events(&events).await
    }

    /// Takes deleted tasks out of approvals; an approval without any task left is deleted.
    async fn unlink(&self, tx: &mut Tx, deleted: &BTreeMap<Uuid, &Event>) -> Result<()> {
        let tasks: Vec<Uuid> = deleted.keys().copied().collect();
        let boards: Vec<Uuid> = deleted
            .values()
            .filter_map(|event| Uuid::parse_str(&event.board_id).ok())
            .collect();
        rows::lock_boards(tx, &boards).await?;
        let concerned = sqlx::query_scalar!(
            "SELECT DISTINCT approval_id FROM approval.links WHERE task_id = ANY($1)",
            &tasks
        )
        .fetch_all(&mut **tx)
        .await?;
        if concerned.is_empty() {
            return Ok(());
        }
        let before = rows::hold(tx, &concerned).await?;
        sqlx::query!("DELETE FROM approval.links WHERE task_id = ANY($1)", &tasks)
            .execute(&mut **tx)
            .await?;
        let emptied: Vec<Uuid> = before
            .iter()
            .filter(|row| row.task_ids.iter().all(|task| deleted.contains_key(task)))
            .map(|row| row.id)
            .collect();
        sqlx::query!("DELETE FROM approval.approvals WHERE id = ANY($1)", &emptied)
            .execute(&mut **tx)
            .await?;

        let counts = Counts::of(tx, &before).await?;
        let mut events = Vec::with_capacity(before.len());
        for row in before {
            let Some(cause) = row.task_ids.iter().find_map(|task| deleted.get(task)) else {
                continue;
            };
            let caller = self.because_of(cause, &row);
            let change = if emptied.contains(&row.id) {
                deletion(&row, "task", &counts)
            } else {
                let was = Approval::from(&row);
                let (task_ids, titles) = remaining(&row, deleted);
                let row = Row {
                    task_ids,
                    titles,
                    ..row
                };
                let message = format!("Approval {} lost a deleted task.", row.action_type);
                rows::changed("approval.updated", message, Some(&was), &row, &counts)
            };
            events.push(change.into_event(&caller));
        }
        tx.record_events(&events).await
    }

    /// This service, in the trace of the event that made it act.
    fn because_of(&self, cause: &Event, row: &Row) -> Caller {
        let mut caller = Caller::service(&self.signer, "approval", Some(row.organization_id));
        caller.request_id = cause.request_id.as_str().into();
        caller.traceparent = cause.traceparent.as_str().into();
        caller
    }
}

/// That an approval went with its board or its last task.
fn deletion(row: &Row, with: &str, counts: &Counts) -> Change {
    let was = Approval {
        counts: Some(counts.beside(row)),
        ..Approval::from(row)
    };
    let message = format!("Approval {} deleted with its {with}.", row.action_type);
    row.change("approval.deleted").message(message).before(&was)
}

/// The tasks that are left, with their titles.
fn remaining(row: &Row, deleted: &BTreeMap<Uuid, &Event>) -> (Vec<Uuid>, Vec<String>) {
    row.task_ids
        .iter()
        .zip(&row.titles)
        .filter(|(task, _)| !deleted.contains_key(task))
        .map(|(task, title)| (*task, title.clone()))
        .unzip()
}
