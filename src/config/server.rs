//! `[server]`, `[admin]` and `[store]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::SecretSource;
use super::found::Found;
use super::values::{check_address, check_no_query, check_range};

/// `[server]`: the public listener, for webhooks and nothing else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Where to listen, for example `0.0.0.0:8080`.
    pub listen: SocketAddr,
    /// The address under which the world reaches this listener; registered as webhook address.
    pub public_url: Option<Url>,
    /// Tries that may run at once. 1 to 256.
    #[serde(default = "default_lanes")]
    pub lanes: u64,
    /// How long a soft stop may take, in seconds. 1 to 300.
    #[serde(default = "default_stop_secs")]
    pub stop_secs: u64,
}

fn default_lanes() -> u64 {
    64
}

fn default_stop_secs() -> u64 {
    10
}

impl ServerConfig {
    pub(super) fn check(&self, found: &mut Found<'_>) {
        if let Some(url) = &self.public_url {
            check_address(found, "server.public_url", url);
            check_no_query(found, "server.public_url", url);
        }
        check_range(found, "server.lanes", self.lanes, 1, 256);
        check_range(found, "server.stop_secs", self.stop_secs, 1, 300);
    }
}

/// `[admin]`: health, metrics, the admin interface and the console.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Where to listen. Loopback unless `behind_proxy` says that TLS ends in front of it.
    #[serde(default = "default_admin_listen")]
    pub listen: SocketAddr,
    /// The bearer token of administrators.
    pub token: Option<SecretSource>,
    /// A trusted proxy in front of it ends TLS: allows a public address.
    #[serde(default)]
    pub behind_proxy: bool,
}

fn default_admin_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8081))
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: default_admin_listen(), token: None, behind_proxy: false }
    }
}

impl AdminConfig {
    pub(super) fn check(&self, found: &mut Found<'_>) {
        if self.listen.ip().is_loopback() || self.behind_proxy {
            return;
        }
        found.value(
            "admin.listen",
            &format!("`admin.listen` is {}, which is open to the network without TLS", self.listen),
            "use a loopback address, or put a TLS proxy in front and set admin.behind_proxy = true",
        );
    }
}

/// `[store]`: where everything that must survive is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The engine.
    #[serde(default)]
    pub backend: StoreBackend,
    /// Its folder.
    pub path: PathBuf,
    /// 32 bytes as 64 hexadecimal digits: encrypts refresh tokens at rest. Needed once `login` or a
    /// refresh token is used.
    pub encryption_key: Option<SecretSource>,
}

/// The engine of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreBackend {
    /// sled, on a local disk.
    #[default]
    Sled,
}
