//! Makes the fields that the mapping needs, and lets our own user see them. Safe to repeat.
//!
//! A field made through the API is visible to nobody, not even to its maker, until a permission set
//! grants it. Fields with a foreign prefix belong to a package and cannot be made by anybody else.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::client::Request;
use super::describe::{Field, Table};
use super::{Salesforce, convert, soql, table_of};
use crate::connect::crm::{Provision, ProvisionStep, WantedField};
use crate::connect::error::ConnectError;

pub(super) const PRESENT: &str = "present";
pub(super) const ADVICE: &str = "advice";

/// What is being provisioned, with what has been found so far.
pub(super) struct Work<'a> {
    pub(super) wanted: &'a Provision,
    pub(super) dry_run: bool,
    pub(super) table: &'static str,
    steps: Vec<ProvisionStep>,
}

impl Work<'_> {
    /// Notes one step.
    pub(super) fn step(&mut self, what: impl Into<String>, outcome: &str) {
        self.steps.push(ProvisionStep { what: what.into(), outcome: outcome.to_owned() });
    }

    /// Notes what was made, or would be.
    pub(super) fn made(&mut self, what: impl Into<String>) {
        self.step(what, if self.dry_run { "would create" } else { "created" });
    }
}

impl Salesforce {
    /// Plans, and unless `dry_run` makes, fields, permission set, grants and assignment.
    pub(super) async fn make_fields(
        &self,
        wanted: &Provision,
        dry_run: bool,
    ) -> Result<Vec<ProvisionStep>, ConnectError> {
        let table = table_of(wanted.kind);
        let mut work = Work { wanted, dry_run, table, steps: Vec::new() };
        match self.make_all(&mut work).await {
            Ok(()) => {}
            Err(ConnectError::Rejected(refusal)) if refusal.code.starts_with("INSUFFICIENT") => {
                work.step(
                    "the integration user may not do this: run `provision` as a user with Customize \
                     Application, View Setup and Configuration and Manage Profiles and Permission \
                     Sets, or let an admin make the fields by hand",
                    ADVICE,
                );
            }
            Err(error) => return Err(error),
        }
        self.schemas.forget(table);
        Ok(work.steps)
    }

    async fn make_all(&self, work: &mut Work<'_>) -> Result<(), ConnectError> {
        self.schemas.forget(work.table);
        let visible = self.schemas.table(work.table).await?;
        let hidden = self.custom_fields(work.table).await?;
        let mut grants = Vec::new();
        for field in &work.wanted.fields {
            if self.make_field(work, &visible, &hidden, field).await? {
                grants.push(format!("{}.{}", work.table, field.name));
            }
        }
        self.grant(work, &grants).await?;
        work.step(
            format!(
                "put the fields on the page layouts (Setup, Object Manager, {}, Page Layouts), in a \
                 section of their own; Referral Identifier, Referral Link and Audit read-only for \
                 sellers. The sync works without",
                work.table
            ),
            ADVICE,
        );
        Ok(())
    }

    /// API names of the custom fields of a table, hidden ones included.
    async fn custom_fields(&self, table: &str) -> Result<BTreeSet<String>, ConnectError> {
        let soql = format!(
            "SELECT Id, DeveloperName, NamespacePrefix, TableEnumOrId FROM CustomField \
             WHERE TableEnumOrId = {}",
            soql::text(table)
        );
        let rows = self.client.tooling_query(&soql).await?;
        let name = |row: &Json| {
            let own = row.get("DeveloperName").and_then(Json::as_str)?;
            let prefix = row.get("NamespacePrefix").and_then(Json::as_str);
            let prefix = prefix.map(|prefix| format!("{prefix}__")).unwrap_or_default();
            Some(format!("{prefix}{own}__c").to_ascii_lowercase())
        };
        Ok(rows.iter().filter_map(name).collect())
    }

    /// One field; says whether it needs a grant.
    async fn make_field(
        &self,
        work: &mut Work<'_>,
        visible: &Table,
        hidden: &BTreeSet<String>,
        wanted: &WantedField,
    ) -> Result<bool, ConnectError> {
        let what = format!("field {} on {}", wanted.name, work.table);
        let custom = wanted.name.ends_with("__c");
        if let Some(field) = visible.field(&wanted.name) {
            work.step(&what, PRESENT);
            for difference in differences(field, wanted) {
                work.step(format!("{what}: {difference}"), ADVICE);
            }
            return Ok(custom);
        }
        if hidden.contains(&wanted.name.to_ascii_lowercase()) {
            work.step(&what, PRESENT);
            return Ok(custom);
        }
        if let Some(advice) = cannot_make(&wanted.name) {
            work.step(format!("{what}: {advice}"), ADVICE);
            return Ok(false);
        }
        if work.dry_run {
            work.made(&what);
            return Ok(true);
        }
        let body = json!({
            "FullName": format!("{}.{}", work.table, wanted.name),
            "Metadata": metadata(wanted),
        });
        match self.insert("/tooling/sobjects/CustomField", body).await {
            Ok(_) => work.made(&what),
            Err(ConnectError::Rejected(refusal)) if refusal.code == "DUPLICATE_DEVELOPER_NAME" => {
                work.step(&what, PRESENT);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    pub(super) async fn first_id(&self, soql: &str) -> Result<Option<String>, ConnectError> {
        let (rows, _) = self.client.query(soql).await?;
        rows.first().map(|row| Ok(convert::id(row)?.to_string())).transpose()
    }

    pub(super) async fn insert(&self, path: &str, body: Json) -> Result<String, ConnectError> {
        let request = Request::write("POST", self.client.data(path), body);
        let (answer, _) = self.client.json(&request).await?;
        let id = answer.get("id").and_then(Json::as_str).and_then(soql::long_id);
        id.ok_or_else(|| ConnectError::Unknown(format!("{path}: created, but without an id")))
    }

    pub(super) async fn change(&self, path: &str, body: Json) -> Result<(), ConnectError> {
        let request = Request::write("PATCH", self.client.data(path), body);
        let reply = self.client.send(&request).await?;
        if reply.answer.is_success() { Ok(()) } else { Err(self.client.refused(&reply)) }
    }
}

/// Why a field of this name cannot be made here.
fn cannot_make(name: &str) -> Option<String> {
    let Some(own) = name.strip_suffix("__c") else {
        return Some("it is not a custom field (its name does not end in __c)".to_owned());
    };
    let (prefix, own) = own.split_once("__").unwrap_or(("", own));
    if !prefix.is_empty() {
        return Some(format!(
            "the prefix {prefix}__ belongs to a package; install it, or name the field {own}__c in \
             the mapping"
        ));
    }
    (!soql::is_name(own) || own.ends_with('_'))
        .then(|| "the name may hold letters, digits and single underscores only".to_owned())
}

/// What an existing field lacks.
fn differences(field: &Field, wanted: &WantedField) -> Vec<String> {
    let mut found = Vec::new();
    let fits = match wanted.kind.as_str() {
        "boolean" => field.kind == "boolean",
        "option" => field.kind == "picklist" || field.kind == "string",
        "url" => field.kind == "url" || field.kind == "string",
        "long_text" => field.kind == "textarea",
        "date" => matches!(field.kind.as_str(), "date" | "datetime" | "string"),
        "amount" | "rate" => {
            matches!(field.kind.as_str(), "currency" | "double" | "int" | "percent" | "string")
        }
        // A check box, or the words for it.
        "flag" => matches!(field.kind.as_str(), "boolean" | "picklist" | "string"),
        _ => matches!(field.kind.as_str(), "string" | "textarea" | "url" | "picklist"),
    };
    if !fits {
        found.push(format!("it is a {}, but should be {}", field.kind, wanted.kind));
    }
    let short = field.length.is_some_and(|length| length < wanted.max_length);
    if short && matches!(wanted.kind.as_str(), "text" | "long_text") {
        found.push(format!("it is shorter than {} characters", wanted.max_length));
    }
    if wanted.unique && !field.external_id {
        found.push("tick External ID and Unique".to_owned());
    } else if wanted.unique && !field.unique {
        found.push("tick Unique, so that no two records can carry one referral".to_owned());
    }
    found
}

/// The metadata of a field to make. Source: the metadata table of the Tooling API.
fn metadata(wanted: &WantedField) -> Json {
    let label = &wanted.label;
    match wanted.kind.as_str() {
        "boolean" | "flag" => json!({ "type": "Checkbox", "label": label, "defaultValue": false }),
        "url" => json!({ "type": "Url", "label": label }),
        "date" => json!({ "type": "Date", "label": label }),
        "amount" => json!({ "type": "Currency", "label": label, "precision": 18, "scale": 2 }),
        "rate" => json!({ "type": "Number", "label": label, "precision": 18, "scale": 6 }),
        "option" => {
            let values: Vec<Json> = wanted
                .options
                .iter()
                .map(|option| json!({ "fullName": option, "label": option, "default": false }))
                .collect();
            json!({
                "type": "Picklist",
                "label": label,
                "valueSet": {
                    "restricted": true,
                    "valueSetDefinition": { "sorted": false, "value": values },
                },
            })
        }
        "text" if wanted.max_length <= 255 => json!({
            "type": "Text",
            "label": label,
            "length": wanted.max_length.max(1),
            "externalId": wanted.unique,
            "unique": wanted.unique,
            "caseSensitive": false,
        }),
        _ => json!({
            "type": "LongTextArea",
            "label": label,
            "length": wanted.max_length.clamp(256, 131_072),
            "visibleLines": 4,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::cannot_make;

    #[test]
    fn only_our_own_names_are_made() {
        let table = [
            ("Sync_Audit__c", true, "a custom field"),
            ("Microsoft__Sync_Audit__c", false, "a package's field"),
            ("Description", false, "a standard field"),
            ("1st__c", false, "a digit first"),
            ("Audit___c", false, "ends in an underscore"),
        ];
        for (name, can, why) in table {
            assert_eq!(cannot_make(name).is_none(), can, "{name}: {why}");
        }
    }
}
