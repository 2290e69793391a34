//! Why somebody may or may not do something: the rules that enforce, asked without acting.

use chassis::{
    Caller, Error, Result, Store,
    access::{self, Refusal},
    channel::Peers,
    identity::{optional_uuid, uuid_of},
};
use http::Method;
use proto::{
    board::v1::{LookupBoardRequest, board_directory_service_client::BoardDirectoryServiceClient},
    identity::v1::{Principal, PrincipalKind},
    org::v1::{AccessExplanation, ExplainAccessRequest, access_service_server::AccessService},
};
use tonic::{Request, Response, Status};
use transcoder::{Access, Catalog, Found, MethodPlan};
use uuid::Uuid;

use crate::{directory, rules::Role};

/// The service behind `/access/explain`.
pub struct Explaining {
    pub store: Store,
    pub peers: Peers,
    pub catalog: Catalog,
}

#[tonic::async_trait]
impl AccessService for Explaining {
    async fn explain_access(
        &self,
        request: Request<ExplainAccessRequest>,
    ) -> Result<Response<AccessExplanation>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.explain(&caller, request.get_ref()).await?))
    }
}

impl Explaining {
    async fn explain(&self, caller: &Caller, request: &ExplainAccessRequest) -> Result<AccessExplanation> {
        let plan = find(&self.catalog, request.method.trim()).ok_or_else(|| {
            Error::not_found(
                "There is no such method: give its gRPC path, its operation id, or verb and path as in /openapi.json.",
            )
        })?;
        let principal = match optional_uuid(request.member_id.as_ref())? {
            Some(member) => self.member(caller, member).await?,
            None => caller.principal()?.clone(),
        };
        let mut verdict = access::decide(Some(&principal), plan);
        if verdict.is_ok()
            && let Some(board) = optional_uuid(request.board_id.as_ref())?
        {
            let organization = self.organization_of(caller, board).await?;
            verdict = access::decide_board(&principal, organization, board, plan.mutates);
        }
        Ok(told(&principal, plan, verdict))
    }

    /// A member of the active organization, as the edge would sign them, without their other memberships.
    async fn member(&self, caller: &Caller, member: Uuid) -> Result<Principal> {
        let organization = caller.organization()?;
        let own = caller
            .membership(organization)
            .ok_or_else(|| Error::denied("No org access"))?;
        if own.member_id != member.to_string() && !Role::stored(&own.role).is_admin() {
            return Err(Error::denied("Only admins ask about other members."));
        }
        let subject = sqlx::query_scalar!(
            "SELECT u.subject FROM org.members m JOIN org.users u ON u.id = m.user_id WHERE m.id = $1 AND m.organization_id = $2",
            member,
            organization
        )
        .fetch_optional(self.store.pool())
        .await?
        .ok_or_else(|| Error::not_found("There is no such member in this organization."))?;
        let mut principal = directory::principal(self.store.pool(), &subject)
            .await?
            .ok_or_else(|| Error::not_found("There is no such member in this organization."))?;
        let organization = organization.to_string();
        principal
            .memberships
            .retain(|membership| membership.organization_id == organization);
        principal.organization_id = organization;
        Ok(principal)
    }

    async fn organization_of(&self, caller: &Caller, board: Uuid) -> Result<Uuid> {
        let peer = self.peers.as_service("board", None, Some(caller));
        let request = LookupBoardRequest {
            board_id: board.to_string(),
        };
        let found = BoardDirectoryServiceClient::new(peer).lookup_board(request).await?;
        uuid_of(&found.get_ref().organization_id)
    }
}

/// The public method that is meant.
fn find<'c>(catalog: &'c Catalog, text: &str) -> Option<&'c MethodPlan> {
    let plan = if let Some((verb, path)) = text.split_once(char::is_whitespace) {
        let verb: Method = verb.to_uppercase().parse().ok()?;
        match catalog.find(&verb, path.trim()) {
            Found::Route(route, _) => Some(&*route.plan),
            _ => None,
        }
    } else if text.contains('/') {
        catalog.method(&format!("/{}", text.trim_start_matches('/')))
    } else {
        catalog
            .routes()
            .find(|route| route.operation_id == text)
            .map(|route| &*route.plan)
    };
    plan.filter(|plan| plan.access.iter().any(|access| *access != Access::Service))
}

fn told(principal: &Principal, plan: &MethodPlan, verdict: Result<&'static str, Refusal>) -> AccessExplanation {
    let who = match (principal.kind(), principal.name.trim()) {
        (PrincipalKind::Agent, "") => "This agent",
        (_, "") => "This caller",
        (_, name) => name,
    };
    let what = format!("{}.{}", plan.service.rsplit('.').next().unwrap_or_default(), plan.name);
    match verdict {
        Ok(rule) => AccessExplanation {
            allowed: true,
            method: plan.path.to_string(),
            rule: rule.to_owned(),
            detail: format!("{who} may call {what}."),
            missing: None,
            granted_by: None,
        },
        Err(refusal) => AccessExplanation {
            allowed: false,
            method: plan.path.to_string(),
            rule: refusal.rule.to_owned(),
            detail: format!("{who} may not call {what}: {} is missing.", refusal.missing),
            missing: Some(refusal.missing.to_owned()),
            granted_by: refusal.granted_by.map(str::to_owned),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_every_name_they_have() {
        let catalog = Catalog::compile(proto::DESCRIPTORS).expect("the contract compiles");
        for text in [
            "missioncontrol.org.v1.MemberService/RemoveMember",
            "/missioncontrol.org.v1.MemberService/RemoveMember",
            "remove_org_member_api_v1_organizations_me_members__member_id__delete",
            "DELETE /api/v1/organizations/me/members/{member_id}",
            "delete /api/v1/organizations/me/members/0190c3a0-0000-7000-8000-000000000001",
        ] {
            let found = find(&catalog, text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                &*found.path, "/missioncontrol.org.v1.MemberService/RemoveMember",
                "{text}"
            );
        }
        for text in [
            "",
            "nothing",
            "GET /nothing",
            "G@T /api/v1/boards",
            "missioncontrol.org.v1.DirectoryService/ResolveUser",
        ] {
            assert!(find(&catalog, text).is_none(), "{text}");
        }
    }
}
