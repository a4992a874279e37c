//! The client address of a request behind trusted proxies.
//!
//! A proxy appends the address of its caller to `X-Forwarded-For`, so the header is read from its right end, and only as
//! far as trusted proxies have written it. A client can forge everything to the left of that.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Bytes of the header that are read; a longer one is ignored.
const BYTES_MAX: usize = 4096;

/// Networks of a list.
const NETWORKS_MAX: usize = 64;

const HEADER: &str = "x-forwarded-for";

/// The networks of proxies that are trusted.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// Why a list of networks does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxiesError {
    /// Not a network.
    #[error("--trusted-proxies: `{0}` is not a network such as `10.0.0.0/8` or an address")]
    Network(String),
    /// All addresses there are.
    #[error(
        "--trusted-proxies: `{0}` is every address, and every caller could choose its own; name the proxies"
    )]
    EveryAddress(String),
    /// More than are looked through for each request.
    #[error("--trusted-proxies: names {0} networks (allowed: at most {NETWORKS_MAX})")]
    Many(usize),
}

impl TrustedProxies {
    /// Reads networks in CIDR notation, or single addresses.
    ///
    /// # Errors
    /// See [`ProxiesError`].
    pub fn new(networks: &[String]) -> Result<Self, ProxiesError> {
        if networks.len() > NETWORKS_MAX {
            return Err(ProxiesError::Many(networks.len()));
        }
        let network = |text: &String| {
            let parsed = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            match parsed {
                Ok(network) if network.prefix_len() == 0 => Err(ProxiesError::EveryAddress(text.clone())),
                Ok(network) => Ok(network),
                Err(_) => Err(ProxiesError::Network(text.clone())),
            }
        };
        networks.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// The address that a request is counted against: the first from the right that is no trusted proxy's. Where the
    /// header is too long or does not read, it is the last address that is known.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let values: Vec<_> = headers.get_all(HEADER).iter().collect();
        if values.iter().map(|value| value.len()).sum::<usize>() > BYTES_MAX {
            return peer;
        }
        let mut client = peer;
        // Several headers are one list, in their order.
        for value in values.into_iter().rev() {
            let Ok(text) = value.to_str() else { return client };
            for hop in text.rsplit(',') {
                let Some(address) = address(hop.trim()) else { return client };
                client = address;
                if !self.trusts(client) {
                    return client;
                }
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address as proxies write it: alone, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let alone = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    alone.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, headers: &[&str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        TrustedProxies::new(&trusted).unwrap().client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn header_is_read_from_the_right_and_only_from_trusted_proxies() {
        let proxies = &["10.0.0.0/8", "fd00::/8", "192.0.2.1"][..];
        for (trusted, peer, headers, expected) in [
            (&[][..], "10.0.0.1", &["203.0.113.9"][..], "10.0.0.1"),
            (proxies, "203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            (proxies, "10.0.0.1", &[], "10.0.0.1"),
            (proxies, "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            (proxies, "::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            (proxies, "10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            // What the caller itself has written stands to the left.
            (proxies, "10.0.0.1", &["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
            (proxies, "10.0.0.1", &["10.0.0.7, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (proxies, "10.0.0.1", &["1.2.3.4", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
            (proxies, "10.0.0.1", &["10.0.0.9,10.0.0.8"], "10.0.0.9"),
            (proxies, "192.0.2.1", &["203.0.113.9:4711"], "203.0.113.9"),
            (proxies, "fd00::1", &["2001:db8::1"], "2001:db8::1"),
            (proxies, "fd00::1", &["[2001:db8::1]:80"], "2001:db8::1"),
            (proxies, "fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            // What does not read ends it.
            (proxies, "10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            (proxies, "10.0.0.1", &["203.0.113.9, , 10.0.0.2"], "10.0.0.2"),
            (proxies, "10.0.0.1", &["203.0.113.9,"], "10.0.0.1"),
            (proxies, "10.0.0.1", &["203.0.113.9, \u{e9}"], "10.0.0.1"),
            (proxies, "10.0.0.1", &["203.0.113.9/32"], "10.0.0.1"),
        ] {
            assert_eq!(client(trusted, peer, headers), expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn header_that_is_too_long_is_ignored() {
        let fits = format!("{}, 203.0.113.9", "1".repeat(BYTES_MAX - 13));
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[&fits]), "203.0.113.9");
        let long = format!("1{fits}");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[&long]), "10.0.0.1");
        let halves = ["1".repeat(BYTES_MAX - 10), "203.0.113.9".to_owned()];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[&halves[0], &halves[1]]), "10.0.0.1");
    }

    #[test]
    fn invalid_networks_and_all_addresses_are_rejected() {
        let refused = |text: &str| TrustedProxies::new(&[text.to_owned()]).unwrap_err().to_string();
        for text in ["", "10.0.0.0/33", "proxy.example.com", "10.0.0.0/8,10.0.0.1"] {
            assert!(refused(text).contains("is not a network"), "{text}");
        }
        for text in ["0.0.0.0/0", "::/0"] {
            assert!(refused(text).contains("is every address"), "{text}");
        }
        assert!(
            TrustedProxies::new(&vec!["10.0.0.1".to_owned(); 65]).unwrap_err().to_string().contains("65")
        );
    }
}
