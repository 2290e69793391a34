//! One connection attempt: DNS, TCP, TLS, WebSocket, challenge, `connect`, hello.
//!
//! Every step is reported as it ends, so that preflight can show how far an attempt came and what to do about it.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};
use url::Url;

use super::{
    device::{Device, SignedConnect},
    failure::{Failure, Kind},
    frame::{self, Incoming},
    profile::Profile,
    tls::{self, Fingerprint, Presented, TlsPolicy},
};

/// Protocol range that we speak.
const MIN_PROTOCOL: u32 = 3;
const MAX_PROTOCOL: u32 = 4;
/// `client.id` and `client.mode` are enums on the gateway; this pair is the one for control planes.
const CLIENT_ID: &str = "gateway-client";
const CLIENT_MODE: &str = "backend";
const ROLE: &str = "operator";
/// Pinned by the gateway at pairing: a later connect with another text demands a new approval. Never change it.
const PLATFORM: &str = "linux";

/// Scopes that we ask for, in signing order. `operator.admin` covers `operator.write`. Never change the set: a device
/// is approved for what it asked for.
pub const SCOPES: &[&str] = &[
    "operator.read",
    "operator.admin",
    "operator.approvals",
    "operator.pairing",
];

/// Methods that Mission Control needs.
pub const REQUIRED_METHODS: &[&str] = &[
    "health",
    "config.get",
    "config.patch",
    "agents.list",
    "agents.create",
    "agents.update",
    "agents.delete",
    "agents.files.list",
    "agents.files.get",
    "agents.files.set",
    "sessions.list",
    "sessions.patch",
    "sessions.reset",
    "sessions.delete",
    "chat.send",
    "chat.history",
];

const DNS_DEADLINE: Duration = Duration::from_secs(5);
const TCP_DEADLINE: Duration = Duration::from_secs(5);
const TLS_DEADLINE: Duration = Duration::from_secs(8);
const UPGRADE_DEADLINE: Duration = Duration::from_secs(10);
const CHALLENGE_DEADLINE: Duration = Duration::from_secs(10);
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
const PROFILE_DEADLINE: Duration = Duration::from_secs(15);
/// Pauses between ticks that can be meant: silence is measured in them.
const TICKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(10));
/// Largest message that we accept: above the gateway's own limit, so that it decides.
const MAX_INCOMING: usize = 64 << 20;

/// Where and how to connect.
#[derive(Clone)]
pub struct Target {
    /// `ws://` or `wss://` address (`http`, `https` are read as such).
    pub url: Url,
    /// The gateway's shared token.
    pub token: Option<SecretString>,
    /// Our identity. `None` connects without one ("device pairing off"), which newer releases grant no scopes remotely.
    pub device: Option<Arc<Device>>,
    /// Token that the gateway gave to this device when it was approved.
    pub device_token: Option<SecretString>,
    /// Which certificates to trust.
    pub tls: TlsPolicy,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("address", &self.address())
            .field("token", &self.token.is_some())
            .field("device", &self.device)
            .field("device_token", &self.device_token.is_some())
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Host and port, safe to show: paths and queries may hold secrets.
    pub fn address(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or("?"), self.port())
    }

    fn port(&self) -> u16 {
        self.url
            .port_or_known_default()
            .unwrap_or(if self.secure() { 443 } else { 80 })
    }

    fn secure(&self) -> bool {
        matches!(self.url.scheme(), "wss" | "https")
    }
}

/// The steps of an attempt, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The host name resolves.
    Dns,
    /// Something listens.
    Tcp,
    /// The certificate is trusted (skipped for `ws://`).
    Tls,
    /// HTTP upgrade.
    WebSocket,
    /// The gateway's challenge arrived: it is a gateway.
    Challenge,
    /// Protocol, token and device signature are accepted.
    Authentication,
    /// The device is approved.
    Pairing,
    /// All scopes are granted.
    Scopes,
    /// Release and protocol.
    Version,
    /// The methods we need are there.
    Methods,
}

impl Step {
    /// Stable name, for APIs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
            Self::Challenge => "challenge",
            Self::Authentication => "authentication",
            Self::Pairing => "pairing",
            Self::Scopes => "scopes",
            Self::Version => "version",
            Self::Methods => "methods",
        }
    }

    /// All steps in order.
    pub const ALL: &'static [Self] = &[
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::WebSocket,
        Self::Challenge,
        Self::Authentication,
        Self::Pairing,
        Self::Scopes,
        Self::Version,
        Self::Methods,
    ];
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Fine.
    Passed,
    /// Works, but look at the detail.
    Warned,
    /// The attempt ends here.
    Failed,
    /// Not needed, or never reached.
    Skipped,
}

/// Report of one step.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Which step.
    pub step: Step,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
    /// What was seen.
    pub detail: String,
    /// Why it failed, with the remedy.
    pub failure: Option<Failure>,
    /// The certificate that the server showed (TLS step).
    pub fingerprint: Option<Fingerprint>,
}

/// What hello told.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// Negotiated protocol.
    pub protocol: u32,
    /// Release text; `dev` on old gateways started by hand.
    pub version: String,
    /// Connection id.
    pub conn_id: String,
    /// Changes with every restart; absent on older releases.
    pub boot_id: Option<String>,
    /// Advertised methods: a hint that one exists, never a veto.
    pub methods: Vec<String>,
    /// Granted scopes, `None` when the release does not say.
    pub scopes: Option<Vec<String>>,
    /// A device token issued with this hello.
    pub device_token: Option<SecretString>,
    /// Largest frame the gateway takes, in bytes.
    pub max_payload: usize,
    /// Pause between ticks.
    pub tick_interval: Duration,
    /// Whether any channel is configured.
    pub has_channels: bool,
}

impl Hello {
    /// Requested scopes that were not granted. Empty when the release does not tell.
    pub fn missing_scopes(&self) -> Vec<String> {
        self.scopes.as_ref().map_or_else(Vec::new, |granted| {
            SCOPES
                .iter()
                .filter(|s| !granted.iter().any(|g| g == *s))
                .map(|s| (*s).to_owned())
                .collect()
        })
    }

    fn parse(payload: &RawValue) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            protocol: u32,
            #[serde(default)]
            server: Server,
            #[serde(default)]
            features: Features,
            #[serde(default)]
            snapshot: Value,
            #[serde(default)]
            auth: Option<Auth>,
            #[serde(default)]
            policy: Policy,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Server {
            version: String,
            conn_id: String,
            boot_id: Option<String>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Features {
            methods: Vec<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Auth {
            #[serde(default)]
            scopes: Option<Vec<String>>,
            #[serde(default)]
            device_token: Option<String>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Policy {
            max_payload: Option<usize>,
            tick_interval_ms: Option<u64>,
        }
        let wire: Wire = serde_json::from_str(payload.get())
            .map_err(|error| Failure::new(Kind::Malformed, format!("hello has an unknown form: {error}")))?;
        let channels = wire.snapshot.pointer("/health/channelOrder").and_then(Value::as_array);
        let (scopes, device_token) = wire
            .auth
            .map_or((None, None), |auth| (auth.scopes, auth.device_token.map(Into::into)));
        Ok(Self {
            protocol: wire.protocol,
            version: wire.server.version,
            conn_id: wire.server.conn_id,
            boot_id: wire.server.boot_id,
            methods: wire.features.methods,
            scopes,
            device_token,
            // Releases that keep silent about the limit get the smallest one ever seen.
            max_payload: wire.policy.max_payload.unwrap_or(512 << 10),
            tick_interval: Duration::from_millis(wire.policy.tick_interval_ms.unwrap_or(30_000))
                .clamp(TICKS.0, TICKS.1),
            has_channels: channels.is_some_and(|c| !c.is_empty()),
        })
    }
}

/// A byte stream, plain or TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
pub(super) type Socket = WebSocketStream<Box<dyn Io>>;

/// An open, authenticated connection.
pub struct Dialed {
    pub(super) socket: Socket,
    /// What hello told.
    pub hello: Hello,
    /// What the gateway is like.
    pub profile: Profile,
    /// Certificate of the server, for `wss://`.
    pub fingerprint: Option<Fingerprint>,
}

impl Dialed {
    /// Says goodbye.
    pub async fn close(mut self) {
        // The peer's answer is of no interest.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

impl fmt::Debug for Dialed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialed")
            .field("hello", &self.hello)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// Reports steps and measures them.
struct Steps<'a> {
    report: &'a mut (dyn FnMut(StepReport) + Send),
    began: Instant,
    presented: Presented,
}

impl Steps<'_> {
    fn tell(&mut self, step: Step, outcome: Outcome, detail: String, failure: Option<Failure>) {
        let duration = self.began.elapsed();
        self.began = Instant::now();
        let fingerprint = self.presented.get().filter(|_| step == Step::Tls);
        (self.report)(StepReport {
            step,
            outcome,
            duration,
            detail,
            failure,
            fingerprint,
        });
    }

    fn passed(&mut self, step: Step, detail: impl Into<String>) {
        self.tell(step, Outcome::Passed, detail.into(), None);
    }

    fn skipped(&mut self, step: Step, detail: impl Into<String>) {
        self.tell(step, Outcome::Skipped, detail.into(), None);
    }

    fn failed(&mut self, step: Step, failure: Failure) -> Failure {
        self.tell(step, Outcome::Failed, failure.message.clone(), Some(failure.clone()));
        failure
    }
}

/// Runs one attempt and closes the connection again. Steps that were not reached are reported as skipped.
pub async fn preflight(target: &Target, report: &mut (dyn FnMut(StepReport) + Send)) -> Result<Hello, Failure> {
    let mut seen = Vec::new();
    let result = dial(target, &mut |step: StepReport| {
        seen.push(step.step);
        report(step);
    })
    .await;
    for step in Step::ALL.iter().filter(|step| !seen.contains(step)) {
        report(StepReport {
            step: *step,
            outcome: Outcome::Skipped,
            duration: Duration::ZERO,
            detail: "not reached".to_owned(),
            failure: None,
            fingerprint: None,
        });
    }
    let dialed = result?;
    let hello = dialed.hello.clone();
    dialed.close().await;
    match hello.missing_scopes().first() {
        Some(scope) => Err(Failure::missing_scope(scope)),
        None => Ok(hello),
    }
}

/// Makes one connection attempt. Each step is reported when it ends; the error is that of the first failed step.
/// Missing scopes are reported but do not fail the attempt: some calls still work.
pub async fn dial(target: &Target, report: &mut (dyn FnMut(StepReport) + Send)) -> Result<Dialed, Failure> {
    let mut steps = Steps {
        report,
        began: Instant::now(),
        presented: Presented::default(),
    };

    let addresses = resolve(target).await.map_err(|f| steps.failed(Step::Dns, f))?;
    let shown: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
    steps.passed(Step::Dns, shown.join(", "));

    let tcp = connect_tcp(target, &addresses)
        .await
        .map_err(|f| steps.failed(Step::Tcp, f))?;
    steps.passed(Step::Tcp, target.address());

    let (stream, fingerprint) = if target.secure() {
        let (stream, fingerprint, version) = connect_tls(target, tcp, steps.presented.clone())
            .await
            .map_err(|f| steps.failed(Step::Tls, f))?;
        let detail = format!("{version}, certificate sha256 {fingerprint}");
        if target.tls == TlsPolicy::AcceptAny {
            steps.tell(Step::Tls, Outcome::Warned, format!("{detail}, not verified"), None);
        } else {
            steps.passed(Step::Tls, detail);
        }
        (stream, Some(fingerprint))
    } else {
        steps.skipped(Step::Tls, "plain ws://");
        (Box::new(tcp) as Box<dyn Io>, None)
    };

    let mut socket = upgrade(target, stream)
        .await
        .map_err(|f| steps.failed(Step::WebSocket, f))?;
    steps.passed(Step::WebSocket, "upgraded");

    let challenge = read_challenge(&mut socket)
        .await
        .map_err(|f| steps.failed(Step::Challenge, f))?;
    steps.passed(Step::Challenge, "received");

    let hello = match authenticate(&mut socket, target, &challenge).await {
        Ok(hello) => hello,
        Err(failure) if failure.kind == Kind::PairingRequired => {
            // The gateway checks protocol, token and signature before it looks for an approval.
            steps.passed(Step::Authentication, "token and signature accepted");
            return Err(steps.failed(Step::Pairing, failure));
        }
        Err(failure) => return Err(steps.failed(Step::Authentication, failure)),
    };
    steps.passed(Step::Authentication, format!("protocol {}", hello.protocol));
    match &target.device {
        Some(device) => steps.passed(Step::Pairing, format!("device {} is accepted", &device.id()[..12])),
        None => steps.skipped(Step::Pairing, "device pairing is off"),
    }

    let missing = hello.missing_scopes();
    match (&hello.scopes, missing.first()) {
        (_, Some(first)) => {
            let failure = Failure::missing_scope(first);
            steps.tell(
                Step::Scopes,
                Outcome::Failed,
                format!("missing {}", missing.join(", ")),
                Some(failure),
            );
        }
        (Some(granted), None) => steps.passed(Step::Scopes, granted.join(", ")),
        (None, None) => steps.passed(Step::Scopes, "granted as asked (this release does not list them)"),
    }

    // Also tells the version when hello only says "dev". Without the scope to read it, hello has to do.
    let config = read_config(&mut socket).await;
    let profile = Profile::derive(&hello, config.as_ref());
    if profile.version.is_known() {
        steps.passed(
            Step::Version,
            format!("{}, protocol {}", profile.version, profile.protocol),
        );
    } else {
        let detail = format!("{:?} holds no number, protocol {}", hello.version, profile.protocol);
        steps.tell(Step::Version, Outcome::Warned, detail, None);
    }

    let absent: Vec<_> = REQUIRED_METHODS
        .iter()
        .filter(|m| !hello.methods.iter().any(|h| h == *m))
        .copied()
        .collect();
    if absent.is_empty() {
        steps.passed(Step::Methods, format!("{} advertised", hello.methods.len()));
    } else {
        let detail = format!("not advertised (they may still exist): {}", absent.join(", "));
        steps.tell(Step::Methods, Outcome::Warned, detail, None);
    }
    Ok(Dialed {
        socket,
        hello,
        profile,
        fingerprint,
    })
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    if !matches!(target.url.scheme(), "ws" | "wss" | "http" | "https") {
        return Err(Failure::new(
            Kind::InvalidUrl,
            format!("{} is not a WebSocket scheme", target.url.scheme()),
        ));
    }
    let port = target.port();
    let name = match target.url.host() {
        Some(url::Host::Domain(name)) => name.to_owned(),
        Some(url::Host::Ipv4(ip)) => return Ok(vec![(ip, port).into()]),
        Some(url::Host::Ipv6(ip)) => return Ok(vec![(ip, port).into()]),
        None => return Err(Failure::new(Kind::InvalidUrl, "the address has no host")),
    };
    let addresses: Vec<_> = timeout(DNS_DEADLINE, tokio::net::lookup_host((name.as_str(), port)))
        .await
        .map_err(|_| {
            Failure::new(
                Kind::Dns,
                format!("looking up {name} took longer than {DNS_DEADLINE:?}"),
            )
        })?
        .map_err(|error| Failure::new(Kind::Dns, format!("{name} does not resolve: {error}")))?
        .collect();
    if addresses.is_empty() {
        return Err(Failure::new(Kind::Dns, format!("{name} has no address")));
    }
    Ok(addresses)
}

async fn connect_tcp(target: &Target, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut last = Failure::new(Kind::Unreachable, "no address to connect to");
    for address in addresses {
        match timeout(TCP_DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Frames are small and answers are awaited: do not hold them back.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => {
                last = Failure::new(Kind::Unreachable, format!("{}: {error}", target.address()));
            }
            Err(_) => {
                let text = format!("{} did not answer within {TCP_DEADLINE:?}", target.address());
                last = Failure::new(Kind::ConnectTimeout, text);
            }
        }
    }
    Err(last)
}

async fn connect_tls(
    target: &Target,
    tcp: TcpStream,
    presented: Presented,
) -> Result<(Box<dyn Io>, Fingerprint, String), Failure> {
    let config = tls::client_config(target.tls, presented.clone())
        .map_err(|error| Failure::new(Kind::Tls, error.to_string()))?;
    let host = target
        .url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let name = ServerName::try_from(host)
        .map_err(|_| Failure::new(Kind::InvalidUrl, "the host is not a valid TLS server name"))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let stream = timeout(TLS_DEADLINE, connecting)
        .await
        .map_err(|_| Failure::new(Kind::Tls, format!("no TLS handshake within {TLS_DEADLINE:?}")))?
        .map_err(|error| tls_failure(target.tls, &error, presented.get()))?;
    let version = stream
        .get_ref()
        .1
        .protocol_version()
        .map_or_else(String::new, |v| format!("{v:?}"));
    // The verifier ran, or the handshake would have failed.
    let fingerprint = presented
        .get()
        .ok_or_else(|| Failure::new(Kind::Tls, "the server showed no certificate"))?;
    Ok((Box::new(stream), fingerprint, version))
}

fn tls_failure(policy: TlsPolicy, error: &io::Error, presented: Option<Fingerprint>) -> Failure {
    let Some(shown) = presented else {
        return Failure::new(Kind::Tls, format!("TLS handshake failed: {error}"));
    };
    match policy {
        TlsPolicy::Pinned(expected) if expected != shown => Failure {
            tls_fingerprint: Some(shown.to_string().into()),
            ..Failure::new(
                Kind::TlsFingerprint,
                format!("the server's certificate has sha256 {shown}, pinned is {expected}"),
            )
        },
        TlsPolicy::PublicRoots => Failure {
            tls_fingerprint: Some(shown.to_string().into()),
            ..Failure::new(
                Kind::TlsUntrusted,
                format!("the server's certificate (sha256 {shown}) is not trusted: {error}"),
            )
        },
        _ => Failure::new(Kind::Tls, format!("TLS handshake failed: {error}")),
    }
}

async fn upgrade(target: &Target, stream: Box<dyn Io>) -> Result<Socket, Failure> {
    let mut url = target.url.clone();
    // A fragment and credentials do not belong on the wire; the token goes into the connect frame.
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let scheme = if target.secure() { "wss" } else { "ws" };
    let url = format!("{scheme}{}", &url.as_str()[url.scheme().len()..]);
    let request = url
        .into_client_request()
        .map_err(|error| Failure::new(Kind::InvalidUrl, format!("not a WebSocket address: {error}")))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_INCOMING))
        .max_frame_size(Some(MAX_INCOMING));
    let upgrading = client_async_with_config(request, stream, Some(config));
    match timeout(UPGRADE_DEADLINE, upgrading).await {
        Err(_) => Err(Failure::new(
            Kind::ConnectTimeout,
            format!("no upgrade within {UPGRADE_DEADLINE:?}"),
        )),
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(upgrade_failure(&error)),
    }
}

fn upgrade_failure(error: &tungstenite::Error) -> Failure {
    match error {
        tungstenite::Error::Http(response) => {
            let status = response.status();
            let kind = match status.as_u16() {
                403 => Kind::UpgradeForbidden,
                500..=599 | 429 => Kind::UpgradeUnavailable,
                _ => Kind::UpgradeRefused,
            };
            Failure::new(kind, format!("the server answered the upgrade with HTTP {status}"))
        }
        // A restart may cut the connection in the middle of the upgrade.
        tungstenite::Error::Io(error) => Failure::new(Kind::ConnectionLost, format!("upgrade failed: {error}")),
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::Protocol(tungstenite::error::ProtocolError::HandshakeIncomplete) => Failure::new(
            Kind::ConnectionLost,
            "the server closed the connection during the upgrade",
        ),
        other => Failure::new(Kind::NotAGateway, format!("not a WebSocket server: {other}")),
    }
}

struct Challenge {
    nonce: String,
    at_ms: i64,
}

async fn read_challenge(socket: &mut Socket) -> Result<Challenge, Failure> {
    #[derive(Deserialize)]
    struct Payload {
        nonce: String,
        #[serde(default)]
        ts: Option<i64>,
    }
    let text = timeout(CHALLENGE_DEADLINE, next_text(socket))
        .await
        .map_err(|_| Failure::new(Kind::NotAGateway, format!("no challenge within {CHALLENGE_DEADLINE:?}")))??;
    match frame::parse(&text) {
        Some(Incoming::Event(event)) if event.name == "connect.challenge" => {
            let payload: Payload = event
                .parse()
                .ok_or_else(|| Failure::new(Kind::Malformed, "the challenge holds no nonce"))?;
            // The gateway's own time makes the signature valid whatever our clock says.
            let now = || i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000);
            Ok(Challenge {
                at_ms: payload.ts.or_else(|| now().ok()).unwrap_or_default(),
                nonce: payload.nonce,
            })
        }
        _ => Err(Failure::new(
            Kind::NotAGateway,
            "the server's first message is not a gateway challenge",
        )),
    }
}

/// The next text message; close frames and transport errors become failures.
async fn next_text(socket: &mut Socket) -> Result<String, Failure> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(Some(close)))) => return Err(Failure::from_close(close.code.into(), &close.reason)),
            Some(Ok(Message::Close(None))) | None => {
                return Err(Failure::new(Kind::ConnectionLost, "the server closed the connection"));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Failure::new(Kind::ConnectionLost, error.to_string())),
        }
    }
}

/// Sends one request on a socket that nobody else uses yet and waits for its answer.
async fn ask(socket: &mut Socket, id: &str, method: &str, params: &Value) -> Result<Option<Box<RawValue>>, Failure> {
    let text = frame::request(id, method, params);
    socket
        .send(Message::text(text))
        .await
        .map_err(|error| Failure::new(Kind::ConnectionLost, error.to_string()))?;
    loop {
        let text = next_text(socket).await?;
        if let Some(Incoming::Response { id: answered, result }) = frame::parse(&text)
            && answered == id
        {
            return result.map_err(|error| Failure::from_error(&error));
        }
    }
}

async fn authenticate(socket: &mut Socket, target: &Target, challenge: &Challenge) -> Result<Hello, Failure> {
    let params = connect_params(target, challenge);
    let answer = timeout(CONNECT_DEADLINE, ask(socket, "connect", "connect", &params))
        .await
        .map_err(|_| Failure::new(Kind::ConnectTimeout, format!("no hello within {CONNECT_DEADLINE:?}")))??;
    let payload = answer.ok_or_else(|| Failure::new(Kind::Malformed, "hello is empty"))?;
    Hello::parse(&payload)
}

fn connect_params(target: &Target, challenge: &Challenge) -> Value {
    // The shared token first; a device token alone is enough once the device is approved.
    let token = target
        .token
        .as_ref()
        .or(target.device_token.as_ref().filter(|_| target.device.is_some()));
    let token = token.map_or("", |t| t.expose_secret());
    let mut params = json!({
        "minProtocol": MIN_PROTOCOL,
        "maxProtocol": MAX_PROTOCOL,
        "role": ROLE,
        "scopes": SCOPES,
        "client": {
            "id": CLIENT_ID,
            "version": env!("CARGO_PKG_VERSION"),
            "platform": PLATFORM,
            "mode": CLIENT_MODE,
        },
    });
    if !token.is_empty() {
        params["auth"] = json!({"token": token});
    }
    if let Some(device) = &target.device {
        let signature = device.sign(&SignedConnect {
            client_id: CLIENT_ID,
            client_mode: CLIENT_MODE,
            role: ROLE,
            scopes: SCOPES,
            signed_at_ms: challenge.at_ms,
            token,
            nonce: &challenge.nonce,
        });
        params["device"] = json!({
            "id": device.id(),
            "publicKey": device.public_key(),
            "signature": signature,
            "signedAt": challenge.at_ms,
            "nonce": challenge.nonce,
        });
    }
    params
}

async fn read_config(socket: &mut Socket) -> Option<Value> {
    let answer = timeout(PROFILE_DEADLINE, ask(socket, "profile", "config.get", &json!({})))
        .await
        .ok()?
        .ok()??;
    serde_json::from_str(answer.get()).ok()
}
