//! What boards and groups of boards remember, and their chat.
//!
//! An entry is written with the event that tells of it; the service that knows the agents decides from that event who is told.

use std::{pin::Pin, sync::Arc};

use chassis::{
    Caller, Change, Error, Result, Tx,
    identity::uuid_of,
    live::{Start, now_position},
    message::Page,
    outbox::unpack,
    store::violates,
    timestamp,
};
use futures::{Stream, StreamExt};
use proto::{
    board::v1::{
        BoardGroupMemory, BoardGroupMemoryEvent, BoardMemory, BoardMemoryEvent, CreateBoardGroupMemoryRequest,
        CreateBoardMemoryRequest, CreateGroupMemoryRequest, ListBoardGroupMemoryRequest, ListBoardMemoryRequest,
        ListBoardMemoryResponse, ListGroupMemoryRequest, ListGroupMemoryResponse, WatchBoardGroupMemoryRequest,
        WatchBoardMemoryRequest, WatchGroupMemoryRequest, Words, group_memory_service_server::GroupMemoryService,
        memory_service_server::MemoryService,
    },
    event::v1::Event,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Service, boards, mentions};

/// Type of the event of a board's new entry.
const BOARD_EVENT: &str = "memory.created";
/// Type of the event of a group's new entry.
const GROUP_EVENT: &str = "group_memory.created";

/// A stream of a server-streaming method.
type Live<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An entry as it is stored, of a board or a group.
pub struct Entry {
    pub id: Uuid,
    /// The board or the group.
    pub place: Uuid,
    pub content: String,
    pub tags: Option<Vec<String>>,
    pub source: Option<String>,
    pub is_chat: bool,
    pub created_at: OffsetDateTime,
}

impl Entry {
    /// The entry of a board as the API shows it.
    pub fn of_board(self) -> BoardMemory {
        BoardMemory {
            id: self.id.to_string(),
            board_id: self.place.to_string(),
            content: self.content,
            tags: self.tags.map(|items| Words { items }),
            source: self.source,
            is_chat: self.is_chat,
            created_at: Some(timestamp(self.created_at)),
        }
    }

    fn of_group(self) -> BoardGroupMemory {
        BoardGroupMemory {
            id: self.id.to_string(),
            board_group_id: self.place.to_string(),
            content: self.content,
            tags: self.tags.map(|items| Words { items }),
            source: self.source,
            is_chat: self.is_chat,
            created_at: Some(timestamp(self.created_at)),
        }
    }

    /// A new entry. One that agents are told of names its author when it names no other source.
    fn new(place: Uuid, content: &str, tags: Option<Words>, source: Option<String>, told: Told) -> Result<Self> {
        let content = content.trim();
        if content.is_empty() {
            return Err(Error::invalid("content", "content must not be empty."));
        }
        let tags = tags.map(|tags| tags.items);
        let tagged = |tag: &str| tags.iter().flatten().any(|given| given == tag);
        let is_chat = tagged("chat");
        let (author, is_told) = match told {
            Told::Board(author) => (author, is_chat),
            Told::Group(author) => (
                author,
                is_chat || tagged("broadcast") || mentions::tokens(content).contains("all"),
            ),
        };
        let given = source.filter(|source| !source.trim().is_empty());
        Ok(Self {
            id: Uuid::now_v7(),
            place,
            content: content.to_owned(),
            source: given.or_else(|| is_told.then(|| author.to_owned())),
            is_chat,
            tags,
            created_at: OffsetDateTime::now_utc(),
        })
    }

    fn message(&self, place: &str) -> String {
        let what = if self.is_chat { "chat message" } else { "memory" };
        match &self.source {
            Some(source) => format!("{place} {what} added by {source}."),
            None => format!("{place} {what} added."),
        }
    }
}

/// Where an entry goes, with the name of who writes it.
#[derive(Clone, Copy)]
enum Told<'a> {
    Board(&'a str),
    Group(&'a str),
}

/// The name a chat shows for the caller: how a person wants to be called comes first.
fn author(caller: &Caller) -> Result<&str> {
    let principal = caller.principal()?;
    let names = [principal.preferred_name.trim(), principal.name.trim()];
    Ok(names.into_iter().find(|name| !name.is_empty()).unwrap_or("User"))
}

/// Writes an entry of a board, with the event that tells of it.
pub async fn insert(tx: &mut Tx, caller: &Caller, organization: Uuid, entry: Entry) -> Result<BoardMemory> {
    sqlx::query!(
        "INSERT INTO board.board_memory (id, board_id, content, tags, source, is_chat, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        entry.id,
        entry.place,
        entry.content,
        entry.tags.as_deref() as _,
        entry.source,
        entry.is_chat,
        entry.created_at
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| if violates(&error, "board_memory_board_id_fkey") { boards::not_found() } else { error.into() })?;
    let change = Change::new(BOARD_EVENT, organization)
        .id(entry.id)
        .board(entry.place)
        .agent(caller.agent_id())
        .message(entry.message("Board"));
    let memory = entry.of_board();
    tx.record(caller, change.after(&memory)).await?;
    Ok(memory)
}

/// The latest chat messages of a board, oldest first.
pub async fn latest_chat(pool: &PgPool, board: Uuid, most: i64) -> Result<Vec<BoardMemory>> {
    let rows = sqlx::query_as!(
        Entry,
        "SELECT id, board_id AS place, content, tags, source, is_chat, created_at FROM board.board_memory \
         WHERE board_id = $1 AND is_chat ORDER BY created_at DESC, id DESC LIMIT $2",
        board,
        most
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().rev().map(Entry::of_board).collect())
}

impl Service {
    async fn board_entries(
        &self,
        caller: &Caller,
        request: &ListBoardMemoryRequest,
    ) -> Result<ListBoardMemoryResponse> {
        let page = Page::of(request.limit, request.offset)?;
        let board = boards::facts(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_read_board(board.organization, board.id)?;
        let rows = sqlx::query_as!(
            Entry,
            "SELECT id, board_id AS place, content, tags, source, is_chat, created_at FROM board.board_memory \
             WHERE board_id = $1 AND ($2::boolean IS NULL OR is_chat = $2) ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4",
            board.id,
            request.is_chat,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.store.pool());
        let total = sqlx::query_scalar!(
            "SELECT count(*)::int AS \"count!\" FROM board.board_memory WHERE board_id = $1 AND ($2::boolean IS NULL OR is_chat = $2)",
            board.id,
            request.is_chat
        )
        .fetch_one(self.store.pool());
        let (rows, total) = futures::try_join!(rows, total)?;
        Ok(ListBoardMemoryResponse {
            items: rows.into_iter().map(Entry::of_board).collect(),
            total,
            limit: page.limit,
            offset: page.offset,
        })
    }

    async fn group_entries(&self, group: Uuid, is_chat: Option<bool>, page: Page) -> Result<ListGroupMemoryResponse> {
        let rows = sqlx::query_as!(
            Entry,
            "SELECT id, board_group_id AS place, content, tags, source, is_chat, created_at FROM board.group_memory \
             WHERE board_group_id = $1 AND ($2::boolean IS NULL OR is_chat = $2) ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4",
            group,
            is_chat,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.store.pool());
        let total = sqlx::query_scalar!(
            "SELECT count(*)::int AS \"count!\" FROM board.group_memory WHERE board_group_id = $1 AND ($2::boolean IS NULL OR is_chat = $2)",
            group,
            is_chat
        )
        .fetch_one(self.store.pool());
        let (rows, total) = futures::try_join!(rows, total)?;
        Ok(ListGroupMemoryResponse {
            items: rows.into_iter().map(Entry::of_group).collect(),
            total,
            limit: page.limit,
            offset: page.offset,
        })
    }

    /// Writes an entry of a group; `board` is where it was written, if on a board.
    async fn insert_group_entry(
        &self,
        caller: &Caller,
        organization: Uuid,
        board: Option<Uuid>,
        entry: Entry,
    ) -> Result<BoardGroupMemory> {
        let mut tx = self.store.begin().await?;
        sqlx::query!(
            "INSERT INTO board.group_memory (id, board_group_id, content, tags, source, is_chat, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            entry.id,
            entry.place,
            entry.content,
            entry.tags.as_deref() as _,
            entry.source,
            entry.is_chat,
            entry.created_at
        )
        .execute(&mut *tx)
        .await
        .map_err(|error| {
            if violates(&error, "group_memory_board_group_id_fkey") {
                Error::not_found("Board group not found")
            } else {
                error.into()
            }
        })?;
        let mut change = Change::new(GROUP_EVENT, organization)
            .id(entry.id)
            .agent(caller.agent_id())
            .message(entry.message("Group"));
        if let Some(board) = board {
            change = change.board(board);
        }
        let memory = entry.of_group();
        tx.record(caller, change.after(&memory)).await?;
        tx.commit().await?;
        Ok(memory)
    }

    /// Now is when this is answered, not when the stream is first looked at.
    async fn start(&self, since: Option<&str>, token: Option<&str>) -> Result<Start> {
        Ok(match Start::of(since, token)? {
            Start::Now => Start::After(now_position(&self.store).await?),
            start => start,
        })
    }

    /// Entries of a group as they are written; of no group, nothing until the end.
    fn watch_group(&self, start: Start, group: Option<Uuid>, is_chat: Option<bool>) -> Live<BoardGroupMemoryEvent> {
        let found = move |event: &Event| -> Option<BoardGroupMemory> {
            let memory: BoardGroupMemory = unpack(event.after.as_ref())?;
            let here = group.is_some_and(|group| memory.board_group_id == group.to_string());
            (here && is_chat.is_none_or(|chat| chat == memory.is_chat)).then_some(memory)
        };
        let events = self.feed.watch(start, move |event| {
            event.r#type == GROUP_EVENT && found(event).is_some()
        });
        Box::pin(events.map(|event| {
            let event = event?;
            Ok(BoardGroupMemoryEvent {
                id: event.position.to_string(),
                memory: unpack(event.after.as_ref()),
            })
        }))
    }
}

#[tonic::async_trait]
impl MemoryService for Service {
    type WatchBoardMemoryStream = Live<BoardMemoryEvent>;

    async fn list_board_memory(
        &self,
        request: Request<ListBoardMemoryRequest>,
    ) -> Result<Response<ListBoardMemoryResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.board_entries(&caller, request.get_ref()).await?))
    }

    async fn create_board_memory(
        &self,
        request: Request<CreateBoardMemoryRequest>,
    ) -> Result<Response<BoardMemory>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let board = boards::facts(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_write_board(board.organization, board.id)?;
        let told = Told::Board(author(&caller)?);
        let entry = Entry::new(board.id, &request.content, request.tags, request.source, told)?;
        let mut tx = self.store.begin().await?;
        let memory = insert(&mut tx, &caller, board.organization, entry).await?;
        tx.commit().await?;
        Ok(Response::new(memory))
    }

    async fn watch_board_memory(
        &self,
        request: Request<WatchBoardMemoryRequest>,
    ) -> Result<Response<Self::WatchBoardMemoryStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let board = boards::facts(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_read_board(board.organization, board.id)?;
        let start = self
            .start(request.since.as_deref(), request.resume_token.as_deref())
            .await?;
        let (board, is_chat) = (board.id.to_string(), request.is_chat);
        let events = self.feed.watch(start, move |event: &Event| {
            let wanted = |memory: BoardMemory| is_chat.is_none_or(|chat| chat == memory.is_chat);
            event.board_id == board && event.r#type == BOARD_EVENT && unpack(event.after.as_ref()).is_some_and(wanted)
        });
        let events = events.map(|event: Result<Arc<Event>>| {
            let event = event?;
            Ok(BoardMemoryEvent {
                id: event.position.to_string(),
                memory: unpack(event.after.as_ref()),
            })
        });
        Ok(Response::new(Box::pin(events)))
    }
}

#[tonic::async_trait]
impl GroupMemoryService for Service {
    type WatchGroupMemoryStream = Live<BoardGroupMemoryEvent>;
    type WatchBoardGroupMemoryStream = Live<BoardGroupMemoryEvent>;

    async fn list_group_memory(
        &self,
        request: Request<ListGroupMemoryRequest>,
    ) -> Result<Response<ListGroupMemoryResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let group = self.usable_group(&caller, &request.group_id, false).await?;
        Ok(Response::new(
            self.group_entries(group.id, request.is_chat, page).await?,
        ))
    }

    async fn create_group_memory(
        &self,
        request: Request<CreateGroupMemoryRequest>,
    ) -> Result<Response<BoardGroupMemory>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let group = self.usable_group(&caller, &request.group_id, true).await?;
        let told = Told::Group(author(&caller)?);
        let entry = Entry::new(group.id, &request.content, request.tags, request.source, told)?;
        let memory = self.insert_group_entry(&caller, group.organization_id, None, entry);
        Ok(Response::new(memory.await?))
    }

    async fn watch_group_memory(
        &self,
        request: Request<WatchGroupMemoryRequest>,
    ) -> Result<Response<Self::WatchGroupMemoryStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let group = self.usable_group(&caller, &request.group_id, false).await?;
        let start = self
            .start(request.since.as_deref(), request.resume_token.as_deref())
            .await?;
        Ok(Response::new(self.watch_group(start, Some(group.id), request.is_chat)))
    }

    async fn list_board_group_memory(
        &self,
        request: Request<ListBoardGroupMemoryRequest>,
    ) -> Result<Response<ListGroupMemoryResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let board = boards::find(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_read_board(board.organization(), board.id())?;
        let Some(group) = board.group() else {
            return Ok(Response::new(ListGroupMemoryResponse {
                items: Vec::new(),
                total: 0,
                limit: page.limit,
                offset: page.offset,
            }));
        };
        Ok(Response::new(self.group_entries(group, request.is_chat, page).await?))
    }

    async fn create_board_group_memory(
        &self,
        request: Request<CreateBoardGroupMemoryRequest>,
    ) -> Result<Response<BoardGroupMemory>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let board = boards::find(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_write_board(board.organization(), board.id())?;
        let group = board.group().ok_or_else(|| {
            Error::unprocessable("Board is not in a board group").beside(
                "remedy",
                "Put the board into a group with board_group_id first, or write into the board's own memory.",
            )
        })?;
        let told = Told::Group(author(&caller)?);
        let entry = Entry::new(group, &request.content, request.tags, request.source, told)?;
        let memory = self.insert_group_entry(&caller, board.organization(), Some(board.id()), entry);
        Ok(Response::new(memory.await?))
    }

    async fn watch_board_group_memory(
        &self,
        request: Request<WatchBoardGroupMemoryRequest>,
    ) -> Result<Response<Self::WatchBoardGroupMemoryStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let board = boards::find(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_read_board(board.organization(), board.id())?;
        let start = self
            .start(request.since.as_deref(), request.resume_token.as_deref())
            .await?;
        Ok(Response::new(self.watch_group(start, board.group(), request.is_chat)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str, tags: &[&str], source: Option<&str>, told: Told) -> Entry {
        let tags = Words {
            items: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        };
        Entry::new(Uuid::nil(), content, Some(tags), source.map(str::to_owned), told).unwrap()
    }

    #[test]
    fn entries_that_agents_are_told_of_name_their_author() {
        for (content, tags, source, in_board, in_group, is_chat) in [
            ("note", &[][..], None, None, None, false),
            ("note", &["plan"], Some("me"), Some("me"), Some("me"), false),
            ("hello", &["chat"], None, Some("Ann"), Some("Ann"), true),
            ("hello", &["chat"], Some("Bob"), Some("Bob"), Some("Bob"), true),
            ("hello", &["chat"], Some("  "), Some("Ann"), Some("Ann"), true),
            ("hear", &["broadcast"], None, None, Some("Ann"), false),
            ("@all hear", &[], None, None, Some("Ann"), false),
            ("@alligator", &[], None, None, None, false),
        ] {
            let board = entry(content, tags, source, Told::Board("Ann"));
            assert_eq!(
                (board.source.as_deref(), board.is_chat),
                (in_board, is_chat),
                "{content} {tags:?}"
            );
            let group = entry(content, tags, source, Told::Group("Ann"));
            assert_eq!(
                (group.source.as_deref(), group.is_chat),
                (in_group, is_chat),
                "{content} {tags:?}"
            );
        }
    }

    #[test]
    fn blank_entries_are_refused_others_are_trimmed() {
        assert!(Entry::new(Uuid::nil(), " \n", None, None, Told::Board("Ann")).is_err());
        let kept = Entry::new(Uuid::nil(), " a b \n", None, None, Told::Board("Ann")).unwrap();
        assert_eq!((kept.content.as_str(), kept.tags), ("a b", None));
    }
}
