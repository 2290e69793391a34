//! What other services' changes mean here.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::{
    Result, Store, Tx,
    bus::{Consumer, Handler},
};
use proto::event::v1::Event;
use uuid::Uuid;

/// Rights on a board end with the board.
pub fn board_deletions(store: &Store) -> Consumer {
    Consumer {
        name: "org.board-deletions",
        topics: &["board.deleted"],
        store: store.clone(),
        handler: Arc::new(BoardDeletions),
    }
}

struct BoardDeletions;

#[async_trait]
impl Handler for BoardDeletions {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let boards: Vec<Uuid> = events
            .iter()
            .filter_map(|event| Uuid::parse_str(&event.board_id).ok())
            .collect();
        sqlx::query!("DELETE FROM org.board_grants WHERE board_id = ANY($1)", &boards)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
