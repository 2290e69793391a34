//! Live feeds: no gaps, no repetitions, wherever a watcher begins and whatever it missed.

use std::{sync::Arc, time::Duration};

use chassis::{
    Result,
    error::Kind as ErrorKind,
    live::{Feed, Start, now_position},
    relay::prune_all,
};
use futures::{FutureExt, Stream, StreamExt};
use proto::event::v1::Event;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::on_both,
    support::{Kind, PATIENCE, Rig, event, labels, tasks},
};

on_both!(
    watchers_miss_nothing_whenever_they_come,
    a_watcher_resumes_after_its_token,
    since_is_a_time,
    a_filter_chooses,
    a_slow_watcher_catches_up,
    an_old_token_is_refused,
    it_ends_with_the_server
);

/// The next `count` events' labels.
async fn take(stream: &mut (impl Stream<Item = Result<Arc<Event>>> + Unpin), count: usize) -> Vec<String> {
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await;
        let event = next
            .unwrap_or_else(|_| panic!("only {} of {count} came: {taken:?}", taken.len()))
            .expect("the stream goes on")
            .expect("it is an event");
        taken.push(event.message.clone());
    }
    taken
}

fn feed(rig: &Rig) -> Feed {
    // Over RabbitMQ an event has to have a durable taker.
    rig.record_effects("sink.log", &["#"]);
    rig.relay();
    Feed::new(rig.source.clone(), rig.bus.clone())
}

async fn watchers_miss_nothing_whenever_they_come(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let feed = feed(&rig);
    let (mut watchers, total) = (Vec::new(), 400);
    for n in (0..total).step_by(10) {
        rig.record(&tasks(n..n + 10)).await;
        if n % 40 == 0 {
            // Some begin at the beginning, some where they know the log to be.
            let from = if n % 80 == 0 {
                0
            } else {
                now_position(&rig.source).await.expect("the position is read")
            };
            let mut stream = Box::pin(feed.watch(Start::After(from), |_| true));
            let from = usize::try_from(from).expect("it is small");
            watchers.push(tokio::spawn(
                async move { (from, take(&mut stream, total - from).await) },
            ));
        }
    }
    assert!(watchers.len() >= 10);
    for watcher in watchers {
        let (from, seen) = watcher.await.expect("the watcher ends");
        assert_eq!(seen, labels(from..total), "from {from}");
    }
    rig.close().await;
}

async fn a_watcher_resumes_after_its_token(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let feed = feed(&rig);
    rig.record(&tasks(0..5)).await;
    let mut stream = Box::pin(feed.watch(Start::After(0), |_| true));
    take(&mut stream, 2).await;
    let third = stream
        .next()
        .await
        .expect("the stream goes on")
        .expect("it is an event");
    drop(stream);
    rig.record(&tasks(5..7)).await;
    let token = third.position.to_string();
    let mut stream = Box::pin(feed.watch(Start::of(None, Some(&token)).expect("the token is valid"), |_| true));
    assert_eq!(take(&mut stream, 4).await, labels(3..7));
    rig.record(&tasks(7..9)).await;
    assert_eq!(take(&mut stream, 2).await, labels(7..9));

    let error = Box::pin(feed.watch(Start::After(1_000_000), |_| true))
        .next()
        .await
        .expect("an answer")
        .expect_err("it is ahead");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    rig.close().await;
}

async fn since_is_a_time(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let feed = feed(&rig);
    let start = OffsetDateTime::now_utc() - Duration::from_secs(600);
    let mut events = tasks(0..6);
    for (n, event) in (0u32..).zip(&mut events) {
        event.time = Some(chassis::timestamp(start + Duration::from_secs(60) * n));
    }
    rig.record(&events).await;
    rig.wait_until_published().await;
    // The log knows when it was written; the tests cannot wait for minutes.
    for (n, event) in (0..).zip(&events) {
        sqlx::query("UPDATE source.change_log SET created_at = $2 WHERE id = $1::uuid")
            .bind(&event.id)
            .bind(start + Duration::from_secs(60) * n)
            .execute(rig.source.pool())
            .await
            .expect("the time is set");
    }
    let mut stream = Box::pin(feed.watch(Start::Since(start + Duration::from_secs(150)), |_| true));
    assert_eq!(take(&mut stream, 3).await, labels(3..6));
    let mut now = Box::pin(feed.watch(Start::Now, |_| true));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), now.next())
            .await
            .is_err(),
        "nothing has happened since"
    );
    rig.record(&tasks(6..8)).await;
    assert_eq!(take(&mut now, 2).await, labels(6..8));
    assert_eq!(take(&mut stream, 2).await, labels(6..8));
    rig.close().await;
}

async fn a_filter_chooses(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let feed = feed(&rig);
    let on_board = |board: &str, label: &str| Event {
        board_id: board.to_owned(),
        ..event("task.created", label)
    };
    rig.record(&[on_board("a", "1"), on_board("b", "2"), on_board("a", "3")])
        .await;
    let mut a = Box::pin(feed.watch(Start::After(0), |event| event.board_id == "a"));
    let mut b = Box::pin(feed.watch(Start::After(0), |event| event.board_id == "b"));
    assert_eq!(take(&mut a, 2).await, ["1", "3"]);
    assert_eq!(take(&mut b, 1).await, ["2"]);
    rig.record(&[on_board("b", "4"), on_board("a", "5")]).await;
    assert_eq!(take(&mut a, 1).await, ["5"]);
    assert_eq!(take(&mut b, 1).await, ["4"]);
    // Another service's events are not of this feed.
    rig.bus
        .publish(&[Event {
            source: "sink".into(),
            position: 6,
            ..on_board("a", "foreign")
        }])
        .await
        .expect("it is published");
    rig.record(&[on_board("a", "6")]).await;
    assert_eq!(take(&mut a, 1).await, ["6"]);
    rig.close().await;
}

async fn a_slow_watcher_catches_up(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let feed = feed(&rig);
    rig.record(&tasks(0..1)).await;
    let mut slow = Box::pin(feed.watch(Start::After(0), |_| true));
    assert_eq!(take(&mut slow, 1).await, labels(0..1));
    // More than any buffer holds, while it does not look.
    let total = 6000;
    for n in (1..total).step_by(500) {
        rig.record(&tasks(n..(n + 500).min(total))).await;
    }
    rig.wait_until_published().await;
    let mut quick = Box::pin(feed.watch(Start::After(i64::try_from(total).expect("small") - 1), |_| true));
    assert_eq!(take(&mut slow, total - 1).await, labels(1..total));
    assert_eq!(take(&mut quick, 1).await, labels(total - 1..total));
    assert!(slow.next().now_or_never().is_none(), "nothing comes twice");
    rig.close().await;
}

async fn an_old_token_is_refused(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let feed = feed(&rig);
    rig.record(&tasks(0..10)).await;
    rig.wait_until_published().await;
    sqlx::query(
        "UPDATE source.change_log SET created_at = now() - interval '8 days' WHERE position <= 4 OR position = 7",
    )
    .execute(rig.source.pool())
    .await
    .expect("they age");
    prune_all(&rig.source).await.expect("old rows go");
    let left: Vec<i64> = sqlx::query_scalar("SELECT position FROM source.change_log ORDER BY position")
        .fetch_all(rig.source.pool())
        .await
        .expect("the log is read");
    assert_eq!(left, [5, 6, 7, 8, 9, 10], "what is left has no holes");
    let error = Box::pin(feed.watch(Start::After(3), |_| true))
        .next()
        .await
        .expect("an answer")
        .expect_err("position 4 is gone");
    assert_eq!(error.kind(), ErrorKind::Gone);
    let mut stream = Box::pin(feed.watch(Start::After(4), |_| true));
    assert_eq!(take(&mut stream, 6).await, labels(4..10));
    // However old, the newest row stays, so that positions go on.
    sqlx::query("UPDATE source.change_log SET created_at = now() - interval '8 days'")
        .execute(rig.source.pool())
        .await
        .expect("they age");
    prune_all(&rig.source).await.expect("old rows go");
    rig.record(&tasks(10..11)).await;
    assert_eq!(take(&mut stream, 1).await, labels(10..11));
    assert_eq!(now_position(&rig.source).await.expect("the position is read"), 11);
    rig.close().await;
}

async fn it_ends_with_the_server(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let stop = CancellationToken::new();
    let feed = feed(&rig).until(stop.clone());
    let mut stream = Box::pin(feed.watch(Start::Now, |_| true));
    assert!(stream.next().now_or_never().is_none());
    stop.cancel();
    assert!(
        tokio::time::timeout(PATIENCE, stream.next())
            .await
            .expect("it ends")
            .is_none()
    );
    rig.close().await;
}
