//! Approvals: asking, deciding, watching, and what becomes of them when tasks change.

use chassis::error::Kind;
use proto::{
    approval::v1::{
        Approval, ApprovalStatus, CheckTaskRequest, CheckTaskResponse, CreateApprovalRequest, UpdateApprovalRequest,
        approval_service_client::ApprovalServiceClient, gate_service_client::GateServiceClient,
    },
    identity::v1::Principal,
};
use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Options, Release};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    harness::{Harness, eventually, id},
    org::{agent, calling, join, refusal},
    path,
};

/// A board with an agent, and its tasks.
struct Desk {
    mc: Harness,
    board: String,
    agent: Principal,
    _gateway: FakeGateway,
}

impl Desk {
    async fn start() -> Self {
        let fake = FakeGateway::start(Options::release(Release::Latest)).await;
        let mc = Harness::start().await;
        let person = mc.person();
        let gateway = person
            .post(
                "/api/v1/gateways",
                json!({"name": "G", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"}),
            )
            .await
            .expect(200);
        let board = person
            .post("/api/v1/boards", path::board("Alpha", &id(&gateway)))
            .await
            .expect(200);
        let organization = board["organization_id"].as_str().expect("an organization").to_owned();
        let board = id(&board);
        let agent = agent(&Uuid::now_v7().to_string(), &organization, &board);
        Self {
            mc,
            board,
            agent,
            _gateway: fake,
        }
    }

    fn url(&self, rest: &str) -> String {
        format!("/api/v1/boards/{}/{rest}", self.board)
    }

    async fn task(&self, title: &str) -> String {
        id(&self
            .mc
            .person()
            .post(&self.url("tasks"), json!({"title": title}))
            .await
            .expect(200))
    }

    fn request(&self, tasks: &[&str]) -> CreateApprovalRequest {
        CreateApprovalRequest {
            board_id: self.board.clone(),
            action_type: "mark_done".into(),
            task_ids: tasks.iter().map(|task| (*task).to_owned()).collect(),
            confidence: 90.0,
            lead_reasoning: Some(" It is complete. ".into()),
            ..CreateApprovalRequest::default()
        }
    }

    /// The agent asks.
    async fn ask(&self, request: CreateApprovalRequest) -> Result<Approval, Status> {
        ApprovalServiceClient::new(calling(&self.mc, "approval", &self.agent))
            .create_approval(request)
            .await
            .map(Response::into_inner)
    }

    /// Somebody else than the local person decides.
    async fn decide(&self, who: &Principal, approval: &str, status: ApprovalStatus) -> Result<Approval, Status> {
        let request = UpdateApprovalRequest {
            board_id: self.board.clone(),
            approval_id: approval.into(),
            status: status.into(),
            reason: None,
            ..UpdateApprovalRequest::default()
        };
        ApprovalServiceClient::new(calling(&self.mc, "approval", who))
            .update_approval(request)
            .await
            .map(Response::into_inner)
    }

    async fn gate(&self, task: &str) -> CheckTaskResponse {
        let peer = self.mc.constellation.context.peers.as_service("approval", None, None);
        let request = CheckTaskRequest {
            board_id: self.board.clone(),
            task_id: task.into(),
        };
        GateServiceClient::new(peer)
            .check_task(request)
            .await
            .expect("the gate answers")
            .into_inner()
    }

    async fn list(&self, query: &str) -> Value {
        self.mc
            .person()
            .get(&self.url(&format!("approvals{query}")))
            .await
            .expect(200)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_asks_and_a_person_decides_once() {
    let desk = Desk::start().await;
    let person = desk.mc.person();
    let me = person.get("/api/v1/users/me").await.expect(200);
    let task = desk.task("Report").await;

    let silent = CreateApprovalRequest {
        lead_reasoning: None,
        ..desk.request(&[&task])
    };
    assert_eq!(
        refusal(desk.ask(silent).await),
        (Kind::Unprocessable, "lead reasoning is required".into())
    );
    let decided = CreateApprovalRequest {
        status: ApprovalStatus::Approved.into(),
        ..desk.request(&[&task])
    };
    assert_eq!(
        refusal(desk.ask(decided).await).0,
        Kind::Unprocessable,
        "nobody asks and decides in one"
    );
    assert_eq!(
        desk.gate(&task).await,
        CheckTaskResponse {
            has_pending: false,
            has_approved: false
        }
    );

    let other = Some(Uuid::now_v7().to_string());
    let asked = desk
        .ask(CreateApprovalRequest {
            agent_id: other,
            ..desk.request(&[&task])
        })
        .await
        .expect("it is asked");
    assert_eq!(asked.agent_id.as_ref(), Some(&desk.agent.id), "an agent asks as itself");
    assert_eq!(
        desk.gate(&task).await,
        CheckTaskResponse {
            has_pending: true,
            has_approved: false
        }
    );
    let shown = desk.list("?status=pending").await["items"][0].clone();
    assert_eq!(
        (&shown["payload"], &shown["task_id"], &shown["task_titles"]),
        (&json!({"reason": "It is complete."}), &json!(task), &json!(["Report"]))
    );
    assert_eq!(
        (&shown["status"], &shown["resolved_at"], &shown["confidence"]),
        (&json!("pending"), &Value::Null, &json!(90.0))
    );
    assert!(shown.get("counts").is_none(), "counts are for events: {shown:#}");

    let url = desk.url(&format!("approvals/{}", asked.id));
    assert_eq!(
        person.patch(&url, json!({})).await.expect(200),
        shown,
        "an empty change changes nothing"
    );
    person.patch(&url, json!({"reason": "why"})).await.detail(422);
    person.patch(&url, json!({"status": "maybe"})).await.detail(422);
    person.patch(&url, json!({"status": null})).await.detail(422);
    person
        .patch(
            &desk.url(&format!("approvals/{}", Uuid::now_v7())),
            json!({"status": "approved"}),
        )
        .await
        .detail(404);

    let approved = person
        .patch(&url, json!({"status": "approved", "reason": " Good work. "}))
        .await
        .expect(200);
    assert_eq!(
        (
            &approved["status"],
            &approved["resolved_by_user_id"],
            &approved["decision_reason"]
        ),
        (&json!("approved"), &me["id"], &json!("Good work."))
    );
    assert!(approved["resolved_at"].is_string());
    assert_eq!(
        desk.gate(&task).await,
        CheckTaskResponse {
            has_pending: false,
            has_approved: true
        }
    );

    assert_eq!(
        person.patch(&url, json!({"status": "approved"})).await.expect(200),
        approved,
        "the same decision is no second one"
    );
    for status in ["rejected", "pending"] {
        let detail = person.patch(&url, json!({"status": status})).await.detail(409);
        assert!(
            detail["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("Local User approved this approval at 20")),
            "{detail:#}"
        );
        assert_eq!(
            (&detail["status"], &detail["resolved_by_user_id"]),
            (&json!("approved"), &me["id"])
        );
    }
    let bob = join(&desk.mc, "bob", json!({"all_boards_write": true})).await;
    assert_eq!(
        refusal(desk.decide(&bob, &asked.id, ApprovalStatus::Approved).await).0,
        Kind::Conflict
    );

    assert_eq!(desk.list("?status=pending").await["total"], 0);
    assert_eq!(desk.list("?status=approved&limit=1").await["items"][0], approved);
    assert_eq!(
        desk.list("?offset=5").await,
        json!({"items": [], "total": 1, "limit": 200, "offset": 5})
    );
    person.get(&desk.url("approvals?status=maybe")).await.detail(422);
    desk.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_does_not_decide_and_who_only_reads_neither() {
    let desk = Desk::start().await;
    let person = desk.mc.person();
    let body = json!({"action_type": "send_email", "confidence": 50, "payload": {"decision": {"reason": "The customer waits."}}});
    let own = person.post(&desk.url("approvals"), body.clone()).await.expect(200);
    assert_eq!(
        (&own["agent_id"], &own["task_id"], &own["task_ids"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
    let url = desk.url(&format!("approvals/{}", id(&own)));
    for status in ["approved", "rejected"] {
        let detail = person.patch(&url, json!({"status": status})).await.detail(403);
        assert!(
            detail
                .as_str()
                .is_some_and(|text| text.starts_with("Whoever asked for an approval cannot decide it")),
            "{detail}"
        );
    }
    let mut of_stranger = body;
    of_stranger["agent_id"] = Uuid::now_v7().to_string().into();
    person.post(&desk.url("approvals"), of_stranger).await.detail(404);

    let reader = join(&desk.mc, "rita", json!({"all_boards_read": true})).await;
    assert_eq!(
        refusal(desk.decide(&reader, &id(&own), ApprovalStatus::Approved).await),
        (Kind::Denied, "Board access denied".into())
    );
    assert_eq!(
        refusal(desk.decide(&desk.agent, &id(&own), ApprovalStatus::Approved).await).0,
        Kind::Unauthenticated,
        "agents never decide"
    );
    let elsewhere = agent(&desk.agent.id, &desk.agent.organization_id, &Uuid::now_v7().to_string());
    let foreign = ApprovalServiceClient::new(calling(&desk.mc, "approval", &elsewhere))
        .create_approval(desk.request(&[]))
        .await;
    assert_eq!(refusal(foreign).0, Kind::Denied, "agents ask on their own board");

    let writer = join(&desk.mc, "will", json!({"all_boards_write": true})).await;
    let rejected = desk
        .decide(&writer, &id(&own), ApprovalStatus::Rejected)
        .await
        .expect("another member decides");
    assert_eq!(rejected.resolved_by_user_id.as_ref(), Some(&writer.id));
    desk.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_has_one_pending_approval_and_exists() {
    let desk = Desk::start().await;
    let (first, second) = (desk.task("First").await, desk.task("Second").await);

    let unknown = Uuid::now_v7().to_string();
    let body = json!({"action_type": "x", "confidence": 1, "lead_reasoning": "y", "task_ids": [first, unknown]});
    let detail = desk
        .mc
        .person()
        .post(&desk.url("approvals"), body.clone())
        .await
        .detail(404);
    assert_eq!(detail["missing_task_ids"], json!([unknown]), "{detail:#}");
    let many: Vec<String> = (0..201).map(|_| Uuid::now_v7().to_string()).collect();
    for (field, value) in [("task_ids", json!(many)), ("payload", json!({"taskIds": many}))] {
        let mut too_many = body.clone();
        too_many[field] = value;
        let detail = desk
            .mc
            .person()
            .post(&desk.url("approvals"), too_many)
            .await
            .detail(422);
        assert_eq!(detail[0]["loc"], json!(["body", "task_ids"]), "{detail:#}");
    }
    assert_eq!(desk.list("").await["total"], 0);

    let asking = futures::future::join_all((0..6).map(|_| desk.ask(desk.request(&[&first])))).await;
    let asked: Vec<_> = asking.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(asked.len(), 1, "one of those at the same time wins");
    assert!(
        asking
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .all(|status| status.code() == tonic::Code::Aborted)
    );

    let mut both = body;
    both["task_ids"] = json!([second, first]);
    let detail = desk
        .mc
        .person()
        .post(&desk.url("approvals"), both.clone())
        .await
        .detail(409);
    assert_eq!(
        detail,
        json!({"message": "Each task can have only one pending approval.", "conflicts": [{"task_id": first, "approval_id": asked[0].id}]})
    );
    assert!(
        !desk.gate(&second).await.has_pending,
        "a refused request leaves nothing behind"
    );

    desk.mc
        .person()
        .patch(
            &desk.url(&format!("approvals/{}", asked[0].id)),
            json!({"status": "rejected"}),
        )
        .await
        .expect(200);
    let again = desk.mc.person().post(&desk.url("approvals"), both).await.expect(200);
    assert_eq!(
        (&again["task_id"], &again["task_titles"]),
        (&json!(second), &json!(["Second", "First"]))
    );
    assert_eq!(
        desk.gate(&first).await,
        CheckTaskResponse {
            has_pending: true,
            has_approved: false
        }
    );
    desk.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_changes_with_counts_and_resume() {
    let desk = Desk::start().await;
    let person = desk.mc.person();
    let task = desk.task("Report").await;
    let mut live = person.stream(&desk.url("approvals/stream")).await;
    let asked = desk.ask(desk.request(&[&task])).await.expect("it is asked");
    let created = live.next().await;
    assert_eq!(
        (created.event.as_str(), &created.data["approval"]["id"]),
        ("approval", &json!(asked.id))
    );
    assert_eq!(created.data["pending_approvals_count"], 1, "{:#}", created.data);
    assert_eq!(
        created.data["task_counts"],
        json!([{"task_id": task, "approvals_count": 1, "approvals_pending_count": 1}])
    );

    person
        .patch(
            &desk.url(&format!("approvals/{}", asked.id)),
            json!({"status": "approved"}),
        )
        .await
        .expect(200);
    let resolved = live.next().await;
    assert_eq!(
        (
            &resolved.data["approval"]["status"],
            &resolved.data["pending_approvals_count"]
        ),
        (&json!("approved"), &json!(0))
    );
    assert_eq!(resolved.data["task_counts"][0]["approvals_pending_count"], 0);

    let token = created.id.expect("a resume token");
    let headers = [
        ("authorization", format!("Bearer {}", crate::harness::TOKEN)),
        ("last-event-id", token),
    ];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let missed = desk
        .mc
        .rest(&headers)
        .stream(&desk.url("approvals/stream"))
        .await
        .next()
        .await;
    assert_eq!(
        (missed.id, missed.data),
        (resolved.id, resolved.data),
        "what was missed comes again, the same"
    );

    // The feed has sentences for both.
    let messages = eventually("logging the approval", || async {
        let feed = person
            .get(&format!("/api/v1/activity?board_id={}", desk.board))
            .await
            .expect(200);
        let messages: Vec<String> = feed["items"]
            .as_array()?
            .iter()
            .filter_map(|event| event["message"].as_str().map(str::to_owned))
            .collect();
        messages
            .contains(&"Approval mark_done approved.".to_owned())
            .then_some(messages)
    })
    .await;
    assert!(
        messages.contains(&"Approval mark_done requested.".to_owned()),
        "{messages:?}"
    );
    desk.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvals_follow_their_tasks() {
    let desk = Desk::start().await;
    let person = desk.mc.person();
    let (first, second) = (desk.task("First").await, desk.task("Second").await);
    let asked = desk.ask(desk.request(&[&first, &second])).await.expect("it is asked");
    let titles = |expected: Value| {
        let desk = &desk;
        eventually("the titles following", move || {
            let expected = expected.clone();
            async move {
                let shown = desk.list("").await["items"][0].clone();
                (shown["task_titles"] == expected).then_some(shown)
            }
        })
    };
    person
        .patch(&desk.url(&format!("tasks/{first}")), json!({"title": "Renamed"}))
        .await
        .expect(200);
    titles(json!(["Renamed", "Second"])).await;

    let mut live = person.stream(&desk.url("approvals/stream")).await;
    person.delete(&desk.url(&format!("tasks/{first}"))).await.expect(200);
    let shown = titles(json!(["Second"])).await;
    assert_eq!(
        (&shown["task_id"], &shown["task_ids"]),
        (&json!(second), &json!([second])),
        "the next task is the primary one now"
    );
    assert_eq!(live.next().await.data["approval"]["task_ids"], json!([second]));

    person.delete(&desk.url(&format!("tasks/{second}"))).await.expect(200);
    let deleted = live.next().await.data;
    assert_eq!(
        (
            &deleted["approval"],
            &deleted["deleted_approval_id"],
            &deleted["pending_approvals_count"]
        ),
        (&Value::Null, &json!(asked.id), &json!(0))
    );
    assert_eq!(desk.list("").await["total"], 0);

    // What concerns no task stays until its board goes.
    desk.ask(desk.request(&[])).await.expect("it is asked");
    assert_eq!(desk.list("").await["total"], 1);
    person
        .delete(&format!("/api/v1/boards/{}", desk.board))
        .await
        .expect(200);
    eventually("the approvals going with the board", || async {
        let answer = person.get(&desk.url("approvals")).await;
        (answer.status == 404 || answer.body["total"] == 0).then_some(())
    })
    .await;
    desk.mc.stop().await;
}
