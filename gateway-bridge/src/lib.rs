//! The gateway-bridge role: gateways of organizations, and the sessions kept to them.

use chassis::{Context, Result, Role, Schema, live::Feed};
use proto::gateway::v1::{
    gateway_runtime_service_server::GatewayRuntimeServiceServer, gateway_service_server::GatewayServiceServer,
};
use sqlx::migrate::Migrator;

mod agents;
mod boards;
mod commands;
mod consumers;
mod gateways;
mod leases;
mod preflight;
mod rules;
pub mod session;
mod sessions;
mod status;
mod supervisor;
mod watch;

pub use rules::TOKEN_MASK;

/// The history of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// What belongs to this service in the database.
pub const SCHEMA: Schema = Schema {
    name: "gateway",
    migrations: &MIGRATIONS,
};

/// The role of this service.
pub fn role(context: &Context) -> Result<Role> {
    let store = context.store(SCHEMA)?;
    let supervisor = supervisor::Supervisor::new(context, store.clone());
    let gateways = gateways::Gateways {
        store: store.clone(),
        feed: Feed::new(store.clone(), context.bus.clone()).until(context.stop.clone()),
        supervisor: supervisor.clone(),
        boards: boards::Boards {
            peers: context.peers.named("gateway-bridge"),
        },
        minimum: context.settings.gateway_min_version.clone(),
    };
    let runtime = agents::Runtime {
        store: store.clone(),
        supervisor: supervisor.clone(),
    };
    let (bus, sessions) = (context.bus.clone(), supervisor.clone());
    Ok(Role::new("gateway-bridge")
        .service(GatewayServiceServer::new(gateways))
        .service(GatewayRuntimeServiceServer::new(runtime))
        .task("gateway-sessions", move |stop| sessions.clone().run(bus.clone(), stop))
        .task("gateway-device-tokens", move |stop| {
            supervisor.clone().keep_device_tokens(stop)
        })
        .consumer(context, consumers::organization_deletions(&store, &context.signer))
        .store(context, &store))
}
