//! The dashboard, from the facts.

use std::collections::HashMap;

use chassis::{Caller, Error, Result, error::Kind, identity::optional_uuid, timestamp};
use proto::{
    activity::v1::{
        DashboardKpis, DashboardMetrics, DashboardPendingApproval, DashboardPendingApprovals, DashboardRangeSeries,
        DashboardSeriesPoint, DashboardSeriesSet, DashboardWipPoint, DashboardWipRangeSeries, DashboardWipSeriesSet,
        GetDashboardMetricsRequest, metrics_service_server::MetricsService,
    },
    board::v1::{LookupBoardRequest, board_directory_service_client::BoardDirectoryServiceClient},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    State,
    periods::{Edge, Window},
    view::{self, View},
};

/// Approvals shown on the dashboard.
const SHOWN: i64 = 10;

/// The service.
pub struct Metrics(pub State);

/// Values by whether they belong to the range itself, and by bucket.
type Buckets = HashMap<(bool, OffsetDateTime), f64>;

/// What is counted of tasks.
#[derive(Default)]
struct Series {
    inbox: Buckets,
    in_progress: Buckets,
    review: Buckets,
    done: Buckets,
    cycle_time: Buckets,
}

/// Events about tasks, and the failures among them.
#[derive(Clone, Copy, Default)]
struct Counted {
    total: f64,
    failed: f64,
}

impl Counted {
    fn percent(self) -> f64 {
        if self.total > 0.0 {
            100.0 * self.failed / self.total
        } else {
            0.0
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Metrics {
    async fn get_dashboard_metrics(
        &self,
        request: Request<GetDashboardMetricsRequest>,
    ) -> Result<Response<DashboardMetrics>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.dashboard(&caller, &request.into_inner()).await?))
    }
}

impl Metrics {
    async fn dashboard(&self, caller: &Caller, request: &GetDashboardMetricsRequest) -> Result<DashboardMetrics> {
        let readable = caller.readable_boards()?;
        // Who may read nothing sees zeros, whatever was asked for.
        let boards = if readable.as_ref().is_some_and(Vec::is_empty) {
            Vec::new()
        } else {
            self.boards(caller, request).await?
        };
        let organization = caller.organization()?;
        // One moment for all figures: a task that moves meanwhile is in one place. The first statement fixes it; what it sees is not after `now`.
        let mut read = self.0.store.snapshot().await?;
        let pending = pending(&mut read, organization, &boards).await?;
        let now = OffsetDateTime::now_utc();
        let window = Window::ending(request.range_key(), now);
        let (series, kpis) = tasks(&mut read, &boards, &window).await?;
        let counted = counted(&mut read, &boards, window).await?;
        let active = active(&mut read, &boards, window).await?;
        read.commit().await?;
        let failures: HashMap<_, f64> = counted.iter().map(|(key, counted)| (*key, counted.percent())).collect();
        let range =
            counted
                .iter()
                .filter(|((primary, _), _)| *primary)
                .fold(Counted::default(), |sum, (_, counted)| Counted {
                    total: sum.total + counted.total,
                    failed: sum.failed + counted.failed,
                });
        Ok(DashboardMetrics {
            range: window.range.into(),
            generated_at: Some(timestamp(now)),
            kpis: Some(DashboardKpis {
                active_agents: active,
                error_rate_pct: range.percent(),
                ..kpis
            }),
            throughput: Some(set(window, &series.done)),
            cycle_time: Some(set(window, &series.cycle_time)),
            error_rate: Some(set(window, &failures)),
            wip: Some(wip(window, &series)),
            pending_approvals: Some(pending),
        })
    }

    /// The boards that count.
    async fn boards(&self, caller: &Caller, request: &GetDashboardMetricsRequest) -> Result<Vec<Uuid>> {
        let view = View::of(caller, request.board_id.as_ref())?;
        let mut boards = view::boards(&self.0, &view).await?;
        if let (Some(board), true) = (view.board, boards.is_empty()) {
            self.exists(caller, view.organization, board).await?;
        }
        if let Some(group) = optional_uuid(request.group_id.as_ref())? {
            boards = sqlx::query_scalar!(
                "SELECT id FROM activity.boards WHERE id = ANY($1) AND board_group_id = $2",
                &boards,
                group
            )
            .fetch_all(self.0.store.pool())
            .await?;
        }
        Ok(boards)
    }

    /// Refuses a board that is not one of the organization. Asked only when no event of it has come yet.
    async fn exists(&self, caller: &Caller, organization: Uuid, board: Uuid) -> Result<()> {
        let denied = || Error::denied("Board access denied");
        let peers = self.0.context.peers.named("activity");
        let peer = peers.as_service("board", Some(organization), Some(caller));
        let found = BoardDirectoryServiceClient::new(peer)
            .lookup_board(LookupBoardRequest {
                board_id: board.to_string(),
            })
            .await
            .map_err(Error::from);
        match found {
            Ok(found) if found.get_ref().organization_id == organization.to_string() => Ok(()),
            Ok(_) => Err(denied()),
            Err(error) if error.kind() == Kind::NotFound => Err(denied()),
            Err(error) => Err(error),
        }
    }
}

/// Tasks by status: how many there are, and when those of the window came into it. One pass; a bucket is found by its number, which costs a
/// fraction of what cutting off a time does.
async fn tasks(read: &mut PgConnection, boards: &[Uuid], window: &Window) -> Result<(Series, DashboardKpis)> {
    let edges = window.edges();
    let starts: Vec<OffsetDateTime> = edges.iter().map(|edge| edge.from).collect();
    let rows = sqlx::query!(
        "SELECT status, CASE WHEN at <= $3 THEN width_bucket(at, $2::timestamptz[]) ELSE 0 END AS \"edge!\", count(*)::int AS \"count!\" \
         FROM ( \
           SELECT status, CASE status WHEN 'inbox' THEN created_at ELSE moved_at END AS at \
           FROM activity.tasks WHERE board_id = ANY($1) AND NOT deleted \
         ) t GROUP BY 1, 2",
        boards,
        &starts,
        window.end
    )
    .fetch_all(&mut *read)
    .await?;
    let (mut series, mut kpis) = (Series::default(), DashboardKpis::default());
    for row in rows {
        let (buckets, all) = match row.status.as_str() {
            "inbox" => (&mut series.inbox, &mut kpis.inbox_tasks),
            "in_progress" => (&mut series.in_progress, &mut kpis.in_progress_tasks),
            "review" => (&mut series.review, &mut kpis.review_tasks),
            _ => (&mut series.done, &mut kpis.done_tasks),
        };
        *all += row.count;
        if let Some(edge) = edge_of(&edges, row.edge) {
            buckets.insert(edge.bucket(), f64::from(row.count));
        }
    }
    kpis.tasks_in_progress = kpis.in_progress_tasks;
    let rows = sqlx::query!(
        "WITH finished AS MATERIALIZED ( \
           SELECT finished_at AS at, date_part('epoch', finished_at - started_at) / 3600 AS hours FROM activity.tasks \
           WHERE board_id = ANY($1) AND NOT deleted AND started_at IS NOT NULL AND finished_at >= $2 AND finished_at <= $4 \
         ) \
         SELECT width_bucket(at, $5::timestamptz[]) AS \"edge!\", avg(hours) AS value FROM finished GROUP BY 1 \
         UNION ALL SELECT 0, percentile_cont(0.5) WITHIN GROUP (ORDER BY hours) FROM finished WHERE at >= $3",
        boards,
        window.before,
        window.start,
        window.end,
        &starts
    )
    .fetch_all(read)
    .await?;
    for row in rows {
        match (edge_of(&edges, row.edge), row.value) {
            (Some(edge), Some(hours)) => {
                series.cycle_time.insert(edge.bucket(), hours);
            }
            // The window begins with the first edge: what has none is the median.
            (_, median) => kpis.median_cycle_time_hours_7d = median,
        }
    }
    Ok((series, kpis))
}

/// The edge of a number that `width_bucket` gives: from 1; 0 is before the first.
fn edge_of(edges: &[Edge], number: i32) -> Option<&Edge> {
    edges.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// Whole steps are counted: the one in which the range begins belongs to it.
async fn counted(
    read: &mut PgConnection,
    boards: &[Uuid],
    window: Window,
) -> Result<HashMap<(bool, OffsetDateTime), Counted>> {
    let rows = sqlx::query!(
        "SELECT at >= date_trunc($2, $4::timestamptz, 'UTC') AS \"is_primary!\", date_trunc($6, at, 'UTC') AS \"period!\", \
           sum(total)::float8 AS \"total!\", sum(failed)::float8 AS \"failed!\" \
         FROM activity.task_events WHERE board_id = ANY($1) AND step = $2 AND at >= date_trunc($2, $3::timestamptz, 'UTC') AND at <= $5 \
         GROUP BY 1, 2",
        boards,
        window.step(),
        window.before,
        window.start,
        window.end,
        window.word()
    )
    .fetch_all(read)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let counted = Counted {
                total: row.total,
                failed: row.failed,
            };
            ((row.is_primary, row.period), counted)
        })
        .collect())
}

/// Agents that were heard of. One that is here now was heard of a moment ago; of others the last sign of life is known.
async fn active(read: &mut PgConnection, boards: &[Uuid], window: Window) -> Result<i32> {
    Ok(sqlx::query_scalar!(
        "SELECT count(*)::int AS \"count!\" FROM activity.agents WHERE board_id = ANY($1) AND NOT deleted \
           AND last_seen_at IS NOT NULL AND (last_seen_at >= $2 OR status NOT IN ('offline', 'provisioning', 'deleting'))",
        boards,
        window.start
    )
    .fetch_one(read)
    .await?)
}

async fn pending(read: &mut PgConnection, organization: Uuid, boards: &[Uuid]) -> Result<DashboardPendingApprovals> {
    let rows = sqlx::query!(
        "SELECT a.id, a.board_id, b.name AS board_name, a.action_type, a.confidence, a.created_at, a.task_title, \
           count(*) OVER ()::int AS \"total!\" \
         FROM activity.approvals a JOIN activity.boards b ON b.id = a.board_id \
         WHERE a.organization_id = $1 AND a.board_id = ANY($2) AND a.status = 'pending' AND NOT a.deleted \
         ORDER BY a.created_at DESC, a.id DESC LIMIT $3",
        organization,
        boards,
        SHOWN
    )
    .fetch_all(read)
    .await?;
    Ok(DashboardPendingApprovals {
        total: rows.first().map_or(0, |row| row.total),
        items: rows
            .into_iter()
            .map(|row| DashboardPendingApproval {
                approval_id: row.id.to_string(),
                board_id: row.board_id.to_string(),
                board_name: row.board_name,
                action_type: row.action_type,
                confidence: row.confidence,
                created_at: Some(timestamp(row.created_at)),
                task_title: row.task_title,
            })
            .collect(),
    })
}

/// The value of every bucket, zero where there is none. A bucket that both ranges touch has a value in each.
fn values(
    periods: Vec<OffsetDateTime>,
    primary: bool,
    buckets: &Buckets,
) -> impl Iterator<Item = (OffsetDateTime, f64)> {
    periods
        .into_iter()
        .map(move |period| (period, buckets.get(&(primary, period)).copied().unwrap_or(0.0)))
}

fn set(window: Window, buckets: &Buckets) -> DashboardSeriesSet {
    let series = |periods: Vec<OffsetDateTime>, primary: bool| {
        let points = values(periods, primary, buckets).map(|(period, value)| DashboardSeriesPoint {
            period: Some(timestamp(period)),
            value,
        });
        Some(DashboardRangeSeries {
            range: window.range.into(),
            bucket: window.bucket.into(),
            points: points.collect(),
        })
    };
    DashboardSeriesSet {
        primary: series(window.primary(), true),
        comparison: series(window.comparison(), false),
    }
}

fn wip(window: Window, series: &Series) -> DashboardWipSeriesSet {
    let range = |periods: Vec<OffsetDateTime>, primary: bool| {
        let points = periods.into_iter().map(|period| {
            #[expect(clippy::cast_possible_truncation, reason = "counts of rows")]
            let count = |buckets: &Buckets| buckets.get(&(primary, period)).map_or(0, |value| *value as i32);
            DashboardWipPoint {
                period: Some(timestamp(period)),
                inbox: count(&series.inbox),
                in_progress: count(&series.in_progress),
                review: count(&series.review),
                done: count(&series.done),
            }
        });
        Some(DashboardWipRangeSeries {
            range: window.range.into(),
            bucket: window.bucket.into(),
            points: points.collect(),
        })
    };
    DashboardWipSeriesSet {
        primary: range(window.primary(), true),
        comparison: range(window.comparison(), false),
    }
}
