//! Which address a request comes from, when proxies that we trust say so.

use std::net::IpAddr;

use http::HeaderMap;

/// Proxies whose forwarding headers count.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<(IpAddr, u8)>);

impl TrustedProxies {
    /// Reads `TRUSTED_PROXIES`: addresses and networks, comma separated. Entries that are neither are skipped with a warning.
    pub fn parse(list: &str) -> Self {
        let mut networks = Vec::new();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if let Some(network) = network(entry) {
                networks.push(network);
            } else {
                tracing::warn!("TRUSTED_PROXIES has an entry that is neither an address nor a network: it is ignored");
            }
        }
        Self(networks)
    }

    /// The client's address: the peer's, or what the nearest trusted proxies forwarded.
    ///
    /// Proxies append to what the client sent, so that only the entries on the right can be believed: the last one that is not itself a
    /// trusted proxy is the client.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let chain = forwarded(headers);
        chain
            .iter()
            .rev()
            .find(|address| !self.trusts(**address))
            .or(chain.first())
            .copied()
            .unwrap_or(peer)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .iter()
            .any(|(network, prefix)| within(address, *network, *prefix))
    }
}

/// The chain of clients as `Forwarded` (RFC 7239) has it, else as `X-Forwarded-For`; entries that are no addresses are left out.
fn forwarded(headers: &HeaderMap) -> Vec<IpAddr> {
    let values = |name: &str| {
        headers
            .get_all(name)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
    };
    let standard: Vec<IpAddr> = values("forwarded")
        .flat_map(|hop| hop.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| key.trim().eq_ignore_ascii_case("for"))
        .filter_map(|(_, node)| node_address(node))
        .collect();
    if standard.is_empty() {
        values("x-forwarded-for").filter_map(node_address).collect()
    } else {
        standard
    }
}

/// An address with optional quotes, brackets and port.
fn node_address(node: &str) -> Option<IpAddr> {
    let node = node.trim().trim_matches('"');
    if let Some(rest) = node.strip_prefix('[') {
        return rest.split(']').next()?.parse().ok();
    }
    node.parse().ok().or_else(|| node.rsplit_once(':')?.0.parse().ok())
}

fn network(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match entry.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (entry, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= longest)?,
        None => longest,
    };
    Some((address, prefix))
}

fn within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let shift = width - u32::from(prefix);
        shift >= width || a >> shift == b >> shift
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => same(address.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(address), IpAddr::V6(network)) => prefix == 0 || same(address.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &str, peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        TrustedProxies::parse(proxies)
            .client(peer.parse().expect("an address"), &map)
            .to_string()
    }

    #[test]
    fn only_trusted_proxies_speak_for_others() {
        let forged = [("x-forwarded-for", "6.6.6.6")];
        assert_eq!(client("", "9.9.9.9", &forged), "9.9.9.9");
        assert_eq!(client("10.0.0.0/8", "9.9.9.9", &forged), "9.9.9.9");
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &forged), "6.6.6.6");
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        let chain = [("x-forwarded-for", "6.6.6.6, 9.9.9.9, 10.0.0.7")];
        assert_eq!(client("10.0.0.0/8", "10.1.2.3", &chain), "9.9.9.9");
    }

    #[test]
    fn forwarded_wins_and_its_forms_are_read() {
        let both = [
            ("forwarded", "for=\"[2001:db8::1]:4711\";proto=https"),
            ("x-forwarded-for", "6.6.6.6"),
        ];
        assert_eq!(client("10.0.0.1", "10.0.0.1", &both), "2001:db8::1");
        assert_eq!(client("::1", "::1", &[("x-forwarded-for", "9.9.9.9:80")]), "9.9.9.9");
        assert_eq!(
            client(
                "nonsense, 0.0.0.0/0, 10.0.0.0/99",
                "10.0.0.1",
                &[("forwarded", "for=unknown")]
            ),
            "10.0.0.1"
        );
    }
}
