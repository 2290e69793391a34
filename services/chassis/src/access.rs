//! Who may call what: one layer in front of every service's routes, driven by the `access` option of the descriptors.
//!
//! It verifies the principal, admits the kinds of callers the method lists, and leaves a [`Caller`] in the request's extensions.
//! Whether the caller may touch the very resource is decided by the handler.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use proto::identity::v1::PrincipalKind;
use tonic::{Status, body::Body, service::Routes};
use tower::Service;
use tracing::{Instrument, instrument::Instrumented};
use transcoder::{Access, Catalog};

use crate::{
    Error, Result,
    identity::{Caller, PRINCIPAL, REQUEST_ID, Signer, TRACEPARENT},
    telemetry,
};

/// Routes behind the access check.
#[derive(Clone)]
pub struct Guarded {
    routes: Routes,
    catalog: Catalog,
    signer: Signer,
}

impl Guarded {
    /// Puts the check in front of routes.
    pub fn new(routes: Routes, catalog: Catalog, signer: Signer) -> Self {
        Self {
            routes: routes.prepare(),
            catalog,
            signer,
        }
    }

    fn admit(&self, request: &Request<Body>) -> Result<Caller> {
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
        check(&caller, &method.access)?;
        Ok(caller)
    }
}

/// Refuses callers of a kind the method does not admit.
fn check(caller: &Caller, access: &[Access]) -> Result<()> {
    if access.contains(&Access::Public) {
        return Ok(());
    }
    let principal = caller.principal()?;
    let role = || {
        caller
            .organization()
            .ok()
            .and_then(|organization| caller.membership(organization))
            .map(|membership| membership.role.as_str())
    };
    let admitted = access.iter().any(|access| match (access, principal.kind()) {
        (Access::Service, PrincipalKind::Service)
        | (Access::User, PrincipalKind::User)
        | (Access::Agent, PrincipalKind::Agent) => true,
        (Access::Member, PrincipalKind::User) => role().is_some(),
        (Access::Admin, PrincipalKind::User) => matches!(role(), Some("owner" | "admin")),
        (Access::Owner, PrincipalKind::User) => role() == Some("owner"),
        (Access::Lead, PrincipalKind::Agent) => principal.is_lead,
        (Access::Main, PrincipalKind::Agent) => principal.board_id.is_empty(),
        _ => false,
    });
    if admitted {
        return Ok(());
    }
    // People on agents' methods and the other way round hold no credential for it at all.
    let wrong_kind = match principal.kind() {
        PrincipalKind::User => !access
            .iter()
            .any(|access| matches!(access, Access::User | Access::Member | Access::Admin | Access::Owner)),
        PrincipalKind::Agent => !access
            .iter()
            .any(|access| matches!(access, Access::Agent | Access::Lead | Access::Main)),
        _ => false,
    };
    Err(match () {
        () if wrong_kind => Error::unauthenticated("Unauthorized"),
        () if access.contains(&Access::Lead) && principal.kind() == PrincipalKind::Agent => {
            Error::denied("Only board leads can perform this action")
        }
        () if access.contains(&Access::Owner) && role() == Some("admin") => {
            Error::denied("Only organization owners can do this.")
        }
        () => Error::denied("Forbidden"),
    })
}

impl Service<Request<Body>> for Guarded {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Self::Response, Infallible>>, Instrumented<<Routes as Service<Request<Body>>>::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.admit(&request) {
            Ok(caller) => {
                // Logs of the handler name the request; its trace goes on here, also in another process.
                let span = tracing::info_span!("rpc", otel.name = request.uri().path(), otel.kind = "server", request_id = %caller.request_id);
                telemetry::continue_trace(&span, &caller.traceparent);
                request.extensions_mut().insert(caller);
                Either::Right(self.routes.call(request).instrument(span))
            }
            Err(error) => Either::Left(ready(Ok(Status::from(error).into_http()))),
        }
    }
}
