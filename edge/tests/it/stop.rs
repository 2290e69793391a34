use std::{sync::atomic::Ordering, time::Duration};

use crate::{BOARD, Port, answer, eventually, send, stream::Frames};

#[tokio::test]
async fn stopping_finishes_what_is_in_hand() {
    let port = Port::open().await;
    let mut watcher = Frames::of(send(port.get(&format!("/api/v1/boards/{BOARD}/tasks/stream"))).await);
    watcher.next().await.expect("an event");
    watcher.next().await.expect("an event");
    let slow = tokio::spawn(answer(port.task("slow")));
    let script = port.script.clone();
    eventually("the call is in hand", async || {
        script.gate.waiting.load(Ordering::SeqCst) == 1
    })
    .await;

    let address = port.address;
    let stopping = tokio::spawn(port.close());
    assert_eq!(watcher.next().await, None, "streams end cleanly");
    eventually("nobody new is let in", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    assert!(!slow.is_finished());
    script.gate.open();
    assert_eq!(slow.await.expect("no panic").0, 200, "the call is answered");
    tokio::time::timeout(Duration::from_secs(5), stopping)
        .await
        .expect("at once")
        .expect("no panic");
}
