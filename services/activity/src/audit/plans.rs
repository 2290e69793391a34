//! What lists of the audit trail read at size.

use time::{Duration, OffsetDateTime};

use super::Filter;
use crate::plans::{Busy, EXPLAIN, ORGANIZATION, PAGE, SOME, kinds};

#[tokio::test]
async fn pages_of_the_trail_read_little_more_than_they_show() {
    let busy = Busy::fill().await;
    let whole = || Filter {
        organization: ORGANIZATION,
        ..Filter::default()
    };
    let long_ago = OffsetDateTime::now_utc() - Duration::seconds(59_500);
    let filters = [
        ("everything", whole()),
        (
            "one actor",
            Filter {
                actor: Some("a2".into()),
                ..whole()
            },
        ),
        (
            "a rare kind",
            Filter {
                include: kinds(&["tag.created"]),
                ..whole()
            },
        ),
        (
            "a thing",
            Filter {
                target: Some(busy.agent),
                ..whole()
            },
        ),
        (
            "a task",
            Filter {
                target: Some(busy.task),
                ..whole()
            },
        ),
        (
            "a board",
            Filter {
                board: Some(busy.boards[0]),
                ..whole()
            },
        ),
        (
            "a request",
            Filter {
                request: Some("r2".into()),
                ..whole()
            },
        ),
        (
            "since a while",
            Filter {
                since: Some(OffsetDateTime::now_utc() - Duration::hours(1)),
                ..whole()
            },
        ),
        (
            "until long ago",
            Filter {
                until: Some(long_ago),
                ..whole()
            },
        ),
    ];
    let select = format!("{EXPLAIN}SELECT e.id");
    for (name, filter) in filters {
        busy.check(name, filter.page(&select, None, i64::from(PAGE) + 1), SOME)
            .await;
        let next = filter.page(&select, Some(29_000), i64::from(PAGE) + 1);
        busy.check(&format!("{name}, further back"), next, SOME * 2.0).await;
    }
}
