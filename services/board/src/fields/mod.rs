//! Custom fields: definitions of an organization, bound to boards.

mod moments;
pub mod rules;
mod values;

use chassis::{Caller, Change, Error, Result, Tx, identity::uuid_of, message::Mask, store::violates, timestamp};
use proto::{
    board::v1::{
        CreateCustomFieldRequest, CustomField, DeleteCustomFieldRequest, ListCustomFieldsRequest,
        ListCustomFieldsResponse, UpdateCustomFieldRequest, custom_field_service_server::CustomFieldService,
    },
    common::v1::Ok as Done,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub use values::{Wanted, of_board_held, shown, stored, wanted, write};

use crate::Service;
use rules::{Kind, NULL, Visibility};

/// A definition with its boards.
#[derive(Clone)]
struct FieldRow {
    id: Uuid,
    organization_id: Uuid,
    field_key: String,
    label: String,
    field_type: String,
    ui_visibility: String,
    validation_regex: Option<String>,
    description: Option<String>,
    required: bool,
    /// JSON text.
    default_value: Option<String>,
    /// In order of ids.
    board_ids: Vec<Uuid>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl FieldRow {
    fn kind(&self) -> Kind {
        // The database holds no other word (custom_fields_type_check).
        Kind::parse(&self.field_type).unwrap_or(Kind::Text)
    }

    fn message(&self) -> CustomField {
        CustomField {
            field_key: self.field_key.clone(),
            label: self.label.clone(),
            field_type: self.kind().message().into(),
            // As above (custom_fields_visibility_check).
            ui_visibility: Visibility::parse(&self.ui_visibility)
                .unwrap_or(Visibility::Always)
                .message()
                .into(),
            validation_regex: self.validation_regex.clone(),
            description: self.description.clone(),
            required: self.required,
            default_value: self.default_value.clone().map(String::into_bytes),
            id: self.id.to_string(),
            organization_id: self.organization_id.to_string(),
            board_ids: self.board_ids.iter().map(Uuid::to_string).collect(),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
        }
    }

    fn change(&self, kind: &str, done: &str) -> Change {
        Change::new(kind, self.organization_id).message(format!("Custom field {done}: {}.", self.label))
    }

    /// The compiled pattern, when it fits the kind.
    fn pattern(&self) -> Result<Option<regex::Regex>> {
        let Some(text) = &self.validation_regex else {
            return Ok(None);
        };
        if !self.kind().is_text() {
            return Err(Error::unprocessable(
                "validation_regex is only supported for string field types.",
            ));
        }
        rules::pattern(text)
            .map(Some)
            .map_err(|message| Error::invalid("validation_regex", message))
    }

    /// Refuses a pattern that is none, and a default that the field itself would not take.
    fn check(&self) -> Result<()> {
        let pattern = self.pattern()?;
        let Some(json) = &self.default_value else {
            return Ok(());
        };
        let value = serde_json::from_str(json).map_err(|_| default_is("must be JSON"))?;
        rules::reason(self.kind(), pattern.as_ref(), &value).map_or(Ok(()), |reason| Err(default_is(reason)))
    }
}

fn default_is(reason: &str) -> Error {
    Error::unprocessable(format!("default_value {reason}"))
}

macro_rules! select_fields {
    ($tail:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            FieldRow,
            "SELECT f.id, f.organization_id, f.field_key, f.label, f.field_type, f.ui_visibility, f.validation_regex, f.description, f.required, \
               f.default_value::text AS default_value, f.created_at, f.updated_at, \
               ARRAY(SELECT b.board_id FROM board.board_custom_fields b WHERE b.custom_field_id = f.id ORDER BY b.board_id) AS \"board_ids!\" \
             FROM board.custom_fields f " + $tail
            $(, $argument)*
        )
    };
}

/// A definition of the caller's organization, locked.
async fn find(connection: &mut PgConnection, caller: &Caller, id: &str) -> Result<FieldRow> {
    select_fields!(
        "WHERE f.id = $1 AND f.organization_id = $2 FOR UPDATE OF f",
        uuid_of(id)?,
        caller.organization()?
    )
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| Error::not_found("Custom field not found"))
}

fn taken(error: sqlx::Error) -> Error {
    if violates(&error, "custom_fields_organization_key") {
        Error::conflict("Field key already exists in this organization.").beside(
            "remedy",
            "Bind the field that has the key to the boards, or send another field_key.",
        )
    } else {
        error.into()
    }
}

/// The boards of a request, each once and in order of ids. All of them have to be the organization's; they are locked against deletion.
async fn boards(tx: &mut Tx, organization: Uuid, given: &[String]) -> Result<Vec<Uuid>> {
    let mut ids = given.iter().map(|id| uuid_of(id)).collect::<Result<Vec<_>>>()?;
    ids.sort_unstable();
    ids.dedup();
    let known = sqlx::query_scalar!(
        "SELECT id FROM board.boards WHERE id = ANY($1) AND organization_id = $2 ORDER BY id FOR KEY SHARE",
        &ids,
        organization
    )
    .fetch_all(&mut **tx)
    .await?;
    let invalid: Vec<String> = ids
        .iter()
        .filter(|id| !known.contains(id))
        .map(Uuid::to_string)
        .collect();
    if invalid.is_empty() {
        Ok(ids)
    } else {
        Err(
            Error::unprocessable("Some selected boards are invalid for this organization.")
                .with("invalid_board_ids", invalid),
        )
    }
}

/// Gives a field these boards and no others.
async fn bind(tx: &mut Tx, field: Uuid, boards: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM board.board_custom_fields WHERE custom_field_id = $1 AND board_id <> ALL($2)) \
         INSERT INTO board.board_custom_fields (board_id, custom_field_id) SELECT id, $1 FROM unnest($2::uuid[]) AS given (id) \
         ON CONFLICT DO NOTHING",
        field,
        boards
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn text(field: &str, given: &str) -> Result<String> {
    match given.trim() {
        "" => Err(Error::invalid(field, format!("{field} must not be empty."))),
        text => Ok(text.to_owned()),
    }
}

fn kind(given: &str) -> Result<Kind> {
    Kind::parse(given).ok_or_else(|| {
        let words = Kind::ALL.map(Kind::as_str).join(", ");
        Error::invalid("field_type", format!("field_type must be one of: {words}."))
    })
}

fn visibility(given: &str) -> Result<Visibility> {
    Visibility::parse(given)
        .ok_or_else(|| Error::invalid("ui_visibility", "ui_visibility must be always, if_set or hidden."))
}

/// A pattern as it is stored: blank is none.
fn regex_of(given: Option<String>) -> Option<String> {
    given.filter(|text| !text.trim().is_empty())
}

fn json(given: Option<Vec<u8>>) -> Result<Option<String>> {
    given
        .map(String::from_utf8)
        .transpose()
        .map_err(|_| default_is("must be JSON"))
        .map(|text| text.filter(|text| text.trim() != NULL))
}

#[tonic::async_trait]
impl CustomFieldService for Service {
    async fn list_custom_fields(
        &self,
        request: Request<ListCustomFieldsRequest>,
    ) -> Result<Response<ListCustomFieldsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let rows = select_fields!(
            "WHERE f.organization_id = $1 ORDER BY lower(f.label), f.field_key",
            caller.organization()?
        )
        .fetch_all(self.store.pool())
        .await
        .map_err(Error::from)?;
        Ok(Response::new(ListCustomFieldsResponse {
            fields: rows.iter().map(FieldRow::message).collect(),
        }))
    }

    async fn create_custom_field(
        &self,
        request: Request<CreateCustomFieldRequest>,
    ) -> Result<Response<CustomField>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let now = OffsetDateTime::now_utc();
        let key = text("field_key", &request.field_key)?;
        let organization = caller.organization()?;
        if request.board_ids.is_empty() {
            return Err(Error::invalid("board_ids", "board_ids must name at least one board.").into());
        }
        let mut row = FieldRow {
            id: Uuid::now_v7(),
            organization_id: organization,
            label: request
                .label
                .as_deref()
                .map_or_else(|| Ok(key.clone()), |label| text("label", label))?,
            field_key: key,
            field_type: kind(request.field_type.as_deref().unwrap_or("text"))?
                .as_str()
                .to_owned(),
            ui_visibility: visibility(request.ui_visibility.as_deref().unwrap_or("always"))?
                .as_str()
                .to_owned(),
            validation_regex: regex_of(request.validation_regex),
            description: request.description,
            required: request.required.unwrap_or(false),
            default_value: json(request.default_value)?,
            board_ids: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        row.check()?;
        let mut tx = self.store.begin().await?;
        row.board_ids = boards(&mut tx, organization, &request.board_ids).await?;
        sqlx::query!(
            "INSERT INTO board.custom_fields (id, organization_id, field_key, label, field_type, ui_visibility, validation_regex, description, \
               required, default_value, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::json, $11, $11)",
            row.id,
            row.organization_id,
            row.field_key,
            row.label,
            row.field_type,
            row.ui_visibility,
            row.validation_regex,
            row.description,
            row.required,
            row.default_value,
            row.created_at
        )
        .execute(&mut *tx)
        .await
        .map_err(taken)?;
        bind(&mut tx, row.id, &row.board_ids).await?;
        let field = row.message();
        tx.record(&caller, row.change("custom_field.created", "created").after(&field))
            .await?;
        tx.commit().await?;
        Ok(Response::new(field))
    }

    async fn update_custom_field(
        &self,
        request: Request<UpdateCustomFieldRequest>,
    ) -> Result<Response<CustomField>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.change_field(&caller, request.into_inner()).await?))
    }

    async fn delete_custom_field(&self, request: Request<DeleteCustomFieldRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let mut tx = self.store.begin().await?;
        let row = find(&mut tx, &caller, &request.get_ref().task_custom_field_definition_id).await?;
        // A value that was taken away is none.
        sqlx::query!(
            "DELETE FROM board.task_custom_field_values WHERE custom_field_id = $1 AND value::text = 'null'",
            row.id
        )
        .execute(&mut *tx)
        .await
        .map_err(Error::from)?;
        sqlx::query!("DELETE FROM board.custom_fields WHERE id = $1", row.id)
            .execute(&mut *tx)
            .await
            .map_err(|error| {
                if violates(&error, "task_custom_field_values_field_fkey") {
                    Error::conflict("Cannot delete a custom field definition while task values exist.").beside(
                        "remedy",
                        "Set the field to null on the tasks that have a value first, also on boards that no longer show it.",
                    )
                } else {
                    error.into()
                }
            })?;
        tx.record(
            &caller,
            row.change("custom_field.deleted", "deleted").before(&row.message()),
        )
        .await?;
        tx.commit().await?;
        Ok(Response::new(Done { ok: true }))
    }
}

impl Service {
    async fn change_field(&self, caller: &Caller, request: UpdateCustomFieldRequest) -> Result<CustomField> {
        let mask = Mask::of(request.update_mask.as_ref());
        if mask.field("field_key", request.field_key).is_some() {
            return Err(Error::invalid(
                "field_key",
                "field_key cannot be changed: make another field instead.",
            ));
        }
        let label = mask.required("label", request.label)?;
        let field_type = mask.required("field_type", request.field_type)?;
        let ui_visibility = mask.required("ui_visibility", request.ui_visibility)?;
        let validation_regex = mask.field("validation_regex", request.validation_regex);
        let description = mask.field("description", request.description);
        let required = mask.required("required", request.required)?;
        let default_value = mask.field("default_value", request.default_value);
        // Null is as if it were absent.
        let board_ids = mask.field("board_ids", request.board_ids);
        if label.is_none()
            && field_type.is_none()
            && ui_visibility.is_none()
            && validation_regex.is_none()
            && description.is_none()
            && required.is_none()
            && default_value.is_none()
            && board_ids.is_none()
        {
            return Err(Error::invalid("", "At least one field is required"));
        }
        let mut tx = self.store.begin().await?;
        let old = find(&mut tx, caller, &request.task_custom_field_definition_id).await?;
        let mut row = old.clone();
        if let Some(label) = label {
            row.label = text("label", &label)?;
        }
        if let Some(given) = field_type {
            kind(&given)?.as_str().clone_into(&mut row.field_type);
        }
        if let Some(given) = ui_visibility {
            visibility(&given)?.as_str().clone_into(&mut row.ui_visibility);
        }
        if let Some(given) = validation_regex {
            row.validation_regex = regex_of(given);
        }
        row.description = description.unwrap_or(row.description);
        row.required = required.unwrap_or(row.required);
        if let Some(given) = default_value {
            row.default_value = json(given)?;
        }
        row.check()?;
        if row.field_type != old.field_type || row.validation_regex != old.validation_regex {
            self.check_stored(&mut tx, &row).await?;
        }
        if let Some(given) = board_ids.flatten() {
            row.board_ids = boards(&mut tx, row.organization_id, &given.items).await?;
            bind(&mut tx, row.id, &row.board_ids).await?;
        }
        row.updated_at = OffsetDateTime::now_utc().max(row.updated_at);
        sqlx::query!(
            "UPDATE board.custom_fields SET label = $2, field_type = $3, ui_visibility = $4, validation_regex = $5, description = $6, \
               required = $7, default_value = $8::text::json, updated_at = $9 WHERE id = $1",
            row.id,
            row.label,
            row.field_type,
            row.ui_visibility,
            row.validation_regex,
            row.description,
            row.required,
            row.default_value,
            row.updated_at
        )
        .execute(&mut *tx)
        .await?;
        let (before, after) = (old.message(), row.message());
        tx.record(
            caller,
            row.change("custom_field.updated", "updated")
                .before(&before)
                .after(&after),
        )
        .await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Refuses a definition that values of tasks do not fit.
    async fn check_stored(&self, tx: &mut Tx, row: &FieldRow) -> Result<()> {
        let pattern = row.pattern()?;
        let stored = sqlx::query!(
            "SELECT value::text AS \"value!\", count(*) AS \"tasks!\" FROM board.task_custom_field_values WHERE custom_field_id = $1 GROUP BY 1",
            row.id
        )
        .fetch_all(&mut **tx)
        .await?;
        let mut misfits = stored.iter().filter_map(|stored| {
            let value = serde_json::from_str(&stored.value).unwrap_or_default();
            rules::reason(row.kind(), pattern.as_ref(), &value).map(|reason| (reason, stored.tasks))
        });
        let Some((reason, tasks)) = misfits.next() else {
            return Ok(());
        };
        let tasks = misfits.fold(tasks, |sum, (_, tasks)| sum + tasks);
        Err(Error::conflict("Values of tasks do not fit the changed definition.")
            .with("reason", reason)
            .with("task_count", tasks)
            .with("remedy", "Change or clear those values first, or define another field."))
    }
}
