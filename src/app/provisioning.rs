//! What the CRMs must have for the sync, taken from the mapping files, and making it.

use super::parts::Parts;
use super::slot::outside;
use super::{alert, schema};
use crate::admin::operations::{OperationError, ProvisionLine};
use crate::connect::crm::{Provision, ProvisionStep, SellerAccess, WantedField};
use crate::domain::audit::AuditKind;
use crate::domain::id::{AccountName, CrmName, RecordKind};
use crate::mapping::Mapping;
use crate::mapping::rule::{Direction, FieldKind};
use crate::sync::account::Account;

/// Name of the solution or permission set that everything is put into.
const CONTAINER: &str = "CosellSync";
/// Longest text of a column for which nothing else is known.
const TEXT: u32 = 255;

/// Longer ones are texts of several lines: Dynamics 365 has no longer text column.
const LONGEST_TEXT: u32 = 4000;

/// Plans, and with `apply` makes, what is missing.
pub(super) async fn run(
    parts: &Parts,
    account: Option<&AccountName>,
    apply: bool,
    who: &str,
) -> Result<Vec<ProvisionLine>, OperationError> {
    let mut lines = Vec::new();
    for own in parts.accounts.iter().filter(|own| account.is_none_or(|name| own.name == *name)) {
        let own_lines = of_account(parts, own, apply).await?;
        if apply {
            let made = own_lines.iter().filter(|line| line.outcome == "created").count();
            let summary = format!("Provisioning made {made} things in the CRMs.");
            alert::note(parts, &own.name, AuditKind::Configured, who, summary, None).await?;
        }
        lines.extend(own_lines);
    }
    Ok(lines)
}

/// The steps of one account. What both kinds of record share is one step.
async fn of_account(
    parts: &Parts,
    own: &Account,
    apply: bool,
) -> Result<Vec<ProvisionLine>, OperationError> {
    // The files as they stand, since the mappings in use have lost what a CRM lacks.
    let settings = parts.settings(&own.name);
    let folder = settings.map(|own| parts.config.path(&own.sync.mappings)).unwrap_or_default();
    let mappings = super::load_mappings(&folder).map_err(|error| OperationError::Refused {
        what: error.to_string(),
        fix: "Correct the mapping files; `check` shows every problem.".to_owned(),
    })?;
    let mut lines: Vec<ProvisionLine> = Vec::new();
    for mapping in mappings {
        let Some(part) = own.part(mapping.crm()) else { continue };
        let wanted = wanted(&mapping);
        let steps = part.crm.provision(&wanted, !apply).await;
        for step in steps.map_err(|fault| outside(part.name().title(), &fault))? {
            if !lines.iter().any(|line| line.crm == part.name() && line.what == step.what) {
                lines.push(line(own, part.name(), mapping.kind(), step));
            }
        }
        let made = |line: &ProvisionLine| line.crm == part.name() && line.outcome == "created";
        let is_parked = schema::parked(&schema::current(part))
            .any(|row| lines.iter().any(|line| made(line) && line.what.contains(&row.crm_field)));
        let what = format!(
            "run `{}`: rows that lacked their field come back",
            parts.command(&own.name, "mapping reload")
        );
        if is_parked && !lines.iter().any(|line| line.what == what) {
            let step = ProvisionStep { what, outcome: "advice".to_owned() };
            lines.push(line(own, part.name(), mapping.kind(), step));
        }
    }
    Ok(lines)
}

fn line(own: &Account, crm: CrmName, kind: RecordKind, step: ProvisionStep) -> ProvisionLine {
    let ProvisionStep { what, outcome } = step;
    ProvisionLine { account: own.name.clone(), crm, kind, what, outcome }
}

/// The columns that a mapping needs and that no CRM has by itself.
pub(super) fn wanted(mapping: &Mapping) -> Provision {
    let control = mapping.control();
    let mut fields = vec![
        field(&control.referral_id, "Referral Identifier", "text", 100),
        field(&control.sync, "Sync with Partner Center", "boolean", 0),
        field(
            &control.audit,
            "Audit",
            "long_text",
            u32::try_from(control.audit_length).unwrap_or(100_000),
        ),
    ];
    fields[0].unique = true;
    fields[1].sellers = SellerAccess::Edit;
    let optional = [
        (&control.link, "Referral Link", "url", 500),
        (&control.help, "How can Microsoft help?", "option", 0),
        (&control.solutions, "Products", "text", 2000),
        (&control.visibility, "Visibility", "boolean", 0),
        (&control.microsoft_id, "Microsoft CRM identifier", "text", 100),
        (&control.token, "Sync token", "text", 100),
        (&control.status, "Sync status", "text", 100),
    ];
    for (name, label, kind, length) in optional {
        fields.extend(name.as_ref().map(|name| field(name, label, kind, length)));
    }
    for wanted in fields.iter_mut().filter(|wanted| wanted.kind == "option") {
        wanted.options = control.help_codes.iter().map(|(_, code)| words(code)).collect();
    }
    let edited = [&control.help, &control.solutions, &control.visibility];
    for wanted in &mut fields {
        let is = |name: &&String| **name == wanted.name;
        if edited.into_iter().flatten().any(|name| is(&name)) {
            wanted.sellers = SellerAccess::Edit;
        } else if control.token.as_ref().is_some_and(|name| is(&name)) {
            wanted.sellers = SellerAccess::None;
        }
    }
    add_optional(mapping, &mut fields);
    add_registration(mapping, &mut fields);
    let prefix = match mapping.crm() {
        CrmName::Dynamics365 => control.referral_id.split('_').next().unwrap_or_default(),
        CrmName::Salesforce => {
            let parts: Vec<&str> = control.referral_id.split("__").collect();
            if let [prefix, _, _] = parts[..] { prefix } else { "" }
        }
    };
    Provision {
        kind: mapping.kind(),
        prefix: prefix.to_owned(),
        container: CONTAINER.to_owned(),
        fields: fields.into_iter().filter(|field| custom(mapping.crm(), prefix, field)).collect(),
        watched: watched(mapping),
    }
}

/// The columns of rows that the mapping calls optional: `provision` makes what is missing of them.
fn add_optional(mapping: &Mapping, fields: &mut Vec<WantedField>) {
    let optional = mapping.optional_fields();
    for rule in mapping.fields() {
        let Some(name) = rule.crm.as_deref().filter(|name| optional.contains(name)) else {
            continue;
        };
        if name.contains('.') || fields.iter().any(|known| known.name == name) {
            continue;
        }
        let length = mapping.longest(name).and_then(|length| u32::try_from(length).ok());
        let length = length.unwrap_or_default().max(TEXT);
        let kind = match kind_of(rule.kind) {
            "text" if length > LONGEST_TEXT => "long_text",
            kind => kind,
        };
        let mut wanted = field(name, &rule.label, kind, length);
        if rule.direction != Direction::ToCrm {
            wanted.sellers = SellerAccess::Edit;
        }
        fields.push(wanted);
    }
}

/// The columns of `[registration]`: the seller fills all but the status.
fn add_registration(mapping: &Mapping, fields: &mut Vec<WantedField>) {
    let Some(rule) = mapping.registration() else { return };
    let table = [
        (&rule.register, "Register deal with Microsoft", "boolean", 0),
        (&rule.status, "Registration status", "text", TEXT),
        (&rule.value, "Contract value", "amount", 0),
        (&rule.currency, "Contract currency", "text", TEXT),
        (&rule.usd_rate, "US dollars for one unit", "rate", 0),
        (&rule.start, "Contract start", "date", 0),
        (&rule.end, "Contract end", "date", 0),
        (&rule.perpetual, "Perpetual contract", "flag", 0),
        (&rule.signed, "Contract signed", "date", 0),
        (&rule.solution, "Registered solution", "text", TEXT),
        (&rule.solution_value, "Solution value", "amount", 0),
        (&rule.deployed_on_azure, "Runs on Azure", "flag", 0),
        (&rule.customer_deployment, "Runs in the subscription of the customer", "flag", 0),
        (&rule.pay_as_you_go, "Pay as you go", "flag", 0),
        (&rule.marketplace, "Bought in the marketplace", "flag", 0),
        (&rule.marketplace_date, "Marketplace transaction", "date", 0),
        (&rule.managed_customer, "Customer managed by Microsoft", "flag", 0),
        (&rule.eligible_solution, "Solution eligible for Azure IP co-sell", "flag", 0),
        (&rule.solution_assessment, "Came from a solution assessment", "flag", 0),
    ];
    for (name, label, kind, length) in table {
        let Some(name) = name else { continue };
        if name.contains('.') || fields.iter().any(|known| known.name == *name) {
            continue;
        }
        let mut wanted = field(name, label, kind, length);
        if rule.status.as_ref() != Some(name) {
            wanted.sellers = SellerAccess::Edit;
        }
        fields.push(wanted);
    }
}

/// The fields of the record itself whose changes matter: not those that only we write.
fn watched(mapping: &Mapping) -> Vec<String> {
    let control = mapping.control();
    let ours = [&control.link, &control.microsoft_id, &control.token, &control.status];
    let ours: Vec<&String> = ours.into_iter().flatten().chain([&control.audit]).collect();
    let mut names: Vec<String> = Vec::new();
    for field in &mapping.shape().fields {
        let own = field.split('.').next().unwrap_or(field);
        if !ours.contains(&field) && !names.iter().any(|name| name == own) {
            names.push(own.to_owned());
        }
    }
    names
}

/// Whether a field is one that may be made; the others come with the CRM.
fn custom(crm: CrmName, prefix: &str, field: &WantedField) -> bool {
    match crm {
        CrmName::Dynamics365 => field.name.starts_with(&format!("{prefix}_")),
        CrmName::Salesforce => field.name.ends_with("__c"),
    }
}

fn field(name: &str, label: &str, kind: &str, max_length: u32) -> WantedField {
    WantedField {
        name: name.to_owned(),
        label: label.to_owned(),
        kind: kind.to_owned(),
        max_length,
        options: Vec::new(),
        unique: false,
        sellers: SellerAccess::Read,
    }
}

/// The kind of column that holds a field of this kind.
fn kind_of(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Boolean => "boolean",
        FieldKind::Date => "date",
        FieldKind::Money => "amount",
        FieldKind::Decimal => "rate",
        _ => "text",
    }
}

/// `ProofOfConceptOrDemo` as a person reads it: `Proof of concept or demo`.
fn words(code: &str) -> String {
    let mut words = String::new();
    for letter in code.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{wanted, words};
    use crate::domain::id::CrmName;
    use crate::mapping::load_directory;

    #[test]
    fn the_shipped_mappings_say_what_to_make() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
        for mapping in load_directory(&folder).expect("good files") {
            let provision = wanted(&mapping);
            let keys = provision.fields.iter().filter(|field| field.unique).count();
            assert_eq!(keys, 1, "{}: one unique key", mapping.file());
            let expected = if mapping.crm() == CrmName::Dynamics365 { "pc" } else { "" };
            assert_eq!(provision.prefix, expected, "{}", mapping.file());
            let help = provision.fields.iter().find(|field| field.kind == "option");
            let help = help.expect("the help field");
            assert_eq!(help.options.len(), 6, "{}", mapping.file());
            assert_eq!(help.options[2], "Proof of concept or demo", "{}", mapping.file());
            let reason = provision.fields.iter().find(|field| field.label == "Reason");
            let expected = if mapping.crm() == CrmName::Dynamics365 { 1000 } else { 255 };
            let length = reason.expect("a row of its own").max_length;
            assert_eq!(length, expected, "{}: as long as its row lets through", mapping.file());
        }
    }

    #[test]
    fn a_code_becomes_words() {
        assert_eq!(words("GeneralOrOther"), "General or other");
        assert_eq!(words(""), "");
    }
}
