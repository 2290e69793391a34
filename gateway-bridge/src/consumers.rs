//! What other services' changes mean here.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::{
    Caller, Result, Store, Tx,
    bus::{Consumer, Handler},
    identity::Signer,
};
use proto::event::v1::Event;
use uuid::Uuid;

use crate::gateways;

/// Gateways end with their organization.
pub fn organization_deletions(store: &Store, signer: &Signer) -> Consumer {
    Consumer {
        name: "gateway.organization-deletions",
        topics: &["organization.deleted"],
        store: store.clone(),
        handler: Arc::new(OrganizationDeletions { signer: signer.clone() }),
    }
}

struct OrganizationDeletions {
    signer: Signer,
}

#[async_trait]
impl Handler for OrganizationDeletions {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        for organization in events
            .iter()
            .filter_map(|event| Uuid::parse_str(&event.organization_id).ok())
        {
            let caller = Caller::service(&self.signer, "gateway-bridge", Some(organization));
            gateways::delete(tx, &caller, organization, None).await?;
            sqlx::query!("DELETE FROM gateway.devices WHERE organization_id = $1", organization)
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }
}
