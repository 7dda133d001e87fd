//! Creating and updating one row.

use serde_json::{Value, json};

use super::{Writer, check, derive, input};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::{Fields, Org, Row};
use crate::connect::salesforce::sandbox::schema::{Field, Object};
use crate::connect::salesforce::sandbox::{setup, stamp};

impl Org {
    /// Creates a row and returns its id.
    ///
    /// # Errors
    ///
    /// What the platform refuses, with nothing stored.
    pub(crate) fn create(
        &mut self,
        name: &str,
        body: &Fields,
        by: &Writer,
    ) -> Result<String, Failure> {
        let object = self.schema.object(name).ok_or_else(Failure::not_found)?;
        if by.client && !(object.createable && self.may(object, &by.user, "PermissionsCreate")) {
            return Err(refused());
        }
        let given = self.given(object, body, by, true)?;
        let (object, prefix) = (object.name.clone(), object.prefix.clone());
        let mut fields = setup::blank(self, &object);
        self.defaults(&object, &mut fields, by);
        let told = given.clone();
        fields.extend(given);
        self.finish(&object, "", &mut fields, &told, by)?;
        let id = self.ids.make(&prefix);
        fields.insert("Id".into(), json!(id));
        fields.insert("CreatedById".into(), json!(by.user));
        let now = json!(stamp::wire(stamp::whole_second(self.now())));
        fields.insert("CreatedDate".into(), now);
        self.keep(&object, &id, fields, true, by);
        Ok(id)
    }

    /// Changes a row. Equal values still move its stamps.
    ///
    /// # Errors
    ///
    /// What the platform refuses, with nothing stored.
    pub(crate) fn update(
        &mut self,
        name: &str,
        id: &str,
        body: &Fields,
        by: &Writer,
    ) -> Result<(), Failure> {
        let object = self.schema.object(name).ok_or_else(Failure::not_found)?;
        if by.client && !(object.updateable && self.may(object, &by.user, "PermissionsEdit")) {
            return Err(refused());
        }
        let (id, row) = self.live(&object.name, id)?;
        check::locks(self, &object.name, &id, &row.fields)?;
        let mut fields = row.fields.clone();
        let mut given = self.given(object, body, by, false)?;
        let object = object.name.clone();
        if fields.get("HasOpportunityLineItem") == Some(&json!(true)) {
            // The platform says 204 and keeps the sum of the line items.
            given.remove("Amount");
        }
        let told = given.clone();
        fields.extend(given);
        self.finish(&object, &id, &mut fields, &told, by)?;
        self.keep(&object, &id, fields, false, by);
        Ok(())
    }

    /// The fields of a body under their own names with stored values.
    fn given(
        &self,
        object: &Object,
        body: &Fields,
        by: &Writer,
        creating: bool,
    ) -> Result<Fields, Failure> {
        let mut given = Fields::new();
        for (name, value) in body.iter().filter(|(name, _)| *name != "attributes") {
            if let Some((field, id)) = self.by_external_id(object, name, value)? {
                given.insert(field, id);
                continue;
            }
            let field = self.writable(object, name, by, creating)?;
            given.insert(field.name.clone(), input::read(self, field, value)?);
        }
        Ok(given)
    }

    /// A parent named by an external id: `"Account": {"Key__c": "v"}`.
    fn by_external_id(
        &self,
        object: &Object,
        name: &str,
        value: &Value,
    ) -> Result<Option<(String, Value)>, Failure> {
        let (Some(field), Value::Object(key)) = (object.relationship(name), value) else {
            return Ok(None);
        };
        let key = key.iter().find(|(name, _)| *name != "attributes");
        let Some((external, wanted)) = key else { return Ok(None) };
        let target = field.reference_to.first().map_or("", String::as_str);
        let found =
            self.live_rows(target).find(|(_, row)| row.fields.get(external) == Some(wanted));
        match found {
            Some((id, _)) => Ok(Some((field.name.clone(), json!(id)))),
            None => {
                let wanted = wanted.as_str().unwrap_or_default();
                Err(Failure::row(
                    "INVALID_FIELD",
                    format!(
                        "Foreign key external ID: {wanted} not found for field {external} in entity {target}"
                    ),
                    &[],
                ))
            }
        }
    }

    fn writable<'a>(
        &self,
        object: &'a Object,
        name: &str,
        by: &Writer,
        creating: bool,
    ) -> Result<&'a Field, Failure> {
        let field = object.field(name).filter(|_| !name.contains('.'));
        let access = field.map(|field| self.access(object, field, &by.user));
        let Some((field, (read, edit))) =
            field.zip(access).filter(|(_, (read, _))| *read || !by.client)
        else {
            let message = format!("No such column '{name}' on sobject of type {}", object.name);
            return Err(Failure::new("INVALID_FIELD", message));
        };
        let open = if creating { field.createable } else { field.updateable };
        if !open || (by.client && !(read && edit)) {
            let verb = if creating { "create" } else { "update" };
            let message = format!(
                "Unable to {verb} fields: {}. Please check the security settings of this field and \
                 verify that it is read/write for your profile or permission set.",
                field.name
            );
            return Err(Failure::row("INVALID_FIELD_FOR_INSERT_UPDATE", message, &[&field.name]));
        }
        Ok(field)
    }

    fn defaults(&self, object: &str, fields: &mut Fields, by: &Writer) {
        for field in self.schema.object(object).into_iter().flat_map(|object| &object.fields) {
            if let Some(choice) = field.choices.iter().find(|choice| choice.default) {
                fields.insert(field.name.clone(), json!(choice.value));
            } else if field.name == "OwnerId" {
                fields.insert("OwnerId".into(), json!(by.user));
            } else if field.name == "IsUnreadByOwner" {
                fields.insert("IsUnreadByOwner".into(), json!(true));
            }
        }
    }

    /// Everything between the values of the body and the stored row.
    fn finish(
        &mut self,
        object: &str,
        id: &str,
        fields: &mut Fields,
        told: &Fields,
        by: &Writer,
    ) -> Result<(), Failure> {
        check::required(self, object, fields)?;
        derive::fill(self, object, fields, told);
        if let Some(user) = self.lead_assignee.clone().filter(|_| object == "Lead" && by.assign) {
            fields.insert("OwnerId".into(), json!(user));
        }
        for (_, trigger) in self.hooks.triggers.iter_mut().filter(|(on, _)| on == object) {
            trigger(fields);
        }
        check::rules(self, object, fields)?;
        check::duplicates(self, object, id, fields, by)?;
        check::unique(self, object, id, fields)
    }

    fn keep(&mut self, object: &str, id: &str, mut fields: Fields, is_new: bool, by: &Writer) {
        self.touch(&mut fields, &by.user);
        self.put(object, id, Some(Row { fields: fields.clone(), deleted_at: None }));
        self.carry_over(object, &fields, is_new, by);
        if by.client {
            self.usage.log.writes += 1;
        }
    }
}

fn refused() -> Failure {
    let message = "insufficient access rights on object id";
    Failure::row("INSUFFICIENT_ACCESS_OR_READONLY", message, &[])
}
