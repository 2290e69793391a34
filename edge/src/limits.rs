//! How much one caller may ask for.
//!
//! Failed sign-ins are limited by address, and only they: a valid credential is never refused because of its neighbours, since all agents
//! of a gateway share one address. Signed-in callers are limited each for themselves.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use chassis::Error;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use proto::identity::v1::{Principal, PrincipalKind};
use uuid::Uuid;

/// Failed sign-ins of an address, a minute.
const FAILURES: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
/// Calls without any credential (public methods) of an address, a minute.
const ANONYMOUS: NonZeroU32 = NonZeroU32::new(120).expect("not zero");
/// How often what has recovered is forgotten.
pub const SWEEP: Duration = Duration::from_secs(60);

/// All limits of one process.
pub struct Limits {
    failures: DefaultKeyedRateLimiter<IpAddr>,
    anonymous: DefaultKeyedRateLimiter<IpAddr>,
    agents: Option<DefaultKeyedRateLimiter<Uuid>>,
    people: Option<DefaultKeyedRateLimiter<Uuid>>,
}

impl Limits {
    /// Limits of agents and people in requests a minute; 0 is none.
    pub fn new(agents: u32, people: u32) -> Self {
        let of = |limit: u32| NonZeroU32::new(limit).map(|limit| RateLimiter::keyed(Quota::per_minute(limit)));
        Self {
            failures: RateLimiter::keyed(Quota::per_minute(FAILURES)),
            anonymous: RateLimiter::keyed(Quota::per_minute(ANONYMOUS)),
            agents: of(agents),
            people: of(people),
        }
    }

    /// Counts a failed sign-in; an error when there were too many.
    pub fn failed(&self, address: IpAddr) -> Result<(), Error> {
        check(&self.failures, &network(address))
    }

    /// Counts a call without credential.
    pub fn anonymous(&self, address: IpAddr) -> Result<(), Error> {
        check(&self.anonymous, &network(address))
    }

    /// Counts a call of a signed-in caller.
    pub fn signed_in(&self, principal: &Principal) -> Result<(), Error> {
        let limiter = match principal.kind() {
            PrincipalKind::Agent => &self.agents,
            _ => &self.people,
        };
        match (limiter, Uuid::parse_str(&principal.id)) {
            (Some(limiter), Ok(id)) => check(limiter, &id),
            _ => Ok(()),
        }
    }

    /// Forgets callers that have not been seen for long enough.
    pub fn sweep(&self) {
        self.failures.retain_recent();
        self.anonymous.retain_recent();
        for limiter in self.agents.iter().chain(&self.people) {
            limiter.retain_recent();
        }
    }
}

fn check<K: Clone + std::hash::Hash + Eq>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Error> {
    limiter
        .check_key(key)
        .map_err(|early| Error::limited(early.wait_time_from(limiter.clock().now())))
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
}
