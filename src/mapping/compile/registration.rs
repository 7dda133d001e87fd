//! The `[registration]` table.

use super::Ground;
use super::control::name;
use super::field::Compiled;
use crate::domain::id::RecordKind;
use crate::mapping::problem::Findings;
use crate::mapping::registration::{RegistrationRule, RegistrationTable};
use crate::mapping::rule::Control;

/// Compiles `[registration]`, if there is one.
pub(super) fn compile(
    table: Option<&RegistrationTable>,
    ground: &Ground<'_>,
    control: &Control,
    fields: &[Compiled],
    findings: &mut Findings,
) -> Option<RegistrationRule> {
    let table = table?;
    if ground.kind == RecordKind::Lead {
        findings.add(&table.place, "a lead is not registered: [registration] is for opportunities");
    }
    for (key, spot) in [
        ("register", &table.register),
        ("value", &table.value),
        ("currency", &table.currency),
        ("start", &table.start),
        ("signed", &table.signed),
    ] {
        if spot.is_none() {
            findings.add(&table.place, format!("`{key}` is missing in [registration]"));
        }
    }
    if let Some(status) = &table.status {
        let row = fields.iter().any(|row| row.rule.crm.as_ref() == Some(&status.value));
        if row || super::control::fields(control).any(|field| field == status.value) {
            let message = format!("`{}` serves two purposes", status.value);
            findings.add_with(&status.place, message, "give the status a field of its own");
        }
    }
    Some(table.rule(|spot| name(spot, ground, findings)))
}

#[cfg(test)]
mod tests {
    use crate::mapping::{Mapping, Problems, Source, compile, shipped};

    /// A file that extends the shipped one for `base` with this `[registration]` table.
    fn extended(base: &str, table: &str) -> Result<Mapping, Problems> {
        let text = format!("extends = \"{base}.toml\"\n[registration]\n{table}");
        compile("own.toml", &|name| {
            Ok(shipped(name).unwrap_or(Source { name: name.to_owned(), text: text.clone() }))
        })
    }

    const WHOLE: &str = "register = \"Register__c\"\nvalue = \"Value__c\"\nstart = \"Start__c\"\n\
                         currency = \"CurrencyIsoCode\"\nsigned = \"Signed__c\"\n";

    #[test]
    fn its_fields_are_read_and_it_goes_as_a_whole() {
        let mapping = extended("salesforce-opportunity", WHOLE).expect("a mapping");
        let rule = mapping.registration().expect("a rule");
        assert_eq!(rule.register.as_deref(), Some("Register__c"));
        assert!(mapping.shape().fields.contains(&"Signed__c".to_owned()), "it is read");
        let without = mapping.without(&["Start__c"]);
        assert!(without.registration().is_none(), "half of it is of no use");
        let bare = extended("salesforce-opportunity", "").map_err(|error| error.to_string());
        assert!(bare.err().is_some_and(|error| error.contains("`register` is missing")));
    }

    #[test]
    fn mistakes_are_told() {
        let opportunity = "salesforce-opportunity";
        let table = [
            (opportunity, "status = \"Sync_Status__c\"\n", "two purposes", "a control field"),
            (opportunity, "status = \"Amount\"\n", "two purposes", "a field of a row"),
            (opportunity, "status = \"Amuont\"\n", "Amuont", "an unknown field"),
            (opportunity, "colour = \"Colour__c\"\n", "colour", "an unknown key"),
            ("salesforce-lead", "", "a lead is not registered", "a lead"),
        ];
        for (base, more, expected, why) in table {
            let error = extended(base, &format!("{WHOLE}{more}")).err().map(|it| it.to_string());
            assert!(error.as_ref().is_some_and(|it| it.contains(expected)), "{why}: {error:?}");
        }
    }
}
