//! Whether this process can do its work: what its roles depend on, and the roles in other processes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{BufMut, BytesMut};
use chassis::{channel::Channel, role::Check};
use futures::future::join_all;
use http::{HeaderValue, Request, Version, header};
use http_body_util::Full;
use prost::Message;
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};

use crate::call;

/// How long an answer counts: anybody may ask, the database must not notice.
const FRESH: Duration = Duration::from_secs(1);
/// How long a role may take to say how it is.
const DEADLINE: Duration = Duration::from_secs(2);

/// The dependency that every role with a store has.
const DATABASE: &str = "database";
const NOT_SERVING: &str = "the role is not serving";

/// Answers what is missing.
pub struct Readiness {
    checks: Vec<Check>,
    roles: Vec<(String, Option<Channel>)>,
    last: Mutex<Option<(Instant, Arc<Report>)>>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Dependencies of this process that do not answer, by name.
    pub dependencies: Vec<String>,
    /// Roles that do not answer, by name.
    pub roles: Vec<String>,
}

impl Report {
    /// Whether the database is among what is missing.
    pub fn lacks_database(&self) -> bool {
        self.dependencies.iter().any(|name| name == DATABASE)
    }

    /// Everything that is missing.
    pub fn missing(&self) -> Vec<&str> {
        self.dependencies
            .iter()
            .chain(&self.roles)
            .map(String::as_str)
            .collect()
    }
}

impl Readiness {
    /// Watches checks and roles.
    pub fn new(checks: Vec<Check>, roles: Vec<(String, Option<Channel>)>) -> Self {
        Self {
            checks,
            roles,
            last: Mutex::default(),
        }
    }

    /// What is missing now, or was a second ago. One asks, the others wait for its answer.
    pub async fn report(&self) -> Arc<Report> {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < FRESH
        {
            return report.clone();
        }
        let checks = join_all(
            self.checks
                .iter()
                .map(|check| async move { (check.name, check.ask().await) }),
        );
        let roles = join_all(
            self.roles
                .iter()
                .map(|(name, channel)| async move { (name, ask(channel.as_ref(), "").await) }),
        );
        // This process may have no database of its own: those that have say so.
        let databases = join_all(
            self.roles
                .iter()
                .filter_map(|(_, channel)| channel.as_ref().filter(|channel| matches!(channel, Channel::Far(..))))
                .map(|channel| ask(Some(channel), DATABASE)),
        );
        let (checks, roles, databases) = tokio::join!(checks, roles, databases);
        let mut report = Report::default();
        if databases.contains(&Err(NOT_SERVING)) {
            report.dependencies.push(DATABASE.to_owned());
        }
        for (name, result) in checks {
            if let Err(error) = result
                && !report.dependencies.iter().any(|known| known == name)
            {
                tracing::warn!(check = name, %error, "not ready");
                report.dependencies.push(name.to_owned());
            }
        }
        for (name, result) in roles {
            if let Err(error) = result {
                tracing::warn!(role = name, error, "not ready");
                report.roles.push(name.clone());
            }
        }
        let report = Arc::new(report);
        *last = Some((Instant::now(), report.clone()));
        report
    }
}

/// Asks a role in another process for its health, or that of something it depends on; one in this process is covered by the checks once it
/// is there.
async fn ask(channel: Option<&Channel>, service: &str) -> Result<(), &'static str> {
    let channel = channel.ok_or("the role is not part of the installation")?;
    let question = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut frame = BytesMut::with_capacity(call::HEAD + question.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(question.encoded_len()).unwrap_or_default());
    frame.extend_from_slice(&question.encode_to_vec());
    let mut request = Request::new(Body::new(Full::new(frame.freeze())));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/grpc.health.v1.Health/Check");
    *request.version_mut() = Version::HTTP_2;
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request
        .headers_mut()
        .insert(header::TE, HeaderValue::from_static("trailers"));
    let answered = tokio::time::timeout(DEADLINE, async {
        let response = channel.send(request).await.map_err(|_| "the role cannot be reached")?;
        if matches!(channel, Channel::Near(_)) {
            // It is bound: its routes have no health service of their own.
            return Ok(());
        }
        let message = call::single(response)
            .await
            .map_err(|_| "the role does not say how it is")?;
        match HealthCheckResponse::decode(message) {
            Ok(answer) if answer.status() == ServingStatus::Serving => Ok(()),
            _ => Err(NOT_SERVING),
        }
    });
    answered.await.unwrap_or(Err("the role does not answer"))
}
