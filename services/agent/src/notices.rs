//! Who has to be told of a change, and in which words. Pure: the consumers read, the sender sends.

use proto::{
    approval::v1::{Approval, ApprovalStatus},
    board::v1::{Task, TaskStatus},
};
use uuid::Uuid;

/// Longest part of a description or comment that a message carries.
const EXCERPT: usize = 500;

/// An agent of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The agent.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// It leads the board.
    pub is_lead: bool,
}

/// Why an agent is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A task that somebody has to sort.
    NewTask,
    /// A task without an owner again.
    BackInInbox,
    /// A task of its own.
    Assigned,
    /// A task to review.
    ReadyForReview,
    /// A task of its own that came back.
    Rework,
    /// A task of its own that somebody else started.
    Started,
    /// A comment that names it.
    Mention,
    /// A comment on its task.
    Comment,
    /// A decision.
    ApprovalResolved,
}

/// One agent that has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whom.
    pub agent: Uuid,
    /// Why.
    pub reason: Reason,
}

fn lead(roster: &[Member]) -> Option<&Member> {
    roster.iter().find(|member| member.is_lead)
}

fn assignee<'a>(task: &Task, roster: &'a [Member]) -> Option<&'a Member> {
    let id = Uuid::parse_str(task.assigned_agent_id.as_deref()?).ok()?;
    roster.iter().find(|member| member.id == id)
}

/// Who is told of a task that was created (`before` is `None`) or changed. `actor` is the agent that did it, if one did: nobody is told of
/// what it did itself.
pub fn of_task(actor: Option<Uuid>, before: Option<&Task>, after: &Task, roster: &[Member]) -> Vec<Notice> {
    let lead = lead(roster);
    let owner = assignee(after, roster);
    let same_owner = before.is_some_and(|before| before.assigned_agent_id == after.assigned_agent_id);
    let is_free = |task: &Task| task.status() == TaskStatus::Inbox && task.assigned_agent_id.is_none();
    let mut told: Vec<Notice> = Vec::new();
    let mut tell = |agent: &Member, reason: Reason| {
        if Some(agent.id) != actor && !told.iter().any(|notice| notice.agent == agent.id) {
            told.push(Notice {
                agent: agent.id,
                reason,
            });
        }
    };
    if let Some(owner) = owner
        && !same_owner
    {
        let by_lead = actor.is_some() && actor == lead.map(|lead| lead.id);
        let sent_back =
            before.is_some_and(|before| before.status() == TaskStatus::Review) && after.status() == TaskStatus::Inbox;
        let reason = match after.status() {
            TaskStatus::Review if owner.is_lead => Some(Reason::ReadyForReview),
            _ if by_lead && sent_back => Some(Reason::Rework),
            TaskStatus::Done => None,
            _ => Some(Reason::Assigned),
        };
        if let Some(reason) = reason {
            tell(owner, reason);
        }
    }
    let Some(before) = before else {
        if let (Some(lead), None) = (lead, actor) {
            tell(lead, Reason::NewTask);
        }
        return told;
    };
    if let Some(lead) = lead
        && is_free(after)
        && !is_free(before)
    {
        tell(lead, Reason::BackInInbox);
    }
    if let Some(owner) = owner
        && same_owner
        && after.status() == TaskStatus::InProgress
        && before.status() != TaskStatus::InProgress
    {
        tell(owner, Reason::Started);
    }
    told
}

/// Names that a text mentions with `@`: a letter and up to 31 letters, digits, `_` or `-`, in lower case.
pub fn mentions(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut previous = ' ';
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        // `me@example.com` is an address.
        let begins = character == '@' && !(previous.is_alphanumeric() || previous == '_');
        previous = character;
        if !begins || !rest.peek().is_some_and(|first| first.is_alphabetic()) {
            continue;
        }
        let mut name = String::new();
        while let Some(next) = rest.next_if(|next| next.is_alphanumeric() || matches!(next, '_' | '-')) {
            name.push(next);
            previous = next;
        }
        let name: String = name.chars().take(32).collect::<String>().to_lowercase();
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// Whether a mention is the agent's: its name, the first word of it, or `lead` for the board's lead.
pub fn is_called(member: &Member, mention: &str) -> bool {
    let name = member.name.trim().to_lowercase();
    let first = name.split_whitespace().next().unwrap_or_default();
    (mention == "lead" && member.is_lead) || (!name.is_empty() && (name == mention || first == mention))
}

/// Who is told of a comment: the agents it mentions; without any mention the task's owner; never its author.
pub fn of_comment(author: Option<Uuid>, text: &str, task: &Task, roster: &[Member]) -> Vec<Notice> {
    let mentions = mentions(text);
    let not_author = |member: &&Member| Some(member.id) != author;
    if mentions.is_empty() {
        return assignee(task, roster)
            .filter(not_author)
            .map(|owner| Notice {
                agent: owner.id,
                reason: Reason::Comment,
            })
            .into_iter()
            .collect();
    }
    roster
        .iter()
        .filter(|member| mentions.iter().any(|mention| is_called(member, mention)))
        .filter(not_author)
        .map(|member| Notice {
            agent: member.id,
            reason: Reason::Mention,
        })
        .collect()
}

/// Who is told of a decision: the lead, and the agent that asked.
pub fn of_approval(approval: &Approval, roster: &[Member]) -> Vec<Notice> {
    if !matches!(approval.status(), ApprovalStatus::Approved | ApprovalStatus::Rejected) {
        return Vec::new();
    }
    let asked = approval.agent_id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
    roster
        .iter()
        .filter(|member| member.is_lead || Some(member.id) == asked)
        .map(|member| Notice {
            agent: member.id,
            reason: Reason::ApprovalResolved,
        })
        .collect()
}

/// A text cut to a length in characters, with dots where something is missing.
pub fn excerpt(text: &str, most: usize) -> String {
    let text = text.trim();
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(3)).collect();
    cut.push_str("...");
    cut
}

/// The status in the words of the API.
pub fn status_word(status: TaskStatus) -> String {
    status.as_str_name().trim_start_matches("TASK_STATUS_").to_lowercase()
}

/// The message about a task. `remark` is what the lead said last, for tasks that come back.
pub fn task_text(reason: Reason, board: &str, task: &Task, remark: Option<&str>) -> String {
    let (header, action) = match reason {
        Reason::NewTask => (
            "NEW TASK ADDED",
            "Take action: sort it. Assign it to the agent that fits, or say in a comment what is missing.",
        ),
        Reason::BackInInbox => (
            "TASK BACK IN INBOX",
            "Take action: nobody works on it. Assign a new owner.",
        ),
        Reason::ReadyForReview => (
            "TASK READY FOR LEAD REVIEW",
            "Take action: review it now. Accept it, or send it back with a comment that names what has to change.",
        ),
        Reason::Rework => (
            "CHANGES REQUESTED",
            "Take action: read the comments, make the changes, and hand it over to review again.",
        ),
        Reason::Started => (
            "TASK STARTED",
            "Take action: this task of yours was set to in progress. Go on with it now.",
        ),
        _ => (
            "TASK ASSIGNED",
            "Take action: read it and its comments, set it to in progress, and begin.",
        ),
    };
    let mut lines = vec![
        header.to_owned(),
        format!("Board: {board}"),
        format!("Task: {}", one_line(&task.title)),
        format!("Task ID: {}", task.id),
        format!("Status: {}", status_word(task.status())),
    ];
    if let Some(description) = task.description.as_deref().filter(|text| !text.trim().is_empty()) {
        lines.push(format!("Description: {}", excerpt(description, EXCERPT)));
    }
    if reason == Reason::Rework {
        lines.push(String::new());
        lines.push("Requested changes:".to_owned());
        lines.push(remark.map_or_else(
            || "See the comments of the task.".to_owned(),
            |text| excerpt(text, EXCERPT),
        ));
    }
    lines.push(String::new());
    lines.push(action.to_owned());
    lines.join("\n")
}

/// The message about a comment.
pub fn comment_text(reason: Reason, board: &str, task: &Task, from: &str, comment: &str) -> String {
    let (header, sentence) = match reason {
        Reason::Mention => ("TASK MENTION", "You were mentioned in this comment."),
        _ => ("NEW TASK COMMENT", "There is a new comment on a task of yours."),
    };
    [
        header,
        &format!("Board: {board}"),
        &format!("Task: {}", one_line(&task.title)),
        &format!("Task ID: {}", task.id),
        &format!("From: {from}"),
        "",
        sentence,
        "",
        "Comment:",
        &excerpt(comment, EXCERPT),
        "",
        "Answer in the task when an answer is wanted. Do not change its status only because you were mentioned.",
    ]
    .join("\n")
}

/// The message about a decision.
pub fn approval_text(board: &str, approval: &Approval) -> String {
    let decision = decision_word(approval);
    let mut lines = vec![
        "APPROVAL RESOLVED".to_owned(),
        format!("Board: {board}"),
        format!("Approval ID: {}", approval.id),
        format!("Action: {}", one_line(&approval.action_type)),
        format!("Decision: {decision}"),
        format!("Confidence: {}", approval.confidence),
    ];
    match approval.task_ids.as_slice() {
        [] => {}
        [task] => lines.push(format!("Task ID: {task}")),
        tasks => lines.push(format!("Task IDs: {}", tasks.join(", "))),
    }
    if let Some(reason) = approval
        .decision_reason
        .as_deref()
        .filter(|text| !text.trim().is_empty())
    {
        lines.push(format!("Reason: {}", excerpt(reason, EXCERPT)));
    }
    lines.push(String::new());
    lines.push(
        if decision == "approved" {
            "Take action: carry out what was approved, and nothing more."
        } else {
            "Take action: do not carry it out. Say in the task what follows from the decision."
        }
        .to_owned(),
    );
    lines.join("\n")
}

/// The decision in the words of the API.
pub fn decision_word(approval: &Approval) -> &'static str {
    if approval.status() == ApprovalStatus::Approved {
        "approved"
    } else {
        "rejected"
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "notices_tests.rs"]
mod tests;
