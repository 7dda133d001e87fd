//! What a compiled mapping does for the merge, the console and the command line.

use cosell_sync::domain::id::{CrmName, RecordKind};
use cosell_sync::domain::record::Fields;
use cosell_sync::domain::referral::Referral;
use cosell_sync::domain::stage::Stage;
use cosell_sync::domain::value::Value;
use cosell_sync::mapping::rule::Occasion;
use cosell_sync::mapping::{
    Mapping, PreviewInput, Source, compile, diff, json_schema, load_shipped, preview, run_cases,
    shipped,
};
use serde_json::{Value as Json, json};

fn mapping(text: &str) -> Mapping {
    let compiled = compile("contoso.toml", &|name| match shipped(name) {
        Some(base) => Ok(base),
        None => Ok(Source { name: name.to_owned(), text: text.to_owned() }),
    });
    compiled.unwrap_or_else(|problems| panic!("{problems}"))
}

fn salesforce(more: &str) -> Mapping {
    mapping(&format!("extends = \"salesforce-opportunity.toml\"\n{more}"))
}

fn referral(json: Json) -> Referral {
    let mut json = json;
    json["id"] = json!("11111111-2222-4333-8444-555555555555");
    Referral::from_json(json).expect("a referral")
}

fn fields(json: Json) -> Fields {
    json.as_object().cloned().expect("an object")
}

#[test]
fn a_file_that_extends_holds_only_the_differences() {
    let base = salesforce("");
    let changed = salesforce(
        "[[remove]]\nreferral = \"statusReason\"\ncrm = \"Status_Reason__c\"\n\
         [[field]]\nreferral = \"details.notes\"\ncrm = \"Description\"\ntype = \"text\"\n\
         conflict = \"partner_center\"\nlabel = \"Remarks\"\n\
         [[field]]\ncrm = \"Forecast__c\"\ntype = \"option\"\n\
         to_crm = \"'Commit' if referral.salesStage|int >= 80 else 'Pipeline'\"\n\
         [control]\ntoken = \"Token__c\"\n",
    );
    let names = |mapping: &Mapping| -> Vec<String> {
        mapping.fields().iter().map(|rule| rule.name.clone()).collect()
    };
    let mut expected = names(&base);
    expected.retain(|name| name != "statusReason");
    expected.push("Forecast__c".to_owned());
    assert_eq!(names(&changed), expected, "a row takes the place of the one it replaces");
    let notes = changed.fields().iter().find(|rule| rule.name == "details.notes").expect("notes");
    assert_eq!((notes.label.as_str(), notes.conflict.as_str()), ("Remarks", "partner_center"));
    assert_eq!(notes.place, "contoso.toml:5");
    assert_eq!(changed.control().token.as_deref(), Some("Token__c"));
    assert_eq!(changed.control().audit, base.control().audit, "what is not repeated stays");
    assert_ne!(changed.version(), base.version());
    assert_eq!(changed.version().len(), 12);
    assert_eq!(salesforce("").version(), base.version(), "the same text is the same version");

    let deal = referral(json!({ "salesStage": "80" }));
    let side = changed.read_referral(&deal);
    assert_eq!(side.values["Forecast__c"], Value::text("Commit"));
    assert_eq!(
        changed.read_record(&fields(json!({ "Forecast__c": "Commit" }))).values["Forecast__c"],
        Value::text("Commit"),
        "both sides of a formula row can be compared"
    );
    let written =
        changed.write_record(&side.values, Some(&deal), Occasion::Update).expect("fields");
    assert_eq!(written["Forecast__c"], json!("Commit"));
}

#[test]
fn a_mapping_is_shared_between_threads_and_comes_with_the_program() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let all = load_shipped().unwrap_or_else(|problems| panic!("{problems}"));
    let kinds: Vec<_> = all.iter().map(|mapping| (mapping.crm(), mapping.kind())).collect();
    shared(&all[0]);
    assert_eq!(
        kinds,
        [
            (CrmName::Dynamics365, RecordKind::Opportunity),
            (CrmName::Dynamics365, RecordKind::Lead),
            (CrmName::Salesforce, RecordKind::Opportunity),
            (CrmName::Salesforce, RecordKind::Lead),
        ]
    );
}

#[test]
fn everything_that_is_needed_is_read() {
    let shape = salesforce(
        "[[field]]\nreferral = \"salesStage\"\ntype = \"text\"\non = [\"create\"]\n\
         to_partner_center = \"'20' if record.NextStep is empty else record.Owner.Title\"\n",
    )
    .shape()
    .clone();
    for field in [
        "Account.Name",
        "Amount",
        "IsClosed",
        "StageName",
        "Sync_Audit__c",
        "NextStep",
        "Owner.Title",
    ] {
        assert!(shape.fields.iter().any(|read| read == field), "{field} in {:?}", shape.fields);
    }
    assert_eq!(shape.referral_field, "Referral_Identifier__c");
    assert_eq!(shape.sync_field, "Sync_With_Partner_Center__c");
    assert_eq!(shape.token_field.as_deref(), Some("Sync_Token__c"));
    let mut sorted = shape.fields.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted, shape.fields, "each once, in order");
}

#[test]
fn rows_of_missing_fields_are_dropped() {
    let all = salesforce("");
    assert!(all.optional_fields().contains(&"CurrencyIsoCode"));
    let less = all.without(&["CurrencyIsoCode", "Sync_Token__c"]);
    assert!(less.fields().iter().all(|rule| rule.name != "details.currency"));
    assert_eq!(less.control().token, None);
    assert_eq!(less.shape().token_field, None);
    assert!(
        !less
            .shape()
            .fields
            .iter()
            .any(|field| field == "CurrencyIsoCode" || field == "Sync_Token__c")
    );
    assert_eq!(all.fields().len(), less.fields().len() + 1);
}

#[test]
fn a_row_rests_while_its_condition_does_not_hold() {
    let mapping = salesforce(
        "[[field]]\nreferral = \"campaignId\"\ncrm = \"NextStep\"\ntype = \"text\"\nconflict = \"crm\"\n\
         when = \"referral.type == 'Shared'\"\n\
         [[field]]\nreferral = \"referralProgram\"\ncrm = \"Program__c\"\ntype = \"text\"\nconflict = \"crm\"\n\
         when = \"record.NextStep|length > 3\"\n",
    );
    let shared = referral(json!({ "type": "Shared", "campaignId": "C1" }));
    let private = referral(json!({ "type": "Independent", "campaignId": "C1" }));
    assert_eq!(mapping.read_referral(&shared).values["campaignId"], Value::text("C1"));
    assert!(!mapping.read_referral(&private).values.contains_key("campaignId"));
    let values = [("campaignId".to_owned(), Value::text("C2"))].into();
    let write = |deal: &Referral| mapping.write_record(&values, Some(deal), Occasion::Update);
    assert_eq!(write(&shared).expect("fields").len(), 1);
    assert_eq!(write(&private).expect("fields").len(), 0);
    assert_eq!(
        mapping.write_referral(&values, Some(&private), Occasion::Update).expect("paths").len(),
        0
    );
    let long = mapping.read_record(&fields(json!({ "NextStep": "Call", "Program__c": "P" })));
    assert_eq!(long.values["referralProgram"], Value::text("P"));
    let short = mapping.read_record(&fields(json!({ "NextStep": "No", "Program__c": "P" })));
    assert!(!short.values.contains_key("referralProgram"));
}

#[test]
fn defaults_fill_a_new_target_only() {
    let mapping = salesforce(
        "[[field]]\nreferral = \"campaignId\"\ncrm = \"NextStep\"\ntype = \"text\"\nconflict = \"crm\"\n\
         default = \"Call the customer\"\n",
    );
    let empty = mapping.read_referral(&referral(json!({}))).values;
    let created = mapping.write_record(&empty, None, Occasion::Create).expect("fields");
    assert_eq!(created["NextStep"], json!("Call the customer"));
    assert!(!created.contains_key("Amount"), "nothing is written where there is nothing");
    let updated = mapping.write_record(&empty, None, Occasion::Update).expect("fields");
    assert_eq!(updated["NextStep"], Json::Null, "an emptied field is emptied");
}

#[test]
fn one_bad_value_does_not_stop_the_others() {
    let mapping = salesforce("");
    let side = mapping.read_referral(&referral(json!({
        "name": "Northwind", "details": { "dealValue": "a lot", "closingDateTime": "soon", "notes": "n" },
    })));
    let bad: Vec<&str> = side.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(bad, ["details.dealValue", "details.closingDateTime"]);
    assert_eq!(side.values["details.notes"], Value::text("n"));
    assert_eq!(side.problems[0].reason, "\"a lot\" is not a number");
    assert!(
        !side.values.contains_key("details.dealValue"),
        "absent, not empty: nothing is overwritten"
    );
}

#[test]
fn a_list_is_written_whole_and_an_item_alone_leaves_the_others() {
    let mapping = salesforce("");
    let current = referral(json!({ "team": [
        { "email": "old@contoso.example", "title": "Boss" }, { "email": "second@contoso.example" },
    ]}));
    let record =
        fields(json!({ "Owner.Email": "seller@contoso.example", "Owner.FirstName": "Sam" }));
    let values = mapping.read_record(&record).values;
    let paths = mapping.write_referral(&values, Some(&current), Occasion::Create).expect("paths");
    let expected = json!([
        { "email": "seller@contoso.example", "firstName": "Sam", "title": "Boss" },
        { "email": "second@contoso.example" },
    ]);
    assert_eq!(paths["team"], expected);
    let nobody = mapping.read_record(&Fields::new()).values;
    let paths = mapping.write_referral(&nobody, None, Occasion::Create).expect("paths");
    assert!(!paths.contains_key("team"), "no empty member is made up: {paths:?}");
}

#[test]
fn stages_are_told_apart_by_codes_in_any_form() {
    let mapping = mapping("extends = \"dynamics365-opportunity.toml\"\n");
    let table = [
        (json!({ "statecode": 0, "statuscode": 2 }), Some(Stage::OnHold), "the on-hold reason"),
        (json!({ "statecode": "0", "statuscode": "2" }), Some(Stage::OnHold), "codes as text"),
        (json!({ "statecode": 0, "statuscode": 1 }), Some(Stage::Active), "open"),
        (json!({ "statecode": 2, "statuscode": 5 }), Some(Stage::Lost), "lost"),
        (json!({ "statecode": 7 }), None, "unknown"),
        (json!({}), None, "not read"),
    ];
    for (record, expected, why) in table {
        assert_eq!(mapping.stage_of(&fields(record)), expected, "{why}");
    }
    let declined =
        mapping.stages().iter().find(|rule| rule.stage == Stage::Declined).expect("a row");
    assert!(declined.when.is_empty() && declined.close.is_some_and(|close| !close.won));
}

#[test]
fn help_options_carry_the_assistance_codes() {
    let mapping = mapping("extends = \"dynamics365-opportunity.toml\"\n");
    let codes = &mapping.control().help_codes;
    assert_eq!(codes.len(), 6);
    let quotes = ("727000003".to_owned(), "QuotesOrLicensing".to_owned());
    assert!(codes.contains(&quotes), "{codes:?}");
}

#[test]
fn a_preview_names_the_row_for_every_field() {
    let mapping = salesforce("");
    let deal = referral(json!({
        "name": "Northwind", "details": { "dealValue": "x", "notes": "hello" },
        "customerProfile": { "name": "Northwind" },
    }));
    let lines = preview(&mapping, PreviewInput::Referral(&deal, Occasion::Update));
    let line = |field: &str| lines.iter().find(|line| line.field == field).expect("a line");
    let notes = line("details.notes");
    assert_eq!((notes.from.as_str(), notes.to.as_str()), ("details.notes", "Description"));
    assert_eq!((&notes.source, &notes.target), (&json!("hello"), &Some(json!("hello"))));
    assert!(notes.rule.starts_with("shipped salesforce-opportunity.toml:"), "{}", notes.rule);
    assert!(
        line("details.dealValue").note.as_ref().is_some_and(|note| note.contains("not a number"))
    );
    assert!(
        lines.iter().all(|line| line.field != "customerProfile.name"),
        "does not travel to the CRM"
    );

    let record = fields(json!({ "Name": "Deal", "Amount": 5, "Account.Name": "Fabrikam" }));
    let back = preview(&mapping, PreviewInput::Record(&record, Occasion::Create));
    let customer = back.iter().find(|line| line.field == "customerProfile.name").expect("a line");
    assert_eq!(
        (customer.from.as_str(), &customer.target),
        ("Account.Name", &Some(json!("Fabrikam")))
    );
    let later = preview(&mapping, PreviewInput::Record(&record, Occasion::Update));
    let customer = later.iter().find(|line| line.field == "customerProfile.name").expect("a line");
    assert_eq!(customer.note.as_deref(), Some("not written on this occasion"));
}

#[test]
fn a_diff_counts_the_writes_that_would_follow() {
    let old = salesforce("");
    let new = salesforce(
        "[[remove]]\nreferral = \"details.notes\"\ncrm = \"Description\"\n\
         [[field]]\nreferral = \"details.notes\"\ncrm = \"NextStep\"\ntype = \"text\"\nconflict = \"crm\"\n",
    );
    let sample = |notes: &str| {
        let deal = referral(json!({ "details": { "notes": notes } }));
        (deal, fields(json!({ "Description": notes, "NextStep": notes })))
    };
    let samples = vec![sample("one"), sample("two")];
    let report = diff(&old, &new, samples.clone().into_iter());
    assert_eq!((report.samples, report.changed), (2, 2));
    let fields: Vec<&str> = report.by_field.keys().map(String::as_str).collect();
    assert_eq!(fields, ["Description", "NextStep"], "to Partner Center nothing differs");
    assert_eq!(report.lines[0].old, Some(json!("one")));
    assert_eq!(report.lines[0].new, None);
    assert_eq!(diff(&old, &old.clone(), samples.clone().into_iter()).changed, 0);
    let more = salesforce(
        "[[field]]\nreferral = \"campaignId\"\ncrm = \"Campaign__c\"\ntype = \"text\"\nconflict = \"crm\"\n",
    );
    let report = diff(&old, &more, samples.into_iter());
    assert_eq!(report.changed, 0, "a new row that has nothing to write: {:?}", report.lines);
}

#[test]
fn a_case_that_does_not_hold_says_what_differs() {
    let mapping = salesforce(
        "[[case]]\nname = \"wrong\"\ngiven = { referral = { name = \"A\" } }\nexpect = { crm = { Name = \"B\" } }\n",
    );
    let report = run_cases(&mapping);
    assert!(!report.passed());
    assert_eq!(report.outcomes[0].differences, ["Name: expected \"B\", got \"A\""]);
    let problem = &report.outcomes[0].problems[0];
    assert_eq!((problem.line, problem.column), (5, 20), "where the expectation stands");
    let shown = problem.to_string();
    assert!(shown.contains("the case \"wrong\" does not hold: Name: expected \"B\", got \"A\""));
    assert!(shown.contains("expect = { crm = { Name = \"B\" } }"), "with its line: {shown}");
    assert!(report.uncovered.contains(&"details.notes to_crm".to_owned()));
    assert!(!report.uncovered.contains(&"name to_crm".to_owned()));
}

/// Amounts are compared at the precision of their currency, whichever side rounds.
#[test]
fn amounts_have_the_digits_of_their_currency() {
    let mapping = salesforce("");
    let table = [
        ("JPY", json!(1200.6), "1201", "no digits after the point"),
        ("JPY", json!(1200.5), "1200", "half to even"),
        ("BHD", json!(12.3456), "12.346", "three digits"),
        ("EUR", json!(0.125), "0.12", "two, half to even"),
        ("XXX", json!(0.126), "0.13", "not known: two"),
    ];
    for (currency, amount, expected, why) in table {
        let deal = json!({ "details": { "dealValue": amount, "currency": currency } });
        let row = json!({ "Amount": amount, "CurrencyIsoCode": currency });
        let referral = mapping.read_referral(&referral(deal)).values;
        let record = mapping.read_record(&fields(row)).values;
        let read = Value::decimal(expected.parse().expect("a decimal"));
        assert_eq!(referral["details.dealValue"], read, "{why}");
        assert_eq!(record["details.dealValue"], read, "{why}");
    }
    let own = salesforce(
        "[[field]]\ncrm = \"Rate__c\"\ntype = \"money\"\nscale = 4\nto_crm = \"'0.12345'\"\n",
    );
    let deal = referral(json!({ "details": { "currency": "JPY" } }));
    let rate = &own.read_referral(&deal).values["Rate__c"];
    assert_eq!(
        *rate,
        Value::decimal("0.1234".parse().expect("a decimal")),
        "a scale is the last word"
    );
}

#[test]
fn the_schema_knows_every_key() {
    let schema = json_schema();
    let row = &schema["definitions"]["FieldRow"];
    for key in ["referral", "crm", "type", "codec", "to_crm", "optional_field"] {
        assert!(row["properties"][key].is_object(), "{key} in {row}");
    }
    assert!(row["properties"].get("place").is_none() && row["properties"].get("broken").is_none());
    assert_eq!(row["additionalProperties"], json!(false));
    assert!(schema.get("required").is_none() && row.get("required").is_none());
    assert_eq!(
        row["properties"]["conflict"]["enum"],
        json!(["partner_center", "crm", "newest", "ask"])
    );
    for key in ["field", "remove", "lookup", "control", "stage", "related", "case", "extends"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

/// Every example of the guide that is a whole file compiles, and its cases hold.
#[test]
fn the_examples_of_the_guide_are_right() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut examples = 0;
    for page in ["docs/mapping-guide.md", "mappings/README.md"] {
        let text = std::fs::read_to_string(root.join(page)).expect("the page");
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks.filter(|block| block.starts_with("extends")) {
            examples += 1;
            let report = run_cases(&mapping(block));
            assert!(report.passed(), "{page}: {block}: {report:#?}");
        }
    }
    assert!(examples >= 4, "found {examples} examples");
}

#[test]
fn the_guide_names_every_key() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(root.join("docs/mapping-guide.md")).expect("the guide");
    let schema = json_schema();
    for definition in
        ["FieldRow", "LookupTable", "ControlTable", "StageRow", "RelatedRow", "CaseRow"]
    {
        let properties = schema["definitions"][definition]["properties"].as_object();
        for key in properties.expect("properties").keys() {
            assert!(
                guide.contains(key.as_str()),
                "the guide does not explain `{key}` of {definition}"
            );
        }
    }
}
