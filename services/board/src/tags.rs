//! Tags: labels of an organization for tasks of all its boards.

use chassis::{
    Caller, Change, Error, Result,
    identity::uuid_of,
    message::{Mask, Page},
    store::violates,
    timestamp,
};
use proto::{
    board::v1::{
        CreateTagRequest, DeleteTagRequest, GetTagRequest, ListBoardTagsRequest, ListBoardTagsResponse,
        ListTagsRequest, ListTagsResponse, Tag, TagRef, UpdateTagRequest, tag_service_server::TagService,
    },
    common::v1::Ok as Done,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Service, boards};

/// Color of tags that were given none.
const COLOR: &str = "9e9e9e";

struct TagRow {
    id: Uuid,
    organization_id: Uuid,
    name: String,
    slug: String,
    color: String,
    description: Option<String>,
    task_count: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TagRow {
    fn message(&self) -> Tag {
        Tag {
            name: self.name.clone(),
            slug: self.slug.clone(),
            color: self.color.clone(),
            description: self.description.clone(),
            id: self.id.to_string(),
            organization_id: self.organization_id.to_string(),
            task_count: i32::try_from(self.task_count).unwrap_or(i32::MAX),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
        }
    }

    fn change(&self, kind: &str, done: &str) -> Change {
        Change::new(kind, self.organization_id).message(format!("Tag {done}: {}.", self.name))
    }
}

macro_rules! select_tags {
    ($tail:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            TagRow,
            "SELECT k.id, k.organization_id, k.name, k.slug, k.color, k.description, k.created_at, k.updated_at, \
               (SELECT count(*) FROM board.task_tags l WHERE l.tag_id = k.id) AS \"task_count!\" \
             FROM board.tags k " + $tail
            $(, $argument)*
        )
    };
}

async fn find(connection: &mut PgConnection, caller: &Caller, id: &str, lock: bool) -> Result<TagRow> {
    let id = uuid_of(id)?;
    let row = if lock {
        select_tags!("WHERE k.id = $1 FOR UPDATE OF k", id)
            .fetch_optional(connection)
            .await?
    } else {
        select_tags!("WHERE k.id = $1", id).fetch_optional(connection).await?
    };
    let row = row.ok_or_else(|| Error::not_found("Tag not found"))?;
    if row.organization_id == caller.organization()? {
        Ok(row)
    } else {
        Err(Error::denied("Forbidden"))
    }
}

/// A text in lower case, runs of other characters than letters and digits as one `-`; empty when there are none.
pub fn dashed(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// A short name made of a text.
fn slug(text: &str) -> String {
    match dashed(text) {
        slug if slug.is_empty() => "tag".to_owned(),
        slug => slug,
    }
}

/// The slug of what was given, or of the name when nothing was.
fn slug_of(given: Option<&str>, name: &str) -> String {
    given
        .filter(|given| !given.trim().is_empty())
        .map_or_else(|| slug(name), slug)
}

fn color(given: &str) -> Result<String> {
    let digits = given.trim().trim_start_matches('#').to_lowercase();
    match digits.len() {
        0 => Err(Error::invalid("color", "color is required")),
        6 if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => Ok(digits),
        _ => Err(Error::invalid("color", "color must be a 6-digit hex value")),
    }
}

fn named(name: &str) -> Result<String> {
    match name.trim() {
        "" => Err(Error::invalid("name", "name must not be empty.")),
        name => Ok(name.to_owned()),
    }
}

fn taken(error: sqlx::Error) -> Error {
    if violates(&error, "tags_organization_slug_key") {
        Error::conflict("Tag slug already exists in this organization.")
            .beside("remedy", "Use the tag that has the slug, or send another name or slug.")
    } else {
        error.into()
    }
}

#[tonic::async_trait]
impl TagService for Service {
    async fn list_tags(&self, request: Request<ListTagsRequest>) -> Result<Response<ListTagsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let page = Page::of(request.get_ref().limit, request.get_ref().offset)?;
        let organization = caller.organization()?;
        let rows = select_tags!(
            "WHERE k.organization_id = $1 ORDER BY lower(k.name), k.created_at, k.id LIMIT $2 OFFSET $3",
            organization,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.store.pool())
        .await
        .map_err(Error::from)?;
        let total = sqlx::query_scalar!(
            "SELECT count(*) AS \"count!\" FROM board.tags WHERE organization_id = $1",
            organization
        )
        .fetch_one(self.store.pool())
        .await
        .map_err(Error::from)?;
        Ok(Response::new(ListTagsResponse {
            items: rows.iter().map(TagRow::message).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        }))
    }

    async fn create_tag(&self, request: Request<CreateTagRequest>) -> Result<Response<Tag>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let now = OffsetDateTime::now_utc();
        let name = named(&request.name)?;
        let row = TagRow {
            id: Uuid::now_v7(),
            organization_id: caller.organization()?,
            slug: slug_of(request.slug.as_deref(), &name),
            name,
            color: color(request.color.as_deref().unwrap_or(COLOR))?,
            description: request.description,
            task_count: 0,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.store.begin().await?;
        sqlx::query!(
            "INSERT INTO board.tags (id, organization_id, name, slug, color, description, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            row.id,
            row.organization_id,
            row.name,
            row.slug,
            row.color,
            row.description,
            row.created_at
        )
        .execute(&mut *tx)
        .await
        .map_err(taken)?;
        let tag = row.message();
        tx.record(&caller, row.change("tag.created", "created").after(&tag))
            .await?;
        tx.commit().await?;
        Ok(Response::new(tag))
    }

    async fn get_tag(&self, request: Request<GetTagRequest>) -> Result<Response<Tag>, Status> {
        let caller = Caller::of(&request)?;
        let mut connection = self.store.pool().acquire().await.map_err(Error::from)?;
        Ok(Response::new(
            find(&mut connection, &caller, &request.get_ref().tag_id, false)
                .await?
                .message(),
        ))
    }

    async fn update_tag(&self, request: Request<UpdateTagRequest>) -> Result<Response<Tag>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let mask = Mask::of(request.update_mask.as_ref());
        let name = mask.required("name", request.name)?;
        let new_slug = mask.field("slug", request.slug);
        let new_color = mask.required("color", request.color)?;
        let description = mask.field("description", request.description);
        if name.is_none() && new_slug.is_none() && new_color.is_none() && description.is_none() {
            return Err(Error::invalid("", "At least one field is required").into());
        }
        let mut tx = self.store.begin().await?;
        let mut row = find(&mut tx, &caller, &request.tag_id, true).await?;
        let before = row.message();
        if let Some(name) = name {
            row.name = named(&name)?;
        }
        if let Some(given) = new_slug {
            row.slug = slug_of(given.as_deref(), &row.name);
        }
        if let Some(given) = new_color {
            row.color = color(&given)?;
        }
        row.description = description.unwrap_or(row.description);
        row.updated_at = OffsetDateTime::now_utc().max(row.updated_at);
        sqlx::query!(
            "UPDATE board.tags SET name = $2, slug = $3, color = $4, description = $5, updated_at = $6 WHERE id = $1",
            row.id,
            row.name,
            row.slug,
            row.color,
            row.description,
            row.updated_at
        )
        .execute(&mut *tx)
        .await
        .map_err(taken)?;
        let tag = row.message();
        tx.record(
            &caller,
            row.change("tag.updated", "updated").before(&before).after(&tag),
        )
        .await?;
        tx.commit().await?;
        Ok(Response::new(tag))
    }

    async fn delete_tag(&self, request: Request<DeleteTagRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let mut tx = self.store.begin().await?;
        find(&mut tx, &caller, &request.get_ref().tag_id, false).await?;
        // Tasks first, as changes of tasks take their locks.
        sqlx::query!(
            "SELECT t.id FROM board.tasks t WHERE t.id IN (SELECT l.task_id FROM board.task_tags l WHERE l.tag_id = $1) \
             ORDER BY t.id FOR NO KEY UPDATE",
            uuid_of(&request.get_ref().tag_id)?
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(Error::from)?;
        let row = find(&mut tx, &caller, &request.get_ref().tag_id, true).await?;
        sqlx::query!("DELETE FROM board.tags WHERE id = $1", row.id)
            .execute(&mut *tx)
            .await
            .map_err(Error::from)?;
        tx.record(&caller, row.change("tag.deleted", "deleted").before(&row.message()))
            .await?;
        tx.commit().await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn list_board_tags(
        &self,
        request: Request<ListBoardTagsRequest>,
    ) -> Result<Response<ListBoardTagsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let board = boards::facts(self.store.pool(), uuid_of(&request.get_ref().board_id)?).await?;
        caller.may_read_board(board.organization, board.id)?;
        let rows = sqlx::query!(
            "SELECT id, name, slug, color FROM board.tags WHERE organization_id = $1 ORDER BY lower(name), created_at, id",
            board.organization
        )
        .fetch_all(self.store.pool())
        .await
        .map_err(Error::from)?;
        let tags = rows.into_iter().map(|row| TagRef {
            id: row.id.to_string(),
            name: row.name,
            slug: row.slug,
            color: row.color,
        });
        Ok(Response::new(ListBoardTagsResponse { tags: tags.collect() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_lower_case_words_joined_by_dashes() {
        for (text, expected) in [
            ("Bug", "bug"),
            ("  Front End / UI!! ", "front-end-ui"),
            ("v2.0", "v2-0"),
            ("Ärger", "rger"),
            ("---", "tag"),
            ("日本", "tag"),
        ] {
            assert_eq!(slug(text), expected, "{text}");
        }
        assert_eq!(slug_of(Some(" "), "My Tag"), "my-tag");
        assert_eq!(slug_of(Some("Other One"), "My Tag"), "other-one");
        assert_eq!(slug_of(None, "My Tag"), "my-tag");
    }

    #[test]
    fn colors_are_six_hex_digits() {
        for (given, expected) in [("#FF00aa", "ff00aa"), (" 123456 ", "123456")] {
            assert_eq!(color(given).unwrap(), expected);
        }
        for wrong in ["", "#", "fff", "12345g", "#1234567", "ééé"] {
            assert!(color(wrong).is_err(), "{wrong}");
        }
    }
}
