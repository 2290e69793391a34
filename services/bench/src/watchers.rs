//! One change, many watchers: how long until each has seen it.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::{seed::World, server::Server};

/// Changes that are made.
const ROUNDS: usize = 20;

/// Milliseconds over all watchers and rounds, from before the change is asked for.
pub struct Spread {
    /// Half have seen it.
    pub p50: f64,
    /// 99 of 100 have seen it.
    pub p99: f64,
    /// The last has seen it.
    pub max: f64,
}

/// Opens the streams, makes changes, and waits for each to reach everybody.
pub async fn measure(server: &Server, world: &World, watchers: usize) -> anyhow::Result<Spread> {
    let (seen, mut sightings) = mpsc::unbounded_channel();
    let mut tasks = Vec::with_capacity(watchers);
    for _ in 0..watchers {
        let (mut stream, seen) = (open(server, &world.quiet_board).await?, seen.clone());
        tasks.push(tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(read) = stream.read(&mut buffer).await {
                if read == 0 {
                    break;
                }
                let now = Instant::now();
                for _ in buffer[..read].windows(6).filter(|window| window == b"event:") {
                    if seen.send(now).is_err() {
                        return;
                    }
                }
            }
        }));
    }
    let mut histogram = Histogram::<u64>::new(3)?;
    for round in 0..ROUNDS {
        let started = Instant::now();
        let path = format!("/api/v1/boards/{}/tasks", world.quiet_board);
        server
            .call(
                reqwest::Method::POST,
                &path,
                Some(serde_json::json!({"title": format!("Change {round}")})),
            )
            .await?;
        for _ in 0..watchers {
            let at = tokio::time::timeout(Duration::from_secs(20), sightings.recv())
                .await
                .context("not every watcher saw the change")?
                .context("a watcher")?;
            histogram.record(u64::try_from(at.saturating_duration_since(started).as_micros())?.max(1))?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for task in tasks {
        task.abort();
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let millis = |value: u64| value as f64 / 1000.0;
    Ok(Spread {
        p50: millis(histogram.value_at_quantile(0.5)),
        p99: millis(histogram.value_at_quantile(0.99)),
        max: millis(histogram.max()),
    })
}

/// An open stream, past its headers.
async fn open(server: &Server, board: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(&server.address).await?;
    let request = format!(
        "GET /api/v1/boards/{board}/tasks/stream HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n\r\n",
        server.address, server.token
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    anyhow::ensure!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}
