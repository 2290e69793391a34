//! One supervised session: connects, stays connected, reconnects when that can help, and shows its state.

use std::{fmt, sync::Arc, time::Duration};

use secrecy::SecretString;
use serde_json::{Value, value::RawValue};
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, broadcast, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connect::{Target, dial},
    failure::{Failure, Kind, Retry},
    frame::Event,
    profile::Profile,
    tls::Fingerprint,
    wire::Connection,
};

/// Events kept for slow listeners; whoever falls behind sees a lag and should reload.
const EVENT_BUFFER: usize = 1024;
/// A connection that lived this long ended for a new reason: the pauses start over.
const SETTLED: Duration = Duration::from_secs(10);
/// Time in which an unreachable gateway is taken to be restarting, so that calls wait for it.
const RESTART_WINDOW: Duration = Duration::from_secs(90);

/// Settings of a session. The defaults are right outside of tests.
#[derive(Clone)]
pub struct SessionOptions {
    /// Pause before the first retry; doubles with each failure, drawn at random below that ("full jitter").
    pub backoff_base: Duration,
    /// Longest pause between retries.
    pub backoff_cap: Duration,
    /// Pause between looks at a gateway where a person has to act.
    pub await_user: Duration,
    /// Told about every new device token, to be stored encrypted.
    pub on_device_token: Option<Arc<dyn Fn(SecretString) + Send + Sync>>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(30),
            await_user: Duration::from_secs(20),
            on_device_token: None,
        }
    }
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions")
            .field("backoff_base", &self.backoff_base)
            .field("backoff_cap", &self.backoff_cap)
            .field("await_user", &self.await_user)
            .finish_non_exhaustive()
    }
}

/// Where a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// An attempt is running, and none has failed before.
    Connecting,
    /// Requests are answered.
    Connected,
    /// Connected, but the gateway withholds scopes that we need.
    ScopesMissing {
        /// What is missing.
        scopes: Vec<String>,
    },
    /// The device waits for approval on the gateway.
    PairingRequired {
        /// What to approve; older releases may not say.
        request_id: Option<String>,
    },
    /// The gateway is restarting, draining or not reachable; retried by itself.
    Unreachable,
    /// A retry cannot help until somebody changes something.
    Refused,
    /// Stopped on our side.
    Stopped,
}

/// What anybody may know about a session. Holds no secret.
#[derive(Clone, Debug)]
pub struct SessionState {
    /// Where the session is.
    pub phase: Phase,
    /// Since when.
    pub since: OffsetDateTime,
    /// Profile of the last connection.
    pub profile: Option<Profile>,
    /// Connection id of the last connection.
    pub conn_id: Option<String>,
    /// Boot id of the gateway; a change means it restarted.
    pub boot_id: Option<String>,
    /// Granted scopes, when the release tells.
    pub scopes: Option<Vec<String>>,
    /// Methods the gateway advertises.
    pub methods: Vec<String>,
    /// The gateway's certificate, for `wss://`.
    pub fingerprint: Option<Fingerprint>,
    /// The last failure, kept while connected for whoever asks what happened.
    pub last_failure: Option<Failure>,
    /// Attempts since the last lasting connection.
    pub attempts: u32,
    /// When the next attempt starts; `None` while connected and when only a change helps.
    pub next_attempt_at: Option<OffsetDateTime>,
}

impl SessionState {
    fn new() -> Self {
        Self {
            phase: Phase::Connecting,
            since: OffsetDateTime::now_utc(),
            profile: None,
            conn_id: None,
            boot_id: None,
            scopes: None,
            methods: Vec::new(),
            fingerprint: None,
            last_failure: None,
            attempts: 0,
            next_attempt_at: None,
        }
    }

    /// Whether requests can be sent.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected | Phase::ScopesMissing { .. })
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.since = OffsetDateTime::now_utc();
        }
    }
}

/// What a listener hears.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    /// A connection was made: nothing is replayed, so reload what matters.
    Connected,
    /// Events were lost: reload what matters.
    Gap,
    /// An event of the gateway.
    Event(Arc<Event>),
}

/// How a request is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Longest time for everything, reconnecting included.
    pub deadline: Duration,
    /// Whether the request may be sent again when its answer got lost.
    pub repeatable: bool,
}

impl Call {
    /// A request without lasting effect, or one that has the same effect when sent twice.
    pub const fn repeatable() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            repeatable: true,
        }
    }

    /// A request that must not be sent twice.
    pub const fn once() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            repeatable: false,
        }
    }

    /// The same with another deadline.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// Handle of a supervised session; clones share it.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    target: watch::Sender<Target>,
    state: watch::Sender<SessionState>,
    live: watch::Sender<Option<Arc<Connection>>>,
    events: broadcast::Sender<SessionEvent>,
    poke: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
    options: SessionOptions,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("target", &*self.inner.target.borrow())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Starts connecting in the background.
    pub fn start(target: Target, options: SessionOptions) -> Self {
        let inner = Arc::new(Inner {
            target: watch::Sender::new(target),
            state: watch::Sender::new(SessionState::new()),
            live: watch::Sender::new(None),
            events: broadcast::Sender::new(EVENT_BUFFER),
            poke: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            options,
        });
        inner.tasks.spawn(supervise(inner.clone()));
        inner.tasks.close();
        Self { inner }
    }

    /// The state and its changes.
    pub fn state(&self) -> watch::Receiver<SessionState> {
        self.inner.state.subscribe()
    }

    /// Events from now on.
    pub fn events(&self) -> broadcast::Receiver<SessionEvent> {
        self.inner.events.subscribe()
    }

    /// Uses another target from now on: reconnects.
    pub fn reconfigure(&self, target: Target) {
        self.inner.target.send_replace(target);
    }

    /// The target in use, with a device token that the gateway gave meanwhile.
    pub fn target(&self) -> Target {
        self.inner.target.borrow().clone()
    }

    /// Tries again now, whatever the session was waiting for. No effect while connected.
    pub fn poke(&self) {
        if !self.inner.state.borrow().is_connected() {
            self.inner.poke.notify_one();
        }
    }

    /// Ends the session without waiting for its end.
    pub fn cancel(&self) {
        self.inner.stop.cancel();
    }

    /// Ends the session: requests in flight get until `grace` to finish.
    pub async fn stop(&self, grace: Duration) {
        let live = self.inner.live.borrow().clone();
        if let Some(connection) = live {
            connection.drain(Instant::now() + grace).await;
        }
        self.inner.stop.cancel();
        self.inner.tasks.wait().await;
    }

    /// Profile of the live connection; waits for one.
    pub async fn profile(&self, deadline: Duration) -> Result<Profile, Failure> {
        Ok(self.connection(Instant::now() + deadline).await?.profile.clone())
    }

    /// Sends a request and waits for its answer (JSON `null` when it has no payload).
    pub async fn call(&self, method: &str, params: &Value, how: Call) -> Result<Value, Failure> {
        match self.call_raw(method, params, how).await? {
            None => Ok(Value::Null),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| {
                Failure::new(
                    Kind::Malformed,
                    format!("the answer to {method} is not readable: {error}"),
                )
            }),
        }
    }

    /// Like [`Session::call`], without parsing the answer.
    pub async fn call_raw(&self, method: &str, params: &Value, how: Call) -> Result<Option<Box<RawValue>>, Failure> {
        let until = Instant::now() + how.deadline;
        let mut pause = Duration::from_millis(100);
        loop {
            let connection = self.connection(until).await?;
            let failure = match connection.call(method, params, until).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !how.repeatable || !failure.is_interruption() {
                return Err(failure);
            }
            let wait = match failure.retry {
                Retry::After(wait) => wait,
                _ => pause,
            };
            if Instant::now() + wait >= until {
                return Err(failure);
            }
            pause = (pause * 2).min(Duration::from_secs(3));
            sleep(wait).await;
        }
    }

    /// Resolves when the connection that is live now has ended; at once when there is none.
    pub(super) fn disconnection(&self) -> impl Future<Output = ()> + Send + 'static {
        let live = self.inner.live.borrow().clone();
        async move {
            if let Some(connection) = live {
                connection.closed().await;
            }
        }
    }

    /// The live connection. Waits while one can be expected soon, else tells why there is none.
    async fn connection(&self, until: Instant) -> Result<Arc<Connection>, Failure> {
        let mut live = self.inner.live.subscribe();
        let mut state = self.inner.state.subscribe();
        loop {
            if let Some(connection) = live.borrow_and_update().clone()
                && !connection.is_closed()
            {
                return Ok(connection);
            }
            if let Some(failure) = hopeless(&state.borrow_and_update()) {
                return Err(failure);
            }
            let changed = async {
                tokio::select! {
                    _ = live.changed() => {}
                    _ = state.changed() => {}
                }
            };
            if timeout_at(until, changed).await.is_err() {
                let last = state.borrow().last_failure.clone();
                return Err(
                    last.unwrap_or_else(|| Failure::new(Kind::Deadline, "not connected to the gateway in time"))
                );
            }
        }
    }
}

/// Why waiting for a connection is pointless, if it is.
fn hopeless(state: &SessionState) -> Option<Failure> {
    let last = || state.last_failure.clone();
    match state.phase {
        Phase::Stopped => Some(Failure::new(Kind::Stopped, "the session was stopped")),
        Phase::Refused | Phase::PairingRequired { .. } => last(),
        Phase::Unreachable if OffsetDateTime::now_utc() - state.since > RESTART_WINDOW => last(),
        _ => None,
    }
}

async fn supervise(inner: Arc<Inner>) {
    let mut attempts = 0;
    let mut target = inner.target.subscribe();
    let stop = inner.stop.clone();
    loop {
        let failure = tokio::select! {
            failure = connect_and_stay(&inner, &mut target, &mut attempts) => failure,
            () = stop.cancelled() => break,
        };
        let Some(failure) = failure else {
            attempts = 0;
            continue;
        };
        attempts += 1;
        let address = inner.target.borrow().address();
        tracing::info!(gateway = %address, kind = failure.kind.as_str(), error = %failure, "gateway session interrupted");
        let pause = pause(&failure, attempts, &inner.options);
        inner.state.send_modify(|state| {
            state.enter(phase_of(&failure));
            state.attempts = attempts;
            state.next_attempt_at = pause.map(|pause| OffsetDateTime::now_utc() + pause);
            state.last_failure = Some(failure);
        });
        let waited = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = waited => {}
            () = inner.poke.notified() => attempts = 0,
            _ = target.changed() => {
                target.mark_changed();
                attempts = 0;
            }
            () = stop.cancelled() => break,
        }
    }
    let live = inner.live.send_replace(None);
    if let Some(connection) = live {
        connection.close().await;
    }
    inner.state.send_modify(|state| {
        state.enter(Phase::Stopped);
        state.next_attempt_at = None;
    });
}

/// Connects and waits for the end of the connection. `None` when the target changed: try again at once.
async fn connect_and_stay(
    inner: &Arc<Inner>,
    changes: &mut watch::Receiver<Target>,
    attempts: &mut u32,
) -> Option<Failure> {
    let target = changes.borrow_and_update().clone();
    let dialed = tokio::select! {
        dialed = dial_with_fallback(&target) => dialed,
        _ = changes.changed() => {
            changes.mark_changed();
            return None;
        }
    };
    let mut dialed = match dialed {
        Ok(dialed) => dialed,
        Err(failure) => return Some(failure),
    };
    if let Some(token) = dialed.hello.device_token.take() {
        keep_device_token(inner, token);
    }
    let missing = dialed.hello.missing_scopes();
    let connection = Arc::new(Connection::start(dialed, inner.events.clone()));
    inner.live.send_replace(Some(connection.clone()));
    inner.state.send_modify(|state| {
        state.enter(if missing.is_empty() {
            Phase::Connected
        } else {
            Phase::ScopesMissing {
                scopes: missing.clone(),
            }
        });
        state.profile = Some(connection.profile.clone());
        state.conn_id = Some(connection.hello.conn_id.clone());
        state.boot_id.clone_from(&connection.hello.boot_id);
        state.scopes.clone_from(&connection.hello.scopes);
        state.methods.clone_from(&connection.hello.methods);
        state.fingerprint = connection.fingerprint;
        state.next_attempt_at = None;
        if let Some(scope) = missing.first() {
            state.last_failure = Some(Failure::missing_scope(scope));
        }
    });
    tracing::info!(
        gateway = %target.address(),
        version = %connection.profile.version,
        protocol = connection.profile.protocol,
        "gateway session connected"
    );
    let _ = inner.events.send(SessionEvent::Connected);
    let connected_at = Instant::now();
    let failure = tokio::select! {
        failure = connection.closed() => Some(failure),
        _ = changes.changed() => {
            connection.close().await;
            None
        }
    };
    inner.live.send_replace(None);
    if connected_at.elapsed() >= SETTLED {
        *attempts = 0;
    }
    failure
}

/// A rotated shared token does not lock out a device that the gateway knows.
async fn dial_with_fallback(target: &Target) -> Result<super::connect::Dialed, Failure> {
    let failure = match dial(target, &mut |_| {}).await {
        Ok(dialed) => return Ok(dialed),
        Err(failure) => failure,
    };
    let fallback = match failure.kind {
        Kind::TokenMismatch if target.device_token.is_some() && target.token.is_some() && target.device.is_some() => {
            Target {
                token: None,
                ..target.clone()
            }
        }
        _ => return Err(failure),
    };
    // The first failure is the one that a person can act on.
    dial(&fallback, &mut |_| {}).await.map_err(|second| match second.kind {
        Kind::TokenMismatch | Kind::DeviceTokenMismatch => failure,
        _ => second,
    })
}

fn keep_device_token(inner: &Inner, token: SecretString) {
    use secrecy::ExposeSecret as _;
    let known = inner
        .target
        .borrow()
        .device_token
        .as_ref()
        .is_some_and(|t| t.expose_secret() == token.expose_secret());
    if known {
        return;
    }
    // No reconnect: only what the next attempt uses.
    inner.target.send_if_modified(|target| {
        target.device_token = Some(token.clone());
        false
    });
    if let Some(store) = &inner.options.on_device_token {
        store(token);
    }
}

fn phase_of(failure: &Failure) -> Phase {
    match (failure.kind, failure.retry) {
        (Kind::PairingRequired, _) => Phase::PairingRequired {
            request_id: failure.pairing_request_id.as_deref().map(Into::into),
        },
        (_, Retry::Never | Retry::AwaitUser) => Phase::Refused,
        (_, Retry::After(_) | Retry::Backoff) => Phase::Unreachable,
    }
}

/// Pause before the next attempt; `None` waits for a change.
fn pause(failure: &Failure, attempts: u32, options: &SessionOptions) -> Option<Duration> {
    match failure.retry {
        Retry::Never => None,
        // A little more than asked for, so that many sessions do not come back in the same instant.
        Retry::After(wait) => Some(wait + wait.mul_f64(rand::random_range(0.0..0.2))),
        Retry::AwaitUser => Some(options.await_user.mul_f64(rand::random_range(1.0..1.2))),
        Retry::Backoff => {
            let doubled = options
                .backoff_base
                .saturating_mul(1 << attempts.saturating_sub(1).min(10));
            let ceiling = doubled.min(options.backoff_cap);
            Some(ceiling.mul_f64(rand::random_range(0.1..1.0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_honour_the_gateway() {
        let options = SessionOptions::default();
        let lost = Failure::new(Kind::ConnectionLost, "x");
        for _ in 0..200 {
            assert!(pause(&lost, 1, &options).expect("a pause") <= Duration::from_secs(1));
            assert!(pause(&lost, 40, &options).expect("a pause") <= Duration::from_secs(30));
            let asked = Failure {
                retry: Retry::After(Duration::from_secs(5)),
                ..lost.clone()
            };
            assert!(pause(&asked, 1, &options).expect("a pause") >= Duration::from_secs(5));
            let pairing = Failure::new(Kind::PairingRequired, "x");
            assert!(pause(&pairing, 1, &options).expect("a pause") >= Duration::from_secs(15));
        }
        assert_eq!(pause(&Failure::new(Kind::TokenMismatch, "x"), 1, &options), None);
    }
}
