//! Single rules: fields, assignees, review and rework, beginnings, and what a refusal says.

use tonic::Status as GrpcStatus;
use tonic_types::StatusExt;

use super::*;

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

#[test]
fn obstacles_agree_with_the_decision_and_name_all_that_is_missing() {
    let world = World {
        blocked: true,
        ..World::CALM
    };
    let mut count = 0;
    for gates in 0..32 {
        for actor in [Actor::User, Actor::Worker(WORKER), Actor::Lead(LEAD)] {
            for from in Status::ALL {
                for to in Status::ALL {
                    for assignee in [None, Some(WORKER), Some(OTHER)] {
                        for world in [&World::CALM, &world] {
                            let (gates, task, asked) = (gates_of(gates), task(from, assignee), moving(to));
                            let facts = Facts {
                                lead: Some(world.lead),
                                approvals: Some(world.approvals),
                                assignee: Some(world.assignee),
                                ..world.facts()
                            };
                            let found = obstacles(actor, gates, &task, &asked, &facts).expect("all facts are known");
                            let decided = settle(actor, gates, &task, &asked, world).0;
                            assert_eq!(
                                found.first().cloned(),
                                decided.err(),
                                "{actor:?} {gates:?} {from:?} {to:?}"
                            );
                            let mut rules: Vec<&str> = found.iter().map(|refusal| refusal.rule).collect();
                            rules.dedup();
                            assert_eq!(rules.len(), found.len(), "each rule once");
                            count += found.len();
                        }
                    }
                }
            }
        }
    }
    assert!(count > 1000, "{count}");

    let strict = Gates {
        block_status_changes_with_pending_approval: true,
        ..gates_of(31)
    };
    let facts = Facts {
        lead: Some(Some(LEAD)),
        approvals: Some(Approvals {
            pending: true,
            approved: false,
        }),
        ..world.facts()
    };
    let found = obstacles(
        Actor::Worker(WORKER),
        strict,
        &task(Status::InProgress, Some(OTHER)),
        &moving(Status::Done),
        &facts,
    )
    .unwrap();
    let rules: Vec<&str> = found.iter().map(|refusal| refusal.rule).collect();
    assert_eq!(
        rules,
        [
            "task_assignee_mismatch",
            "only_lead_can_change_status",
            "task_blocked_cannot_transition",
            "block_status_changes_with_pending_approval",
            "require_review_before_done",
            "require_approval_for_done",
        ]
    );
    assert!(
        found
            .iter()
            .all(|refusal| !refusal.who.is_empty() && !refusal.missing.is_empty())
    );
}
