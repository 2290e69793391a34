//! Deciding: what one decision does to an approval, and one decision about many.

use std::collections::HashMap;

use chassis::{Caller, Error, Result, identity::uuid_of};
use proto::approval::v1::{Approval, ApprovalStatus, DecideApprovalsRequest, DecideApprovalsResponse, DecisionResult};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    approvals::Approvals,
    rows::{self, Counts, Row},
    rules::{self, Verdict},
};

/// Most approvals that are decided at once.
const MOST: usize = 100;

/// Who decides what, and why.
pub struct Decision {
    status: ApprovalStatus,
    by: Uuid,
    name: String,
    reason: Option<String>,
    at: OffsetDateTime,
}

impl Decision {
    /// A person's decision, now.
    pub fn of(caller: &Caller, status: ApprovalStatus, reason: Option<&str>) -> Result<Self> {
        Ok(Self {
            status,
            by: caller.user_id()?,
            name: caller.principal()?.name.clone(),
            reason: reason.map(str::to_owned),
            at: rows::now(),
        })
    }

    /// The approval after it.
    pub fn apply(&self, row: &mut Row) {
        rules::word(self.status).clone_into(&mut row.status);
        row.resolved_at = Some(self.at);
        row.resolved_by_user_id = Some(self.by);
        row.resolved_by_name = Some(self.name.clone());
        row.decision_reason.clone_from(&self.reason);
    }
}

impl Approvals {
    /// Decides approvals alike, each by the rules; one transaction.
    pub async fn decide_all(
        &self,
        caller: &Caller,
        request: &DecideApprovalsRequest,
    ) -> Result<DecideApprovalsResponse> {
        let wanted = request.status();
        if !matches!(wanted, ApprovalStatus::Approved | ApprovalStatus::Rejected) {
            return Err(Error::invalid("status", "status must be approved or rejected."));
        }
        if !(1..=MOST).contains(&request.approval_ids.len()) {
            return Err(Error::invalid(
                "approval_ids",
                format!("approval_ids must name 1 to {MOST} approvals."),
            ));
        }
        let mut ids = Vec::with_capacity(request.approval_ids.len());
        for id in &request.approval_ids {
            let id = uuid_of(id)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let reason = request.reason.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let decision = Decision::of(caller, wanted, reason)?;

        let mut tx = self.store.begin().await?;
        // Boards before rows, as everywhere: an approval never changes its board.
        let boards = sqlx::query_scalar!(
            "SELECT DISTINCT board_id FROM approval.approvals WHERE id = ANY($1)",
            &ids
        )
        .fetch_all(&mut *tx)
        .await?;
        rows::lock_boards(&mut tx, &boards).await?;
        let mut results: HashMap<Uuid, DecisionResult> = HashMap::new();
        let (mut before, mut decided) = (Vec::new(), Vec::new());
        for mut row in rows::hold(&mut tx, &ids).await? {
            let was = Approval::from(&row);
            let verdict = match caller.may_write_board(row.organization_id, row.board_id) {
                Ok(()) => {
                    rules::decide(&row.standing(), decision.by, wanted).map_err(|error| (Some(was.clone()), error))
                }
                // Whoever may not even read it learns no more than of one that does not exist.
                Err(error) => match caller.may_read_board(row.organization_id, row.board_id) {
                    Ok(()) => Err((Some(was.clone()), error)),
                    Err(_) => continue,
                },
            };
            let id = row.id;
            let result = match verdict {
                Ok(Verdict::Decide) => {
                    decision.apply(&mut row);
                    before.push(was);
                    decided.push(row);
                    continue;
                }
                Ok(Verdict::Unchanged) => DecisionResult {
                    approval_id: id.to_string(),
                    ok: true,
                    approval: Some(was),
                    problem: None,
                },
                Err((approval, error)) => DecisionResult {
                    approval_id: id.to_string(),
                    ok: false,
                    approval,
                    problem: Some(error.to_string()),
                },
            };
            results.insert(id, result);
        }
        if !decided.is_empty() {
            rows::resolve(&mut tx, &decided).await?;
            let counts = Counts::of(&mut tx, &decided).await?;
            let mut events = Vec::with_capacity(decided.len());
            for (row, before) in decided.iter().zip(&before) {
                let message = format!("Approval {} {}.", row.action_type, row.status);
                let change = rows::changed("approval.resolved", message, Some(before), row, &counts);
                events.push(change.into_event(caller));
                let result = DecisionResult {
                    approval_id: row.id.to_string(),
                    ok: true,
                    approval: Some(Approval::from(row)),
                    problem: None,
                };
                results.insert(row.id, result);
            }
            tx.record_events(&events).await?;
        }
        tx.commit().await?;

        let results: Vec<DecisionResult> = ids
            .into_iter()
            .map(|id| {
                results.remove(&id).unwrap_or_else(|| DecisionResult {
                    approval_id: id.to_string(),
                    ok: false,
                    approval: None,
                    problem: Some("There is no such approval.".to_owned()),
                })
            })
            .collect();
        let decided = results.iter().filter(|result| result.ok).count();
        Ok(DecideApprovalsResponse {
            decided: i32::try_from(decided).unwrap_or(i32::MAX),
            results,
        })
    }
}
