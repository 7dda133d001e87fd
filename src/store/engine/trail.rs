//! The audit trail: numbered without gaps, each entry chained to the one before.
//!
//! What may hold personal data (summary, cause, field values) goes into the chain only as a digest,
//! salted so that it cannot be guessed back, and can be erased without breaking the chain.

use ring::rand::{SystemRandom, generate};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keys::{self, Key, Table};
use super::{Rows, Work, codec};
use crate::domain::audit::{AuditEntry, AuditKind, FieldChange, NewEntry};
use crate::domain::digest::sha256;
use crate::domain::id::{AccountName, DealId};
use crate::domain::time::Timestamp;
use crate::store::{AuditQuery, StoreError};

/// What the first entry is chained to.
pub(crate) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What stands in place of an erased summary.
const ERASED: &str = "[erased]";

/// An entry as it is kept. The two parts are kept as the text that was hashed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Its number.
    pub(crate) number: u64,
    /// Its hash.
    pub(crate) hash: String,
    /// The [`Plain`] part, which stays for ever.
    pub(crate) plain: Box<RawValue>,
    /// Digest of the salted [`Personal`] part.
    pub(crate) digest: String,
    /// The [`Personal`] part and its salt; `None` once erased.
    pub(crate) personal: Option<Salted>,
    /// The number of the entry that recorded the erasure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) erased_by: Option<u64>,
}

/// A [`Personal`] part with what keeps its digest from being guessed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Salted {
    /// 128 random bits in hex.
    salt: String,
    /// The part.
    part: Box<RawValue>,
}

/// The part of an entry that stays for ever.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plain {
    at: Timestamp,
    account: AccountName,
    pub(crate) deal: Option<DealId>,
    pub(crate) kind: AuditKind,
    actor: String,
    request_ids: Vec<String>,
    duration_ms: Option<u64>,
}

/// The part of an entry that may be erased.
#[derive(Debug, Serialize, Deserialize)]
struct Personal {
    summary: String,
    cause: Option<String>,
    fields: Vec<FieldChange>,
}

/// Number and hash of the last entry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) hash: String,
}

/// Adds an entry and returns its number.
pub(crate) fn append(work: &mut Work<'_>, entry: NewEntry) -> Result<u64, StoreError> {
    let last = head(work.rows())?;
    let number = last.number + 1;
    let deal = entry.deal.clone();
    let (plain, personal) = take_apart(entry)?;
    let salt = generate::<[u8; 16]>(&SystemRandom::new());
    let salt = salt.map_err(|_| StoreError::Failed("the system has no randomness".to_owned()))?;
    let salt = salt.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let personal = Salted { salt, part: personal };
    let digest = personal.digest();
    let hash = chained(&last.hash, number, &plain, &digest);
    work.put(keys::meta("trail"), &Head { number, hash: hash.clone() })?;
    if let Some(deal) = deal {
        work.put(of_deal(&deal).number(number).bytes(), &())?;
    }
    let kept = Kept { number, hash, plain, digest, personal: Some(personal), erased_by: None };
    put(work, &kept)?;
    Ok(number)
}

/// Stores an entry.
pub(crate) fn put(work: &mut Work<'_>, kept: &Kept) -> Result<(), StoreError> {
    work.put(keys::numbered(Table::Trail, kept.number), kept)
}

/// Number and hash of the last entry.
pub(crate) fn head(rows: &dyn Rows) -> Result<Head, StoreError> {
    let head = rows.load(&keys::meta("trail"))?;
    Ok(head.unwrap_or_else(|| Head { number: 0, hash: GENESIS.to_owned() }))
}

/// The hash of an entry: SHA-256 over the previous hash and the entry's text.
pub(crate) fn chained(previous: &str, number: u64, plain: &RawValue, digest: &str) -> String {
    let plain = plain.get();
    sha256(
        format!(r#"{previous}{{"number":{number},"plain":{plain},"digest":"{digest}"}}"#)
            .as_bytes(),
    )
}

impl Salted {
    /// The digest that goes into the chain.
    pub(crate) fn digest(&self) -> String {
        sha256(format!("{}{}", self.salt, self.part.get()).as_bytes())
    }
}

impl Kept {
    /// The part that stays.
    pub(crate) fn plain(&self) -> Result<Plain, StoreError> {
        serde_json::from_str(self.plain.get()).map_err(|_| unreadable(self.number))
    }

    /// The entry as it is shown.
    fn entry(self) -> Result<AuditEntry, StoreError> {
        let plain = self.plain()?;
        let personal = match &self.personal {
            Some(salted) => {
                serde_json::from_str(salted.part.get()).map_err(|_| unreadable(self.number))?
            }
            None => Personal { summary: ERASED.to_owned(), cause: None, fields: Vec::new() },
        };
        let entry = NewEntry {
            at: plain.at,
            account: plain.account,
            deal: plain.deal,
            kind: plain.kind,
            actor: plain.actor,
            summary: personal.summary,
            cause: personal.cause,
            fields: personal.fields,
            request_ids: plain.request_ids,
            duration_ms: plain.duration_ms,
        };
        Ok(AuditEntry { number: self.number, hash: self.hash, entry })
    }
}

/// The texts of both parts of an entry.
fn take_apart(entry: NewEntry) -> Result<(Box<RawValue>, Box<RawValue>), StoreError> {
    let plain = Plain {
        at: entry.at,
        account: entry.account,
        deal: entry.deal,
        kind: entry.kind,
        actor: entry.actor,
        request_ids: entry.request_ids,
        duration_ms: entry.duration_ms,
    };
    let personal = Personal { summary: entry.summary, cause: entry.cause, fields: entry.fields };
    Ok((raw(&plain)?, raw(&personal)?))
}

fn raw<T: Serialize>(part: &T) -> Result<Box<RawValue>, StoreError> {
    serde_json::value::to_raw_value(part)
        .map_err(|_| StoreError::Damaged("a new audit entry".to_owned()))
}

fn unreadable(number: u64) -> StoreError {
    StoreError::Damaged(format!("audit entry {number} cannot be read"))
}

/// The key prefix of the entries about a deal.
pub(crate) fn of_deal(deal: &DealId) -> Key {
    Key::of(Table::TrailOfDeal).text(deal.as_str())
}

/// Entries that answer `query`, newest first.
pub(crate) fn find(rows: &dyn Rows, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
    let series = query.deal.as_ref().map_or_else(|| Key::of(Table::Trail), of_deal);
    let from = series.clone().bytes();
    let until =
        query.before.map_or_else(|| keys::end_of(&from), |before| series.number(before).bytes());
    let mut found = Vec::new();
    for row in rows.range(&from, &until, true) {
        if found.len() >= query.limit {
            break;
        }
        let (key, value) = row?;
        let kept = match &query.deal {
            Some(_) => rows.load(&keys::numbered(Table::Trail, keys::last_number(&key)))?,
            None => Some(codec::decode::<Kept>(&value)?),
        };
        let Some(entry) = kept.map(Kept::entry).transpose()? else { continue };
        if answers(query, &entry.entry) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Whether an entry is asked for.
fn answers(query: &AuditQuery, entry: &NewEntry) -> bool {
    query.account.as_ref().is_none_or(|account| entry.account == *account)
        && query.kind.is_none_or(|kind| entry.kind == kind)
        && query.from.is_none_or(|from| entry.at >= from)
        && query.until.is_none_or(|until| entry.at < until)
}
