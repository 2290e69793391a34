//! What callers used of their limits, added up over the replicas of the edge.

use std::sync::atomic::{AtomicI64, Ordering};

use chassis::{Error, Result, Store};
use proto::org::v1::{SyncUsageRequest, SyncUsageResponse, Usage};

/// Windows that are kept: this one, the one before and one more for clocks that are not the same.
const KEPT: i64 = 3;
/// Most items of a call.
const MOST: usize = 1000;

/// Adds up what replicas tell.
pub struct Usages {
    store: Store,
    newest: AtomicI64,
}

impl Usages {
    /// In this store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            newest: AtomicI64::new(0),
        }
    }

    /// Adds what one replica counted and answers the sums.
    pub async fn add(&self, request: SyncUsageRequest) -> Result<SyncUsageResponse> {
        let mut items = request.items;
        if items.len() > MOST {
            return Err(Error::invalid("items", format!("items must be {MOST} at most.")));
        }
        // Always in one order: replicas that add at the same time must not wait for each other in a circle.
        items.sort_unstable_by(|a, b| (&a.key, a.window).cmp(&(&b.key, b.window)));
        items.dedup_by(|later, first| {
            let same = (&later.key, later.window) == (&first.key, first.window);
            if same {
                first.count = first.count.saturating_add(later.count);
            }
            same
        });
        let newest = items.iter().map(|item| item.window).max().unwrap_or(0);
        let sums = sqlx::query!(
            "INSERT INTO org.usage (key, minute, count) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) \
             ON CONFLICT (key, minute) DO UPDATE SET count = usage.count + EXCLUDED.count RETURNING key, minute, count",
            &items.iter().map(|item| item.key.clone()).collect::<Vec<_>>(),
            &items.iter().map(|item| item.window).collect::<Vec<_>>(),
            &items.iter().map(|item| item.count.max(0)).collect::<Vec<_>>()
        )
        .fetch_all(self.store.pool())
        .await?;
        if self.newest.fetch_max(newest, Ordering::Relaxed) < newest {
            sqlx::query!("DELETE FROM org.usage WHERE minute <= $1", newest - KEPT)
                .execute(self.store.pool())
                .await?;
        }
        let items = sums
            .into_iter()
            .map(|sum| Usage {
                key: sum.key,
                window: sum.minute,
                count: sum.count,
            })
            .collect();
        Ok(SyncUsageResponse { items })
    }
}
