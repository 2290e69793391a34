//! Skills: packs they are found in, the marketplace of an organization, and what gateways were asked to install.

mod consumers;
mod discover;
mod install;
mod market;
mod packs;
mod row;
mod source;
mod sync;

use std::{sync::Arc, time::Duration};

use chassis::{Context, Result, egress::Policy};
use reqwest::Client;
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use crate::{app::App, git::Limits};

pub use consumers::places;
pub use install::settle;
pub use sync::run;

/// The setting that opens private networks to packs.
const NETWORKS: &str = "SKILL_PACK_ALLOWED_NETWORKS";
/// Endings of readings that a waiting caller may fall behind.
const ENDINGS: usize = 64;

/// What the two services of skills, their loops and their consumer share.
pub struct Skills {
    app: Arc<App>,
    client: Client,
    policy: Policy,
    hosts: source::Hosts,
    limits: Limits,
    /// What this process holds packs by while it reads them.
    lease: Uuid,
    /// Wakes the reader of packs.
    work: Notify,
    /// Readings that ended in this process.
    ended: broadcast::Sender<Uuid>,
}

impl Skills {
    /// The state of this process.
    pub fn new(context: &Context, app: &Arc<App>) -> Result<Arc<Self>> {
        let settings = &context.settings;
        let policy = Policy::parse(NETWORKS, &settings.skill_pack_allowed_networks)?;
        let limits = Limits::default();
        // The time of a whole reading is bounded there; this one only ends a server that trickles.
        let client = policy.client(settings.tls_ca_file.as_deref(), limits.time + Duration::from_secs(5))?;
        Ok(Arc::new(Self {
            app: app.clone(),
            client,
            policy,
            hosts: source::Hosts::parse(&settings.skill_pack_hosts),
            limits,
            lease: Uuid::now_v7(),
            work: Notify::new(),
            ended: broadcast::Sender::new(ENDINGS),
        }))
    }
}

/// The gRPC services.
#[derive(Clone)]
pub struct Service(pub Arc<Skills>);
