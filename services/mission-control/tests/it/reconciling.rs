//! The reconciler and the sender while something comes between: nothing that was asked for waits until a lease has run out.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::Row;
use testkit::gateway::Fault;

use crate::{
    agents::{Scene, token_in},
    harness::{eventually, id},
};

/// Shorter than a lease, which is 20 seconds.
const SOON: Duration = Duration::from_secs(15);

/// Waits until no agent is worked on or waited for.
async fn at_rest(scene: &Scene) {
    eventually("coming to rest", || async {
        let busy = scene
            .sql(
                "SELECT 1 FROM agent.agents WHERE observed_generation < desired_generation OR lease_id IS NOT NULL OR wishes <> '{}' \
                     OR next_attempt_at <= now()",
            )
            .await;
        busy.is_empty().then_some(())
    })
    .await;
    scene
        .sql("UPDATE agent.agents SET wake_attempts = 0, next_attempt_at = NULL")
        .await;
    scene.fake.clear_calls();
}

/// Prepares `public.refuse()`, which refuses what it triggers before and counts that, once or always.
async fn refusals(scene: &Scene, once: bool) {
    let when = if once {
        "IF nextval('public.refused') = 1"
    } else {
        "IF nextval('public.refused') > 0"
    };
    scene.sql("CREATE SEQUENCE public.refused").await;
    scene
        .sql(&format!(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
             $$ BEGIN {when} THEN RAISE EXCEPTION 'refused by a test'; END IF; RETURN NEW; END $$"
        ))
        .await;
}

async fn refuse_when(scene: &Scene, condition: &str) {
    scene
        .sql(&format!(
            "CREATE TRIGGER refuse BEFORE UPDATE ON agent.agents FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION public.refuse()"
        ))
        .await;
}

/// Waits until something was refused.
async fn refused(scene: &Scene) {
    eventually("being refused", || async {
        let count = scene.sql("SELECT last_value FROM public.refused WHERE is_called").await;
        (!count.is_empty()).then_some(())
    })
    .await;
}

/// Waits until the gateway has what the agent's row says.
async fn followed(scene: &Scene) {
    eventually("following", || async {
        let row = scene
            .sql(&format!(
                "SELECT observed_generation = desired_generation AND lease_id IS NULL AND wishes = '{{}}' FROM agent.agents WHERE id = '{}'",
                scene.agent()
            ))
            .await;
        row[0].get::<bool, _>(0).then_some(())
    })
    .await;
}

fn wake_ups(scene: &Scene) -> usize {
    scene
        .fake
        .calls_of("chat.send")
        .iter()
        .filter(|call| call.params["sessionKey"] == scene.session().as_str())
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_goes_on_while_nothing_more_can_be_claimed() {
    let scene = Scene::start().await;
    at_rest(&scene).await;
    refusals(&scene, false).await;
    scene.fake.fail_next("chat.send", Fault::Delay(Duration::from_secs(3)));
    scene
        .person
        .patch(&scene.url(), json!({"name": "Alpha two"}))
        .await
        .expect(200);
    eventually("the wake-up being on its way", || async {
        (wake_ups(&scene) == 1).then_some(())
    })
    .await;

    refuse_when(&scene, "OLD.lease_id IS NULL AND NEW.lease_id IS NOT NULL").await;
    scene
        .sql("UPDATE agent.agents SET next_attempt_at = now() WHERE board_id IS NULL")
        .await;
    refused(&scene).await;
    scene.sql("DROP TRIGGER refuse ON agent.agents").await;
    followed(&scene).await;
    assert_eq!(wake_ups(&scene), 1, "the pass was not cut off and done again");
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_cannot_be_written_down_is_tried_again_soon() {
    let scene = Scene::start().await;
    at_rest(&scene).await;
    refusals(&scene, true).await;
    refuse_when(
        &scene,
        "OLD.lease_id IS NOT NULL AND NEW.lease_id IS NULL AND NEW.observed_generation > OLD.observed_generation",
    )
    .await;
    scene
        .person
        .patch(&scene.url(), json!({"name": "Alpha two"}))
        .await
        .expect(200);
    refused(&scene).await;
    let since = Instant::now();
    followed(&scene).await;
    assert!(
        since.elapsed() < SOON,
        "it waited for the lease to run out: {:?}",
        since.elapsed()
    );
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_during_a_pass_that_fails_does_not_wait_for_the_next_attempt() {
    let scene = Scene::start().await;
    at_rest(&scene).await;
    // The pass looks at the agent's token and then fails; after so many attempts the next one would be in 6 seconds at the earliest.
    scene
        .fake
        .fail_next("agents.files.get", Fault::Delay(Duration::from_secs(1)));
    let refusal = json!({"code": "INVALID_REQUEST", "message": "not now"});
    scene.fake.fail_next("agents.files.get", Fault::Error(refusal));
    let agent = scene.agent();
    scene
        .sql(&format!(
            "UPDATE agent.agents SET attempts = 10, wishes = '{{\"verify\": true, \"refresh\": true}}', next_attempt_at = now() WHERE id = '{agent}'"
        ))
        .await;
    eventually("the pass being under way", || async {
        (!scene.fake.calls_of("agents.files.get").is_empty()).then_some(())
    })
    .await;
    // As when the gateway is back, which another process may have noticed.
    scene
        .sql(&format!(
            "UPDATE agent.agents SET next_attempt_at = now() WHERE id = '{agent}'"
        ))
        .await;
    let since = Instant::now();
    followed(&scene).await;
    assert!(
        since.elapsed() < Duration::from_secs(6),
        "it waited for its next attempt: {:?}",
        since.elapsed()
    );
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_reports_once_in_decades_keeps_no_other_from_being_missed() {
    let scene = Scene::start().await;
    let rare = scene
        .create(json!({"name": "Rare", "board_id": scene.board(), "heartbeat_config": {"every": "500000h"}}))
        .await;
    let token = token_in(&scene.fake, &format!("mc-{}", id(&rare))).await;
    for token in [&scene.team.token, &token] {
        scene
            .mc
            .agent(token)
            .post("/api/v1/agent/heartbeat", json!({}))
            .await
            .expect(200);
    }
    at_rest(&scene).await;
    scene
        .sql(&format!(
            "UPDATE agent.agents SET last_seen_at = now() - interval '31 minutes' WHERE id = '{}'",
            scene.agent()
        ))
        .await;
    eventually("telling of silence", || async {
        let told = scene
            .sql(&format!(
                "SELECT 1 FROM agent.agents WHERE id = '{}' AND shown_status = 'offline'",
                scene.agent()
            ))
            .await;
        (!told.is_empty()).then_some(())
    })
    .await;
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_went_while_its_gateway_was_away_is_removed_there_later() {
    let scene = Scene::start().await;
    at_rest(&scene).await;
    let key = format!("mc-{}", scene.agent());
    assert!(scene.fake.agents().contains(&key));
    scene.fake.refuse_upgrades(Some(503));
    scene.fake.cut();
    let connection = format!("/api/v1/gateways/{}/connection", id(&scene.team.gateway));
    eventually("losing the gateway", || async {
        (scene.person.get(&connection).await.expect(200)["phase"] != "connected").then_some(())
    })
    .await;
    scene.person.delete(&scene.url()).await.expect(200);
    scene
        .sql("UPDATE agent.agents SET deleting_at = deleting_at - interval '11 minutes', next_attempt_at = now() WHERE deleting_at IS NOT NULL")
        .await;
    eventually("going", || async {
        (scene.person.get(&scene.url()).await.status == 404).then_some(())
    })
    .await;
    assert!(scene.fake.agents().contains(&key), "its gateway does not know yet");
    scene.fake.refuse_upgrades(None);
    eventually("removing it there", || async {
        scene.sql("UPDATE agent.leftovers SET next_attempt_at = now()").await;
        (!scene.fake.agents().contains(&key)).then_some(())
    })
    .await;
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_an_agent_that_is_never_set_up_is_given_up_after_a_day() {
    let scene = Scene::start().await;
    at_rest(&scene).await;
    scene.fake.refuse_upgrades(Some(503));
    scene.fake.cut();
    let connection = format!("/api/v1/gateways/{}/connection", id(&scene.team.gateway));
    eventually("losing the gateway", || async {
        (scene.person.get(&connection).await.expect(200)["phase"] != "connected").then_some(())
    })
    .await;
    let late = id(&scene.create(json!({"name": "Late", "board_id": scene.board()})).await);
    scene
        .person
        .post(
            &format!("/api/v1/agents/{late}/nudge"),
            json!({"message": "Are you there?"}),
        )
        .await
        .expect(200);
    scene
        .sql("UPDATE agent.messages SET created_at = created_at - interval '25 hours' WHERE state = 'waiting'")
        .await;
    eventually("giving up", || async {
        (scene.events("agent.nudge.failed").await.len() == 1).then_some(())
    })
    .await;
    scene.fake.refuse_upgrades(None);
    eventually("being set up", || async {
        scene.fake.agents().contains(&format!("mc-{late}")).then_some(())
    })
    .await;
    let said = scene.fake.messages(&format!("agent:mc-{late}:main"));
    assert!(
        !said.iter().any(|text| text.contains("Are you there?")),
        "what is over is not told: {said:?}"
    );
    scene.mc.stop().await;
}
