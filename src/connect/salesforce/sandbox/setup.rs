//! The rows that exist before anybody writes: organisation, users, profiles, stages, statuses.

use serde_json::{Value, json};

use super::options::LEAD_STATUSES;
use super::org::{Fields, Org, Row};
use super::stamp;

/// Fills a new organisation.
pub(crate) fn fill(org: &mut Org) {
    let organization = org.organization_id.clone();
    store(
        org,
        "Organization",
        &organization,
        &json!({
            "Name": "Contoso", "InstanceName": "NA1", "OrganizationType": "Developer Edition",
            "DefaultLocaleSidKey": "en_US", "IsSandbox": true,
        }),
    );
    let profile = org.ids.make("00e");
    store(org, "Profile", &profile, &json!({ "Name": "Integration", "UserType": "Standard" }));
    let set = org.ids.make("0PS");
    store(
        org,
        "PermissionSet",
        &set,
        &json!({
            "Name": "X00ex0000001", "Label": "Integration", "IsOwnedByProfile": true,
            "ProfileId": profile,
        }),
    );
    let all: Fields = super::schema::PERMISSIONS
        .iter()
        .map(|name| (format!("Permissions{name}"), json!(true)))
        .collect();
    let access = org.ids.make("10t");
    store(org, "UserPermissionAccess", &access, &Value::Object(all));
    let (integration, seller) = (org.integration_user.clone(), org.seller.clone());
    let username = org.options.username.clone();
    store(org, "User", &integration, &person("Integration", "User", &username, Some(&profile)));
    let mail = "seller@contoso.example";
    store(org, "User", &seller, &person("Contoso", "Seller", mail, None));
    for (at, stage) in org.options.stages.clone().into_iter().enumerate() {
        let id = org.ids.make("01J");
        store(
            org,
            "OpportunityStage",
            &id,
            &json!({
                "MasterLabel": stage.name, "ApiName": stage.name, "IsActive": true, "SortOrder": at + 1,
                "IsClosed": stage.closed, "IsWon": stage.won, "ForecastCategory": stage.forecast,
                "ForecastCategoryName": stage.forecast, "DefaultProbability": f64::from(stage.probability),
            }),
        );
    }
    register_fields(org);
    for (at, (name, converted)) in LEAD_STATUSES.into_iter().enumerate() {
        let id = org.ids.make("01K");
        store(
            org,
            "LeadStatus",
            &id,
            &json!({
                "MasterLabel": name, "ApiName": name, "SortOrder": at + 1, "IsDefault": at == 0,
                "IsConverted": converted,
            }),
        );
    }
}

fn person(first: &str, last: &str, username: &str, profile: Option<&str>) -> Value {
    json!({
        "Username": username, "FirstName": first, "LastName": last, "Name": format!("{first} {last}"),
        "Email": username, "Phone": "+49 30 5550100", "Alias": "user", "IsActive": true,
        "UserType": "Standard", "TimeZoneSidKey": "Europe/Berlin", "LocaleSidKey": "en_US",
        "LanguageLocaleKey": "en_US", "ProfileId": profile,
    })
}

fn store(org: &mut Org, object: &str, id: &str, values: &Value) {
    let mut fields = blank(org, object);
    fields.extend(values.as_object().cloned().unwrap_or_default());
    let user = org.integration_user.clone();
    let now = json!(stamp::wire(stamp::whole_second(org.now())));
    fields.insert("Id".into(), json!(id));
    fields.insert("CreatedDate".into(), now);
    fields.insert("CreatedById".into(), json!(user));
    org.touch(&mut fields, &user);
    org.put(object, id, Some(Row { fields, deleted_at: None }));
}

/// `Opportunity.Microsoft__Sync_Audit__c` in its parts: object, namespace or empty, developer name.
pub(crate) fn field_parts(full_name: &str) -> Option<(&str, &str, &str)> {
    let (object, field) = full_name.split_once('.')?;
    let own = field.strip_suffix("__c")?;
    let (prefix, name) = own.split_once("__").map_or(("", own), |(prefix, name)| (prefix, name));
    Some((object, prefix, name))
}

/// Adds the Tooling row of a custom field and returns its id.
pub(crate) fn register_field(
    org: &mut Org,
    full_name: &str,
    metadata: &Value,
    user: &str,
) -> String {
    let (object, prefix, name) = field_parts(full_name).unwrap_or_default();
    let id = org.ids.make("00N");
    let prefix = if prefix.is_empty() { Value::Null } else { json!(prefix) };
    let values = json!({
        "DeveloperName": name, "NamespacePrefix": prefix, "TableEnumOrId": object,
        "FullName": full_name, "Metadata": metadata,
    });
    store(org, "CustomField", &id, &values);
    if let Some(mut row) = org.stored("CustomField", &id).cloned() {
        org.touch(&mut row.fields, user);
        org.put("CustomField", &id, Some(row));
    }
    id
}

/// Adds the Tooling rows of the custom fields that are there already.
pub(crate) fn register_fields(org: &mut Org) {
    let known: Vec<String> = org
        .table("CustomField")
        .filter_map(|(_, row)| row.fields["FullName"].as_str().map(str::to_owned))
        .collect();
    let missing: Vec<(String, Value)> = org
        .schema
        .objects()
        .flat_map(|object| object.fields.iter().map(move |field| (object, field)))
        .filter(|(_, field)| field.custom)
        .map(|(object, field)| (format!("{}.{}", object.name, field.name), field.metadata()))
        .filter(|(name, _)| !known.contains(name))
        .collect();
    let user = org.seller.clone();
    for (name, metadata) in missing {
        register_field(org, &name, &metadata, &user);
    }
}

/// Gives the rows of an object the empty value of fields that are younger than they are. Stamps
/// stay: a new field is no edit.
pub(crate) fn complete_rows(org: &mut Org, object: &str) {
    let blank = blank(org, object);
    let rows: Vec<(String, Row)> =
        org.table(object).map(|(id, row)| (id.clone(), row.clone())).collect();
    for (id, mut row) in rows {
        for (name, value) in &blank {
            row.fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
        org.put(object, &id, Some(row));
    }
}

/// A row of this object with every field at its empty value.
pub(crate) fn blank(org: &Org, object: &str) -> Fields {
    let mut fields = Fields::new();
    for field in org.schema.object(object).into_iter().flat_map(|object| &object.fields) {
        fields.insert(field.name.clone(), empty(field));
    }
    fields
}

/// The value of a field that nobody has set.
pub(crate) fn empty(field: &super::schema::Field) -> Value {
    match field.kind {
        super::schema::Kind::Boolean => json!(false),
        _ => Value::Null,
    }
}
