//! How much one caller may ask for.
//!
//! Failed sign-ins are limited by address, and only they: a valid credential is never refused because of its neighbours, since all agents
//! of a gateway share one address. Signed-in callers are limited each for themselves.
//!
//! A limit holds for all replicas together and across restarts, without a write per request: every replica counts for itself in windows of a
//! minute and once a second tells the org service what its busier callers used ([`Limits::follow`]); the sums come back. So a caller can get
//! more than its limit by what the replicas let through within a second, and an idle or moderate caller is never written down. While the
//! service is away each replica goes on with what it knows.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use chassis::{Error, Result, channel::Peers};
use parking_lot::Mutex;
use proto::{
    identity::v1::{Principal, PrincipalKind},
    org::v1::{SyncUsageRequest, Usage, directory_service_client::DirectoryServiceClient},
};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Failed sign-ins of an address, a minute.
const FAILURES: u32 = 20;
/// Calls without any credential (public methods) of an address, a minute.
const ANONYMOUS: u32 = 120;
/// How often replicas tell each other what was used.
const SYNC: Duration = Duration::from_secs(1);
/// How long the org service may take for it.
const SYNC_DEADLINE: Duration = Duration::from_secs(3);
/// Callers told of at once.
const BATCH: usize = 1000;
/// A caller is told of when it has used this part of its limit.
const TOLD_FROM: u32 = 8;
/// Length of a window, in seconds.
const WINDOW: f64 = 60.0;
/// Parts that the counters are kept in, so that callers do not wait for each other.
const SHARDS: usize = 16;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Failure(IpAddr),
    Anonymous(IpAddr),
    Agent(Uuid),
    Person(Uuid),
}

impl Subject {
    /// As replicas name it to each other.
    fn text(self) -> String {
        match self {
            Self::Failure(address) => format!("failure:{address}"),
            Self::Anonymous(address) => format!("anonymous:{address}"),
            Self::Agent(id) => format!("agent:{id}"),
            Self::Person(id) => format!("person:{id}"),
        }
    }
}

/// A moment as windows see it.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// Number of the window.
    window: i64,
    /// How much of it has passed, 0 to 1.
    passed: f64,
}

impl Moment {
    fn now() -> Self {
        Self::at(OffsetDateTime::now_utc().unix_timestamp_nanos())
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a minute in nanoseconds fits; minutes since 1970 do, too"
    )]
    fn at(nanos: i128) -> Self {
        let length = 60_000_000_000;
        Self {
            window: nanos.div_euclid(length) as i64,
            passed: nanos.rem_euclid(length) as f64 / length as f64,
        }
    }
}

/// What one subject used. The last minute is taken as this window so far and the rest of the one before, as if that had been even.
#[derive(Clone, Copy, Debug)]
struct Counter {
    window: i64,
    /// Of all replicas in this window, as far as known.
    known: u32,
    /// Of this replica in this window, not told yet.
    untold: u32,
    /// Of all replicas in the window before.
    previous: u32,
}

impl Counter {
    fn new(window: i64) -> Self {
        Self {
            window,
            known: 0,
            untold: 0,
            previous: 0,
        }
    }

    fn used(&self) -> u32 {
        self.known.saturating_add(self.untold)
    }

    fn roll(&mut self, window: i64) {
        if window > self.window {
            self.previous = if window == self.window + 1 { self.used() } else { 0 };
            (self.window, self.known, self.untold) = (window, 0, 0);
        }
    }

    /// Counts one call, or says how long to wait.
    fn take(&mut self, limit: u32, now: Moment) -> Result<(), Duration> {
        self.roll(now.window);
        let (limit, used, previous) = (f64::from(limit), f64::from(self.used()), f64::from(self.previous));
        let last_minute = previous.mul_add(1.0 - now.passed, used);
        if last_minute + 1.0 <= limit {
            self.untold += 1;
            return Ok(());
        }
        // Either the rest of the window before runs out far enough, or this one has to become the one before first.
        let windows = if used + 1.0 <= limit {
            1.0 - (limit - used - 1.0) / previous - now.passed
        } else {
            1.0 - now.passed + 1.0 - (limit - 1.0) / used
        };
        Err(Duration::from_secs_f64((windows * WINDOW).clamp(0.001, 2.0 * WINDOW)))
    }
}

/// All limits of one process.
pub struct Limits {
    agents: u32,
    people: u32,
    hasher: RandomState,
    shards: [Mutex<HashMap<Subject, Counter>>; SHARDS],
}

impl Limits {
    /// Limits of agents and people in requests a minute; 0 is none.
    pub fn new(agents: u32, people: u32) -> Self {
        Self {
            agents,
            people,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Counts a failed sign-in; an error when there were too many.
    pub fn failed(&self, address: IpAddr) -> Result<()> {
        self.take(Subject::Failure(network(address)))
    }

    /// Counts a call without credential.
    pub fn anonymous(&self, address: IpAddr) -> Result<()> {
        self.take(Subject::Anonymous(network(address)))
    }

    /// Counts a call of a signed-in caller.
    pub fn signed_in(&self, principal: &Principal) -> Result<()> {
        let Ok(id) = Uuid::parse_str(&principal.id) else {
            return Ok(());
        };
        self.take(match principal.kind() {
            PrincipalKind::Agent => Subject::Agent(id),
            _ => Subject::Person(id),
        })
    }

    fn limit(&self, subject: Subject) -> u32 {
        match subject {
            Subject::Failure(_) => FAILURES,
            Subject::Anonymous(_) => ANONYMOUS,
            Subject::Agent(_) => self.agents,
            Subject::Person(_) => self.people,
        }
    }

    fn shard(&self, subject: Subject) -> &Mutex<HashMap<Subject, Counter>> {
        let hash = self.hasher.hash_one(subject);
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()]
    }

    fn take(&self, subject: Subject) -> Result<()> {
        match self.limit(subject) {
            0 => Ok(()),
            limit => {
                let now = Moment::now();
                let mut counters = self.shard(subject).lock();
                let counter = counters.entry(subject).or_insert_with(|| Counter::new(now.window));
                counter.take(limit, now).map_err(Error::limited)
            }
        }
    }

    /// Tells the org service what was used and learns what other replicas let through, until `stop`. Forgets who has not been seen for two
    /// windows.
    pub async fn follow(&self, peers: &Peers, stop: CancellationToken) {
        let mut tick = tokio::time::interval(SYNC);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let told = self.busy();
            if told.is_empty() {
                continue;
            }
            let peer = peers.as_service("org", None, None).within(SYNC_DEADLINE);
            let request = SyncUsageRequest {
                items: told.values().map(|(_, usage)| usage.clone()).collect(),
            };
            match DirectoryServiceClient::new(peer).sync_usage(request).await {
                Ok(answer) => self.learn(&told, answer.into_inner().items),
                Err(status) => tracing::debug!(message = status.message(), "limits go on with what this process knows"),
            }
        }
    }

    /// What is worth telling: callers that came near their limit and have called since it was last told.
    fn busy(&self) -> HashMap<String, (Subject, Usage)> {
        let now = Moment::now();
        let mut busy = HashMap::new();
        for shard in &self.shards {
            let mut counters = shard.lock();
            counters.retain(|_, counter| counter.window + 1 >= now.window);
            for (subject, counter) in counters.iter() {
                let near = counter.used().saturating_mul(TOLD_FROM) >= self.limit(*subject);
                if near && counter.untold > 0 && busy.len() < BATCH {
                    let usage = Usage {
                        key: subject.text(),
                        window: counter.window,
                        count: counter.untold.into(),
                    };
                    busy.insert(usage.key.clone(), (*subject, usage));
                }
            }
        }
        busy
    }

    /// Takes over what all replicas used together.
    fn learn(&self, told: &HashMap<String, (Subject, Usage)>, sums: Vec<Usage>) {
        for sum in sums {
            let Some((subject, sent)) = told.get(&sum.key) else {
                continue;
            };
            let total = u32::try_from(sum.count).unwrap_or(u32::MAX);
            let told = u32::try_from(sent.count).unwrap_or_default();
            if let Some(counter) = self.shard(*subject).lock().get_mut(subject) {
                if counter.window == sum.window {
                    counter.known = total;
                    counter.untold = counter.untold.saturating_sub(told);
                } else if counter.window == sum.window + 1 {
                    counter.previous = total;
                }
            }
        }
    }
}

/// A whole IPv6 network belongs to one party: its addresses count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: Uuid) -> Principal {
        Principal {
            kind: PrincipalKind::Agent.into(),
            id: id.to_string(),
            ..Principal::default()
        }
    }

    fn at(window: i64, passed: f64) -> Moment {
        Moment { window, passed }
    }

    #[test]
    fn failures_are_limited_by_network_and_say_when_to_come_back() {
        let limits = Limits::new(0, 0);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for last in 1..=20 {
            limits
                .failed(address(&format!("2001:db8::{last}")))
                .expect("below the limit");
        }
        let error = limits
            .failed(address("2001:db8::ffff"))
            .expect_err("the 21st of a network");
        assert_eq!(error.kind(), chassis::error::Kind::Limited);
        limits.failed(address("2001:db8:0:1::1")).expect("another network");
        limits.failed(address("192.0.2.1")).expect("another address");
    }

    #[test]
    fn every_caller_has_a_limit_of_its_own() {
        let limits = Limits::new(2, 0);
        let (one, other) = (agent(Uuid::now_v7()), agent(Uuid::now_v7()));
        limits.signed_in(&one).expect("first");
        limits.signed_in(&one).expect("second");
        assert!(limits.signed_in(&one).is_err());
        limits.signed_in(&other).expect("another agent");
        let person = Principal {
            kind: PrincipalKind::User.into(),
            ..agent(Uuid::now_v7())
        };
        for _ in 0..100 {
            limits.signed_in(&person).expect("people are not limited here");
        }
    }

    #[test]
    fn who_waits_as_long_as_told_is_let_through() {
        // (used in the window before, used in this one, how much of it has passed)
        for (previous, used, passed) in [
            (10, 0, 0.0),
            (10, 5, 0.25),
            (10, 9, 0.9),
            (0, 10, 0.1),
            (3, 10, 0.5),
            (10, 10, 0.999),
            (100, 100, 0.5),
        ] {
            let mut counter = Counter {
                window: 7,
                known: used,
                untold: 0,
                previous,
            };
            let wait = counter.take(10, at(7, passed)).expect_err("at the limit").as_secs_f64();
            let later = |seconds: f64| {
                let windows = 7.0 + passed + seconds / WINDOW;
                let mut counter = counter;
                #[expect(clippy::cast_possible_truncation, reason = "a small number")]
                counter.take(10, at(windows.floor() as i64, windows.fract())).is_ok()
            };
            assert!(later(wait + 0.01), "{previous} {used} {passed}: {wait}");
            assert!(!later(wait - 0.5), "{previous} {used} {passed}: {wait}");
        }
    }

    #[test]
    fn what_other_replicas_let_through_counts() {
        let limits = Limits::new(10, 0);
        let one = agent(Uuid::now_v7());
        limits.signed_in(&one).expect("first");
        assert!(limits.busy().is_empty(), "a quiet caller is not written down");
        limits.signed_in(&one).expect("second");
        let told = limits.busy();
        let mut sums: Vec<Usage> = told.values().map(|(_, usage)| usage.clone()).collect();
        assert_eq!(sums.iter().map(|usage| usage.count).collect::<Vec<_>>(), [2]);
        limits.signed_in(&one).expect("while it was told");
        sums[0].count = 9;
        limits.learn(&told, sums);
        assert!(limits.signed_in(&one).is_err(), "nine of all replicas, and one since");
        assert_eq!(
            limits.busy().values().map(|(_, usage)| usage.count).collect::<Vec<_>>(),
            [1],
            "nothing is told twice"
        );
    }
}
