//! Calls to addresses that people name: checked when the connection is made, so that a name cannot point elsewhere later.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use url::{Host, Url};

use crate::{Error, Result, tls};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// Which private networks may be reached, and which setting says so.
#[derive(Clone, Debug)]
pub struct Policy {
    setting: &'static str,
    everything: bool,
    networks: Arc<[IpNet]>,
}

impl Policy {
    /// Reads a setting: networks in CIDR form or single addresses, comma separated, or `*` for all. Blank is none.
    pub fn parse(setting: &'static str, text: &str) -> Result<Self> {
        let mut networks = Vec::new();
        let mut everything = false;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part == "*" {
                everything = true;
            } else if let Ok(network) = part.parse::<IpNet>() {
                networks.push(network);
            } else if let Ok(address) = part.parse::<IpAddr>() {
                networks.push(address.into());
            } else {
                return Err(Error::invalid(
                    setting,
                    format!("`{part}` is neither a network (10.0.0.0/8) nor an address."),
                ));
            }
        }
        Ok(Self {
            setting,
            everything,
            networks: networks.into(),
        })
    }

    /// Whether a connection to this address may be made.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.everything || is_public(address) || self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether any private network is open.
    pub fn opens_any(&self) -> bool {
        self.everything || !self.networks.is_empty()
    }

    /// Refuses a URL that can never be called, in the name of its field: another scheme than https (http where private networks are
    /// open), credentials inside, or an address that is not allowed. Names are looked up when the call is made.
    pub fn check(&self, field: &str, url: &str) -> Result<()> {
        let refuse = |why: String| Err(Error::invalid(field, why));
        let Ok(url) = Url::parse(url) else {
            return refuse(format!("{field} must be an absolute URL."));
        };
        if !(url.scheme() == "https" || (url.scheme() == "http" && self.opens_any())) {
            return refuse(format!(
                "{field} must use https (http only where {} opens private networks).",
                self.setting
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(format!("{field} must not carry a user or password."));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return refuse(format!("{field} has no host.")),
        };
        if self.allows(address) {
            Ok(())
        } else {
            refuse(format!(
                "{field} points to a private or link-local address; an operator can open it with {}.",
                self.setting
            ))
        }
    }

    /// A client that connects to allowed addresses only and follows no redirect: places are to be given as they are. `timeout` bounds a
    /// whole exchange. Addresses written as such never meet the resolver: [`Self::check`] the URL first.
    pub fn client(&self, authorities: Option<&Path>, timeout: Duration) -> Result<Client> {
        builder(authorities, timeout)?
            .dns_resolver(Arc::new(Resolver(self.clone())))
            .build()
            .map_err(Error::internal)
    }
}

/// A client for a place that the configuration names: wherever that is, its address is right.
pub fn trusted_client(authorities: Option<&Path>, timeout: Duration) -> Result<Client> {
    builder(authorities, timeout)?.build().map_err(Error::internal)
}

fn builder(authorities: Option<&Path>, timeout: Duration) -> Result<reqwest::ClientBuilder> {
    Ok(Client::builder()
        .timeout(timeout)
        .connect_timeout(CONNECT)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(tls::client_config_with(authorities)?)
        .user_agent(concat!("mission-control/", env!("CARGO_PKG_VERSION"))))
}

/// Whether an address is one of the public Internet. Everything that is private, local, shared, documentation, multicast or reserved is
/// not (IANA special-purpose registries, RFC 6890), nor is an IPv4 address of that kind in an IPv6 dress.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || (a == 192 && b == 0 && c == 0))
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            let [first, second, ..] = v6.segments();
            if first == 0x0064 && second == 0xff9b {
                // NAT64 (RFC 6052): the last four bytes are the IPv4 address that is reached.
                let [.., a, b, c, d] = v6.octets();
                return is_public(IpAddr::V4([a, b, c, d].into()));
            }
            // Only global unicast (2000::/3) without documentation (2001:db8::/32), 6to4 (2002::/16) and Teredo (2001::/32).
            (0x2000..0x4000).contains(&first)
                && !(first == 0x2001 && (second == 0x0db8 || second == 0))
                && first != 0x2002
        }
    }
}

/// A resolver that hands out allowed addresses only: what it answers is what is connected to.
struct Resolver(Policy);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| policy.allows(address.ip()))
                .collect();
            if allowed.is_empty() {
                let why = if found.is_empty() {
                    "the name has no address"
                } else {
                    "the name leads to a private or link-local address"
                };
                return Err(why.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Why a call failed, in words for whoever named the address. Only the innermost cause says what happened.
pub fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: &str = "ALLOWED_NETWORKS";

    #[test]
    fn private_addresses_are_refused_in_every_dress() {
        let policy = Policy::parse(SETTING, "").expect("a policy");
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!policy.allows(private.parse().expect("an address")), "{private}");
        }
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(policy.allows(public.parse().expect("an address")), "{public}");
        }
    }

    #[test]
    fn configuration_opens_networks() {
        let policy = Policy::parse(SETTING, "127.0.0.0/8, 10.0.0.7").expect("a policy");
        assert!(
            policy.allows("127.9.9.9".parse().expect("an address"))
                && policy.allows("10.0.0.7".parse().expect("an address"))
        );
        assert!(!policy.allows("10.0.0.8".parse().expect("an address")));
        assert!(policy.check("url", "http://127.0.0.1:9/hook").is_ok());
        assert!(Policy::parse(SETTING, "everything").is_err());
    }

    #[test]
    fn urls_that_cannot_be_meant_are_refused() {
        let policy = Policy::parse(SETTING, "").expect("a policy");
        for bad in [
            "http://example.com/",
            "https://user:pw@example.com/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://0x7f000001/",
            "ftp://example.com",
            "nonsense",
        ] {
            assert!(policy.check("url", bad).is_err(), "{bad}");
        }
        assert!(policy.check("url", "https://example.com/hook").is_ok());
    }

    #[tokio::test]
    async fn names_of_private_addresses_are_refused_when_they_are_looked_up() {
        tls::install();
        let policy = Policy::parse(SETTING, "").expect("a policy");
        let client = policy.client(None, Duration::from_secs(5)).expect("a client");
        let refused = client.get("https://localhost:1/").send().await.expect_err("refused");
        assert!(explain(&refused).contains("private"), "{}", explain(&refused));
    }
}
