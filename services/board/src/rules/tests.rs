//! The transition table, every rule of it in every combination, and what must hold whatever is asked.

use time::Duration;

use super::*;

mod cases;
mod properties;

const LEAD: Uuid = Uuid::from_u128(1);
const WORKER: Uuid = Uuid::from_u128(2);
const OTHER: Uuid = Uuid::from_u128(3);
const LAST: Uuid = Uuid::from_u128(4);
const BLOCKER: Uuid = Uuid::from_u128(5);

const OPEN: Gates = Gates {
    require_approval_for_done: false,
    require_review_before_done: false,
    comment_required_for_review: false,
    block_status_changes_with_pending_approval: false,
    only_lead_can_change_status: false,
};

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
}

fn earlier() -> OffsetDateTime {
    now() - Duration::hours(1)
}

fn task(status: Status, assignee: Option<Uuid>) -> State {
    State {
        status,
        assignee,
        in_progress_at: (status == Status::InProgress).then(earlier),
        previous_in_progress_at: None,
        last_worker: Some(LAST),
    }
}

fn moving(to: Status) -> Asked {
    Asked {
        status: Some(to),
        fields: vec!["status"],
        ..Asked::default()
    }
}

fn assigning(to: Option<Uuid>) -> Asked {
    Asked {
        assignee: Some(to),
        fields: vec!["assigned_agent_id"],
        ..Asked::default()
    }
}

/// What the other services would answer.
#[derive(Clone, Debug)]
struct World {
    lead: Option<Uuid>,
    approvals: Approvals,
    assignee: Assignee,
    commented: bool,
    blocked: bool,
}

impl World {
    const CALM: Self = Self {
        lead: Some(LEAD),
        approvals: Approvals {
            pending: false,
            approved: false,
        },
        assignee: Assignee::Member,
        commented: false,
        blocked: false,
    };

    fn facts(&self) -> Facts {
        Facts {
            now: now(),
            blocked_by: if self.blocked { vec![BLOCKER] } else { Vec::new() },
            worker_commented: self.commented,
            assignee: None,
            lead: None,
            approvals: None,
        }
    }
}

/// Admits and decides, answering every fact that is asked for; also answers which were.
fn settle(
    actor: Actor,
    gates: Gates,
    task: &State,
    asked: &Asked,
    world: &World,
) -> (Result<State, Refusal>, Vec<Fact>) {
    let mut needed = Vec::new();
    if let Err(refusal) = admit(actor, gates, task, asked) {
        return (Err(refusal), needed);
    }
    let mut facts = world.facts();
    loop {
        match decide(actor, gates, task, asked, &facts) {
            Ok(next) => return (Ok(next), needed),
            Err(Stop::Refused(refusal)) => return (Err(refusal), needed),
            Err(Stop::Needs(fact)) => {
                assert!(!needed.contains(&fact), "{fact:?} is asked for twice");
                needed.push(fact);
                match fact {
                    Fact::Assignee(_) => facts.assignee = Some(world.assignee),
                    Fact::Lead => facts.lead = Some(world.lead),
                    Fact::Approvals => facts.approvals = Some(world.approvals),
                }
            }
        }
    }
}

fn rule(result: &Result<State, Refusal>) -> &'static str {
    result.as_ref().map_or_else(|refusal| refusal.rule, |_| "")
}

/// Who asks, in words and for the rules, who has the task, and what comes of it by row (from) and column (to).
type Table = (&'static str, Actor, Option<Uuid>, [[&'static str; 4]; 4]);

/// Who has the task after it moved from the row's status to the column's, or the rule that refuses it. Rows and columns are inbox,
/// in_progress, review, done; `-` is nobody.
#[test]
fn the_transition_table() {
    const GATE: &str = "lead_status_gate";
    const TARGET: &str = "lead_status_target_gate";
    const FOREIGN: &str = "task_assignee_mismatch";
    let tables: [Table; 6] = [
        (
            "a person, the task is assigned",
            Actor::User,
            Some(WORKER),
            [
                ["-", "worker", "lead", "worker"],
                ["-", "worker", "lead", "worker"],
                ["-", "worker", "worker", "worker"],
                ["-", "worker", "lead", "worker"],
            ],
        ),
        (
            "a person, the task is nobody's",
            Actor::User,
            None,
            [
                ["-", "-", "lead", "-"],
                ["-", "-", "lead", "-"],
                ["-", "-", "-", "-"],
                ["-", "-", "lead", "-"],
            ],
        ),
        (
            "the worker that has it",
            Actor::Worker(WORKER),
            Some(WORKER),
            [
                ["-", "worker", "lead", "worker"],
                ["-", "worker", "lead", "worker"],
                ["-", "worker", "worker", "worker"],
                ["-", "worker", "lead", "worker"],
            ],
        ),
        (
            "a worker, the task is nobody's",
            Actor::Worker(WORKER),
            None,
            [
                ["-", "worker", "lead", "worker"],
                ["-", "worker", "lead", "worker"],
                ["-", "worker", "-", "worker"],
                ["-", "worker", "lead", "worker"],
            ],
        ),
        (
            "a worker, another has it",
            Actor::Worker(WORKER),
            Some(OTHER),
            [[FOREIGN; 4]; 4],
        ),
        (
            "the lead",
            Actor::Lead(LEAD),
            Some(LEAD),
            [[GATE; 4], [GATE; 4], ["last", TARGET, TARGET, "lead"], [GATE; 4]],
        ),
    ];
    for (who, actor, assignee, table) in tables {
        for (from, row) in Status::ALL.into_iter().zip(table) {
            for (to, expected) in Status::ALL.into_iter().zip(row) {
                let before = task(from, assignee);
                let (result, _) = settle(actor, OPEN, &before, &moving(to), &World::CALM);
                let case = format!("{who}: {} to {}", from.as_str(), to.as_str());
                let has = match &result {
                    Err(refusal) => refusal.rule,
                    Ok(next) => match next.assignee {
                        None => "-",
                        Some(LEAD) => "lead",
                        Some(WORKER) => "worker",
                        Some(LAST) => "last",
                        Some(_) => "someone else",
                    },
                };
                assert_eq!(has, expected, "{case}");
                let Ok(next) = result else { continue };
                assert_eq!(next.status, to, "{case}");
                let began = match (from, to) {
                    (_, Status::Inbox | Status::Review) => None,
                    (Status::InProgress, _) => Some(earlier()),
                    (_, Status::InProgress) => Some(now()),
                    _ => None,
                };
                assert_eq!(next.in_progress_at, began, "{case}");
                let kept = matches!(to, Status::Inbox | Status::Review) && from == Status::InProgress;
                assert_eq!(next.previous_in_progress_at, kept.then(earlier), "{case}");
            }
        }
    }
}

/// One combination of everything the rules look at.
#[derive(Clone, Debug)]
struct Case {
    actor: Actor,
    gates: Gates,
    from: Status,
    to: Status,
    assignee: Option<Uuid>,
    comment: bool,
    world: World,
}

impl Case {
    /// Every rule with its condition, in the order in which they count.
    fn refused_by(&self) -> &'static str {
        let (lead, worker) = (
            matches!(self.actor, Actor::Lead(_)),
            matches!(self.actor, Actor::Worker(_)),
        );
        let moves = self.from != self.to;
        let finishes = moves && self.to == Status::Done;
        let rules = [
            (worker && self.assignee == Some(OTHER), "task_assignee_mismatch"),
            (
                worker && self.gates.only_lead_can_change_status,
                "only_lead_can_change_status",
            ),
            (lead && self.comment, "lead_comment_gate"),
            (
                self.world.blocked && worker && self.to != Status::Inbox,
                "task_blocked_cannot_transition",
            ),
            (self.world.blocked && lead, "task_blocked_cannot_transition"),
            (
                self.world.blocked && moves && self.to != Status::Inbox,
                "task_blocked_cannot_transition",
            ),
            (lead && self.from != Status::Review, "lead_status_gate"),
            (
                lead && !matches!(self.to, Status::Done | Status::Inbox),
                "lead_status_target_gate",
            ),
            (
                moves && self.gates.block_status_changes_with_pending_approval && self.world.approvals.pending,
                "block_status_changes_with_pending_approval",
            ),
            (
                finishes && self.gates.require_review_before_done && self.from != Status::Review,
                "require_review_before_done",
            ),
            (
                finishes && self.gates.require_approval_for_done && !self.world.approvals.approved,
                "require_approval_for_done",
            ),
            (
                moves
                    && self.to == Status::Review
                    && self.gates.comment_required_for_review
                    && !lead
                    && !self.comment
                    && !self.world.commented,
                "comment_required_for_review",
            ),
        ];
        rules.into_iter().find(|(holds, _)| *holds).map_or("", |(_, rule)| rule)
    }

    fn run(&self) -> (Result<State, Refusal>, Vec<Fact>) {
        let mut asked = moving(self.to);
        if self.comment {
            asked.comment = true;
            asked.fields.push("comment");
        }
        settle(
            self.actor,
            self.gates,
            &task(self.from, self.assignee),
            &asked,
            &self.world,
        )
    }
}

fn gates_of(bits: u32) -> Gates {
    Gates {
        require_approval_for_done: bits & 1 != 0,
        require_review_before_done: bits & 2 != 0,
        comment_required_for_review: bits & 4 != 0,
        block_status_changes_with_pending_approval: bits & 8 != 0,
        only_lead_can_change_status: bits & 16 != 0,
    }
}

/// All statuses, callers, assignees, rules of the board and facts against each other.
#[test]
fn every_rule_in_every_combination() {
    let mut refusals = std::collections::BTreeMap::<&str, u32>::new();
    let flags = [false, true];
    for actor in [Actor::User, Actor::Worker(WORKER), Actor::Lead(LEAD)] {
        for (from, to) in Status::ALL
            .into_iter()
            .flat_map(|from| Status::ALL.map(|to| (from, to)))
        {
            for assignee in [None, Some(WORKER), Some(OTHER), Some(LEAD)] {
                for bits in 0..32 {
                    for facts in 0..16 {
                        for comment in flags {
                            let world = World {
                                approvals: Approvals {
                                    pending: facts & 1 != 0,
                                    approved: facts & 2 != 0,
                                },
                                commented: facts & 4 != 0,
                                blocked: facts & 8 != 0,
                                ..World::CALM
                            };
                            let case = Case {
                                actor,
                                gates: gates_of(bits),
                                from,
                                to,
                                assignee,
                                comment,
                                world,
                            };
                            // A task the lead has is another's for the worker.
                            let expected = match (case.actor, case.assignee) {
                                (Actor::Worker(_), Some(LEAD)) => "task_assignee_mismatch",
                                _ => case.refused_by(),
                            };
                            let (result, needed) = case.run();
                            assert_eq!(rule(&result), expected, "{case:?}");
                            let gates = case.gates;
                            if needed.contains(&Fact::Approvals) {
                                assert!(
                                    gates.block_status_changes_with_pending_approval || gates.require_approval_for_done,
                                    "{case:?}"
                                );
                            }
                            *refusals.entry(expected).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(
        refusals.len(),
        11,
        "every rule refused something, and something was allowed: {refusals:?}"
    );
}
