//! Approvals over all boards: one list, one stream, one decision about many, and those that nobody decides.

use chassis::error::Kind;
use proto::approval::v1::{CreateApprovalRequest, approval_service_client::ApprovalServiceClient};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    board::{Agent, Office},
    harness::{TOKEN, eventually, id},
    org::{calling, join, refusal},
};

/// An agent asks on its board.
async fn ask(office: &Office, agent: &Agent, board: &str, action: &str) -> String {
    ApprovalServiceClient::new(
        office
            .mc
            .constellation
            .context
            .peers
            .on_behalf("approval", &agent.caller),
    )
    .create_approval(CreateApprovalRequest {
        board_id: board.to_owned(),
        action_type: action.to_owned(),
        confidence: 70.0,
        lead_reasoning: Some("It is time.".into()),
        ..CreateApprovalRequest::default()
    })
    .await
    .expect("it is asked")
    .into_inner()
    .id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_boards_are_one_list_and_one_stream() {
    let office = Office::open().await;
    let (mc, person) = (&office.mc, &office.person);
    let (alpha, beta) = (
        office.board("Alpha", json!({})).await,
        office.board("Beta", json!({})).await,
    );
    let (one, two) = (office.worker(&alpha, "one").await, office.worker(&beta, "two").await);
    let mut live = person.stream("/api/v1/approvals/stream").await;
    let first = live.next().await;
    assert_eq!(
        (&first.data["approval"], &first.data["pending"]),
        (&Value::Null, &json!(0))
    );

    let a = ask(&office, &one, &alpha, "a").await;
    let b = ask(&office, &two, &beta, "b").await;
    let mut seen = Vec::new();
    for pending in [1, 2] {
        let event = live.next().await;
        assert_eq!(event.data["pending"], pending, "{:#}", event.data);
        seen.push(event);
    }
    assert_eq!(
        (&seen[0].data["approval"]["id"], &seen[1].data["approval"]["id"]),
        (&json!(a), &json!(b))
    );

    let all = person.get("/api/v1/approvals?status=pending").await.expect(200);
    let names: Vec<&Value> = all["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["board_name"])
        .collect();
    assert_eq!(names, [&json!("Beta"), &json!("Alpha")], "newest first");
    assert_eq!((&all["total"], &all["pending"]), (&json!(2), &json!(2)));
    assert_eq!(all["items"][0]["requested_by_name"], "two");
    for (query, total, shown) in [
        ("", 2, 2),
        ("?limit=1&offset=1", 2, 1),
        ("?status=approved", 0, 0),
        (&format!("?board_id={alpha}"), 1, 1),
        (&format!("?board_id={alpha}&status=pending"), 1, 1),
        (&format!("?board_id={}", Uuid::now_v7()), 0, 0),
    ] {
        let found = person.get(&format!("/api/v1/approvals{query}")).await.expect(200);
        assert_eq!(
            (&found["total"], found["items"].as_array().map(Vec::len)),
            (&json!(total), Some(shown)),
            "{query}"
        );
        assert_eq!(found["pending"], 2, "{query}");
    }

    // Who may read one board only.
    let rita = join(
        mc,
        "rita",
        json!({"board_access": [{"board_id": alpha, "can_read": true, "can_write": false}]}),
    )
    .await;
    let hers = ApprovalServiceClient::new(calling(mc, "approval", &rita))
        .list_all_approvals(proto::approval::v1::ListAllApprovalsRequest::default())
        .await
        .expect("answers")
        .into_inner();
    assert_eq!(
        (hers.total, hers.pending, hers.items[0].id.as_str()),
        (1, 1, a.as_str())
    );
    let denied = ApprovalServiceClient::new(calling(mc, "approval", &rita))
        .list_all_approvals(proto::approval::v1::ListAllApprovalsRequest {
            board_id: Some(beta.clone()),
            ..Default::default()
        })
        .await;
    assert_eq!(refusal(denied).0, Kind::Denied);

    // Come back after the first event: the second follows, without another beginning.
    let (bearer, token) = (format!("Bearer {TOKEN}"), seen[0].id.clone().expect("a token"));
    let mut again = mc
        .rest(&[("authorization", &bearer), ("last-event-id", &token)])
        .stream("/api/v1/approvals/stream")
        .await;
    assert_eq!(again.next().await.data["approval"]["id"], json!(b));

    // A board that goes takes what waits there with it.
    person.delete(&format!("/api/v1/boards/{beta}")).await.expect(200);
    let gone = live.next().await;
    assert_eq!(
        (&gone.data["deleted_approval_id"], &gone.data["pending"]),
        (&json!(b), &json!(1))
    );
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_decision_settles_many_and_says_what_it_could_not() {
    let office = Office::open().await;
    let (mc, person) = (&office.mc, &office.person);
    let (alpha, beta) = (
        office.board("Alpha", json!({})).await,
        office.board("Beta", json!({})).await,
    );
    let (one, two) = (office.worker(&alpha, "one").await, office.worker(&beta, "two").await);
    let (a, b, c) = (
        ask(&office, &one, &alpha, "a").await,
        ask(&office, &two, &beta, "b").await,
        ask(&office, &two, &beta, "c").await,
    );
    person
        .patch(
            &format!("/api/v1/boards/{beta}/approvals/{c}"),
            json!({"status": "rejected"}),
        )
        .await
        .expect(200);
    let own = id(&person
        .post(
            &format!("/api/v1/boards/{alpha}/approvals"),
            json!({"action_type": "own", "confidence": 1, "lead_reasoning": "x"}),
        )
        .await
        .expect(200));
    let unknown = Uuid::now_v7().to_string();
    let decided = person
        .post(
            "/api/v1/approvals/decide",
            json!({"approval_ids": [a, b, c, own, unknown, a], "status": "approved", "reason": " Fine. "}),
        )
        .await
        .expect(200);
    let results = decided["results"].as_array().expect("results");
    assert_eq!((results.len(), &decided["decided"]), (5, &json!(2)), "{decided:#}");
    for (result, (approval, ok, problem)) in results.iter().zip([
        (&a, true, ""),
        (&b, true, ""),
        (&c, false, "Local User rejected this approval"),
        (&own, false, "Whoever asked for an approval cannot decide it"),
        (&unknown, false, "There is no such approval."),
    ]) {
        assert_eq!(
            (&result["approval_id"], &result["ok"]),
            (&json!(approval), &json!(ok)),
            "{result:#}"
        );
        assert!(
            result["problem"].as_str().unwrap_or_default().starts_with(problem),
            "{result:#}"
        );
    }
    assert_eq!(
        (
            &results[0]["approval"]["status"],
            &results[0]["approval"]["decision_reason"],
            &results[0]["approval"]["resolved_by_name"]
        ),
        (&json!("approved"), &json!("Fine."), &json!("Local User"))
    );
    eventually("leaving a trail", || async {
        let trail = person.get("/api/v1/audit?kinds=approval.resolved").await.expect(200);
        (trail["items"].as_array().map(Vec::len) == Some(3)).then_some(())
    })
    .await;

    // Who may only read decides nothing; who may not read does not learn that there is one.
    let waiting = ask(&office, &one, &alpha, "d").await;
    let mut requests = Vec::new();
    for (name, access, problem) in [
        ("rita", json!({"all_boards_read": true}), "Board access denied"),
        ("otto", json!({}), "There is no such approval."),
    ] {
        let who = join(mc, name, access).await;
        let answer = ApprovalServiceClient::new(calling(mc, "approval", &who))
            .decide_approvals(proto::approval::v1::DecideApprovalsRequest {
                approval_ids: vec![waiting.clone()],
                status: proto::approval::v1::ApprovalStatus::Approved.into(),
                reason: None,
                ..proto::approval::v1::DecideApprovalsRequest::default()
            })
            .await
            .expect("answers")
            .into_inner();
        requests.push(answer.results[0].problem.clone().unwrap_or_default());
        assert_eq!(
            (answer.decided, requests.last().map(String::as_str)),
            (0, Some(problem)),
            "{name}"
        );
    }
    for body in [
        json!({"approval_ids": [], "status": "approved"}),
        json!({"approval_ids": ["x"], "status": "approved"}),
        json!({"approval_ids": [a], "status": "pending"}),
        json!({"approval_ids": [a]}),
    ] {
        person.post("/api/v1/approvals/decide", body).await.detail(422);
    }
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_decides_in_time_is_refused() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({"approval_ttl_seconds": 1})).await;
    let worker = office.worker(&board, "one").await;
    let task = id(&person
        .post(&format!("/api/v1/boards/{board}/tasks"), json!({"title": "Report"}))
        .await
        .expect(200));
    let mut live = person.stream(&format!("/api/v1/boards/{board}/approvals/stream")).await;
    let asked = person
        .post(
            &format!("/api/v1/boards/{board}/approvals"),
            json!({"action_type": "late", "confidence": 1, "lead_reasoning": "x", "task_id": task}),
        )
        .await
        .expect(200);
    assert!(asked["expires_at"].as_str() > asked["created_at"].as_str(), "{asked:#}");
    assert_eq!(live.next().await.data["approval"]["status"], "pending");
    let ended = live.next().await.data["approval"].clone();
    assert_eq!(
        (
            &ended["status"],
            &ended["expired"],
            &ended["resolved_by_user_id"],
            &ended["decision_reason"]
        ),
        (
            &json!("rejected"),
            &json!(true),
            &Value::Null,
            &json!("Nobody decided within 1 second: refused, as the board's setting says.")
        )
    );
    let url = format!("/api/v1/boards/{board}/approvals/{}", id(&asked));
    let detail = person.patch(&url, json!({"status": "approved"})).await.detail(409);
    assert!(
        detail["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("This approval expired at 20")),
        "{detail:#}"
    );
    // The task can be asked about again; without the setting it waits for ever.
    person
        .patch(
            &format!("/api/v1/boards/{board}"),
            json!({"approval_ttl_seconds": null}),
        )
        .await
        .expect(200);
    let again = person
        .post(
            &format!("/api/v1/boards/{board}/approvals"),
            json!({"action_type": "again", "confidence": 1, "lead_reasoning": "x", "task_id": task}),
        )
        .await
        .expect(200);
    assert_eq!(again["expires_at"], Value::Null);
    ask(&office, &worker, &board, "by agent").await;
    for bad in [json!(0), json!(-5), json!(31_536_001), json!("soon")] {
        person
            .patch(&format!("/api/v1/boards/{board}"), json!({"approval_ttl_seconds": bad}))
            .await
            .detail(422);
    }
    office.mc.stop().await;
}
