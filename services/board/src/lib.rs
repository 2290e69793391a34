//! Boards, their tasks, comments, dependencies and tags.

use std::{sync::Arc, time::Duration};

use chassis::{Context, Result, Role, Schema, Store, bus::Consumer, live::Feed, seal::Sealer, unchanged::Answers};
use moka::future::Cache;
use proto::board::v1::{
    ListBoardsResponse, ListTasksResponse, TaskCommentFeedItem,
    board_directory_service_server::BoardDirectoryServiceServer,
    board_group_directory_service_server::BoardGroupDirectoryServiceServer,
    board_group_service_server::BoardGroupServiceServer, board_service_server::BoardServiceServer,
    board_webhook_service_server::BoardWebhookServiceServer, comment_feed_service_server::CommentFeedServiceServer,
    custom_field_service_server::CustomFieldServiceServer, group_memory_service_server::GroupMemoryServiceServer,
    memory_service_server::MemoryServiceServer, onboarding_service_server::OnboardingServiceServer,
    snapshot_service_server::SnapshotServiceServer, tag_service_server::TagServiceServer,
    task_service_server::TaskServiceServer,
};
use sqlx::migrate::Migrator;
use uuid::Uuid;

mod boards;
mod comments;
mod consumers;
mod directory;
mod feed;
mod fields;
mod goals;
mod groups;
mod inbound;
mod memory;
mod mentions;
mod onboarding;
mod outside;
mod payload;
pub mod rules;
mod snapshot;
mod tags;
mod tasks;
mod watch;

/// The history of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// What belongs to this service in the database.
pub const SCHEMA: Schema = Schema {
    name: "board",
    migrations: &MIGRATIONS,
};

/// What the handlers of all resources share.
#[derive(Clone)]
struct Service {
    store: Store,
    outside: outside::Outside,
    feed: Feed,
    /// Comments that watchers of the feed were told of lately, with what goes with them.
    feed_items: Cache<Uuid, TaskCommentFeedItem>,
    /// Pages of boards and of tasks that are still right.
    board_pages: Answers<ListBoardsResponse>,
    task_pages: Answers<ListTasksResponse>,
    /// Encrypts secrets of webhooks.
    sealer: Sealer,
    /// Where others reach Mission Control.
    base_url: Arc<str>,
}

/// The role: boards, tasks and tags, their directory for other services, and what follows from changes elsewhere.
pub fn role(context: &Context) -> Result<Role> {
    let store = context.store(SCHEMA)?;
    let service = Service {
        store: store.clone(),
        outside: outside::Outside::new(context.peers.named(SCHEMA.name)),
        feed: Feed::new(store.clone(), context.bus.clone()).until(context.stop.clone()),
        feed_items: Cache::builder()
            .max_capacity(1000)
            .time_to_live(Duration::from_secs(60))
            .build(),
        board_pages: Answers::default(),
        task_pages: Answers::default(),
        sealer: context.sealer.clone(),
        base_url: context.settings.public_url().into(),
    };
    let departures = Consumer {
        name: "board.departures",
        topics: &[
            "agent.deleted",
            "agent.updated",
            "gateway.deleted",
            "organization.deleted",
        ],
        store: store.clone(),
        handler: Arc::new(consumers::Departures::new(
            context.signer.clone(),
            service.base_url.clone(),
        )),
    };
    let interviews = Consumer {
        name: "board.onboarding",
        topics: &[
            "onboarding.confirmed",
            "onboarding.dispatched",
            "onboarding.dispatch_failed",
        ],
        store: store.clone(),
        handler: Arc::new(onboarding::Follow::new(service.outside.clone(), context.signer.clone())),
    };
    Ok(Role::new(SCHEMA.name)
        .service(BoardServiceServer::new(service.clone()))
        .service(TaskServiceServer::new(service.clone()))
        .service(TagServiceServer::new(service.clone()))
        .service(CommentFeedServiceServer::new(service.clone()))
        .service(CustomFieldServiceServer::new(service.clone()))
        .service(BoardGroupServiceServer::new(service.clone()))
        .service(MemoryServiceServer::new(service.clone()))
        .service(GroupMemoryServiceServer::new(service.clone()))
        .service(SnapshotServiceServer::new(service.clone()))
        .service(OnboardingServiceServer::new(service.clone()))
        .service(BoardWebhookServiceServer::new(service.clone()))
        .service(BoardGroupDirectoryServiceServer::new(service.clone()))
        .service(BoardDirectoryServiceServer::new(service))
        .store(context, &store)
        .consumer(context, departures)
        .consumer(context, interviews))
}
