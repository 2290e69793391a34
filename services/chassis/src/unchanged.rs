//! Answers that are given again while nothing has changed in the database.
//!
//! Lists are read far more often than they change: by every watcher after every event, by every agent with every heartbeat. PostgreSQL
//! says cheaply whether anything at all was committed meanwhile: its snapshot (`pg_current_snapshot()`,
//! <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT>) names the transactions that a statement sees,
//! and two statements with the same snapshot see the same rows. An answer that is kept with its snapshot is therefore never stale, whatever
//! other process writes; after any commit it is read anew.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use prost::Message;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// Bytes of answers that are kept for one list.
const CAPACITY: u64 = 8 * 1024 * 1024;
/// How long an answer is kept at most: a database that was restored from a backup counts its transactions from an older one on.
const LIFETIME: Duration = Duration::from_secs(10);

/// The answers of one list, by what was asked. Clones share them.
pub struct Answers<M> {
    kept: Cache<Vec<u8>, Arc<Kept<M>>>,
}

struct Kept<M> {
    snapshot: Arc<str>,
    answer: Arc<Answer<M>>,
}

impl<M> Clone for Answers<M> {
    fn clone(&self) -> Self {
        Self {
            kept: self.kept.clone(),
        }
    }
}

/// An answer with whose it is.
pub struct Answer<M> {
    /// The organization that it belongs to: whoever gets it has to be allowed to.
    pub organization: Uuid,
    /// What is answered.
    pub message: M,
}

/// What is known of an answer before it is read.
pub struct Look<M> {
    /// The answer, when nothing has changed since it was read.
    pub known: Option<Arc<Answer<M>>>,
    key: Vec<u8>,
    snapshot: Arc<str>,
}

impl<M: Message + Send + Sync + 'static> Default for Answers<M> {
    fn default() -> Self {
        let size = |key: &Vec<u8>, kept: &Arc<Kept<M>>| {
            // A message in memory takes about twice its length on the wire.
            u32::try_from(key.len() + kept.snapshot.len() + 2 * kept.answer.message.encoded_len()).unwrap_or(u32::MAX)
        };
        Self {
            kept: Cache::builder()
                .weigher(size)
                .max_capacity(CAPACITY)
                .time_to_live(LIFETIME)
                .build(),
        }
    }
}

impl<M: Message + Send + Sync + 'static> Answers<M> {
    /// Looks for the answer to what `key` says in full: the request, and whatever else the answer depends on, such as what the caller may see.
    pub async fn look(&self, connection: &mut PgConnection, key: Vec<u8>) -> Result<Look<M>> {
        let snapshot = snapshot(connection).await?;
        let known = self
            .kept
            .get(&key)
            .filter(|kept| kept.snapshot == snapshot)
            .map(|kept| kept.answer.clone());
        Ok(Look { known, key, snapshot })
    }

    /// Keeps an answer that was read after a look, unless something was committed while it was read.
    pub async fn keep(
        &self,
        connection: &mut PgConnection,
        look: Look<M>,
        answer: Answer<M>,
    ) -> Result<Arc<Answer<M>>> {
        let answer = Arc::new(answer);
        if snapshot(connection).await? == look.snapshot {
            let kept = Kept {
                snapshot: look.snapshot,
                answer: answer.clone(),
            };
            self.kept.insert(look.key, Arc::new(kept));
        }
        Ok(answer)
    }
}

/// What the answer to a request depends on: the request, the organization, and which boards of it the caller may read (`None`: all).
pub fn key(request: &impl Message, organization: Uuid, boards: Option<&[Uuid]>) -> Vec<u8> {
    let mut key = request.encode_length_delimited_to_vec();
    key.extend_from_slice(organization.as_bytes());
    key.push(u8::from(boards.is_some()));
    key.extend(boards.into_iter().flatten().flat_map(|board| *board.as_bytes()));
    key
}

async fn snapshot(connection: &mut PgConnection) -> Result<Arc<str>> {
    let snapshot: String = sqlx::query_scalar("SELECT pg_current_snapshot()::text")
        .fetch_one(connection)
        .await?;
    Ok(snapshot.into())
}
