//! What `doctor` asks: which rights the app has, whether the webhooks are registered, and whether
//! Microsoft's own connector is installed.

use serde_json::Value as Json;

use super::Dynamics365;
use super::client::text;
use super::metadata::definition;
use super::provision::Run;
use crate::connect::crm::{Provision, Remark};
use crate::connect::error::ConnectError;
use crate::domain::id::RecordKind;

/// A column of Microsoft's own connector, found by its label.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ConnectorColumn {
    /// Its documented label: `Referral Identifier`.
    label: &'static str,
    /// Its logical name in this environment.
    name: String,
}

/// Labels of the columns that Microsoft's connector adds to opportunities. Its logical names are
/// not documented.
const CONNECTOR_LABELS: &[&str] = &[
    "Sync with Partner Center",
    "Referral Identifier",
    "Referral Link",
    "How can Microsoft help?",
    "Microsoft Partner Center Referral Visibility",
    "Microsoft CRM Identifier",
    "Products",
    "Audit",
];

/// Fewer columns of these labels are a coincidence: a table may well have its own *Products*.
const CONNECTOR_AT_LEAST: usize = 3;

/// What the daemon does with the rows of the record's own table.
const OWN: &[&str] = &["Read", "Create", "Write", "Append", "AppendTo"];

/// Other tables, and what the daemon does with their rows.
const OTHERS: &[(&str, &[&str])] = &[
    ("account", OWN),
    ("contact", OWN),
    ("transactioncurrency", &["Read", "AppendTo"]),
    ("systemuser", &["Read", "AppendTo"]),
];

/// What the daemon does with lines that a mapping reads.
const LINES: &[&str] = &["Read"];

/// How far a right must reach for a feed to work.
const WHOLE_ORGANIZATION: &str = "Global";

/// A right that the app holds: its id, and how far it reaches.
type Held = (String, String);

impl Dynamics365 {
    /// Rights, webhooks and Microsoft's connector, for one mapping.
    pub(super) async fn remarks(&self, wanted: &Provision) -> Result<Vec<Remark>, ConnectError> {
        let mut remarks = self.rights(wanted).await?;
        remarks.extend(self.webhook_remarks(wanted).await?);
        if wanted.kind == RecordKind::Opportunity {
            remarks.extend(self.connector(&wanted.prefix).await?);
        }
        Ok(remarks)
    }

    /// Every right that the daemon needs, one by one.
    async fn rights(&self, wanted: &Provision) -> Result<Vec<Remark>, ConnectError> {
        let kind = wanted.kind;
        let user = self.who_am_i().await?.user_id;
        let address =
            format!("systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()");
        let held: Vec<Held> = match self.client.get(&address).await {
            Ok(json) => held(&json)?,
            Err(ConnectError::Rejected(refusal)) => {
                let what =
                    format!("The rights of the application user cannot be listed: {refusal}.");
                let fix = "Give it a role that may read its own user and roles, or check by hand \
                           that it may read, create and write the tables of the mapping.";
                return Ok(vec![remark(what, fix, false)]);
            }
            Err(error) => return Err(error),
        };
        let mut remarks = Vec::new();
        let own = std::iter::once((kind.as_str(), OWN));
        for (table, wanted) in own.chain(OTHERS.iter().copied()) {
            let is_own = table == kind.as_str();
            remarks.extend(self.rights_on((table, wanted), &held, is_own).await?);
        }
        // Without this right every read of the mapping is refused, not only that of the lines.
        let table = self.metadata.recent(&self.client, kind.as_str()).await?;
        for name in wanted.watched.iter().filter(|name| !table.attributes.contains_key(*name)) {
            if let Some(lines) = self.metadata.child(&self.client, &table.name, name).await? {
                remarks.extend(self.rights_on((&lines, LINES), &held, false).await?);
            }
        }
        Ok(remarks)
    }

    async fn rights_on(
        &self,
        (table, wanted): (&str, &[&str]),
        held: &[Held],
        is_own: bool,
    ) -> Result<Vec<Remark>, ConnectError> {
        let address = format!("{}?$select=LogicalName,Privileges", definition(table)?);
        let Some(json) = self.client.find(&address).await? else {
            let what = format!("The environment has no table {table}.");
            return Ok(vec![remark(what, "Check that Dynamics 365 Sales is installed.", is_own)]);
        };
        let known = json.get("Privileges").and_then(Json::as_array).cloned().unwrap_or_default();
        let mut remarks = Vec::new();
        for right in wanted {
            // A kind of right that a table does not have is not missing.
            let Some(one) = known.iter().find(|one| text(one, "PrivilegeType") == *right) else {
                continue;
            };
            let id = text(one, "PrivilegeId").to_ascii_lowercase();
            let depth =
                held.iter().find(|(other, _)| *other == id).map(|(_, depth)| depth.as_str());
            let name = text(one, "Name");
            let fix = format!("Give the application user a role with {name} for the organization.");
            match depth {
                None => {
                    let what = format!("The right {name} ({right} on {table}) is missing.");
                    remarks.push(remark(what, &fix, true));
                }
                Some(WHOLE_ORGANIZATION) => {}
                Some(depth) => {
                    let what = format!(
                        "The right {name} ({right} on {table}) reaches {depth} rows only: others \
                         are not seen."
                    );
                    // The platform refuses to track changes for anything less.
                    remarks.push(remark(what, &fix, is_own && *right == "Read"));
                }
            }
        }
        if remarks.is_empty() {
            let rights = wanted.join(", ");
            remarks.push(good(format!("The rights on {table} are there: {rights}.")));
        }
        Ok(remarks)
    }

    /// What `provision` would register.
    async fn webhook_remarks(&self, wanted: &Provision) -> Result<Vec<Remark>, ConnectError> {
        if self.webhook.is_none() {
            return Ok(Vec::new());
        }
        let table = self.metadata.recent(&self.client, wanted.kind.as_str()).await?;
        let mut run = Run::new(wanted, true);
        match self.webhooks(&mut run, &table).await {
            Ok(()) => {}
            Err(ConnectError::Rejected(refusal)) => {
                let what =
                    format!("Whether the webhooks are registered cannot be seen: {refusal}.");
                let fix = "Changes are still seen at the next read. To see the registration, give \
                           the application user read on service endpoints and plug-in steps.";
                return Ok(vec![remark(what, fix, false)]);
            }
            Err(error) => return Err(error),
        }
        Ok(run
            .steps
            .into_iter()
            .map(|step| match step.outcome.as_str() {
                "present" => good(format!("Registered: {}.", step.what)),
                "would create" => remark(
                    format!("Not registered: {}.", step.what),
                    "Register it with `cosell-sync provision --apply`; until then changes are seen \
                     at the next read.",
                    false,
                ),
                _ => remark(
                    format!("Without effect: {}.", step.what),
                    "Changes are seen at the next read; correct it to see them within seconds.",
                    false,
                ),
            })
            .collect())
    }

    /// Another engine on the same deals: columns that bear the labels of Microsoft's connector and
    /// are not ours. Two engines overwrite each other's values.
    async fn connector(&self, own_prefix: &str) -> Result<Option<Remark>, ConnectError> {
        let own = format!("{own_prefix}_");
        let table = self.metadata.recent(&self.client, RecordKind::Opportunity.as_str()).await?;
        let columns: Vec<ConnectorColumn> = table
            .attributes
            .values()
            .filter(|column| column.custom && !column.name.starts_with(&own))
            .filter_map(|column| {
                let label = CONNECTOR_LABELS
                    .iter()
                    .find(|label| label.eq_ignore_ascii_case(column.label.trim()))?;
                Some(ConnectorColumn { label, name: column.name.clone() })
            })
            .collect();
        if columns.len() < CONNECTOR_AT_LEAST {
            return Ok(None);
        }
        let names: Vec<String> =
            columns.iter().map(|column| format!("{} = {}", column.label, column.name)).collect();
        Ok(Some(remark(
            format!(
                "Microsoft's own connector seems to be installed. Two engines on the same deals \
                 overwrite each other. Its columns: {}.",
                names.join(", ")
            ),
            "Turn its flows off in Power Automate before this daemon writes (or run it with \
             `shadow = true`). To go on with its columns, name them in the mapping file.",
            false,
        )))
    }
}

fn held(json: &Json) -> Result<Vec<Held>, ConnectError> {
    let list = json.get("RolePrivileges").and_then(Json::as_array).ok_or_else(|| {
        ConnectError::Broken("a list of rights without `RolePrivileges`".to_owned())
    })?;
    Ok(list
        .iter()
        .map(|one| (text(one, "PrivilegeId").to_ascii_lowercase(), text(one, "Depth").to_owned()))
        .collect())
}

fn good(what: String) -> Remark {
    Remark { what, fix: None, serious: false }
}

fn remark(what: String, fix: &str, serious: bool) -> Remark {
    Remark { what, fix: Some(fix.to_owned()), serious }
}
