//! What `doctor` tells: edition, API access, and the rights of our user one by one.

use serde_json::Value as Json;

use super::Salesforce;
use super::table_of;
use crate::connect::crm::{Provision, Remark};
use crate::connect::error::ConnectError;
use crate::domain::id::RecordKind;
use crate::domain::time::Timestamp;

/// Editions in which the API is an extra that somebody may cancel. Source: the REST guide's list of
/// editions.
const API_IS_EXTRA: &[&str] = &["Professional Edition", "Group Edition", "Team Edition"];

/// A system permission: its column in `UserPermissionAccess`, what it is for, what to do without it.
///
/// The table is not in the guides that this client was written from. What it says is advice and
/// decides nothing: that the API is enabled is told by the API itself.
struct Permission {
    column: &'static str,
    title: &'static str,
    without: &'static str,
}

const PERMISSIONS: &[Permission] = &[
    Permission {
        column: "PermissionsConvertLeads",
        title: "Convert Leads",
        without: "Give it to the user, or an accepted lead is closed and a new opportunity made.",
    },
    Permission {
        column: "PermissionsCustomizeApplication",
        title: "Customize Application",
        without: "Only `provision --apply` needs it: run that as an admin, or make the fields by hand.",
    },
    Permission {
        column: "PermissionsManageProfilesPermissionsets",
        title: "Manage Profiles and Permission Sets",
        without: "Only `provision --apply` needs it: run that as an admin, or grant the fields by hand.",
    },
    Permission {
        column: "PermissionsAssignPermissionSets",
        title: "Assign Permission Sets",
        without: "Only `provision --apply` needs it: run that as an admin, or assign the set by hand.",
    },
];

impl Salesforce {
    /// Edition, API access and rights.
    pub(super) async fn examine_rights(
        &self,
        wanted: &Provision,
    ) -> Result<Vec<Remark>, ConnectError> {
        let version = &self.client.settings().api_version;
        let mut remarks = vec![well(format!("The API answers in version {version}."))];
        remarks.extend(self.edition().await?);
        remarks.extend(self.permissions().await?);
        let kind = table_of(wanted.kind);
        remarks.extend(self.rights_on(kind, true).await?);
        if wanted.kind == RecordKind::Opportunity {
            for table in ["Account", "Contact"] {
                remarks.extend(self.rights_on(table, false).await?);
            }
        }
        for table in self.product_tables(wanted).await?.filter(|table| *table == "Product2") {
            self.schemas.forget(table);
            if told(self.schemas.table(table).await)?.is_none() {
                let what = "Our user may not read Product2: rows of products are left out.";
                let fix = "Give it Read with `provision --apply`.";
                remarks.push(missing(what.to_owned(), fix, false));
            }
        }
        Ok(remarks)
    }

    /// The organisation's edition, and when a trial ends.
    async fn edition(&self) -> Result<Vec<Remark>, ConnectError> {
        let soql = "SELECT OrganizationType, IsSandbox, TrialExpirationDate FROM Organization";
        let Some((rows, _)) = told(self.client.query(soql).await)? else {
            return Ok(vec![unknown("The edition cannot be read.")]);
        };
        let row = rows.first().unwrap_or(&Json::Null);
        let text = |name: &str| row.get(name).and_then(Json::as_str);
        let edition = text("OrganizationType").unwrap_or("unknown");
        let sandbox = row.get("IsSandbox").and_then(Json::as_bool) == Some(true);
        let place = if sandbox { ", a sandbox" } else { "" };
        let what = format!("The organisation is a {edition}{place}.");
        let mut remarks = vec![if API_IS_EXTRA.contains(&edition) {
            missing(what, "The API is an add-on in this edition: see that it stays booked.", false)
        } else {
            well(what)
        }];
        let end = text("TrialExpirationDate").and_then(Timestamp::parse);
        if let Some(end) = end {
            let what = format!("It is a trial that ends on {}.", end.date());
            remarks.push(missing(what, "Buy it before, or move to another organisation.", false));
        }
        Ok(remarks)
    }

    /// System permissions, as far as this organisation knows them.
    async fn permissions(&self) -> Result<Vec<Remark>, ConnectError> {
        const TABLE: &str = "UserPermissionAccess";
        let not_told = "The system permissions of our user cannot be read.";
        let Some(table) = told(self.schemas.table(TABLE).await)? else {
            return Ok(vec![unknown(not_told)]);
        };
        let known: Vec<&Permission> = PERMISSIONS
            .iter()
            .filter(|permission| table.field(permission.column).is_some())
            .collect();
        if known.is_empty() {
            return Ok(vec![unknown(not_told)]);
        }
        let columns: Vec<&str> = known.iter().map(|permission| permission.column).collect();
        let soql = format!("SELECT {} FROM {TABLE} LIMIT 1", columns.join(", "));
        let Some((rows, _)) = told(self.client.query(&soql).await)? else {
            return Ok(vec![unknown(not_told)]);
        };
        let has = |column: &str| rows.first()?.get(column)?.as_bool();
        let remark = |permission: &&Permission| {
            Some(match has(permission.column)? {
                true => well(format!("Our user has the permission {}.", permission.title)),
                false => {
                    let what = format!("Our user lacks the permission {}.", permission.title);
                    missing(what, permission.without, false)
                }
            })
        };
        let remarks: Vec<Remark> = known.iter().filter_map(remark).collect();
        Ok(if remarks.is_empty() { vec![unknown(not_told)] } else { remarks })
    }

    /// Rights on the rows of a table; `ours` for a table that is kept in step.
    async fn rights_on(&self, table: &str, ours: bool) -> Result<Vec<Remark>, ConnectError> {
        // Read anew: rights may have been given since the start.
        self.schemas.forget(table);
        let Some(known) = told(self.schemas.table(table).await)? else {
            let what = format!("Our user may not read {table}.");
            return Ok(vec![missing(what, "Give it Read with `provision --apply`.", ours)]);
        };
        let mut remarks = Vec::new();
        let wanted = [(known.createable, "create", true), (known.updateable, "edit", ours)];
        for (has, verb, needed) in wanted.into_iter().filter(|(_, _, needed)| *needed) {
            remarks.push(if has {
                well(format!("Our user may {verb} rows of {table}."))
            } else {
                let what = format!("Our user may not {verb} rows of {table}.");
                missing(what, "Give it the right with `provision --apply`.", ours && needed)
            });
        }
        Ok(remarks)
    }
}

/// What was told, or `None` where the platform does not tell our user.
pub(super) fn told<T>(answer: Result<T, ConnectError>) -> Result<Option<T>, ConnectError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ConnectError::Rejected(_) | ConnectError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn well(what: String) -> Remark {
    Remark { what, fix: None, serious: false }
}

fn missing(what: String, fix: &str, serious: bool) -> Remark {
    Remark { what, fix: Some(fix.to_owned()), serious }
}

fn unknown(what: &str) -> Remark {
    missing(what.to_owned(), "Give our user View Setup and Configuration, or look by hand.", false)
}
