//! Entries as a file: JSON lines, or CSV.

use async_stream::try_stream;
use chassis::{Error, Result, identity::optional_uuid, moment};
use futures::StreamExt;
use proto::{
    activity::v1::{AuditFormat, ExportAuditRequest, audit_service_server::AuditService},
    common::v1::Chunk,
};
use serde::Serialize;
use serde_json::value::RawValue;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Status;
use uuid::Uuid;

use super::{Audit, COLUMNS, Filter, Row, filter};
use crate::{chain, rules::Kinds};

/// Entries read and sent at once.
const PAGE: i64 = 500;

/// An entry as a line of JSON; CSV has the same columns in the same order.
#[derive(Serialize)]
struct Line<'a> {
    position: i64,
    created_at: String,
    kind: &'a str,
    message: &'a str,
    actor_type: &'a str,
    actor_id: &'a str,
    actor_name: &'a str,
    target_type: &'a str,
    target_id: Option<Uuid>,
    board_id: Option<Uuid>,
    task_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    gateway_id: Option<Uuid>,
    request_id: &'a str,
    before: Option<&'a RawValue>,
    after: Option<&'a RawValue>,
    id: Uuid,
    hash: Option<String>,
}

const HEADER: &str = "position,created_at,kind,message,actor_type,actor_id,actor_name,target_type,target_id,board_id,task_id,agent_id,gateway_id,\
request_id,before,after,id,hash\r\n";

impl Audit {
    pub(super) fn export(
        &self,
        organization: Uuid,
        request: &ExportAuditRequest,
    ) -> Result<<Self as AuditService>::ExportAuditStream> {
        let filter = filter!(organization, request);
        let csv = request.format() == AuditFormat::Csv;
        let store = self.0.store.clone();
        let stream = try_stream! {
            let (media_type, ending) = if csv { ("text/csv; charset=utf-8", "csv") } else { ("application/x-ndjson", "jsonl") };
            yield Chunk {
                content_type: media_type.to_owned(),
                filename: format!("audit-{}.{ending}", OffsetDateTime::now_utc().date()),
                data: if csv { HEADER.as_bytes().to_vec() } else { Vec::new() },
            };
            let (mut after, select) = (0, format!("SELECT {COLUMNS}"));
            loop {
                let mut query = filter.select(&select);
                query.push(" AND e.position > ").push_bind(after);
                query.push(" ORDER BY e.position LIMIT ").push_bind(PAGE);
                let rows = query.build_query_as::<Row>().fetch_all(store.pool()).await?;
                let Some(last) = rows.last() else { break };
                after = last.position;
                let mut data = Vec::with_capacity(rows.len() * 1024);
                for row in &rows {
                    if csv { write_csv(row, &mut data) } else { write_json(row, &mut data) }
                }
                yield Chunk { data, ..Chunk::default() };
            }
        };
        Ok(Box::pin(
            stream.map(|chunk: Result<Chunk, Error>| chunk.map_err(Status::from)),
        ))
    }
}

fn at(row: &Row) -> String {
    row.created_at.format(&Rfc3339).unwrap_or_default()
}

fn write_json(row: &Row, out: &mut Vec<u8>) {
    let raw = |json: &'_ Option<String>| {
        json.as_deref()
            .and_then(|json| serde_json::from_str::<&RawValue>(json).ok().map(RawValue::to_owned))
    };
    let (before, after) = (raw(&row.before), raw(&row.after));
    let line = Line {
        position: row.position,
        created_at: at(row),
        kind: &row.event_type,
        message: &row.message,
        actor_type: &row.actor_type,
        actor_id: &row.actor_id,
        actor_name: &row.actor_name,
        target_type: &row.target_type,
        target_id: row.target_id,
        board_id: row.board_id,
        task_id: row.task_id,
        agent_id: row.agent_id,
        gateway_id: row.gateway_id,
        request_id: &row.request_id,
        before: before.as_deref(),
        after: after.as_deref(),
        id: row.id,
        hash: row.hash.as_deref().map(chain::hex),
    };
    // Strings, and JSON that was valid when it was written: this cannot fail.
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        out.push(b'\n');
    }
}

fn write_csv(row: &Row, out: &mut Vec<u8>) {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let hash = row.hash.as_deref().map(chain::hex).unwrap_or_default();
    let fields = [
        &row.position.to_string(),
        &at(row),
        &row.event_type,
        &row.message,
        &row.actor_type,
        &row.actor_id,
        &row.actor_name,
        &row.target_type,
        &id(row.target_id),
        &id(row.board_id),
        &id(row.task_id),
        &id(row.agent_id),
        &id(row.gateway_id),
        &row.request_id,
        row.before.as_deref().unwrap_or_default(),
        row.after.as_deref().unwrap_or_default(),
        &row.id.to_string(),
        &hash,
    ];
    for (number, field) in fields.into_iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_field(field, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// A field of CSV (RFC 4180). What a spreadsheet would take for a formula is kept from being one by an apostrophe.
fn write_field(field: &str, out: &mut Vec<u8>) {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !formula && !field.contains([',', '"', '\r', '\n']) {
        out.extend_from_slice(field.as_bytes());
        return;
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stay_fields_and_are_no_formulas() {
        for (field, written) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("@cmd", "\"'@cmd\""),
            ("{\"a\":1}", "\"{\"\"a\"\":1}\""),
        ] {
            let mut out = Vec::new();
            write_field(field, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), written, "{field}");
        }
        assert_eq!(HEADER.trim_end().split(',').count(), 18);
    }
}
