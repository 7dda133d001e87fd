//! The composition root: a configuration in, running parts out.
//!
//! * Owns: which part gets which other part, the start, the soft stop.
//! * May use: everything. Nothing but `cli` and `main` uses it.

mod alert;
mod backfill;
pub mod clock;
mod credentials;
mod deadlines;
mod doctor;
mod gauges;
mod in_process;
mod live;
mod live_again;
mod live_diff;
pub mod login;
mod mapping_budget;
mod mapping_start;
mod mapping_versions;
mod mappings;
mod nightly;
mod operations;
mod parts;
mod provisioning;
mod quota;
mod refused;
mod relay;
mod relink;
mod schema;
mod secrets;
mod shadow;
mod signing;
mod slot;
mod status;
mod systems;
mod vault;
mod watch;

pub use in_process::InProcess;
pub use parts::{Parts, open_store, rehearse, restore_store, set_store_aside};
pub use systems::usable;

pub use crate::store::sled::{holder as store_holder, is_free as store_is_free};

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::watch::Lasts;
use crate::admin;
use crate::config::Config;
use crate::domain::clock::{Clock, Randomness};
use crate::domain::id::AccountName;
use crate::domain::secret::SecretString;
use crate::ingress::Door;
use crate::listen::{self, Bounds};
use crate::mapping::{Mapping, load_directory};
use crate::store::{Store, StoreError};
use crate::sync::account::{Account, Surroundings};
use crate::sync::feeds::Poller;
use crate::sync::retry::Policy;
use crate::sync::worker::Worker;
use crate::telemetry::metrics::Metrics;

/// Why the program cannot start or must end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting cannot work; the text says which and how to fix it.
    #[error("{0}")]
    Settings(String),
    /// The mapping files have problems.
    #[error("{0}")]
    Mappings(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listener cannot be opened.
    #[error("{what} {address} cannot be opened: {error}")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Its address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
}

/// The running program.
pub struct App {
    /// Everything that the admin interface works on too.
    pub parts: Arc<Parts>,
    /// What all parts share.
    pub around: Surroundings,
    /// The accounts.
    pub accounts: Vec<Arc<Account>>,
    /// The feeds.
    pub pollers: Vec<Arc<Poller>>,
    /// The claim loop.
    pub worker: Arc<Worker>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where webhooks arrive.
    pub public_address: SocketAddr,
    /// Where the admin interface listens.
    pub admin_address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<Notify>,
    stop_within: Duration,
}

impl App {
    /// Opens the store, builds every part and starts them.
    ///
    /// # Errors
    ///
    /// [`AppError`] with what to do about it.
    pub async fn start(config: &Config) -> Result<Self, AppError> {
        let store = open_store(config).await?;
        Self::start_with(config, surroundings(store)).await
    }

    /// As [`App::start`], in given surroundings.
    ///
    /// # Errors
    ///
    /// As [`App::start`].
    pub async fn start_with(config: &Config, around: Surroundings) -> Result<Self, AppError> {
        let parts = Arc::new(Parts::build(config, around, true).await?);
        let worker = Arc::new(Worker::new(
            parts.around.clone(),
            parts.accounts.clone(),
            Policy::default(),
            usize::try_from(config.server.lanes).unwrap_or(64),
            Arc::clone(&parts.wake),
        ));
        let door = Door::new(
            Arc::clone(&parts.around.store),
            Arc::clone(&parts.around.clock),
            Arc::clone(&parts.wake),
            parts.metrics.clone(),
            parts::entrances(&parts)?,
        );
        let token = systems::admin_token(config)?;
        live_again::settle(&parts).await?;
        mapping_budget::begin(&parts).await?;
        let public = bind("the public listener", config.server.listen).await?;
        let admin = bind("the admin listener", config.admin.listen).await?;
        let app = Self {
            public_address: address_of(&public, config.server.listen),
            admin_address: address_of(&admin, config.admin.listen),
            around: parts.around.clone(),
            accounts: parts.accounts.clone(),
            pollers: parts.pollers.clone(),
            metrics: Arc::clone(&parts.metrics),
            parts,
            worker,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            failed: Arc::new(Notify::new()),
            stop_within: Duration::from_secs(config.server.stop_secs),
        };
        let desk = admin::router(operations::desk(&app.parts), token);
        app.serve(public, Arc::new(door).router());
        app.serve(admin, desk);
        app.spawn_work();
        app.spawn_care();
        app.tasks.close();
        Ok(app)
    }

    fn serve(&self, listener: TcpListener, router: axum::Router) {
        let served = listen::serve(listener, router, Bounds::default(), self.stop.clone());
        self.spawn("A listener", Lasts::UntilTheStop, served.map(Ok));
    }

    /// Starts a task whose end does not go unnoticed.
    fn spawn(
        &self,
        name: impl Into<String>,
        lasts: Lasts,
        task: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let (stop, failed) = (self.stop.clone(), Arc::clone(&self.failed));
        self.tasks.spawn(watch::watched(name.into(), lasts, task, stop, failed));
    }

    /// The worker and the feeds.
    fn spawn_work(&self) {
        let (worker, stop) = (Arc::clone(&self.worker), self.stop.clone());
        self.spawn("The worker", Lasts::UntilTheStop, async move {
            worker.run(stop).await.map_err(|error| error.to_string())
        });
        for account in &self.accounts {
            let parts = Arc::clone(&self.parts);
            let refine = schema::refine(parts, Arc::clone(account), self.stop.clone());
            self.spawn("The comparison of schemas", Lasts::AsLongAsNeeded, refine.map(Ok));
        }
        for poller in &self.pollers {
            let name = format!("The feed {} of {}", poller.feed().name(), poller.account().name);
            let (poller, stop) = (Arc::clone(poller), self.stop.clone());
            self.spawn(name, Lasts::UntilTheStop, async move {
                poller.run(stop).await.map_err(|error| error.to_string())
            });
        }
        for listener in &self.parts.listeners {
            let name = format!("The stream {} of {}", listener.name(), listener.account().name);
            let (listener, stop) = (Arc::clone(listener), self.stop.clone());
            self.spawn(name, Lasts::UntilTheStop, async move {
                listener.run(stop).await.map_err(|error| error.to_string())
            });
        }
    }

    /// What looks after the rest: webhook registration, credentials, mapping files, the nightly
    /// comparison.
    fn spawn_care(&self) {
        for account in &self.accounts {
            let (parts, stop) = (Arc::clone(&self.parts), self.stop.clone());
            let slot = slot::guard(Arc::clone(&parts), Arc::clone(account), stop.clone());
            self.spawn("The guard of the webhook", Lasts::AsLongAsNeeded, slot.map(Ok));
            let credentials = credentials::guard(parts, Arc::clone(account), stop);
            self.spawn("The guard of credentials", Lasts::UntilTheStop, credentials.map(Ok));
        }
        let files = mappings::watch(Arc::clone(&self.parts), self.stop.clone());
        self.spawn("The watch over mapping files", Lasts::UntilTheStop, files.map(Ok));
        let nightly = nightly::run(Arc::clone(&self.parts), self.stop.clone());
        self.spawn("The nightly comparison", Lasts::UntilTheStop, nightly.map(Ok));
    }

    /// Ends when every feed has been read once: from then on changes arrive without delay.
    pub async fn ready(&self) {
        while self.pollers.iter().any(|poller| poller.health().last_success.is_none()) {
            self.around.clock.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends when the store has failed, or a part ended that must not: the process must end and start again.
    pub async fn failed(&self) {
        self.failed.notified().await;
    }

    /// Stops softly: takes nothing new, finishes what it holds, within its limit. What is cut off
    /// continues after the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(self.stop_within, self.tasks.wait()).await.is_err() {
            tracing::warn!("The stop took too long; what was cut off goes on after the next start");
        }
    }
}

/// The compiled mapping files of a folder.
fn load_mappings(folder: &Path) -> Result<Vec<Arc<Mapping>>, AppError> {
    let mappings = load_directory(folder);
    let mappings = mappings.map_err(|problems| AppError::Mappings(problems.to_string()))?;
    Ok(mappings.into_iter().map(Arc::new).collect())
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|error| AppError::Listen { what, address, error })
}

fn address_of(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

/// The name of an account, as a type.
pub(crate) fn account_name(name: &str) -> AccountName {
    AccountName::new(name)
}

/// The clock and chance of an ordinary process.
#[must_use]
pub fn ordinary() -> (Arc<dyn Clock>, Arc<dyn Randomness>) {
    (Arc::new(clock::SystemClock), Arc::new(clock::SystemRandomness::default()))
}

/// An ordinary process around a store.
#[must_use]
pub fn surroundings(store: Arc<dyn Store>) -> Surroundings {
    let (clock, randomness) = ordinary();
    Surroundings { store, clock, randomness }
}

/// The token of administrators, if one is configured.
///
/// # Errors
///
/// [`AppError::Settings`] if it cannot be read.
pub fn admin_token(config: &Config) -> Result<Option<SecretString>, AppError> {
    systems::admin_token(config)
}
