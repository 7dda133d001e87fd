//! What a mapping costs: one record of 30 fields one way, JSON text in and out, beside parsing the
//! same text; and compiling a file of 50 rows.
//!
//! Targets: at most 20 µs for the 30 fields, at most 1 ms for the file.

use std::fmt::Write as _;

use cosell_sync::domain::record::Fields;
use cosell_sync::domain::referral::Referral;
use cosell_sync::mapping::rule::Occasion;
use cosell_sync::mapping::{Mapping, Source, compile};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// A mapping with `rows` rows of every type; the first 30 are what the record of the bench holds.
fn file(rows: usize) -> String {
    let mut text = String::from(HEAD);
    for at in 0..rows {
        let (referral, kind, more) = match at {
            0 => ("name", "text", "direction = \"to_crm\"\ncodec = [\"html_text\", \"max:120\"]"),
            1 => ("details.dealValue", "money", BOTH),
            2 => ("details.currency", "option", "codec = [\"upper\"]\nconflict = \"crm\""),
            3 => ("details.closingDateTime", "date", "codec = [\"date\"]\nconflict = \"crm\""),
            4 => ("details.notes", "text", BOTH),
            5 => ("salesStage", "option", "codec = [\"lookup:stage\"]\nconflict = \"crm\""),
            6 => ("details.requirements.solutions", "list", LIST),
            7 => ("campaignId", "text", BOTH),
            8 => ("externalReferenceId", "text", BOTH),
            9 => ("referralProgram", "text", BOTH),
            _ => (READ_ONLY[at % READ_ONLY.len()], "text", "direction = \"to_crm\""),
        };
        writeln!(
            text,
            "[[field]]\nreferral = \"{referral}\"\ncrm = \"Field_{at}__c\"\ntype = \"{kind}\"\n{more}"
        )
        .expect("text");
    }
    text
}

const BOTH: &str = "conflict = \"crm\"";
const LIST: &str = "identity = \"id\"\ncodec = [\"split:;\"]\nconflict = \"crm\"";
const READ_ONLY: [&str; 10] = [
    "customerProfile.name",
    "customerProfile.size",
    "customerProfile.address.city",
    "customerProfile.address.country",
    "customerProfile.address.postalCode",
    "customerProfile.team.0.email",
    "customerProfile.team.0.firstName",
    "organizationName",
    "trackingInfo.microsoftMsxId",
    "quality",
];

const HEAD: &str = r#"
crm = "salesforce"
record = "lead"
[control]
referral_id = "Referral_Identifier__c"
sync = "Sync__c"
audit = "Audit__c"
[lookup.stage]
rows = [["10", "Open"], ["20", "Qualified"], ["40", "Developed"], ["60", "Proposed"], ["80", "Negotiated"]]
[[stage]]
stage = "active"
when = { IsConverted = true }
write = { Status = "Closed - Converted" }
[[stage]]
stage = "lost"
when = { Status = "Closed - Not Converted" }
write = { Status = "Closed - Not Converted" }
[[stage]]
stage = "on_hold"
when = { IsConverted = false }
write = { Status = "Open" }
[[stage]]
stage = "declined"
write = { Status = "Closed - Not Converted" }
[[stage]]
stage = "expired"
write = { Status = "Closed - Not Converted" }
[[stage]]
stage = "error"
write = { Status = "Closed - Not Converted" }
[[field]]
referral = "customerProfile.team.0.lastName"
crm = "LastName"
type = "text"
direction = "to_crm"
[[field]]
referral = "customerProfile.name"
crm = "Company"
type = "text"
direction = "to_crm"
"#;

const REFERRAL: &str = r#"{"id":"11111111-2222-4333-8444-555555555555","name":"Northwind ERP &amp; CRM move",
"organizationName":"Contoso","externalReferenceId":"crm-42","campaignId":"C-1","referralProgram":"P","salesStage":"20",
"quality":"High","customerProfile":{"name":"Northwind","size":"51to250employees","address":{"city":"Oslo","country":"NO",
"postalCode":"0150"},"team":[{"firstName":"Kim","lastName":"Example","email":"buyer@northwind.example"}]},
"details":{"notes":"Wants to start in January","dealValue":125000.5,"currency":"NOK",
"closingDateTime":"2026-12-31T00:00:00Z","requirements":{"solutions":[{"id":"SOL-00002-ABC"},{"id":"SOL-00001-XYZ"}]}},
"trackingInfo":{"microsoftMsxId":"7-ABCDEF"}}"#;

/// The formulas of the measurements: four, of usual size.
const FORMULAS: &str = r#"
[[field]]
crm = "Forecast__c"
type = "option"
to_crm = "'Commit' if referral.salesStage|int >= 80 else 'Pipeline'"
[[field]]
crm = "Contact__c"
type = "text"
to_crm = "referral.customerProfile.team|first|default('')"
[[field]]
crm = "City_And_Country__c"
type = "text"
to_crm = "referral.customerProfile.address.city ~ ', ' ~ referral.customerProfile.address.country"
[[field]]
crm = "Weighted__c"
type = "money"
to_crm = "referral.details.dealValue|times('0.2')"
"#;

fn mapping(text: &str) -> Mapping {
    let load = |name: &str| Ok(Source { name: name.to_owned(), text: text.to_owned() });
    compile("bench.toml", &load).unwrap_or_else(|problems| panic!("{problems}"))
}

/// From the text of the referral to the text of the record.
fn one_way(mapping: &Mapping) -> String {
    let referral: Referral = serde_json::from_str(black_box(REFERRAL)).expect("a referral");
    let side = mapping.read_referral(&referral);
    let fields = mapping.write_record(&side.values, Some(&referral), Occasion::Update);
    serde_json::to_string(&fields.expect("fields")).expect("text")
}

/// From the text of the record to the JSON of the referral.
fn back(mapping: &Mapping, record: &str) -> String {
    let fields: Fields = serde_json::from_str(black_box(record)).expect("JSON");
    let side = mapping.read_record(&fields);
    let paths = mapping.write_referral(&side.values, None, Occasion::Update);
    serde_json::to_string(&paths.expect("paths")).expect("text")
}

#[divan::bench]
fn parse_the_same_json(bencher: Bencher<'_, '_>) {
    bencher.bench(|| serde_json::from_str::<serde_json::Value>(black_box(REFERRAL)).expect("JSON"));
}

#[divan::bench]
fn thirty_fields_to_the_crm(bencher: Bencher<'_, '_>) {
    let mapping = mapping(&file(28));
    bencher.bench(|| one_way(&mapping));
}

#[divan::bench]
fn thirty_fields_and_four_formulas_to_the_crm(bencher: Bencher<'_, '_>) {
    let mapping = mapping(&(file(28) + FORMULAS));
    bencher.bench(|| one_way(&mapping));
}

#[divan::bench]
fn thirty_fields_to_partner_center(bencher: Bencher<'_, '_>) {
    let mapping = mapping(&file(28));
    let record = one_way(&mapping);
    bencher.bench(|| back(&mapping, &record));
}

#[divan::bench]
fn compile_fifty_rows(bencher: Bencher<'_, '_>) {
    let text = file(48);
    bencher.bench(|| mapping(black_box(&text)));
}
