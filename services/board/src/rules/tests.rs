//! The transition table, every rule of it in every combination, and what must hold whatever is asked.

use proptest::prelude::*;
use time::Duration;
use tonic::Status as GrpcStatus;
use tonic_types::StatusExt;

use super::*;

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

#[test]
fn without_moving_nothing_but_the_named_fields_changes_and_no_one_is_asked() {
    let asked = Asked {
        fields: vec!["title", "description", "due_at"],
        ..Asked::default()
    };
    let blocked = World {
        blocked: true,
        ..World::CALM
    };
    for from in Status::ALL {
        let before = task(from, Some(WORKER));
        let (result, needed) = settle(Actor::User, gates_of(31), &before, &asked, &blocked);
        assert_eq!((result.unwrap(), needed), (before, vec![]), "{}", from.as_str());
    }
}

#[test]
fn workers_change_status_comment_and_custom_fields_only() {
    let before = task(Status::InProgress, Some(WORKER));
    for field in [
        "title",
        "description",
        "priority",
        "due_at",
        "assigned_agent_id",
        "depends_on_task_ids",
        "tag_ids",
    ] {
        let asked = Asked {
            fields: vec!["status", field],
            status: Some(Status::Review),
            ..Asked::default()
        };
        assert_eq!(
            rule(&settle(Actor::Worker(WORKER), OPEN, &before, &asked, &World::CALM).0),
            "task_update_field_forbidden",
            "{field}"
        );
    }
    let foreign = task(Status::InProgress, Some(OTHER));
    let said = Asked {
        comment: true,
        fields: vec!["comment", "custom_field_values"],
        ..Asked::default()
    };
    assert_eq!(
        settle(Actor::Worker(WORKER), gates_of(31), &foreign, &said, &World::CALM).0,
        Ok(foreign)
    );
}

#[test]
fn leads_change_what_the_message_lists() {
    let before = task(Status::Inbox, None);
    let asked = Asked {
        fields: vec!["title", "assigned_agent_id", "due_at"],
        ..assigning(Some(WORKER))
    };
    let refusal = settle(Actor::Lead(LEAD), OPEN, &before, &asked, &World::CALM)
        .0
        .unwrap_err();
    assert_eq!(
        refusal.message,
        "Lead field gate failed: unsupported fields for board leads: due_at, title. Allowed fields: assigned_agent_id, \
         custom_field_values, depends_on_task_ids, status, tag_ids."
    );
    let links = Asked {
        dependencies_change: true,
        fields: vec!["depends_on_task_ids", "tag_ids"],
        ..Asked::default()
    };
    let blocked = World {
        blocked: true,
        ..World::CALM
    };
    assert!(
        settle(Actor::Lead(LEAD), OPEN, &before, &links, &blocked).0.is_ok(),
        "a blocked task keeps editable links"
    );
}

#[test]
fn dependencies_of_finished_tasks_stay() {
    let asked = Asked {
        dependencies_change: true,
        fields: vec!["depends_on_task_ids"],
        ..Asked::default()
    };
    for actor in [Actor::User, Actor::Lead(LEAD)] {
        let refused = settle(actor, OPEN, &task(Status::Done, None), &asked, &World::CALM).0;
        assert_eq!(rule(&refused), "task_done_dependencies", "{actor:?}");
        let same = Asked {
            dependencies_change: false,
            ..asked.clone()
        };
        assert!(
            settle(actor, OPEN, &task(Status::Done, None), &same, &World::CALM)
                .0
                .is_ok(),
            "{actor:?}"
        );
    }
}

#[test]
fn who_may_be_assigned() {
    let before = task(Status::Inbox, None);
    for (actor, found, expected) in [
        (Actor::User, Assignee::Unknown, "assignee_unknown"),
        (Actor::User, Assignee::Elsewhere, "assignee_on_another_board"),
        (Actor::User, Assignee::Lead, ""),
        (Actor::User, Assignee::Member, ""),
        (Actor::Lead(LEAD), Assignee::Unknown, "assignee_unknown"),
        (Actor::Lead(LEAD), Assignee::Elsewhere, "assignee_on_another_board"),
        (Actor::Lead(LEAD), Assignee::Lead, "lead_self_assignment"),
        (Actor::Lead(LEAD), Assignee::Member, ""),
    ] {
        let world = World {
            assignee: found,
            ..World::CALM
        };
        let (result, needed) = settle(actor, OPEN, &before, &assigning(Some(WORKER)), &world);
        assert_eq!(rule(&result), expected, "{actor:?} {found:?}");
        assert_eq!(needed, [Fact::Assignee(WORKER)]);
    }
    // Itself is refused, and the same assignee accepted, without asking anybody.
    let (itself, needed) = settle(Actor::Lead(LEAD), OPEN, &before, &assigning(Some(LEAD)), &World::CALM);
    assert_eq!((rule(&itself), needed), ("lead_self_assignment", vec![]));
    let mine = task(Status::InProgress, Some(WORKER));
    assert_eq!(
        settle(Actor::User, OPEN, &mine, &assigning(Some(WORKER)), &World::CALM),
        (Ok(mine), vec![])
    );
}

#[test]
fn a_blocked_task_is_not_assigned_but_can_be_let_go() {
    let world = World {
        blocked: true,
        ..World::CALM
    };
    let before = task(Status::InProgress, Some(OTHER));
    assert_eq!(
        rule(&settle(Actor::User, OPEN, &before, &assigning(Some(WORKER)), &world).0),
        "task_blocked_cannot_transition"
    );
    assert_eq!(
        settle(Actor::User, OPEN, &before, &assigning(None), &world)
            .0
            .unwrap()
            .assignee,
        None
    );
    let home = settle(Actor::User, OPEN, &before, &moving(Status::Inbox), &world)
        .0
        .unwrap();
    assert_eq!(
        (home.status, home.assignee, home.in_progress_at),
        (Status::Inbox, None, None)
    );
}

#[test]
fn an_explicit_assignee_survives_the_move() {
    let asked = Asked {
        status: Some(Status::Inbox),
        ..assigning(Some(OTHER))
    };
    let next = settle(
        Actor::User,
        OPEN,
        &task(Status::InProgress, Some(WORKER)),
        &asked,
        &World::CALM,
    )
    .0
    .unwrap();
    assert_eq!((next.status, next.assignee), (Status::Inbox, Some(OTHER)));
    let review = Asked {
        status: Some(Status::Review),
        ..assigning(Some(OTHER))
    };
    let next = settle(
        Actor::User,
        OPEN,
        &task(Status::InProgress, Some(WORKER)),
        &review,
        &World::CALM,
    )
    .0
    .unwrap();
    assert_eq!(next.assignee, Some(LEAD), "review is the lead's");
    let leaderless = World {
        lead: None,
        ..World::CALM
    };
    let next = settle(
        Actor::User,
        OPEN,
        &task(Status::InProgress, Some(WORKER)),
        &review,
        &leaderless,
    )
    .0
    .unwrap();
    assert_eq!(next.assignee, Some(OTHER));
}

#[test]
fn a_lead_assigns_and_starts_in_one_step() {
    let asked = Asked {
        status: Some(Status::InProgress),
        ..assigning(Some(WORKER))
    };
    let next = settle(
        Actor::Lead(LEAD),
        OPEN,
        &task(Status::Inbox, None),
        &asked,
        &World::CALM,
    )
    .0
    .unwrap();
    assert_eq!(
        (next.status, next.assignee, next.in_progress_at),
        (Status::InProgress, Some(WORKER), Some(now()))
    );
    let unassigning = Asked {
        status: Some(Status::InProgress),
        ..assigning(None)
    };
    assert_eq!(
        rule(
            &settle(
                Actor::Lead(LEAD),
                OPEN,
                &task(Status::Inbox, None),
                &unassigning,
                &World::CALM
            )
            .0
        ),
        "lead_status_gate"
    );
}

#[test]
fn review_and_back_returns_the_task_to_its_worker() {
    let working = State {
        last_worker: None,
        ..task(Status::InProgress, Some(WORKER))
    };
    let review = settle(
        Actor::Worker(WORKER),
        OPEN,
        &working,
        &moving(Status::Review),
        &World::CALM,
    )
    .0
    .unwrap();
    assert_eq!((review.assignee, review.last_worker), (Some(LEAD), Some(WORKER)));
    let rework = settle(Actor::Lead(LEAD), OPEN, &review, &moving(Status::Inbox), &World::CALM)
        .0
        .unwrap();
    assert_eq!((rework.status, rework.assignee), (Status::Inbox, Some(WORKER)));

    // A person brings it to review: the assignee counts as the worker, the lead itself never does.
    let by_person = settle(Actor::User, OPEN, &working, &moving(Status::Review), &World::CALM)
        .0
        .unwrap();
    assert_eq!(by_person.last_worker, Some(WORKER));
    let leads = State {
        assignee: Some(LEAD),
        ..working
    };
    let by_person = settle(Actor::User, OPEN, &leads, &moving(Status::Review), &World::CALM)
        .0
        .unwrap();
    assert_eq!((by_person.assignee, by_person.last_worker), (Some(LEAD), None));

    // Nobody is known to have worked on it: whom the lead names gets it.
    let unknown = State {
        last_worker: None,
        ..task(Status::Review, Some(LEAD))
    };
    let asked = Asked {
        status: Some(Status::Inbox),
        ..assigning(Some(OTHER))
    };
    assert_eq!(
        settle(Actor::Lead(LEAD), OPEN, &unknown, &asked, &World::CALM)
            .0
            .unwrap()
            .assignee,
        Some(OTHER)
    );
    assert_eq!(
        settle(Actor::Lead(LEAD), OPEN, &unknown, &moving(Status::Inbox), &World::CALM)
            .0
            .unwrap()
            .assignee,
        None
    );
}

/// A task begins as if it were moved from the inbox: whatever gate the board has holds.
#[test]
fn tasks_begin_where_the_gates_allow() {
    const APPROVAL: u32 = 1;
    const REVIEW: u32 = 2;
    const COMMENT: u32 = 4;
    for (status, bits, blocked, expected) in [
        (Status::Inbox, 31, false, ""),
        (Status::Inbox, 0, true, ""),
        (Status::InProgress, 31, false, ""),
        (Status::InProgress, 0, true, "task_blocked_cannot_transition"),
        (Status::Review, 0, false, ""),
        (Status::Review, COMMENT, false, "comment_required_for_review"),
        (Status::Done, 0, false, ""),
        (Status::Done, APPROVAL, false, "require_approval_for_done"),
        (Status::Done, REVIEW | APPROVAL, false, "require_review_before_done"),
        (Status::Done, 0, true, "task_blocked_cannot_transition"),
    ] {
        for actor in [Actor::User, Actor::Lead(LEAD)] {
            let facts = Facts {
                lead: Some(Some(LEAD)),
                ..World { blocked, ..World::CALM }.facts()
            };
            let found = match begin(actor, gates_of(bits), status, None, &facts) {
                Ok(next) => {
                    assert_eq!(next.status, status);
                    assert_eq!(next.in_progress_at, (status == Status::InProgress).then(now));
                    assert_eq!(next.assignee, (status == Status::Review).then_some(LEAD));
                    ""
                }
                Err(Stop::Refused(refusal)) => refusal.rule,
                Err(Stop::Needs(fact)) => panic!("{fact:?} was given"),
            };
            assert_eq!(found, expected, "{actor:?} {} {bits} {blocked}", status.as_str());
        }
    }
    let facts = World::CALM.facts();
    let asked = begin(Actor::User, OPEN, Status::Inbox, Some(WORKER), &facts);
    assert_eq!(asked, Err(Stop::Needs(Fact::Assignee(WORKER))));
    let facts = Facts {
        assignee: Some(Assignee::Member),
        ..facts
    };
    assert_eq!(
        begin(Actor::User, OPEN, Status::Inbox, Some(WORKER), &facts)
            .unwrap()
            .assignee,
        Some(WORKER)
    );
    let blocked = Facts {
        blocked_by: vec![BLOCKER],
        ..facts
    };
    let refused = begin(Actor::User, OPEN, Status::Inbox, Some(WORKER), &blocked);
    assert!(matches!(refused, Err(Stop::Refused(refusal)) if refusal.rule == "task_blocked_cannot_transition"));
}

fn detail(refusal: Refusal) -> (tonic::Code, serde_json::Value) {
    let status = GrpcStatus::from(Error::from(refusal));
    let info = status.get_error_details().error_info().unwrap().clone();
    (
        status.code(),
        serde_json::from_str(&info.metadata[chassis::error::DETAIL_KEY]).unwrap(),
    )
}

#[test]
fn refusals_name_rule_remedy_and_what_blocks() {
    let world = World {
        blocked: true,
        ..World::CALM
    };
    let blocked = settle(
        Actor::User,
        OPEN,
        &task(Status::Inbox, None),
        &moving(Status::Done),
        &world,
    )
    .0
    .unwrap_err();
    let (code, found) = detail(blocked);
    assert_eq!(code, tonic::Code::FailedPrecondition);
    assert_eq!(found["message"], "Task is blocked by incomplete dependencies.");
    assert_eq!(found["code"], "task_blocked_cannot_transition");
    assert_eq!(found["blocked_by_task_ids"], serde_json::json!([BLOCKER.to_string()]));
    assert_eq!(found["rule"], "task_blocked_cannot_transition");
    assert!(found["remedy"].as_str().unwrap().contains("blocked_by_task_ids"));

    let gated = settle(
        Actor::User,
        gates_of(1),
        &task(Status::Review, None),
        &moving(Status::Done),
        &World::CALM,
    )
    .0
    .unwrap_err();
    let (code, found) = detail(gated);
    assert_eq!(code, tonic::Code::FailedPrecondition);
    assert_eq!(
        found["message"],
        "Task can only be marked done when a linked approval has been approved."
    );
    assert_eq!(found["blocked_by_task_ids"], serde_json::json!([]));
    assert_eq!(
        (&found["rule"], found.get("code")),
        (&"require_approval_for_done".into(), None)
    );

    let foreign = settle(
        Actor::Worker(WORKER),
        OPEN,
        &task(Status::Inbox, Some(OTHER)),
        &moving(Status::Done),
        &World::CALM,
    )
    .0
    .unwrap_err();
    let (code, found) = detail(foreign);
    assert_eq!(
        (code, &found["code"]),
        (tonic::Code::PermissionDenied, &"task_assignee_mismatch".into())
    );
}

fn a_status() -> impl Strategy<Value = Status> {
    prop::sample::select(Status::ALL.to_vec())
}

fn an_agent() -> impl Strategy<Value = Option<Uuid>> {
    prop::sample::select(vec![None, Some(LEAD), Some(WORKER), Some(OTHER)])
}

prop_compose! {
    fn a_world()(lead in prop::sample::select(vec![None, Some(LEAD)]), pending: bool, approved: bool, commented: bool, blocked: bool,
        assignee in prop::sample::select(vec![Assignee::Unknown, Assignee::Elsewhere, Assignee::Lead, Assignee::Member])) -> World {
        World { lead, approvals: Approvals { pending, approved }, assignee, commented, blocked }
    }
}

prop_compose! {
    fn a_request()(status in prop::option::of(a_status()), assignee in prop::option::of(an_agent()), dependencies_change: bool, comment: bool,
        others in prop::sample::subsequence(vec!["title", "custom_field_values", "tag_ids"], 0..=3)) -> Asked {
        let mut fields = others;
        fields.extend(status.map(|_| "status"));
        fields.extend(assignee.map(|_| "assigned_agent_id"));
        fields.extend(dependencies_change.then_some("depends_on_task_ids"));
        fields.extend(comment.then_some("comment"));
        Asked { status, assignee, dependencies_change, comment, fields }
    }
}

proptest! {
    /// Whatever is asked of whatever task: an allowed change keeps every promise of the board.
    #[test]
    fn what_is_allowed_keeps_the_rules(
        actor in prop::sample::select(vec![Actor::User, Actor::Worker(WORKER), Actor::Lead(LEAD)]),
        bits in 0u32..32, from in a_status(), assignee in an_agent(), asked in a_request(), world in a_world(),
    ) {
        let (gates, before) = (gates_of(bits), task(from, assignee));
        let (result, _) = settle(actor, gates, &before, &asked, &world);
        let Ok(next) = result else { return Ok(()) };
        let moved = next.status != from;

        prop_assert_eq!(next.status, asked.status.unwrap_or(from), "the status asked for, or none");
        if world.blocked {
            prop_assert!(!moved || next.status == Status::Inbox, "a blocked task only goes home");
            prop_assert!(next.assignee.is_none() || next.assignee == before.assignee, "a blocked task gets nobody");
        }
        if moved {
            prop_assert!(!(gates.block_status_changes_with_pending_approval && world.approvals.pending));
            prop_assert!(!(gates.only_lead_can_change_status && matches!(actor, Actor::Worker(_))));
        }
        if moved && next.status == Status::Done {
            prop_assert!(!gates.require_approval_for_done || world.approvals.approved);
            prop_assert!(!gates.require_review_before_done || from == Status::Review);
        }
        if moved && next.status == Status::Review {
            prop_assert!(world.lead.is_none() || next.assignee == world.lead);
        }
        if moved && next.status == Status::InProgress {
            prop_assert_eq!(next.in_progress_at, Some(now()));
        } else {
            prop_assert!(next.in_progress_at.is_none() || next.in_progress_at == before.in_progress_at, "set on entering only");
        }
        if next.assignee != before.assignee && asked.assignee == Some(next.assignee) && next.assignee.is_some() && actor == Actor::User {
            prop_assert!(!matches!(world.assignee, Assignee::Unknown | Assignee::Elsewhere) || next.assignee == world.lead);
        }
        if actor == Actor::Lead(LEAD) && next.assignee == Some(LEAD) {
            prop_assert_eq!(before.assignee, Some(LEAD), "a lead never takes a task for itself");
        }
        if asked.status.is_none() && asked.assignee.is_none() {
            prop_assert_eq!(next, before);
        }
    }
}
