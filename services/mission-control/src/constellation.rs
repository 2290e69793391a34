//! Roles in a process: wiring, start, stop.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use chassis::{
    Context, Role,
    bus::{Bus, memory::MemoryBus, rabbit::RabbitBus},
    channel::{Channel, Peers},
    identity::Signer,
    role::Check,
    seal::{Sealer, derive},
    server::{Running, serve_grpc},
    settings::Settings,
    telemetry::{MetricsHandle, Telemetry},
};
use tokio_util::sync::CancellationToken;
use transcoder::Catalog;

/// Every role, in the order they start.
pub const ROLES: [&str; 7] = [
    "org",
    "board",
    "agent",
    "approval",
    "activity",
    "gateway-bridge",
    "edge",
];

/// Roles that run in this process.
pub struct Constellation {
    /// What they were built from.
    pub context: Context,
    /// Where the edge listens, when it is one of them.
    pub address: Option<SocketAddr>,
    running: Running,
    /// Names of the roles with the gRPC services of each.
    services: Vec<(&'static str, Vec<&'static str>)>,
}

impl Constellation {
    /// Builds the roles, binds the edge's port when it is one of them, and starts everything. Roles that are not in `names` are called where
    /// `PEERS` says.
    pub async fn start(
        settings: Settings,
        names: &[&'static str],
        metrics: Option<MetricsHandle>,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let bus: Arc<dyn Bus> = if settings.amqp_url.is_empty() {
            Arc::new(MemoryBus::new(stop.clone()))
        } else {
            Arc::new(RabbitBus::start(&settings.amqp_url, stop.clone())?)
        };
        let context = context(settings, names, bus, stop)?;

        let mut roles = Vec::new();
        for name in names.iter().filter(|name| **name != "edge") {
            roles.push(build(name, &context)?);
        }
        let broker = context.bus.clone();
        let mut checks = vec![Check::new("bus", move || {
            let bus = broker.clone();
            async move { bus.health().await }
        })];
        checks.extend(roles.iter().flat_map(|role| role.checks.iter().cloned()));
        let mut address = None;
        if names.contains(&"edge") {
            let (edge, bound) = edge::bind(&context, checks.clone(), metrics)
                .await
                .with_context(|| format!("LISTEN={} cannot be used", context.settings.listen))?;
            address = Some(bound);
            roles.push(edge);
        }
        let services = roles.iter().map(|role| (role.name, role.services.clone())).collect();
        let running = Running::start(&context, roles, checks);
        Ok(Self {
            context,
            address,
            running,
            services,
        })
    }

    /// Serves the roles' gRPC services to other processes until stopped.
    pub async fn serve_grpc(&self) -> anyhow::Result<()> {
        serve_grpc(
            &self.context,
            &self.running,
            &self.services,
            self.context.settings.grpc_listen,
        )
        .await
    }

    /// Drains and stops.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// What roles are built from: roles in `names` are in this process, the others where `PEERS` says.
pub fn context(
    settings: Settings,
    names: &[&'static str],
    bus: Arc<dyn Bus>,
    stop: CancellationToken,
) -> anyhow::Result<Context> {
    let signer = Signer::new(&derive(&settings.secret_key, "principal"));
    let far: HashMap<String, String> = settings.peer_list().map_err(anyhow::Error::msg)?.into_iter().collect();
    let mut channels = HashMap::new();
    for role in ROLES {
        if names.contains(&role) {
            channels.insert(role, Channel::near());
        } else if let Some(url) = far.get(role) {
            channels.insert(
                role,
                Channel::far(url.clone()).with_context(|| format!("PEERS: {role}"))?,
            );
        }
    }
    Ok(Context {
        catalog: Catalog::compile(proto::DESCRIPTORS)?,
        sealer: Sealer::new(&settings.secret_key),
        settings: Arc::new(settings),
        peers: Peers::new(channels, signer.clone()),
        signer,
        bus,
        stop,
    })
}

/// Builds one role.
pub fn build(name: &str, context: &Context) -> anyhow::Result<Role> {
    Ok(match name {
        "org" => org::role(context)?,
        "board" => board::role(context)?,
        "agent" => agent::role(context)?,
        "approval" => approval::role(context)?,
        "activity" => activity::role(context)?,
        "gateway-bridge" => gateway_bridge::role(context)?,
        other => anyhow::bail!("there is no role `{other}`"),
    })
}

/// `serve`: chosen roles, with gRPC for the others.
pub async fn serve(settings: Settings, roles: &[String]) -> anyhow::Result<()> {
    check(&settings)?;
    if settings.amqp_url.is_empty() {
        anyhow::bail!(
            "AMQP_URL is not set: roles in several processes meet over RabbitMQ (amqp://user:password@host:port)"
        );
    }
    let telemetry = Telemetry::start(&settings)?;
    let names: Vec<&'static str> = ROLES
        .into_iter()
        .filter(|role| roles.iter().any(|wanted| wanted == role))
        .collect();
    let constellation = Constellation::start(settings, &names, Some(telemetry.metrics.clone())).await?;
    let stop = constellation.context.stop.clone();
    tokio::select! {
        served = constellation.serve_grpc() => served?,
        signal = until_signal() => signal?,
    }
    tracing::info!("stopping");
    stop.cancel();
    constellation.stop().await;
    Ok(())
}

/// Refuses to start with every mistake of the configuration at once.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    let mistakes = settings.mistakes();
    if mistakes.is_empty() {
        return Ok(());
    }
    anyhow::bail!("the configuration is not valid:\n  - {}", mistakes.join("\n  - "))
}

/// Waits for SIGTERM or Ctrl-C.
pub async fn until_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
