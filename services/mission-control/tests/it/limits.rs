//! Limits hold for all replicas together, and what is allowed fits between processes.

use std::{net::TcpListener, sync::Arc, time::Duration};

use chassis::{
    Caller,
    channel::{Channel, Peer},
};
use proto::{
    identity::v1::BoardGrant,
    org::v1::{GetMeRequest, user_service_client::UserServiceClient},
};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use testkit::Database;
use time::OffsetDateTime;
use tonic::Code;
use uuid::Uuid;

use crate::{
    harness::{Harness, eventually},
    org::sign_in,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_what_a_caller_used() {
    const LIMIT: u32 = 60;
    // Replicas tell each other of the minute that runs: not of one that has just ended.
    let second = OffsetDateTime::now_utc().second();
    if second > 50 {
        tokio::time::sleep(Duration::from_secs(u64::from(61 - second))).await;
    }
    let one = Harness::with(|settings| settings.rate_limit_user = LIMIT).await;
    let url = one.database.url.clone();
    let other = Harness::on(Database::lent(&url), |settings| settings.rate_limit_user = LIMIT).await;
    let told = |at_least: i64| {
        let url = url.clone();
        move || {
            let url = url.clone();
            async move {
                let mut connection = PgConnection::connect(&url).await.expect("the database answers");
                let sum: i64 = sqlx::query_scalar("SELECT coalesce(sum(count), 0)::bigint FROM org.usage")
                    .fetch_one(&mut connection)
                    .await
                    .expect("a sum");
                (sum >= at_least).then_some(())
            }
        }
    };
    let path = "/api/v1/users/me";
    for _ in 0..30 {
        one.person().get(path).await.expect(200);
    }
    eventually("the first replica telling", told(30)).await;
    let mut through = 0;
    for _ in 0..10 {
        other.person().get(path).await.expect(200);
        through += 1;
    }
    eventually("the second replica telling", told(40)).await;
    let refused = loop {
        let answer = other.person().get(path).await;
        if answer.status != 200 {
            break answer;
        }
        through += 1;
        assert!(through < LIMIT, "the second replica lets through a limit of its own");
    };
    assert!((20..=45).contains(&through), "{through} after 30 of {LIMIT}");
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .expect("text")
        .parse()
        .expect("seconds");
    assert!((1..=120).contains(&wait), "{wait}");
    assert_eq!(refused.detail(429), json!("Too Many Requests"));
    // Health is nobody's call.
    other.nobody().get("/readyz").await.expect(200);
    other.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_on_a_thousand_boards_reach_roles_in_other_processes() {
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let mc = Harness::with(|settings| settings.grpc_listen = address).await;
    let mut ann = sign_in(&mc, "ann", "ann@example.org").await;
    ann.memberships[0].grants = (0..1000)
        .map(|_| BoardGrant {
            board_id: Uuid::now_v7().to_string(),
            can_read: true,
            can_write: true,
        })
        .collect();
    let caller = Caller {
        signed: Some(mc.constellation.context.signer.sign(ann, Duration::from_mins(1))),
        request_id: Arc::from("test"),
        traceparent: Arc::from(""),
    };
    let far = Channel::far(format!("http://{address}")).expect("an address");
    let asking = eventually("the role in reach of other processes answering", || async {
        let peer = Peer::to(far.clone(), &caller);
        match UserServiceClient::new(peer).get_me(GetMeRequest {}).await {
            Ok(me) => Some(me.into_inner()),
            Err(status) if status.code() == Code::Unavailable => None,
            Err(status) => panic!("{status}"),
        }
    });
    tokio::select! {
        served = mc.constellation.serve_grpc() => panic!("the role stopped serving: {served:?}"),
        me = asking => assert_eq!(me.clerk_user_id, "ann"),
    }
    mc.stop().await;
}
