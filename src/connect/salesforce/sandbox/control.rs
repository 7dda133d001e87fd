//! The control handle: what people and admins do, and what tests look at.

use serde_json::{Value, json};

use super::failure::Failure;
use super::hooks::{DuplicateRule, Rule, Trigger};
use super::org::{Fields, Org};
use super::rows::{Conversion, Writer};
use super::schema::{Field, Kind, checkbox};
use super::usage::RequestLog;
use super::{SalesforceSandbox, id, setup};

/// The status that a person picks when converting.
const CONVERTED: &str = "Closed - Converted";

/// The type of a field that an administrator adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomField {
    /// Yes or no.
    CheckBox,
    /// A date.
    Date,
    /// An amount with two digits after the point.
    Amount,
    /// Text of up to 255 characters.
    Text,
}

impl Org {
    /// A seller creates a row; returns its id.
    ///
    /// # Errors
    ///
    /// What the platform refuses.
    pub fn create_as_person(&mut self, object: &str, fields: &Value) -> Result<String, Failure> {
        let by = Writer::person(&self.seller.clone());
        self.create(object, &object_of(fields)?, &by)
    }

    /// A seller edits a row.
    ///
    /// # Errors
    ///
    /// What the platform refuses.
    pub fn edit_as_person(
        &mut self,
        object: &str,
        id: &str,
        fields: &Value,
    ) -> Result<(), Failure> {
        let by = Writer::person(&self.seller.clone());
        self.update(object, id, &object_of(fields)?, &by)
    }

    /// A seller deletes a row.
    ///
    /// # Errors
    ///
    /// If it is missing, deleted or locked.
    pub fn delete_as_person(&mut self, object: &str, id: &str) -> Result<(), Failure> {
        let by = Writer::person(&self.seller.clone());
        self.delete(object, id, &by)
    }

    /// A seller takes a row out of the recycle bin.
    ///
    /// # Errors
    ///
    /// If it is not in there.
    pub fn undelete_as_person(&mut self, object: &str, id: &str) -> Result<(), Failure> {
        let by = Writer::person(&self.seller.clone());
        self.restore(object, &id::normal(id).ok_or_else(Failure::not_found)?, &by)
    }

    /// A seller merges `loser` into `winner` (accounts, contacts, leads).
    ///
    /// # Errors
    ///
    /// If one of them is missing or deleted.
    pub fn merge_as_person(
        &mut self,
        object: &str,
        winner: &str,
        loser: &str,
    ) -> Result<(), Failure> {
        let by = Writer::person(&self.seller.clone());
        let loser = id::normal(loser).ok_or_else(Failure::not_found)?;
        self.merge(object, winner, &loser, &by)
    }

    /// A seller converts a lead; returns the id of the opportunity.
    ///
    /// # Errors
    ///
    /// What the platform refuses.
    pub fn convert_lead_as_person(&mut self, lead: &str) -> Result<String, Failure> {
        let asked = Conversion {
            lead: lead.to_owned(),
            status: CONVERTED.to_owned(),
            ..Conversion::default()
        };
        let user = self.seller.clone();
        Ok(self.convert(&asked, &user, false)?.opportunity.unwrap_or_default())
    }

    /// The fields of a row, in the recycle bin or not; `None` if there never was one.
    #[must_use]
    pub fn row(&self, object: &str, id: &str) -> Option<Value> {
        let row = self.stored(object, &id::normal(id)?)?;
        Some(Value::Object(row.fields.clone()))
    }

    /// The fields of every row that is not deleted, by id.
    #[must_use]
    pub fn rows(&self, object: &str) -> Vec<Value> {
        self.live_rows(object).map(|(_, row)| Value::Object(row.fields.clone())).collect()
    }

    /// API calls that count against the quota now.
    #[must_use]
    pub fn quota_used(&mut self) -> usize {
        let now = self.now();
        self.usage.state(now).0
    }

    /// Other programs of the organisation make so many calls.
    pub fn spend_quota(&mut self, calls: usize) {
        let now = self.now();
        self.usage.spend(calls, now);
    }

    /// Gives an opportunity line items: from now on its Amount cannot be written.
    pub fn add_line_items(&mut self, id: &str) {
        let Some(id) = id::normal(id) else { return };
        if let Some(mut row) = self.stored("Opportunity", &id).cloned() {
            row.fields.insert("HasOpportunityLineItem".into(), json!(true));
            let user = self.seller.clone();
            self.touch(&mut row.fields, &user);
            self.put("Opportunity", &id, Some(row));
        }
    }

    /// Hides a field from everybody that no permission set grants it to.
    pub fn hide_field(&mut self, object: &str, field: &str) {
        self.set_access(object, field, false, false);
    }

    /// Makes a field read-only for everybody that no permission set grants it to.
    pub fn make_read_only(&mut self, object: &str, field: &str) {
        self.set_access(object, field, true, false);
    }

    /// Makes the rows of an object read-only for everybody that no permission set grants them to.
    pub fn make_object_read_only(&mut self, object: &str) {
        if let Some(object) = self.schema.object_mut(object) {
            object.open_to_write = false;
        }
    }

    /// Hides an object and its rows from everybody that no permission set grants them to.
    pub fn hide_object(&mut self, object: &str) {
        if let Some(object) = self.schema.object_mut(object) {
            object.open_to_read = false;
        }
    }

    /// Gives the integration user a system permission such as `ConvertLeads`, or takes it away.
    pub fn set_permission(&mut self, name: &str, given: bool) {
        let column = format!("Permissions{name}");
        let row = self.live_rows("UserPermissionAccess").next();
        let row = row.map(|(id, row)| (id.clone(), row.clone()));
        if let Some((id, mut row)) = row.filter(|(_, row)| row.fields.contains_key(&column)) {
            row.fields.insert(column, json!(given));
            self.put("UserPermissionAccess", &id, Some(row));
        }
    }

    fn set_access(&mut self, object: &str, name: &str, read: bool, edit: bool) {
        let fields = self.schema.object_mut(object).map(|object| &mut object.fields);
        for field in fields.into_iter().flatten().filter(|field| field.name == name) {
            field.open_to_read = read;
            field.open_to_edit = edit;
        }
    }
}

fn object_of(fields: &Value) -> Result<Fields, Failure> {
    fields.as_object().cloned().ok_or_else(|| Failure::body("a row must be an object"))
}

/// Everything that [`Org`] offers a hook, and what only makes sense from outside.
impl SalesforceSandbox {
    /// A seller creates an account; returns its id.
    ///
    /// # Errors
    ///
    /// What the platform refuses.
    pub fn seed_account(&self, fields: &Value) -> Result<String, Failure> {
        self.create_as_person("Account", fields)
    }

    /// A seller creates a contact; returns its id.
    ///
    /// # Errors
    ///
    /// What the platform refuses.
    pub fn seed_contact(&self, fields: &Value) -> Result<String, Failure> {
        self.create_as_person("Contact", fields)
    }

    /// See [`Org::create_as_person`].
    ///
    /// # Errors
    ///
    /// What the platform refuses.
    pub fn create_as_person(&self, object: &str, fields: &Value) -> Result<String, Failure> {
        self.with(|org| org.create_as_person(object, fields))
    }

    /// See [`Org::edit_as_person`].
    ///
    /// # Errors
    ///
    /// What the platform refuses.
    pub fn edit_as_person(&self, object: &str, id: &str, fields: &Value) -> Result<(), Failure> {
        self.with(|org| org.edit_as_person(object, id, fields))
    }

    /// See [`Org::delete_as_person`].
    ///
    /// # Errors
    ///
    /// If it is missing, deleted or locked.
    pub fn delete_as_person(&self, object: &str, id: &str) -> Result<(), Failure> {
        self.with(|org| org.delete_as_person(object, id))
    }

    /// See [`Org::undelete_as_person`].
    ///
    /// # Errors
    ///
    /// If it is not in the recycle bin.
    pub fn undelete_as_person(&self, object: &str, id: &str) -> Result<(), Failure> {
        self.with(|org| org.undelete_as_person(object, id))
    }

    /// See [`Org::merge_as_person`].
    ///
    /// # Errors
    ///
    /// If one of the rows is missing or deleted.
    pub fn merge_as_person(&self, object: &str, winner: &str, loser: &str) -> Result<(), Failure> {
        self.with(|org| org.merge_as_person(object, winner, loser))
    }

    /// See [`Org::convert_lead_as_person`].
    ///
    /// # Errors
    ///
    /// What the platform refuses.
    pub fn convert_lead_as_person(&self, lead: &str) -> Result<String, Failure> {
        self.with(|org| org.convert_lead_as_person(lead))
    }

    /// See [`Org::row`].
    #[must_use]
    pub fn row(&self, object: &str, id: &str) -> Option<Value> {
        self.with(|org| org.row(object, id))
    }

    /// See [`Org::rows`].
    #[must_use]
    pub fn rows(&self, object: &str) -> Vec<Value> {
        self.with(|org| org.rows(object))
    }

    /// See [`Org::add_line_items`].
    pub fn add_line_items(&self, id: &str) {
        self.with(|org| org.add_line_items(id));
    }

    /// See [`Org::hide_object`].
    pub fn hide_object(&self, object: &str) {
        self.with(|org| org.hide_object(object));
    }

    /// See [`Org::hide_field`].
    pub fn hide_field(&self, object: &str, field: &str) {
        self.with(|org| org.hide_field(object, field));
    }

    /// See [`Org::make_object_read_only`].
    pub fn make_object_read_only(&self, object: &str) {
        self.with(|org| org.make_object_read_only(object));
    }

    /// See [`Org::set_permission`].
    pub fn set_permission(&self, name: &str, given: bool) {
        self.with(|org| org.set_permission(name, given));
    }

    /// See [`Org::make_read_only`].
    pub fn make_read_only(&self, object: &str, field: &str) {
        self.with(|org| org.make_read_only(object, field));
    }

    /// What clients have done so far.
    #[must_use]
    pub fn request_log(&self) -> RequestLog {
        self.with(|org| org.usage.log.clone())
    }

    /// Forgets what clients have done; the quota keeps counting.
    pub fn clear_request_log(&self) {
        self.with(|org| org.usage.log = RequestLog::default());
    }

    /// Runs `hook` once, when the next write of a client has arrived and before it looks at the
    /// row: a person edits between the client's read and its write.
    pub fn before_next_write(&self, hook: impl FnOnce(&mut Org) + Send + 'static) {
        self.with(|org| org.hooks.before_write.push_back(Box::new(hook)));
    }

    /// Changes rows of `object` while they are saved, as a trigger or flow does.
    pub fn add_trigger(&self, object: &str, trigger: impl FnMut(&mut Fields) + Send + 'static) {
        let trigger: Trigger = Box::new(trigger);
        self.with(|org| org.hooks.triggers.push((object.to_owned(), trigger)));
    }

    /// Refuses rows of `object` for which `rule` gives a message and the field it belongs to.
    pub fn add_validation_rule(
        &self,
        object: &str,
        rule: impl Fn(&Fields) -> Option<(String, String)> + Send + 'static,
    ) {
        let rule: Rule = Box::new(rule);
        self.with(|org| org.hooks.rules.push((object.to_owned(), rule)));
    }

    /// Adds a duplicate rule.
    pub fn add_duplicate_rule(&self, rule: DuplicateRule) {
        self.with(|org| org.hooks.duplicates.push(rule));
    }

    /// From now on assignment rules give leads to this user, unless a client switches them off.
    pub fn assign_leads_to(&self, user: &str) {
        self.with(|org| org.lead_assignee = Some(user.to_owned()));
    }

    /// Custom lead fields that a conversion carries to opportunity fields.
    pub fn map_lead_fields(&self, pairs: &[(&str, &str)]) {
        let pairs = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        self.with(|org| org.lead_mapping = pairs.collect());
    }

    /// Puts a row into an approval process: nobody can edit it.
    pub fn lock_for_approval(&self, id: &str) {
        self.with(|org| org.approval_locks.extend(id::normal(id)));
    }

    /// Ends the approval process.
    pub fn unlock(&self, id: &str) {
        self.with(|org| id::normal(id).map(|id| org.approval_locks.remove(&id)));
    }

    /// Lets or no longer lets a user log in and own rows.
    pub fn set_active(&self, user: &str, active: bool) {
        self.with(|org| {
            if let Some(mut row) = org.stored("User", user).cloned() {
                row.fields.insert("IsActive".into(), json!(active));
                org.put("User", user, Some(row));
            }
        });
    }

    /// Registers the public key or certificate (PEM) that assertions are checked against.
    pub fn register_key(&self, pem: &str) {
        self.with(|org| org.options.public_key_pem = Some(pem.to_owned()));
    }

    /// Sets how many API calls a rolling 24 hours may hold.
    pub fn set_quota(&self, max: usize) {
        self.with(|org| org.usage.set_quota(max));
    }

    /// Ends every session.
    pub fn expire_sessions(&self) {
        self.with(|org| org.sessions.close_all());
    }

    /// Ends every query cursor.
    pub fn make_cursors_stale(&self) {
        self.with(|org| org.cursors.forget());
    }

    /// Forgets deletions of more than two hours ago, as a job of the platform does.
    pub fn trim_delete_log(&self) {
        self.with(|org| {
            let two_hours = std::time::Duration::from_secs(2 * 3600);
            org.deletes_trimmed_before = Some(org.now().minus(two_hours));
        });
    }

    /// Installs the co-sell fields on Opportunity and Lead, visible to everyone. `prefix` is empty
    /// or `Microsoft__`.
    pub fn install_fields(&self, prefix: &str) {
        self.with(|org| {
            let unique = org.options.unique_referral;
            org.schema.install_cosell(prefix, unique);
            org.options.package_installed |= prefix == "Microsoft__";
            setup::register_fields(org);
            setup::complete_rows(org, "Opportunity");
            setup::complete_rows(org, "Lead");
        });
    }

    /// Adds a text field that is an external id, visible to everyone.
    pub fn add_external_id_field(&self, object: &str, name: &str, unique: bool) {
        self.with(|org| {
            if let Some(known) = org.schema.object_mut(object) {
                known.fields.push(Field::new(name, Kind::Text, 100).external_id(unique));
            }
            setup::complete_rows(org, object);
        });
    }

    /// An administrator adds a field, visible to everyone.
    pub fn add_field(&self, object: &str, name: &str, kind: CustomField) {
        let field = match kind {
            CustomField::CheckBox => checkbox(name),
            CustomField::Date => Field::new(name, Kind::Date, 0),
            CustomField::Amount => Field::new(name, Kind::Currency, 0).digits(18, 2),
            CustomField::Text => Field::new(name, Kind::Text, 255),
        };
        self.with(|org| {
            if let Some(known) = org.schema.object_mut(object) {
                known.fields.push(field);
            }
            setup::register_fields(org);
            setup::complete_rows(org, object);
        });
    }

    /// Logs the integration user in without the token endpoint; returns the session id.
    #[must_use]
    pub fn log_in(&self) -> String {
        self.with(|org| {
            let (organization, user) = (org.organization_id.clone(), org.integration_user.clone());
            let now = org.now();
            org.sessions.open(&organization, &user, now)
        })
    }

    /// Id of the organisation.
    #[must_use]
    pub fn organization_id(&self) -> String {
        self.with(|org| org.organization_id.clone())
    }

    /// Id of the integration user.
    #[must_use]
    pub fn integration_user(&self) -> String {
        self.with(|org| org.integration_user.clone())
    }

    /// Id of the seller, who is every *person* of this handle.
    #[must_use]
    pub fn seller(&self) -> String {
        self.with(|org| org.seller.clone())
    }
}
