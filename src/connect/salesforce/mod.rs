//! Speaks to Salesforce: REST for records, SOAP for the two things REST cannot do.
//!
//! * Owns: sign-in, the error table, conversion to the seam's values, the change feed, provisioning.
//! * May use: `domain`, the seams and [`crate::connect::http`]. Never another vendor.
//! * Salesforce has no `If-Match` for deals. A write is conditional on `If-Unmodified-Since`, which
//!   sees whole seconds, so `validator` proves first that the version was read in a later second.
//! * Changes are polled; outbound messages only hint, and so do change events over gRPC, which the
//!   cargo feature `pubsub` adds.
//! * Nothing here retries, except one new sign-in after a 401 and one restart of a query whose
//!   locator died.
//!
//! Start reading at `records`, which is what the worker calls most.

mod auth;
mod client;
mod combine;
mod convert;
mod cursor;
mod describe;
mod feed;
mod grants;
mod identity;
mod limits;
mod lists;
mod lookup;
mod privileges;
mod provision;
#[cfg(feature = "pubsub")]
mod pubsub;
mod query;
mod records;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod settings;
mod soap;
mod soql;
mod validator;
mod webhook;
mod wire;
mod write;

use std::sync::Arc;

use async_trait::async_trait;

use self::client::Client;
use self::combine::{Combiner, Crowd};
use self::describe::Schemas;
use self::lookup::Lookups;
use self::query::ReadBatch;
use self::validator::Validators;
use self::write::WriteBatch;
use super::crm::{
    ChangePage, Crm, Probe, Provision, ProvisionStep, Quota, Remark, Row, Search, TableSchema,
};
use super::error::ConnectError;
use crate::domain::clock::{Clock, Randomness};
use crate::domain::id::{CrmName, RecordId, RecordKind};
use crate::domain::record::{Close, Fields, Record, Shape, Version};

pub use self::describe::Stage;
pub use self::settings::{Auth, EventSettings, RefreshTokenVault, Settings};

/// One Salesforce organisation.
pub struct Salesforce {
    settings: Arc<Settings>,
    client: Arc<Client>,
    schemas: Schemas,
    reads: Combiner<ReadBatch>,
    writes: Combiner<WriteBatch>,
    validators: Validators,
    lookups: Lookups,
}

impl std::fmt::Debug for Salesforce {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Salesforce").field("url", &self.settings.url.as_str()).finish()
    }
}

impl Salesforce {
    /// Prepares the client; nothing is called before it is used.
    ///
    /// # Errors
    ///
    /// A sentence for the admin if the settings cannot work: an address that is not an API host, a
    /// private key that cannot be read, a version below 50.0.
    pub fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        vault: Option<Arc<dyn RefreshTokenVault>>,
    ) -> Result<Self, String> {
        settings.check()?;
        let settings = Arc::new(settings);
        let crowd = Crowd::default();
        let client = Arc::new(Client::new(settings.clone(), clock, randomness, vault)?);
        Ok(Self {
            schemas: Schemas::new(client.clone()),
            reads: Combiner::new(ReadBatch::new(client.clone()), crowd.clone()),
            writes: Combiner::new(WriteBatch::new(client.clone()), crowd),
            validators: Validators::default(),
            lookups: Lookups::default(),
            settings,
            client,
        })
    }

    /// How many calls have been made to Salesforce, sign-ins included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.client.calls()
    }

    /// The stages of opportunities as the organisation defines them, in their order.
    ///
    /// # Errors
    ///
    /// As for any read.
    pub async fn stages(&self) -> Result<Vec<Stage>, ConnectError> {
        self.schemas.stages().await
    }
}

/// The API name of the table behind a kind of record.
fn table_of(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Opportunity => "Opportunity",
        RecordKind::Lead => "Lead",
    }
}

#[async_trait]
impl Crm for Salesforce {
    fn name(&self) -> CrmName {
        CrmName::Salesforce
    }

    async fn probe(&self) -> Result<Probe, ConnectError> {
        self.client.probe().await
    }

    async fn describe(&self, kind: RecordKind) -> Result<TableSchema, ConnectError> {
        self.schemas.describe(table_of(kind)).await
    }

    async fn unreadable(
        &self,
        kind: RecordKind,
        paths: &[String],
    ) -> Result<Vec<String>, ConnectError> {
        let mut unreadable = Vec::new();
        for path in paths {
            if !self.schemas.shows(table_of(kind), path).await? {
                unreadable.push(path.clone());
            }
        }
        Ok(unreadable)
    }

    async fn fetch(
        &self,
        kind: RecordKind,
        id: &RecordId,
        shape: &Shape,
    ) -> Result<Option<Record>, ConnectError> {
        self.fetch_record(kind, id, shape).await
    }

    async fn find_by_referral(
        &self,
        kind: RecordKind,
        referral_id: &str,
        shape: &Shape,
    ) -> Result<Vec<Record>, ConnectError> {
        self.find_records(kind, referral_id, shape).await
    }

    async fn search(&self, search: &Search) -> Result<Vec<Row>, ConnectError> {
        self.search_rows(search).await
    }

    async fn create_row(&self, table: &str, fields: &Fields) -> Result<RecordId, ConnectError> {
        self.insert_row(table, fields).await
    }

    async fn create(
        &self,
        kind: RecordKind,
        referral_id: &str,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        self.create_record(kind, referral_id, fields, shape).await
    }

    async fn update(
        &self,
        record: &Record,
        expect: &Version,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        self.update_record(record, expect, fields, shape).await
    }

    async fn close(
        &self,
        record: &Record,
        expect: &Version,
        _close: &Close,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        self.update_record(record, expect, fields, shape).await
    }

    async fn qualify(
        &self,
        lead: &Record,
        status: &str,
        _shape: &Shape,
    ) -> Result<Option<RecordId>, ConnectError> {
        self.convert_lead(lead, status).await
    }

    async fn changes(
        &self,
        kind: RecordKind,
        cursor: Option<&str>,
        shape: &Shape,
    ) -> Result<ChangePage, ConnectError> {
        self.read_changes(kind, cursor, shape).await
    }

    fn quota(&self) -> Option<Quota> {
        self.client.quota()
    }

    #[cfg(feature = "pubsub")]
    fn events(&self) -> Option<&dyn super::events::EventSource> {
        self.settings.events.is_some().then_some(self)
    }

    async fn provision(
        &self,
        wanted: &Provision,
        dry_run: bool,
    ) -> Result<Vec<ProvisionStep>, ConnectError> {
        self.make_fields(wanted, dry_run).await
    }

    async fn examine(&self, wanted: &Provision) -> Result<Vec<Remark>, ConnectError> {
        self.examine_rights(wanted).await
    }

    fn record_url(&self, kind: RecordKind, id: &RecordId) -> String {
        let base = self.settings.url.as_str().trim_end_matches('/');
        format!("{base}/lightning/r/{}/{id}/view", table_of(kind))
    }
}
