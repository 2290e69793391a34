//! A gateway without the gateway: speaks the OpenClaw WebSocket protocol from memory.
//!
//! Its frames follow recordings of real releases: [`Release::Floor`] and [`Release::Old`] speak protocol 3 with agents
//! in `agents.list` and a restart for every patch, [`Release::Latest`] speaks protocol 4 with `agents.entries`. It
//! records every call and has switches for the faults that real gateways and networks show.

mod handshake;
mod methods;
mod state;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc},
};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{ErrorResponse, Request, Response},
    protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use state::State;

/// Which release to behave like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// 2026.2.9: restarts on agent changes too, texts instead of details, 512 KiB frames.
    Floor,
    /// 2026.2.26: protocol 3, restarts on patches, loses overlapping agent changes.
    Old,
    /// 2026.9.6: protocol 4, live patches, no TOOLS.md and HEARTBEAT.md.
    Latest,
}

impl Release {
    /// The version text of the release.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Floor => "2026.2.9",
            Self::Old => "2026.2.26",
            Self::Latest => "2026.9.6",
        }
    }

    const fn is_latest(self) -> bool {
        matches!(self, Self::Latest)
    }
}

/// How the fake behaves. Times are short, so that tests are.
#[derive(Clone, Debug)]
pub struct Options {
    /// Release to imitate.
    pub release: Release,
    /// Shared token.
    pub token: String,
    /// Whether new devices wait for an approval, as remote ones do.
    pub pairing_required: bool,
    /// Scopes granted instead of the requested ones.
    pub granted_scopes: Option<Vec<String>>,
    /// Pause between ticks. Clients give up after two.
    pub tick_interval: Duration,
    /// How long a change of agents takes to go live.
    pub reload_delay: Duration,
    /// How long after a patch an older release begins its restart.
    pub restart_delay: Duration,
    /// How long a restart takes.
    pub downtime: Duration,
    /// Patches accepted per window, and the window. Defaults to the release's own limit per minute.
    pub patch_limit: Option<(usize, Duration)>,
    /// `server.version`, when it should differ from the release's.
    pub version: Option<String>,
    /// Serve `wss://` with a self-signed certificate.
    pub tls: bool,
    /// How long a run takes.
    pub reply_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            release: Release::Latest,
            token: "fake-gateway-token".to_owned(),
            pairing_required: false,
            granted_scopes: None,
            tick_interval: Duration::from_secs(30),
            reload_delay: Duration::from_millis(30),
            restart_delay: Duration::from_millis(50),
            downtime: Duration::from_millis(100),
            patch_limit: None,
            version: None,
            tls: false,
            reply_delay: Duration::from_millis(5),
        }
    }
}

impl Options {
    /// The defaults for a release.
    pub fn release(release: Release) -> Self {
        Self {
            release,
            ..Self::default()
        }
    }
}

/// A recorded call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Method.
    pub method: String,
    /// Parameters as sent.
    pub params: Value,
}

/// What to do when a method is called, once.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answer with this error object, without effect.
    Error(Value),
    /// Restart (close 1012) before the call has any effect.
    RestartBefore,
    /// Do it, then restart before the answer is sent.
    RestartAfter,
    /// Do it, then cut the connection without a close frame before the answer is sent.
    CutAfter,
    /// Answer this much later.
    Delay(Duration),
}

#[derive(Clone, Debug)]
enum Control {
    Close(u16, &'static str),
    Cut,
    Event(String, Value),
}

struct Inner {
    options: Options,
    address: SocketAddr,
    state: Mutex<State>,
    calls: Mutex<Vec<Call>>,
    faults: Mutex<HashMap<String, Vec<Fault>>>,
    control: broadcast::Sender<Control>,
    frozen: Mutex<bool>,
    down_until: Mutex<Option<Instant>>,
    upgrade_status: Mutex<Option<u16>>,
    starting: AtomicU64,
    connections: AtomicU64,
    boots: AtomicU64,
    skip_seq: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
    fingerprint: Option<String>,
}

/// A running fake gateway. Stops when dropped.
pub struct FakeGateway {
    inner: Arc<Inner>,
}

impl Drop for FakeGateway {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

impl FakeGateway {
    /// Listens on a free port of the loopback interface.
    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let (acceptor, fingerprint) = if options.tls {
            let (acceptor, fingerprint) = handshake::tls();
            (Some(acceptor), Some(fingerprint))
        } else {
            (None, None)
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(options.release)),
            options,
            address,
            calls: Mutex::default(),
            faults: Mutex::default(),
            control: broadcast::Sender::new(1024),
            frozen: Mutex::new(false),
            down_until: Mutex::new(None),
            upgrade_status: Mutex::new(None),
            starting: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            boots: AtomicU64::new(1),
            skip_seq: AtomicU64::new(0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            fingerprint,
        });
        inner.tasks.spawn(accept(inner.clone(), listener, acceptor));
        Self { inner }
    }

    /// Its address.
    pub fn url(&self) -> String {
        let scheme = if self.inner.options.tls { "wss" } else { "ws" };
        format!("{scheme}://{}", self.inner.address)
    }

    /// Its current shared token.
    pub fn token(&self) -> String {
        self.inner.options.token.clone()
    }

    /// SHA-256 of its certificate, with [`Options::tls`].
    pub fn fingerprint(&self) -> Option<&str> {
        self.inner.fingerprint.as_deref()
    }

    /// Every call so far except `connect`.
    pub fn calls(&self) -> Vec<Call> {
        self.inner.calls.lock().clone()
    }

    /// Calls of one method so far.
    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        self.inner
            .calls
            .lock()
            .iter()
            .filter(|call| call.method == method)
            .cloned()
            .collect()
    }

    /// Forgets the recorded calls.
    pub fn clear_calls(&self) {
        self.inner.calls.lock().clear();
    }

    /// Connections that finished their handshake so far.
    pub fn connections(&self) -> u64 {
        self.inner.connections.load(Ordering::SeqCst)
    }

    /// The configuration as stored.
    pub fn config(&self) -> Value {
        self.inner.state.lock().stored.clone()
    }

    /// Ids of all agents that survive a reload.
    pub fn agents(&self) -> Vec<String> {
        self.inner.state.lock().stored_agents()
    }

    /// Content of a workspace file.
    pub fn file(&self, agent: &str, name: &str) -> Option<String> {
        self.inner
            .state
            .lock()
            .files
            .get(&(agent.to_owned(), name.to_owned()))
            .cloned()
    }

    /// Writes a workspace file, as an agent would.
    pub fn put_file(&self, agent: &str, name: &str, content: &str) {
        self.inner
            .state
            .lock()
            .files
            .insert((agent.to_owned(), name.to_owned()), content.to_owned());
    }

    /// Heartbeat checklist of an agent (latest).
    pub fn scratch(&self, agent: &str) -> Option<String> {
        self.inner
            .state
            .lock()
            .scratches
            .get(agent)
            .map(|scratch| scratch.content.clone())
    }

    /// Texts of the user messages that reached a session's runs.
    pub fn messages(&self, session_key: &str) -> Vec<String> {
        self.inner.state.lock().user_messages(session_key)
    }

    /// Changes the configuration behind everybody's back, as a person with an editor does.
    pub fn edit_config(&self, edit: impl FnOnce(&mut Value)) {
        let mut state = self.inner.state.lock();
        edit(&mut state.stored);
        state.touch();
        state.reload();
    }

    /// Pairing requests that wait.
    pub fn pending_pairings(&self) -> Vec<String> {
        self.inner.state.lock().pending.keys().cloned().collect()
    }

    /// Approves a pairing request, as `openclaw devices approve` does.
    pub fn approve(&self, request_id: &str) -> bool {
        self.inner.state.lock().approve(request_id)
    }

    /// Lets the next call of a method go wrong. Several faults of one method happen one after the other.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        self.inner
            .faults
            .lock()
            .entry(method.to_owned())
            .or_default()
            .push(fault);
    }

    /// Answers the next `count` connects with UNAVAILABLE "startup-sidecars".
    pub fn starting(&self, count: u64) {
        self.inner.starting.store(count, Ordering::SeqCst);
    }

    /// Answers upgrades with this HTTP status from now on; `None` ends it.
    pub fn refuse_upgrades(&self, status: Option<u16>) {
        *self.inner.upgrade_status.lock() = status;
    }

    /// Restarts: event `shutdown`, close 1012, away for [`Options::downtime`].
    pub fn restart(&self) {
        self.inner.restart();
    }

    /// Closes every connection with a code, without being away.
    pub fn close_all(&self, code: u16, reason: &'static str) {
        let _ = self.inner.control.send(Control::Close(code, reason));
    }

    /// Cuts every connection without a close frame.
    pub fn cut(&self) {
        let _ = self.inner.control.send(Control::Cut);
    }

    /// Says and hears nothing any more on connections, without closing them. New connections hang too.
    pub fn freeze(&self, frozen: bool) {
        *self.inner.frozen.lock() = frozen;
    }

    /// Sends an event to everybody.
    pub fn emit(&self, event: &str, payload: Value) {
        let _ = self.inner.control.send(Control::Event(event.to_owned(), payload));
    }

    /// Lets one event get lost on every connection: a gap in the sequence.
    pub fn lose_an_event(&self) {
        self.inner.skip_seq.fetch_add(1, Ordering::SeqCst);
    }
}

impl Inner {
    fn restart(&self) {
        self.boots.fetch_add(1, Ordering::SeqCst);
        *self.down_until.lock() = Some(Instant::now() + self.options.downtime);
        self.state.lock().reload();
        let payload = json!({"reason": "gateway restarting", "restartExpectedMs": 1500});
        let _ = self.control.send(Control::Event("shutdown".to_owned(), payload));
        let _ = self.control.send(Control::Close(1012, "service restart"));
    }

    fn is_down(&self) -> bool {
        self.down_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn next_fault(&self, method: &str) -> Option<Fault> {
        let mut faults = self.faults.lock();
        let queue = faults.get_mut(method)?;
        if queue.is_empty() { None } else { Some(queue.remove(0)) }
    }

    const fn max_payload(&self) -> usize {
        match self.options.release {
            Release::Floor => 524_288,
            _ => 26_214_400,
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

async fn accept(inner: Arc<Inner>, listener: TcpListener, acceptor: Option<tokio_rustls::TlsAcceptor>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = inner.stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        // While restarting nothing is there: the nearest thing to a refused connection.
        if inner.is_down() {
            continue;
        }
        let task = serve(inner.clone(), stream, acceptor.clone());
        let stop = inner.stop.clone();
        inner.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn serve(inner: Arc<Inner>, stream: TcpStream, acceptor: Option<tokio_rustls::TlsAcceptor>) {
    let stream: Box<dyn Io> = match acceptor {
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
        None => Box::new(stream),
    };
    let status = *inner.upgrade_status.lock();
    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    let answer = move |_: &Request, response: Response| match status {
        None => Ok(response),
        Some(status) => {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
            Err(refusal)
        }
    };
    let limit = Some(inner.max_payload());
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let Ok(socket) = tokio_tungstenite::accept_hdr_async_with_config(stream, answer, Some(config)).await else {
        return;
    };
    if *inner.frozen.lock() {
        return std::future::pending().await;
    }
    let (mut sink, mut stream) = socket.split();
    let mut control = inner.control.subscribe();

    let Some(peer) = handshake::run(&inner, &mut sink, &mut stream).await else {
        return;
    };
    let peer = Arc::new(peer);
    inner.connections.fetch_add(1, Ordering::SeqCst);

    let (outgoing, mut queue) = mpsc::channel::<Outgoing>(256);
    let mut seq = 0_u64;
    let mut skipped = inner.skip_seq.load(Ordering::SeqCst);
    let mut tick = tokio::time::interval(inner.options.tick_interval);
    let health = Control::Event(
        "health".to_owned(),
        json!({"ok": true, "channels": {}, "channelOrder": []}),
    );
    let mut first = Some(health);
    loop {
        let lost = inner.skip_seq.load(Ordering::SeqCst);
        seq += lost - skipped;
        skipped = lost;
        let step = if let Some(health) = first.take() {
            Some(Ok(health))
        } else {
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if *inner.frozen.lock() {
                            continue;
                        }
                        let work = handle(inner.clone(), peer.clone(), text.as_str().to_owned(), outgoing.clone());
                        inner.tasks.spawn(work);
                        None
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => None,
                },
                control = control.recv() => control.ok().map(Ok),
                queued = queue.recv() => queued.map(Err),
                _ = tick.tick() => Some(Ok(Control::Event("tick".to_owned(), json!({"ts": state::now_ms()})))),
            }
        };
        if *inner.frozen.lock() && !matches!(step, Some(Ok(Control::Cut | Control::Close(..)))) {
            continue;
        }
        let text = match step {
            None => continue,
            Some(Ok(Control::Cut) | Err(Outgoing::Cut)) => return,
            Some(Ok(Control::Close(code, reason))) => {
                let frame = CloseFrame {
                    code: CloseCode::from(code),
                    reason: reason.into(),
                };
                let _ = sink.send(Message::Close(Some(frame))).await;
                return;
            }
            Some(Ok(Control::Event(name, payload))) => {
                seq += 1;
                json!({"type": "event", "event": name, "payload": payload, "seq": seq}).to_string()
            }
            Some(Err(Outgoing::Frame(frame))) => frame,
        };
        if sink.send(Message::text(text)).await.is_err() {
            return;
        }
    }
}

enum Outgoing {
    Frame(String),
    Cut,
}

/// Handles one request; many run at once, as on a real gateway.
async fn handle(inner: Arc<Inner>, peer: Arc<handshake::Peer>, text: String, outgoing: mpsc::Sender<Outgoing>) {
    let Ok(frame) = serde_json::from_str::<Value>(&text) else {
        return;
    };
    let id = frame.get("id").and_then(Value::as_str).unwrap_or("invalid").to_owned();
    let method = frame
        .get("method")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let params = frame.get("params").cloned().unwrap_or_else(|| json!({}));
    let unknown = frame.as_object().and_then(|o| {
        o.keys()
            .find(|key| !matches!(key.as_str(), "type" | "id" | "method" | "params"))
            .cloned()
    });
    inner.calls.lock().push(Call {
        method: method.clone(),
        params: params.clone(),
    });
    let fault = inner.next_fault(&method);
    let result = match (&fault, unknown) {
        (_, Some(key)) => Err(methods::invalid(format!(
            "invalid request frame: at root: unexpected property '{key}'"
        ))),
        (Some(Fault::Error(error)), _) => Err(error.clone()),
        (Some(Fault::RestartBefore), _) => return inner.restart(),
        _ => methods::call(&inner, &peer, &method, &params),
    };
    match fault {
        Some(Fault::RestartAfter) => return inner.restart(),
        Some(Fault::CutAfter) => return drop(outgoing.send(Outgoing::Cut).await),
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    let answer = match result {
        Ok(payload) => json!({"type": "res", "id": id, "ok": true, "payload": payload}),
        Err(error) => json!({"type": "res", "id": id, "ok": false, "error": error}),
    };
    let _ = outgoing.send(Outgoing::Frame(answer.to_string())).await;
}
