//! Calling a role with encoded messages: no typed message is decoded on the way in or out.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use chassis::{
    Context,
    channel::Channel,
    etag::IF_MATCH,
    idempotency,
    identity::{CLIENT_ADDRESS, CLIENT_HEADERS, PRINCIPAL, REQUEST_ID, TRACEPARENT},
};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use tonic::{Status, body::Body};
use transcoder::{Access, Credential, MethodPlan};

use crate::observe::Visit;

/// Length of the head of a gRPC message: one flag, four bytes of length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub const HEAD: usize = 5;

/// A method that can be reached through the public port.
pub struct Target {
    /// Name of the role that serves it.
    pub role: String,
    /// `/package.Service/Method`, for metrics.
    pub label: Arc<str>,
    /// Nobody is checked.
    pub public: bool,
    /// Which credential counts when the door does not say (gRPC).
    pub credential: Credential,
    /// What principals say may have changed when it succeeded: they are asked for again.
    pub moves_principals: bool,
    channel: Option<Channel>,
    uri: Uri,
}

/// Every public method by gRPC path.
pub struct Methods {
    by_path: HashMap<Arc<str>, Arc<Target>>,
    roles: Vec<(String, Option<Channel>)>,
}

impl Methods {
    /// The public methods of the contract: those that are not for services only.
    pub fn new(context: &Context) -> Self {
        let mut by_path = HashMap::new();
        let mut roles: Vec<(String, Option<Channel>)> = Vec::new();
        for plan in context.catalog.methods() {
            let role = role(&plan.service);
            let channel = context.peers.channel(&role).cloned();
            if !roles.iter().any(|(known, _)| *known == role) {
                roles.push((role.clone(), channel.clone()));
            }
            let closed = plan.client_streaming || plan.access.iter().all(|access| *access == Access::Service);
            let Ok(uri) = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(plan.path.as_bytes())).map(Uri::from)
            else {
                continue;
            };
            if !closed {
                let target = Target {
                    label: plan.path.clone(),
                    public: plan.access.contains(&Access::Public),
                    credential: credential(&plan.access),
                    moves_principals: moves_principals(&role, &plan.name),
                    role,
                    channel,
                    uri,
                };
                by_path.insert(plan.path.clone(), Arc::new(target));
            }
        }
        Self { by_path, roles }
    }

    /// The method behind a gRPC path.
    pub fn get(&self, path: &str) -> Option<&Arc<Target>> {
        self.by_path.get(path)
    }

    /// Every role that serves part of the contract, and where it is.
    pub fn roles(&self) -> Vec<(String, Option<Channel>)> {
        self.roles.clone()
    }

    /// Whether a service has a public method.
    pub fn has_public(&self, plan: &MethodPlan) -> bool {
        self.by_path.contains_key(&plan.path)
    }
}

/// `missioncontrol.board.v1.TaskService` is served by the role `board`; gateways are the bridge's.
fn role(service: &str) -> String {
    match service.split('.').nth(1).unwrap_or_default() {
        "gateway" => "gateway-bridge".to_owned(),
        package => package.to_owned(),
    }
}

fn credential(access: &[Access]) -> Credential {
    let agents = access.iter().any(|access| access.is_agent());
    let people = access
        .iter()
        .any(|access| matches!(access, Access::User | Access::Member | Access::Admin | Access::Owner));
    match (people, agents) {
        (false, true) => Credential::Agent,
        (true, false) => Credential::User,
        _ => Credential::Any,
    }
}

/// A person's principal holds the active organization and all memberships, an agent's its board and place: what changes these is told
/// to other processes by events, which arrive a moment later. The caller's own next request must not see the old state.
fn moves_principals(role: &str, method: &str) -> bool {
    let reads = ["Get", "List", "Watch", "Search", "Explain"]
        .iter()
        .any(|verb| method.starts_with(verb));
    match role {
        "org" => !reads,
        "agent" => ["Delete", "Update", "Rotate"]
            .iter()
            .any(|verb| method.starts_with(verb)),
        _ => false,
    }
}

impl Target {
    /// Calls the method with one message and answers what the role says, as it comes. `origin` is what the role learns of the request itself.
    /// The error is the role's status when the call failed before the first message.
    pub async fn call_from(
        &self,
        visit: &Visit,
        principal: Option<&HeaderValue>,
        message: &[u8],
        origin: HeaderMap,
    ) -> Result<Response<Body>, Status> {
        let framed = frame(message)?;
        let Some(channel) = &self.channel else {
            return Err(Status::unavailable(format!(
                "The role `{}` is not part of this installation: start it, or name it in PEERS.",
                self.role
            )));
        };
        let mut request = Request::new(Body::new(Full::new(framed)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = origin;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(REQUEST_ID, visit.id_header.clone());
        if let Some(principal) = principal {
            headers.insert(PRINCIPAL, principal.clone());
        }
        if let Some(trace) = &visit.traceparent {
            headers.insert(TRACEPARENT, trace.clone());
        }
        if let Some(seen) = &visit.if_match {
            headers.insert(IF_MATCH, seen.clone());
        }
        let response = channel.send(request).await?;
        match Status::from_header_map(response.headers()) {
            Some(status) if status.code() != tonic::Code::Ok => Err(status),
            _ => Ok(response),
        }
    }
}

/// The field of every message that changes something, for its idempotency key. REST does not have it: it has the header.
const REQUEST_ID_FIELD: &str = "request_id";

/// The key under which a request may be repeated: the message's own `request_id`, else the header. Methods that change nothing need none, and
/// services among themselves use none: what they ask of each other is idempotent by its own fields.
pub fn idempotency_key(
    plan: &MethodPlan,
    headers: &HeaderMap,
    message: &[u8],
) -> Result<Option<HeaderValue>, chassis::Error> {
    if !plan.mutates {
        return Ok(None);
    }
    let own = plan.input.text(message, REQUEST_ID_FIELD);
    let sent = match own {
        Some(id) => Some(id.as_bytes()),
        None => headers.get(idempotency::KEY).map(HeaderValue::as_bytes),
    };
    let Some(key) = sent else { return Ok(None) };
    let key = key.trim_ascii();
    let good = (1..=idempotency::LONGEST).contains(&key.len()) && key.iter().all(|byte| (0x20..0x7f).contains(byte));
    let rule = format!("must be 1 to {} printable ASCII characters.", idempotency::LONGEST);
    match HeaderValue::from_bytes(key) {
        Ok(value) if good => Ok(Some(value)),
        _ if own.is_some() => Err(chassis::Error::invalid(REQUEST_ID_FIELD, format!("The id {rule}"))),
        _ => Err(chassis::Error::new(
            chassis::error::Kind::BadRequest,
            format!("Idempotency-Key {rule}"),
        )),
    }
}

/// The message as its role gets it. The key is no part of what is asked, so that a repetition may name it in the message or beside it, at
/// any door.
pub fn asked<'m>(plan: &MethodPlan, message: &'m [u8]) -> Cow<'m, [u8]> {
    if plan.mutates {
        plan.input.without(message, REQUEST_ID_FIELD)
    } else {
        Cow::Borrowed(message)
    }
}

/// Most bytes of headers that a role is told of.
const TOLD: usize = 6_000;

/// What a role that takes bodies as they come learns of the request: the client's address, and its headers without credentials as far as
/// they are text and not too long.
pub fn origin(address: IpAddr, headers: &HeaderMap) -> HeaderMap {
    let mut told = BTreeMap::new();
    let mut size = 0;
    for (name, value) in headers {
        let secret = matches!(
            name.as_str(),
            "authorization" | "cookie" | "x-agent-token" | "proxy-authorization"
        );
        let Ok(value) = value.to_str() else { continue };
        let length = name.as_str().len() + value.len();
        if !secret && size + length <= TOLD && told.insert(name.as_str(), value).is_none() {
            size += length;
        }
    }
    let json = serde_json::to_vec(&told).unwrap_or_default();
    let fields = [
        (CLIENT_ADDRESS, address.to_string()),
        (CLIENT_HEADERS, hex::encode(json)),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((http::HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
        .collect()
}

/// A message with its head.
fn frame(message: &[u8]) -> Result<Bytes, Status> {
    let length = u32::try_from(message.len()).map_err(|_| Status::out_of_range("The message is too large."))?;
    let mut framed = BytesMut::with_capacity(HEAD + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    Ok(framed.freeze())
}

/// The one message of a unary call.
pub async fn single(response: Response<Body>) -> Result<Bytes, Status> {
    let mut messages = Messages::new(response.into_body());
    let first = messages
        .next()
        .await?
        .ok_or_else(|| Status::internal("the role answered no message"))?;
    // The status comes after the message: a call may still fail.
    match messages.next().await? {
        None => Ok(first),
        Some(_) => Err(Status::internal("the role answered more than one message")),
    }
}

/// The messages of an answer, one after the other.
pub struct Messages {
    body: Body,
    buffer: BytesMut,
    done: bool,
}

impl Messages {
    /// Reads a body.
    pub fn new(body: Body) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            done: false,
        }
    }

    /// The next message; `None` when the call ended well.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = take(&mut self.buffer)? {
                return Ok(Some(message));
            }
            if self.done {
                return Ok(None);
            }
            let Some(frame) = self.body.frame().await else {
                return Err(Status::unavailable(
                    "A part of Mission Control went away. Try again in a moment.",
                ));
            };
            match frame?.into_data() {
                Ok(data) if self.buffer.is_empty() => self.buffer = BytesMut::from(data),
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    self.done = true;
                    match Status::from_header_map(&trailers) {
                        Some(status) if status.code() == tonic::Code::Ok => {}
                        Some(status) => return Err(status),
                        None => return Err(Status::internal("the role ended without a status")),
                    }
                }
            }
        }
    }
}

/// Takes a whole message from the front.
fn take(buffer: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    if buffer.len() < HEAD {
        return Ok(None);
    }
    let length = u32::from_be_bytes([buffer[1], buffer[2], buffer[3], buffer[4]]) as usize;
    if buffer[0] != 0 {
        return Err(Status::unimplemented(
            "Compressed messages are not supported: send them as they are.",
        ));
    }
    if buffer.len() - HEAD < length {
        return Ok(None);
    }
    buffer.advance(HEAD);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// The one message of a request, without its head.
pub fn only(mut body: BytesMut) -> Result<Bytes, Status> {
    match take(&mut body)? {
        Some(message) if body.is_empty() => Ok(message),
        _ => Err(Status::invalid_argument("Exactly one whole message is expected.")),
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn ended(code: &'static str) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(code));
        Frame::trailers(trailers)
    }

    fn body(frames: Vec<Frame<Bytes>>) -> Body {
        Body::new(StreamBody::new(stream::iter(frames.into_iter().map(Ok::<_, Status>))))
    }

    #[tokio::test]
    async fn messages_are_found_wherever_the_frames_break() {
        let mut wire = frame(b"one").expect("frames").to_vec();
        wire.extend(frame(b"").expect("frames"));
        wire.extend(frame(&[7; 300]).expect("frames"));
        for size in [1, 2, 5, 7, 1000] {
            let mut frames: Vec<_> = wire
                .chunks(size)
                .map(|part| Frame::data(Bytes::copy_from_slice(part)))
                .collect();
            frames.push(ended("0"));
            let mut messages = Messages::new(body(frames));
            let mut found = Vec::new();
            while let Some(message) = messages.next().await.expect("a good end") {
                found.push(message.to_vec());
            }
            assert_eq!(found, [b"one".to_vec(), Vec::new(), vec![7; 300]], "{size}");
        }
    }

    #[tokio::test]
    async fn a_call_that_breaks_off_or_fails_late_is_an_error() {
        let whole = || Frame::data(frame(b"one").expect("frames"));
        let broken = single(Response::new(body(vec![whole()])))
            .await
            .expect_err("no trailers");
        assert_eq!(broken.code(), tonic::Code::Unavailable);
        let late = single(Response::new(body(vec![whole(), ended("5")])))
            .await
            .expect_err("failed late");
        assert_eq!(late.code(), tonic::Code::NotFound);
        assert_eq!(
            single(Response::new(body(vec![whole(), ended("0")])))
                .await
                .expect("good"),
            "one"
        );
    }

    #[test]
    fn a_request_is_one_whole_message() {
        let framed = frame(b"one").expect("frames");
        assert_eq!(only(BytesMut::from(&framed[..])).expect("one"), "one");
        for bad in [&framed[..4], &framed[..7], &[&framed[..], b"x"].concat()] {
            assert!(only(BytesMut::from(bad)).is_err());
        }
        assert_eq!(
            only(BytesMut::from(&[1u8, 0, 0, 0, 0][..]))
                .expect_err("compressed")
                .code(),
            tonic::Code::Unimplemented
        );
    }

    #[test]
    fn methods_know_their_role() {
        assert_eq!(role("missioncontrol.gateway.v1.GatewayService"), "gateway-bridge");
        assert_eq!(role("missioncontrol.board.v1.TaskService"), "board");
        assert_eq!(credential(&[Access::Member, Access::Agent]), Credential::Any);
        assert_eq!(credential(&[Access::Lead]), Credential::Agent);
        assert_eq!(credential(&[Access::Admin]), Credential::User);
        assert!(moves_principals("org", "SetActiveOrganization") && !moves_principals("org", "ListMembers"));
        assert!(!moves_principals("org", "ExplainAccess"));
        assert!(moves_principals("agent", "DeleteAgent") && !moves_principals("agent", "Heartbeat"));
    }
}
