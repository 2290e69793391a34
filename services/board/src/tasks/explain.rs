//! Whether a change of a task would be made, by whom, and what stands against it.

use chassis::{
    Caller, Error, Result,
    identity::{optional_uuid, uuid_of},
};
use proto::board::v1::{
    ExplainTransitionRequest, TaskStatus, TransitionActor, TransitionExplanation, TransitionRefusal,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    create::ATTEMPTS,
    read::not_found,
    rows::{Loaded, load},
    update::actor,
};
use crate::{
    Service,
    rules::{self, Actor, Asked, Facts, Refusal, Status, who},
};

/// Stands for a worker that has nothing to do with the task.
const ANYBODY: Uuid = Uuid::nil();

impl Service {
    pub(super) async fn explain(
        &self,
        caller: &Caller,
        request: &ExplainTransitionRequest,
    ) -> Result<TransitionExplanation> {
        let (board, task) = (uuid_of(&request.board_id)?, uuid_of(&request.task_id)?);
        let mut connection = self.store.pool().acquire().await?;
        let loaded = load(&mut connection, task, caller.agent_id(), false)
            .await?
            .filter(|loaded| loaded.board.id == board)
            .ok_or_else(not_found)?;
        drop(connection);
        caller.may_read_board(loaded.board.organization, board)?;
        let asked = asked(request)?;
        if asked.fields.is_empty() {
            return Err(Error::invalid(
                "status",
                "status or assigned_agent_id is needed: say what would change.",
            ));
        }
        let mut facts = Facts {
            now: OffsetDateTime::now_utc(),
            blocked_by: loaded.row.undone.clone(),
            worker_commented: loaded.worker_commented,
            assignee: None,
            // Who leads the board is one of those who are asked about.
            lead: Some(self.outside.lead(caller, &loaded.board).await?),
            approvals: None,
        };
        let mut everybody = vec![(who::PERSON, Actor::User, None)];
        if let Some(lead) = facts.lead.flatten() {
            everybody.push((who::LEAD, Actor::Lead(lead), Some(lead)));
        }
        if let Some(assignee) = loaded.row.assigned_agent_id
            && facts.lead.flatten() != Some(assignee)
        {
            everybody.push((who::ASSIGNEE, Actor::Worker(assignee), Some(assignee)));
        }
        everybody.push(("worker", Actor::Worker(ANYBODY), None));

        let mut actors = Vec::new();
        for (kind, actor, agent) in everybody {
            let refusals = self.ask(caller, &loaded, actor, &asked, &mut facts).await?;
            actors.push(TransitionActor {
                kind: kind.to_owned(),
                agent_id: agent.map(|id| id.to_string()),
                allowed: refusals.is_empty(),
                refusals: refusals.into_iter().map(message).collect(),
            });
        }
        let mut own = self.ask(caller, &loaded, actor(caller)?, &asked, &mut facts).await?;
        if caller.may_write_board(loaded.board.organization, board).is_err() {
            own.insert(0, rules::no_write_access());
        }
        let to = asked.status.unwrap_or(loaded.row.status());
        Ok(TransitionExplanation {
            allowed: own.is_empty(),
            from: loaded.row.status().message().into(),
            to: to.message().into(),
            refusals: own.into_iter().map(message).collect(),
            actors,
            etag: loaded.row.etag(),
        })
    }

    /// What stands against one of them; facts of other services are fetched when a rule asks for them.
    async fn ask(
        &self,
        caller: &Caller,
        loaded: &Loaded,
        actor: Actor,
        asked: &Asked,
        facts: &mut Facts,
    ) -> Result<Vec<Refusal>> {
        for _ in 0..ATTEMPTS {
            match rules::obstacles(actor, loaded.board.gates, &loaded.row.state(), asked, facts) {
                Ok(found) => return Ok(found),
                Err(fact) => {
                    self.fetch(caller, &loaded.board, Some(loaded.row.id), fact, facts)
                        .await?;
                }
            }
        }
        Err(super::create::unsettled())
    }
}

fn asked(request: &ExplainTransitionRequest) -> Result<Asked> {
    let status = request
        .status
        .map(|status| {
            TaskStatus::try_from(status)
                .ok()
                .and_then(Status::of)
                .ok_or_else(|| Error::invalid("status", "status must be inbox, in_progress, review or done."))
        })
        .transpose()?;
    let assignee = optional_uuid(request.assigned_agent_id.as_ref())?;
    let mut fields = Vec::new();
    if status.is_some() {
        fields.push("status");
    }
    if assignee.is_some() {
        fields.push("assigned_agent_id");
    }
    Ok(Asked {
        status,
        assignee: assignee.map(Some),
        dependencies_change: false,
        comment: request.comment == Some(true),
        fields,
    })
}

fn message(refusal: Refusal) -> TransitionRefusal {
    let blocking = refusal
        .extra
        .iter()
        .find(|(key, _)| *key == "blocked_by_task_ids")
        .and_then(|(_, ids)| ids.as_array());
    let ids = blocking
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_str().map(str::to_owned));
    TransitionRefusal {
        rule: refusal.rule.to_owned(),
        blocked_by_task_ids: ids.collect(),
        message: refusal.message,
        missing: refusal.missing.to_owned(),
        who: refusal.who.iter().map(|who| (*who).to_owned()).collect(),
        remedy: refusal.remedy.to_owned(),
    }
}
