//! One CRM, seen as a place where opportunities and leads live.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::ConnectError;
use super::events::EventSource;
use crate::domain::id::{CrmName, RecordId, RecordKind};
use crate::domain::record::{Close, Fields, Record, Shape, Version};
use crate::domain::time::Timestamp;

/// A CRM. Everything that differs between vendors (sign-in, paging, wire names, error bodies) stays
/// behind this line.
///
/// Laws, run as one suite against every implementation in `tests/it/conformance`: repeating a create
/// leaves one record; a stale version is refused; unknown fields are refused, never dropped; own
/// writes appear in [`Crm::changes`]; an expired cursor is reported and never means "start from now";
/// the vendor's wait is returned; a lost answer gives [`ConnectError::Unknown`]; money is exact; a
/// date never shifts.
#[async_trait]
pub trait Crm: Send + Sync {
    /// Which CRM this is.
    fn name(&self) -> CrmName;

    /// Signs in and asks who we are: the first thing `doctor` and the start do.
    async fn probe(&self) -> Result<Probe, ConnectError>;

    /// The live schema of the table behind `kind`.
    async fn describe(&self, kind: RecordKind) -> Result<TableSchema, ConnectError>;

    /// Those of `paths`, fields of `kind` or of rows around it, that our user cannot read. For a CRM
    /// whose [`Crm::describe`] tells all there is to tell: none.
    async fn unreadable(
        &self,
        _kind: RecordKind,
        _paths: &[String],
    ) -> Result<Vec<String>, ConnectError> {
        Ok(Vec::new())
    }

    /// Reads one record; `None` if it does not exist or was deleted.
    async fn fetch(
        &self,
        kind: RecordKind,
        id: &RecordId,
        shape: &Shape,
    ) -> Result<Option<Record>, ConnectError>;

    /// Records whose referral field holds `referral_id`: none, one, or more where the CRM does not
    /// keep the field unique.
    async fn find_by_referral(
        &self,
        kind: RecordKind,
        referral_id: &str,
        shape: &Shape,
    ) -> Result<Vec<Record>, ConnectError>;

    /// Rows of another table (account, contact) by exact field values, at most `search.limit`.
    async fn search(&self, search: &Search) -> Result<Vec<Row>, ConnectError>;

    /// Makes a row of another table (account, contact) and returns its id.
    ///
    /// Not safe to repeat by itself: the caller searches first and records an intent.
    async fn create_row(&self, table: &str, fields: &Fields) -> Result<RecordId, ConnectError>;

    /// Creates the record that carries `referral_id` in its referral field.
    ///
    /// Safe to repeat: two identical calls leave one record. If one with that referral id exists the
    /// answer is [`ConnectError::Exists`] and nothing was written; if several do,
    /// [`ConnectError::Ambiguous`].
    async fn create(
        &self,
        kind: RecordKind,
        referral_id: &str,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError>;

    /// Changes the named fields, if the record is still at `expect`; [`ConnectError::Stale`]
    /// otherwise. Returns what the record holds afterwards.
    async fn update(
        &self,
        record: &Record,
        expect: &Version,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError>;

    /// Ends an opportunity by the vendor's closing action, where it has one.
    ///
    /// `fields` are written in the same change set before the action (sync token, audit line). Safe
    /// to repeat: a record already closed that way is returned as it is. For a CRM without closing
    /// actions this is [`Crm::update`].
    async fn close(
        &self,
        record: &Record,
        expect: &Version,
        close: &Close,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError>;

    /// Turns a lead into an opportunity and returns the opportunity's id; `None` where the CRM does
    /// not permit it. Safe to repeat: a lead already turned gives the same opportunity.
    async fn qualify(
        &self,
        lead: &Record,
        status: &str,
        shape: &Shape,
    ) -> Result<Option<RecordId>, ConnectError>;

    /// Records changed since `cursor`, one page. `None` starts a first full read.
    ///
    /// The returned cursor may be stored only when every record of the page is durable elsewhere.
    /// [`ConnectError::CursorExpired`] asks for a full comparison.
    async fn changes(
        &self,
        kind: RecordKind,
        cursor: Option<&str>,
        shape: &Shape,
    ) -> Result<ChangePage, ConnectError>;

    /// Where the daily quota stands after the newest answer. Calls nothing; `None` before the first
    /// answer, and where the CRM has no such quota.
    fn quota(&self) -> Option<Quota> {
        None
    }

    /// The stream of events beside the feed, where the CRM has one and it is configured.
    fn events(&self) -> Option<&dyn EventSource> {
        None
    }

    /// Plans, and unless `dry_run` makes, the missing fields, keys and permissions.
    async fn provision(
        &self,
        wanted: &Provision,
        dry_run: bool,
    ) -> Result<Vec<ProvisionStep>, ConnectError>;

    /// What `doctor` is to tell beyond the schema: rights one by one, webhooks, another engine on the
    /// same deals. Changes nothing.
    async fn examine(&self, _wanted: &Provision) -> Result<Vec<Remark>, ConnectError> {
        Ok(Vec::new())
    }

    /// Deep link to a record for people.
    fn record_url(&self, kind: RecordKind, id: &RecordId) -> String;
}

/// What a CRM says about itself and us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Id of the organisation; a stored cursor of another organisation is refused.
    pub organization_id: String,
    /// Our own user id there, for the echo fast path.
    pub user_id: String,
    /// The system's clock.
    pub server_time: Option<Timestamp>,
    /// API calls used and allowed in the running window, where the system tells.
    pub budget: Option<(u64, u64)>,
}

/// The daily quota of calls. A part of it is left to people and to other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Calls used in the running day: those of everybody where the CRM tells, else ours.
    pub used: u64,
    /// Calls that the day has.
    pub allowed: u64,
    /// Set while polling rests: until when. Then one call looks again, so the moment may have passed.
    pub polling_rests_until: Option<Timestamp>,
    /// Set while nothing at all is called: until when, as above.
    pub all_rests_until: Option<Timestamp>,
}

/// The live schema of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableSchema {
    /// Logical name of the table.
    pub table: String,
    /// Its fields.
    pub fields: Vec<FieldSchema>,
    /// Fields with a working unique key (alternate key, external id).
    pub keys: Vec<String>,
    /// Whether the change feed works on this table.
    pub tracks_changes: bool,
    /// First steps of dotted paths, to rows that a row points to and to rows below it; `None` where
    /// the CRM does not tell them all.
    #[serde(default)]
    pub related: Option<Vec<String>>,
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FieldSchema {
    /// Logical (API) name.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// One of `text`, `long_text`, `url`, `money`, `decimal`, `integer`, `boolean`, `date`,
    /// `instant`, `option`, `lookup`, `id`, `other`.
    pub kind: String,
    /// Longest text in characters.
    pub max_length: Option<u32>,
    /// Digits after the point.
    pub precision: Option<u32>,
    /// Settable on create.
    pub creatable: bool,
    /// Settable on update.
    pub updatable: bool,
    /// Must have a value.
    pub required: bool,
    /// Options as `(code, label)`.
    pub options: Vec<(String, String)>,
    /// Tables a lookup may point to.
    pub targets: Vec<String>,
}

/// An exact search in a table other than opportunity and lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Logical name of the table.
    pub table: String,
    /// Fields and the text they must equal, compared without case.
    pub equals: Vec<(String, String)>,
    /// Fields to return.
    pub fields: Vec<String>,
    /// Most rows to return.
    pub limit: usize,
}

/// A row of a table other than opportunity and lead.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its id.
    pub id: RecordId,
    /// The fields asked for.
    pub fields: Fields,
}

/// One page of a change feed.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangePage {
    /// Changed records, oldest first as far as the vendor orders them.
    pub changed: Vec<Record>,
    /// Ids of deleted records; may name records never seen.
    pub deleted: Vec<RecordId>,
    /// Where to go on. Opaque.
    pub cursor: String,
    /// Whether another page waits right now.
    pub more: bool,
}

/// What `provision` is to make in a CRM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// Opportunity or lead.
    pub kind: RecordKind,
    /// Publisher prefix, package prefix or empty.
    pub prefix: String,
    /// Name of the unmanaged solution or permission set to put things into.
    pub container: String,
    /// The fields.
    pub fields: Vec<WantedField>,
    /// Fields whose changes are worth a hint, for a CRM whose webhooks can be told.
    pub watched: Vec<String>,
}

/// A field that `provision` makes if it is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedField {
    /// Logical (API) name, as in the mapping file.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// `boolean`, `text`, `url`, `long_text` or `option`.
    pub kind: String,
    /// Longest text in characters.
    pub max_length: u32,
    /// Option labels, in order.
    pub options: Vec<String>,
    /// Whether it is to be a unique key.
    pub unique: bool,
    /// What sellers do with it, for a CRM whose forms can be changed.
    pub sellers: SellerAccess,
}

/// What sellers do with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SellerAccess {
    /// They fill it in.
    Edit,
    /// They look at it.
    Read,
    /// It is nothing to them.
    None,
}

/// One step of provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionStep {
    /// What, for people: `column pc_referralidentifier on opportunity`.
    pub what: String,
    /// `present`, `created`, `would create`, `waiting` or `advice`.
    pub outcome: String,
}

/// Something that [`Crm::examine`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What, as a sentence for people.
    pub what: String,
    /// What to do about it; `None` if all is well.
    pub fix: Option<String>,
    /// Whether the sync does not work without it.
    pub serious: bool,
}
