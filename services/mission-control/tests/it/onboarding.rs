//! Onboarding of boards: a person and the gateway's main agent, with a gateway that hears what is said.

use chassis::Change;
use proto::{
    board::v1::{OnboardingOption, UpdateOnboardingRequest, onboarding_service_client::OnboardingServiceClient},
    identity::v1::{Principal, PrincipalKind},
};
use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Options, Release};
use tonic::Code;
use uuid::Uuid;

use crate::{
    board::Office,
    harness::{eventually, id},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interview_leads_to_a_goal_a_profile_and_a_lead() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Alpha", json!({"require_approval_for_done": true})).await;
    let url = format!("/api/v1/boards/{board}/onboarding");
    let text = person.get(&url).await.detail(404);
    assert!(text.as_str().unwrap().contains("Start one first"), "{text}");
    person
        .post(&format!("{url}/answer"), json!({"answer": "x"}))
        .await
        .expect(404);
    person
        .post(&format!("{url}/confirm"), json!({"board_type": "general"}))
        .await
        .expect(404);

    // The main agent is made when the gateway is.
    let started = eventually("starting", || async {
        let answer = person.post(&format!("{url}/start"), json!({})).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(
        (&started["status"], &started["board_id"], &started["draft_goal"]),
        (&json!("active"), &json!(board), &Value::Null)
    );
    assert_eq!(
        started["session_key"],
        format!("agent:mc-gateway-{}:main", office.gateway)
    );
    let prompt = started["messages"][0]["content"].as_str().unwrap();
    assert!(
        prompt.starts_with("BOARD ONBOARDING REQUEST\nBoard Name: Alpha\n"),
        "{prompt}"
    );
    assert!(
        prompt.contains(&format!("/api/v1/agent/boards/{board}/onboarding\n")),
        "{prompt}"
    );
    assert_eq!(started["messages"][0]["role"], "user");
    // Starting again goes on with the same session.
    let again = person.post(&format!("{url}/start"), json!({})).await.expect(200);
    assert_eq!(
        (id(&again), again["messages"].as_array().unwrap().len()),
        (id(&started), 1)
    );
    assert!(again["updated_at"].as_str() > started["updated_at"].as_str());

    // The agent: only the main one of this gateway.
    let agent = |board: &str, gateway: &str| {
        office.principal(Principal {
            kind: PrincipalKind::Agent.into(),
            id: Uuid::now_v7().to_string(),
            name: "Main".into(),
            organization_id: office.organization.clone(),
            board_id: board.to_owned(),
            gateway_id: gateway.to_owned(),
            ..Principal::default()
        })
    };
    let question = || UpdateOnboardingRequest {
        board_id: board.clone(),
        question: Some("What first?".into()),
        options: vec![OnboardingOption {
            id: "1".into(),
            label: "A release".into(),
        }],
        ..UpdateOnboardingRequest::default()
    };
    let ask = async |caller: &chassis::Caller, request: UpdateOnboardingRequest| {
        OnboardingServiceClient::new(office.door(caller))
            .update_onboarding(request)
            .await
    };
    for (caller, expected) in [
        (agent(&board, &office.gateway), Code::PermissionDenied),
        (agent("", &Uuid::now_v7().to_string()), Code::PermissionDenied),
    ] {
        assert_eq!(ask(&caller, question()).await.unwrap_err().code(), expected);
    }
    person
        .post(
            &format!("{url}/agent"),
            json!({"question": "x", "options": [{"id": "1", "label": "l"}]}),
        )
        .await
        .expect(401);
    let main = agent("", &office.gateway);
    let empty = UpdateOnboardingRequest {
        options: Vec::new(),
        ..question()
    };
    assert_eq!(ask(&main, empty).await.unwrap_err().code(), Code::InvalidArgument);
    let asked = ask(&main, question()).await.unwrap().into_inner();
    assert_eq!((asked.status.as_str(), asked.messages.len()), ("active", 2));
    assert_eq!(
        asked.messages[1].content,
        r#"{"question":"What first?","options":[{"id":"1","label":"A release"}]}"#
    );
    let answered = person
        .post(
            &format!("{url}/answer"),
            json!({"answer": " Other ", "other_text": "A book"}),
        )
        .await
        .expect(200);
    assert_eq!(answered["messages"][2]["content"], "Other: A book");
    person
        .post(&format!("{url}/answer"), json!({"answer": " "}))
        .await
        .expect(422);

    // What was said reaches the gateway, in order, and the page can see that it did.
    eventually("telling the gateway", || async {
        let read = person.get(&url).await.expect(200);
        (read["delivery"] == "sent").then_some(())
    })
    .await;

    let draft = UpdateOnboardingRequest {
        board_id: board.clone(),
        status: Some("complete".into()),
        board_type: Some("goal".into()),
        objective: Some("Write a book".into()),
        success_metrics: Some(br#"{"pages": 300}"#.to_vec()),
        user_profile: Some(proto::board::v1::OnboardingUserProfile {
            preferred_name: Some(" Sam ".into()),
            timezone: Some("Europe/Berlin".into()),
            ..Default::default()
        }),
        lead_agent: Some(proto::board::v1::OnboardingLeadAgent {
            name: Some("Ava".into()),
            autonomy_level: Some(proto::board::v1::OnboardingAutonomyLevel::Autonomous.into()),
            identity_profile: [("role".to_owned(), "Editor".to_owned())].into(),
            ..Default::default()
        }),
        ..UpdateOnboardingRequest::default()
    };
    ask(&main, draft).await.unwrap();
    let completed = person.get(&url).await.expect(200);
    assert_eq!(
        (
            &completed["status"],
            &completed["draft_goal"]["objective"],
            &completed["draft_goal"]["target_date"]
        ),
        (&json!("completed"), &json!("Write a book"), &Value::Null)
    );
    assert_eq!(completed["draft_goal"]["lead_agent"]["autonomy_level"], "autonomous");
    assert_eq!(completed["draft_goal"]["lead_agent"]["verbosity"], Value::Null);

    let goal = json!({"board_type": "goal", "objective": "Write a book"});
    person.post(&format!("{url}/confirm"), goal).await.expect(422);
    let goal = json!({"board_type": "goal", "objective": "Write a book", "success_metrics": {"pages": 300}, "target_date": "2031-01-01"});
    let confirmed = person.post(&format!("{url}/confirm"), goal.clone()).await.expect(200);
    for (key, expected) in [
        ("objective", json!("Write a book")),
        ("success_metrics", json!({"pages": 300})),
        ("goal_confirmed", json!(true)),
        ("goal_source", json!("lead_agent_onboarding")),
        ("require_approval_for_done", json!(false)),
        ("id", json!(board)),
    ] {
        assert_eq!(confirmed[key], expected, "{key}");
    }
    assert_eq!(person.get(&url).await.expect(200)["status"], "confirmed");
    let lead = eventually("making the lead", || async {
        let agents = person
            .get(&format!("/api/v1/agents?board_id={board}"))
            .await
            .expect(200);
        agents["items"].get(0).cloned()
    })
    .await;
    assert_eq!((&lead["name"], &lead["is_board_lead"]), (&json!("Ava"), &json!(true)));
    assert_eq!(
        lead["identity_profile"],
        json!({"role": "Editor", "autonomy_level": "autonomous"})
    );
    eventually("copying the profile", || async {
        let me = person.get("/api/v1/users/me").await.expect(200);
        (me["preferred_name"] == "Sam" && me["timezone"] == "Europe/Berlin").then_some(())
    })
    .await;
    let told = eventually("telling of the profile", || async {
        let log = person
            .get("/api/v1/activity?event_types=user.updated")
            .await
            .expect(200);
        log["items"].get(0).cloned()
    })
    .await;
    assert_eq!(told["message"], "Profile updated from an onboarding.", "{told:#}");

    // Confirming twice is no harm; talking after it is over is.
    person.post(&format!("{url}/confirm"), goal).await.expect(200);
    person
        .post(&format!("{url}/answer"), json!({"answer": "x"}))
        .await
        .expect(409);
    assert_eq!(ask(&main, question()).await.unwrap_err().code(), Code::Aborted);
    let next = person.post(&format!("{url}/start"), json!({})).await.expect(200);
    assert_ne!(id(&next), id(&started), "a new interview");
    let other = person
        .post(&format!("{url}/start"), json!({"restart": true}))
        .await
        .expect(200);
    assert_ne!(id(&other), id(&next), "the one before is given up");
    assert_eq!(id(&person.get(&url).await.expect(200)), id(&other));

    // Sessions end with their board.
    person.delete(&format!("/api/v1/boards/{board}")).await.expect(200);
    person.get(&url).await.expect(404);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_outcome_of_the_last_message_counts() {
    let office = Office::open().await;
    let person = &office.person;
    // It goes away once it is known: what is said waits.
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let away = person
        .post(
            "/api/v1/gateways",
            json!({"name": "Away", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"}),
        )
        .await
        .expect(200);
    fake.refuse_upgrades(Some(503));
    fake.cut();
    let board = office.board("Alpha", json!({"gateway_id": away["id"]})).await;
    let url = format!("/api/v1/boards/{board}/onboarding");
    eventually("starting", || async {
        let answer = person.post(&format!("{url}/start"), json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let answered = person
        .post(&format!("{url}/answer"), json!({"answer": "A book"}))
        .await
        .expect(200);
    assert_eq!(answered["delivery"], "queued");
    // What was asked, the last first.
    let asked = eventually("logging what was asked", || async {
        let log = person
            .get(&format!(
                "/api/v1/activity?board_id={board}&event_types=onboarding.asked"
            ))
            .await
            .expect(200);
        (log["total"] == json!(2)).then(|| [id(&log["items"][0]), id(&log["items"][1])])
    })
    .await;
    let told = async |kind: &str, operation: &str, text: &str| {
        let change = Change::new(kind, office.organization.parse().unwrap())
            .board(board.parse().unwrap())
            .operation(operation.parse().unwrap())
            .message(text);
        office.happened(change).await;
        person.get(&url).await.expect(200)
    };

    let first = told("onboarding.dispatched", &asked[1], "").await;
    assert_eq!(first["delivery"], "queued", "the answer is not sent yet");
    let last = told("onboarding.dispatch_failed", &asked[0], "The gateway is away.").await;
    assert_eq!(
        (&last["delivery"], &last["delivery_error"]),
        (&json!("failed"), &json!("The gateway is away."))
    );
    // Sent again, it is another message: what became of the one before says nothing of it.
    let again = person.post(&format!("{url}/start"), json!({})).await.expect(200);
    assert_eq!(
        (&again["delivery"], &again["delivery_error"]),
        (&json!("queued"), &Value::Null)
    );
    let late = told("onboarding.dispatched", &asked[0], "").await;
    assert_eq!(late["delivery"], "queued");
    office.mc.stop().await;
}
