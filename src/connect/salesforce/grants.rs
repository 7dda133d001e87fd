//! The permission set that lets our own user see the fields and write the rows, and its assignment.

use serde_json::{Map, Value as Json, json};

use super::privileges::told;
use super::provision::{ADVICE, PRESENT, Work};
use super::{Salesforce, convert, soql, table_of};
use crate::connect::crm::Provision;
use crate::connect::error::ConnectError;

/// Rights on the rows of a table: the columns of `ObjectPermissions`.
type Rights = &'static [&'static str];

const KEPT_IN_STEP: Rights = &["PermissionsRead", "PermissionsCreate", "PermissionsEdit"];
const MADE_IF_MISSING: Rights = &["PermissionsRead", "PermissionsCreate"];
const LOOKED_AT: Rights = &["PermissionsRead"];

impl Salesforce {
    /// The permission set with its grants, assigned to our own user.
    pub(super) async fn grant(
        &self,
        work: &mut Work<'_>,
        fields: &[String],
    ) -> Result<(), ConnectError> {
        if fields.is_empty() {
            return Ok(());
        }
        let name = developer_name(&work.wanted.container);
        let what = format!("permission set {name}");
        let soql = format!("SELECT Id FROM PermissionSet WHERE Name = {}", soql::text(&name));
        let set = match self.first_id(&soql).await? {
            Some(id) => {
                work.step(what, PRESENT);
                Some(id)
            }
            None if work.dry_run => {
                work.made(what);
                None
            }
            None => {
                let body = json!({ "Name": name, "Label": work.wanted.container });
                let made = self.add("/sobjects/PermissionSet", body).await?;
                work.step(what, if made { "created" } else { PRESENT });
                self.first_id(&soql).await?
            }
        };
        self.grant_objects(work, set.as_deref()).await?;
        self.grant_fields(work, set.as_deref(), fields).await?;
        self.assign(work, &name, set.as_deref()).await
    }

    /// Rights on the rows: of the customers first, because those of deals depend on them. Lines of
    /// products follow the deal, but show their product only to those who may read products.
    async fn grant_objects(
        &self,
        work: &mut Work<'_>,
        set: Option<&str>,
    ) -> Result<(), ConnectError> {
        let customers = ["Account", "Contact"].map(|table| (table, MADE_IF_MISSING));
        let products = self.product_tables(work.wanted).await?.map(|table| (table, LOOKED_AT));
        let all = customers.into_iter().chain(products).chain([(work.table, KEPT_IN_STEP)]);
        for (table, rights) in all {
            let words: Vec<String> = rights
                .iter()
                .filter_map(|right| right.strip_prefix("Permissions"))
                .map(str::to_lowercase)
                .collect();
            let what = format!("permission to {} {table} rows", words.join(", "));
            let Some(set) = set else {
                work.made(what);
                continue;
            };
            match self.grant_object(work.dry_run, table, set, rights).await {
                Ok(true) => work.made(what),
                Ok(false) => work.step(what, PRESENT),
                // A licence may not allow it; the admin has other ways to give the right.
                Err(ConnectError::Rejected(refusal)) => {
                    work.step(format!("{what}: grant it by hand ({})", refusal.message), ADVICE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The tables behind lines of products, where the mapping reads such lines. Entries of a price
    /// book have no rights of their own: they follow their book.
    pub(super) async fn product_tables(
        &self,
        wanted: &Provision,
    ) -> Result<impl Iterator<Item = &'static str> + use<>, ConnectError> {
        let table = told(self.schemas.table(table_of(wanted.kind)).await)?;
        let has_lines = wanted.watched.iter().any(|step| {
            let path = format!("{step}.Id");
            let way = table.as_ref().and_then(|table| table.list(&path));
            way.is_some_and(|(way, _)| way.table == "OpportunityLineItem")
        });
        let tables: &[&str] = if has_lines { &["Product2", "Pricebook2"] } else { &[] };
        Ok(tables.iter().copied())
    }

    /// Grants what is missing and takes nothing away; says whether anything was missing.
    async fn grant_object(
        &self,
        dry_run: bool,
        table: &str,
        set: &str,
        rights: Rights,
    ) -> Result<bool, ConnectError> {
        let soql = format!(
            "SELECT Id, {} FROM ObjectPermissions WHERE ParentId = {} AND SobjectType = {}",
            rights.join(", "),
            soql::text(set),
            soql::text(table)
        );
        let (rows, _) = self.client.query(&soql).await?;
        let has = |right: &&&str| {
            rows.first().and_then(|row| row.get(**right)).and_then(Json::as_bool) == Some(true)
        };
        let lacking: Vec<&&str> = rights.iter().filter(|right| !has(right)).collect();
        if lacking.is_empty() || dry_run {
            return Ok(!lacking.is_empty());
        }
        let mut body: Map<String, Json> =
            lacking.into_iter().map(|right| ((*right).to_owned(), json!(true))).collect();
        match rows.first() {
            Some(row) => {
                let path = format!("/sobjects/ObjectPermissions/{}", convert::id(row)?);
                self.change(&path, Json::Object(body)).await?;
                Ok(true)
            }
            None => {
                body.insert("ParentId".to_owned(), json!(set));
                body.insert("SobjectType".to_owned(), json!(table));
                self.add("/sobjects/ObjectPermissions", Json::Object(body)).await
            }
        }
    }

    /// Makes a row unless somebody made the same one meanwhile; says whether it was made.
    async fn add(&self, path: &str, body: Json) -> Result<bool, ConnectError> {
        match self.insert(path, body).await {
            Ok(_) => Ok(true),
            Err(ConnectError::Exists(_)) => Ok(false),
            Err(ConnectError::Rejected(refusal)) if refusal.code == "DUPLICATE_DEVELOPER_NAME" => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn grant_fields(
        &self,
        work: &mut Work<'_>,
        set: Option<&str>,
        fields: &[String],
    ) -> Result<(), ConnectError> {
        let granted = match set {
            Some(set) => self.granted(work.table, set).await?,
            None => Vec::new(),
        };
        for field in fields {
            let what = format!("permission to read and edit {field}");
            let found = granted.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(field));
            let grant = json!({ "PermissionsRead": true, "PermissionsEdit": true });
            match (found, set) {
                (Some((_, _, true)), _) => work.step(what, PRESENT),
                (_, None) => work.made(what),
                (Some((_, id, false)), Some(_)) => {
                    if !work.dry_run {
                        self.change(&format!("/sobjects/FieldPermissions/{id}"), grant).await?;
                    }
                    work.made(what);
                }
                (None, Some(set)) => {
                    if !work.dry_run {
                        let body = json!({
                            "ParentId": set, "SobjectType": work.table, "Field": field,
                            "PermissionsRead": true, "PermissionsEdit": true,
                        });
                        self.add("/sobjects/FieldPermissions", body).await?;
                    }
                    work.made(what);
                }
            }
        }
        Ok(())
    }

    /// Fields that a permission set grants: name, id of the grant, whether it includes editing.
    async fn granted(
        &self,
        table: &str,
        set: &str,
    ) -> Result<Vec<(String, String, bool)>, ConnectError> {
        let soql = format!(
            "SELECT Id, Field, PermissionsEdit FROM FieldPermissions \
             WHERE ParentId = {} AND SobjectType = {}",
            soql::text(set),
            soql::text(table)
        );
        let (rows, _) = self.client.query(&soql).await?;
        rows.iter()
            .map(|row| {
                let field = row.get("Field").and_then(Json::as_str).unwrap_or_default();
                let edit = row.get("PermissionsEdit").and_then(Json::as_bool).unwrap_or_default();
                Ok((field.to_owned(), convert::id(row)?.to_string(), edit))
            })
            .collect()
    }

    async fn assign(
        &self,
        work: &mut Work<'_>,
        name: &str,
        set: Option<&str>,
    ) -> Result<(), ConnectError> {
        let user = self.client.identity().await?.user_id;
        let what = format!("assignment of {name} to the integration user");
        let Some(set) = set else {
            work.made(what);
            return Ok(());
        };
        let soql = format!(
            "SELECT Id FROM PermissionSetAssignment WHERE AssigneeId = {} AND PermissionSetId = {}",
            soql::text(&user),
            soql::text(set)
        );
        if self.first_id(&soql).await?.is_some() {
            work.step(what, PRESENT);
            return Ok(());
        }
        if !work.dry_run {
            let body = json!({ "AssigneeId": user, "PermissionSetId": set });
            self.add("/sobjects/PermissionSetAssignment", body).await?;
        }
        work.made(what);
        Ok(())
    }
}

/// A name that Salesforce takes for a permission set.
fn developer_name(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars() {
        let letter = if letter.is_ascii_alphanumeric() { letter } else { '_' };
        if letter != '_' || !(name.is_empty() || name.ends_with('_')) {
            name.push(letter);
        }
    }
    let name = name.trim_end_matches('_');
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name.to_owned()
    } else {
        format!("Set_{name}").trim_end_matches('_').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::developer_name;

    #[test]
    fn permission_sets_get_a_name_that_is_taken() {
        let table = [
            ("Cosell Sync", "Cosell_Sync"),
            ("cosell-sync (test)", "cosell_sync_test"),
            ("1 set", "Set_1_set"),
            ("", "Set"),
        ];
        for (text, expected) in table {
            assert_eq!(developer_name(text), expected, "{text}");
        }
    }
}
