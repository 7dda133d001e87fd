//! Writes, each conditional by itself, with the proof of what the record holds afterwards in the
//! same call. Writes that wait at the same time share a composite call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};

use super::client::{Client, Moment, Request};
use super::combine::Batch;
use super::lists;
use super::query::{Read, read_batch};
use super::settings::Settings;
use super::soql;
use super::wire::{self, Failure};
use crate::connect::error::ConnectError;
use crate::connect::http::Purpose;
use crate::domain::time::Timestamp;

/// Most parts of a composite call.
const MOST_PARTS: usize = 25;
/// Most queries among them.
const MOST_QUERIES: usize = 5;

/// One write.
#[derive(Debug, Clone)]
pub(super) struct Write {
    /// `PATCH`, or `POST` for a row that must be new.
    pub(super) method: &'static str,
    /// The row's address, or that of its table.
    pub(super) path: String,
    /// `If-Unmodified-Since`, for a row that must not have changed.
    pub(super) unmodified_since: Option<String>,
    /// The fields.
    pub(super) body: Map<String, Json>,
    /// How to read it back.
    pub(super) proof: Read,
}

/// What became of a write that was carried out.
#[derive(Debug)]
pub(super) struct Written {
    /// 200, 201 or 204, or 300 for a key that several rows carry.
    pub(super) status: u16,
    /// The answer to the write itself.
    pub(super) body: Json,
    /// The rows as they are now.
    pub(super) rows: Vec<Json>,
    /// When.
    pub(super) moment: Moment,
}

/// Headers of every write: no assignment rule may move the record to another owner, and a duplicate
/// rule that only alerts is passed over if the settings say so.
pub(super) fn headers(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut headers = vec![("sforce-auto-assign", "FALSE".to_owned())];
    if settings.duplicate_rule_allow_save {
        headers.push(("sforce-duplicate-rule-header", "allowSave=true".to_owned()));
    }
    headers
}

/// Combines writes into composite calls.
pub(super) struct WriteBatch {
    client: Arc<Client>,
}

impl WriteBatch {
    /// With the calls of `client`.
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    /// Sends writes in one call. What a session that ended within the call left undone is sent once
    /// more with a new one: the parts that it refused were not carried out.
    async fn send(
        &self,
        writes: &[Write],
    ) -> Result<Vec<Result<Written, ConnectError>>, ConnectError> {
        let (mut answer, moment) = self.call(writes).await?;
        if !session_ended(&answer) {
            return Ok(self.outcomes(writes, answer, moment).await);
        }
        self.client.forget_session().await;
        let refused = |(at, _): &(usize, Write)| {
            let part = part_of(&answer, &format!("write{at}"));
            part.is_some_and(|(status, body)| is_session_error(status, body))
        };
        let (places, undone): (Vec<usize>, Vec<Write>) =
            writes.iter().cloned().enumerate().filter(refused).unzip();
        let repeated = self.repeat(&undone).await;
        self.read_back(&mut answer, writes).await;
        let mut all = self.outcomes(writes, answer, moment).await;
        for (at, again) in places.into_iter().zip(repeated) {
            if let Some(one) = all.get_mut(at) {
                *one = again;
            }
        }
        Ok(all)
    }

    /// Sends writes, and whatever becomes of them is the answer to each.
    async fn repeat(&self, writes: &[Write]) -> Vec<Result<Written, ConnectError>> {
        if writes.is_empty() {
            return Vec::new();
        }
        match self.call(writes).await {
            Ok((answer, moment)) => self.outcomes(writes, answer, moment).await,
            Err(error) => writes.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// What an answer says of each write.
    async fn outcomes(
        &self,
        writes: &[Write],
        mut answer: Json,
        moment: Moment,
    ) -> Vec<Result<Written, ConnectError>> {
        self.complete(&mut answer).await;
        let groups = groups(writes.iter().map(|write| &write.proof));
        let answers = Answers { parts: &answer, moment, data_path: self.client.data("/") };
        writes.iter().enumerate().map(|(at, write)| answers.of(at, write, &groups)).collect()
    }

    /// Reads back with a new session what one that ended could not, for writes that were carried out.
    async fn read_back(&self, answer: &mut Json, writes: &[Write]) {
        let groups = groups(writes.iter().map(|write| &write.proof));
        for (at, group) in groups.iter().enumerate() {
            let name = format!("proof{at}");
            let refused =
                part_of(answer, &name).is_some_and(|(status, body)| is_session_error(status, body));
            let is_done = |(at, write): (usize, &Write)| {
                let part = part_of(answer, &format!("write{at}"));
                group.first().is_some_and(|one| one.goes_with(&write.proof))
                    && part.is_some_and(|(status, _)| is_done(status))
            };
            if !refused || !writes.iter().enumerate().any(is_done) {
                continue;
            }
            let soql = Read::soql(group).unwrap_or_default();
            // Without an answer the writes stay unknown, and are read before anything else.
            let Ok((rows, _)) = self.client.query(&soql).await else { continue };
            let parts = answer.get_mut("compositeResponse").and_then(Json::as_array_mut);
            let mut parts = parts.into_iter().flatten();
            if let Some(part) = parts.find(|part| is_named(part, &name)) {
                part["httpStatusCode"] = json!(200);
                part["body"] = json!({ "totalSize": rows.len(), "done": true, "records": rows });
            }
        }
    }

    /// One composite call.
    async fn call(&self, writes: &[Write]) -> Result<(Json, Moment), ConnectError> {
        let groups = groups(writes.iter().map(|write| &write.proof));
        let mut parts: Vec<Json> =
            writes.iter().enumerate().map(|(at, write)| self.part(at, write)).collect();
        for (at, group) in groups.iter().enumerate() {
            let soql = Read::soql(group).unwrap_or_default();
            parts.push(json!({
                "method": "GET",
                "url": soql::path(&self.client.data(""), "query", &soql),
                "referenceId": format!("proof{at}"),
            }));
        }
        let body = json!({
            "allOrNone": false,
            "collateSubrequests": false,
            "compositeRequest": parts,
        });
        let mut request = Request::write("POST", self.client.data("/composite"), body);
        for (name, value) in headers(self.client.settings()) {
            request = request.header(name, value);
        }
        self.client.json(&request).await
    }

    /// Completes the lists of the records that were read back. What was written is written, whatever
    /// becomes of these reads: a list that cannot be read to its end stays open, and only the write of
    /// its own record has an outcome that is not known.
    async fn complete(&self, answer: &mut Json) {
        let parts = answer.get_mut("compositeResponse").and_then(Json::as_array_mut);
        for part in parts.into_iter().flatten() {
            let rows = part.pointer_mut("/body/records").and_then(Json::as_array_mut);
            for row in rows.into_iter().flatten() {
                let _ = self.client.complete_lists(std::slice::from_mut(row)).await;
            }
        }
    }

    fn part(&self, at: usize, write: &Write) -> Json {
        let mut inner = Map::new();
        for (name, value) in headers(self.client.settings()) {
            inner.insert(canonical(name), Json::String(value));
        }
        let client = format!("client={}", self.client.settings().client_name);
        inner.insert("Sforce-Call-Options".to_owned(), Json::String(client));
        if let Some(date) = &write.unmodified_since {
            inner.insert("If-Unmodified-Since".to_owned(), Json::String(date.clone()));
        }
        json!({
            "method": write.method,
            "url": write.path,
            "referenceId": format!("write{at}"),
            "httpHeaders": inner,
            "body": write.body,
        })
    }
}

/// `sforce-auto-assign` as `Sforce-Auto-Assign`: header names inside a composite are JSON.
fn canonical(name: &str) -> String {
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + letters.as_str()
        })
    };
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}

/// Proofs that one query can give, in the order of their first.
fn groups<'a>(proofs: impl Iterator<Item = &'a Read>) -> Vec<Vec<&'a Read>> {
    let mut groups: Vec<Vec<&Read>> = Vec::new();
    for proof in proofs {
        match groups.iter_mut().find(|group| group.first().is_some_and(|one| one.goes_with(proof)))
        {
            Some(group) => group.push(proof),
            None => groups.push(vec![proof]),
        }
    }
    groups
}

/// The answer of a composite call, taken apart by reference id and never by position.
struct Answers<'a> {
    parts: &'a Json,
    moment: Moment,
    data_path: String,
}

impl Answers<'_> {
    fn of(&self, at: usize, write: &Write, groups: &[Vec<&Read>]) -> Result<Written, ConnectError> {
        let Some((status, body)) = part_of(self.parts, &format!("write{at}")) else {
            return Err(ConnectError::Unknown("a part of the answer is missing".to_owned()));
        };
        if !is_done(status) {
            let errors = wire::errors(body);
            let purpose = Purpose::Write;
            return Err(
                Failure { purpose, status, errors, quota_left: None, retry_after: None }.class()
            );
        }
        let group = groups
            .iter()
            .position(|group| group.first().is_some_and(|one| one.goes_with(&write.proof)));
        let rows = group
            .and_then(|group| part_of(self.parts, &format!("proof{group}")))
            .filter(|(status, _)| *status == 200)
            .and_then(|(_, body)| read_batch(body.clone(), self.moment, &self.data_path).ok());
        let rows = rows.map(|batch| (write.proof.rows(&batch.rows), batch.next.is_some()));
        // A proof that was cut short says nothing of the rows it does not show.
        let shows = |(rows, is_cut): &(Vec<Json>, bool)| {
            !(*is_cut && rows.is_empty() || rows.iter().any(lists::is_open))
        };
        match rows.filter(shows) {
            Some((rows, _)) => {
                Ok(Written { status, body: body.clone(), rows, moment: self.moment })
            }
            None => Err(ConnectError::Unknown("written, but it could not be read back".to_owned())),
        }
    }
}

/// One part of the answer of a composite call: its status and body.
fn part_of<'a>(answer: &'a Json, name: &str) -> Option<(u16, &'a Json)> {
    static NULL: Json = Json::Null;
    let mut parts = answer.get("compositeResponse")?.as_array()?.iter();
    let part = parts.find(|part| is_named(part, name))?;
    let status = part.get("httpStatusCode").and_then(Json::as_u64)?;
    Some((u16::try_from(status).ok()?, part.get("body").unwrap_or(&NULL)))
}

fn is_named(part: &Json, name: &str) -> bool {
    part.get("referenceId").and_then(Json::as_str) == Some(name)
}

/// Whether a write was carried out; 300 is a key that several rows carry, which says so by itself.
fn is_done(status: u16) -> bool {
    (200..=300).contains(&status)
}

/// Whether a session ended between two parts of a composite call. The call itself then is a success.
fn session_ended(answer: &Json) -> bool {
    let parts = answer.get("compositeResponse").and_then(Json::as_array);
    parts.into_iter().flatten().any(|part| {
        let status = part.get("httpStatusCode").and_then(Json::as_u64).unwrap_or_default();
        let status = u16::try_from(status).unwrap_or_default();
        is_session_error(status, part.get("body").unwrap_or(&Json::Null))
    })
}

fn is_session_error(status: u16, body: &Json) -> bool {
    status == 401
        || (!is_done(status)
            && wire::errors(body).iter().any(|error| error.code == "INVALID_SESSION_ID"))
}

#[async_trait]
impl Batch for WriteBatch {
    type Question = Write;
    type Answer = Written;
    const FULL: usize = MOST_PARTS - 1;
    const FLIGHTS: usize = 4;

    fn fits(&self, taken: &[Write], next: &Write) -> bool {
        let proofs = taken.iter().map(|write| &write.proof).chain([&next.proof]);
        let queries = groups(proofs).len();
        queries <= MOST_QUERIES && taken.len() + 1 + queries <= MOST_PARTS
    }

    async fn run(&self, questions: &[Write]) -> Vec<Result<Written, ConnectError>> {
        match self.send(questions).await {
            Ok(answers) => answers,
            // One part can make the whole call unreadable: then nothing was done, and each goes
            // alone, so that a poisoned deal does not hold up the others.
            Err(ConnectError::Rejected(_)) if questions.len() > 1 => {
                let mut answers = Vec::new();
                for write in questions {
                    let alone = self.send(std::slice::from_ref(write)).await;
                    answers.push(
                        alone.and_then(|mut one| one.pop().unwrap_or_else(|| Err(Self::lost()))),
                    );
                }
                answers
            }
            Err(error) => questions.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn now(&self) -> Timestamp {
        self.client.now()
    }

    async fn gather(&self, wait: Duration) {
        self.client.gather(wait).await;
    }

    fn lost() -> ConnectError {
        ConnectError::Unknown("the write was given up".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn header_names_in_json_are_spelled_as_documented() {
        assert_eq!(canonical("sforce-auto-assign"), "Sforce-Auto-Assign");
    }
}
