//! Agents: who they are, their tokens and presence, and how their gateways follow.

use chassis::{Context, Result, Role, Schema, live::Feed};
use proto::agent::v1::{
    agent_directory_service_server::AgentDirectoryServiceServer, agent_service_server::AgentServiceServer,
    coordination_service_server::CoordinationServiceServer, operation_service_server::OperationServiceServer,
    skill_pack_service_server::SkillPackServiceServer, skill_service_server::SkillServiceServer,
    soul_directory_service_server::SoulDirectoryServiceServer, template_service_server::TemplateServiceServer,
};
use sqlx::migrate::Migrator;

mod agents;
mod app;
mod boards;
mod change;
mod chat;
mod consumers;
mod coordination;
mod create;
mod directory;
mod git;
mod heartbeat;
mod leads;
mod lease;
mod notices;
mod notify;
mod onboarding;
mod operations;
mod pace;
mod presence;
mod preview;
mod provision;
mod reconcile;
mod render;
mod requests;
mod row;
mod rules;
mod skills;
mod soul;
mod souls;
mod sync;
mod takers;
mod token;
mod webhooks;

/// The history of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// What belongs to this service in the database.
pub const SCHEMA: Schema = Schema {
    name: "agent",
    migrations: &MIGRATIONS,
};

/// The role of this service.
pub fn role(context: &Context) -> Result<Role> {
    let store = context.store(SCHEMA)?;
    let app = app::App::new(context, store.clone())?;
    let skills = skills::Skills::new(context, &app)?;
    let feed = Feed::new(store.clone(), context.bus.clone()).until(context.stop.clone());
    let bus = context.bus.clone();
    let run = |app: &std::sync::Arc<app::App>| app.clone();
    let (touching, silence, following, reconciling, tidying, sending, expiring) = (
        run(&app),
        run(&app),
        run(&app),
        run(&app),
        run(&app),
        run(&app),
        run(&app),
    );
    let reading = skills.clone();
    Ok(Role::new(app::NAME)
        .service(AgentServiceServer::new(agents::Agents {
            app: app.clone(),
            feed: feed.clone(),
        }))
        .service(TemplateServiceServer::new(sync::Templates {
            app: app.clone(),
            feed: feed.clone(),
        }))
        .service(OperationServiceServer::new(operations::Operations {
            app: app.clone(),
            feed,
        }))
        .service(CoordinationServiceServer::new(coordination::Coordination {
            app: app.clone(),
        }))
        .service(AgentDirectoryServiceServer::new(directory::Directory {
            app: app.clone(),
        }))
        .service(SkillPackServiceServer::new(skills::Service(skills.clone())))
        .service(SkillServiceServer::new(skills::Service(skills.clone())))
        .service(SoulDirectoryServiceServer::new(souls::Service { app: app.clone() }))
        .consumer(context, skills::places(&skills))
        .consumer(context, consumers::places(&app))
        .consumer(context, consumers::notices(&app))
        .consumer(context, boards::changes(&app))
        .consumer(context, chat::messages(&app))
        .consumer(context, onboarding::messages(&app))
        .consumer(context, webhooks::receipts(&app))
        .task("agent-touches", move |stop| {
            presence::write_touches(touching.clone(), stop)
        })
        .task("agent-silence", move |stop| {
            presence::watch_silence(silence.clone(), stop)
        })
        .task("agent-changes", move |stop| {
            presence::follow_changes(following.clone(), bus.clone(), stop)
        })
        .task("agent-reconciler", move |stop| {
            reconcile::run(reconciling.clone(), stop)
        })
        .task("agent-leftovers", move |stop| reconcile::tidy(tidying.clone(), stop))
        .task("agent-skill-packs", move |stop| skills::run(reading.clone(), stop))
        .task("agent-skill-messages", move |stop| skills::settle(skills.clone(), stop))
        .task("agent-operations", move |stop| {
            operations::expire(expiring.clone(), stop)
        })
        .task("agent-messages", move |stop| notify::run(sending.clone(), stop))
        .store(context, &store))
}
