use std::sync::atomic::Ordering;

use futures::future::join_all;
use proto::event::v1::Event;
use reqwest::{Method, RequestBuilder};
use transcoder::{Access, Credential};

use crate::{
    BOARD, Port, TOKEN, answer, eventually,
    roles::{AGENT, AGENT_TOKEN},
    send,
};

async fn status(request: RequestBuilder) -> u16 {
    send(request).await.status().as_u16()
}

#[tokio::test]
async fn tokens_open_what_they_are_for() {
    let port = Port::open().await;
    let get = |path: &str| port.request(Method::GET, path);
    let tasks = format!("/api/v1/boards/{BOARD}/tasks");
    let agent_tasks = format!("/api/v1/agent/boards/{BOARD}/tasks");

    // A person's route.
    for good in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN} ")] {
        assert_eq!(status(get("/api/v1/boards").header("authorization", good)).await, 200);
    }
    for bad in [
        format!("Basic {TOKEN}"),
        format!("Bearer {TOKEN}x"),
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.".into(),
        "Bearer".into(),
    ] {
        assert_eq!(
            status(get("/api/v1/boards").header("authorization", &bad)).await,
            401,
            "{bad}"
        );
    }
    assert_eq!(
        status(get("/api/v1/boards").header("x-agent-token", AGENT_TOKEN)).await,
        401,
        "an agent token is none of a person"
    );
    assert_eq!(
        status(
            get("/api/v1/boards")
                .bearer_auth(TOKEN)
                .header("x-agent-token", "wrong")
        )
        .await,
        200,
        "and is not looked at"
    );

    // An agent's route.
    assert_eq!(
        status(get(&agent_tasks).header("x-agent-token", AGENT_TOKEN)).await,
        200
    );
    assert_eq!(status(get(&agent_tasks).bearer_auth(AGENT_TOKEN)).await, 200);
    assert_eq!(
        status(get(&agent_tasks).bearer_auth(TOKEN)).await,
        401,
        "a person's token is none of an agent"
    );

    // A route of both.
    assert_eq!(status(get(&tasks).bearer_auth(TOKEN)).await, 200);
    assert_eq!(status(get(&tasks).bearer_auth(AGENT_TOKEN)).await, 200);
    assert_eq!(
        status(get(&tasks).bearer_auth(TOKEN).header("x-agent-token", "wrong")).await,
        401,
        "the agent header wins"
    );
    assert_eq!(status(get(&tasks)).await, 401);
    port.close().await;
}

#[tokio::test]
async fn a_principal_from_outside_counts_for_nothing() {
    let port = Port::open().await;
    let forged = port.context.signer.service("evil", None);
    assert_eq!(
        status(
            port.request(Method::GET, "/api/v1/boards")
                .header("mc-principal-bin", forged.value)
        )
        .await,
        401
    );
    port.close().await;
}

#[tokio::test]
async fn many_calls_ask_once_who_it_is() {
    let port = Port::open().await;
    let calls = join_all((0..40).map(|_| answer(port.get("/api/v1/boards")))).await;
    assert!(calls.iter().all(|(status, _)| *status == 200));
    assert_eq!(port.script.resolved.load(Ordering::SeqCst), 1);

    // Somebody who changes what the principal says sees it with the next call.
    let (changed, body) = answer(
        port.request(Method::PATCH, "/api/v1/organizations/me/active")
            .bearer_auth(TOKEN)
            .body(format!(r#"{{"organization_id":"{BOARD}"}}"#)),
    )
    .await;
    assert_eq!(changed, 200, "{body}");
    answer(port.get("/api/v1/boards")).await;
    assert_eq!(port.script.resolved.load(Ordering::SeqCst), 2);
    port.close().await;
}

#[tokio::test]
async fn a_rotated_token_is_dead_when_the_event_is_there() {
    let port = Port::open().await;
    let path = format!("/api/v1/agent/boards/{BOARD}/tasks");
    let call = || port.request(Method::GET, &path).header("x-agent-token", AGENT_TOKEN);
    assert_eq!(status(call()).await, 200);
    port.script.rotated.store(true, Ordering::SeqCst);
    assert_eq!(status(call()).await, 200, "remembered for a moment");
    let unrelated = Event {
        r#type: "agent.heartbeat".into(),
        agent_id: AGENT.into(),
        ..Event::default()
    };
    let rotated = Event {
        r#type: "agent.token_rotated".into(),
        agent_id: AGENT.into(),
        ..Event::default()
    };
    port.context
        .bus
        .publish(&[unrelated, rotated])
        .await
        .expect("published");
    let started = tokio::time::Instant::now();
    eventually("the token is refused", async || status(call()).await == 401).await;
    assert!(
        started.elapsed() < std::time::Duration::from_secs(3),
        "by the event, not by age"
    );
    port.close().await;
}

#[tokio::test]
async fn guessing_is_limited_and_neighbours_are_not() {
    let port = Port::open().await;
    let path = format!("/api/v1/agent/boards/{BOARD}/tasks");
    let with = |token: &str| port.request(Method::GET, &path).header("x-agent-token", token);
    for attempt in 0..20 {
        assert_eq!(status(with(&format!("guess.{attempt}"))).await, 401);
    }
    let refused = send(with("guess.more")).await;
    assert_eq!(refused.status(), 429);
    let seconds: u32 = refused.headers()["retry-after"]
        .to_str()
        .expect("text")
        .parse()
        .expect("seconds");
    // The rest of this minute, and as much of the next one as one call takes.
    assert!((1..=63).contains(&seconds), "{seconds}");
    assert_eq!(status(with(AGENT_TOKEN)).await, 200, "the same address, a valid token");
    assert_eq!(status(port.get("/api/v1/boards")).await, 200);
    // A page that is not signed in yet has not guessed.
    assert_eq!(status(port.request(Method::GET, "/api/v1/boards")).await, 401);
    port.close().await;
}

#[tokio::test]
async fn one_agent_does_not_use_up_what_is_for_others() {
    let port = Port::with(|settings| settings.rate_limit_agent = 3, &["org", "agent", "board"]).await;
    let path = format!("/api/v1/boards/{BOARD}/tasks");
    let agent = || port.request(Method::GET, &path).header("x-agent-token", AGENT_TOKEN);
    for _ in 0..3 {
        assert_eq!(status(agent()).await, 200);
    }
    let refused = send(agent()).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(status(port.get(&path)).await, 200);
    port.close().await;
}

#[tokio::test]
async fn a_missing_directory_is_no_wrong_token() {
    let port = Port::with(|_| {}, &["board"]).await;
    assert_eq!(status(port.get("/api/v1/boards")).await, 503);
    port.close().await;
}

/// Every route of the contract, with an address of its own so that the limit of failures stays out of the way.
#[tokio::test]
async fn no_route_is_open_by_mistake() {
    let port = Port::with(
        |settings| settings.trusted_proxies = "127.0.0.1".into(),
        &["org", "agent", "board"],
    )
    .await;
    let mut asked = 0u8;
    for route in port
        .context
        .catalog
        .routes()
        .filter(|route| !route.plan.access.contains(&Access::Public))
    {
        let path = route
            .template
            .replace(['{', '}'], "\u{0}")
            .split('\u{0}')
            .enumerate()
            .fold(String::new(), |path, (place, part)| {
                path + if place % 2 == 1 { BOARD } else { part }
            });
        asked = asked.wrapping_add(1);
        let call = || {
            port.request(route.method.clone(), &path)
                .header("x-forwarded-for", format!("192.0.2.{asked}"))
                .body("{}")
        };
        let what = format!("{} {path}", route.method);
        assert_eq!(status(call()).await, 401, "nobody: {what}");
        assert_eq!(status(call().bearer_auth("wrong")).await, 401, "a wrong token: {what}");
        match route.credential {
            Credential::Agent => assert_eq!(status(call().bearer_auth(TOKEN)).await, 401, "a person: {what}"),
            Credential::User => {
                assert_eq!(
                    status(call().header("x-agent-token", AGENT_TOKEN)).await,
                    401,
                    "an agent: {what}"
                );
            }
            Credential::Any => {}
        }
    }
    assert!(asked > 50, "the contract has routes: {asked}");

    for plan in port.context.catalog.methods() {
        asked = asked.wrapping_add(1);
        let call = port
            .request(Method::POST, &plan.path)
            .header("x-forwarded-for", format!("192.0.2.{asked}"))
            .header("content-type", "application/grpc-web+proto")
            .body(vec![0u8; 5]);
        let closed = plan.access.iter().all(|access| *access == Access::Service);
        let expected = if closed { "12" } else { "16" };
        if !plan.access.contains(&Access::Public) {
            assert_eq!(send(call).await.headers()["grpc-status"], expected, "{}", plan.path);
        }
    }
    port.close().await;
}
