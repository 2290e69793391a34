//! What other services' changes mean for agents.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use chassis::{
    Error, Result, Tx,
    bus::{Consumer, Handler},
    identity::uuid_of,
    outbox::unpack,
};
use proto::{
    approval::v1::Approval,
    board::v1::{Board, LookupTasksRequest, Task, TaskComment, TaskStatus},
    event::v1::Event,
    gateway::v1::{ConnectionPhase, Gateway, GatewayConnection},
};
use uuid::Uuid;

use crate::{
    app::App,
    change::{leave_behind, mark_deleting, render_again},
    create::{NewAgent, conflict, insert, name_of},
    notices::{self, Member, Reason},
    notify::{Letter, queue},
    presence::change,
    reconcile::delete,
    render::board_renders_differently,
    row::{Wishes, agents},
    rules,
};

/// Follows gateways and boards: their agents come, change and go with them.
pub fn places(app: &Arc<App>) -> Consumer {
    Consumer {
        name: "agent.places",
        topics: &[
            "gateway.created",
            "gateway.updated",
            "gateway.deleted",
            "gateway.connection_changed",
            "gateway.reconnected",
            "board.updated",
            "board.deleted",
            "organization.deleted",
        ],
        store: app.store.clone(),
        handler: Arc::new(Places { app: app.clone() }),
    }
}

/// Follows tasks, comments and decisions, and writes the messages agents get about them.
pub fn notices(app: &Arc<App>) -> Consumer {
    Consumer {
        name: "agent.notices",
        topics: &[
            "task.created",
            "task.updated",
            "task.status_changed",
            "task.comment",
            "task.deleted",
            "approval.resolved",
        ],
        store: app.store.clone(),
        handler: Arc::new(Notices { app: app.clone() }),
    }
}

struct Places {
    app: Arc<App>,
}

#[async_trait]
impl Handler for Places {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        for event in events {
            match event.r#type.as_str() {
                "gateway.created" | "gateway.updated" => self.gateway_changed(tx, event).await?,
                "gateway.deleted" => self.gateway_deleted(tx, event).await?,
                "gateway.connection_changed" => connection_changed(tx, event).await?,
                "gateway.reconnected" => reconnected(tx, event).await?,
                "board.updated" => self.board_changed(tx, event).await?,
                "organization.deleted" => self.organization_deleted(tx, event).await?,
                _ => self.board_deleted(tx, event).await?,
            }
        }
        tx.wake_on_commit(&self.app.work);
        tx.wake_on_commit(&self.app.mail);
        Ok(())
    }
}

impl Places {
    /// Every gateway has its main agent, named after it; a moved workspace root moves every agent's workspace.
    async fn gateway_changed(&self, tx: &mut Tx, event: &Event) -> Result<()> {
        let Some(gateway) = unpack::<Gateway>(event.after.as_ref()) else {
            return Ok(());
        };
        let before = unpack::<Gateway>(event.before.as_ref());
        let (organization, gateway_id) = (uuid_of(&gateway.organization_id)?, uuid_of(&gateway.id)?);
        let caller = self.app.itself(organization);
        // A gateway's name may be longer than an agent's, and of several lines.
        let name: String = rules::main_agent_name(&gateway.name)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(200)
            .collect();
        let name = name_of(&name)?;
        let main = agents!(
            "SELECT",
            "FROM agent.agents AS a WHERE a.gateway_id = $1 AND a.board_id IS NULL FOR UPDATE",
            gateway_id
        )
        .fetch_optional(&mut **tx)
        .await?;
        match main {
            None => {
                let new = NewAgent {
                    organization,
                    board: None,
                    gateway: gateway.clone(),
                    name,
                    is_lead: false,
                    heartbeat_config: None,
                    identity_profile: Some(rules::main_agent_profile()),
                    identity_template: None,
                    soul_template: None,
                    quota: false,
                };
                insert(&self.app, tx, &caller, new).await?;
            }
            Some(main) if main.name != name && main.deleting_at.is_none() => {
                let row = agents!(
                    "UPDATE agent.agents AS a SET name = $2, desired_generation = a.desired_generation + 1, next_attempt_at = now(), attempts = 0, \
                         updated_at = now() WHERE a.id = $1 RETURNING",
                    "",
                    main.id,
                    name
                )
                .fetch_one(&mut **tx)
                .await
                .map_err(conflict)?;
                let told = change("agent.updated", &row)
                    .message(format!("Agent updated: {}.", row.name))
                    .before(&main.to_proto())
                    .after(&row.to_proto());
                tx.record(&caller, told).await?;
            }
            Some(_) => {}
        }
        if before.is_some_and(|before| before.workspace_root != gateway.workspace_root) {
            let ids = sqlx::query_scalar!("SELECT id FROM agent.agents WHERE gateway_id = $1", gateway_id)
                .fetch_all(&mut **tx)
                .await?;
            render_again(tx, &ids).await?;
        }
        Ok(())
    }

    async fn gateway_deleted(&self, tx: &mut Tx, event: &Event) -> Result<()> {
        let gateway = uuid_of(&event.gateway_id)?;
        let rows = agents!(
            "SELECT",
            "FROM agent.agents AS a WHERE a.gateway_id = $1 FOR UPDATE",
            gateway
        )
        .fetch_all(&mut **tx)
        .await?;
        for row in rows {
            let caller = self.app.itself(row.organization_id);
            delete(tx, &caller, &row, "; its gateway was deleted").await?;
            self.app.known.forget(row.id);
        }
        sqlx::query!("DELETE FROM agent.leftovers WHERE gateway_id = $1", gateway)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn board_changed(&self, tx: &mut Tx, event: &Event) -> Result<()> {
        let id = uuid_of(&event.board_id)?;
        self.app.forget_board(id).await;
        let (Some(before), Some(after)) = (
            unpack::<Board>(event.before.as_ref()),
            unpack::<Board>(event.after.as_ref()),
        ) else {
            return Ok(());
        };
        let moved = before.gateway_id != after.gateway_id;
        if !moved && !board_renders_differently(&before, &after) {
            return Ok(());
        }
        let rows = agents!(
            "SELECT",
            "FROM agent.agents AS a WHERE a.board_id = $1 AND a.deleting_at IS NULL ORDER BY a.id FOR UPDATE",
            id
        )
        .fetch_all(&mut **tx)
        .await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        render_again(tx, &ids).await?;
        let Some(gateway) = after.gateway_id.as_deref().filter(|_| moved).map(uuid_of).transpose()? else {
            return Ok(());
        };
        for row in rows.iter().filter(|row| row.gateway_id != gateway) {
            leave_behind(tx, row).await?;
        }
        let wishes = Wishes {
            wake: true,
            overwrite: true,
            bootstrap: true,
            ..Wishes::default()
        }
        .json();
        // A name that is taken there is told apart by the end of the agent's id: nobody is here who could choose another one.
        let moved = agents!(
            "UPDATE agent.agents AS a SET gateway_id = $2, applied_digest = NULL, wishes = a.wishes || $3, updated_at = now(), \
                 name = CASE WHEN EXISTS (SELECT 1 FROM agent.agents AS o WHERE o.gateway_id = $2 AND o.board_id IS NOT NULL \
                         AND o.deleting_at IS NULL AND o.id <> ALL($1) AND lower(o.name) = lower(a.name)) \
                     THEN left(a.name, 190) || ' ' || right(a.id::text, 6) ELSE a.name END \
             WHERE a.id = ANY($1) RETURNING",
            "",
            &ids,
            gateway,
            wishes
        )
        .fetch_all(&mut **tx)
        .await
        .map_err(conflict)?;
        let mut told = Vec::new();
        for old in rows.iter().filter(|row| row.gateway_id != gateway) {
            let Some(now) = moved.iter().find(|row| row.id == old.id) else {
                continue;
            };
            let caller = self.app.itself(now.organization_id);
            let entry = change("agent.updated", now)
                .message(format!("Agent {} moves to another gateway with its board.", now.name))
                .before(&old.to_proto())
                .after(&now.to_proto());
            told.push(entry.into_event(&caller));
        }
        if !told.is_empty() {
            tx.record_events(&told).await?;
        }
        sqlx::query!(
            "UPDATE agent.messages SET gateway_id = $2 WHERE agent_id = ANY($1) AND state = 'waiting'",
            &ids,
            gateway
        )
        .execute(&mut **tx)
        .await?;
        for id in ids {
            self.app.known.forget(id);
        }
        Ok(())
    }

    /// Boards and gateways of the organization tell of their own end; what is left of it here goes with it.
    async fn organization_deleted(&self, tx: &mut Tx, event: &Event) -> Result<()> {
        let organization = uuid_of(&event.organization_id)?;
        let ids = sqlx::query_scalar!("SELECT id FROM agent.agents WHERE organization_id = $1", organization)
            .fetch_all(&mut **tx)
            .await?;
        mark_deleting(&self.app, tx, &self.app.itself(organization), &ids).await?;
        sqlx::query!("DELETE FROM agent.operations WHERE organization_id = $1", organization)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn board_deleted(&self, tx: &mut Tx, event: &Event) -> Result<()> {
        let (board, organization) = (uuid_of(&event.board_id)?, uuid_of(&event.organization_id)?);
        self.app.forget_board(board).await;
        let ids = sqlx::query_scalar!("SELECT id FROM agent.agents WHERE board_id = $1", board)
            .fetch_all(&mut **tx)
            .await?;
        mark_deleting(&self.app, tx, &self.app.itself(organization), &ids).await?;
        sqlx::query!("DELETE FROM agent.lead_remarks WHERE board_id = $1", board)
            .execute(&mut **tx)
            .await?;
        sqlx::query!("DELETE FROM agent.paused_boards WHERE board_id = $1", board)
            .execute(&mut **tx)
            .await?;
        sqlx::query!("DELETE FROM agent.work WHERE board_id = $1", board)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// A gateway that is back is looked at again, agent by agent, and gets what waits for it.
async fn connection_changed(tx: &mut Tx, event: &Event) -> Result<()> {
    let connected =
        unpack::<GatewayConnection>(event.after.as_ref()).is_some_and(|now| now.phase() == ConnectionPhase::Connected);
    if !connected {
        return Ok(());
    }
    let gateway = uuid_of(&event.gateway_id)?;
    let verify = Wishes {
        verify: true,
        ..Wishes::default()
    }
    .json();
    // Spread over a second, so that a gateway that just started is not met by all of them at once.
    sqlx::query!(
        "UPDATE agent.agents SET wishes = wishes || $2, next_attempt_at = now() + random() * interval '1 second', attempts = 0 \
         WHERE id IN (SELECT id FROM agent.agents WHERE gateway_id = $1 ORDER BY id FOR UPDATE)",
        gateway,
        verify
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE agent.messages SET next_attempt_at = now() WHERE gateway_id = $1 AND state = 'waiting'",
        gateway
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A gateway that was away for a moment: what failed meanwhile is tried again now. Nobody else need look.
async fn reconnected(tx: &mut Tx, event: &Event) -> Result<()> {
    let gateway = uuid_of(&event.gateway_id)?;
    sqlx::query!(
        "UPDATE agent.agents SET next_attempt_at = now() + random() * interval '1 second' \
         WHERE id IN (SELECT id FROM agent.agents WHERE gateway_id = $1 AND attempts > 0 ORDER BY id FOR UPDATE)",
        gateway
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE agent.messages SET next_attempt_at = now() WHERE gateway_id = $1 AND state = 'waiting' AND attempts > 0",
        gateway
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

struct Notices {
    app: Arc<App>,
}

#[async_trait]
impl Handler for Notices {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let mut rosters: HashMap<Uuid, Roster> = HashMap::new();
        let mut letters = Vec::new();
        for event in events {
            let Ok(board) = Uuid::parse_str(&event.board_id) else {
                continue;
            };
            if event.r#type == "task.deleted" {
                forget_task(tx, event).await?;
                continue;
            }
            if let Some(task) = unpack::<Task>(event.after.as_ref()) {
                note_work(tx, board, &task, event.r#type == "task.created").await?;
            }
            if let std::collections::hash_map::Entry::Vacant(entry) = rosters.entry(board) {
                entry.insert(Roster::of(tx, board).await?);
            }
            let roster = &rosters[&board];
            if roster.members.is_empty() {
                continue;
            }
            let Some(board) = self.app.remembered_board(board).await? else {
                continue;
            };
            match event.r#type.as_str() {
                "task.comment" => self.comment(tx, event, &board, roster, &mut letters).await?,
                "approval.resolved" => approval(event, &board, roster, &mut letters),
                _ => task(tx, event, &board, roster, &mut letters).await?,
            }
        }
        queue(tx, &letters).await?;
        tx.wake_on_commit(&self.app.mail);
        Ok(())
    }
}

/// The agents of a board, with their addresses.
struct Roster {
    members: Vec<Member>,
    addresses: HashMap<Uuid, (Uuid, String)>,
}

impl Roster {
    async fn of(tx: &mut Tx, board: Uuid) -> Result<Self> {
        let rows = sqlx::query!(
            "SELECT id, name, is_board_lead, gateway_id, session_key FROM agent.agents WHERE board_id = $1 AND deleting_at IS NULL ORDER BY created_at, id",
            board
        )
        .fetch_all(&mut **tx)
        .await?;
        let addresses = rows
            .iter()
            .map(|row| (row.id, (row.gateway_id, row.session_key.clone())))
            .collect();
        let members = rows
            .into_iter()
            .map(|row| Member {
                id: row.id,
                name: row.name,
                is_lead: row.is_board_lead,
            })
            .collect();
        Ok(Self { members, addresses })
    }

    fn member(&self, id: Uuid) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// A message to one of them about an event. One event tells an agent once.
    fn letter(&self, to: Uuid, event: &Event, text: String, told: Told) -> Option<Letter> {
        let member = self.member(to)?;
        let (gateway, session_key) = self.addresses.get(&to)?;
        Some(Letter {
            id: Uuid::now_v7(),
            organization: Uuid::parse_str(&event.organization_id).ok()?,
            agent: to,
            board: Uuid::parse_str(&event.board_id).ok(),
            task: Uuid::parse_str(&event.task_id).ok(),
            gateway: *gateway,
            session_key: session_key.clone(),
            label: member.name.clone(),
            text,
            deliver: false,
            key: format!("{}-{to}", event.id),
            sent: told.sent,
            failed: told.failed,
            purpose: None,
        })
    }
}

/// Events that tell of a delivery: type and sentence.
#[derive(Default)]
struct Told {
    sent: Option<(&'static str, String)>,
    failed: Option<(&'static str, String)>,
}

/// The agent that did it, if one did.
fn acting_agent(event: &Event) -> Option<Uuid> {
    event
        .actor
        .as_ref()
        .filter(|actor| actor.kind == "agent")
        .and_then(|actor| Uuid::parse_str(&actor.id).ok())
}

async fn task(tx: &mut Tx, event: &Event, board: &Board, roster: &Roster, letters: &mut Vec<Letter>) -> Result<()> {
    let Some(after) = unpack::<Task>(event.after.as_ref()) else {
        return Ok(());
    };
    let before = unpack::<Task>(event.before.as_ref());
    if before.is_none() && event.r#type != "task.created" {
        return Ok(());
    }
    for notice in notices::of_task(acting_agent(event), before.as_ref(), &after, &roster.members) {
        let remark = match notice.reason {
            Reason::Rework => {
                sqlx::query_scalar!(
                    "SELECT text FROM agent.lead_remarks WHERE task_id = $1",
                    uuid_of(&after.id)?
                )
                .fetch_optional(&mut **tx)
                .await?
            }
            _ => None,
        };
        let text = notices::task_text(notice.reason, &board.name, &after, remark.as_deref());
        let name = roster
            .member(notice.agent)
            .map(|member| member.name.clone())
            .unwrap_or_default();
        let (sent, failed, what) = match notice.reason {
            Reason::NewTask => ("task.lead_notified", "task.lead_notify_failed", "a new task"),
            Reason::BackInInbox => (
                "task.lead_unassigned_notified",
                "task.lead_unassigned_notify_failed",
                "a task without an owner",
            ),
            Reason::Rework => ("task.rework_notified", "task.rework_notify_failed", "requested changes"),
            Reason::Started => ("task.assignee_woken", "task.assignee_wake_failed", "a started task"),
            _ => (
                "task.assignee_notified",
                "task.assignee_notify_failed",
                "an assigned task",
            ),
        };
        let told = Told {
            sent: Some((sent, format!("{name} was told of {what}: {}.", after.title))),
            failed: Some((failed, format!("{name} could not be told of {what}: {}.", after.title))),
        };
        letters.extend(roster.letter(notice.agent, event, text, told));
    }
    Ok(())
}

fn approval(event: &Event, board: &Board, roster: &Roster, letters: &mut Vec<Letter>) {
    let Some(approval) = unpack::<Approval>(event.after.as_ref()) else {
        return;
    };
    let decision = notices::decision_word(&approval);
    for notice in notices::of_approval(&approval, &roster.members) {
        let told = match roster.member(notice.agent) {
            Some(member) if member.is_lead => Told {
                sent: Some((
                    "approval.lead_notified",
                    format!("Lead agent notified for {decision} approval {}.", approval.id),
                )),
                failed: Some((
                    "approval.lead_notify_failed",
                    format!(
                        "Lead agent could not be notified for {decision} approval {}.",
                        approval.id
                    ),
                )),
            },
            _ => Told::default(),
        };
        letters.extend(roster.letter(
            notice.agent,
            event,
            notices::approval_text(&board.name, &approval),
            told,
        ));
    }
}

/// Remembers who has an open task. Of a new one nothing is known that would have to be forgotten.
async fn note_work(tx: &mut Tx, board: Uuid, task: &Task, new: bool) -> Result<()> {
    let id = uuid_of(&task.id)?;
    let owner = task
        .assigned_agent_id
        .as_deref()
        .filter(|_| task.status() != TaskStatus::Done)
        .map(uuid_of)
        .transpose()?;
    if let Some(owner) = owner {
        sqlx::query!(
            "INSERT INTO agent.work (task_id, board_id, agent_id) VALUES ($1, $2, $3) \
             ON CONFLICT (task_id) DO UPDATE SET agent_id = excluded.agent_id WHERE agent.work.agent_id <> excluded.agent_id",
            id,
            board,
            owner
        )
        .execute(&mut **tx)
        .await?;
    } else if !new {
        sqlx::query!("DELETE FROM agent.work WHERE task_id = $1", id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn forget_task(tx: &mut Tx, event: &Event) -> Result<()> {
    let Ok(task) = Uuid::parse_str(&event.task_id) else {
        return Ok(());
    };
    sqlx::query!("DELETE FROM agent.lead_remarks WHERE task_id = $1", task)
        .execute(&mut **tx)
        .await?;
    sqlx::query!("DELETE FROM agent.work WHERE task_id = $1", task)
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        "UPDATE agent.messages SET state = 'failed', last_error = 'The task was deleted.', settled_at = now() WHERE task_id = $1 AND state = 'waiting'",
        task
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Notices {
    async fn comment(
        &self,
        tx: &mut Tx,
        event: &Event,
        board: &Board,
        roster: &Roster,
        letters: &mut Vec<Letter>,
    ) -> Result<()> {
        let Some(comment) = unpack::<TaskComment>(event.after.as_ref()) else {
            return Ok(());
        };
        let Some(text) = comment.message.as_deref().filter(|text| !text.trim().is_empty()) else {
            return Ok(());
        };
        let author = comment.agent_id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
        let by = author.and_then(|author| roster.member(author));
        if by.is_some_and(|member| member.is_lead) {
            sqlx::query!(
                "INSERT INTO agent.lead_remarks AS r (task_id, board_id, text, said_at) VALUES ($1, $2, $3, now()) \
                 ON CONFLICT (task_id) DO UPDATE SET text = excluded.text, said_at = excluded.said_at",
                uuid_of(&event.task_id)?,
                uuid_of(&event.board_id)?,
                text
            )
            .execute(&mut **tx)
            .await?;
        }
        let request = LookupTasksRequest {
            board_id: event.board_id.clone(),
            task_ids: vec![event.task_id.clone()],
        };
        let found = self
            .app
            .board_directory()
            .lookup_tasks(request)
            .await
            .map_err(Error::from)?
            .into_inner();
        let Some(task) = found.tasks.first() else { return Ok(()) };
        let from = by
            .map(|member| member.name.clone())
            .or_else(|| comment.author_name.clone())
            .unwrap_or_else(|| "User".to_owned());
        for notice in notices::of_comment(author, text, task, &roster.members) {
            let text = notices::comment_text(notice.reason, &board.name, task, &from, text);
            letters.extend(roster.letter(notice.agent, event, text, Told::default()));
        }
        Ok(())
    }
}
