//! The people at Partner Center and in the CRMs: they edit whatever they like, whenever they like.
//!
//! Every value that a person writes is written only once in a run, so that it can be followed.

use cosell_sync::domain::deal::{Target, Values};
use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::record::Fields;
use cosell_sync::domain::referral::Referral;
use cosell_sync::domain::stage::Stage;
use cosell_sync::domain::value::Value;
use cosell_sync::mapping::rule::Occasion;
use serde_json::{Value as Json, json};

use crate::crm;
use crate::partner_center;
use crate::tally::Mishap;
use crate::world::{Edit, OURS, World};

/// The fields that people edit on both sides.
pub(crate) const FIELDS: [&str; 5] = [
    "details.dealValue",
    "details.currency",
    "details.closingDateTime",
    "details.notes",
    "details.requirements.solutions",
];

/// A value for a field that nobody wrote before: as Partner Center writes it, and as a CRM does.
fn fresh(world: &mut World, field: &str) -> (Json, Json) {
    let number = world.next();
    match field {
        "details.dealValue" => (json!(1000 + number), json!(1000 + number)),
        "details.currency" => {
            let letter = |place: u64| char::from(b'A' + ((number / place) % 26) as u8);
            let code: String = [letter(676), letter(26), letter(1)].iter().collect();
            (json!(code), json!(code))
        }
        "details.closingDateTime" => {
            let (year, month, day) = (2027 + number / 336, (number / 28) % 12 + 1, number % 28 + 1);
            let date = format!("{year}-{month:02}-{day:02}");
            (json!(format!("{date}T00:00:00Z")), json!(date))
        }
        "details.notes" => {
            let long =
                if number.is_multiple_of(3) { " and a good deal more that is cut off" } else { "" };
            let note = format!("note {number}{long}");
            (json!(note), json!(note))
        }
        _ => {
            let id = format!("SOL-{number:05}-XYZ");
            (json!([{ "id": id, "type": "Name" }]), json!(id))
        }
    }
}

/// The CRM's name of a canonical field of a row.
pub(crate) fn crm_field(world: &World, crm: CrmName, kind: RecordKind, field: &str) -> String {
    let mapping = &world.mappings[&(crm, kind)];
    let rule = mapping.fields().iter().find(|rule| rule.name == field && rule.crm.is_some());
    rule.and_then(|rule| rule.crm.clone()).expect("a mapped field")
}

/// What a record means by a field.
pub(crate) fn record_value(world: &World, crm: CrmName, id: &str, field: &str) -> Value {
    let Some(row) = world.crms.get(&crm).and_then(|state| state.rows.get(id)) else {
        return Value::Null;
    };
    let values = world.mappings[&(crm, row.kind)].read_record(&row.fields).values;
    values.get(field).cloned().unwrap_or_default()
}

/// What a referral means by a field.
pub(crate) fn referral_value(world: &World, id: &str, field: &str) -> Value {
    let Some(stored) = world.referrals.get(id) else { return Value::Null };
    let Some(mapping) = world.mappings.values().next() else { return Value::Null };
    let referral = partner_center::shown(stored);
    mapping.read_referral(&referral).values.get(field).cloned().unwrap_or_default()
}

/// A person changes a field of a record.
pub(crate) fn edit_record(world: &mut World, crm: CrmName, id: &str, field: &str) {
    let (_, value) = fresh(world, field);
    set_record(world, crm, id, field, value);
}

/// A person gives a field of a record a certain value.
pub(crate) fn set_record(world: &mut World, crm: CrmName, id: &str, field: &str, value: Json) {
    let name = crm_field(world, crm, world.kind_of(crm, id), field);
    let saw = record_value(world, crm, id, field);
    let mut fields = Fields::new();
    fields.insert(name, value);
    crm::put(world, crm, id, &fields);
    let value = record_value(world, crm, id, field);
    world.note(format!("person {crm} {id} {field} {saw:?} -> {value:?}"));
    world.journal.acts += 1;
    written(world, Target::Crm(crm), id, field, value, saw);
}

/// A person changes a field of a referral.
pub(crate) fn edit_referral(world: &mut World, id: &str, field: &str) {
    let (value, _) = fresh(world, field);
    set_referral(world, id, field, value);
}

/// A person gives a field of a referral a certain value.
pub(crate) fn set_referral(world: &mut World, id: &str, field: &str, value: Json) {
    let saw = referral_value(world, id, field);
    if let Some(stored) = world.referrals.get_mut(id) {
        let mut at = &mut stored.fields;
        for step in field.split('.') {
            at = &mut at[step];
        }
        *at = value;
    }
    partner_center::touch(world, id, "referral-updated");
    let value = referral_value(world, id, field);
    world.note(format!("person partner_center {id} {field} {saw:?} -> {value:?}"));
    world.journal.acts += 1;
    written(world, Target::PartnerCenter, id, field, value, saw);
}

pub(crate) fn written(
    world: &mut World,
    side: Target,
    id: &str,
    field: &str,
    value: Value,
    saw: Value,
) {
    let (object, field) = (id.to_owned(), field.to_owned());
    let moment = world.moments;
    let agreed = world.journal.agreed.get(&(object.clone(), field.clone()));
    let agreed = agreed.is_some_and(|held| held.iter().all(|one| one.is(&value)));
    world.journal.edits.push(Edit { side, object, field, value, saw, moment, agreed });
}

/// A person moves a record to a stage.
pub(crate) fn move_record(world: &mut World, crm: CrmName, id: &str, stage: Stage) {
    let lead = world.kind_of(crm, id) == RecordKind::Lead;
    if lead && stage == Stage::Active {
        let made = crm::turn(world, crm, id);
        world.journal.acts += 1;
        world.met(Mishap::LeadTurned);
        world.note(format!("person {crm} turns {id} into {made}"));
        return;
    }
    let fields = match (crm, stage) {
        (CrmName::Dynamics365, _) if lead => json!({ "statecode": 2, "statuscode": 4 }),
        (CrmName::Salesforce, _) if lead => json!({ "Status": "Closed - Not Converted" }),
        (CrmName::Dynamics365, Stage::OnHold) => json!({ "statecode": 0, "statuscode": 2 }),
        (CrmName::Dynamics365, Stage::Active) => json!({ "statecode": 0, "statuscode": 1 }),
        (CrmName::Dynamics365, Stage::Won) => json!({ "statecode": 1, "statuscode": 3 }),
        (CrmName::Dynamics365, _) => json!({ "statecode": 2, "statuscode": 5 }),
        (CrmName::Salesforce, Stage::OnHold) => json!({ "StageName": "Prospecting" }),
        (CrmName::Salesforce, Stage::Active) => json!({ "StageName": "Qualification" }),
        (CrmName::Salesforce, Stage::Won) => json!({ "StageName": "Closed Won" }),
        (CrmName::Salesforce, _) => json!({ "StageName": "Closed Lost" }),
    };
    world.note(format!("person {crm} {id} is now {}", stage.as_str()));
    if stage.is_closed() {
        world.met(Mishap::RecordClosed);
    }
    set_control(world, crm, id, fields);
}

/// A person sets fields of a record that are not followed value by value.
pub(crate) fn set_control(world: &mut World, crm: CrmName, id: &str, fields: Json) {
    if let Json::Object(fields) = fields {
        crm::put(world, crm, id, &fields);
        world.journal.acts += 1;
    }
}

/// A person moves a referral to a state.
pub(crate) fn move_referral(world: &mut World, id: &str, status: &str, substatus: &str) {
    world.note(format!("person partner_center {id} is now {status}/{substatus}"));
    if let Some(stored) = world.referrals.get_mut(id) {
        stored.fields["status"] = json!(status);
        stored.fields["substatus"] = json!(substatus);
    }
    world.journal.acts += 1;
    if status == "Closed" {
        world.met(Mishap::ReferralClosed);
    }
    partner_center::touch(world, id, "referral-updated");
}

/// Microsoft sends a deal.
pub(crate) fn referral_arrives(world: &mut World) -> String {
    arrives(world, "Shared", "SalesQualified")
}

/// A request of a customer arrives: from the marketplace, or qualified by Microsoft.
pub(crate) fn lead_arrives(world: &mut World, qualified: bool) -> String {
    arrives(world, "Independent", if qualified { "MarketingQualified" } else { "Direct" })
}

fn arrives(world: &mut World, kind: &str, qualification: &str) -> String {
    world.journal.acts += 1;
    let number = world.next();
    let mut fields = json!({
        "name": format!("Northwind move {number}"), "organizationId": OURS, "type": kind,
        "qualification": qualification, "status": "New", "substatus": "Pending",
        "inviteContext": { "invitedBy": { "organizationId": "msft" } },
        "customerProfile": {
            "name": "Northwind",
            "team": [{
                "firstName": "Buyer", "lastName": "Example", "email": "buyer@northwind.example",
                "phoneNumber": "+47 2",
            }],
            "address": { "addressLine1": "1 Main", "city": "Oslo", "country": "NO", "postalCode": "0150" },
        },
        "consent": {
            "consentToToShareInfoWithOthers": true, "consentToContact": true,
            "consentToShareReferralWithMicrosoftSellers": true,
        },
        "details": { "requirements": {} },
        "team": [],
    });
    for field in FIELDS {
        let mut at = &mut fields;
        for step in field.split('.') {
            at = &mut at[step];
        }
        *at = fresh(world, field).0;
    }
    let id = partner_center::insert(world, fields);
    for field in FIELDS {
        let value = referral_value(world, &id, field);
        written(world, Target::PartnerCenter, &id, field, value, Value::Null);
    }
    world.note(format!("person partner_center {id} arrives"));
    id
}

/// A seller shares a complete opportunity.
pub(crate) fn record_is_shared(world: &mut World, crm: CrmName) -> String {
    world.journal.acts += 1;
    let number = world.next();
    let kind = RecordKind::Opportunity;
    let control = world.mappings[&(crm, kind)].control().clone();
    let mut fields = match crm {
        CrmName::Dynamics365 => json!({
            "name": format!("Fabrikam analytics {number}"),


            "parentaccountid.name": "Fabrikam", "parentaccountid.address1_line1": "1 Main",
            "parentaccountid.address1_city": "Oslo", "parentaccountid.address1_country": "NO",
            "parentcontactid.emailaddress1": "buyer@fabrikam.example",
            "owninguser.firstname": "Sam", "owninguser.lastname": "Example",
            "owninguser.internalemailaddress": "seller@contoso.example",
            "owninguser.address1_telephone1": "+47 1",
        }),
        CrmName::Salesforce => json!({
            "Name": format!("Fabrikam analytics {number}"),


            "Account.Name": "Fabrikam", "Account.BillingStreet": "1 Main",
            "Account.BillingCity": "Oslo", "Account.BillingCountry": "NO",
            "Owner.FirstName": "Sam", "Owner.LastName": "Example",
            "Owner.Email": "seller@contoso.example", "Owner.Phone": "+47 1",
        }),
    };
    fields[control.sync.as_str()] = json!(true);
    for field in FIELDS {
        let name = crm_field(world, crm, kind, field);
        fields[name.as_str()] = fresh(world, field).1;
    }
    let Json::Object(fields) = fields else { unreachable!("an object") };
    let id = crm::insert(world, crm, kind, &fields);
    for field in FIELDS {
        let value = record_value(world, crm, &id, field);
        written(world, Target::Crm(crm), &id, field, value, Value::Null);
    }
    world.note(format!("person {crm} {id} shares a deal"));
    id
}

/// A seller shares a complete lead.
pub(crate) fn lead_is_shared(world: &mut World, crm: CrmName) -> String {
    world.journal.acts += 1;
    let number = world.next();
    let kind = RecordKind::Lead;
    let control = world.mappings[&(crm, kind)].control().clone();
    let mut fields = match crm {
        CrmName::Dynamics365 => json!({
            "subject": format!("Adventure Works asks {number}"), "companyname": "Adventure Works",
            "address1_line1": "1 Main", "address1_city": "Oslo", "address1_country": "NO",
            "lastname": "Example", "emailaddress1": "buyer@adventure-works.example",
            "owninguser.firstname": "Sam", "owninguser.lastname": "Example",
            "owninguser.internalemailaddress": "seller@contoso.example",
            "owninguser.address1_telephone1": "+47 1",
        }),
        CrmName::Salesforce => json!({
            "Company": format!("Adventure Works {number}"), "Street": "1 Main", "City": "Oslo",
            "Country": "NO", "LastName": "Example", "Email": "buyer@adventure-works.example",
            "Owner.FirstName": "Sam", "Owner.LastName": "Example",
            "Owner.Email": "seller@contoso.example", "Owner.Phone": "+47 1",
        }),
    };
    fields[control.sync.as_str()] = json!(true);
    for field in FIELDS {
        let name = crm_field(world, crm, kind, field);
        fields[name.as_str()] = fresh(world, field).1;
    }
    let Json::Object(fields) = fields else { unreachable!("an object") };
    let id = crm::insert(world, crm, kind, &fields);
    for field in FIELDS {
        let value = record_value(world, crm, &id, field);
        written(world, Target::Crm(crm), &id, field, value, Value::Null);
    }
    world.note(format!("person {crm} {id} shares a lead"));
    id
}

/// One edit of anybody, anywhere.
pub(crate) fn edit_something(world: &mut World) {
    let sides = world.crms.len() + 1;
    let side = world.dice.below(sides);
    if side == 0 { edit_a_referral(world) } else { edit_a_record(world, side - 1) }
}

/// A person enters in the referral what a record holds.
pub(crate) fn copy_to_referral(world: &mut World, crm: CrmName, id: &str, to: &str, field: &str) {
    let value = record_value(world, crm, id, field);
    let mut values = Values::new();
    values.insert(field.to_owned(), value);
    let mapping = world.mapping_of(crm, id);
    let fields = mapping.write_referral(&values, None, Occasion::Update).expect("a value");
    let Some(value) = fields.get(field).cloned() else { return };
    set_referral(world, to, field, value);
}

fn edit_a_referral(world: &mut World) {
    let open: Vec<(String, bool, bool)> = world
        .referrals
        .iter()
        .filter(|(_, stored)| stored.fields["status"] != "Closed")
        .map(|(id, stored)| {
            (id.clone(), stored.fields["status"] == "New", stored.fields["organizationId"] == OURS)
        })
        .collect();
    let Some((id, new, ours)) = world.dice.pick(&open).cloned() else { return };
    let die = world.dice.below(100);
    match die {
        _ if !ours => move_referral(world, &id, "Active", "Accepted"),
        0..80 => {
            let field = FIELDS[world.dice.below(FIELDS.len())];
            edit_referral(world, &id, field);
        }
        80..92 if new => move_referral(world, &id, "Active", "Accepted"),
        92..94 if new => move_referral(world, &id, "Closed", "Declined"),
        94 if new => move_referral(world, &id, "Closed", "Expired"),
        95 if !new => move_referral(world, &id, "Closed", "Won"),
        96 if !new => move_referral(world, &id, "Closed", "Lost"),
        _ => {}
    }
}

fn edit_a_record(world: &mut World, which: usize) {
    let Some(crm) = world.crms.keys().nth(which).copied() else { return };
    let open = open_rows(world, crm);
    let Some(id) = world.dice.pick(&open).cloned() else { return };
    let known = is_known(world, crm, &id);
    if is_too_new(world, crm, &id) {
        return;
    }
    let lead = world.kind_of(crm, &id) == RecordKind::Lead;
    let control = world.mapping_of(crm, &id).control().clone();
    let die = world.dice.below(200);
    let flag = |field: &str, value: Json| {
        let mut fields = Fields::new();
        fields.insert(field.to_owned(), value);
        Json::Object(fields)
    };
    match die {
        0..150 => {
            let field = FIELDS[world.dice.below(FIELDS.len())];
            edit_record(world, crm, &id, field);
        }
        150..172 if is_closed(world, crm, &id) => {}
        150..168 => move_record(world, crm, &id, Stage::Active),
        168..170 if !lead => move_record(world, crm, &id, Stage::Won),
        168..172 => move_record(world, crm, &id, Stage::Lost),
        172..175 => {
            world.met(Mishap::Paused);
            set_control(world, crm, &id, flag(&control.sync, json!(false)));
        }
        175..182 => set_control(world, crm, &id, flag(&control.sync, json!(true))),
        182..184 if known => {
            world.note(format!("person {crm} {id} overwrites the identifier"));
            world.met(Mishap::IdentifierOverwritten);
            set_control(world, crm, &id, flag(&control.referral_id, json!("mine")));
        }
        184..186 if known => {
            world.note(format!("person {crm} {id} deletes"));
            world.met(Mishap::Deleted);
            world.journal.acts += 1;
            crm::delete(world, crm, &id);
        }
        186..190 => {
            let visible = json!(world.dice.below(2) == 0);
            if let Some(field) = &control.visibility {
                set_control(world, crm, &id, flag(field, visible));
            }
        }
        190..193 => {
            let asks = world.dice.below(3) > 0;
            if let (Some(field), Some((label, _))) = (&control.help, control.help_codes.first()) {
                let value = label.parse::<i64>().map_or_else(|_| json!(label), |code| json!(code));
                set_control(world, crm, &id, flag(field, if asks { value } else { Json::Null }));
            }
        }
        _ => {}
    }
}

/// The rows of a CRM that a person can edit.
fn open_rows(world: &World, crm: CrmName) -> Vec<String> {
    let rows = world.crms[&crm].rows.iter();
    let open = rows.filter(|(_, row)| !row.deleted && !crm::is_sealed(crm, &row.fields));
    open.map(|(id, _)| id.clone()).collect()
}

/// Whether a row was ever linked to a deal.
fn is_known(world: &World, crm: CrmName, id: &str) -> bool {
    world.journal.linked.contains(&crm::key(world, crm, id))
}

/// Whoever turns a lead waits until the deal is there before editing what it became: before, an edit
/// cannot be told from what the CRM fills in by itself.
fn is_too_new(world: &World, crm: CrmName, id: &str) -> bool {
    !is_known(world, crm, id) && world.crms[&crm].turned.values().any(|made| made == id)
}

/// Somebody imports a list: one field of every row of a CRM changes at the same moment.
pub(crate) fn import(world: &mut World, crm: CrmName, field: &str) {
    world.note(format!("person {crm} imports {field}"));
    world.met(Mishap::BulkEdit);
    for id in open_rows(world, crm) {
        if !is_too_new(world, crm, &id) {
            edit_record(world, crm, &id, field);
        }
    }
}

/// Whether a record has ended, in either CRM.
fn is_closed(world: &World, crm: CrmName, id: &str) -> bool {
    let row = world.crms.get(&crm).and_then(|state| state.rows.get(id));
    let stage = row.and_then(|row| world.mappings[&(crm, row.kind)].stage_of(&row.fields));
    stage.is_some_and(Stage::is_closed)
}

/// Whether a referral is shown as own and what its record id at Partner Center is.
pub(crate) fn reference(world: &World, id: &str) -> Option<String> {
    let stored = world.referrals.get(id)?;
    let referral: Referral = partner_center::shown(stored);
    referral.text("externalReferenceId").map(str::to_owned)
}
