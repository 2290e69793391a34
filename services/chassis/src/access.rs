//! Who may call what: one layer in front of every service's routes, driven by the `access` option of the descriptors.
//!
//! It verifies the principal, admits the kinds of callers the method lists, and leaves a [`Caller`] in the request's extensions.
//! Whether the caller may touch the very resource is decided by the handler, with [`decide_board`] for boards. The same rules answer
//! `ExplainAccess`.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{BoxFuture, Either, Ready, ready};
use http::{Request, Response};
use proto::identity::v1::{Membership, Principal, PrincipalKind};
use tokio::task::futures::TaskLocalFuture;
use tonic::{Status, body::Body, service::Routes};
use tower::Service;
use tracing::{Instrument, instrument::Instrumented};
use transcoder::{Access, Catalog, MethodPlan};
use uuid::Uuid;

use crate::{
    Error, Result,
    error::Kind,
    idempotency::{self, Claim, Keeper, Keyed},
    identity::{Caller, PRINCIPAL, REQUEST_ID, Signer, TRACEPARENT},
    telemetry,
};

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that decided.
    pub rule: &'static str,
    /// How it is answered.
    pub kind: Kind,
    /// What the caller is told.
    pub message: &'static str,
    /// What would have to be so.
    pub missing: &'static str,
    /// Who can change that.
    pub granted_by: Option<&'static str>,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind, refusal.message)
    }
}

const OWNER: Option<&str> = Some("an owner of the organization");
const ADMIN: Option<&str> = Some("an owner or admin of the organization");

/// Whether a principal may call a method at all: the rule that lets it through, or why not.
pub fn decide(principal: Option<&Principal>, plan: &MethodPlan) -> Result<&'static str, Refusal> {
    if plan.access.contains(&Access::Public) {
        return Ok("public");
    }
    let Some(principal) = principal else {
        return Err(Refusal {
            rule: "kind_of_caller",
            kind: Kind::Unauthenticated,
            message: "Unauthorized",
            missing: "a credential",
            granted_by: None,
        });
    };
    check_key(principal, plan)?;
    let held = active(principal).map(|membership| membership.role.as_str());
    let admitting = plan.access.iter().find_map(|access| {
        let (rule, admitted) = match (access, principal.kind()) {
            (Access::Service, PrincipalKind::Service) => ("service", true),
            (Access::User, PrincipalKind::User) | (Access::Agent, PrincipalKind::Agent) => ("kind_of_caller", true),
            (Access::Member, PrincipalKind::User) => ("member", held.is_some()),
            (Access::Admin, PrincipalKind::User) => ("admin", matches!(held, Some("owner" | "admin"))),
            (Access::Owner, PrincipalKind::User) => ("owner", held == Some("owner")),
            (Access::Lead, PrincipalKind::Agent) => ("lead", principal.is_lead),
            (Access::Main, PrincipalKind::Agent) => ("main", principal.board_id.is_empty()),
            _ => return None,
        };
        admitted.then_some(rule)
    });
    admitting.ok_or_else(|| refusal(principal, plan, held))
}

/// Why none of the kinds that a method admits is this principal.
fn refusal(principal: &Principal, plan: &MethodPlan, role: Option<&str>) -> Refusal {
    let denied = |rule, message, missing, granted_by| Refusal {
        rule,
        kind: Kind::Denied,
        message,
        missing,
        granted_by,
    };
    let has = |access| plan.access.contains(&access);
    let people = has(Access::User) || has(Access::Member) || has(Access::Admin) || has(Access::Owner);
    let agents = plan.access.iter().any(|access| access.is_agent());
    match principal.kind() {
        // People on agents' methods and the other way round hold no credential for it at all.
        PrincipalKind::User if !people => Refusal {
            kind: Kind::Unauthenticated,
            ..denied("kind_of_caller", "Unauthorized", "an agent's token", None)
        },
        PrincipalKind::Agent if !agents => Refusal {
            kind: Kind::Unauthenticated,
            ..denied("kind_of_caller", "Unauthorized", "a person's sign-in", None)
        },
        PrincipalKind::Agent if has(Access::Lead) => denied(
            "lead",
            "Only board leads can perform this action",
            "to be the lead of a board",
            ADMIN,
        ),
        PrincipalKind::Agent => denied("main", "Forbidden", "to be the main agent of a gateway", None),
        PrincipalKind::User if has(Access::Owner) && role == Some("admin") => denied(
            "owner",
            "Only organization owners can do this.",
            "the role owner in the active organization",
            OWNER,
        ),
        PrincipalKind::User if role.is_none() => {
            denied("member", "Forbidden", "a membership in the active organization", ADMIN)
        }
        PrincipalKind::User if has(Access::Admin) => denied(
            "admin",
            "Forbidden",
            "the role admin or owner in the active organization",
            ADMIN,
        ),
        PrincipalKind::User => denied("owner", "Forbidden", "the role owner in the active organization", OWNER),
        _ => denied("kind_of_caller", "Forbidden", "to be a caller of another kind", None),
    }
}

/// What API keys may not do, whoever they belong to: change something with a key for reading, and what concerns the person itself or
/// other keys.
fn check_key(principal: &Principal, plan: &MethodPlan) -> Result<(), Refusal> {
    let refused = |message, missing, granted_by| {
        Err(Refusal {
            rule: "api_key_scope",
            kind: Kind::Denied,
            message,
            missing,
            granted_by,
        })
    };
    if !plan.mutates {
        return Ok(());
    }
    if principal.read_only {
        return refused(
            "This API key is for reading only: make one with the scope write.",
            "an API key with the scope write",
            Some("whoever made the key"),
        );
    }
    let personal = plan.service == "missioncontrol.org.v1.ApiKeyService"
        || (plan.service.starts_with("missioncontrol.org.") && plan.access.contains(&Access::User));
    if personal && !principal.api_key_id.is_empty() {
        return refused(
            "An API key cannot do this: sign in.",
            "a sign-in instead of an API key",
            None,
        );
    }
    Ok(())
}

/// The person's membership in the active organization.
fn active(principal: &Principal) -> Option<&Membership> {
    principal
        .memberships
        .iter()
        .find(|membership| membership.organization_id == principal.organization_id)
}

/// Whether a principal may read or write a board of an organization. People need a right in the board's own organization, active or not;
/// agents only reach their own board, main agents every board of their gateway's organization.
pub fn decide_board(
    principal: &Principal,
    organization: Uuid,
    board: Uuid,
    write: bool,
) -> Result<&'static str, Refusal> {
    let rule = if write { "board_write" } else { "board_read" };
    let denied = |rule, message, missing, granted_by| {
        Err(Refusal {
            rule,
            kind: Kind::Denied,
            message,
            missing,
            granted_by,
        })
    };
    match principal.kind() {
        PrincipalKind::Service => Ok("service"),
        PrincipalKind::User => {
            let organization = organization.to_string();
            let Some(membership) = principal
                .memberships
                .iter()
                .find(|membership| membership.organization_id == organization)
            else {
                return denied(
                    "organization",
                    "No org access",
                    "a membership in the board's organization",
                    ADMIN,
                );
            };
            let board = board.to_string();
            let by_grant = membership
                .grants
                .iter()
                .any(|grant| grant.board_id == board && (grant.can_write || (!write && grant.can_read)));
            let by_flag = membership.all_boards_write || (!write && membership.all_boards_read);
            if by_flag || by_grant {
                return Ok(rule);
            }
            let missing = if write {
                "the right to write this board"
            } else {
                "the right to read this board"
            };
            denied(rule, "Board access denied", missing, ADMIN)
        }
        PrincipalKind::Agent => {
            let own = principal.board_id.is_empty() || principal.board_id == board.to_string();
            if own && principal.organization_id == organization.to_string() {
                Ok("agent_board")
            } else {
                denied("agent_board", "Forbidden", "to be an agent of this board", None)
            }
        }
        PrincipalKind::Unspecified => Err(Refusal {
            rule,
            kind: Kind::Unauthenticated,
            message: "Unauthorized",
            missing: "a credential",
            granted_by: None,
        }),
    }
}

/// Routes behind the access check.
#[derive(Clone)]
pub struct Guarded {
    routes: Routes,
    catalog: Catalog,
    signer: Signer,
    keeper: Option<Keeper>,
}

impl Guarded {
    /// Puts the check in front of routes. With a keeper, requests that name an idempotency key have one effect.
    pub fn new(routes: Routes, catalog: Catalog, signer: Signer, keeper: Option<Keeper>) -> Self {
        Self {
            routes: routes.prepare(),
            catalog,
            signer,
            keeper,
        }
    }

    fn admit(&self, request: &Request<Body>) -> Result<(Caller, Option<Keyed>)> {
        let method = self
            .catalog
            .method(request.uri().path())
            .ok_or_else(|| Error::not_found("There is no such method."))?;
        let headers = request.headers();
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let signed = match headers.get(PRINCIPAL) {
            Some(value) => Some(self.signer.verify(value)?),
            None => None,
        };
        let request_id = match text(REQUEST_ID) {
            "" => Arc::from(uuid::Uuid::now_v7().to_string()),
            id => Arc::from(id),
        };
        let caller = Caller {
            signed,
            request_id,
            traceparent: text(TRACEPARENT).into(),
        };
        let principal = caller.signed.as_ref().map(|signed| &*signed.principal);
        decide(principal, method)?;
        let keyed = match (principal, text(idempotency::KEY)) {
            (Some(principal), key) if !key.is_empty() && method.mutates => Some(Keyed {
                principal: format!("{}:{}", caller.actor().kind, principal.id),
                key: key.to_owned(),
                output: method.output.name().to_owned(),
            }),
            _ => None,
        };
        Ok((caller, keyed))
    }
}

type Running = TaskLocalFuture<Option<Arc<Claim>>, Instrumented<<Routes as Service<Request<Body>>>::Future>>;

impl Service<Request<Body>> for Guarded {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Self::Response, Infallible>>,
        Either<Running, BoxFuture<'static, Result<Self::Response, Infallible>>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.admit(&request) {
            Ok((caller, keyed)) => {
                // Logs of the handler name the request; its trace goes on here, also in another process.
                let span = tracing::info_span!("rpc", otel.name = request.uri().path(), otel.kind = "server", request_id = %caller.request_id);
                telemetry::continue_trace(&span, &caller.traceparent);
                request.extensions_mut().insert(caller);
                if let (Some(keyed), Some(keeper)) = (keyed, self.keeper.clone()) {
                    let once = keeper.once(keyed, self.routes.clone(), request);
                    return Either::Right(Either::Right(Box::pin(async move { Ok(once.await) }.instrument(span))));
                }
                let running = self.routes.call(request).instrument(span);
                Either::Right(Either::Left(idempotency::scoped(None, running)))
            }
            Err(error) => Either::Left(ready(Ok(Status::from(error).into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proto::identity::v1::BoardGrant;

    use super::*;

    const ORGANIZATION: Uuid = Uuid::from_u128(1);
    const BOARD: Uuid = Uuid::from_u128(2);

    fn plan(path: &str) -> &'static MethodPlan {
        static CATALOG: LazyLock<Catalog> =
            LazyLock::new(|| Catalog::compile(proto::DESCRIPTORS).expect("the contract compiles"));
        CATALOG.method(path).unwrap_or_else(|| panic!("no method {path}"))
    }

    fn person(role: &str) -> Principal {
        let memberships = match role {
            "" => Vec::new(),
            role => vec![Membership {
                organization_id: ORGANIZATION.to_string(),
                role: role.into(),
                ..Membership::default()
            }],
        };
        Principal {
            kind: PrincipalKind::User.into(),
            organization_id: ORGANIZATION.to_string(),
            memberships,
            ..Principal::default()
        }
    }

    fn agent(lead: bool, board: &str) -> Principal {
        Principal {
            kind: PrincipalKind::Agent.into(),
            organization_id: ORGANIZATION.to_string(),
            board_id: board.into(),
            is_lead: lead,
            ..Principal::default()
        }
    }

    #[test]
    fn every_rule_admits_its_callers_only() {
        let list = plan("/missioncontrol.org.v1.MemberService/ListMembers");
        let invite = plan("/missioncontrol.org.v1.InviteService/CreateInvite");
        let delete = plan("/missioncontrol.org.v1.OrganizationService/DeleteMyOrganization");
        let resolve = plan("/missioncontrol.org.v1.DirectoryService/ResolveUser");
        let config = plan("/missioncontrol.org.v1.AuthService/GetAuthConfig");
        let service = Principal {
            kind: PrincipalKind::Service.into(),
            ..Principal::default()
        };
        let cases = [
            (config, None, Ok("public")),
            (list, None, Err(("kind_of_caller", Kind::Unauthenticated))),
            (list, Some(person("")), Err(("member", Kind::Denied))),
            (list, Some(person("member")), Ok("member")),
            (
                list,
                Some(agent(true, "")),
                Err(("kind_of_caller", Kind::Unauthenticated)),
            ),
            (invite, Some(person("member")), Err(("admin", Kind::Denied))),
            (invite, Some(person("admin")), Ok("admin")),
            (invite, Some(person("owner")), Ok("admin")),
            (delete, Some(person("admin")), Err(("owner", Kind::Denied))),
            (delete, Some(person("owner")), Ok("owner")),
            (
                resolve,
                Some(person("owner")),
                Err(("kind_of_caller", Kind::Unauthenticated)),
            ),
            (resolve, Some(service), Ok("service")),
        ];
        for (plan, principal, expected) in cases {
            let found = decide(principal.as_ref(), plan).map_err(|refusal| (refusal.rule, refusal.kind));
            assert_eq!(found, expected, "{} {principal:?}", plan.path);
        }
    }

    #[test]
    fn keys_for_reading_change_nothing_and_keys_are_no_persons() {
        let key = |role, read_only| Principal {
            api_key_id: Uuid::from_u128(9).to_string(),
            read_only,
            ..person(role)
        };
        let tag = plan("/missioncontrol.board.v1.TagService/CreateTag");
        let tags = plan("/missioncontrol.board.v1.TagService/ListTags");
        let rule =
            |principal: &Principal, plan: &MethodPlan| decide(Some(principal), plan).map_err(|refusal| refusal.rule);
        assert_eq!(rule(&key("admin", true), tag), Err("api_key_scope"));
        assert!(rule(&key("admin", true), tags).is_ok());
        assert!(rule(&key("admin", false), tag).is_ok());
        for personal in [
            "/missioncontrol.org.v1.UserService/DeleteMe",
            "/missioncontrol.org.v1.InviteService/AcceptInvite",
            "/missioncontrol.org.v1.OrganizationService/SetActiveOrganization",
            "/missioncontrol.org.v1.ApiKeyService/CreateMyApiKey",
            "/missioncontrol.org.v1.ApiKeyService/CreateOrganizationApiKey",
        ] {
            assert_eq!(
                rule(&key("admin", false), plan(personal)),
                Err("api_key_scope"),
                "{personal}"
            );
            assert!(rule(&person("admin"), plan(personal)).is_ok(), "{personal}");
        }
    }

    #[test]
    fn boards_are_reached_by_flag_grant_or_seat() {
        let member = |read, write, grant: Option<(bool, bool)>| {
            let mut person = person("member");
            person.memberships[0].all_boards_read = read;
            person.memberships[0].all_boards_write = write;
            person.memberships[0].grants = grant
                .map(|(can_read, can_write)| BoardGrant {
                    board_id: BOARD.to_string(),
                    can_read,
                    can_write,
                })
                .into_iter()
                .collect();
            person
        };
        // (principal, may read, may write)
        let cases = [
            (member(false, false, None), false, false),
            (member(true, false, None), true, false),
            (member(false, true, None), true, true),
            (member(false, false, Some((true, false))), true, false),
            (member(false, false, Some((false, true))), true, true),
            (person("owner"), false, false),
            (person(""), false, false),
            (agent(false, &BOARD.to_string()), true, true),
            (agent(false, ""), true, true),
            (agent(true, &Uuid::from_u128(7).to_string()), false, false),
        ];
        for (principal, read, write) in cases {
            let may = |write| decide_board(&principal, ORGANIZATION, BOARD, write).is_ok();
            assert_eq!((may(false), may(true)), (read, write), "{principal:?}");
        }
        let elsewhere = decide_board(&member(true, true, None), Uuid::from_u128(5), BOARD, false);
        assert_eq!(elsewhere.map_err(|refusal| refusal.rule), Err("organization"));
    }
}
