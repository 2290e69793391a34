use std::{sync::atomic::Ordering, time::Duration};

use proto::event::v1::Event;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    BOARD, Port, answer, eventually,
    roles::{AGENT, AGENT_TOKEN},
    send,
};

/// Frames of a stream, comments left out.
pub struct Frames {
    response: Response,
    buffer: String,
}

impl Frames {
    pub fn of(response: Response) -> Self {
        Self {
            response,
            buffer: String::new(),
        }
    }

    /// The next event, or `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            while let Some((frame, rest)) = self.buffer.split_once("\r\n\r\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.buffer = rest;
                if !frame.starts_with(':') {
                    return Some(frame);
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk())
                .await
                .expect("in time")
                .expect("a clean end")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

fn stream(board: &str) -> String {
    format!("/api/v1/boards/{board}/tasks/stream")
}

#[tokio::test]
async fn events_carry_ids_and_streams_resume() {
    let port = Port::open().await;
    let response = send(port.get(&stream(BOARD)).header("accept-encoding", "gzip, br")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert!(
        !response.headers().contains_key("content-encoding"),
        "streams are not compressed"
    );
    let mut frames = Frames::of(response);
    let first = frames.next().await.expect("an event");
    let lines: Vec<_> = first.split("\r\n").collect();
    assert_eq!(lines[..2], ["id: 1", "event: task"]);
    let data: Value = serde_json::from_str(lines[2].strip_prefix("data: ").expect("data")).expect("json");
    assert_eq!(
        (&data["type"], &data["task"], data.get("id")),
        (&json!("task.created"), &Value::Null, None)
    );
    assert!(frames.next().await.expect("another").starts_with("id: 2\r\n"));

    let resumed = send(port.get(&stream(BOARD)).header("last-event-id", "41")).await;
    assert!(
        Frames::of(resumed)
            .next()
            .await
            .expect("an event")
            .starts_with("id: 42\r\n")
    );
    let resumed = send(port.get(&format!("{}?last_event_id=7", stream(BOARD)))).await;
    assert!(
        Frames::of(resumed)
            .next()
            .await
            .expect("an event")
            .starts_with("id: 8\r\n")
    );
    port.close().await;
}

#[tokio::test]
async fn errors_before_the_first_event_are_plain() {
    let port = Port::open().await;
    let (status, body) = answer(port.get(&stream("0190c3a0-0000-7000-8000-00000000ffff"))).await;
    assert_eq!((status, &body["detail"]), (403, &json!("Board access denied")));
    let (status, body) = answer(port.get(&stream("no-uuid"))).await;
    assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["path", "board_id"])));
    assert_eq!(answer(port.request(reqwest::Method::GET, &stream(BOARD))).await.0, 401);
    port.close().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_call() {
    let port = Port::open().await;
    let mut frames = Frames::of(send(port.get(&stream(BOARD))).await);
    frames.next().await.expect("an event");
    assert_eq!(port.script.watching.load(Ordering::SeqCst), 1);
    drop(frames);
    eventually("the role is told", async || {
        port.script.watching.load(Ordering::SeqCst) == 0
    })
    .await;
    port.close().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_credential_that_opened_it() {
    let port = Port::open().await;
    let open = port
        .request(Method::GET, &stream(BOARD))
        .header("x-agent-token", AGENT_TOKEN);
    let mut frames = Frames::of(send(open).await);
    let mut other = Frames::of(send(port.get(&stream(BOARD))).await);
    for frames in [&mut frames, &mut other] {
        for _ in 0..2 {
            frames.next().await.expect("an event");
        }
    }
    port.script.rotated.store(true, Ordering::SeqCst);
    let rotated = Event {
        r#type: "agent.token_rotated".into(),
        agent_id: AGENT.into(),
        ..Event::default()
    };
    port.context.bus.publish(&[rotated]).await.expect("published");
    assert_eq!(frames.next().await, None, "the stream ends");
    eventually("the role is told, and that of somebody else goes on", async || {
        port.script.watching.load(Ordering::SeqCst) == 1
    })
    .await;
    port.close().await;
}
