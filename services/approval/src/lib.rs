//! Approvals: an agent asks, a person decides, gates hold tasks until then.

use std::sync::Arc;

use chassis::{Context, Result, Role, Schema, live::Feed};
use proto::approval::v1::{approval_service_server::ApprovalServiceServer, gate_service_server::GateServiceServer};
use sqlx::migrate::Migrator;
use tokio::sync::Notify;

mod approvals;
mod boards;
mod consumers;
mod decide;
mod expiry;
mod gate;
mod overview;
mod rows;
mod rules;

/// The history of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// What belongs to this service in the database.
pub const SCHEMA: Schema = Schema {
    name: "approval",
    migrations: &MIGRATIONS,
};

/// The role of this service.
pub fn role(context: &Context) -> Result<Role> {
    let store = context.store(SCHEMA)?;
    let due = Arc::<Notify>::default();
    let expiry = expiry::Expiry {
        store: store.clone(),
        signer: context.signer.clone(),
        due: due.clone(),
    };
    let approvals = approvals::Approvals {
        store: store.clone(),
        boards: boards::Boards::new(context.peers.named("approval")),
        feed: Feed::new(store.clone(), context.bus.clone()).until(context.stop.clone()),
        due,
    };
    Ok(Role::new("approval")
        .service(ApprovalServiceServer::new(approvals))
        .service(GateServiceServer::new(gate::Gate { store: store.clone() }))
        .consumer(context, consumers::board_changes(&store, &context.signer))
        .task("approval-expiry", move |stop| expiry.clone().run(stop))
        .store(context, &store))
}
