//! Checking the chain: every entry against its hash, every position against the one before, the end against its signature, and all of it
//! against ends that were kept elsewhere.

use chassis::{Result, Store, seal::Sealer};
use proto::activity::v1::{AuditProblem, VerifyAuditResponse};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{COLUMNS, Row};
use crate::chain::{self, Hash, Head};

/// Entries read at once.
const PAGE: i64 = 1_000;
/// Findings after which a check only counts on.
const FINDINGS: usize = 100;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where; 0 for the chain as a whole.
    pub position: i64,
    /// One stable word.
    pub kind: &'static str,
    /// What it means.
    pub message: String,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Entries that were checked.
    pub checked: i64,
    /// The last position that was checked.
    pub checked_to: i64,
    /// The last position, as it is signed.
    pub head_position: i64,
    /// Whether the end was reached.
    pub complete: bool,
    /// The first position that has a hash.
    pub chain_begins: i64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, position: i64, kind: &'static str, message: impl Into<String>) {
        if self.findings.len() < FINDINGS {
            self.findings.push(Finding {
                position,
                kind,
                message: message.into(),
            });
        }
    }
}

impl From<Report> for VerifyAuditResponse {
    fn from(report: Report) -> Self {
        Self {
            intact: report.findings.is_empty(),
            checked: report.checked,
            checked_to: report.checked_to,
            head_position: report.head_position,
            complete: report.complete,
            chain_begins: report.chain_begins,
            problems: report
                .findings
                .into_iter()
                .map(|finding| AuditProblem {
                    position: finding.position,
                    kind: finding.kind.to_owned(),
                    message: finding.message,
                })
                .collect(),
        }
    }
}

/// The signed end of a chain, as it is written down to be kept elsewhere: one JSON object a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Anchor {
    pub organization_id: Uuid,
    pub position: i64,
    /// Hexadecimal.
    pub hash: String,
    pub chain_begins: i64,
    /// Hexadecimal.
    pub signature: String,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl Anchor {
    /// Whether this installation signed it.
    fn is_signed(&self, sealer: &Sealer) -> bool {
        let (Some(hash), Some(signature)) = (bytes(&self.hash), bytes(&self.signature)) else {
            return false;
        };
        let Ok(hash) = Hash::try_from(hash.as_slice()) else {
            return false;
        };
        let head = Head {
            organization_id: self.organization_id,
            position: self.position,
            hash,
            chain_begins: self.chain_begins,
        };
        head.is_signed(sealer, &signature)
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len())
        .step_by(2)
        .map(|at| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

struct Stored {
    position: i64,
    hash: Option<Vec<u8>>,
    chain_begins: Option<i64>,
    signature: Option<Vec<u8>>,
}

/// The organizations that have a log, or have entries although they lost the end of it.
pub async fn organizations(store: &Store) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "SELECT organization_id AS \"organization_id!\" FROM activity.heads \
         UNION SELECT DISTINCT organization_id FROM activity.events ORDER BY 1"
    )
    .fetch_all(store.pool())
    .await?)
}

/// The signed ends, of one organization or of all.
pub async fn anchors(store: &Store, organization: Option<Uuid>) -> Result<Vec<Anchor>> {
    let rows = sqlx::query!(
        "SELECT organization_id, position, hash AS \"hash!\", chain_begins AS \"chain_begins!\", signature AS \"signature!\", signed_at AS \"at!\" \
         FROM activity.heads WHERE hash IS NOT NULL AND signature IS NOT NULL AND chain_begins IS NOT NULL AND signed_at IS NOT NULL \
           AND ($1::uuid IS NULL OR organization_id = $1) ORDER BY organization_id",
        organization
    )
    .fetch_all(store.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Anchor {
            organization_id: row.organization_id,
            position: row.position,
            hash: chain::hex(&row.hash),
            chain_begins: row.chain_begins,
            signature: chain::hex(&row.signature),
            at: row.at,
        })
        .collect())
}

/// Checks a chain after a position that was checked before, `limit` entries at most (all when `None`). `kept` are ends that were kept
/// elsewhere; only those of the organization count, and only with a whole check.
pub async fn verify(
    store: &Store,
    sealer: &Sealer,
    organization: Uuid,
    after: i64,
    limit: Option<i64>,
    kept: &[Anchor],
) -> Result<Report> {
    let mut report = Report {
        checked_to: after,
        ..Report::default()
    };
    // The end first: entries that come while this reads are beyond it.
    let head = sqlx::query_as!(
        Stored,
        "SELECT position, hash, chain_begins, signature FROM activity.heads WHERE organization_id = $1",
        organization
    )
    .fetch_optional(store.pool())
    .await?;
    let Some(head) = head else {
        report.complete = true;
        let left = sqlx::query_scalar!(
            "SELECT count(*) AS \"count!\" FROM activity.events WHERE organization_id = $1",
            organization
        )
        .fetch_one(store.pool())
        .await?;
        if left > 0 || !kept.is_empty() {
            report.find(0, "truncated", "The end of the chain is gone.");
        }
        return Ok(report);
    };
    report.head_position = head.position;
    report.chain_begins = head.chain_begins.unwrap_or(head.position + 1);
    let end = signed_end(&mut report, sealer, organization, &head);

    let until = limit.map_or(head.position, |limit| head.position.min(after.saturating_add(limit)));
    let mut previous = if after < report.chain_begins {
        Some(chain::ORIGIN)
    } else {
        hash_at(store, organization, after).await?
    };
    while report.checked_to < until {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM activity.events e WHERE e.organization_id = $1 AND e.position > $2 AND e.position <= $3 \
             ORDER BY e.position LIMIT $4"
        )))
        .bind(organization)
        .bind(report.checked_to)
        .bind(until)
        .bind(PAGE)
        .fetch_all(store.pool())
        .await?;
        if rows.is_empty() {
            missing(&mut report, until + 1);
            report.checked_to = until;
            break;
        }
        for row in rows {
            check(&mut report, &row, &mut previous, kept);
        }
    }
    report.complete = report.checked_to >= head.position;
    if report.complete {
        if let (Some(end), Some(last)) = (end, previous)
            && end != last
        {
            report.find(
                head.position,
                "head_mismatch",
                "The last entry is not the one that was signed as the end.",
            );
        }
        beyond(store, &mut report, organization, &head, kept).await?;
    }
    for anchor in kept.iter().filter(|anchor| !anchor.is_signed(sealer)) {
        report.find(
            anchor.position,
            "anchor_unsigned",
            "A kept end was not signed by this installation, or was changed.",
        );
    }
    Ok(report)
}

/// The hash at the end, when its signature is good.
fn signed_end(report: &mut Report, sealer: &Sealer, organization: Uuid, head: &Stored) -> Option<Hash> {
    let hash = head.hash.as_deref().and_then(|hash| Hash::try_from(hash).ok());
    let (Some(hash), Some(signature)) = (hash, &head.signature) else {
        if head.position > 0 {
            report.find(0, "head_unsigned", "The end of the chain is not signed: nothing was written since the chain came, or the signature was removed.");
        }
        return None;
    };
    let signed = Head {
        organization_id: organization,
        position: head.position,
        hash,
        chain_begins: report.chain_begins,
    };
    if !signed.is_signed(sealer, signature) {
        report.find(
            0,
            "head_unsigned",
            "The signature of the end is not good: the end was changed, or SECRET_KEY is another one.",
        );
    }
    Some(hash)
}

/// Checks one entry, and what should be between it and the one before.
fn check(report: &mut Report, row: &Row, previous: &mut Option<Hash>, kept: &[Anchor]) {
    if row.position != report.checked_to + 1 {
        missing(report, row.position);
        *previous = None;
    }
    report.checked_to = row.position;
    report.checked += 1;
    let stored = row.hash.as_deref().and_then(|hash| Hash::try_from(hash).ok());
    if row.position < report.chain_begins {
        return;
    }
    let Some(stored) = stored else {
        report.find(row.position, "edited", "The entry has lost its hash.");
        *previous = None;
        return;
    };
    match previous {
        Some(before) if row.sealed().hash(before) != stored => {
            report.find(
                row.position,
                "edited",
                "The entry is not what it was when it was written.",
            );
        }
        None => report.find(
            row.position,
            "unlinked",
            "The entry before cannot be relied on, so that this one cannot be checked.",
        ),
        Some(_) => {}
    }
    let digits = chain::hex(&stored);
    if kept.iter().any(|anchor| {
        anchor.organization_id == row.organization_id && anchor.position == row.position && anchor.hash != digits
    }) {
        report.find(
            row.position,
            "rewritten",
            "The entry is not the one that was signed as the end then: the chain was made anew.",
        );
    }
    *previous = Some(stored);
}

/// Notes that entries are missing before a position.
fn missing(report: &mut Report, before: i64) {
    let (from, to) = (report.checked_to + 1, before - 1);
    let message = if from == to {
        "An entry is missing.".to_owned()
    } else {
        format!("The entries up to {to} are missing.")
    };
    report.find(from, "missing", message);
}

/// What is beyond the end: entries that nobody signed, or ends that were signed and are gone.
async fn beyond(store: &Store, report: &mut Report, organization: Uuid, head: &Stored, kept: &[Anchor]) -> Result<()> {
    for anchor in kept
        .iter()
        .filter(|anchor| anchor.organization_id == organization && anchor.position > head.position)
    {
        report.find(
            head.position + 1,
            "truncated",
            format!("The chain once went up to position {}: it was cut.", anchor.position),
        );
    }
    // Asked together: what is written meanwhile moves the end, too.
    let row = sqlx::query!(
        "SELECT (SELECT max(position) FROM activity.events WHERE organization_id = $1) AS last, \
           (SELECT position FROM activity.heads WHERE organization_id = $1) AS head",
        organization
    )
    .fetch_one(store.pool())
    .await?;
    if let (Some(last), Some(end)) = (row.last, row.head)
        && last > end
    {
        report.find(
            end + 1,
            "head_mismatch",
            "There are entries beyond the signed end: the end was set back.",
        );
    }
    Ok(())
}

async fn hash_at(store: &Store, organization: Uuid, position: i64) -> Result<Option<Hash>> {
    let hash = sqlx::query_scalar!(
        "SELECT hash FROM activity.events WHERE organization_id = $1 AND position = $2",
        organization,
        position
    )
    .fetch_optional(store.pool())
    .await?;
    Ok(hash.flatten().and_then(|hash| Hash::try_from(hash.as_slice()).ok()))
}
