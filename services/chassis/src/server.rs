//! Running roles: their tasks, and the internal gRPC server with health and reflection.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{service::Routes, transport::Server};
use tonic_health::ServingStatus;

use crate::{
    access::Guarded,
    channel::HEAD,
    role::{Check, Context, Role},
};

/// How long in-flight work may take after the signal to stop.
pub const DRAIN: Duration = Duration::from_secs(20);
/// How often health is looked at.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// Roles that run in this process.
pub struct Running {
    stop: CancellationToken,
    tracker: TaskTracker,
    checks: Arc<Vec<Check>>,
}

impl Running {
    /// Binds the roles to their near channels and starts their tasks. `checks` is what they depend on together.
    pub fn start(context: &Context, roles: Vec<Role>, checks: Vec<Check>) -> Self {
        let tracker = TaskTracker::new();
        for role in roles {
            if let Some(channel) = context.peers.channel(role.name) {
                channel.bind(Guarded::new(
                    role.routes,
                    context.catalog.clone(),
                    context.signer.clone(),
                    role.keeper,
                ));
            }
            for task in role.tasks {
                task.supervise(role.name, context.stop.clone(), &tracker);
            }
        }
        Self {
            stop: context.stop.clone(),
            tracker,
            checks: Arc::new(checks),
        }
    }

    /// Stops everything: tasks finish what they have in hand, for [`DRAIN`] at most.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(DRAIN, self.tracker.wait()).await.is_err() {
            tracing::warn!("some tasks did not finish in time");
        }
    }
}

/// Serves roles that live in other processes' reach: gRPC with health by what the roles depend on, and reflection. Returns when stopped.
pub async fn serve_grpc(
    context: &Context,
    running: &Running,
    roles: &[(&'static str, Vec<&'static str>)],
    address: SocketAddr,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let names: Vec<&'static str> = roles
        .iter()
        .flat_map(|(_, services)| services.iter().copied())
        .collect();
    let checks = running.checks.clone();
    let stop = context.stop.clone();
    running.tracker.spawn(async move {
        while !stop.is_cancelled() {
            let mut status = ServingStatus::Serving;
            // Dependencies have a status of their own, under their names, so that others can tell what is missing.
            let mut dependencies: BTreeMap<&str, ServingStatus> = BTreeMap::new();
            for check in checks.iter() {
                let dependency = dependencies.entry(check.name).or_insert(ServingStatus::Serving);
                if let Err(error) = check.ask().await {
                    tracing::warn!(check = check.name, %error, "not ready");
                    *dependency = ServingStatus::NotServing;
                    status = ServingStatus::NotServing;
                }
            }
            for (name, status) in dependencies {
                reporter.set_service_status(name, status).await;
            }
            for name in names.iter().chain(&[""]) {
                reporter.set_service_status(*name, status).await;
            }
            let _ = tokio::time::timeout(HEALTH_INTERVAL, stop.cancelled()).await;
        }
    });
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let mut router = Routes::new(health).add_service(reflection).into_axum_router();
    for (role, services) in roles {
        let Some(channel) = context.peers.channel(role).cloned() else {
            continue;
        };
        for service in services {
            let channel = channel.clone();
            router = router.route(
                &format!("/{service}/{{*method}}"),
                axum::routing::any(move |request: axum::extract::Request| {
                    let channel = channel.clone();
                    async move {
                        let request = request.map(tonic::body::Body::new);
                        match channel.send(request).await {
                            Ok(response) => response.map(axum::body::Body::new),
                            Err(status) => status.into_http(),
                        }
                    }
                }),
            );
        }
    }
    let stop = context.stop.clone();
    tracing::info!(%address, "serving grpc");
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_max_header_list_size(HEAD)
        .add_routes(Routes::from(router))
        .serve_with_shutdown(address, async move { stop.cancelled().await })
        .await?;
    Ok(())
}
