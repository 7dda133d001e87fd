//! I14: the laws of reading and writing, for every mapping that is shipped or used here.
//!
//! *Get* reads canonical values from a referral or a record, *put* writes them over one.
//! GetPut: writing what was read changes nothing that is read, and done twice nothing at all. PutGet:
//! what was written is read again. PutPut: of two writes only the second counts. A lossy field (a text
//! that is cut) reads back what it holds, and the same again when that is written.

use cosell_sync::domain::deal::Values;
use cosell_sync::domain::id::CrmName;
use cosell_sync::domain::record::Fields;
use cosell_sync::domain::referral::Referral;
use cosell_sync::mapping::Mapping;
use cosell_sync::mapping::rule::{FieldRule, Occasion};
use serde_json::{Value as Json, json};

use crate::dice::Dice;
use crate::harness::{Mapped, Setup, Sim, mappings};
use crate::partner_center;
use crate::people;

/// Referrals tried with each mapping.
const REFERRALS: u64 = 60;

/// What breaks converters: entities, separators, line breaks, letters of many bytes, long words.
const PIECES: [&str; 14] = [
    "Contoso",
    " ",
    "&amp;",
    "&",
    ";",
    ",",
    "\n",
    "\r\n",
    "é",
    "漢",
    "\"",
    "'",
    "  ",
    "longer than one field takes",
];

/// A referral that holds whatever a person may have written.
fn any_referral(dice: &mut Dice) -> Referral {
    let sim = Sim::new(&Setup::with(&[CrmName::Dynamics365]));
    let mut world = sim.world.lock();
    let id = people::referral_arrives(&mut world);
    let stored = world.referrals.get_mut(&id).expect("it arrived");
    let mut text = |most: usize| -> String {
        (0..dice.below(most)).map(|_| PIECES[dice.below(PIECES.len())]).collect()
    };
    let (notes, name, reason) = (text(30), text(6), text(4));
    stored.fields["details"]["notes"] = json!(notes);
    stored.fields["name"] = json!(format!("Deal {name}"));
    stored.fields["statusReason"] = json!(reason);
    let currency = ["USD", "eur", "JPY", "KWD"][dice.below(4)];
    stored.fields["details"]["currency"] = json!(currency);
    let amount = dice.below(10_000_000) as f64 / [1.0, 100.0, 1000.0][dice.below(3)];
    stored.fields["details"]["dealValue"] = json!(amount);
    let time = ["00:00:00", "13:45:10", "23:59:59.9"][dice.below(3)];
    let (month, day) = (dice.below(12) + 1, dice.below(28) + 1);
    let date = format!("2027-{month:02}-{day:02}T{time}Z");
    stored.fields["details"]["closingDateTime"] = json!(date);
    let solutions = (0..dice.below(4)).map(|_| {
        let id = format!("SOL-{:05}-XYZ", dice.below(99_999));
        json!({ "id": id, "type": "Name", "name": "Somebody's words" })
    });
    stored.fields["details"]["requirements"]["solutions"] = solutions.collect();
    partner_center::shown(stored)
}

/// The values that travel both ways when both sides exist.
fn both_ways(mapping: &Mapping, mut values: Values) -> Values {
    let travels = |rule: &&FieldRule| {
        rule.on_update && rule.direction.to_crm() && rule.direction.to_partner_center()
    };
    let names: Vec<&str> =
        mapping.fields().iter().filter(travels).map(|rule| rule.name.as_str()).collect();
    values.retain(|name, value| names.contains(&name.as_str()) && !value.is_null());
    values
}

fn get_referral(mapping: &Mapping, from: &Referral) -> Values {
    let read = mapping.read_referral(from);
    assert!(read.problems.is_empty(), "{:?}", read.problems);
    both_ways(mapping, read.values)
}

fn put_referral(mapping: &Mapping, values: &Values, over: &Referral) -> Referral {
    let paths = mapping.write_referral(values, Some(over), Occasion::Update);
    let mut json = Json::Object(over.fields().clone());
    for (path, value) in paths.expect("values that were read can be written") {
        partner_center::put(&mut json, &path, value);
    }
    Referral::from_json(json).expect("a referral")
}

fn get_record(mapping: &Mapping, from: &Fields) -> Values {
    let read = mapping.read_record(from);
    assert!(read.problems.is_empty(), "{:?}", read.problems);
    both_ways(mapping, read.values)
}

fn put_record(mapping: &Mapping, values: &Values, of: &Referral, over: &Fields) -> Fields {
    let written = mapping.write_record(values, Some(of), Occasion::Update);
    let mut fields = over.clone();
    fields.extend(written.expect("values that were read can be written"));
    fields
}

/// Plays a law with every mapping and pairs of referrals.
fn with_each(law: impl Fn(&Mapping, &Referral, &Referral)) {
    let mut dice = Dice::new(14);
    let referrals: Vec<Referral> = (0..REFERRALS).map(|_| any_referral(&mut dice)).collect();
    for mapped in [Mapped::Usual, Mapped::Asking, Mapped::Moved, Mapped::Reread] {
        for mapping in mappings(mapped).values() {
            for pair in referrals.windows(2) {
                law(mapping, &pair[0], &pair[1]);
            }
        }
    }
}

#[test]
fn a_referral_obeys_the_laws_of_a_lens() {
    with_each(|mapping, this, other| {
        let file = mapping.file();
        let values = get_referral(mapping, this);
        assert!(values.len() >= 2, "{file}: something travels: {values:?}");
        let normal = put_referral(mapping, &values, this);
        assert_eq!(get_referral(mapping, &normal), values, "GetPut of {file}");
        let again = put_referral(mapping, &get_referral(mapping, &normal), &normal);
        assert_eq!(again.fields(), normal.fields(), "GetPut of {file}, once it is in its own form");

        let wanted = get_referral(mapping, other);
        let written = put_referral(mapping, &wanted, this);
        let read = get_referral(mapping, &written);
        for (field, value) in &wanted {
            assert_eq!(read.get(field), Some(value), "PutGet of {file}: {field}");
        }
        let twice = put_referral(mapping, &wanted, &put_referral(mapping, &values, this));
        assert_eq!(get_referral(mapping, &twice), read, "PutPut of {file}");
        assert_eq!(written.fields()["unmapped"], this.fields()["unmapped"], "I12 of {file}");
    });
}

#[test]
fn a_record_obeys_the_laws_of_a_lens() {
    with_each(|mapping, this, other| {
        let file = mapping.file();
        let empty = Fields::from_iter([("Unmapped__c".to_owned(), json!("keep"))]);
        let wanted = get_referral(mapping, this);
        let record = put_record(mapping, &wanted, this, &empty);
        let held = get_record(mapping, &record);
        let again = put_record(mapping, &held, this, &record);
        assert_eq!(again, record, "GetPut of {file}");
        for (field, value) in &wanted {
            // A text that is cut reads back as its beginning, or what stands for it.
            let cut = value.as_text().is_some_and(|text| {
                let short = held.get(field).and_then(|held| held.as_text()).unwrap_or_default();
                short.len() < text.len() && text.starts_with(short.trim_end_matches("..."))
            });
            assert!(cut || held.get(field) == Some(value), "PutGet of {file}: {field}: {held:?}");
        }
        let others = get_referral(mapping, other);
        let direct = put_record(mapping, &others, other, &record);
        let detour = put_record(mapping, &held, this, &record);
        let detour = put_record(mapping, &others, other, &detour);
        assert_eq!(detour, direct, "PutPut of {file}");
        assert_eq!(direct["Unmapped__c"], Json::from("keep"), "I12 of {file}");
    });
}
