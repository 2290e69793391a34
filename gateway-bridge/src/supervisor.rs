//! One session per gateway row: started at boot and on changes, ended with the row.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chassis::{
    Caller, Change, Context, Error, Result, Store,
    bus::{Bus, GAP},
    channel::{Channel, Peer},
    identity::Signer,
    role::backoff,
    seal::Sealer,
    timestamp,
};
use http::HeaderValue;
use parking_lot::Mutex;
use prost::Message as _;
use proto::gateway::v1::{ConnectionPhase, GatewayConnection};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{broadcast::error::RecvError, mpsc, watch};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tonic::Request;
use url::Url;
use uuid::Uuid;

use crate::{
    leases::{Leases, Owner, RENEW},
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

/// Marks a call that another replica passed on: it is not passed on again.
const FORWARDED: &str = "mc-forwarded";
/// How long a call that is passed on may take: as long as the work itself.
const FORWARD: Duration = Duration::from_secs(125);

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
    /// Which gateways are this replica's.
    leases: Leases,
    /// Connections to other replicas, by address.
    replicas: Mutex<HashMap<String, Channel>>,
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
                leases: Leases::new(store.clone(), context.settings.advertised().unwrap_or_default()),
                replicas: Mutex::default(),
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

    fn known(&self, id: Uuid) -> Option<Live> {
        self.inner.entries.lock().get(&id).map(|entry| entry.live.clone())
    }

    /// A live gateway of this replica; one that nobody keeps is taken and started.
    pub async fn live(&self, id: Uuid) -> Result<Live> {
        if let Some(live) = self.known(id) {
            return Ok(live);
        }
        self.sync(id).await?;
        match self.known(id) {
            Some(live) => Ok(live),
            None if self.inner.leases.take(id).await?.is_none() => Err(Error::not_found("Gateway not found")),
            None => Err(Error::unavailable(
                "The gateway's session is kept by another replica. Try again in a moment.",
            )),
        }
    }

    /// The replica that keeps a gateway's session, when it is another one: a call about it is passed on.
    pub async fn elsewhere<T>(&self, request: &Request<T>, id: Uuid) -> Result<Option<Peer>> {
        if self.known(id).is_some() {
            return Ok(None);
        }
        let Some(Owner::Theirs(address)) = self.inner.leases.take(id).await? else {
            return Ok(None);
        };
        if address.is_empty() || request.metadata().contains_key(FORWARDED) {
            return Err(Error::unavailable(
                "The gateway's session moves between replicas. Try again in a moment.",
            ));
        }
        let channel = {
            let mut replicas = self.inner.replicas.lock();
            if let Some(channel) = replicas.get(&address) {
                channel.clone()
            } else {
                let channel = Channel::far(address.clone()).map_err(Error::internal)?;
                replicas.insert(address, channel.clone());
                channel
            }
        };
        let caller = Caller::of(request)?;
        let peer = Peer::to(channel, &caller).within(FORWARD);
        Ok(Some(peer.with(FORWARDED, HeaderValue::from_static("1"))))
    }

    /// The state of a gateway's session, whichever replica keeps it.
    pub async fn connection(&self, id: Uuid) -> Result<GatewayConnection> {
        self.connections(&[id])
            .await?
            .pop()
            .ok_or_else(|| Error::not_found("Gateway not found"))
    }

    /// The states of several gateways' sessions, in their order, whichever replica keeps them.
    pub async fn connections(&self, ids: &[Uuid]) -> Result<Vec<GatewayConnection>> {
        let unknown: Vec<Uuid> = ids.iter().copied().filter(|id| self.known(*id).is_none()).collect();
        let mut told: HashMap<Uuid, Vec<u8>> = HashMap::new();
        if !unknown.is_empty() {
            told.extend(self.inner.leases.told(&unknown).await?);
        }
        let states = ids.iter().map(|id| match self.known(*id) {
            Some(live) => connection(*id, &live.gateway.session().state().borrow()),
            // One that nobody has told of yet is on its way.
            None => told
                .get(id)
                .and_then(|told| GatewayConnection::decode(&**told).ok())
                .unwrap_or_else(|| GatewayConnection {
                    gateway_id: id.to_string(),
                    phase: ConnectionPhase::Connecting.into(),
                    ..GatewayConnection::default()
                }),
        });
        Ok(states.collect())
    }

    /// The rows of these gateways.
    async fn stored(&self, ids: &[Uuid]) -> Result<Vec<Stored>> {
        Ok(sqlx::query_as!(
            Stored,
            "SELECT id, organization_id, name, url, allow_insecure_tls, disable_device_pairing, tls_fingerprint, token, device_token \
             FROM gateway.gateways WHERE id = ANY($1)",
            ids
        )
        .fetch_all(self.inner.store.pool())
        .await?)
    }

    /// Makes the session of one gateway what its row says, if it is this replica's or nobody's.
    pub async fn sync(&self, id: Uuid) -> Result<()> {
        match self.inner.leases.take(id).await? {
            Some(Owner::Ours) => match self.stored(&[id]).await?.pop() {
                Some(row) => self.apply(row).await?,
                None => self.retire(id),
            },
            Some(Owner::Theirs(_)) => self.hand_over(id),
            None => self.retire(id),
        }
        Ok(())
    }

    /// Makes the sessions of all gateways that are this replica's what the rows say.
    async fn sync_all(&self) -> Result<()> {
        self.inner.leases.renew().await?;
        self.keep(self.inner.leases.take_all().await?).await
    }

    /// Keeps the sessions of these gateways, and no others.
    async fn keep(&self, ours: HashSet<Uuid>) -> Result<()> {
        let lost: Vec<Uuid> = {
            let entries = self.inner.entries.lock();
            entries.keys().filter(|id| !ours.contains(id)).copied().collect()
        };
        let moved = self.stored(&lost).await?;
        for id in lost {
            if moved.iter().any(|row| row.id == id) {
                self.hand_over(id);
            } else {
                self.retire(id);
            }
        }
        let ours: Vec<Uuid> = ours.into_iter().collect();
        for row in self.stored(&ours).await? {
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
        if let Some(entry) = self.inner.entries.lock().get_mut(&id)
            && entry.stored.connects_like(&row)
        {
            entry.stored.name = row.name;
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

    /// Ends the session of a gateway that another replica keeps now.
    fn hand_over(&self, id: Uuid) {
        let Some(entry) = self.inner.entries.lock().remove(&id) else {
            return;
        };
        tracing::info!(gateway = %id, "another replica keeps this gateway's session now");
        self.inner.leaving.spawn(async move {
            entry.live.gateway.session().stop(GRACE).await;
        });
    }

    /// Renews this replica's claim, takes gateways that nobody keeps and lets go of those that another replica took.
    async fn renew(&self) -> Result<()> {
        self.inner.leases.renew().await?;
        let ours = self.inner.leases.take_all().await?;
        let same = {
            let entries = self.inner.entries.lock();
            entries.len() == ours.len() && entries.keys().all(|id| ours.contains(id))
        };
        if same { Ok(()) } else { self.keep(ours).await }
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
        let mut round = tokio::time::interval(RENEW);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
                _ = round.tick() => if let Err(error) = self.renew().await {
                    tracing::warn!(error = error.report(), "gateway leases not renewed");
                    all = true;
                },
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
        match tokio::time::timeout(GRACE, self.inner.leases.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(error = error.report(), "gateway leases not given back"),
            Err(_) => tracing::info!("gateway leases not given back in time"),
        }
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
    // The connection seen last: another one in the same phase means that the gateway was away, for however short.
    let mut seen: Option<String> = None;
    loop {
        let state = states.borrow_and_update().clone();
        if let Err(error) = inner.leases.tell(id, &connection(id, &state).encode_to_vec()).await {
            tracing::debug!(gateway = %id, error = error.report(), "connection state not told to other replicas");
        }
        let news = state.phase != Phase::Connecting && told.as_ref() != Some(&state.phase);
        if state.is_connected() {
            let again = seen.is_some() && seen != state.conn_id;
            seen.clone_from(&state.conn_id);
            if again
                && !news
                && let Err(error) = back(&inner, id, organization).await
            {
                tracing::warn!(gateway = %id, error = error.report(), "a short interruption's end not recorded");
            }
        }
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
            // As it is called now.
            let known = inner.entries.lock().get(&id).map(|entry| entry.stored.name.clone());
            match record(&inner, id, organization, known.as_ref().unwrap_or(&name), &state).await {
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

/// Tells other services that a gateway is back after an interruption that was too short for the log: what failed meanwhile can be tried
/// again. Of no organization, so that nobody's log shows it.
async fn back(inner: &Inner, id: Uuid, organization: Uuid) -> Result<()> {
    let caller = Caller::service(&inner.signer, "gateway-bridge", Some(organization));
    let mut event = Change::new("gateway.reconnected", organization)
        .gateway(id)
        .into_event(&caller);
    event.organization_id = String::new();
    let mut tx = inner.store.begin().await?;
    tx.record_events(&[event]).await?;
    tx.commit().await
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
