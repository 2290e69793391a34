//! Who is calling: the signed principal, and what it may do.
//!
//! The edge authenticates a caller once and signs what it found; the signature travels in [`PRINCIPAL`]. Services verify it in
//! [`crate::access`] and read the result as a [`Caller`].

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use prost::Message;
use proto::{
    event::v1::Actor,
    identity::v1::{Membership, Principal, PrincipalKind, SignedPrincipal},
};
use sha2::Sha256;
use time::OffsetDateTime;
use tonic::Request;
use uuid::Uuid;

use crate::{Error, Result, access, timestamp};

/// Metadata key of the signed principal.
pub const PRINCIPAL: &str = "mc-principal-bin";
/// Metadata key of the request id.
pub const REQUEST_ID: &str = "x-request-id";
/// Metadata key of the W3C trace context (<https://www.w3.org/TR/trace-context/>).
pub const TRACEPARENT: &str = "traceparent";

/// Metadata key of the client's address, for methods that take bodies as they come.
pub const CLIENT_ADDRESS: &str = "mc-client-address";
/// Metadata key of the request's headers at the public port, for the same methods: hex of a JSON object by lower-case name, without credentials.
pub const CLIENT_HEADERS: &str = "mc-client-headers";

/// How long a service's own principal counts.
const SERVICE_LIFETIME: Duration = Duration::from_secs(60);

/// Signs and verifies principals with a key that the constellation shares.
#[derive(Clone)]
pub struct Signer {
    key: Arc<Hmac<Sha256>>,
}

impl Signer {
    /// A signer with a key of 32 bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC takes keys of any length: this cannot fail.
        Self {
            key: Arc::new(Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"))),
        }
    }

    /// Signs a principal that counts for `lifetime`.
    pub fn sign(&self, mut principal: Principal, lifetime: Duration) -> Signed {
        principal.expires_at = Some(timestamp(OffsetDateTime::now_utc() + lifetime));
        let encoded = principal.encode_to_vec();
        let mut mac = Hmac::<Sha256>::clone(&self.key);
        mac.update(&encoded);
        let signature = mac.finalize().into_bytes().to_vec();
        let text = STANDARD_NO_PAD.encode(
            SignedPrincipal {
                principal: encoded,
                signature,
            }
            .encode_to_vec(),
        );
        // Base64 is made of characters that headers take.
        let value = HeaderValue::try_from(text).unwrap_or_else(|_| unreachable!("base64 is a header value"));
        Signed {
            principal: Arc::new(principal),
            value,
        }
    }

    /// The principal of a service that acts by itself in an organization (or in none).
    pub fn service(&self, name: &str, organization_id: Option<Uuid>) -> Signed {
        self.sign(
            Principal {
                kind: PrincipalKind::Service.into(),
                id: name.to_owned(),
                name: name.to_owned(),
                organization_id: organization_id.map(|id| id.to_string()).unwrap_or_default(),
                ..Principal::default()
            },
            SERVICE_LIFETIME,
        )
    }

    /// Verifies what came in [`PRINCIPAL`].
    pub fn verify(&self, value: &HeaderValue) -> Result<Signed> {
        let refused = || Error::unauthenticated("The principal is not signed by this constellation.");
        // Senders may pad, receivers must not mind (gRPC over HTTP/2, "Binary-Header").
        let text = value.as_bytes().trim_ascii_end();
        let text = text
            .strip_suffix(b"==")
            .or_else(|| text.strip_suffix(b"="))
            .unwrap_or(text);
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| refused())?;
        let signed = SignedPrincipal::decode(&*bytes).map_err(|_| refused())?;
        let mut mac = Hmac::<Sha256>::clone(&self.key);
        mac.update(&signed.principal);
        mac.verify_slice(&signed.signature).map_err(|_| refused())?;
        let principal = Principal::decode(&*signed.principal).map_err(|_| refused())?;
        let expires = principal.expires_at.map_or(0, |at| at.seconds);
        if expires < OffsetDateTime::now_utc().unix_timestamp() {
            return Err(Error::unauthenticated("The principal has expired."));
        }
        Ok(Signed {
            principal: Arc::new(principal),
            value: value.clone(),
        })
    }
}

/// A principal with its signature, ready to travel.
#[derive(Clone)]
pub struct Signed {
    /// Who.
    pub principal: Arc<Principal>,
    /// The value of [`PRINCIPAL`].
    pub value: HeaderValue,
}

/// The verified caller of a request, with what has to be passed on.
#[derive(Clone)]
pub struct Caller {
    /// Who calls; `None` on public methods without a credential.
    pub signed: Option<Signed>,
    /// The request id, for answers, logs and the audit trail.
    pub request_id: Arc<str>,
    /// W3C trace context, or empty.
    pub traceparent: Arc<str>,
}

impl Caller {
    /// The caller of a request that passed [`crate::access`].
    pub fn of<T>(request: &Request<T>) -> Result<Self> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Error::internal(anyhow::anyhow!("the request did not pass the access layer")))
    }

    /// A service acting by itself (consumers, loops).
    pub fn service(signer: &Signer, name: &str, organization_id: Option<Uuid>) -> Self {
        Self {
            signed: Some(signer.service(name, organization_id)),
            request_id: Uuid::now_v7().to_string().into(),
            traceparent: "".into(),
        }
    }

    /// Who calls.
    pub fn principal(&self) -> Result<&Principal> {
        self.signed
            .as_ref()
            .map(|signed| &*signed.principal)
            .ok_or_else(|| Error::unauthenticated("Unauthorized"))
    }

    /// What kind of caller.
    pub fn kind(&self) -> PrincipalKind {
        self.signed
            .as_ref()
            .map_or(PrincipalKind::Unspecified, |signed| signed.principal.kind())
    }

    /// The organization the call acts in: a person's active one, an agent's own.
    pub fn organization(&self) -> Result<Uuid> {
        Uuid::parse_str(&self.principal()?.organization_id).map_err(|_| Error::denied("No active organization"))
    }

    /// The person's id; [`crate::error::Kind::Denied`] for others.
    pub fn user_id(&self) -> Result<Uuid> {
        match self.kind() {
            PrincipalKind::User => uuid_of(&self.principal()?.id),
            _ => Err(Error::denied("Only people can do this.")),
        }
    }

    /// The agent's id, if the caller is one.
    pub fn agent_id(&self) -> Option<Uuid> {
        (self.kind() == PrincipalKind::Agent)
            .then(|| self.principal().ok().and_then(|agent| Uuid::parse_str(&agent.id).ok()))?
    }

    /// The board of a calling agent; `None` for people and main agents.
    pub fn agent_board(&self) -> Option<Uuid> {
        self.principal()
            .ok()
            .and_then(|agent| Uuid::parse_str(&agent.board_id).ok())
    }

    /// Whether the caller is an agent that leads its board.
    pub fn is_lead(&self) -> bool {
        self.kind() == PrincipalKind::Agent && self.principal().is_ok_and(|agent| agent.is_lead)
    }

    /// The person's membership in an organization.
    pub fn membership(&self, organization: Uuid) -> Option<&Membership> {
        let organization = organization.to_string();
        self.principal()
            .ok()?
            .memberships
            .iter()
            .find(|membership| membership.organization_id == organization)
    }

    /// Refuses callers that may not read a board of an organization. People need a right in the board's own organization, active
    /// or not; agents only reach their own board, main agents every board of their gateway's organization.
    pub fn may_read_board(&self, organization: Uuid, board: Uuid) -> Result<()> {
        self.may_board(organization, board, false)
    }

    /// Refuses callers that may not write a board; otherwise as [`Self::may_read_board`].
    pub fn may_write_board(&self, organization: Uuid, board: Uuid) -> Result<()> {
        self.may_board(organization, board, true)
    }

    fn may_board(&self, organization: Uuid, board: Uuid, write: bool) -> Result<()> {
        access::decide_board(self.principal()?, organization, board, write)?;
        Ok(())
    }

    /// Boards of the active organization a person may read: `None` is all of them.
    pub fn readable_boards(&self) -> Result<Option<Vec<Uuid>>> {
        let membership = self
            .membership(self.organization()?)
            .ok_or_else(|| Error::denied("No org access"))?;
        if membership.all_boards_read || membership.all_boards_write {
            return Ok(None);
        }
        membership
            .grants
            .iter()
            .filter(|grant| grant.can_read || grant.can_write)
            .map(|grant| uuid_of(&grant.board_id))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// The caller as the audit trail names it.
    pub fn actor(&self) -> Actor {
        let kind = match self.kind() {
            PrincipalKind::User => "user",
            PrincipalKind::Agent => "agent",
            PrincipalKind::Service => "service",
            PrincipalKind::Unspecified => "anonymous",
        };
        let principal = self.principal().ok();
        Actor {
            kind: kind.to_owned(),
            id: principal.map(|principal| principal.id.clone()).unwrap_or_default(),
            name: principal.map(|principal| principal.name.clone()).unwrap_or_default(),
        }
    }
}

/// Parses an id that was validated at the door; a caller inside the constellation that sends another gets a clear error.
pub fn uuid_of(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|_| Error::invalid("id", format!("`{text}` is not a UUID.")))
}

/// [`uuid_of`] for optional fields.
pub fn optional_uuid(text: Option<&String>) -> Result<Option<Uuid>> {
    text.map(|text| uuid_of(text)).transpose()
}
