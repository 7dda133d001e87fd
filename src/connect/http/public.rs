//! Fetches a small public file without credentials, and never from inside the own network.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::address;

/// What a fetch gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The file.
    File(Bytes),
    /// An answer that is longer than permitted: not what was asked for.
    TooLong,
    /// No usable answer right now; a sentence.
    Unavailable(String),
}

/// A client for files at pinned public addresses: no redirect, no proxy, one deadline, one cap.
///
/// A host name is resolved once, here, and only public addresses of it are connected to, so that no
/// name can lead into the own network. A loopback literal is permitted for an address that was
/// configured as such.
#[derive(Debug)]
pub struct PublicFetch {
    client: reqwest::Client,
    cap: usize,
}

impl PublicFetch {
    /// A client that takes at most `cap` bytes within `timeout`.
    ///
    /// # Errors
    ///
    /// A sentence if TLS cannot be set up.
    pub fn new(timeout: Duration, cap: usize) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(timeout)
            .dns_resolver(PublicOnly)
            .user_agent(concat!("cosell-sync/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Self { client, cap })
    }

    /// Fetches `url`, which must be pinned by configuration.
    pub async fn get(&self, url: &Url) -> Fetched {
        let literal = match url.host() {
            Some(url::Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(url::Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        let inside = literal.is_some_and(|ip| !is_public(ip)) && !address::is_loopback(url);
        if inside || !address::is_safe(url) {
            return Fetched::Unavailable("the address is not a public one".to_owned());
        }
        match self.read(url).await {
            Ok(fetched) => fetched,
            Err(error) if error.is_timeout() => {
                Fetched::Unavailable("no answer in time".to_owned())
            }
            Err(_) => Fetched::Unavailable("cannot be reached".to_owned()),
        }
    }

    async fn read(&self, url: &Url) -> Result<Fetched, reqwest::Error> {
        let mut response = self.client.get(url.clone()).send().await?;
        if response.status() != reqwest::StatusCode::OK {
            return Ok(Fetched::Unavailable(format!("answered {}", response.status().as_u16())));
        }
        let mut file = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if file.len() + chunk.len() > self.cap {
                return Ok(Fetched::TooLong);
            }
            file.extend_from_slice(&chunk);
        }
        Ok(Fetched::File(Bytes::from(file)))
    }
}

/// Resolves names to their public addresses only.
#[derive(Debug, Clone, Copy)]
struct PublicOnly;

impl reqwest::dns::Resolve for PublicOnly {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = all.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("the name has no public address".into());
            }
            Ok(Box::new(public.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// Whether `ip` belongs to the public internet.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, third, _] = ip.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let protocol = (first, second, third) == (192, 0, 0);
            let benchmark = first == 198 && (18..20).contains(&second);
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || first == 0
                || first >= 224
                || shared
                || protocol
                || benchmark)
        }
        IpAddr::V6(ip) => {
            // What carries a version 4 address inside is judged by that.
            if let Some(inner) = ip.to_ipv4() {
                return is_public(IpAddr::V4(inner));
            }
            let [first, second, ..] = ip.segments();
            let global = (0x2000..0x4000).contains(&first);
            let translated = (first, second) == (0x2001, 0) || first == 0x2002;
            let documentation = (first, second) == (0x2001, 0x0db8);
            global && !translated && !documentation
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::is_public;

    #[test]
    fn only_the_public_internet_is_public() {
        let table = [
            ("20.150.38.4", true, "a storage account"),
            ("2603:1030::1", true, "version 6"),
            ("127.0.0.1", false, "loopback"),
            ("10.1.2.3", false, "private"),
            ("172.31.0.1", false, "private"),
            ("192.168.1.1", false, "private"),
            ("169.254.169.254", false, "cloud metadata"),
            ("100.64.0.1", false, "shared address space"),
            ("0.0.0.0", false, "this host"),
            ("224.0.0.1", false, "multicast"),
            ("255.255.255.255", false, "broadcast"),
            ("::1", false, "loopback"),
            ("::", false, "unspecified"),
            ("::ffff:10.0.0.1", false, "mapped private"),
            ("::ffff:20.150.38.4", true, "mapped public"),
            ("fe80::1", false, "link local"),
            ("fc00::1", false, "unique local"),
            ("ff02::1", false, "multicast"),
            ("2002:7f00:1::", false, "6to4 of loopback"),
            ("64:ff9b::a9fe:a9fe", false, "translated metadata address"),
        ];
        for (text, expected, why) in table {
            let ip: IpAddr = text.parse().expect("an address");
            assert_eq!(is_public(ip), expected, "{text}: {why}");
        }
    }
}
