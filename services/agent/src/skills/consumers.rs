//! What other services' changes mean for skills.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::{
    Result, Tx,
    bus::{Consumer, Handler},
    outbox::unpack,
};
use proto::{event::v1::Event, org::v1::Organization};
use uuid::Uuid;

use super::{Skills, packs, source};

/// Packs that a person's own organization begins with.
const PACKS: [&str; 2] = [
    "https://github.com/sickn33/antigravity-awesome-skills",
    "https://github.com/BrianRWagner/ai-marketing-skills",
];
/// The name of an organization that a first sign-in makes.
const PERSONAL: &str = "Personal";

/// Personal organizations begin with packs; skills go with their organization, and what is installed with its gateway.
pub fn places(skills: &Arc<Skills>) -> Consumer {
    Consumer {
        name: "agent.skills",
        topics: &["organization.created", "organization.deleted", "gateway.deleted"],
        store: skills.app.store.clone(),
        handler: Arc::new(Places(skills.clone())),
    }
}

struct Places(Arc<Skills>);

#[async_trait]
impl Handler for Places {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        for event in events {
            match event.r#type.as_str() {
                "organization.created" => self.founded(tx, event).await?,
                "organization.deleted" => {
                    if let Ok(organization) = Uuid::parse_str(&event.organization_id) {
                        sqlx::query!("DELETE FROM agent.skill_packs WHERE organization_id = $1", organization)
                            .execute(&mut **tx)
                            .await?;
                        sqlx::query!("DELETE FROM agent.skills WHERE organization_id = $1", organization)
                            .execute(&mut **tx)
                            .await?;
                    }
                }
                _ => {
                    if let Ok(gateway) = Uuid::parse_str(&event.gateway_id) {
                        sqlx::query!("DELETE FROM agent.skill_installs WHERE gateway_id = $1", gateway)
                            .execute(&mut **tx)
                            .await?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Places {
    async fn founded(&self, tx: &mut Tx, event: &Event) -> Result<()> {
        let personal = unpack::<Organization>(event.after.as_ref()).is_some_and(|made| made.name == PERSONAL);
        let Ok(organization) = Uuid::parse_str(&event.organization_id) else {
            return Ok(());
        };
        if !personal {
            return Ok(());
        }
        let caller = self.0.app.itself(organization);
        for pack in PACKS {
            // Where the configuration allows other hosts only, there are none to begin with.
            let Ok(source_url) = source::repository(pack, &self.0.hosts) else {
                continue;
            };
            let row = packs::fresh(organization, source_url);
            if packs::add(tx, &row).await? {
                let change = row.change("skill_pack.created", "added");
                tx.record(&caller, change.after(&row.message())).await?;
            }
        }
        Ok(())
    }
}
