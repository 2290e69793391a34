//! Which changes of a task are allowed, and what follows from them.
//!
//! Pure: [`admit`] and [`decide`] get the task, the board's rules, what is asked and by whom, and the facts known so far. They answer the
//! resulting state, a [`Refusal`] that names the rule and the remedy, or the one fact that is still missing. The caller fetches that
//! fact and asks again, so that another service is only asked when a rule needs to know.

use chassis::{Error, error::Kind};
use proto::board::v1::TaskStatus;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nobody works on it.
    Inbox,
    /// Somebody works on it.
    InProgress,
    /// It waits for a look.
    Review,
    /// It is finished.
    Done,
}

impl Status {
    /// Every status, in the order of work.
    pub const ALL: [Self; 4] = [Self::Inbox, Self::InProgress, Self::Review, Self::Done];

    /// The word of the contract and of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::InProgress => "in_progress",
            Self::Review => "review",
            Self::Done => "done",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The status of a message; `None` when it names none.
    pub fn of(status: TaskStatus) -> Option<Self> {
        match status {
            TaskStatus::Unspecified => None,
            TaskStatus::Inbox => Some(Self::Inbox),
            TaskStatus::InProgress => Some(Self::InProgress),
            TaskStatus::Review => Some(Self::Review),
            TaskStatus::Done => Some(Self::Done),
        }
    }

    /// The status in messages.
    pub fn message(self) -> TaskStatus {
        match self {
            Self::Inbox => TaskStatus::Inbox,
            Self::InProgress => TaskStatus::InProgress,
            Self::Review => TaskStatus::Review,
            Self::Done => TaskStatus::Done,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person who may write the board.
    User,
    /// An agent that does not lead: a worker of the board, or a gateway's main agent.
    Worker(Uuid),
    /// The agent that leads the board.
    Lead(Uuid),
}

/// The rules of a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each rule is switched on its own")]
pub struct Gates {
    /// A task becomes done only with a granted approval.
    pub require_approval_for_done: bool,
    /// A task becomes done only from review.
    pub require_review_before_done: bool,
    /// A task enters review only with a comment.
    pub comment_required_for_review: bool,
    /// A task with a pending approval does not change status.
    pub block_status_changes_with_pending_approval: bool,
    /// Workers do not change statuses.
    pub only_lead_can_change_status: bool,
}

/// What of a task the rules decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// Who works on it.
    pub assignee: Option<Uuid>,
    /// Since when somebody works on it.
    pub in_progress_at: Option<OffsetDateTime>,
    /// When the last work on it began, if it left `in_progress` since.
    pub previous_in_progress_at: Option<OffsetDateTime>,
    /// Who brought it to review last.
    pub last_worker: Option<Uuid>,
}

impl State {
    /// A task before it exists: as an empty inbox task.
    pub const NEW: Self = Self {
        status: Status::Inbox,
        assignee: None,
        in_progress_at: None,
        previous_in_progress_at: None,
        last_worker: None,
    };
}

/// What is asked of a task.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The status asked for.
    pub status: Option<Status>,
    /// The assignee asked for; `Some(None)` takes the assignment back.
    pub assignee: Option<Option<Uuid>>,
    /// The request replaces the dependencies by others.
    pub dependencies_change: bool,
    /// A comment goes with it.
    pub comment: bool,
    /// Every field the request names.
    pub fields: Vec<&'static str>,
}

/// What is known of an agent that is to get a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignee {
    /// There is no such agent in the organization.
    Unknown,
    /// It belongs to another board or another gateway.
    Elsewhere,
    /// It leads a board.
    Lead,
    /// It is a worker of this board, or the main agent of its gateway.
    Member,
}

/// The approvals linked to a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    /// One waits for a decision.
    pub pending: bool,
    /// One was granted.
    pub approved: bool,
}

/// What is known. The options are facts of other services, fetched when a rule asks for them.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The time of the change.
    pub now: OffsetDateTime,
    /// Dependencies, after the change, that are not done.
    pub blocked_by: Vec<Uuid>,
    /// Whoever works on the task has commented since the work began.
    pub worker_commented: bool,
    /// About the assignee asked for.
    pub assignee: Option<Assignee>,
    /// The board's lead.
    pub lead: Option<Option<Uuid>>,
    /// The task's approvals.
    pub approvals: Option<Approvals>,
}

/// A fact of another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// [`Facts::assignee`] of this agent.
    Assignee(Uuid),
    /// [`Facts::lead`].
    Lead,
    /// [`Facts::approvals`].
    Approvals,
}

/// Why there is no resulting state.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// A rule forbids it.
    Refused(Refusal),
    /// A rule has to know this first.
    Needs(Fact),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A rule that forbids a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The rule, a stable word.
    pub rule: &'static str,
    /// What kind of error it is for the caller.
    pub kind: Kind,
    /// What is wrong, for people and agents.
    pub message: String,
    /// What is not there that the rule wants.
    pub missing: &'static str,
    /// Who can bring it: words of [`who`].
    pub who: &'static [&'static str],
    /// What to do about it.
    pub remedy: &'static str,
    /// Further keys of the detail that the contract names.
    pub extra: Vec<(&'static str, Value)>,
}

/// Who can fix what a rule misses.
pub mod who {
    /// A person who may write the board.
    pub const PERSON: &str = "person_with_write_access";
    /// The agent that leads the board.
    pub const LEAD: &str = "board_lead";
    /// The agent that has the task.
    pub const ASSIGNEE: &str = "assignee";
    /// Whoever asks, by asking differently.
    pub const CALLER: &str = "caller";
}

impl Refusal {
    fn new(rule: &'static str, kind: Kind, message: impl Into<String>, remedy: &'static str) -> Self {
        let (missing, who) = fix(rule);
        Self {
            rule,
            kind,
            message: message.into(),
            missing,
            who,
            remedy,
            extra: Vec::new(),
        }
    }

    /// A rule of the board, or of dependencies: 409 with the list of blocking tasks.
    fn gate(rule: &'static str, message: &str, remedy: &'static str) -> Self {
        Self {
            extra: vec![("blocked_by_task_ids", Value::Array(Vec::new()))],
            ..Self::new(rule, Kind::Precondition, message, remedy)
        }
    }

    fn denied(rule: &'static str, message: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            extra: vec![("code", rule.into())],
            ..Self::new(rule, Kind::Denied, message, remedy)
        }
    }

    fn blocked(by: &[Uuid]) -> Self {
        let ids: Vec<Value> = by.iter().map(|id| id.to_string().into()).collect();
        Self {
            extra: vec![
                ("code", "task_blocked_cannot_transition".into()),
                ("blocked_by_task_ids", Value::Array(ids)),
            ],
            ..Self::new(
                "task_blocked_cannot_transition",
                Kind::Precondition,
                "Task is blocked by incomplete dependencies.",
                "Finish the tasks in blocked_by_task_ids, or let a person or the board lead remove them from depends_on_task_ids.",
            )
        }
    }
}

/// What a rule misses, and who can bring it.
fn fix(rule: &str) -> (&'static str, &'static [&'static str]) {
    match rule {
        "task_blocked_cannot_transition" => (
            "every task it depends on is done",
            &[who::ASSIGNEE, who::LEAD, who::PERSON],
        ),
        "block_status_changes_with_pending_approval" => ("a decision of the pending approval", &[who::PERSON]),
        "require_approval_for_done" => ("a granted approval that is linked to the task", &[who::PERSON]),
        "require_review_before_done" | "lead_status_gate" => ("the task in review", &[who::ASSIGNEE, who::PERSON]),
        "comment_required_for_review" => (
            "a comment of whoever works on the task, since the work began",
            &[who::ASSIGNEE, who::CALLER],
        ),
        "only_lead_can_change_status" => (
            "the lead's or a person's change of the status",
            &[who::LEAD, who::PERSON],
        ),
        "task_assignee_mismatch" => ("the assignment of the task to the caller", &[who::LEAD, who::PERSON]),
        "task_update_field_forbidden" | "lead_field_gate" => {
            ("a request without those fields", &[who::CALLER, who::PERSON])
        }
        "lead_comment_gate" => ("a comment of its own", &[who::CALLER]),
        "lead_status_target_gate" => ("status done or inbox", &[who::CALLER]),
        "lead_self_assignment" => ("a worker to assign", &[who::CALLER, who::PERSON]),
        "assignee_unknown" | "assignee_on_another_board" => ("an agent of this board", &[who::CALLER]),
        "task_done_dependencies" => ("the task out of done", &[who::LEAD, who::PERSON]),
        "board_write_access" => ("the right to write the board", &["organization_admin"]),
        _ => ("what the message says", &[who::CALLER]),
    }
}

/// The contract has objects where there are further keys, and texts where there are none. Rule, what is missing and who can bring it are typed
/// details in any case, and part of the objects.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let mut error = Self::new(refusal.kind, refusal.message);
        let is_object = !refusal.extra.is_empty();
        for (key, value) in refusal.extra {
            error = error.with(key, value);
        }
        for (key, text) in [
            ("rule", refusal.rule),
            ("missing", refusal.missing),
            ("remedy", refusal.remedy),
        ] {
            error = error.beside(key, text);
            if is_object {
                error = error.with(key, text);
            }
        }
        if is_object {
            error = error.with("who", refusal.who.to_vec());
        }
        error.beside("who", refusal.who.join(","))
    }
}

/// Fields a worker may name.
const WORKER_FIELDS: [&str; 3] = ["status", "comment", "custom_field_values"];
/// Fields a lead may name, in the order the message lists them.
const LEAD_FIELDS: [&str; 5] = [
    "assigned_agent_id",
    "custom_field_values",
    "depends_on_task_ids",
    "status",
    "tag_ids",
];

/// Whether the caller may ask this of the task at all; needs no facts.
pub fn admit(actor: Actor, gates: Gates, task: &State, asked: &Asked) -> Result<(), Refusal> {
    match actor {
        Actor::User => {}
        Actor::Worker(agent) => {
            if asked.status.is_some() && task.assignee.is_some_and(|assignee| assignee != agent) {
                return Err(Refusal::denied(
                    "task_assignee_mismatch",
                    "Agents can only change status on tasks assigned to them.",
                    "Comment on the task instead, or ask the board lead to assign it to you.",
                ));
            }
            if asked.fields.iter().any(|field| !WORKER_FIELDS.contains(field)) {
                return Err(Refusal::denied(
                    "task_update_field_forbidden",
                    "Agents may only update status, comment, and custom field values.",
                    "Leave the other fields out; the board lead or a person can change them.",
                ));
            }
            if asked.status.is_some() && gates.only_lead_can_change_status {
                return Err(Refusal::new(
                    "only_lead_can_change_status",
                    Kind::Denied,
                    "Only board leads can change task status.",
                    "Comment with @lead and ask for the status change; a person can change it too, or switch the board rule off.",
                ));
            }
        }
        Actor::Lead(_) => {
            if asked.comment {
                return Err(Refusal::new(
                    "lead_comment_gate",
                    Kind::Denied,
                    "Lead comment gate failed: board leads cannot include `comment` in task PATCH. Use the task comments endpoint instead.",
                    "Send the comment to the task comments endpoint, then the change without it.",
                ));
            }
            // `comment` itself, when blank, is as if it were absent.
            let mut unsupported: Vec<&str> = asked
                .fields
                .iter()
                .copied()
                .filter(|field| !LEAD_FIELDS.contains(field) && *field != "comment")
                .collect();
            if !unsupported.is_empty() {
                unsupported.sort_unstable();
                return Err(Refusal::new(
                    "lead_field_gate",
                    Kind::Denied,
                    format!(
                        "Lead field gate failed: unsupported fields for board leads: {}. Allowed fields: {}.",
                        unsupported.join(", "),
                        LEAD_FIELDS.join(", ")
                    ),
                    "Leave the unsupported fields out; a person can change them.",
                ));
            }
        }
    }
    if asked.dependencies_change && task.status == Status::Done {
        return Err(Refusal::new(
            "task_done_dependencies",
            Kind::Precondition,
            "Cannot change task dependencies after a task is done.",
            "Move the task out of done first, then change its dependencies.",
        ));
    }
    Ok(())
}

/// The state that results when an admitted request is carried out.
pub fn decide(actor: Actor, gates: Gates, task: &State, asked: &Asked, facts: &Facts) -> Result<State, Stop> {
    let mut next = match actor {
        Actor::User => by_user(actor, task, asked, facts)?,
        Actor::Worker(agent) => by_worker(agent, task, asked, facts)?,
        Actor::Lead(lead) => by_lead(lead, task, asked, facts)?,
    };
    board_gates(gates, task, next.status, facts)?;
    if !matches!(actor, Actor::Lead(_)) {
        comment_gate(gates, task, next.status, asked, facts)?;
    }
    enter_review(actor, task, &mut next, facts)?;
    Ok(next)
}

/// The caller may read the board, but not write it.
pub fn no_write_access() -> Refusal {
    Refusal::new(
        "board_write_access",
        Kind::Denied,
        "Board access denied",
        "An owner or admin of the organization can grant write access to the board.",
    )
}

/// Everything that stands against a request, in the order the real thing would meet it; empty when it would be carried out. After a refusal the
/// obstacle is thought away and the same rules are asked again, until they agree, or refuse what nobody can clear for this caller.
pub fn obstacles(actor: Actor, gates: Gates, task: &State, asked: &Asked, facts: &Facts) -> Result<Vec<Refusal>, Fact> {
    let (mut gates, mut task, mut facts) = (gates, *task, facts.clone());
    let mut found = Vec::new();
    loop {
        let outcome = admit(actor, gates, &task, asked)
            .map_err(Stop::from)
            .and_then(|()| decide(actor, gates, &task, asked, &facts));
        let refusal = match outcome {
            Ok(_) => return Ok(found),
            Err(Stop::Needs(fact)) => return Err(fact),
            Err(Stop::Refused(refusal)) => refusal,
        };
        let rule = refusal.rule;
        found.push(refusal);
        match (rule, actor) {
            ("task_blocked_cannot_transition", _) => facts.blocked_by.clear(),
            ("block_status_changes_with_pending_approval", _) => {
                gates.block_status_changes_with_pending_approval = false;
            }
            ("require_review_before_done", _) => gates.require_review_before_done = false,
            ("require_approval_for_done", _) => gates.require_approval_for_done = false,
            ("comment_required_for_review", _) => gates.comment_required_for_review = false,
            ("only_lead_can_change_status", _) => gates.only_lead_can_change_status = false,
            ("task_assignee_mismatch", Actor::Worker(agent)) => task.assignee = Some(agent),
            _ => return Ok(found),
        }
    }
}

/// The state in which a task begins. The gates hold as if it were moved from the inbox.
pub fn begin(actor: Actor, gates: Gates, status: Status, assignee: Option<Uuid>, facts: &Facts) -> Result<State, Stop> {
    let asked = Asked {
        status: Some(status),
        assignee: assignee.map(Some),
        ..Asked::default()
    };
    // Nothing can be linked to, or said about, what does not exist yet.
    let facts = Facts {
        approvals: Some(Approvals::default()),
        worker_commented: false,
        ..facts.clone()
    };
    let mut next = by_user(actor, &State::NEW, &asked, &facts)?;
    board_gates(gates, &State::NEW, next.status, &facts)?;
    comment_gate(gates, &State::NEW, next.status, &asked, &facts)?;
    enter_review(actor, &State::NEW, &mut next, &facts)?;
    Ok(next)
}

fn by_user(actor: Actor, task: &State, asked: &Asked, facts: &Facts) -> Result<State, Stop> {
    let moves = asked.status.is_some_and(|to| to != task.status && to != Status::Inbox);
    let assigns = asked
        .assignee
        .flatten()
        .is_some_and(|agent| task.assignee != Some(agent));
    if !facts.blocked_by.is_empty() && (moves || assigns) {
        return Err(Refusal::blocked(&facts.blocked_by).into());
    }
    let mut next = step(task, asked.status, facts.now);
    // Asking for the inbox takes the assignment back, also when the task is there already.
    if asked.status == Some(Status::Inbox) {
        next.assignee = None;
    }
    if let Some(assignee) = asked.assignee {
        check_assignee(actor, task, assignee, facts)?;
        next.assignee = assignee;
    }
    Ok(next)
}

fn by_worker(agent: Uuid, task: &State, asked: &Asked, facts: &Facts) -> Result<State, Stop> {
    if !facts.blocked_by.is_empty() && asked.status.is_some_and(|to| to != Status::Inbox) {
        return Err(Refusal::blocked(&facts.blocked_by).into());
    }
    let mut next = step(task, asked.status, facts.now);
    match asked.status {
        Some(Status::InProgress | Status::Done) => next.assignee = Some(agent),
        Some(Status::Inbox) => next.assignee = None,
        Some(Status::Review) | None => {}
    }
    Ok(next)
}

fn by_lead(lead: Uuid, task: &State, asked: &Asked, facts: &Facts) -> Result<State, Stop> {
    if !facts.blocked_by.is_empty() && (asked.status.is_some() || asked.assignee.is_some()) {
        return Err(Refusal::blocked(&facts.blocked_by).into());
    }
    if let Some(assignee) = asked.assignee {
        check_assignee(Actor::Lead(lead), task, assignee, facts)?;
    }
    if let Some(to) = asked.status {
        let starts = task.status == Status::Inbox && to == Status::InProgress && asked.assignee.flatten().is_some();
        if task.status != Status::Review && !starts {
            return Err(Refusal::new(
                "lead_status_gate",
                Kind::Denied,
                format!(
                    "Lead status gate failed: board leads can only change status when the current task status is `review` (current: `{}`).",
                    task.status.as_str()
                ),
                "Wait until the worker moved the task to review. To start an inbox task, send status `in_progress` together with assigned_agent_id.",
            )
            .into());
        }
        if task.status == Status::Review && !matches!(to, Status::Done | Status::Inbox) {
            return Err(Refusal::new(
                "lead_status_target_gate",
                Kind::Denied,
                format!("Lead status target gate failed: review tasks can only move to `done` or `inbox` (requested: `{}`).", to.as_str()),
                "Send status `done` to accept the work, or `inbox` to ask for changes.",
            )
            .into());
        }
    }
    let mut next = step(task, asked.status, facts.now);
    if let Some(assignee) = asked.assignee {
        next.assignee = assignee;
    }
    // Changes requested: whoever did the work does the rework.
    if task.status == Status::Review && asked.status == Some(Status::Inbox) {
        next.assignee = task.last_worker.or(asked.assignee.flatten());
    }
    Ok(next)
}

/// What a status brings with it, whoever asks.
fn step(task: &State, to: Option<Status>, now: OffsetDateTime) -> State {
    let mut next = *task;
    let Some(to) = to else { return next };
    next.status = to;
    match to {
        Status::Inbox | Status::Review => {
            if let Some(began) = next.in_progress_at.take() {
                next.previous_in_progress_at = Some(began);
            }
            if to != task.status {
                next.assignee = None;
            }
        }
        Status::InProgress => {
            if to != task.status {
                next.in_progress_at = Some(now);
            }
        }
        Status::Done => {}
    }
    next
}

fn check_assignee(actor: Actor, task: &State, assignee: Option<Uuid>, facts: &Facts) -> Result<(), Stop> {
    let Some(agent) = assignee else { return Ok(()) };
    let itself = || {
        Refusal::new(
            "lead_self_assignment",
            Kind::Denied,
            "Board leads cannot assign tasks to themselves.",
            "Assign a worker of the board; create one first if there is none.",
        )
    };
    if actor == Actor::Lead(agent) {
        return Err(itself().into());
    }
    if task.assignee == assignee {
        return Ok(());
    }
    match facts.assignee.ok_or(Stop::Needs(Fact::Assignee(agent)))? {
        Assignee::Unknown => Err(Refusal::new(
            "assignee_unknown",
            Kind::NotFound,
            "The agent to assign does not exist.",
            "List the agents of the board and use one of their ids.",
        )
        .into()),
        Assignee::Elsewhere => Err(Refusal::new(
            "assignee_on_another_board",
            Kind::Conflict,
            "The agent to assign belongs to another board.",
            "Assign an agent of this board, or the main agent of its gateway.",
        )
        .into()),
        Assignee::Lead if matches!(actor, Actor::Lead(_)) => Err(itself().into()),
        Assignee::Lead | Assignee::Member => Ok(()),
    }
}

fn board_gates(gates: Gates, task: &State, to: Status, facts: &Facts) -> Result<(), Stop> {
    if to == task.status {
        return Ok(());
    }
    let approvals = || facts.approvals.ok_or(Stop::Needs(Fact::Approvals));
    if gates.block_status_changes_with_pending_approval && approvals()?.pending {
        return Err(Refusal::gate(
            "block_status_changes_with_pending_approval",
            "Task status cannot be changed while a linked approval is pending.",
            "A person with write access to the board has to decide the pending approval first.",
        )
        .into());
    }
    if to != Status::Done {
        return Ok(());
    }
    if gates.require_review_before_done && task.status != Status::Review {
        return Err(Refusal::gate(
            "require_review_before_done",
            "Task can only be marked done from review when the board rule is enabled.",
            "Move the task to review first; the board lead or a person then moves it to done.",
        )
        .into());
    }
    if gates.require_approval_for_done && !approvals()?.approved {
        return Err(Refusal::gate(
            "require_approval_for_done",
            "Task can only be marked done when a linked approval has been approved.",
            "Create an approval linked to the task; a person with write access to the board has to approve it.",
        )
        .into());
    }
    Ok(())
}

fn comment_gate(gates: Gates, task: &State, to: Status, asked: &Asked, facts: &Facts) -> Result<(), Stop> {
    let enters = to == Status::Review && task.status != Status::Review;
    if enters && gates.comment_required_for_review && !asked.comment && !facts.worker_commented {
        return Err(Refusal::new(
            "comment_required_for_review",
            Kind::Unprocessable,
            "Comment is required.",
            "Send `comment` with the status change, or let the assignee comment on the task first.",
        )
        .into());
    }
    Ok(())
}

/// A task that enters review goes to the lead, and remembers who did the work.
fn enter_review(actor: Actor, task: &State, next: &mut State, facts: &Facts) -> Result<(), Stop> {
    if next.status != Status::Review || task.status == Status::Review {
        return Ok(());
    }
    let lead = facts.lead.ok_or(Stop::Needs(Fact::Lead))?;
    let worker = match actor {
        Actor::Worker(agent) => Some(agent),
        Actor::User | Actor::Lead(_) => task.assignee,
    };
    if worker.is_some() && worker != lead {
        next.last_worker = worker;
    }
    if lead.is_some() {
        next.assignee = lead;
    }
    Ok(())
}
