//! One session per gateway row: started at boot and on changes, ended with the row.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chassis::{
    Caller, Change, Context, Error, Result, Store,
    bus::{Bus, GAP},
    error::Kind,
    identity::Signer,
    role::backoff,
    seal::Sealer,
    timestamp,
};
use parking_lot::Mutex;
use proto::gateway::v1::{ConnectionPhase, GatewayConnection};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{broadcast::error::RecvError, mpsc, watch};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use url::Url;
use uuid::Uuid;

use crate::{
    rules,
    session::{Device, Gateway, Phase, SessionOptions, SessionState, Target, TlsPolicy},
};

/// How long a lost connection may stay lost before it is news: restarts are normal.
const SETTLE: Duration = Duration::from_secs(5);
/// How long requests in flight get when a session ends.
const GRACE: Duration = Duration::from_secs(3);
/// How long the removal of a deleted gateway's main agent may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// Labels remembered per gateway, so that they are not sent with every message.
const LABELS: usize = 4096;

/// A gateway as stored, secrets sealed.
#[derive(Clone, PartialEq)]
pub struct Stored {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub name: String,
    pub url: String,
    pub allow_insecure_tls: bool,
    pub disable_device_pairing: bool,
    pub tls_fingerprint: Option<String>,
    pub token: Option<Vec<u8>>,
    pub device_token: Option<Vec<u8>>,
}

impl Stored {
    /// Whether both connect in the same way. A device token that we just stored is no change.
    fn connects_like(&self, other: &Self) -> bool {
        let same = |s: &Self| Self {
            name: String::new(),
            device_token: None,
            ..s.clone()
        };
        same(self) == same(other)
    }
}

/// A live gateway.
#[derive(Clone)]
pub struct Live {
    /// Its session and operations.
    pub gateway: Gateway,
    /// Its organization.
    pub organization: Uuid,
    labels: Arc<Mutex<HashSet<(String, String)>>>,
}

impl Live {
    /// Labels a session unless it has that label from us already.
    pub async fn label(&self, session_key: &str, label: &str) -> Result<(), crate::session::Failure> {
        let pair = (session_key.to_owned(), label.to_owned());
        if self.labels.lock().contains(&pair) {
            return Ok(());
        }
        self.gateway.label_session(session_key, label).await?;
        let mut labels = self.labels.lock();
        if labels.len() >= LABELS {
            labels.clear();
        }
        labels.insert(pair);
        Ok(())
    }

    /// Forgets the labels of a session that is gone.
    pub fn unlabel(&self, session_key: &str) {
        self.labels.lock().retain(|(key, _)| key != session_key);
    }
}

struct Entry {
    live: Live,
    stored: Stored,
    _watch: AbortOnDropHandle<()>,
}

/// All sessions of this process.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    sealer: Sealer,
    signer: Signer,
    entries: Mutex<HashMap<Uuid, Entry>>,
    device_tokens: mpsc::UnboundedSender<(Uuid, SecretString)>,
    /// Taken by the loop that writes them.
    device_tokens_out: tokio::sync::Mutex<mpsc::UnboundedReceiver<(Uuid, SecretString)>>,
    options: SessionOptions,
    /// Sessions on their way out.
    leaving: TaskTracker,
}

impl Supervisor {
    pub fn new(context: &Context, store: Store) -> Self {
        let (device_tokens, device_tokens_out) = mpsc::unbounded_channel();
        Self {
            inner: Arc::new(Inner {
                store,
                sealer: context.sealer.clone(),
                signer: context.signer.clone(),
                entries: Mutex::default(),
                device_tokens,
                device_tokens_out: tokio::sync::Mutex::new(device_tokens_out),
                options: SessionOptions::default(),
                leaving: TaskTracker::new(),
            }),
        }
    }

    /// The device that an organization's gateways know; made when first needed.
    pub async fn device(&self, organization: Uuid) -> Result<Arc<Device>> {
        let place = format!("gateway.device:{organization}");
        let find = || {
            sqlx::query_scalar!(
                "SELECT key FROM gateway.devices WHERE organization_id = $1",
                organization
            )
            .fetch_optional(self.inner.store.pool())
        };
        let sealed = if let Some(sealed) = find().await? {
            sealed
        } else {
            let device = Device::generate();
            let sealed = self
                .inner
                .sealer
                .seal(&place, device.to_secret().expose_secret().as_bytes())?;
            sqlx::query!(
                "INSERT INTO gateway.devices (organization_id, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                organization,
                sealed
            )
            .execute(self.inner.store.pool())
            .await?;
            // Another may have been first: what is stored counts.
            find().await?.ok_or_else(|| Error::internal(sqlx::Error::RowNotFound))?
        };
        let secret = self.open(&place, &sealed)?;
        Device::from_secret(&secret).map(Arc::new).map_err(Error::internal)
    }

    /// Seals a gateway's token for its row.
    pub fn seal_token(&self, gateway: Uuid, token: &str) -> Result<Vec<u8>> {
        self.inner
            .sealer
            .seal(&format!("gateway.token:{gateway}"), token.as_bytes())
    }

    /// Opens a gateway's token.
    pub fn open_token(&self, gateway: Uuid, sealed: &[u8]) -> Result<SecretString> {
        self.open(&format!("gateway.token:{gateway}"), sealed)
    }

    fn open(&self, place: &str, sealed: &[u8]) -> Result<SecretString> {
        let plain = self.inner.sealer.open(place, sealed)?;
        String::from_utf8(plain).map(Into::into).map_err(Error::internal)
    }

    /// How to connect to a stored gateway.
    pub async fn target(&self, stored: &Stored) -> Result<Target> {
        let url: Url = rules::address(&stored.url).map_err(|message| Error::invalid("url", message))?;
        let token = stored
            .token
            .as_deref()
            .map(|sealed| self.open_token(stored.id, sealed))
            .transpose()?;
        let device_token = stored
            .device_token
            .as_deref()
            .map(|sealed| self.open(&format!("gateway.device-token:{}", stored.id), sealed))
            .transpose()?;
        let device = if stored.disable_device_pairing {
            None
        } else {
            Some(self.device(stored.organization_id).await?)
        };
        Ok(Target {
            url,
            token,
            device,
            device_token,
            tls: tls_policy(stored.tls_fingerprint.as_deref(), stored.allow_insecure_tls)?,
        })
    }

    /// A live gateway; one that this process does not know yet is looked up and started.
    pub async fn live(&self, id: Uuid) -> Result<Live> {
        let known = || self.inner.entries.lock().get(&id).map(|entry| entry.live.clone());
        if let Some(live) = known() {
            return Ok(live);
        }
        self.sync(id).await?;
        known().ok_or_else(|| Error::not_found("Gateway not found"))
    }

    /// The state of a gateway's session.
    pub async fn connection(&self, id: Uuid) -> Result<GatewayConnection> {
        let live = self.live(id).await?;
        let state = live.gateway.session().state().borrow().clone();
        Ok(connection(id, &state))
    }

    /// The states of several gateways' sessions, in their order; those that are gone meanwhile are left out.
    pub async fn connections(&self, ids: &[Uuid]) -> Result<Vec<GatewayConnection>> {
        let mut states = Vec::with_capacity(ids.len());
        for id in ids {
            match self.connection(*id).await {
                Ok(state) => states.push(state),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(states)
    }

    /// One row, or all.
    async fn stored(&self, id: Option<Uuid>) -> Result<Vec<Stored>> {
        Ok(sqlx::query_as!(
            Stored,
            "SELECT id, organization_id, name, url, allow_insecure_tls, disable_device_pairing, tls_fingerprint, token, device_token \
             FROM gateway.gateways WHERE $1::uuid IS NULL OR id = $1",
            id
        )
        .fetch_all(self.inner.store.pool())
        .await?)
    }

    /// Makes the session of one gateway what its row says.
    pub async fn sync(&self, id: Uuid) -> Result<()> {
        if let Some(row) = self.stored(Some(id)).await?.pop() {
            self.apply(row).await
        } else {
            self.retire(id);
            Ok(())
        }
    }

    /// Makes all sessions what the rows say.
    async fn sync_all(&self) -> Result<()> {
        let rows = self.stored(None).await?;
        let gone: Vec<Uuid> = self
            .inner
            .entries
            .lock()
            .keys()
            .filter(|id| !rows.iter().any(|row| row.id == **id))
            .copied()
            .collect();
        for id in gone {
            self.retire(id);
        }
        for row in rows {
            let id = row.id;
            // One row that cannot be used must not keep the others from starting.
            if let Err(error) = self.apply(row).await {
                tracing::error!(gateway = %id, error = error.report(), "gateway session not started");
            }
        }
        Ok(())
    }

    async fn apply(&self, row: Stored) -> Result<()> {
        let id = row.id;
        if self
            .inner
            .entries
            .lock()
            .get(&id)
            .is_some_and(|entry| entry.stored.connects_like(&row))
        {
            return Ok(());
        }
        let target = self.target(&row).await?;
        let mut entries = self.inner.entries.lock();
        if let Some(entry) = entries.get_mut(&id) {
            if !entry.stored.connects_like(&row) {
                entry.live.gateway.session().reconfigure(target);
                entry.stored = row;
            }
            return Ok(());
        }
        let tokens = self.inner.device_tokens.clone();
        let options = SessionOptions {
            on_device_token: Some(Arc::new(move |token| {
                let _ = tokens.send((id, token));
            })),
            ..self.inner.options.clone()
        };
        let gateway = Gateway::start(target, options);
        let told = tell(
            self.inner.clone(),
            id,
            row.organization_id,
            row.name.clone(),
            gateway.session().state(),
        );
        let live = Live {
            gateway,
            organization: row.organization_id,
            labels: Arc::default(),
        };
        let watch = AbortOnDropHandle::new(tokio::spawn(told));
        entries.insert(
            id,
            Entry {
                live,
                stored: row,
                _watch: watch,
            },
        );
        Ok(())
    }

    /// Ends the session of a gateway whose row is gone, without waiting for it. Its main agent goes with it if the gateway
    /// can be reached: without a row nobody else could remove it.
    pub fn retire(&self, id: Uuid) {
        let Some(entry) = self.inner.entries.lock().remove(&id) else {
            return;
        };
        self.inner.leaving.spawn(async move {
            let gateway = &entry.live.gateway;
            let connected = gateway.session().state().borrow().is_connected();
            if connected && let Err(failure) = gateway.delete_agent(&rules::main_agent(id), FAREWELL).await {
                tracing::info!(gateway = %id, error = %failure, "the main agent stays on a gateway that was deleted");
            }
            gateway.session().stop(GRACE).await;
        });
    }

    /// Runs all sessions until `stop`.
    pub async fn run(self, bus: Arc<dyn Bus>, stop: CancellationToken) -> Result<()> {
        let mut events = bus.watch();
        let mut failures = 0;
        let mut all = true;
        while !stop.is_cancelled() {
            if all {
                match self.sync_all().await {
                    Ok(()) => (all, failures) = (false, 0),
                    Err(error) => {
                        failures += 1;
                        tracing::warn!(error = error.report(), failures, "gateways could not be read");
                        let pause = backoff(failures, Duration::from_millis(200), Duration::from_secs(10));
                        let _ = tokio::time::timeout(pause, stop.cancelled()).await;
                        continue;
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                event = events.recv() => match event {
                    Ok(event) if event.r#type == GAP => all = true,
                    Ok(event) if matches!(event.r#type.as_str(), "gateway.created" | "gateway.updated" | "gateway.deleted") => {
                        if let Ok(id) = Uuid::parse_str(&event.gateway_id)
                            && let Err(error) = self.sync(id).await
                        {
                            tracing::warn!(gateway = %id, error = error.report(), "gateway session not brought up to date");
                            all = true;
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => all = true,
                    Err(RecvError::Closed) => {
                        stop.cancelled().await;
                        break;
                    }
                },
            }
        }
        let entries: Vec<Entry> = self.inner.entries.lock().drain().map(|(_, entry)| entry).collect();
        futures::future::join_all(entries.iter().map(|entry| entry.live.gateway.session().stop(GRACE))).await;
        self.inner.leaving.close();
        self.inner.leaving.wait().await;
        Ok(())
    }

    /// Stores device tokens as gateways give them, until `stop`.
    pub async fn keep_device_tokens(self, stop: CancellationToken) -> Result<()> {
        let mut tokens = self.inner.device_tokens_out.lock().await;
        loop {
            let next = tokio::select! {
                next = tokens.recv() => next,
                () = stop.cancelled() => None,
            };
            let Some((id, token)) = next else { return Ok(()) };
            let sealed = self
                .inner
                .sealer
                .seal(&format!("gateway.device-token:{id}"), token.expose_secret().as_bytes())?;
            let mut failures = 0;
            // Losing one only means another approval, but that is a person's time.
            while let Err(error) = sqlx::query!(
                "UPDATE gateway.gateways SET device_token = $2 WHERE id = $1",
                id,
                sealed
            )
            .execute(self.inner.store.pool())
            .await
            {
                failures += 1;
                tracing::warn!(gateway = %id, %error, failures, "device token not stored yet");
                let pause = backoff(failures, Duration::from_millis(200), Duration::from_secs(10));
                if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                    return Ok(());
                }
            }
        }
    }
}

/// Which certificates to trust.
pub fn tls_policy(fingerprint: Option<&str>, allow_insecure: bool) -> Result<TlsPolicy> {
    // A pin is stricter than the switch that makes it unnecessary.
    match rules::fingerprint(fingerprint).map_err(|message| Error::invalid("tls_fingerprint", message))? {
        Some(fingerprint) => Ok(TlsPolicy::Pinned(fingerprint)),
        None if allow_insecure => Ok(TlsPolicy::AcceptAny),
        None => Ok(TlsPolicy::PublicRoots),
    }
}

/// A state in the contract's form.
pub fn connection(id: Uuid, state: &SessionState) -> GatewayConnection {
    let phase = match &state.phase {
        Phase::Connecting => ConnectionPhase::Connecting,
        Phase::Connected | Phase::ScopesMissing { .. } => ConnectionPhase::Connected,
        Phase::PairingRequired { .. } => ConnectionPhase::PairingRequired,
        Phase::Unreachable => ConnectionPhase::Unreachable,
        Phase::Refused => ConnectionPhase::Refused,
        Phase::Stopped => ConnectionPhase::Stopped,
    };
    // What was is of interest only while it is not over.
    let failure = state.last_failure.as_ref().filter(|_| state.phase != Phase::Connected);
    let shown = failure.and_then(|failure| failure.tls_fingerprint.as_deref().map(ToOwned::to_owned));
    GatewayConnection {
        gateway_id: id.to_string(),
        phase: phase.into(),
        protocol: state
            .profile
            .as_ref()
            .and_then(|profile| i32::try_from(profile.protocol).ok()),
        version: state.profile.as_ref().map(|profile| profile.version.to_string()),
        scopes: state.scopes.clone().unwrap_or_default(),
        since: Some(timestamp(state.since)),
        error: failure.map(|failure| failure.message.clone()),
        error_code: failure.map(|failure| rules::error_code(failure.kind)),
        remedy: failure
            .map(|failure| failure.remedy.clone())
            .filter(|remedy| !remedy.is_empty()),
        pairing_request_id: failure.and_then(|failure| failure.pairing_request_id.as_deref().map(ToOwned::to_owned)),
        next_attempt_at: state.next_attempt_at.map(timestamp),
        tls_fingerprint: shown.or_else(|| state.fingerprint.map(|print| print.to_string())),
    }
}

/// Records an event whenever the connection really changes.
async fn tell(
    inner: Arc<Inner>,
    id: Uuid,
    organization: Uuid,
    name: String,
    mut states: watch::Receiver<SessionState>,
) {
    let mut told = None;
    loop {
        let state = states.borrow_and_update().clone();
        let news = state.phase != Phase::Connecting && told.as_ref() != Some(&state.phase);
        if news {
            let brief = matches!(state.phase, Phase::Unreachable | Phase::Stopped);
            if brief {
                // A restart is over before it is worth an event.
                let over = states.wait_for(|later| later.phase != state.phase);
                if tokio::time::timeout(SETTLE, over)
                    .await
                    .is_ok_and(|changed| changed.is_ok())
                {
                    continue;
                }
            }
            match record(&inner, id, organization, &name, &state).await {
                Ok(()) => told = Some(state.phase),
                Err(error) => {
                    tracing::warn!(gateway = %id, error = error.report(), "connection change not recorded");
                    tokio::time::sleep(SETTLE).await;
                    continue;
                }
            }
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

async fn record(inner: &Inner, id: Uuid, organization: Uuid, name: &str, state: &SessionState) -> Result<()> {
    let connection = connection(id, state);
    let message = match (&state.phase, &connection.error) {
        (Phase::Connected, _) => format!("Gateway connected: {name}."),
        (Phase::ScopesMissing { scopes }, _) => format!("Gateway {name} withholds {}.", scopes.join(", ")),
        (Phase::PairingRequired { .. }, _) => format!("Gateway {name} wants this device approved."),
        (_, Some(error)) => format!("Gateway {name} is not connected: {}.", error.trim_end_matches('.')),
        (_, None) => format!("Gateway {name} is not connected."),
    };
    let caller = Caller::service(&inner.signer, "gateway-bridge", Some(organization));
    let mut tx = inner.store.begin().await?;
    let change = Change::new("gateway.connection_changed", organization)
        .gateway(id)
        .message(message)
        .after(&connection);
    tx.record(&caller, change).await?;
    tx.commit().await
}
