//! The activity role: the log of everything that happened, live feeds of it, and outbound webhooks.

pub mod audit;
mod chain;
mod consumers;
mod deliveries;
mod events;
mod facts;
mod feeds;
mod inbox;
mod log;
mod metrics;
mod periods;
#[cfg(test)]
mod plans;
mod rules;
mod sender;
mod view;
mod webhooks;

pub use facts::rebuild;

use std::sync::Arc;

use chassis::{
    Context, Result, Role, Schema, Store,
    bus::{Consumer, Worker},
    seal::Sealer,
    unchanged::Answers,
};
use proto::activity::v1::{
    ListActivityResponse, activity_service_server::ActivityServiceServer, audit_service_server::AuditServiceServer,
    inbox_service_server::InboxServiceServer, metrics_service_server::MetricsServiceServer,
    webhook_service_server::WebhookServiceServer,
};
use sqlx::migrate::Migrator;
use tokio::sync::Notify;

/// This service's tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// This service's part of the database.
pub const SCHEMA: Schema = Schema {
    name: "activity",
    migrations: &MIGRATIONS,
};

/// Deliveries sent at once by one process.
const CONCURRENT_DELIVERIES: usize = 32;

/// What the handlers share.
#[derive(Clone)]
struct State {
    context: Context,
    store: Store,
    sealer: Sealer,
    /// Tells the scheduler that there may be a delivery to send.
    due: Arc<Notify>,
    /// The log, live.
    feeds: feeds::Feeds,
    /// Pages of the log that are still right.
    pages: Answers<ListActivityResponse>,
}

/// The role.
pub fn role(context: &Context) -> Result<Role> {
    let store = context.store(SCHEMA)?;
    let state = State {
        context: context.clone(),
        store: store.clone(),
        sealer: context.sealer.clone(),
        due: Arc::default(),
        feeds: feeds::Feeds::new(store.clone(), context.bus.clone(), context.stop.clone()),
        pages: Answers::default(),
    };
    let feeds = state.feeds.clone();
    let sender = Arc::new(sender::Sender::new(state.clone())?);
    let (scheduler, pruner) = (state.clone(), state.clone());
    Ok(Role::new("activity")
        .store(context, &store)
        .service(ActivityServiceServer::new(events::Activity(state.clone())))
        .service(AuditServiceServer::new(audit::Audit(state.clone())))
        .service(InboxServiceServer::new(inbox::Inboxes(state.clone())))
        .service(MetricsServiceServer::new(metrics::Metrics(state.clone())))
        .service(WebhookServiceServer::new(webhooks::Webhooks(state.clone())))
        .consumer(
            context,
            Consumer {
                name: "activity.log",
                topics: &["#"],
                store: store.clone(),
                handler: Arc::new(consumers::Log(state.clone())),
            },
        )
        .consumer(
            context,
            Consumer {
                name: "activity.organization-deleted",
                topics: &["organization.deleted"],
                store: store.clone(),
                handler: Arc::new(consumers::OrganizationDeleted),
            },
        )
        .worker(
            context,
            Worker {
                queue: deliveries::QUEUE,
                concurrency: CONCURRENT_DELIVERIES,
                handler: sender,
            },
        )
        .task("log-feeds", move |stop| feeds.clone().run(stop))
        .task("webhook-scheduler", move |stop| {
            deliveries::schedule(scheduler.clone(), stop)
        })
        .task("webhook-pruner", move |stop| deliveries::prune(pruner.clone(), stop)))
}
