//! `OperationService`: what goes on after its request was answered. Syncs have rows of their own; provisioning and messages are shown from
//! the rows that drive them, so that what is shown is what happens.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use chassis::{
    Caller, Change, Error, Result, Tx,
    identity::{optional_uuid, uuid_of},
    live::{Feed, Start, now_position},
    message::Page,
    outbox::unpack,
    timestamp,
};
use futures::{Stream, StreamExt};
use proto::agent::v1::{
    GetOperationRequest, ListOperationsRequest, ListOperationsResponse, Operation, OperationEvent, OperationItem,
    OperationItemState, OperationState, WatchOperationRequest, WatchOperationsRequest,
    operation_service_server::OperationService,
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    agents::visible,
    app::App,
    row::{AgentRow, Condition, agents},
};

/// The event of a step. It belongs to no organization's log: steps are shown live and in the operation, not in the activity.
pub const STEP: &str = "operation.updated";
/// The kind of a template sync.
pub const TEMPLATE_SYNC: &str = "template_sync";
const PROVISIONING: &str = "provisioning";
const MESSAGE: &str = "message";
/// Furthest page of a list that is merged from three.
const MAX_OFFSET: i32 = 10_000;

/// The service.
pub struct Operations {
    pub(crate) app: Arc<App>,
    pub(crate) feed: Feed,
}

/// Tells watchers of a step.
pub async fn tell(tx: &mut Tx, caller: &Caller, operation: Operation, items: Vec<OperationItem>) -> Result<()> {
    let organization = uuid_of(&operation.organization_id)?;
    let step = OperationEvent {
        id: String::new(),
        operation: Some(operation),
        items,
    };
    let mut event = Change::new(STEP, organization).after(&step).into_event(caller);
    event.organization_id = String::new();
    tx.record_events(&[event]).await
}

fn item_state(status: &str) -> OperationItemState {
    match status {
        "true" | "done" => OperationItemState::Done,
        "false" | "failed" => OperationItemState::Failed,
        "skipped" => OperationItemState::Skipped,
        _ => OperationItemState::Waiting,
    }
}

fn number(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The steps of an agent's provisioning: its conditions.
pub fn steps(conditions: &[Condition]) -> Vec<OperationItem> {
    conditions
        .iter()
        .map(|condition| OperationItem {
            name: condition.kind.clone(),
            agent_id: None,
            board_id: None,
            state: item_state(&condition.status).into(),
            message: condition.message.clone(),
            updated_at: Some(timestamp(condition.since)),
        })
        .collect()
}

/// An agent's provisioning as an operation.
pub fn provisioning(row: &AgentRow) -> Operation {
    let conditions = row.conditions();
    let count = |status: &str| {
        number(
            conditions
                .iter()
                .filter(|condition| condition.status == status)
                .count()
                .try_into()
                .unwrap_or(0),
        )
    };
    let behind = row.observed_generation < row.desired_generation || row.deleting_at.is_some();
    let state = if behind {
        OperationState::Running
    } else {
        OperationState::Succeeded
    };
    let obstacle = conditions
        .iter()
        .find(|condition| condition.status == "false")
        .filter(|_| behind);
    let message = match (obstacle, behind) {
        (Some(condition), _) => condition.message.clone(),
        (None, true) => "The gateway is brought up to date.".to_owned(),
        (None, false) => "The gateway has everything.".to_owned(),
    };
    let verb = if row.deleting_at.is_some() { "Remove" } else { "Set up" };
    Operation {
        id: row.id.to_string(),
        kind: PROVISIONING.to_owned(),
        title: format!("{verb} agent {}", row.name),
        state: state.into(),
        message,
        gateway_id: Some(row.gateway_id.to_string()),
        board_id: row.board_id.map(|id| id.to_string()),
        agent_id: Some(row.id.to_string()),
        total: number(conditions.len().try_into().unwrap_or(0)),
        done: count("true"),
        failed: if behind { count("false") } else { 0 },
        skipped: 0,
        attempts: row.attempts,
        next_attempt_at: row.next_attempt_at.filter(|_| behind).map(timestamp),
        created_by: String::new(),
        created_at: Some(timestamp(row.created_at)),
        updated_at: Some(timestamp(row.updated_at)),
        settled_at: None,
        items: Vec::new(),
        organization_id: row.organization_id.to_string(),
    }
}

/// A message as it is shown.
pub struct MessageRow {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub agent_id: Uuid,
    pub board_id: Option<Uuid>,
    pub gateway_id: Uuid,
    pub label: String,
    pub title: String,
    pub created_by: String,
    pub state: String,
    pub attempts: i32,
    pub next_attempt_at: Option<OffsetDateTime>,
    pub last_error: Option<String>,
    pub created_at: OffsetDateTime,
    pub settled_at: Option<OffsetDateTime>,
}

/// A message as an operation.
pub fn message(row: &MessageRow) -> Operation {
    let (state, text) = match row.state.as_str() {
        "sent" => (OperationState::Succeeded, "The gateway has the message.".to_owned()),
        "failed" => (OperationState::Failed, row.last_error.clone().unwrap_or_default()),
        _ => (
            OperationState::Running,
            row.last_error
                .clone()
                .unwrap_or_else(|| "The message is sent when the gateway can take it.".to_owned()),
        ),
    };
    let title = if row.title.is_empty() {
        format!("Tell {}", row.label)
    } else {
        row.title.clone()
    };
    Operation {
        id: row.id.to_string(),
        kind: MESSAGE.to_owned(),
        title,
        state: state.into(),
        message: text,
        gateway_id: Some(row.gateway_id.to_string()),
        board_id: row.board_id.map(|id| id.to_string()),
        agent_id: Some(row.agent_id.to_string()),
        total: 1,
        done: i32::from(state == OperationState::Succeeded),
        failed: i32::from(state == OperationState::Failed),
        skipped: 0,
        attempts: row.attempts,
        next_attempt_at: row
            .next_attempt_at
            .filter(|_| state == OperationState::Running)
            .map(timestamp),
        created_by: row.created_by.clone(),
        created_at: Some(timestamp(row.created_at)),
        updated_at: Some(timestamp(row.settled_at.unwrap_or(row.created_at))),
        settled_at: row.settled_at.map(timestamp),
        items: Vec::new(),
        organization_id: row.organization_id.to_string(),
    }
}

/// A sync with its counts.
struct SyncRow {
    id: Uuid,
    organization_id: Uuid,
    gateway_id: Uuid,
    board_id: Option<Uuid>,
    kind: String,
    title: String,
    created_by: String,
    state: String,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    settled_at: Option<OffsetDateTime>,
    total: i64,
    done: i64,
    failed: i64,
    skipped: i64,
}

macro_rules! syncs {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            SyncRow,
            r#"SELECT o.id, o.organization_id, o.gateway_id, o.board_id, o.kind, o.title, o.created_by, o.state, o.created_at, o.updated_at,
                 o.settled_at, i.total AS "total!", i.done AS "done!", i.failed AS "failed!", i.skipped AS "skipped!"
               FROM agent.operations AS o CROSS JOIN LATERAL (
                 SELECT count(*) AS total, count(*) FILTER (WHERE state = 'done') AS done, count(*) FILTER (WHERE state = 'failed') AS failed,
                   count(*) FILTER (WHERE state = 'skipped') AS skipped
                 FROM agent.operation_items WHERE operation_id = o.id) AS i "#
                + $tail
            $(, $argument)*
        )
    };
}

impl SyncRow {
    fn to_proto(&self) -> Operation {
        let state = match self.state.as_str() {
            "succeeded" => OperationState::Succeeded,
            "failed" => OperationState::Failed,
            _ => OperationState::Running,
        };
        let message = match state {
            OperationState::Running => format!("{} of {} agents are up to date.", self.done, self.total),
            _ => format!(
                "{} agents are up to date, {} failed, {} were left out.",
                self.done, self.failed, self.skipped
            ),
        };
        Operation {
            id: self.id.to_string(),
            kind: self.kind.clone(),
            title: self.title.clone(),
            state: state.into(),
            message,
            gateway_id: Some(self.gateway_id.to_string()),
            board_id: self.board_id.map(|id| id.to_string()),
            agent_id: None,
            total: number(self.total),
            done: number(self.done),
            failed: number(self.failed),
            skipped: number(self.skipped),
            attempts: 0,
            next_attempt_at: None,
            created_by: self.created_by.clone(),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
            settled_at: self.settled_at.map(timestamp),
            items: Vec::new(),
            organization_id: self.organization_id.to_string(),
        }
    }
}

/// Agents of operations that moved, by operation.
type Moved = HashMap<Uuid, Vec<OperationItem>>;

/// An agent's lines in operations that go on. `state` is `done`, `failed`, `skipped`, or `waiting` to say why it still is.
pub async fn move_items(tx: &mut Tx, caller: &Caller, row: &AgentRow, state: &str, message: &str) -> Result<()> {
    let moved = sqlx::query!(
        "UPDATE agent.operation_items SET state = $2, message = $3, updated_at = now() \
         WHERE agent_id = $1 AND state = 'waiting' AND (state <> $2 OR message <> $3) AND ($2 <> 'done' OR generation <= $4) \
         RETURNING operation_id",
        row.id,
        state,
        message,
        row.observed_generation
    )
    .fetch_all(&mut **tx)
    .await?;
    let item = OperationItem {
        name: row.name.clone(),
        agent_id: Some(row.id.to_string()),
        board_id: row.board_id.map(|id| id.to_string()),
        state: item_state(state).into(),
        message: message.to_owned(),
        updated_at: Some(timestamp(OffsetDateTime::now_utc())),
    };
    let moved: Moved = moved
        .into_iter()
        .map(|line| (line.operation_id, vec![item.clone()]))
        .collect();
    settle(tx, caller, moved).await
}

/// Settles operations none of whose agents waits any more, and tells of all that moved.
async fn settle(tx: &mut Tx, caller: &Caller, mut moved: Moved) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<Uuid> = moved.keys().copied().collect();
    // Always in the same order: two agents of two operations must not wait for each other.
    ids.sort_unstable();
    sqlx::query!(
        "SELECT id FROM agent.operations WHERE id = ANY($1) ORDER BY id FOR UPDATE",
        &ids
    )
    .fetch_all(&mut **tx)
    .await?;
    let settled = sqlx::query_scalar!(
        "UPDATE agent.operations AS o SET updated_at = now(), \
             settled_at = CASE WHEN i.waiting THEN NULL ELSE now() END, \
             state = CASE WHEN i.waiting THEN 'running' WHEN i.failed THEN 'failed' ELSE 'succeeded' END \
         FROM (SELECT w.id, coalesce(bool_or(p.state = 'waiting'), false) AS waiting, coalesce(bool_or(p.state = 'failed'), false) AS failed \
               FROM unnest($1::uuid[]) AS w (id) LEFT JOIN agent.operation_items AS p ON p.operation_id = w.id GROUP BY w.id) AS i \
         WHERE o.id = i.id AND o.state = 'running' RETURNING o.id",
        &ids
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in syncs!("WHERE o.id = ANY($1)", &settled).fetch_all(&mut **tx).await? {
        if row.state != "running" {
            let told = Change::new("gateway.templates_synced", row.organization_id)
                .gateway(row.gateway_id)
                .message(format!(
                    "{}: {} agents up to date, {} failed, {} left out.",
                    row.title, row.done, row.failed, row.skipped
                ))
                .after(&row.to_proto());
            let told = match row.board_id {
                Some(board) => told.board(board),
                None => told,
            };
            tx.record(caller, told).await?;
        }
        let items = moved.remove(&row.id).unwrap_or_default();
        tell(tx, caller, row.to_proto(), items).await?;
    }
    Ok(())
}

/// Tells who asked for an operation that was just written, and settles it when it has nothing to wait for. How it ended is told then.
pub async fn begin(tx: &mut Tx, caller: &Caller, id: Uuid) -> Result<()> {
    for row in syncs!("WHERE o.id = ANY($1)", &[id][..]).fetch_all(&mut **tx).await? {
        let told = Change::new("gateway.templates_sync.requested", row.organization_id)
            .gateway(row.gateway_id)
            .message(format!("{} asked for.", row.title))
            .after(&row.to_proto());
        let told = match row.board_id {
            Some(board) => told.board(board),
            None => told,
        };
        tx.record(caller, told).await?;
    }
    settle(tx, caller, HashMap::from([(id, Vec::new())])).await
}

/// Gives up on what is not done in time, until `stop`.
pub async fn expire(app: Arc<App>, stop: tokio_util::sync::CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        expire_due(&app).await?;
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), stop.cancelled()).await;
    }
    Ok(())
}

async fn expire_due(app: &App) -> Result<()> {
    let due = sqlx::query!(
        "SELECT id, organization_id FROM agent.operations WHERE state = 'running' AND deadline_at < now() ORDER BY deadline_at LIMIT 20"
    )
    .fetch_all(app.store.pool())
    .await?;
    for operation in due {
        // Items before their operation, as everywhere: an agent's outcome may be written at the same moment.
        let mut tx = app.store.begin().await?;
        let lines = sqlx::query!(
            "UPDATE agent.operation_items SET state = 'failed', updated_at = now(), \
                 message = 'Not done in time; it goes on by itself.' || CASE WHEN message = '' THEN '' ELSE ' ' || message END \
             WHERE operation_id = $1 AND state = 'waiting' RETURNING agent_id, agent_name, board_id, message",
            operation.id
        )
        .fetch_all(&mut *tx)
        .await?;
        let items = lines
            .into_iter()
            .map(|line| OperationItem {
                name: line.agent_name,
                agent_id: Some(line.agent_id.to_string()),
                board_id: line.board_id.map(|id| id.to_string()),
                state: OperationItemState::Failed.into(),
                message: line.message,
                updated_at: Some(timestamp(OffsetDateTime::now_utc())),
            })
            .collect();
        let caller = app.itself(operation.organization_id);
        settle(&mut tx, &caller, HashMap::from([(operation.id, items)])).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The parts of a sync, in order of names.
pub async fn items(app: &App, operation: Uuid) -> Result<Vec<OperationItem>> {
    let rows = sqlx::query!(
        "SELECT agent_id, agent_name, board_id, state, message, updated_at FROM agent.operation_items WHERE operation_id = $1 \
         ORDER BY board_id IS NULL, agent_name, agent_id",
        operation
    )
    .fetch_all(app.store.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OperationItem {
            name: row.agent_name,
            agent_id: Some(row.agent_id.to_string()),
            board_id: row.board_id.map(|id| id.to_string()),
            state: item_state(&row.state).into(),
            message: row.message,
            updated_at: Some(timestamp(row.updated_at)),
        })
        .collect())
}

fn unknown() -> Error {
    Error::not_found("Operation not found")
}

/// An operation with its items, when the caller may see it.
pub async fn find(app: &App, caller: &Caller, id: &str) -> Result<Operation> {
    let (id, organization) = (uuid_of(id)?, caller.organization()?);
    let seen = |operation: Operation| {
        let board = optional_uuid(operation.board_id.as_ref())?;
        board.map_or(Ok(()), |board| caller.may_read_board(organization, board))?;
        Ok::<_, Error>(operation)
    };
    let pool = app.store.pool();
    if let Some(row) = syncs!("WHERE o.id = $1 AND o.organization_id = $2", id, organization)
        .fetch_optional(pool)
        .await?
    {
        let items = items(app, id).await?;
        return seen(Operation {
            items,
            ..row.to_proto()
        });
    }
    let told = sqlx::query_as!(
        MessageRow,
        "SELECT id, organization_id, agent_id, board_id, gateway_id, label, title, created_by, state, attempts, next_attempt_at, last_error, \
             created_at, settled_at FROM agent.messages WHERE id = $1 AND organization_id = $2",
        id,
        organization
    )
    .fetch_optional(pool)
    .await?;
    if let Some(row) = told {
        return seen(message(&row));
    }
    let row = visible(app, caller, &id.to_string()).await.map_err(|_| unknown())?;
    Ok(Operation {
        items: steps(&row.conditions()),
        ..provisioning(&row)
    })
}

/// What a list asks for.
struct Filter {
    organization: Uuid,
    kind: Option<String>,
    state: Option<&'static str>,
    gateway: Option<Uuid>,
    board: Option<Uuid>,
    agent: Option<Uuid>,
    readable: Option<Vec<Uuid>>,
}

impl Filter {
    fn wants(&self, kind: &str) -> bool {
        self.kind.as_deref().is_none_or(|wanted| wanted == kind)
    }
}

impl Operations {
    async fn list(&self, caller: &Caller, request: ListOperationsRequest) -> Result<ListOperationsResponse> {
        let page = Page::of(request.limit, request.offset)?;
        if page.offset > MAX_OFFSET {
            return Err(Error::invalid(
                "offset",
                format!("offset must be at most {MAX_OFFSET}."),
            ));
        }
        let state = match request.state() {
            OperationState::Unspecified => None,
            OperationState::Running => Some("running"),
            OperationState::Succeeded => Some("succeeded"),
            OperationState::Failed => Some("failed"),
        };
        let filter = Filter {
            organization: caller.organization()?,
            state,
            gateway: optional_uuid(request.gateway_id.as_ref())?,
            board: optional_uuid(request.board_id.as_ref())?,
            agent: optional_uuid(request.agent_id.as_ref())?,
            readable: caller.readable_boards()?,
            kind: request.kind,
        };
        let most = i64::from(page.limit) + i64::from(page.offset);
        let (mut found, mut total) = (Vec::new(), 0);
        for (part, count) in [
            self.syncs(&filter, most).await?,
            self.messages(&filter, most).await?,
            self.provisionings(&filter, most).await?,
        ] {
            found.extend(part);
            total += count;
        }
        let begun = |operation: &Operation| operation.created_at.map(|at| (at.seconds, at.nanos));
        found.sort_by(|one, other| (begun(other), &other.id).cmp(&(begun(one), &one.id)));
        let (skip, take) = (
            usize::try_from(page.offset).unwrap_or(0),
            usize::try_from(page.limit).unwrap_or(0),
        );
        Ok(ListOperationsResponse {
            items: found.into_iter().skip(skip).take(take).collect(),
            total: number(total),
            limit: page.limit,
            offset: page.offset,
        })
    }

    async fn syncs(&self, filter: &Filter, most: i64) -> Result<(Vec<Operation>, i64)> {
        if !filter.wants(TEMPLATE_SYNC) || filter.agent.is_some() {
            return Ok((Vec::new(), 0));
        }
        let readable = filter.readable.as_deref();
        let rows = syncs!(
            "WHERE o.organization_id = $1 AND ($2::text IS NULL OR o.state = $2) AND ($3::uuid IS NULL OR o.gateway_id = $3) \
               AND ($4::uuid IS NULL OR o.board_id = $4) AND ($5::uuid[] IS NULL OR o.board_id IS NULL OR o.board_id = ANY($5)) \
             ORDER BY o.created_at DESC, o.id DESC LIMIT $6",
            filter.organization,
            filter.state,
            filter.gateway,
            filter.board,
            readable,
            most
        )
        .fetch_all(self.app.store.pool())
        .await?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM agent.operations AS o
               WHERE o.organization_id = $1 AND ($2::text IS NULL OR o.state = $2) AND ($3::uuid IS NULL OR o.gateway_id = $3)
                 AND ($4::uuid IS NULL OR o.board_id = $4) AND ($5::uuid[] IS NULL OR o.board_id IS NULL OR o.board_id = ANY($5))"#,
            filter.organization,
            filter.state,
            filter.gateway,
            filter.board,
            readable
        )
        .fetch_one(self.app.store.pool())
        .await?;
        Ok((rows.iter().map(SyncRow::to_proto).collect(), total))
    }

    async fn messages(&self, filter: &Filter, most: i64) -> Result<(Vec<Operation>, i64)> {
        if !filter.wants(MESSAGE) {
            return Ok((Vec::new(), 0));
        }
        let state = filter.state.map(|state| match state {
            "running" => "waiting",
            "succeeded" => "sent",
            other => other,
        });
        let readable = filter.readable.as_deref();
        let rows = sqlx::query_as!(
            MessageRow,
            "SELECT id, organization_id, agent_id, board_id, gateway_id, label, title, created_by, state, attempts, next_attempt_at, last_error, \
                 created_at, settled_at FROM agent.messages \
             WHERE organization_id = $1 AND (listed OR state <> 'sent') AND ($2::text IS NULL OR state = $2) \
               AND ($3::uuid IS NULL OR gateway_id = $3) AND ($4::uuid IS NULL OR board_id = $4) AND ($5::uuid IS NULL OR agent_id = $5) \
               AND ($6::uuid[] IS NULL OR board_id IS NULL OR board_id = ANY($6)) \
             ORDER BY created_at DESC, id DESC LIMIT $7",
            filter.organization,
            state,
            filter.gateway,
            filter.board,
            filter.agent,
            readable,
            most
        )
        .fetch_all(self.app.store.pool())
        .await?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM agent.messages
               WHERE organization_id = $1 AND (listed OR state <> 'sent') AND ($2::text IS NULL OR state = $2)
                 AND ($3::uuid IS NULL OR gateway_id = $3) AND ($4::uuid IS NULL OR board_id = $4) AND ($5::uuid IS NULL OR agent_id = $5)
                 AND ($6::uuid[] IS NULL OR board_id IS NULL OR board_id = ANY($6))"#,
            filter.organization,
            state,
            filter.gateway,
            filter.board,
            filter.agent,
            readable
        )
        .fetch_one(self.app.store.pool())
        .await?;
        Ok((rows.iter().map(message).collect(), total))
    }

    async fn provisionings(&self, filter: &Filter, most: i64) -> Result<(Vec<Operation>, i64)> {
        if !filter.wants(PROVISIONING) || filter.state.is_some_and(|state| state != "running") {
            return Ok((Vec::new(), 0));
        }
        let readable = filter.readable.as_deref();
        let rows = agents!(
            "SELECT",
            "FROM agent.agents AS a \
             WHERE a.organization_id = $1 AND (a.observed_generation < a.desired_generation OR a.deleting_at IS NOT NULL) \
               AND ($2::uuid IS NULL OR a.gateway_id = $2) AND ($3::uuid IS NULL OR a.board_id = $3) AND ($4::uuid IS NULL OR a.id = $4) \
               AND ($5::uuid[] IS NULL OR a.board_id IS NULL OR a.board_id = ANY($5)) \
             ORDER BY a.updated_at DESC, a.id DESC LIMIT $6",
            filter.organization,
            filter.gateway,
            filter.board,
            filter.agent,
            readable,
            most
        )
        .fetch_all(self.app.store.pool())
        .await?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM agent.agents AS a
               WHERE a.organization_id = $1 AND (a.observed_generation < a.desired_generation OR a.deleting_at IS NOT NULL)
                 AND ($2::uuid IS NULL OR a.gateway_id = $2) AND ($3::uuid IS NULL OR a.board_id = $3) AND ($4::uuid IS NULL OR a.id = $4)
                 AND ($5::uuid[] IS NULL OR a.board_id IS NULL OR a.board_id = ANY($5))"#,
            filter.organization,
            filter.gateway,
            filter.board,
            filter.agent,
            readable
        )
        .fetch_one(self.app.store.pool())
        .await?;
        Ok((rows.iter().map(provisioning).collect(), total))
    }
}

/// A step out of an event, with its resume token.
fn step_of(event: &proto::event::v1::Event) -> OperationEvent {
    OperationEvent {
        id: event.position.to_string(),
        ..unpack(event.after.as_ref()).unwrap_or_default()
    }
}

/// Whether nothing comes after this step.
pub fn is_settled(operation: Option<&Operation>) -> bool {
    operation.is_none_or(|operation| operation.state() != OperationState::Running)
}

/// Steps from a place in the feed on that `wanted` lets pass.
pub fn watch<F>(feed: &Feed, start: Start, wanted: F) -> impl Stream<Item = Result<OperationEvent>> + Send + 'static
where
    F: Fn(&Operation) -> bool + Send + Sync + 'static,
{
    let events = feed.watch(start, move |event| {
        event.r#type == STEP
            && unpack::<OperationEvent>(event.after.as_ref())
                .and_then(|step| step.operation)
                .is_some_and(|operation| wanted(&operation))
    });
    events.map(|event| event.map(|event| step_of(&event)))
}

type Steps = Pin<Box<dyn Stream<Item = Result<OperationEvent, Status>> + Send>>;

#[tonic::async_trait]
impl OperationService for Operations {
    type WatchOperationStream = Steps;
    type WatchOperationsStream = Steps;

    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.list(&caller, request.into_inner()).await?))
    }

    async fn get_operation(&self, request: Request<GetOperationRequest>) -> Result<Response<Operation>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            find(&self.app, &caller, &request.get_ref().operation_id).await?,
        ))
    }

    async fn watch_operation(&self, request: Request<WatchOperationRequest>) -> Result<Response<Steps>, Status> {
        let caller = Caller::of(&request)?;
        // What happens between the reading and the watching is told twice rather than not at all.
        let position = now_position(&self.app.store).await?;
        let now = find(&self.app, &caller, &request.get_ref().operation_id).await?;
        let id = now.id.clone();
        let mut steps = Box::pin(watch(&self.feed, Start::After(position), move |operation| {
            operation.id == id
        }));
        let stream = async_stream::try_stream! {
            let mut now = now;
            let mut ended = is_settled(Some(&now));
            let items = std::mem::take(&mut now.items);
            yield OperationEvent { id: position.to_string(), operation: Some(now), items };
            while !ended {
                let Some(step) = steps.next().await else { break };
                let step = step?;
                ended = is_settled(step.operation.as_ref());
                yield step;
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }

    async fn watch_operations(&self, request: Request<WatchOperationsRequest>) -> Result<Response<Steps>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let organization = caller.organization()?.to_string();
        let gateway = optional_uuid(request.gateway_id.as_ref())?.map(|id| id.to_string());
        let readable: Option<Vec<String>> = caller
            .readable_boards()?
            .map(|boards| boards.iter().map(Uuid::to_string).collect());
        let start = Start::of(None, request.resume_token.as_deref())?;
        let steps = watch(&self.feed, start, move |operation| {
            operation.organization_id == organization
                && gateway
                    .as_ref()
                    .is_none_or(|id| operation.gateway_id.as_ref() == Some(id))
                && match (&operation.board_id, &readable) {
                    (Some(board), Some(readable)) => readable.contains(board),
                    _ => true,
                }
        });
        Ok(Response::new(Box::pin(steps.map(|step| step.map_err(Status::from)))))
    }
}
