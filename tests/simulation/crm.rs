//! Both CRMs, as their references describe them, at the level of the trait.
//!
//! Dynamics 365: an etag for each version, a closing action, read-only closed rows, an alternate key.
//! Salesforce: stamps of whole seconds with the wait rule, a stage for every end, an external id that
//! need not be unique.

use async_trait::async_trait;
use cosell_sync::connect::crm::{
    ChangePage, Crm, Probe, Provision, ProvisionStep, Row as OtherRow, Search, TableSchema,
};
use cosell_sync::connect::error::{ConnectError, Refusal};
use cosell_sync::domain::deal::Target;
use cosell_sync::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use cosell_sync::domain::record::{Close, Fields, Record, Shape, Version};
use cosell_sync::domain::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::dice::Pause;
use crate::mutants::Bug;
use crate::tally::Mishap;
use crate::world::{Row, Shared, World, Write};

/// The fake of one CRM.
pub(crate) struct FakeCrm {
    pub(crate) world: Shared,
    pub(crate) name: CrmName,
}

/// Salesforce shows the changes of the last so many again.
const OVERLAP: usize = 3;

/// The write that turns a lead into an opportunity; it has an entry of its own kind in the trail.
pub(crate) const QUALIFY: &str = "qualify";

/// So many characters fit into a description.
const DESCRIPTION: usize = 24;

/// What the description of this Salesforce organisation holds of a text: it takes few characters,
/// and cuts what is longer. `None` if it takes all of it.
pub(crate) fn cut(text: &str) -> Option<String> {
    let longer = text.chars().count() > DESCRIPTION;
    longer.then(|| text.chars().take(DESCRIPTION).collect::<String>().trim_end().to_owned())
}

/// A record as the CRM answers it now.
pub(crate) fn shown(world: &World, crm: CrmName, id: &str) -> Option<Record> {
    let row = world.crms.get(&crm)?.rows.get(id).filter(|row| !row.deleted)?;
    let second = row.modified.div_euclid(1000);
    let proven = second < world.crm_now(crm).div_euclid(1000);
    let version = match crm {
        CrmName::Dynamics365 => format!("W/\"{}\"", row.version),
        CrmName::Salesforce if proven || world.has(Bug::NoWaitRule) => second.to_string(),
        CrmName::Salesforce => format!("{second}?"),
    };
    let modified = match crm {
        CrmName::Dynamics365 => row.modified,
        CrmName::Salesforce => second * 1000,
    };
    Some(Record {
        key: RecordKey { crm, kind: row.kind, id: RecordId::new(id) },
        version: Version(version),
        modified: Timestamp::from_millis(modified),
        fields: row.fields.clone(),
    })
}

pub(crate) fn key(world: &World, crm: CrmName, id: &str) -> RecordKey {
    RecordKey { crm, kind: world.kind_of(crm, id), id: RecordId::new(id) }
}

/// Puts fields into a row, with what the system derives from them.
pub(crate) fn put(world: &mut World, crm: CrmName, id: &str, fields: &Fields) {
    let now = world.crm_now(crm);
    let Some(state) = world.crms.get_mut(&crm) else { return };
    let Some(row) = state.rows.get_mut(id) else { return };
    row.fields.extend(fields.clone());
    if crm == CrmName::Salesforce
        && let Some(Json::String(text)) = row.fields.get_mut("Description")
        && let Some(short) = cut(text)
    {
        *text = short;
        world.journal.met.count(Mishap::TextCut);
    }
    if crm == CrmName::Salesforce && row.kind == RecordKind::Opportunity {
        let stage = row.fields.get("StageName").and_then(Json::as_str).unwrap_or("Qualification");
        let (won, closed) = (stage == "Closed Won", stage.starts_with("Closed"));
        row.fields.insert("IsWon".to_owned(), json!(won));
        row.fields.insert("IsClosed".to_owned(), json!(closed));
    }
    row.version += 1;
    row.modified = now.max(row.modified);
    state.log.push((now, id.to_owned(), false));
}

/// A new row, and its id.
pub(crate) fn insert(world: &mut World, crm: CrmName, kind: RecordKind, fields: &Fields) -> String {
    let number = world.next();
    let (id, unmapped) = match crm {
        CrmName::Dynamics365 => (format!("aaaaaaaa-2222-4333-8444-{number:012}"), "pc_unmapped"),
        CrmName::Salesforce => {
            let table = if kind == RecordKind::Lead { "00Q" } else { "006" };
            (format!("{table}{number:015}"), "Unmapped__c")
        }
    };
    let mut begun = Fields::new();
    if crm == CrmName::Dynamics365 {
        begun.insert("statecode".to_owned(), json!(0));
        begun.insert("statuscode".to_owned(), json!(1));
    } else if kind == RecordKind::Opportunity {
        begun.insert("StageName".to_owned(), json!("Qualification"));
    } else {
        begun.insert("Status".to_owned(), json!("Open - Not Contacted"));
        begun.insert("IsConverted".to_owned(), json!(false));
    }
    begun.insert(unmapped.to_owned(), json!(format!("keep-{number}")));
    let row = Row { kind, fields: begun, version: 0, modified: 0, deleted: false };
    world.crms.entry(crm).or_default().rows.insert(id.clone(), row);
    put(world, crm, &id, fields);
    id
}

/// A person deletes a row.
pub(crate) fn delete(world: &mut World, crm: CrmName, id: &str) {
    let now = world.crm_now(crm);
    let Some(state) = world.crms.get_mut(&crm) else { return };
    if let Some(row) = state.rows.get_mut(id) {
        row.deleted = true;
    }
    state.log.push((now, id.to_owned(), true));
}

/// A row that was hidden from us can be read again; no feed tells.
pub(crate) fn restore(world: &mut World, crm: CrmName, id: &str) {
    if let Some(row) = world.crms.get_mut(&crm).and_then(|state| state.rows.get_mut(id)) {
        row.deleted = false;
    }
}

/// Whether a row has ended and is read-only: in Dynamics 365 everything that is closed, in Salesforce
/// a converted lead.
pub(crate) fn is_sealed(crm: CrmName, fields: &Fields) -> bool {
    match crm {
        CrmName::Dynamics365 => {
            fields.get("statecode").and_then(Json::as_i64).is_some_and(|state| state != 0)
        }
        CrmName::Salesforce => fields.get("IsConverted") == Some(&json!(true)),
    }
}

/// A lead becomes an opportunity, by its seller or by us; its id. What the CRM copies is what its
/// vendor copies: a Salesforce lead hands on its company, and begins with a date of its own.
pub(crate) fn turn(world: &mut World, crm: CrmName, lead: &str) -> String {
    let of_lead = world.crms[&crm].rows[lead].fields.clone();
    let mut fields = Fields::new();
    let copied: &[(&str, &str)] = match crm {
        CrmName::Dynamics365 => &[
            ("subject", "name"),
            ("description", "description"),
            ("estimatedclosedate", "estimatedclosedate"),
            ("estimatedamount", "estimatedvalue"),
            ("transactioncurrencyid.isocurrencycode", "transactioncurrencyid.isocurrencycode"),
        ],
        CrmName::Salesforce => &[("Company", "Name")],
    };
    for (from, to) in copied {
        if let Some(value) = of_lead.get(*from) {
            fields.insert((*to).to_owned(), value.clone());
        }
    }
    let over = match crm {
        CrmName::Dynamics365 => json!({ "statecode": 1, "statuscode": 3 }),
        CrmName::Salesforce => {
            fields.insert("StageName".to_owned(), json!("Prospecting"));
            fields.insert("CloseDate".to_owned(), json!("2026-12-31"));
            json!({ "Status": "Closed - Converted", "IsConverted": true })
        }
    };
    let id = insert(world, crm, RecordKind::Opportunity, &fields);
    if let Json::Object(over) = over {
        put(world, crm, lead, &over);
    }
    let state = world.crms.entry(crm).or_default();
    state.turned.insert(lead.to_owned(), id.clone());
    id
}

fn refused(code: &str) -> ConnectError {
    ConnectError::Rejected(Refusal {
        status: 400,
        code: code.to_owned(),
        message: code.replace('_', " "),
        ..Refusal::default()
    })
}

impl FakeCrm {
    fn with_referral(
        &self,
        world: &World,
        kind: RecordKind,
        referral_id: &str,
        shape: &Shape,
    ) -> Vec<Record> {
        let Some(state) = world.crms.get(&self.name) else { return Vec::new() };
        let carries = |row: &Row| {
            !row.deleted
                && row.kind == kind
                && row.fields.get(&shape.referral_field).and_then(Json::as_str) == Some(referral_id)
        };
        let ids = state.rows.iter().filter(|(_, row)| carries(row)).map(|(id, _)| id.as_str());
        ids.filter_map(|id| shown(world, self.name, id)).collect()
    }

    /// The wait rule: a stamp of the running second proves nothing. It is waited for and the record
    /// is read once more.
    async fn prove(&self, record: &Record, expect: &Version) -> Result<Version, ConnectError> {
        let Some(second) = expect.0.strip_suffix('?') else { return Ok(expect.clone()) };
        let second: i64 = second.parse().unwrap_or(0);
        {
            let mut world = self.world.lock();
            let skew = world.crm_now(self.name) - world.now;
            world.met(Mishap::RunningSecond);
            world.now = world.now.max((second + 1) * 1000 + 100 - skew);
        }
        Pause::default().await;
        let world = self.world.lock();
        let again = shown(&world, self.name, record.key.id.as_str());
        match again {
            Some(again)
                if again.fields == record.fields && again.version.0 == second.to_string() =>
            {
                Ok(again.version)
            }
            _ => Err(ConnectError::Stale),
        }
    }

    /// One conditional write that takes effect, or the refusal.
    fn write(
        &self,
        world: &mut World,
        record: &Record,
        expect: &Version,
        fields: &Fields,
        token: Option<&String>,
        what: &str,
    ) -> Result<Record, ConnectError> {
        let id = record.key.id.as_str();
        let Some(now) = shown(world, self.name, id) else {
            return Err(ConnectError::NotFound(Refusal::default()));
        };
        let lax = world.has(Bug::CrmIgnoresVersion);
        if !lax && now.version.0.trim_end_matches('?') != expect.0 {
            world.met(Mishap::Overtaken);
            return Err(ConnectError::Stale);
        }
        let same_end = fields.get("statecode").is_some()
            && fields.get("statecode") == now.fields.get("statecode");
        if what == "close" && is_sealed(self.name, &now.fields) && same_end {
            return Ok(now);
        }
        if is_sealed(self.name, &now.fields) {
            // The version is the one that was read, and the wait rule proves stamps of whole seconds: the
            // row has not changed since, so that whoever planned this saw it closed.
            world.broken("closed", format!("{id} is closed and was written"));
            return Err(refused("row_is_closed"));
        }
        let mut fields = fields.clone();
        if world.has(Bug::NoSyncToken)
            && let Some(token) = token
        {
            fields.remove(token);
        }
        let bookkeeping = self.bookkeeping(world, id);
        for (name, value) in &fields {
            let same = now.fields.get(name).unwrap_or(&Json::Null) == value;
            if same && !bookkeeping.contains(name) && what != "close" {
                world.broken("I12", format!("{name} of {id} was written with the value it had"));
            }
        }
        world.note(format!("write {} {id} {what} {}", self.name, Json::Object(fields.clone())));
        put(world, self.name, id, &fields);
        world.journal.writes.push(Write {
            target: Target::Crm(self.name),
            object: id.to_owned(),
            what: format!("{what} {:?}", fields.keys().collect::<Vec<_>>()),
        });
        let held = shown(world, self.name, id).ok_or(ConnectError::NotFound(Refusal::default()));
        match held {
            Ok(mut record) if world.has(Bug::AnswerShowsWhatWasSent) => {
                record.fields.extend(fields);
                Ok(record)
            }
            held => held,
        }
    }

    /// Fields that go with every write, and that may be written as they are.
    fn bookkeeping(&self, world: &World, id: &str) -> Vec<String> {
        let control = world.mapping_of(self.name, id).control();
        let mut names = vec![control.sync.clone()];
        names.extend(control.token.clone());
        names.extend(control.status.clone());
        names.extend(["StageName", "statuscode", "Status", "statecode"].map(str::to_owned));
        names
    }

    fn page(
        &self,
        world: &World,
        kind: RecordKind,
        cursor: Option<&str>,
    ) -> Result<ChangePage, ConnectError> {
        let Some(state) = world.crms.get(&self.name) else {
            return Err(ConnectError::CursorExpired);
        };
        let (issued, from) = cursor.and_then(|cursor| cursor.split_once(':')).unwrap_or(("", "0"));
        let from: usize = from.parse().unwrap_or(0);
        let expired = cursor.is_some() && issued != state.epoch.to_string();
        let from = match expired {
            true if world.has(Bug::ExpiredMeansNow) => state.log.len(),
            true => return Err(ConnectError::CursorExpired),
            false => from,
        };
        // A stamp of the running second is not covered yet.
        let second = world.crm_now(self.name).div_euclid(1000);
        let ready = |at: i64| self.name == CrmName::Dynamics365 || at.div_euclid(1000) < second;
        let covered = state.log.iter().take_while(|(at, _, _)| ready(*at)).count().max(from);
        let back = if self.name == CrmName::Salesforce { OVERLAP } else { 0 };
        let covered = covered.min(from + 5);
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        for (_, id, gone) in &state.log[from.saturating_sub(back).min(covered)..covered] {
            if world.kind_of(self.name, id) != kind {
                continue;
            }
            match shown(world, self.name, id) {
                Some(record) if !changed.contains(&record) => changed.push(record),
                None if *gone => deleted.push(RecordId::new(id.as_str())),
                _ => {}
            }
        }
        let more = state.log.get(covered).is_some_and(|(at, _, _)| ready(*at));
        Ok(ChangePage { changed, deleted, cursor: format!("{}:{covered}", state.epoch), more })
    }
}

#[async_trait]
impl Crm for FakeCrm {
    fn name(&self) -> CrmName {
        self.name
    }

    async fn probe(&self) -> Result<Probe, ConnectError> {
        Err(ConnectError::Broken("not used here".to_owned()))
    }

    async fn describe(&self, _kind: RecordKind) -> Result<TableSchema, ConnectError> {
        Err(ConnectError::Broken("not used here".to_owned()))
    }

    async fn fetch(
        &self,
        kind: RecordKind,
        id: &RecordId,
        _shape: &Shape,
    ) -> Result<Option<Record>, ConnectError> {
        let outcome = self.world.begin("fetch", false).await?;
        self.world.healthy(id.as_str())?;
        let found = shown(&self.world.lock(), self.name, id.as_str());
        let found = found.filter(|record| record.key.kind == kind);
        self.world.end(outcome, found).await
    }

    async fn find_by_referral(
        &self,
        kind: RecordKind,
        referral_id: &str,
        shape: &Shape,
    ) -> Result<Vec<Record>, ConnectError> {
        let outcome = self.world.begin("find", false).await?;
        let found = {
            let world = self.world.lock();
            if world.has(Bug::NoUniqueKey) {
                Vec::new()
            } else {
                self.with_referral(&world, kind, referral_id, shape)
            }
        };
        self.world.end(outcome, found).await
    }

    async fn search(&self, search: &Search) -> Result<Vec<OtherRow>, ConnectError> {
        let outcome = self.world.begin("search", false).await?;
        let found = {
            let world = self.world.lock();
            let others = world.crms.get(&self.name).map(|state| &state.others);
            let fits = |fields: &Fields| {
                search.equals.iter().all(|(name, wanted)| {
                    let held = fields.get(name).and_then(Json::as_str).unwrap_or_default();
                    held.eq_ignore_ascii_case(wanted)
                })
            };
            others
                .into_iter()
                .flatten()
                .filter(|(_, (table, fields))| *table == search.table && fits(fields))
                .map(|(id, (_, fields))| OtherRow {
                    id: RecordId::new(id.as_str()),
                    fields: fields.clone(),
                })
                .collect()
        };
        self.world.end(outcome, found).await
    }

    async fn create_row(&self, table: &str, fields: &Fields) -> Result<RecordId, ConnectError> {
        let outcome = self.world.begin("create row", true).await?;
        let id = {
            let mut world = self.world.lock();
            let number = world.next();
            let id = format!("bbbbbbbb-2222-4333-8444-{number:012}");
            let row = (table.to_owned(), fields.clone());
            world.crms.entry(self.name).or_default().others.insert(id.clone(), row);
            RecordId::new(id)
        };
        self.world.end(outcome, id).await
    }

    async fn create(
        &self,
        kind: RecordKind,
        referral_id: &str,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        let _under_way = self.world.write_begins(referral_id);
        let outcome = self.world.begin("create", true).await?;
        let record = {
            let mut world = self.world.lock();
            let unique = !world.has(Bug::NoUniqueKey);
            match self.with_referral(&world, kind, referral_id, shape).as_slice() {
                [] => {}
                [one] if unique => {
                    return Err(ConnectError::Exists(Refusal {
                        message: one.key.id.to_string(),
                        ..Refusal::default()
                    }));
                }
                several if unique => {
                    let ids = several.iter().map(|record| record.key.id.to_string()).collect();
                    return Err(ConnectError::Ambiguous(ids));
                }
                _ => {}
            }
            let mut fields = fields.clone();
            fields.insert(shape.referral_field.clone(), json!(referral_id));
            let id = insert(&mut world, self.name, kind, &fields);
            world.note(format!("write {} create {id} for {referral_id}", self.name));
            let made = (self.name, kind, referral_id.to_owned(), id.clone());
            world.journal.created.push(made);
            world.journal.writes.push(Write {
                target: Target::Crm(self.name),
                object: id.clone(),
                what: "create".to_owned(),
            });
            shown(&world, self.name, &id).ok_or(ConnectError::NotFound(Refusal::default()))?
        };
        self.world.end(outcome, record).await
    }

    async fn update(
        &self,
        record: &Record,
        expect: &Version,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        let _under_way = self.world.write_begins(record.key.id.as_str());
        let outcome = self.world.begin("update", true).await?;
        self.world.healthy(record.key.id.as_str())?;
        let expect = self.prove(record, expect).await?;
        let token = shape.token_field.as_ref();
        let written =
            self.write(&mut self.world.lock(), record, &expect, fields, token, "update")?;
        if self.name == CrmName::Dynamics365 || self.world.lock().has(Bug::AnswerShowsWhatWasSent) {
            return self.world.end(outcome, written).await;
        }
        // Salesforce answers a write with nothing: the record is read back, and somebody may have
        // edited it in between.
        self.world.moment().await;
        let read = shown(&self.world.lock(), self.name, record.key.id.as_str());
        let Some(read) = read else {
            self.world.lock().journal.lost_answers += 1;
            return Err(ConnectError::Unknown("could not be read back".to_owned()));
        };
        self.world.end(outcome, read).await
    }

    async fn close(
        &self,
        record: &Record,
        expect: &Version,
        close: &Close,
        fields: &Fields,
        shape: &Shape,
    ) -> Result<Record, ConnectError> {
        if self.name == CrmName::Salesforce {
            return self.update(record, expect, fields, shape).await;
        }
        let _under_way = self.world.write_begins(record.key.id.as_str());
        let outcome = self.world.begin("close", true).await?;
        let closed = {
            let mut world = self.world.lock();
            let mut fields = fields.clone();
            fields.insert("statecode".to_owned(), json!(if close.won { 1 } else { 2 }));
            fields.insert("statuscode".to_owned(), json!(close.status));
            self.write(&mut world, record, expect, &fields, shape.token_field.as_ref(), "close")?
        };
        self.world.end(outcome, closed).await
    }

    async fn qualify(
        &self,
        lead: &Record,
        _status: &str,
        _shape: &Shape,
    ) -> Result<Option<RecordId>, ConnectError> {
        let _under_way = self.world.write_begins(lead.key.id.as_str());
        let outcome = self.world.begin("qualify", true).await?;
        let opportunity = {
            let mut world = self.world.lock();
            let id = lead.key.id.as_str();
            let Some(now) = shown(&world, self.name, id) else {
                return Err(ConnectError::NotFound(Refusal::default()));
            };
            match world.crms[&self.name].turned.get(id).cloned() {
                Some(there) => there,
                None if is_sealed(self.name, &now.fields) => return Err(refused("row_is_closed")),
                None => {
                    let made = turn(&mut world, self.name, id);
                    world.note(format!("write {} qualify {id} to {made}", self.name));
                    world.journal.writes.push(Write {
                        target: Target::Crm(self.name),
                        object: id.to_owned(),
                        what: QUALIFY.to_owned(),
                    });
                    made
                }
            }
        };
        self.world.end(outcome, Some(RecordId::new(opportunity))).await
    }

    async fn changes(
        &self,
        kind: RecordKind,
        cursor: Option<&str>,
        _shape: &Shape,
    ) -> Result<ChangePage, ConnectError> {
        let outcome = self.world.begin("changes", false).await?;
        let page = self.page(&self.world.lock(), kind, cursor);
        if matches!(page, Err(ConnectError::CursorExpired)) {
            self.world.lock().met(Mishap::CursorExpired);
        }
        let page = page?;
        self.world.end(outcome, page).await
    }

    async fn provision(
        &self,
        _wanted: &Provision,
        _dry_run: bool,
    ) -> Result<Vec<ProvisionStep>, ConnectError> {
        Ok(Vec::new())
    }

    fn record_url(&self, _kind: RecordKind, id: &RecordId) -> String {
        format!("https://crm.example/{id}")
    }
}
