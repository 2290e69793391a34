//! What must hold whatever is asked of whatever task.

use proptest::prelude::*;

use super::*;

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
