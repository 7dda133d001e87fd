//! Reading, making and changing referrals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use serde_json::{Value as Json, json};
use url::Url;

use super::client::Client;
use super::registration::is_registration_path;
use super::settings::Family;
use super::wire::{self, Page};
use crate::connect::error::{ConnectError, Refusal};
use crate::connect::http::address::encode;
use crate::connect::http::{Answer, Call, Purpose};
use crate::domain::id::{EngagementId, ReferralId};
use crate::domain::record::{Fields, Version};
use crate::domain::referral::{Referral, is_patchable};
use crate::domain::time::Timestamp;

impl Client {
    /// Reads one referral; `None` on 404.
    pub(super) async fn read_referral(
        &self,
        id: &ReferralId,
    ) -> Result<Option<Referral>, ConnectError> {
        let url = self.referral_url(id)?;
        let answer = self
            .exchange(Family::Referrals, Purpose::Read, || Call::read("GET", url.clone()))
            .await;
        match answer {
            Err(ConnectError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
            Ok(answer) => Ok(Some(self.same(id, wire::parse(&answer.body)?)?)),
        }
    }

    /// Reads one page by its query, with the answer it came in.
    pub(super) async fn read_page(&self, query: &str) -> Result<(Page, Answer), ConnectError> {
        let mut url = self.referrals_url("referrals")?;
        url.set_query(Some(query));
        let answer = self
            .exchange(Family::Referrals, Purpose::Read, || Call::read("GET", url.clone()))
            .await?;
        let mut origins = vec![self.settings.referrals_url.clone()];
        // A stand-in for the service may still name the real one in its links.
        origins.extend(Url::parse(&self.settings.referrals_audience));
        let page = wire::page(&origins, &answer.body)?;
        Ok((page, answer))
    }

    /// Reads all pages from `query` on, until `enough` says so of a page.
    async fn read_all(
        &self,
        query: String,
        enough: impl Fn(&[Referral]) -> bool + Send,
    ) -> Result<Vec<Referral>, ConnectError> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(query);
        while let Some(query) = next {
            if seen.len() >= self.settings.page_cap as usize {
                return Err(broken("more pages than any list can have"));
            }
            let (page, _) = self.read_page(&query).await?;
            seen.insert(query);
            // Whoever looks for a referral must not take a list with a hole for one without it.
            if !page.is_whole {
                return Err(broken("a referral without a usable id or without an eTag"));
            }
            let done = enough(&page.referrals);
            found.extend(page.referrals);
            next = page.next.filter(|_| !done);
            if next.as_ref().is_some_and(|next| seen.contains(next)) {
                return Err(broken("a next link that leads in a circle"));
            }
        }
        Ok(found)
    }

    /// All referrals of one engagement.
    pub(super) async fn read_engagement(
        &self,
        id: &EngagementId,
    ) -> Result<Vec<Referral>, ConnectError> {
        let filter = format!("engagementId eq {}", wire::literal(id.as_str()));
        let mut found = self.read_all(query(&[("$filter", &filter)]), |_| false).await?;
        // A filter that was ignored must not bring strangers into the deal.
        found.retain(|referral| {
            referral.engagement_id().is_none_or(|of| of.as_str().eq_ignore_ascii_case(id.as_str()))
        });
        Ok(found)
    }

    /// Referrals by `externalReferenceId`, newest first.
    pub(super) async fn read_by_external_reference(
        &self,
        record_id: &str,
        since: Timestamp,
    ) -> Result<Vec<Referral>, ConnectError> {
        let order = ("$orderby", "createdDateTime desc");
        let mut found = None;
        if !self.external_reference_refused.load(Ordering::SeqCst) {
            let filter = format!("externalReferenceId eq {}", wire::literal(record_id));
            match self.read_all(query(&[("$filter", &filter), order]), |_| false).await {
                Err(ConnectError::Rejected(refusal)) if refusal.status != 403 => {
                    self.external_reference_refused.store(true, Ordering::SeqCst);
                }
                other => found = Some(other?),
            }
        }
        let mut found = match found {
            Some(found) => found,
            None => {
                let older = |page: &[Referral]| {
                    page.last().and_then(Referral::created).is_some_and(|last| last < since)
                };
                self.read_all(query(&[order]), older).await?
            }
        };
        found.retain(|referral| referral.text("externalReferenceId") == Some(record_id));
        found.sort_by_key(|referral| std::cmp::Reverse(referral.created()));
        Ok(found)
    }

    /// Creates a referral. Never repeated: after a lost answer the outcome is unknown.
    pub(super) async fn create_referral(&self, body: &Fields) -> Result<Referral, ConnectError> {
        let url = self.referrals_url("referrals")?;
        let body = Json::Object(body.clone());
        let answer = self
            .exchange(Family::Referrals, Purpose::Write, || {
                Call::write("POST", url.clone()).json(&body)
            })
            .await
            .map_err(|error| match error {
                ConnectError::Rejected(refusal) if refusal.status == 409 => {
                    ConnectError::Exists(refusal)
                }
                other => other,
            })?;
        let unreadable = || {
            ConnectError::Unknown("the referral was made, but the answer does not show it".into())
        };
        let made = wire::parse(&answer.body).map_err(|_| unreadable())?;
        if let Ok(referral) = wire::referral(made.clone()) {
            return Ok(referral);
        }
        // Made, but without its concurrency token: read it.
        let id = Referral::from_json(made).ok_or_else(unreadable)?.id();
        self.read_back(&id).await
    }

    /// Replaces values at dotted paths.
    pub(super) async fn patch_referral(
        &self,
        id: &ReferralId,
        expect: &Version,
        changes: &BTreeMap<String, Json>,
    ) -> Result<Referral, ConnectError> {
        if let Some(path) = changes.keys().find(|path| !is_patchable(path)) {
            return Err(refused(path, "this field cannot be changed at Partner Center"));
        }
        let operations: Vec<Json> = changes
            .iter()
            .map(|(path, value)| {
                let path = format!("/{}", path.replace('.', "/"));
                json!({"op": "replace", "path": path, "value": value})
            })
            .collect();
        self.send_patch(id, expect, operations).await
    }

    /// Adds or changes a deal registration.
    pub(super) async fn patch_registration(
        &self,
        id: &ReferralId,
        expect: &Version,
        operations: &[Json],
    ) -> Result<Referral, ConnectError> {
        for operation in operations {
            let part = |name: &str| operation.get(name).and_then(Json::as_str).unwrap_or_default();
            if !matches!(part("op"), "add" | "replace") || !is_registration_path(part("path")) {
                return Err(refused(part("path"), "not an operation of a deal registration"));
            }
        }
        self.send_patch(id, expect, operations.to_vec()).await
    }

    async fn send_patch(
        &self,
        id: &ReferralId,
        expect: &Version,
        operations: Vec<Json>,
    ) -> Result<Referral, ConnectError> {
        if operations.is_empty() {
            return Err(refused("", "a change that changes nothing"));
        }
        let url = self.referral_url(id)?;
        let body = Json::Array(operations);
        let answer = self
            .exchange(Family::Referrals, Purpose::Write, || {
                Call::write("PATCH", url.clone())
                    .header("if-match", expect.0.clone())
                    .header("prefer", "return=representation")
                    .json(&body)
            })
            .await?;
        if answer.body.iter().all(u8::is_ascii_whitespace) {
            // 204: the change landed, read what it left.
            return self.read_back(id).await;
        }
        let is_ours =
            |json: &Json| Referral::from_json(json.clone()).is_some_and(|it| it.id() == *id);
        match wire::parse(&answer.body) {
            Ok(json) if is_ours(&json) => match wire::referral(json) {
                Ok(referral) => Ok(referral),
                // It landed, but is shown without its concurrency token.
                Err(_) => self.read_back(id).await,
            },
            // The page of somebody on the way: whether the service ever saw the change is not known.
            _ => Err(ConnectError::Unknown(
                "the answer to a change does not show the referral".to_owned(),
            )),
        }
    }

    /// Reads after a write that landed; if that fails, the caller must read before it writes again.
    async fn read_back(&self, id: &ReferralId) -> Result<Referral, ConnectError> {
        match self.read_referral(id).await {
            Ok(Some(referral)) => Ok(referral),
            Ok(None) => Err(ConnectError::Unknown(format!(
                "referral {id} was written but cannot be found right now"
            ))),
            Err(error) => Err(ConnectError::Unknown(format!(
                "referral {id} was written but not read back: {error}"
            ))),
        }
    }

    /// The referral in `json`, if it is the one asked for.
    fn same(&self, id: &ReferralId, json: Json) -> Result<Referral, ConnectError> {
        let referral = wire::referral(json)?;
        if referral.id() == *id { Ok(referral) } else { Err(broken("another referral")) }
    }

    fn referral_url(&self, id: &ReferralId) -> Result<Url, ConnectError> {
        // An id that is no GUID could lead elsewhere (`..`).
        if ReferralId::parse(id.as_str()).is_none() {
            return Err(refused("id", "not the id of a referral"));
        }
        self.referrals_url(&format!("referrals/{id}"))
    }

    fn referrals_url(&self, path: &str) -> Result<Url, ConnectError> {
        self.settings
            .referrals_url
            .join(path)
            .map_err(|_| ConnectError::Broken("the referrals address cannot be used".to_owned()))
    }
}

/// A query with encoded values.
pub(super) fn query(options: &[(&str, &str)]) -> String {
    let parts: Vec<String> =
        options.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    parts.join("&")
}

pub(super) fn broken(what: &str) -> ConnectError {
    ConnectError::Broken(format!("Partner Center sent {what}"))
}

fn refused(path: &str, message: &str) -> ConnectError {
    ConnectError::Rejected(Refusal {
        code: "notSent".to_owned(),
        message: message.to_owned(),
        fields: vec![path.to_owned()],
        ..Refusal::default()
    })
}
