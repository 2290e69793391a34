//! What the log tells of boards, tasks, agents, gateways and approvals, kept as tables of this service.
//!
//! The dashboard and the inbox read them: no other service is asked while a page waits, and nobody's tables are touched.
//! They are written with the log, in one transaction, and can be made anew from it.

mod rebuild;
mod task;
mod write;

use std::collections::HashMap;

use chassis::{Result, Tx, outbox::unpack};
use proto::{
    agent::v1::Agent,
    approval::v1::{Approval, ApprovalStatus},
    board::v1::{Board, Task},
    event::v1::Event,
    gateway::v1::{ConnectionPhase, Gateway, GatewayConnection},
};
use time::OffsetDateTime;
use uuid::Uuid;

pub use rebuild::rebuild;
pub use task::TaskFact;

/// An event with what every fact needs of it.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    pub event: &'a Event,
    pub organization: Uuid,
    pub at: OffsetDateTime,
}

/// A board.
pub struct BoardFact {
    id: Uuid,
    organization: Uuid,
    name: String,
    group: Option<Uuid>,
    version: i64,
    deleted: bool,
}

/// An agent, as the last event about it says.
pub struct AgentFact {
    id: Uuid,
    organization: Uuid,
    board: Option<Uuid>,
    gateway: Option<Uuid>,
    name: String,
    status: String,
    at: OffsetDateTime,
    last_seen_at: Option<OffsetDateTime>,
    version: i64,
    deleted: bool,
}

/// What keeps an agent from being set up; `None` when nothing does any more.
pub struct AgentProblem {
    id: Uuid,
    problem: Option<String>,
    at: OffsetDateTime,
}

/// What is known of a gateway: its name, or its connection.
pub struct GatewayFact {
    id: Uuid,
    organization: Uuid,
    name: Option<String>,
    phase: Option<&'static str>,
    at: OffsetDateTime,
    error: Option<String>,
    remedy: Option<String>,
    version: i64,
    deleted: bool,
}

/// An approval.
pub struct ApprovalFact {
    id: Uuid,
    organization: Uuid,
    board: Uuid,
    task: Option<Uuid>,
    title: Option<String>,
    action: String,
    confidence: f64,
    status: &'static str,
    requested_by: Option<Uuid>,
    requested_by_name: Option<String>,
    created_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    version: i64,
    deleted: bool,
}

/// Follows events, in their order.
pub async fn follow(tx: &mut Tx, events: &[Told<'_>]) -> Result<()> {
    let mut boards = HashMap::new();
    let (mut agents, mut problems, mut approvals) = (HashMap::new(), HashMap::new(), HashMap::new());
    let (mut tasks, mut gateways, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    let closed = write::closed(tx, &events.iter().map(|told| told.organization).collect::<Vec<_>>()).await?;
    for told in events {
        let kind = told.event.r#type.as_str();
        let (subject, _) = kind.split_once('.').unwrap_or((kind, ""));
        // What other services tell while an organization goes would bring back what was forgotten.
        if subject != "organization" && closed.contains(&told.organization) {
            continue;
        }
        match subject {
            "board" => {
                if let Some(fact) = board(told) {
                    boards.insert(fact.id, fact);
                }
            }
            "task" => {
                if let Some(task) = resource::<Task>(told) {
                    tasks.push((*told, task));
                }
            }
            "agent" => {
                if let Some(fact) = agent(told) {
                    agents.insert(fact.id, fact);
                }
                if let Some(problem) = problem(told) {
                    problems.insert(problem.id, problem);
                }
            }
            "gateway" => gateways.extend(gateway(told)),
            "approval" => {
                if let Some(fact) = approval(told) {
                    approvals.insert(fact.id, fact);
                }
            }
            "organization" if kind == "organization.deleted" => gone.push(told.organization),
            _ => {}
        }
    }
    write::boards(tx, boards.into_values().collect()).await?;
    write::tasks(tx, tasks).await?;
    write::agents(tx, agents.into_values().collect()).await?;
    write::problems(tx, problems.into_values().collect()).await?;
    write::gateways(tx, gateways).await?;
    write::approvals(tx, approvals.into_values().collect()).await?;
    if !gone.is_empty() {
        write::forget(tx, &gone).await?;
    }
    Ok(())
}

/// The thing after the event, or before it when it is gone.
fn resource<M: prost::Message + prost::Name + Default>(told: &Told<'_>) -> Option<M> {
    unpack(told.event.after.as_ref()).or_else(|| unpack(told.event.before.as_ref()))
}

fn is_deletion(told: &Told<'_>) -> bool {
    told.event.r#type.ends_with(".deleted")
}

fn id(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok()
}

fn at(time: Option<&prost_types::Timestamp>) -> Option<OffsetDateTime> {
    time.and_then(|time| chassis::moment(time).ok())
}

fn board(told: &Told<'_>) -> Option<BoardFact> {
    let board = resource::<Board>(told)?;
    Some(BoardFact {
        id: id(&board.id)?,
        organization: told.organization,
        name: board.name,
        group: board.board_group_id.as_deref().and_then(id),
        version: told.event.position,
        deleted: is_deletion(told),
    })
}

fn agent(told: &Told<'_>) -> Option<AgentFact> {
    let agent = resource::<Agent>(told)?;
    Some(AgentFact {
        id: id(&agent.id)?,
        organization: told.organization,
        board: agent.board_id.as_deref().and_then(id),
        gateway: id(&agent.gateway_id),
        name: agent.name,
        status: agent.status,
        at: told.at,
        last_seen_at: at(agent.last_seen_at.as_ref()),
        version: told.event.position,
        deleted: is_deletion(told),
    })
}

fn problem(told: &Told<'_>) -> Option<AgentProblem> {
    let problem = match told.event.r#type.as_str() {
        "agent.provision.failed" | "agent.update.failed" | "agent.delete.failed" => Some(told.event.message.clone()),
        "agent.provisioned" | "agent.provision.direct" | "agent.update.direct" => None,
        _ => return None,
    };
    Some(AgentProblem {
        id: id(&told.event.agent_id)?,
        problem,
        at: told.at,
    })
}

fn gateway(told: &Told<'_>) -> Option<GatewayFact> {
    let fact = GatewayFact {
        id: id(&told.event.gateway_id)?,
        organization: told.organization,
        name: None,
        phase: None,
        at: told.at,
        error: None,
        remedy: None,
        version: told.event.position,
        deleted: is_deletion(told),
    };
    if let Some(connection) = unpack::<GatewayConnection>(told.event.after.as_ref()) {
        return Some(GatewayFact {
            phase: Some(phase(connection.phase())),
            at: at(connection.since.as_ref()).unwrap_or(told.at),
            error: connection.error,
            remedy: connection.remedy,
            ..fact
        });
    }
    let gateway = resource::<Gateway>(told)?;
    Some(GatewayFact {
        name: Some(gateway.name),
        ..fact
    })
}

fn phase(phase: ConnectionPhase) -> &'static str {
    match phase {
        ConnectionPhase::Unspecified | ConnectionPhase::Connecting => "connecting",
        ConnectionPhase::Connected => "connected",
        ConnectionPhase::PairingRequired => "pairing_required",
        ConnectionPhase::Refused => "refused",
        ConnectionPhase::Unreachable => "unreachable",
        ConnectionPhase::Stopped => "stopped",
    }
}

fn approval(told: &Told<'_>) -> Option<ApprovalFact> {
    let approval = resource::<Approval>(told)?;
    Some(ApprovalFact {
        id: id(&approval.id)?,
        organization: told.organization,
        board: id(&approval.board_id)?,
        task: approval.task_id.as_deref().and_then(id),
        title: approval.task_titles.first().cloned(),
        status: match approval.status() {
            ApprovalStatus::Pending | ApprovalStatus::Unspecified => "pending",
            ApprovalStatus::Approved => "approved",
            ApprovalStatus::Rejected => "rejected",
        },
        action: approval.action_type,
        confidence: approval.confidence,
        requested_by: approval.requested_by_user_id.as_deref().and_then(id),
        requested_by_name: approval.requested_by_name,
        created_at: at(approval.created_at.as_ref()).unwrap_or(told.at),
        expires_at: at(approval.expires_at.as_ref()),
        version: told.event.position,
        deleted: is_deletion(told),
    })
}
