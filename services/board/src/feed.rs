//! The feed of comments over all boards of an organization.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use chassis::{
    Caller, Result,
    identity::{optional_uuid, uuid_of},
    live::{Start, now_position},
    message::Page,
    timestamp,
};
use futures::{Stream, StreamExt};
use proto::board::v1::{
    ListTaskCommentFeedRequest, ListTaskCommentFeedResponse, TaskCommentFeedEvent, TaskCommentFeedItem,
    WatchTaskCommentFeedRequest, comment_feed_service_server::CommentFeedService,
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Service, boards};

/// A comment with its task and board.
struct Row {
    id: Uuid,
    message: String,
    agent_id: Option<Uuid>,
    author_name: String,
    created_at: OffsetDateTime,
    task_id: Uuid,
    task_title: String,
    board_id: Uuid,
    board_name: String,
}

macro_rules! select_feed {
    ($tail:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            "SELECT c.id, c.message, c.agent_id, c.author_name, c.created_at, t.id AS task_id, t.title AS task_title, b.id AS board_id, \
               b.name AS board_name \
             FROM board.comments c JOIN board.tasks t ON t.id = c.task_id JOIN board.boards b ON b.id = c.board_id " + $tail
            $(, $argument)*
        )
    };
}

/// Where a feed looks: an organization, and the boards of it; `None` is all of them.
struct Scope {
    organization: Uuid,
    boards: Option<Vec<Uuid>>,
}

impl Service {
    /// What the caller may see: one board that it names, or every board it may read in its organization.
    async fn scope(&self, caller: &Caller, board: Option<&String>) -> Result<Scope> {
        let Some(board) = optional_uuid(board)? else {
            return Ok(Scope {
                organization: caller.organization()?,
                boards: caller.readable_boards()?,
            });
        };
        let board = boards::facts(self.store.pool(), board).await?;
        caller.may_read_board(board.organization, board.id)?;
        Ok(Scope {
            organization: board.organization,
            boards: Some(vec![board.id]),
        })
    }

    async fn comment_feed(
        &self,
        caller: &Caller,
        request: &ListTaskCommentFeedRequest,
    ) -> Result<ListTaskCommentFeedResponse> {
        let page = Page::of(request.limit, request.offset)?;
        let scope = self.scope(caller, request.board_id.as_ref()).await?;
        let (limit, offset) = (i64::from(page.limit), i64::from(page.offset));
        // One board has an index of its own.
        let rows = match scope.boards.as_deref() {
            Some([board]) => {
                select_feed!(
                    "WHERE c.board_id = $1 ORDER BY c.created_at DESC, c.id DESC LIMIT $2 OFFSET $3",
                    board,
                    limit,
                    offset
                )
                .fetch_all(self.store.pool())
                .await?
            }
            boards => {
                select_feed!(
                    "WHERE c.organization_id = $1 AND ($2::uuid[] IS NULL OR c.board_id = ANY($2)) \
                     ORDER BY c.created_at DESC, c.id DESC LIMIT $3 OFFSET $4",
                    scope.organization,
                    boards as _,
                    limit,
                    offset
                )
                .fetch_all(self.store.pool())
                .await?
            }
        };
        let seen = offset + i64::try_from(rows.len()).unwrap_or(i64::MAX);
        // A page that is not full ends the list; only full ones, and those beyond the end, need the count.
        let ends = i64::try_from(rows.len()).is_ok_and(|count| count < limit) && (!rows.is_empty() || offset == 0);
        let total = if ends {
            seen
        } else {
            sqlx::query_scalar!(
                "SELECT count(*) AS \"count!\" FROM board.comments c WHERE c.organization_id = $1 AND ($2::uuid[] IS NULL OR c.board_id = ANY($2))",
                scope.organization,
                scope.boards.as_deref() as _
            )
            .fetch_one(self.store.pool())
            .await?
        };
        Ok(ListTaskCommentFeedResponse {
            items: self.items(caller, scope.organization, rows).await,
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        })
    }

    /// Rows with the names their agents have now. When these cannot be asked for, the names from when the comments were written do.
    async fn items(&self, caller: &Caller, organization: Uuid, rows: Vec<Row>) -> Vec<TaskCommentFeedItem> {
        let mut ids: Vec<Uuid> = rows.iter().filter_map(|row| row.agent_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let agents = self
            .outside
            .agents(caller, organization, &ids)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(error = error.report(), "the feed shows agents' names as they were");
                Vec::new()
            });
        let agents: HashMap<&str, (&str, Option<String>)> = agents
            .iter()
            .map(|agent| {
                let role = role(agent.identity_profile.as_deref());
                (agent.id.as_str(), (agent.name.as_str(), role))
            })
            .collect();
        let item = |row: Row| {
            let agent_id = row.agent_id.map(|id| id.to_string());
            let known = agent_id.as_deref().and_then(|id| agents.get(id));
            TaskCommentFeedItem {
                id: row.id.to_string(),
                created_at: Some(timestamp(row.created_at)),
                message: Some(row.message),
                agent_name: agent_id
                    .is_some()
                    .then(|| known.map_or_else(|| row.author_name.clone(), |(name, _)| (*name).to_owned())),
                agent_role: known.and_then(|(_, role)| role.clone()),
                agent_id,
                task_id: row.task_id.to_string(),
                task_title: row.task_title,
                board_id: row.board_id.to_string(),
                board_name: row.board_name,
                author_name: row.author_name,
            }
        };
        rows.into_iter().map(item).collect()
    }

    /// A comment as the feed shows it, read once for all who watch; `None` when it is gone already.
    async fn item(&self, caller: &Caller, organization: Uuid, comment: Uuid) -> Result<Option<TaskCommentFeedItem>> {
        if let Some(item) = self.feed_items.get(&comment).await {
            return Ok(Some(item));
        }
        let rows = select_feed!("WHERE c.id = $1", comment)
            .fetch_all(self.store.pool())
            .await?;
        let item = self.items(caller, organization, rows).await.pop();
        if let Some(item) = &item {
            self.feed_items.insert(comment, item.clone()).await;
        }
        Ok(item)
    }

    async fn watch_feed(&self, caller: Caller, request: &WatchTaskCommentFeedRequest) -> Result<Live> {
        let scope = self.scope(&caller, request.board_id.as_ref()).await?;
        let start = match Start::of(request.since.as_deref(), request.resume_token.as_deref())? {
            // Now is when this is answered, not when the stream is first looked at.
            Start::Now => Start::After(now_position(&self.store).await?),
            start => start,
        };
        let organization = scope.organization.to_string();
        let boards: Option<Vec<String>> = scope.boards.map(|boards| boards.iter().map(Uuid::to_string).collect());
        let events = self.feed.watch(start, move |event| {
            event.r#type == "task.comment"
                && event.organization_id == organization
                && boards.as_ref().is_none_or(|boards| boards.contains(&event.board_id))
        });
        let (service, caller, organization) = (self.clone(), Arc::new(caller), scope.organization);
        Ok(Box::pin(events.filter_map(move |event| {
            let (service, caller) = (service.clone(), caller.clone());
            async move {
                let event = match event {
                    Ok(event) => event,
                    Err(error) => return Some(Err(error.into())),
                };
                let comment = uuid_of(&event.id).ok()?;
                match service.item(&caller, organization, comment).await {
                    Ok(item) => item.map(|item| {
                        Ok(TaskCommentFeedEvent {
                            id: event.position.to_string(),
                            comment: Some(item),
                        })
                    }),
                    Err(error) => Some(Err(error.into())),
                }
            }
        })))
    }
}

/// `role` of an identity profile.
fn role(profile: Option<&[u8]>) -> Option<String> {
    let profile: serde_json::Value = serde_json::from_slice(profile?).ok()?;
    let role = profile.get("role")?.as_str()?.trim();
    (!role.is_empty()).then(|| role.to_owned())
}

/// The stream of the feed.
type Live = Pin<Box<dyn Stream<Item = Result<TaskCommentFeedEvent, Status>> + Send>>;

#[tonic::async_trait]
impl CommentFeedService for Service {
    type WatchTaskCommentFeedStream = Live;

    async fn list_task_comment_feed(
        &self,
        request: Request<ListTaskCommentFeedRequest>,
    ) -> Result<Response<ListTaskCommentFeedResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.comment_feed(&caller, request.get_ref()).await?))
    }

    async fn watch_task_comment_feed(
        &self,
        request: Request<WatchTaskCommentFeedRequest>,
    ) -> Result<Response<Self::WatchTaskCommentFeedStream>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.watch_feed(caller, request.get_ref()).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_what_the_profile_says() {
        for (profile, expected) in [
            (None, None),
            (Some(&b"{}"[..]), None),
            (Some(br#"{"role": "  "}"#), None),
            (Some(br#"{"role": 1}"#), None),
            (Some(br#"{"role": " Tester "}"#), Some("Tester")),
        ] {
            assert_eq!(role(profile).as_deref(), expected);
        }
    }
}
