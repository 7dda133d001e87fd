//! The rows of the bad-input catalogue that concern mapping files, M1 to M16: here, folders in
//! [`super::folders`], rows that the CRM does not allow (M14) and comparisons before a change (M15) in
//! `tests/it/mappings.rs` too.

use std::fs;
use std::path::Path;

use cosell_sync::domain::record::Fields;
use cosell_sync::domain::referral::Referral;
use cosell_sync::domain::value::Value;
use cosell_sync::mapping::rule::Occasion;
use cosell_sync::mapping::{
    Mapping, Problems, Source, compile, diff, load_directory, run_cases, shipped,
};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};
use serde_json::json;

const ROW: &str = "extends = \"dynamics365-opportunity.toml\"\n[[field]]\n";

/// Compiles a file that extends the shipped one for opportunities of Dynamics 365.
fn extending(rows: &str) -> Result<Mapping, Problems> {
    compile("contoso.toml", &|name| match shipped(name) {
        Some(base) => Ok(base),
        None => Ok(Source { name: name.to_owned(), text: rows.to_owned() }),
    })
}

fn messages(result: Result<Mapping, Problems>) -> String {
    result.map_or_else(|problems| problems.to_string(), |_| String::new())
}

fn referral(fields: serde_json::Value) -> Referral {
    let mut json = json!({ "id": "11111111-2222-4333-8444-555555555555" });
    for (key, value) in fields.as_object().expect("an object") {
        json[key.as_str()] = value.clone();
    }
    Referral::from_json(json).expect("a referral")
}

#[test]
fn m1_m2_m4_m7_m11_m16_what_cannot_be_right_is_refused_on_loading() {
    let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let wide = "1+".repeat(500_000) + "1";
    let table = [
        (
            "referral = \"campaignid\"\ncrm = \"pc_a\"\ntype = \"text\"",
            "did you mean `campaignId`",
            "M1 field",
        ),
        (
            "crm = \"pc_a\"\ntype = \"text\"\nto_crm = \"now()\"",
            "unknown function `now`",
            "M1 function",
        ),
        ("crm = \"pc_a\"\ncrm = \"pc_b\"", "duplicate key", "M2 key"),
        (
            "referral = \"campaignId\"\ncrm = \"description\"\ntype = \"text\"\ndirection = \"to_crm\"",
            "already has a writer at",
            "M2 target",
        ),
        (
            &format!("crm = \"pc_a\"\ntype = \"text\"\nto_crm = \"{deep}\""),
            "longer than 2000",
            "M4 depth",
        ),
        (
            &format!("crm = \"pc_a\"\ntype = \"text\"\nto_crm = \"{wide}\""),
            "longer than 2000",
            "M4 nodes",
        ),
        (
            "referral = \"campaignId\"\ncrm = \"pc_a\"\ntype = \"text\"\ncodec = [\"max:9\"]\nconflict = \"crm\"",
            "does not come back",
            "M7 truncation",
        ),
        (
            "crm = \"pc_a\"\ntype = \"text\"\nto_crm = \"env('HOME')\"",
            "unknown function `env`",
            "M11",
        ),
        (
            "crm = \"pc_a\"\ntype = \"text\"\nto_crm = \"include('x')\"",
            "unknown function `include`",
            "M11",
        ),
        ("crm = \"a' or '1\"\ntype = \"text\"", "is not the API name", "M16 OData"),
        ("crm = \"Id FROM User\"\ntype = \"text\"", "is not the API name", "M16 SOQL"),
        ("crm = \"parentaccountid.na$me\"\ntype = \"text\"", "is not the API name", "M16 dotted"),
    ];
    for (row, expected, why) in table {
        let said = messages(extending(&format!("{ROW}{row}\n")));
        assert!(said.contains(expected), "{why}: {said}");
        assert!(said.contains("contoso.toml:"), "{why}: the place is missing: {said}");
    }
}

/// A file at the size limit that is wrong in every row is refused with a list that can be read.
#[test]
fn a_hopeless_file_is_refused_with_a_short_list() {
    let row = "[[field]]\nreferral = \"nam\"\ncrm = \"pc_a\"\ntipe = \"text\"\n";
    let rows = format!("extends = \"dynamics365-opportunity.toml\"\n{}", row.repeat(15_000));
    let problems = extending(&rows).expect_err("nothing is right");
    assert_eq!(problems.0.len(), 201);
    let last = problems.0.last().map(|problem| problem.message.as_str());
    assert_eq!(last, Some("and 14801 more problems"), "the unknown keys, and the number of rows");
}

/// M5: there is no pattern matching that could run away; a filter takes plain text.
#[test]
fn m5_there_are_no_patterns() {
    for filter in ["match('(a+)+$')", "regex('(a+)+$')", "regex_replace('(a+)+$', '')"] {
        let row =
            format!("{ROW}crm = \"pc_a\"\ntype = \"text\"\nto_crm = \"referral.name|{filter}\"\n");
        assert!(messages(extending(&row)).contains("unknown filter"), "{filter}");
    }
    let row = format!(
        "{ROW}crm = \"pc_a\"\ntype = \"boolean\"\nto_crm = \"referral.name|contains('(a+)+$')\"\n"
    );
    let mapping = extending(&row).unwrap_or_else(|problems| panic!("{problems}"));
    let deal = referral(json!({ "name": "a".repeat(40_000) + "!" }));
    assert_eq!(mapping.read_referral(&deal).values["pc_a"], Value::Bool(false), "taken as it is");
}

/// M14: a field that the CRM does not have, or does not let us write, parks its own rows and is told.
#[test]
fn m14_a_missing_or_read_only_field_parks_its_rows_only() {
    let rows = format!(
        "{ROW}referral = \"campaignId\"\ncrm = \"pc_campaign\"\ntype = \"text\"\nconflict = \"crm\"\n\
         when = \"record.pc_kind|length > 0\"\n"
    );
    let mapping = extending(&rows).unwrap_or_else(|problems| panic!("{problems}"));
    let count = mapping.fields().len();
    for (missing, why) in [("pc_campaign", "its end"), ("pc_kind", "what its condition reads")] {
        let less = mapping.without(&[missing]);
        let parked = less.parked();
        assert_eq!((parked.len(), less.fields().len()), (1, count - 1), "{why}: {parked:?}");
        assert_eq!(
            (parked[0].field.as_str(), parked[0].crm_field.as_str()),
            ("campaignId", missing)
        );
        assert_eq!(parked[0].place, "contoso.toml:2");
        assert!(parked[0].reason.contains(missing) && parked[0].fix.contains("mapping reload"));
        assert!(!less.shape().fields.iter().any(|field| field == missing), "it is not read");
    }
    let less = mapping.where_writable(|field, create| field != "estimatedvalue" || create);
    let fields: Vec<&str> = less.parked().iter().map(|row| row.field.as_str()).collect();
    assert_eq!(fields, ["details.dealValue"], "written on update, which is refused");
    assert!(less.shape().fields.iter().any(|field| field == "estimatedvalue"), "it may be read");
    let needed = mapping.indispensable_fields();
    for field in ["pc_referralidentifier", "pc_syncwithpartnercenter", "statecode", "statuscode"] {
        assert!(needed.contains(&field), "{field} in {needed:?}");
    }
}

/// M15: what a change would write is known before it is used, over as many deals as there are.
#[test]
fn m15_a_change_is_counted_over_many_deals_before_it_is_used() {
    let old = extending("extends = \"dynamics365-opportunity.toml\"\n").expect("it compiles");
    let new = extending(&format!(
        "{ROW}crm = \"pc_rank\"\ntype = \"text\"\nto_crm = \"'big' if referral.details.dealValue > 500 else ''\"\n"
    ));
    let new = new.unwrap_or_else(|problems| panic!("{problems}"));
    let deals = (0..2_000).map(|value| {
        let deal = referral(json!({ "details": { "dealValue": value, "currency": "EUR" } }));
        (deal, Fields::new())
    });
    let report = diff(&old, &new, deals);
    assert_eq!((report.samples, report.by_field["pc_rank"]), (2_000, 1_499));
    assert_eq!(report.lines.len(), 1_000, "the examples are bounded, the counts are not");
}

/// M8: a formula reads the other side only and never a value that another formula made, so that
/// there is nothing to go round in.
#[test]
fn m8_formulas_cannot_read_each_other() {
    let rows = format!(
        "{ROW}crm = \"pc_a\"\ntype = \"text\"\nto_crm = \"record.pc_b\"\n\
         [[field]]\ncrm = \"pc_b\"\ntype = \"text\"\nto_crm = \"record.pc_a\"\n"
    );
    assert!(messages(extending(&rows)).contains("may read `referral` only"));
}

/// M9: several referral words for one record word go one way only, until `reverse` settles it.
#[test]
fn m9_many_to_one_needs_an_inverse() {
    let lookup = "extends = \"dynamics365-opportunity.toml\"\n[lookup.stage]\n\
                  rows = [[\"10\", 1], [\"20\", 1], [\"40\", 2]]\n";
    let row = |more: &str| {
        format!(
            "[[field]]\nreferral = \"salesStage\"\ncrm = \"salesstagecode\"\ntype = \"option\"\n\
             codec = [\"lookup:stage\"]\n{more}\n"
        )
    };
    let both = row("conflict = \"crm\"");
    assert!(messages(extending(&format!("{lookup}{both}"))).contains("several referral words"));
    assert_eq!(messages(extending(&format!("{lookup}{}", row("direction = \"to_crm\"")))), "");
    let settled = format!("{lookup}reverse = [[1, \"10\"]]\n{both}");
    assert_eq!(messages(extending(&settled)), "");
}

/// M7: a loss that the rows do not show is found by the generated cases.
#[test]
fn m7_a_lossy_pair_of_words_is_found() {
    let rows = format!(
        "{ROW}referral = \"salesStage\"\ncrm = \"pc_stage\"\ntype = \"text\"\ncodec = [\"lookup:stage\"]\n\
         conflict = \"crm\"\n[lookup.stage]\nrows = [[\"10\", \"Open\"], [\"20\", \"Work\"]]\n\
         reverse = [[\"Open\", \"20\"]]\n"
    );
    let mapping = extending(&rows).expect("it compiles: `reverse` is explicit");
    let report = run_cases(&mapping);
    let failed: Vec<_> = report.outcomes.iter().filter(|outcome| !outcome.passed).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(failed[0].name.starts_with("salesStage"), "{failed:#?}");
}

/// M6 and M10: what cannot be computed exactly parks its own field; the others flow.
#[test]
fn m6_m10_a_formula_that_fails_parks_its_field_only() {
    let table = [
        ("1 / referral.details.dealValue", "division by zero"),
        ("0 - 9223372036854775807 - 9223372036854775807", "out of range of a whole number"),
        ("(0 - 9223372036854775807 - 1) // -1", "out of range of a whole number"),
        ("referral.name|int", "text that is no number"),
        ("9007199254740993.0 * 3", "more digits than a number carries"),
    ];
    let deal =
        referral(json!({ "name": "Northwind", "details": { "dealValue": 0, "currency": "EUR" } }));
    for (formula, why) in table {
        let row = format!("{ROW}crm = \"pc_a\"\ntype = \"integer\"\nto_crm = \"{formula}\"\n");
        let mapping = extending(&row).unwrap_or_else(|problems| panic!("{why}: {problems}"));
        let side = mapping.read_referral(&deal);
        assert_eq!(side.problems.len(), 1, "{why}: {:?}", side.problems);
        assert_eq!(side.problems[0].field, "pc_a", "{why}");
        assert!(!side.values.contains_key("pc_a"), "{why}");
        assert!(side.values.contains_key("details.currency"), "{why}: the others flow");
    }
}

/// M10: what could grow without a bound is refused before it runs.
#[test]
fn m10_a_text_is_not_multiplied() {
    let row = format!("{ROW}crm = \"pc_a\"\ntype = \"integer\"\nto_crm = \"'9' * 1000000000\"\n");
    let refused = extending(&row).expect_err("a text grows").to_string();
    assert!(refused.contains("`*` stands beside something that may be no number"), "{refused}");
}

/// M16: a value with quotes stays a value.
#[test]
fn m16_quotes_in_values_are_only_values() {
    let mapping = extending("extends = \"dynamics365-opportunity.toml\"\n").expect("it compiles");
    let name = "O'Neil \"x\" & co; $filter=1 eq 1";
    let side = mapping.read_referral(&referral(json!({ "name": name })));
    let fields: Fields =
        mapping.write_record(&side.values, None, Occasion::Create).expect("fields");
    assert_eq!(fields["name"], json!(name));
}

/// Files that must not be read, and spellings that must (M3, M12, M13).
#[test]
fn m3_m12_m13_only_safe_files_are_read() {
    let good = "extends = \"salesforce-lead.toml\"\n";
    let bom = format!("\u{feff}{}", good.replace('\n', "\r\n"));
    let tabs = format!("{good}[control]\n\ttoken\t=\t\"Token__c\"\n");
    let accepted =
        [("plain", good.as_bytes()), ("BOM and CRLF", bom.as_bytes()), ("tabs", tabs.as_bytes())];
    for (why, bytes) in accepted {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "contoso.toml", bytes);
        let loaded = load_directory(directory.path());
        assert!(loaded.is_ok_and(|mappings| mappings.len() == 1), "{why}");
    }
    let large = vec![b'#'; (1 << 20) + 1];
    let latin = b"# caf\xe9\nextends = \"salesforce-lead.toml\"\n";
    let outside = b"extends = \"../contoso.toml\"\n";
    let absolute = b"extends = \"/etc/hostname\"\n";
    let refused: [(&str, &[u8], &str); 4] = [
        ("M3", &large, "larger than"),
        ("M13", latin, "not UTF-8"),
        ("M12 outside", outside, "not the name of a file"),
        ("M12 absolute", absolute, "not the name of a file"),
    ];
    for (why, bytes, expected) in refused {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "contoso.toml", bytes);
        let problems = load_directory(directory.path()).expect_err(why).to_string();
        assert!(problems.contains(expected), "{why}: {problems}");
        assert!(problems.contains("contoso.toml"), "{why}: {problems}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_does_not_keep_the_loader_waiting() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("contoso.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let problems = load_directory(directory.path()).expect_err("a pipe").to_string();
    assert!(problems.contains("is not a file"), "{problems}");
}

#[cfg(unix)]
#[test]
fn m12_links_out_of_the_directory_and_open_permissions_are_refused() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let outside = tempfile::tempdir().expect("a directory");
    write(outside.path(), "secret.toml", b"extends = \"salesforce-lead.toml\"\n");
    let directory = tempfile::tempdir().expect("a directory");
    symlink(outside.path().join("secret.toml"), directory.path().join("contoso.toml"))
        .expect("a link");
    let problems = load_directory(directory.path()).expect_err("a link").to_string();
    assert!(problems.contains("a link to a place outside"), "{problems}");

    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "contoso.toml", b"extends = \"salesforce-lead.toml\"\n");
    let file = directory.path().join("contoso.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("permissions");
    let problems = load_directory(directory.path()).expect_err("open to all").to_string();
    assert!(problems.contains("written by everyone"), "{problems}");
}

#[test]
fn one_kind_of_record_has_one_mapping() {
    let directory = tempfile::tempdir().expect("a directory");
    let base = shipped("salesforce-lead.toml").expect("shipped").text;
    write(directory.path(), "salesforce-lead.toml", base.as_bytes());
    write(directory.path(), "contoso.toml", b"extends = \"salesforce-lead.toml\"\n");
    let loaded = load_directory(directory.path()).expect("the base is only a base");
    assert_eq!(loaded.len(), 1);
    write(directory.path(), "fabrikam.toml", b"extends = \"salesforce-lead.toml\"\n");
    let problems = load_directory(directory.path()).expect_err("two mappings").to_string();
    assert!(problems.contains("both map the lead of Salesforce"), "{problems}");

    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "salesforce-lead.toml", b"extends = \"salesforce-lead.toml\"\n");
    assert!(
        load_directory(directory.path()).is_ok(),
        "a file may extend the shipped one of its name"
    );
    let nothing = tempfile::tempdir().expect("a directory");
    assert!(load_directory(nothing.path()).is_err(), "an empty directory is a mistake");
}

fn write(directory: &Path, name: &str, bytes: &[u8]) {
    fs::write(directory.join(name), bytes).expect("a file");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// A shipped file with pieces cut out, doubled or replaced compiles or is refused with reasons
    /// that can be printed; it never ends the program.
    #[test]
    fn a_damaged_file_is_refused_in_words(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, "[\\[\\]{}=\"',.a-z0-9é\n]{0,6}"), 1..4),
    ) {
        let mut text = shipped("salesforce-opportunity.toml").expect("shipped").text;
        for (at, length, put) in edits {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let start = boundaries[at.index(boundaries.len())];
            let end = text[start..].char_indices().nth(length).map_or(text.len(), |(at, _)| start + at);
            text.replace_range(start..end, &put);
        }
        match compile("damaged.toml", &|name| Ok(Source { name: name.to_owned(), text: text.clone() })) {
            Ok(mapping) => prop_assert!(!run_cases(&mapping).outcomes.is_empty()),
            Err(problems) => {
                prop_assert!(!problems.0.is_empty());
                prop_assert!(problems.to_string().contains("error: "));
            }
        }
    }
}
