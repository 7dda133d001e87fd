//! What `doctor` and the setup ask: which rights the app has, and whether Microsoft's own connector
//! is installed.

use super::Dynamics365;
use super::odata::{is_name, refuse};
use crate::connect::error::ConnectError;
use crate::domain::id::RecordKind;

/// A column of Microsoft's own connector, found by its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorColumn {
    /// Its documented label: `Referral Identifier`.
    pub label: String,
    /// Its logical name in this environment.
    pub name: String,
}

/// One right that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privilege {
    /// What was tried, for people: `read opportunity`.
    pub what: String,
    /// Why it failed and what to do; `None` if it works.
    pub problem: Option<String>,
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

/// Tables the daemon reads besides those of the mapping.
const TABLES: &[&str] =
    &["opportunity", "lead", "account", "contact", "transactioncurrency", "systemuser"];

impl Dynamics365 {
    /// The columns of opportunities that bear the labels of Microsoft's connector and are not ours:
    /// those whose name begins with `own_prefix` and an underscore are left out. Not empty means
    /// that two engines may write the same deals.
    ///
    /// # Errors
    ///
    /// As for any read.
    pub async fn discover_microsoft_connector(
        &self,
        own_prefix: &str,
    ) -> Result<Vec<ConnectorColumn>, ConnectError> {
        let own = format!("{own_prefix}_");
        let table = self.metadata.recent(&self.client, RecordKind::Opportunity.as_str()).await?;
        Ok(table
            .attributes
            .values()
            .filter(|column| column.custom && !column.name.starts_with(&own))
            .filter_map(|column| {
                let label = CONNECTOR_LABELS
                    .iter()
                    .find(|label| label.eq_ignore_ascii_case(column.label.trim()))?;
                Some(ConnectorColumn { label: (*label).to_owned(), name: column.name.clone() })
            })
            .collect())
    }

    /// Tries to read every table the daemon needs, and `extra` ones that the mapping names.
    ///
    /// Whether rows may be written cannot be tried without writing one, so it is not.
    ///
    /// # Errors
    ///
    /// Whatever makes trying pointless: credentials, throttling, an environment that is down.
    pub async fn check_privileges(&self, extra: &[&str]) -> Result<Vec<Privilege>, ConnectError> {
        let mut tried: Vec<Privilege> = Vec::new();
        for name in TABLES.iter().chain(extra) {
            let what = format!("read {name}");
            if tried.iter().any(|privilege| privilege.what == what) {
                continue;
            }
            let problem = match self.try_read(name).await {
                Ok(()) => None,
                Err(ConnectError::Rejected(refusal)) => Some(format!(
                    "{} {}: give the application user a role with organization-wide read on {name}",
                    refusal.code, refusal.message
                )),
                Err(other) => return Err(other),
            };
            tried.push(Privilege { what, problem });
        }
        Ok(tried)
    }

    async fn try_read(&self, name: &str) -> Result<(), ConnectError> {
        if !is_name(name) {
            return Err(refuse(&[], format!("`{name}` cannot be the name of a table")));
        }
        let table = self.metadata.table(&self.client, name).await?;
        let address = format!("{}?$select={}&$top=1", table.set, table.id);
        self.client.get(&address).await.map(|_| ())
    }
}
