use super::*;

const LEAD: Uuid = Uuid::from_u128(1);
const ADA: Uuid = Uuid::from_u128(2);
const BOB: Uuid = Uuid::from_u128(3);

fn roster() -> Vec<Member> {
    vec![
        Member {
            id: LEAD,
            name: "Grace Lead".into(),
            is_lead: true,
        },
        Member {
            id: ADA,
            name: "Ada Coder".into(),
            is_lead: false,
        },
        Member {
            id: BOB,
            name: "bob".into(),
            is_lead: false,
        },
    ]
}

fn task(status: TaskStatus, owner: Option<Uuid>) -> Task {
    Task {
        id: "t-1".into(),
        title: "Fix  the\nlogin".into(),
        status: status.into(),
        assigned_agent_id: owner.map(|id| id.to_string()),
        ..Task::default()
    }
}

type State = (TaskStatus, Option<Uuid>);
type Told = (Uuid, Reason);
type TaskCase = (&'static str, Option<Uuid>, Option<State>, State, Vec<Told>);
type CommentCase = (&'static str, Option<Uuid>, &'static str, &'static [Told]);

#[test]
fn task_changes_are_told_to_whom_they_concern() {
    use Reason::{Assigned, BackInInbox, NewTask, ReadyForReview, Rework, Started};
    use TaskStatus::{Done, InProgress, Inbox, Review};
    let stranger = Uuid::from_u128(99);
    #[rustfmt::skip]
    let cases: Vec<TaskCase> = vec![
        ("a person creates", None, None, (Inbox, None), vec![(LEAD, NewTask)]),
        ("a person creates and assigns", None, None, (Inbox, Some(ADA)), vec![(ADA, Assigned), (LEAD, NewTask)]),
        ("a person creates for the lead", None, None, (Inbox, Some(LEAD)), vec![(LEAD, Assigned)]),
        ("the lead creates", Some(LEAD), None, (Inbox, None), vec![]),
        ("the lead creates and assigns", Some(LEAD), None, (Inbox, Some(ADA)), vec![(ADA, Assigned)]),
        ("the owner is not of the board", None, None, (Inbox, Some(stranger)), vec![(LEAD, NewTask)]),
        ("assigned", Some(LEAD), Some((Inbox, None)), (Inbox, Some(ADA)), vec![(ADA, Assigned)]),
        ("handed from one to another", None, Some((Inbox, Some(BOB))), (Inbox, Some(ADA)), vec![(ADA, Assigned)]),
        ("assigned and started", None, Some((Inbox, None)), (InProgress, Some(ADA)), vec![(ADA, Assigned)]),
        ("claimed by itself", Some(ADA), Some((Inbox, None)), (InProgress, Some(ADA)), vec![]),
        ("started by itself", Some(ADA), Some((Inbox, Some(ADA))), (InProgress, Some(ADA)), vec![]),
        ("started by a person", None, Some((Inbox, Some(ADA))), (InProgress, Some(ADA)), vec![(ADA, Started)]),
        ("going on", None, Some((InProgress, Some(ADA))), (InProgress, Some(ADA)), vec![]),
        ("handed over", Some(ADA), Some((InProgress, Some(ADA))), (Review, Some(LEAD)), vec![(LEAD, ReadyForReview)]),
        ("review by a worker", None, Some((InProgress, Some(ADA))), (Review, Some(BOB)), vec![(BOB, Assigned)]),
        ("sent back by the lead", Some(LEAD), Some((Review, Some(LEAD))), (Inbox, Some(ADA)), vec![(ADA, Rework)]),
        ("sent back by a person", None, Some((Review, Some(LEAD))), (Inbox, Some(ADA)), vec![(ADA, Assigned)]),
        ("sent back to nobody", None, Some((Review, Some(LEAD))), (Inbox, None), vec![(LEAD, BackInInbox)]),
        ("given back by its owner", Some(ADA), Some((InProgress, Some(ADA))), (Inbox, None), vec![(LEAD, BackInInbox)]),
        ("freed by the lead itself", Some(LEAD), Some((InProgress, Some(ADA))), (Inbox, None), vec![]),
        ("free as before", None, Some((Inbox, None)), (Inbox, None), vec![]),
        ("done", Some(LEAD), Some((Review, Some(LEAD))), (Done, Some(LEAD)), vec![]),
        ("done and given to somebody", None, Some((Review, Some(LEAD))), (Done, Some(ADA)), vec![]),
    ];
    for (name, actor, before, after, expected) in cases {
        let before = before.map(|(status, owner)| task(status, owner));
        let told = of_task(actor, before.as_ref(), &task(after.0, after.1), &roster());
        let told: Vec<_> = told.into_iter().map(|notice| (notice.agent, notice.reason)).collect();
        assert_eq!(told, expected, "{name}");
    }
    assert!(
        of_task(None, None, &task(Inbox, None), &[]).is_empty(),
        "a board without agents"
    );
}

#[test]
fn mentions_are_names_after_an_at_sign() {
    #[rustfmt::skip]
    let cases: [(&str, &[&str]); 12] = [
        ("hello", &[]),
        ("@Ada please", &["ada"]),
        ("(@lead) @Bob, @bob!", &["lead", "bob"]),
        ("me@example.com", &[]),
        ("@", &[]),
        ("@ ada", &[]),
        ("@1st", &[]),
        ("@a", &["a"]),
        ("@jean-luc_2.", &["jean-luc_2"]),
        ("@Zoë", &["zoë"]),
        ("@@ada", &["ada"]),
        ("end@", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(mentions(text), expected, "{text:?}");
    }
    assert_eq!(mentions(&format!("@{}", "x".repeat(50)))[0].len(), 32);
}

#[test]
fn comments_reach_the_mentioned_or_the_owner() {
    let owned = task(TaskStatus::InProgress, Some(ADA));
    let cases: [CommentCase; 8] = [
        ("no mention", None, "how is it going?", &[(ADA, Reason::Comment)]),
        ("the owner itself", Some(ADA), "half done", &[]),
        ("by full name", None, "@bob look", &[(BOB, Reason::Mention)]),
        ("by first name", None, "@ada look", &[(ADA, Reason::Mention)]),
        ("the lead by rank", Some(ADA), "@lead help", &[(LEAD, Reason::Mention)]),
        (
            "several",
            Some(LEAD),
            "@ada @bob",
            &[(ADA, Reason::Mention), (BOB, Reason::Mention)],
        ),
        ("oneself", Some(BOB), "@bob", &[]),
        ("nobody known suppresses the owner's notice", None, "@carol", &[]),
    ];
    for (name, author, text, expected) in cases {
        let told: Vec<_> = of_comment(author, text, &owned, &roster())
            .into_iter()
            .map(|n| (n.agent, n.reason))
            .collect();
        assert_eq!(told, expected, "{name}");
    }
    let nameless = [Member {
        id: BOB,
        name: " ".into(),
        is_lead: false,
    }];
    assert!(
        of_comment(None, "@lead @x", &owned, &nameless).is_empty(),
        "a blank name is never meant"
    );
}

#[test]
fn decisions_reach_the_lead_and_who_asked() {
    let approval = |status: ApprovalStatus, agent: Option<Uuid>| Approval {
        status: status.into(),
        agent_id: agent.map(|id| id.to_string()),
        ..Approval::default()
    };
    let told = |approval: &Approval| {
        of_approval(approval, &roster())
            .iter()
            .map(|notice| notice.agent)
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&approval(ApprovalStatus::Approved, Some(ADA))), [LEAD, ADA]);
    assert_eq!(told(&approval(ApprovalStatus::Rejected, Some(LEAD))), [LEAD]);
    assert_eq!(told(&approval(ApprovalStatus::Rejected, None)), [LEAD]);
    assert!(told(&approval(ApprovalStatus::Pending, Some(ADA))).is_empty());
}

#[test]
fn messages_have_the_layout_agents_parse() {
    let mut rework = task(TaskStatus::Inbox, Some(ADA));
    rework.description = Some("d".repeat(600));
    let text = task_text(Reason::Rework, "Shop", &rework, Some("Add tests."));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "CHANGES REQUESTED",
            "Board: Shop",
            "Task: Fix the login",
            "Task ID: t-1",
            "Status: inbox"
        ]
    );
    assert_eq!(lines[5].chars().count(), "Description: ".len() + 500);
    assert!(lines[5].ends_with("d..."));
    assert_eq!(lines[6..9], ["", "Requested changes:", "Add tests."]);
    assert!(task_text(Reason::Rework, "Shop", &rework, None).contains("Requested changes:\nSee the comments"));

    for (reason, header) in [
        (Reason::NewTask, "NEW TASK ADDED"),
        (Reason::BackInInbox, "TASK BACK IN INBOX"),
        (Reason::Assigned, "TASK ASSIGNED"),
        (Reason::ReadyForReview, "TASK READY FOR LEAD REVIEW"),
        (Reason::Started, "TASK STARTED"),
    ] {
        let text = task_text(reason, "Shop", &task(TaskStatus::InProgress, None), None);
        assert!(text.starts_with(&format!("{header}\nBoard: Shop\nTask: ")), "{text}");
        assert!(text.contains("\nStatus: in_progress\n\nTake action: "), "{text}");
        assert!(!text.contains("Description:"));
    }

    let text = comment_text(Reason::Mention, "Shop", &rework, "User", &"c".repeat(501));
    assert!(
        text.starts_with("TASK MENTION\nBoard: Shop\nTask: Fix the login\nTask ID: t-1\nFrom: User\n\n"),
        "{text}"
    );
    assert!(text.contains(&format!("\nComment:\n{}...\n", "c".repeat(497))));

    let mut approval = Approval {
        id: "a-1".into(),
        action_type: "deploy".into(),
        confidence: 82.5,
        status: ApprovalStatus::Rejected.into(),
        task_ids: vec!["t-1".into(), "t-2".into()],
        decision_reason: Some("Not on Friday.".into()),
        ..Approval::default()
    };
    let text = approval_text("Shop", &approval);
    assert!(text.starts_with(
        "APPROVAL RESOLVED\nBoard: Shop\nApproval ID: a-1\nAction: deploy\nDecision: rejected\nConfidence: 82.5\nTask IDs: t-1, t-2\nReason: Not on Friday.\n\n"
    ));
    approval.status = ApprovalStatus::Approved.into();
    approval.task_ids.truncate(1);
    assert!(approval_text("Shop", &approval).contains("Decision: approved\nConfidence: 82.5\nTask ID: t-1\n"));
}
