//! Boards that move to another gateway, with their agents.

use serde_json::json;
use testkit::gateway::{FakeGateway, Options, Release};

use crate::{
    agents::Scene,
    harness::{eventually, id},
    path,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_move_with_their_board_also_where_their_name_is_taken() {
    let scene = Scene::start().await;
    scene.settled().await;
    let other = FakeGateway::start(Options::release(Release::Latest)).await;
    let body =
        json!({"name": "Other gateway", "url": other.url(), "token": other.token(), "workspace_root": "~/.openclaw"});
    let gateway = id(&scene.person.post("/api/v1/gateways", body).await.expect(200));
    let beta = scene
        .person
        .post("/api/v1/boards", path::board("Beta", &gateway))
        .await
        .expect(200);
    scene
        .create(json!({"name": "ALPHA worker", "board_id": id(&beta)}))
        .await;

    scene
        .person
        .patch(
            &format!("/api/v1/boards/{}", scene.board()),
            json!({"gateway_id": gateway}),
        )
        .await
        .expect(200);
    let moved = eventually("moving", || async {
        let agent = scene.get().await;
        (agent["gateway_id"] == gateway.as_str()).then_some(agent)
    })
    .await;
    let agent = scene.agent();
    let name = format!("Alpha worker {}", &agent[agent.len() - 6..]);
    assert_eq!(moved["name"], name.as_str(), "told apart");
    let key = format!("mc-{agent}");
    eventually("being there", || async {
        other.file(&key, "IDENTITY.md").filter(|text| text.contains(&name))
    })
    .await;
    eventually("leaving the old gateway", || async {
        (!scene.fake.agents().contains(&key)).then_some(())
    })
    .await;
    let log = eventually("the log", || async {
        let log = scene
            .person
            .get(&format!(
                "/api/v1/activity?board_id={}&event_type=agent.updated&with_changes=true",
                scene.board()
            ))
            .await
            .expect(200);
        (log["total"].as_i64() > Some(0)).then_some(log)
    })
    .await;
    assert_eq!(
        (
            &log["items"][0]["before"]["gateway_id"],
            &log["items"][0]["after"]["gateway_id"]
        ),
        (&scene.team.gateway["id"], &json!(gateway)),
        "{log:#}"
    );
    scene.mc.stop().await;
}
