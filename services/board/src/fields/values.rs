//! Values of custom fields on tasks.

use std::collections::HashMap;

use chassis::{Error, Result, Tx, store::violates};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::{self, Field, Kind};

/// Selects the fields of a board, by key.
macro_rules! select_of_board {
    ($tail:tt, $board:expr) => {
        sqlx::query!(
            "SELECT f.id, f.field_key, f.field_type, f.validation_regex, f.required, f.default_value::text AS default_value \
             FROM board.board_custom_fields b JOIN board.custom_fields f ON f.id = b.custom_field_id WHERE b.board_id = $1 ORDER BY f.field_key COLLATE \"C\""
                + $tail,
            $board
        )
        .map(|row| Field {
            id: row.id,
            key: row.field_key,
            // The database holds no other word (custom_fields_type_check).
            kind: Kind::parse(&row.field_type).unwrap_or(Kind::Text),
            pattern: row.validation_regex,
            required: row.required,
            default: row.default_value,
        })
    };
}

/// The fields of a board, by key.
async fn of_board(connection: &mut PgConnection, board: Uuid) -> Result<Vec<Field>> {
    Ok(select_of_board!("", board).fetch_all(connection).await?)
}

/// The fields of a board, by key, for values that are to be written: their types and patterns stay as they are until the transaction ends, so
/// that a change of them meets the values, or the values meet the change.
pub async fn of_board_held(tx: &mut Tx, board: Uuid) -> Result<Vec<Field>> {
    Ok(select_of_board!(" FOR KEY SHARE OF f", board)
        .fetch_all(&mut **tx)
        .await?)
}

/// What a task has stored, also of fields its board does not show: JSON texts by field.
pub async fn stored(connection: &mut PgConnection, task: Uuid) -> Result<HashMap<Uuid, String>> {
    let rows = sqlx::query!(
        "SELECT custom_field_id, value::text AS \"value!\" FROM board.task_custom_field_values WHERE task_id = $1",
        task
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.custom_field_id, row.value)).collect())
}

/// Writes values that are settled.
pub async fn write(tx: &mut Tx, task: Uuid, rows: &[(Uuid, String)]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let (fields, values): (Vec<Uuid>, Vec<String>) = rows.iter().cloned().unzip();
    sqlx::query!(
        "INSERT INTO board.task_custom_field_values (task_id, custom_field_id, value) \
         SELECT $1, field, value::json FROM unnest($2::uuid[], $3::text[]) AS given (field, value) \
         ON CONFLICT (task_id, custom_field_id) DO UPDATE SET value = excluded.value",
        task,
        &fields,
        &values
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| {
        if violates(&error, "task_custom_field_values_field_fkey") {
            Error::conflict("A custom field of the board was deleted meanwhile. Read the fields again and retry.")
        } else {
            error.into()
        }
    })?;
    Ok(())
}

/// The JSON object that a task with these values shows.
pub fn shown(fields: &[Field], stored: &HashMap<Uuid, String>) -> String {
    rules::object(fields.iter().map(|field| {
        let value = stored.get(&field.id).or(field.default.as_ref());
        (field.key.as_str(), value.map(String::as_str))
    }))
}

/// What a list is to be narrowed to: per field its id, the text of its default, and the text that is wanted.
#[derive(Default)]
pub struct Wanted {
    pub fields: Vec<Uuid>,
    pub defaults: Vec<Option<String>>,
    pub texts: Vec<String>,
}

/// Reads the `key=value` filters of a list.
pub async fn wanted(connection: &mut PgConnection, board: Uuid, filters: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    if filters.is_empty() {
        return Ok(wanted);
    }
    let fields = of_board(connection, board).await?;
    let mut unknown = Vec::new();
    for filter in filters {
        let (key, text) = filter
            .split_once('=')
            .ok_or_else(|| Error::invalid("custom_field", "custom_field must have the form key=value."))?;
        let Some(field) = fields.iter().find(|field| field.key == key) else {
            unknown.push(key.to_owned());
            continue;
        };
        wanted.fields.push(field.id);
        wanted.defaults.push(field.default.as_deref().map(rules::plain));
        wanted.texts.push(text.to_owned());
    }
    if unknown.is_empty() {
        Ok(wanted)
    } else {
        Err(rules::Refusal::Unknown(unknown).into())
    }
}
