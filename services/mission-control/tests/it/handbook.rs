//! What agents are taught works: every `curl` line of every file they get is run as it stands against a running edge.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    agents::{Scene, token_in},
    harness::{Rest, eventually, id},
};

const FILES: [&str; 9] = [
    "AGENTS.md",
    "BOOTSTRAP.md",
    "HEARTBEAT.md",
    "IDENTITY.md",
    "MEMORY.md",
    "SOUL.md",
    "TOOLS.md",
    "USER.md",
    "heartbeat job",
];

/// The `curl` lines of an agent's files, as the gateway has them.
fn lines(scene: &Scene, key: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for name in FILES {
        let text = if name == "heartbeat job" {
            scene.fake.scratch(key)
        } else {
            scene.fake.file(key, name)
        };
        for line in text.unwrap_or_default().lines().filter(|line| line.contains("curl ")) {
            assert!(
                line.starts_with("curl "),
                "{name}: a call stands on a line of its own: {line}"
            );
            lines.push(line.to_owned());
        }
    }
    lines
}

/// What lines need to find, made fresh for each.
struct Desk<'a> {
    scene: &'a Scene,
    lead: Rest,
    spare: String,
}

impl Desk<'_> {
    fn tasks(&self) -> String {
        format!("/api/v1/boards/{}/tasks", self.scene.board())
    }

    /// A task of the worker in the state that a line begins from.
    async fn task(&self, who: &str, line: &str) -> String {
        let own = format!("/api/v1/agent{}", self.tasks().trim_start_matches("/api/v1"));
        let task = self
            .scene
            .person
            .post(
                &self.tasks(),
                json!({"title": "Fly a kite", "assigned_agent_id": self.scene.agent()}),
            )
            .await
            .expect(200);
        let task = id(&task);
        let worker = self.scene.mc.agent(&self.scene.team.token);
        let wanted: &[Value] = match line {
            _ if line.contains(r#""status":"review""#) => &[json!({"status": "in_progress"})],
            // Leads comment on what is in review.
            _ if line.contains(r#""status":"done""#)
                || line.contains(r#""status":"inbox""#)
                || (who == "lead" && line.contains("/comments\" ")) =>
            {
                &[
                    json!({"status": "in_progress"}),
                    json!({"status": "review", "comment": "Done."}),
                ]
            }
            _ => &[],
        };
        for body in wanted {
            worker.patch(&format!("{own}/{task}"), body.clone()).await.expect(200);
        }
        task
    }

    /// Fills in the words in capitals that stand for ids.
    async fn filled(&self, who: &str, line: &str, payload: &BTreeMap<&str, String>, number: usize) -> String {
        let mut line = line.to_owned();
        if line.contains("AGENT_ID_OF_WORKER") {
            line = line.replace("AGENT_ID_OF_WORKER", &self.spare);
        }
        if line.contains("TASK_ID") {
            line = line.replace("TASK_ID", &self.task(who, &line).await);
        }
        for (word, value) in payload {
            line = line.replace(word, value);
        }
        line.replace("\"NAME\"", &format!("\"Worker {number}\""))
            .replace("BOARD_ID", &self.scene.board())
    }

    async fn run(&self, who: &str, line: &str) {
        let output = tokio::process::Command::new("bash")
            .args(["-o", "pipefail", "-c", line])
            .env("no_proxy", "127.0.0.1")
            .output()
            .await
            .expect("bash runs");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{who}: {line}\n{out}\n{err}");
        if line.contains("openapi.json") {
            assert!(
                out.contains("POST /api/v1/agent/heartbeat - agent_heartbeat"),
                "{who}: {out}"
            );
        } else {
            serde_json::from_str::<Value>(&out).unwrap_or_else(|error| panic!("{who}: {line}\n{out}\n{error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_that_agents_are_taught_works() {
    let scene = Scene::start().await;
    scene.settled().await;
    let (_, token) = scene.lead().await;
    scene
        .person
        .patch(&format!("/api/v1/boards/{}", scene.board()), json!({"max_agents": 50}))
        .await
        .expect(200);
    let spare = scene.create(json!({"name": "Spare", "board_id": scene.board()})).await;
    token_in(&scene.fake, &format!("mc-{}", id(&spare))).await;
    let main = format!("mc-gateway-{}", id(&scene.team.gateway));
    token_in(&scene.fake, &main).await;
    // The changed board is in everybody's files.
    eventually("everybody's files", || async {
        let behind = scene
            .person
            .get("/api/v1/operations?kind=provisioning")
            .await
            .expect(200);
        (behind["total"] == 0).then_some(())
    })
    .await;
    let desk = Desk {
        lead: scene.mc.agent(&token),
        spare: id(&spare),
        scene: &scene,
    };
    desk.lead.get("/api/v1/agent/healthz").await.expect(200);
    let webhook = scene
        .person
        .post(
            &format!("/api/v1/boards/{}/webhooks", scene.board()),
            json!({"description": "Orders become tasks"}),
        )
        .await
        .expect(200);
    let received = scene
        .mc
        .nobody()
        .post(
            &format!("/api/v1/boards/{}/webhooks/{}", scene.board(), id(&webhook)),
            json!({"order": 7}),
        )
        .await
        .expect(202);
    let payload = BTreeMap::from([
        ("WEBHOOK_ID", id(&webhook)),
        ("PAYLOAD_ID", received["payload_id"].as_str().expect("an id").to_owned()),
    ]);
    let mut counts = BTreeMap::new();
    for (who, key) in [
        ("worker", format!("mc-{}", scene.agent())),
        ("lead", format!("lead-{}", scene.board())),
        ("main", main),
    ] {
        let lines = lines(&scene, &key);
        for (number, line) in lines.iter().enumerate() {
            let line = desk.filled(who, line, &payload, number).await;
            desk.run(who, &line).await;
        }
        counts.insert(who, lines.len());
    }
    assert!(
        counts["worker"] >= 15 && counts["lead"] >= 25 && counts["main"] >= 10,
        "{counts:?}"
    );

    // Where only the lead sets statuses, workers are not taught to.
    scene
        .person
        .patch(
            &format!("/api/v1/boards/{}", scene.board()),
            json!({"only_lead_can_change_status": true}),
        )
        .await
        .expect(200);
    let key = format!("mc-{}", scene.agent());
    let taught = eventually("the rule in the files", || async {
        let lines = lines(&scene, &key);
        (!lines.iter().any(|line| line.contains("PATCH"))).then_some(lines)
    })
    .await;
    for (number, line) in taught.iter().enumerate() {
        let line = desk.filled("worker", line, &payload, number).await;
        desk.run("worker", &line).await;
    }
    scene.mc.stop().await;
}
