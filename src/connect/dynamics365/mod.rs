//! Speaks to Dynamics 365 Sales through the Dataverse Web API.
//!
//! * Owns: sign-in at Entra, OData texts, the table of error codes, the change feed, provisioning.
//! * May use: `domain`, the seams of `connect`, `connect/http`.
//! * Order of one request: daily budget, parallelism, token, the HTTP client's own limits.
//! * Invariants: a field is written or refused, never dropped; no value reaches an address except
//!   through [`odata`]; nothing is retried except once after a 401.
//!
//! Start reading at [`Dynamics365`]; `client.rs` is one request, `wire.rs` what an error means.

mod auth;
mod batch;
mod body;
mod client;
mod close;
mod describe;
mod examine;
mod feed;
mod forms;
mod hooks;
mod limits;
mod lookup;
mod merged;
mod metadata;
mod odata;
mod provision;
mod provision_json;
mod records;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod select;
mod settings;
mod status;
mod webhook;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::connect::crm::{
    ChangePage, Crm, Probe, Provision, ProvisionStep, Quota, Remark, Row, Search, TableSchema,
};
use crate::connect::error::ConnectError;
use crate::domain::clock::{Clock, Randomness};
use crate::domain::id::{CrmName, RecordId, RecordKind};
use crate::domain::record::{Close, Fields, Record, Shape, Version};

use client::{Client, Request, text};
use feed::PageSize;
use lookup::Lookups;
use metadata::Metadata;
pub use settings::{Credential, RequestLedger, Settings, WebhookTarget};
use status::Statuses;
pub use webhook::{DataverseHook, SecretPlace};

/// One Dataverse environment.
#[derive(Debug)]
pub struct Dynamics365 {
    client: Client,
    metadata: Metadata,
    lookups: Lookups,
    statuses: Statuses,
    page_size: PageSize,
    modified_overlap: Duration,
    key_wait: Duration,
    webhook: Option<WebhookTarget>,
    forms: Vec<String>,
    organization: OnceCell<String>,
    randomness: RandomnessHandle,
}

/// Chance, without a debug form of its own.
struct RandomnessHandle(Arc<dyn Randomness>);

impl std::fmt::Debug for RandomnessHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Randomness")
    }
}

impl std::ops::Deref for RandomnessHandle {
    type Target = dyn Randomness;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Dynamics365 {
    /// Reads the settings and credentials; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// A sentence if an address, a number or a credential cannot be used.
    pub fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, String> {
        settings.check()?;
        Ok(Self {
            client: Client::new(&settings, clock, Arc::clone(&randomness))?,
            metadata: Metadata::new(settings.cache_age),
            lookups: Lookups::new(settings.cache_age),
            statuses: Statuses::new(settings.cache_age),
            page_size: PageSize::new(settings.full_read_page_size),
            modified_overlap: settings.modified_overlap,
            key_wait: settings.key_wait,
            webhook: settings.webhook,
            forms: settings.forms,
            organization: OnceCell::new(),
            randomness: RandomnessHandle(randomness),
        })
    }

    async fn who_am_i(&self) -> Result<Probe, ConnectError> {
        let answer = self.client.send(&Request::get(self.client.url("WhoAmI")?)).await?;
        let json = answer.json().unwrap_or_default();
        let id = |name: &str| {
            odata::guid(text(&json, name))
                .ok_or_else(|| ConnectError::Broken(format!("WhoAmI answered without {name}")))
        };
        Ok(Probe {
            organization_id: id("OrganizationId")?,
            user_id: id("UserId")?,
            server_time: answer.date(),
            budget: Some(self.client.budget()),
        })
    }

    /// The environment's organization id, asked for once.
    async fn organization(&self) -> Result<String, ConnectError> {
        let ask = async || Ok(self.who_am_i().await?.organization_id);
        self.organization.get_or_try_init(ask).await.cloned()
    }
}

#[async_trait]
impl Crm for Dynamics365 {
    fn name(&self) -> CrmName {
        CrmName::Dynamics365
    }

    async fn probe(&self) -> Result<Probe, ConnectError> {
        self.who_am_i().await
    }

    async fn describe(&self, kind: RecordKind) -> Result<TableSchema, ConnectError> {
        self.schema(kind.as_str()).await
    }

    async fn unreadable(
        &self,
        kind: RecordKind,
        paths: &[String],
    ) -> Result<Vec<String>, ConnectError> {
        self.unreadable_paths(kind, paths).await
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
        self.create_other(table, fields).await
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
        close: &Close,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        self.close_record(record, expect, close, fields, shape).await
    }

    async fn qualify(
        &self,
        lead: &Record,
        status: &str,
        _shape: &Shape,
    ) -> Result<Option<RecordId>, ConnectError> {
        self.qualify_lead(lead, status).await
    }

    async fn changes(
        &self,
        kind: RecordKind,
        cursor: Option<&str>,
        shape: &Shape,
    ) -> Result<ChangePage, ConnectError> {
        self.change_page(kind, cursor, shape).await
    }

    fn quota(&self) -> Option<Quota> {
        Some(self.client.quota())
    }

    async fn provision(
        &self,
        wanted: &Provision,
        dry_run: bool,
    ) -> Result<Vec<ProvisionStep>, ConnectError> {
        self.provision_table(wanted, dry_run).await
    }

    async fn examine(&self, wanted: &Provision) -> Result<Vec<Remark>, ConnectError> {
        self.remarks(wanted).await
    }

    fn record_url(&self, kind: RecordKind, id: &RecordId) -> String {
        let root = self.client.api().origin().ascii_serialization();
        format!("{root}/main.aspx?pagetype=entityrecord&etn={kind}&id={id}")
    }
}
