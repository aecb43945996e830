//! Where a request came from, if proxies stand before the door: they write it into `X-Forwarded-For`, and anybody else
//! may write there too. So a header counts only as far as those vouch for it whom the operator has named
//! (`MARU_TRUSTED_PROXIES`). Nobody is named by default, and then it is whoever opened the connection.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Each proxy appends whom it heard it from, so the nearest one wrote last.
const FORWARDED: &str = "x-forwarded-for";

/// The networks whose word is taken.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// These.
    #[must_use]
    pub const fn new(trusted: Vec<IpNet>) -> Self {
        Self(trusted)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The first address on the way back that is no trusted proxy's, or the last that a trusted one could name.
    pub fn origin(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut from = connected.to_canonical();
        let lines: Vec<_> = headers.get_all(FORWARDED).iter().collect();
        let told = lines.iter().rev().map(|line| line.to_str().unwrap_or_default());
        for hop in told.flat_map(|line| line.rsplit(',')) {
            let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
            if !self.trusts(from) {
                break;
            }
            from = hop.to_canonical();
        }
        from
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn origin(trusted: &[&str], connected: &str, lines: &[&str]) -> String {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, HeaderValue::from_str(line).unwrap());
        }
        let from = Proxies::new(trusted).origin(connected.parse().unwrap(), &headers);
        from.to_string()
    }

    #[test]
    fn without_a_trusted_proxy_it_is_whoever_connected() {
        assert_eq!(origin(&[], "192.0.2.7", &["198.51.100.1"]), "192.0.2.7");
        assert_eq!(origin(&["10.42.0.0/16"], "192.0.2.7", &["198.51.100.1"]), "192.0.2.7");
    }

    #[test]
    fn a_trusted_proxy_names_who_it_heard_it_from() {
        for (connected, lines, expected) in [
            ("10.42.0.3", vec!["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.42.0.3", vec!["198.51.100.1"], "198.51.100.1"),
            ("10.42.0.3", vec!["2001:db8::7"], "2001:db8::7"),
            // Through two of them, in one line or in two.
            ("10.42.0.3", vec!["198.51.100.1, 10.42.1.9"], "198.51.100.1"),
            ("10.42.0.3", vec!["198.51.100.1", "10.42.1.9"], "198.51.100.1"),
            // It said nothing, or nothing that can be read.
            ("10.42.0.3", vec![], "10.42.0.3"),
            ("10.42.0.3", vec!["unknown"], "10.42.0.3"),
        ] {
            assert_eq!(
                origin(&["10.42.0.0/16"], connected, &lines),
                expected,
                "{connected} {lines:?}"
            );
        }
    }

    #[test]
    fn what_somebody_writes_of_themselves_does_not_count() {
        // The client claims to be somebody else; the proxy adds whom it heard it from.
        let lines = ["203.0.113.9, 198.51.100.1"];
        assert_eq!(origin(&["10.42.0.0/16"], "10.42.0.3", &lines), "198.51.100.1");
    }
}
