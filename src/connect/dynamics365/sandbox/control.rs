//! The handle: serving, looking inside, and the administrator's switches.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value as Json, json};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::data::Row;
use super::options::{KeyActivation, SandboxOptions};
use super::problem::Problem;
use super::schema::{connector_columns, cosell_columns, own_text};
use super::seed;
use super::state::{LoggedRequest, State};
use super::webhook::{WebhookCall, post};
use super::write::target_of;
use crate::connect::sandbox::{Faults, SandboxClock};

type Hook = Box<dyn FnOnce(&Dynamics365Sandbox) + Send>;

/// An emulated organisation. Clones are handles to the same one.
#[derive(Clone)]
pub struct Dynamics365Sandbox(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    faults: Faults,
    hooks: Mutex<VecDeque<Hook>>,
    deliveries: Notify,
}

/// What the organisation refuses to a person, as it would refuse it to a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct SandboxRefusal {
    /// HTTP status.
    pub status: u16,
    /// Error code.
    pub code: String,
    /// Text for people.
    pub message: String,
}

impl From<Problem> for SandboxRefusal {
    fn from(problem: Problem) -> Self {
        Self { status: problem.status, code: problem.code.to_owned(), message: problem.message }
    }
}

impl fmt::Debug for Dynamics365Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dynamics365Sandbox").finish_non_exhaustive()
    }
}

impl Dynamics365Sandbox {
    /// A fresh organisation.
    #[must_use]
    pub fn new(options: SandboxOptions, clock: SandboxClock) -> Self {
        let has_columns = options.has_cosell_columns;
        let sandbox = Self(Arc::new(Inner {
            state: Mutex::new(seed::organization(options, clock)),
            faults: Faults::default(),
            hooks: Mutex::new(VecDeque::new()),
            deliveries: Notify::new(),
        }));
        if has_columns {
            sandbox.install_columns();
        }
        sandbox
    }

    /// Serves the organisation and its token endpoint; give it to
    /// [`crate::connect::sandbox::serve`].
    pub fn router(&self) -> axum::Router {
        super::http::router(self)
    }

    /// The faults waiting here.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.faults.clone()
    }

    /// The settings now.
    #[must_use]
    pub fn options(&self) -> SandboxOptions {
        self.with(|state| state.options.clone())
    }

    /// Changes the settings, for example membership or the page limit, while it runs.
    pub fn configure(&self, change: impl FnOnce(&mut SandboxOptions)) {
        self.with(|state| change(&mut state.options));
    }

    /// Runs `work` on everything the organisation remembers.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A row with its raw columns: lookups as `_x_value` with the table beside it, nulls left out,
    /// and `versionnumber`.
    #[must_use]
    pub fn row(&self, table: &str, id: &str) -> Option<Json> {
        self.with(|state| state.data.row(table, id).map(|row| raw(state, table, row)))
    }

    /// All rows of a table, as [`Dynamics365Sandbox::row`] shows them.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Json> {
        self.with(|state| state.data.rows(table).map(|row| raw(state, table, row)).collect())
    }

    /// Every request so far, with the inner requests of batches before their batch.
    #[must_use]
    pub fn request_log(&self) -> Vec<LoggedRequest> {
        self.with(|state| state.log.clone())
    }

    /// How many requests so far were to change something (batches and token requests left out).
    #[must_use]
    pub fn write_count(&self) -> usize {
        let counts = |request: &&LoggedRequest| {
            request.is_write()
                && !request.path.contains("/$batch")
                && !request.path.ends_with("/token")
        };
        self.with(|state| state.log.iter().filter(counts).count())
    }

    /// How many requests so far were reads.
    #[must_use]
    pub fn read_count(&self) -> usize {
        self.with(|state| state.log.iter().filter(|request| !request.is_write()).count())
    }

    /// Forgets the requests so far.
    pub fn clear_request_log(&self) {
        self.with(|state| state.log.clear());
    }

    /// Expires every delta link given out so far.
    pub fn expire_delta_tokens(&self) {
        self.with(|state| state.delta_floor = state.data.next_version());
    }

    /// Expires every access token given out so far.
    pub fn revoke_tokens(&self) {
        self.with(|state| state.tokens.revoke());
    }

    /// The user id of the application, as `WhoAmI` tells it.
    #[must_use]
    pub fn application_user(&self) -> String {
        self.with(|state| state.ids.application_user.clone())
    }

    /// The id of the organisation.
    #[must_use]
    pub fn organization_id(&self) -> String {
        self.with(|state| state.ids.organization.clone())
    }

    /// Adds the co-sell columns of the shipped mapping to opportunity and lead, with a ready
    /// alternate key on the referral identifier and with change tracking, and the publisher and
    /// solution they belong to.
    pub fn install_columns(&self) {
        self.with(|state| {
            seed::publisher(state);
            for table in ["opportunity", "lead"] {
                state.install(table, cosell_columns());
                let key = vec!["pc_referralidentifier".to_owned()];
                state.install_key(table, "pc_ReferralIdKey", key, KeyActivation::Immediate);
                if let Some(definition) = state.schema.table_mut(table) {
                    definition.tracks_changes = true;
                }
            }
        });
    }

    /// An administrator adds a text column to a table.
    pub fn add_text_column(&self, table: &str, name: &str) {
        self.with(|state| state.install(table, [own_text(name)]));
    }

    /// Adds the columns of Microsoft's own connector to opportunity. Their labels are documented,
    /// their logical names are not.
    pub fn install_microsoft_connector(&self) {
        self.with(|state| state.install("opportunity", connector_columns()));
    }

    /// Runs `hook` right before the next request that is to change something: between a client's
    /// read and its write. Several hooks run one for each such request.
    pub fn before_next_write(&self, hook: impl FnOnce(&Self) + Send + 'static) {
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner).push_back(Box::new(hook));
    }

    pub(super) fn run_hooks(&self) {
        let hook = self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(hook) = hook {
            hook(self);
        }
    }

    /// How many webhook calls wait to be sent.
    #[must_use]
    pub fn waiting_deliveries(&self) -> usize {
        self.with(|state| state.data.webhooks.len())
    }

    /// Forgets the webhook calls that wait: the platform lost them.
    pub fn lose_deliveries(&self) {
        self.with(|state| state.data.webhooks.clear());
    }

    /// Doubles every waiting webhook call: delivery is at least once.
    pub fn duplicate_deliveries(&self) {
        self.with(|state| {
            let twice = state.data.webhooks.iter().flat_map(|call| [call.clone(), call.clone()]);
            state.data.webhooks = twice.collect();
        });
    }

    /// Turns the order of the waiting webhook calls round: delivery is unordered.
    pub fn reverse_deliveries(&self) {
        self.with(|state| state.data.webhooks = state.data.webhooks.drain(..).rev().collect());
    }

    /// Sends every waiting webhook call and returns how many the receiver took. A call that failed
    /// leaves an `asyncoperation` row and is not sent again.
    pub async fn deliver(&self) -> usize {
        let mut taken = 0;
        while let Some(call) = self.next_delivery() {
            let outcome = post(&call).await;
            taken += usize::from(outcome.is_ok());
            self.with(|state| state.record_outcome(&call, outcome.err().as_deref()));
        }
        taken
    }

    fn next_delivery(&self) -> Option<WebhookCall> {
        self.with(|state| state.data.webhooks.pop_front())
    }

    /// Sends webhook calls as they come, until the returned handle is dropped.
    pub fn deliver_in_background(&self) -> AbortOnDropHandle<()> {
        let sandbox = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                sandbox.deliver().await;
                sandbox.0.deliveries.notified().await;
            }
        }))
    }

    pub(super) fn wake_deliveries(&self) {
        self.0.deliveries.notify_one();
    }
}

/// A row as the control handle shows it.
fn raw(state: &State, table: &str, row: &Row) -> Json {
    let mut members = Map::new();
    for (name, value) in &row.values {
        match target_of(value) {
            Some((target, id)) => {
                members.insert(format!("_{name}_value"), json!(id));
                let annotation = format!("_{name}_value@Microsoft.Dynamics.CRM.lookuplogicalname");
                members.insert(annotation, json!(target));
            }
            None => {
                members.insert(name.clone(), value.clone());
            }
        }
    }
    if let Some(table) = state.schema.table(table) {
        members.insert(table.primary_id.clone(), json!(row.id));
    }
    members.insert("versionnumber".to_owned(), json!(row.version));
    Json::Object(members)
}
