//! People, organizations and memberships: who may sign in and what they may touch.

use chassis::{Context, Result, Role, Schema};
use proto::org::v1::{
    access_service_server::AccessServiceServer, api_key_service_server::ApiKeyServiceServer,
    auth_service_server::AuthServiceServer, directory_service_server::DirectoryServiceServer,
    invite_service_server::InviteServiceServer, member_service_server::MemberServiceServer,
    organization_service_server::OrganizationServiceServer, user_service_server::UserServiceServer,
};
use sqlx::migrate::Migrator;

mod auth;
mod boards;
mod consumers;
mod directory;
mod explain;
mod invites;
mod keys;
mod members;
mod organizations;
mod rules;
mod usage;
mod users;

/// The history of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// What belongs to this service in the database.
pub const SCHEMA: Schema = Schema {
    name: "org",
    migrations: &MIGRATIONS,
};

/// The role of this service.
pub fn role(context: &Context) -> Result<Role> {
    let store = context.store(SCHEMA)?;
    let peers = context.peers.named("org");
    Ok(Role::new("org")
        .service(DirectoryServiceServer::new(directory::Directory {
            usages: usage::Usages::new(store.clone()),
            store: store.clone(),
        }))
        .service(AuthServiceServer::new(auth::Auth {
            settings: context.settings.clone(),
        }))
        .service(AccessServiceServer::new(explain::Explaining {
            store: store.clone(),
            peers: peers.clone(),
            catalog: context.catalog.clone(),
        }))
        .service(ApiKeyServiceServer::new(keys::ApiKeys {
            store: store.clone(),
            peers: peers.clone(),
        }))
        .service(UserServiceServer::new(users::Users { store: store.clone() }))
        .service(OrganizationServiceServer::new(organizations::Organizations {
            store: store.clone(),
        }))
        .service(MemberServiceServer::new(members::Members {
            store: store.clone(),
            peers: peers.clone(),
        }))
        .service(InviteServiceServer::new(invites::Invites {
            store: store.clone(),
            peers,
        }))
        .consumer(context, consumers::board_deletions(&store))
        .consumer(context, consumers::introductions(&store))
        .store(context, &store))
}
