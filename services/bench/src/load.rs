//! Closed-loop load over keep-alive connections.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::server::Server;

/// One request, made again and again.
pub struct Load {
    /// What the table calls it.
    pub name: &'static str,
    /// Method.
    pub method: Method,
    /// Path with query.
    pub path: String,
    /// JSON body.
    pub body: Option<String>,
    /// Credential.
    pub header: (String, String),
    /// The status every answer must have.
    pub expect: u16,
    /// Guesses tokens: the key id of the credential with another secret each time, each time from another address.
    pub guess: bool,
}

/// Numbers the guesses of the whole run.
static GUESS: AtomicU64 = AtomicU64::new(0);

/// What a row measured.
pub struct Measured {
    /// Requests a second.
    pub rate: f64,
    /// Milliseconds.
    pub p50: f64,
    /// Milliseconds.
    pub p99: f64,
    /// CPU of the server per request, in microseconds.
    pub cpu: f64,
}

/// Runs a load for `time` after a short warm-up.
pub async fn measure(server: &Server, load: &Load, connections: usize, time: Duration) -> anyhow::Result<Measured> {
    run(server, load, connections, Duration::from_millis(500)).await?;
    let cpu = server.cpu()?;
    let started = Instant::now();
    let histogram = run(server, load, connections, time).await?;
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), server.cpu()?.saturating_sub(cpu));
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (count, millis) = (histogram.len() as f64, |quantile| {
        histogram.value_at_quantile(quantile) as f64 / 1000.0
    });
    Ok(Measured {
        rate: count / elapsed,
        p50: millis(0.5),
        p99: millis(0.99),
        cpu: cpu.as_secs_f64() * 1e6 / count,
    })
}

async fn run(server: &Server, load: &Load, connections: usize, time: Duration) -> anyhow::Result<Histogram<u64>> {
    let until = Instant::now() + time;
    let runs = (0..connections).map(|_| connection(server, load, until));
    let mut all = Histogram::new(3)?;
    for histogram in futures::future::try_join_all(runs).await? {
        all.add(histogram)?;
    }
    Ok(all)
}

async fn connection(server: &Server, load: &Load, until: Instant) -> anyhow::Result<Histogram<u64>> {
    let stream = TcpStream::connect(&server.address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, driver) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(driver);
    let mut histogram = Histogram::new(3)?;
    while Instant::now() < until {
        let body = Bytes::from(load.body.clone().unwrap_or_default());
        let mut request = Request::builder()
            .method(load.method.clone())
            .uri(&load.path)
            .header("host", &server.address);
        if load.guess {
            let number = GUESS.fetch_add(1, Ordering::Relaxed);
            let [.., a, b, c] = number.to_be_bytes();
            let key = load.header.1.split('.').next().unwrap_or_default();
            request = request
                .header(&load.header.0, format!("{key}.{number:0>43}"))
                .header("x-forwarded-for", format!("10.{a}.{b}.{c}"));
        } else {
            request = request.header(&load.header.0, &load.header.1);
        }
        if load.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        sender.ready().await?;
        let started = Instant::now();
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let status = response.status().as_u16();
        let answer = response.into_body().collect().await?.to_bytes();
        histogram.record(u64::try_from(started.elapsed().as_micros())?.max(1))?;
        anyhow::ensure!(
            status == load.expect,
            "{}: {status} instead of {}: {}",
            load.name,
            load.expect,
            String::from_utf8_lossy(&answer)
        );
    }
    drop(sender);
    driver.await.context("the connection's driver")??;
    Ok(histogram)
}
