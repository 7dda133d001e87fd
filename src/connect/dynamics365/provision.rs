//! Makes what the sync needs in an environment: solution, columns, key, change tracking.
//!
//! Every step looks first, so that running it again changes nothing.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Dynamics365;
use super::client::{Request, made_id, rows, text};
use super::metadata::{Table, definition, flag};
use super::odata::{guid, is_name, refuse, text_literal};
use super::provision_json as body;
use crate::connect::crm::{Provision, ProvisionStep, WantedField};
use crate::connect::error::ConnectError;

/// Puts new components into the solution.
pub(super) const SOLUTION: &str = "mscrm.solutionuniquename";
/// How often the index of a key is looked at.
const KEY_POLL: Duration = Duration::from_secs(5);

/// One run of provisioning.
pub(super) struct Run<'a> {
    pub(super) wanted: &'a Provision,
    dry: bool,
    pub(super) steps: Vec<ProvisionStep>,
    /// Whether something was made that has to be published.
    changed: bool,
}

impl<'a> Run<'a> {
    /// The beginning of a run.
    pub(super) fn new(wanted: &'a Provision, dry: bool) -> Self {
        Self { wanted, dry, steps: Vec::new(), changed: false }
    }

    pub(super) fn note(&mut self, what: impl Into<String>, outcome: &str) {
        self.steps.push(ProvisionStep { what: what.into(), outcome: outcome.to_owned() });
    }

    /// Notes what is missing; whether it is to be made now.
    pub(super) fn plan(&mut self, what: &str) -> bool {
        self.note(what, if self.dry { "would create" } else { "created" });
        !self.dry
    }

    /// As [`Run::plan`], for what has to be published.
    pub(super) fn make(&mut self, what: &str) -> bool {
        self.changed |= !self.dry;
        self.plan(what)
    }
}

impl Dynamics365 {
    /// Plans and, unless `dry_run`, makes what is missing.
    pub(super) async fn provision_table(
        &self,
        wanted: &Provision,
        dry_run: bool,
    ) -> Result<Vec<ProvisionStep>, ConnectError> {
        check(wanted)?;
        self.metadata.forget();
        let table = self.metadata.table(&self.client, wanted.kind.as_str()).await?;
        let mut run = Run::new(wanted, dry_run);
        let option_prefix = self.solution(&mut run).await?;
        self.columns(&mut run, &table, option_prefix).await?;
        self.keys(&mut run, &table).await?;
        self.tracking(&mut run, &table).await?;
        self.sections(&mut run, &table).await?;
        self.publish(&mut run, &table).await?;
        self.webhooks(&mut run, &table).await?;
        self.wait_for_keys(&mut run, &table).await?;
        self.metadata.forget();
        Ok(run.steps)
    }

    /// The unmanaged solution and its publisher; returns the publisher's option value prefix.
    async fn solution(&self, run: &mut Run<'_>) -> Result<i64, ConnectError> {
        let name = run.wanted.container.as_str();
        let address = format!(
            "solutions?$select=solutionid,uniquename,ismanaged&$filter=uniquename%20eq%20{}\
             &$expand=publisherid($select=customizationprefix,customizationoptionvalueprefix)",
            text_literal(name)
        );
        let what = format!("solution {name}");
        if let Some(solution) = rows(&self.client.get(&address).await?)?.first() {
            if flag(solution, "ismanaged") {
                return Err(refuse(&[], format!("the solution `{name}` is managed: name another")));
            }
            let publisher = solution.get("publisherid").unwrap_or(&Json::Null);
            let prefix = text(publisher, "customizationprefix");
            if prefix != run.wanted.prefix {
                return Err(refuse(
                    &[],
                    format!(
                        "the solution `{name}` has the prefix `{prefix}`, the mapping's columns \
                         begin with `{}`: name another solution or correct the mapping",
                        run.wanted.prefix
                    ),
                ));
            }
            run.note(what, "present");
            return Ok(option_prefix(publisher));
        }
        let (publisher, prefix) = self.publisher(run).await?;
        if run.make(&what) {
            let json = json!({
                "uniquename": name,
                "friendlyname": name,
                "version": "1.0.0.0",
                "publisherid@odata.bind": format!("/publishers({publisher})"),
            });
            self.client.send(&Request::write("POST", self.client.url("solutions")?, &json)).await?;
        }
        Ok(prefix)
    }

    /// The publisher of the prefix, made if there is none: its id and option value prefix.
    async fn publisher(&self, run: &mut Run<'_>) -> Result<(String, i64), ConnectError> {
        let prefix = run.wanted.prefix.as_str();
        let address = format!(
            "publishers?$select=publisherid,customizationoptionvalueprefix\
             &$filter=customizationprefix%20eq%20{}",
            text_literal(prefix)
        );
        let what = format!("publisher with prefix {prefix}");
        if let Some(publisher) = rows(&self.client.get(&address).await?)?.first() {
            let id = guid(text(publisher, "publisherid"))
                .ok_or_else(|| ConnectError::Broken("a publisher without its id".to_owned()))?;
            run.note(what, "present");
            return Ok((id, option_prefix(publisher)));
        }
        if !run.make(&what) {
            return Ok((String::new(), DEFAULT_OPTION_PREFIX));
        }
        let json = json!({
            "uniquename": format!("{prefix}publisher"),
            "friendlyname": format!("Publisher {prefix}"),
            "customizationprefix": prefix,
            "customizationoptionvalueprefix": DEFAULT_OPTION_PREFIX,
        });
        let answer = self
            .client
            .send(&Request::write("POST", self.client.url("publishers")?, &json))
            .await?;
        let id = made_id(&answer).ok_or_else(|| {
            ConnectError::Unknown("a publisher was made, its id was not told".to_owned())
        })?;
        Ok((id, DEFAULT_OPTION_PREFIX))
    }

    async fn columns(
        &self,
        run: &mut Run<'_>,
        table: &Table,
        option_prefix: i64,
    ) -> Result<(), ConnectError> {
        let wanted = run.wanted;
        let missing: Vec<&WantedField> = wanted
            .fields
            .iter()
            .filter(|field| !table.attributes.contains_key(&field.name))
            .collect();
        for field in &wanted.fields {
            let what = format!("column {} on {}", field.name, table.name);
            match table.attributes.get(&field.name) {
                Some(found) if body::fits(&field.kind, &found.kind) => {
                    run.note(what, "present");
                }
                Some(found) => {
                    return Err(refuse(
                        &[&field.name],
                        format!("{what} is of type {} and not {}", found.kind, field.kind),
                    ));
                }
                None => {}
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let language = self.language().await?;
        for field in missing {
            if run.make(&format!("column {} on {}", field.name, table.name)) {
                let json = body::column(field, &wanted.prefix, language, option_prefix)
                    .ok_or_else(|| refuse(&[&field.name], "a column of an unknown kind"))?;
                let address = format!("{}/Attributes", definition(&table.name)?);
                let request = Request::write("POST", self.client.url(&address)?, &json)
                    .header(SOLUTION, wanted.container.as_str());
                self.client.send(&request).await?;
            }
        }
        Ok(())
    }

    /// The base language, in which labels are written.
    pub(super) async fn language(&self) -> Result<i64, ConnectError> {
        let json = self.client.get("organizations?$select=languagecode").await?;
        let code = rows(&json)?.first().and_then(|row| row.get("languagecode")?.as_i64());
        Ok(code.unwrap_or(1033))
    }

    async fn keys(&self, run: &mut Run<'_>, table: &Table) -> Result<(), ConnectError> {
        let wanted = run.wanted;
        for field in wanted.fields.iter().filter(|field| field.unique) {
            let what = format!("alternate key on {} of {}", field.name, table.name);
            let columns = [field.name.clone()];
            let known = table.keys.iter().find(|key| key.columns == columns);
            match known.map(|key| (key.status.as_str(), key.name.as_str())) {
                Some(("Failed", name)) => self.reactivate(run, table, (&what, name)).await?,
                Some(_) => run.note(what, "present"),
                None if run.make(&what) => {
                    let json = body::key(field, self.language().await?);
                    let address = format!("{}/Keys", definition(&table.name)?);
                    // The column may be seconds old, and caches older.
                    let request = Request::write("POST", self.client.url(&address)?, &json)
                        .header(SOLUTION, wanted.container.as_str())
                        .header("consistency", "Strong");
                    self.client.send(&request).await?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Builds the index of a key again, which failed because rows held the same value.
    async fn reactivate(
        &self,
        run: &mut Run<'_>,
        table: &Table,
        (what, name): (&str, &str),
    ) -> Result<(), ConnectError> {
        if !run.plan(&format!("{what}: the index that failed, once more")) {
            return Ok(());
        }
        let json = json!({"EntityLogicalName": table.name, "EntityKeyLogicalName": name});
        let request = Request::write("POST", self.client.url("ReactivateEntityKey")?, &json);
        match self.client.send(&request).await {
            Ok(_) => Ok(()),
            Err(ConnectError::Rejected(refusal)) => {
                let advice = format!(
                    "{what}: its index cannot be built again ({refusal}): delete the key {name}, \
                     then run this again"
                );
                run.note(advice, "advice");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn tracking(&self, run: &mut Run<'_>, table: &Table) -> Result<(), ConnectError> {
        let what = format!("change tracking on {}", table.name);
        if table.tracks_changes {
            run.note(what, "present");
            return Ok(());
        }
        let address = definition(&table.name)?;
        let mut whole = self.client.get(&address).await?;
        if !flag(&whole, "CanChangeTrackingBeEnabled") {
            let advice = format!("{what} cannot be switched on: changes are polled by modifiedon");
            run.note(advice, "advice");
            return Ok(());
        }
        if run.make(&what) {
            // A definition is replaced as a whole; there is no PATCH for it.
            whole["ChangeTrackingEnabled"] = Json::Bool(true);
            if let Some(members) = whole.as_object_mut() {
                members.remove("@odata.context");
            }
            let request = Request::write("PUT", self.client.url(&address)?, &whole)
                .header("mscrm.mergelabels", "true");
            self.client.send(&request).await?;
        }
        Ok(())
    }

    async fn publish(&self, run: &mut Run<'_>, table: &Table) -> Result<(), ConnectError> {
        if !run.changed {
            return Ok(());
        }
        let xml = format!(
            "<importexportxml><entities><entity>{}</entity></entities></importexportxml>",
            table.name
        );
        let json = json!({"ParameterXml": xml});
        self.client.send(&Request::write("POST", self.client.url("PublishXml")?, &json)).await?;
        run.note(format!("publish {}", table.name), "created");
        Ok(())
    }

    /// Waits until the indexes work, for as long as the settings say.
    async fn wait_for_keys(&self, run: &mut Run<'_>, table: &Table) -> Result<(), ConnectError> {
        let unique: Vec<&WantedField> =
            run.wanted.fields.iter().filter(|field| field.unique).collect();
        if run.dry || unique.is_empty() {
            return Ok(());
        }
        let deadline = self.client.now().plus(self.key_wait);
        loop {
            self.metadata.forget();
            let now = self.metadata.table(&self.client, &table.name).await?;
            let mut open: Vec<(&str, &str)> = Vec::new();
            for field in &unique {
                let columns = [field.name.clone()];
                let keys = now.keys.iter().filter(|key| key.columns == columns);
                let status = keys.map(|key| key.status.as_str()).find(|status| *status != "Active");
                open.extend(status.map(|status| (field.name.as_str(), status)));
            }
            let building = open.iter().any(|(_, status)| *status != "Failed");
            if !building || self.client.now() >= deadline {
                for (name, status) in open {
                    let (what, outcome) = index_of(name, status, &table.name);
                    run.note(what, outcome);
                }
                return Ok(());
            }
            self.client.sleep(KEY_POLL).await;
        }
    }
}

/// What is told of an index that does not work yet.
fn index_of(column: &str, status: &str, table: &str) -> (String, &'static str) {
    if status == "Failed" {
        let what = format!(
            "index of the key on {column}: it failed, because several rows of {table} hold the \
             same value; clear the duplicates, then run this again"
        );
        (what, "advice")
    } else {
        (format!("index of the key on {column}: still being built"), "waiting")
    }
}

/// Option values begin with this where we make the publisher ourselves.
const DEFAULT_OPTION_PREFIX: i64 = 72_700;

fn option_prefix(publisher: &Json) -> i64 {
    let prefix = publisher.get("customizationoptionvalueprefix").and_then(Json::as_i64);
    prefix.unwrap_or(DEFAULT_OPTION_PREFIX)
}

/// Refuses what the platform would refuse half-way.
fn check(wanted: &Provision) -> Result<(), ConnectError> {
    if !is_name(&wanted.prefix) || !is_name(&wanted.container) {
        return Err(refuse(&[], "the publisher prefix and the solution need plain names"));
    }
    let start = format!("{}_", wanted.prefix);
    for field in &wanted.fields {
        let name = &field.name;
        if !is_name(name) || *name != name.to_lowercase() || !name.starts_with(&start) {
            return Err(refuse(
                &[name],
                format!("the column `{name}` must be lower case and begin with `{start}`"),
            ));
        }
    }
    Ok(())
}
