//! Memberships: what a person may do in an organization.

use chassis::{Result, timestamp};
use proto::org::v1::{BoardAccess, Member, MemberUser};
use serde::Deserialize;
use sqlx::{PgExecutor, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

/// A right on one board, as the queries build it.
#[derive(Deserialize)]
struct Grant {
    id: Uuid,
    board_id: Uuid,
    can_read: bool,
    can_write: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl From<Grant> for BoardAccess {
    fn from(grant: Grant) -> Self {
        Self {
            id: grant.id.to_string(),
            board_id: grant.board_id.to_string(),
            can_read: grant.can_read,
            can_write: grant.can_write,
            created_at: Some(timestamp(grant.created_at)),
            updated_at: Some(timestamp(grant.updated_at)),
        }
    }
}

struct MemberRow {
    id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    role: String,
    all_boards_read: bool,
    all_boards_write: bool,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    email: Option<String>,
    name: Option<String>,
    preferred_name: Option<String>,
    board_access: Json<Vec<Grant>>,
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        Self {
            id: row.id.to_string(),
            organization_id: row.organization_id.to_string(),
            user_id: row.user_id.to_string(),
            role: row.role,
            all_boards_read: row.all_boards_read,
            all_boards_write: row.all_boards_write,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
            user: Some(MemberUser {
                id: row.user_id.to_string(),
                email: row.email,
                name: row.name,
                preferred_name: row.preferred_name,
            }),
            board_access: row.board_access.0.into_iter().map(BoardAccess::from).collect(),
        }
    }
}

/// A person's membership in an organization, with the person and the rights on single boards.
pub async fn membership(executor: impl PgExecutor<'_>, organization: Uuid, user: Uuid) -> Result<Option<Member>> {
    let row = sqlx::query_as!(
        MemberRow,
        r#"SELECT m.id, m.organization_id, m.user_id, m.role, m.all_boards_read, m.all_boards_write, m.created_at, m.updated_at,
                  u.email, u.name, u.preferred_name,
                  COALESCE((SELECT jsonb_agg(to_jsonb(g) ORDER BY g.created_at, g.id) FROM org.board_grants g WHERE g.member_id = m.id), '[]')
                      AS "board_access!: Json<Vec<Grant>>"
           FROM org.members m JOIN org.users u ON u.id = m.user_id
           WHERE m.organization_id = $1 AND m.user_id = $2"#,
        organization,
        user
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Member::from))
}
