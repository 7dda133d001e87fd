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
