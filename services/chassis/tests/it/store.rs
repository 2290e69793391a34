//! Callers go away at any moment.

use futures::poll;
use sqlx::{Connection, PgConnection};

use crate::support::{Kind, PATIENCE, Rig, within};

/// Looks so many times whether it has begun, then gives up.
async fn look(begin: impl Future, times: usize) {
    let mut begin = std::pin::pin!(begin);
    for _ in 0..times {
        if poll!(&mut begin).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_while_it_begins_leaves_no_transaction_behind() {
    let rig = Rig::new(Kind::Memory).await.expect("it needs no broker");
    // A connection that is there, so that beginning is all that is waited for.
    rig.source.ping().await.expect("a connection");
    // The last are given up first: nobody comes after them who would end what they began.
    for times in (1..100).rev() {
        look(rig.source.begin(), times).await;
        look(rig.source.snapshot(), times).await;
    }
    let watcher = PgConnection::connect(&rig.url).await.expect("the database answers");
    let watcher = tokio::sync::Mutex::new(watcher);
    let nobody = within(PATIENCE, async || {
        let inside: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        )
        .fetch_one(&mut *watcher.lock().await)
        .await
        .expect("who is connected");
        inside == 0
    })
    .await;
    assert!(nobody, "every connection is out of its transaction");
    rig.close().await;
}
