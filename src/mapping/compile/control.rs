//! The `[control]` table.

use serde_json::Value as Json;

use super::Ground;
use super::ends::unknown_field;
use crate::mapping::file::ControlTable;
use crate::mapping::knowledge::{Known, is_name, record_field};
use crate::mapping::problem::{Findings, Place, Spot, nearer};
use crate::mapping::rule::Control;

/// Longest audit text if the file does not say: the long text field of either CRM.
const AUDIT_LENGTH: usize = 100_000;

/// The words of the seller's check mark.
const STATUSES: [&str; 5] = ["in_sync", "waiting", "needs_attention", "paused", "closed"];

/// The places of a link template that are filled in.
const PLACEHOLDERS: [&str; 2] = ["{referral_id}", "{engagement_id}"];

/// Compiles `[control]`.
pub(super) fn compile(
    table: Option<&ControlTable>,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Control {
    let Some(table) = table else {
        let way = "add [control] with referral_id, sync and audit";
        findings.add_with(&Place::default(), "`[control]` is missing", way);
        return Control::default();
    };
    let mut field = |spot: &Option<Spot<String>>| name(spot.as_ref()?, ground, findings);
    let mut control = Control {
        link: field(&table.link),
        help: field(&table.help),
        solutions: field(&table.solutions),
        visibility: field(&table.visibility),
        microsoft_id: field(&table.microsoft_id),
        token: field(&table.token),
        status: field(&table.status),
        referral_id: field(&table.referral_id).unwrap_or_default(),
        sync: field(&table.sync).unwrap_or_default(),
        audit: field(&table.audit).unwrap_or_default(),
        ..Control::default()
    };
    for (key, spot) in
        [("referral_id", &table.referral_id), ("sync", &table.sync), ("audit", &table.audit)]
    {
        if spot.is_none() {
            findings.add(&table.place, format!("`{key}` is missing in [control]"));
        }
    }
    control.audit_length = audit_length(table, findings);
    control.link_template = link_template(table, findings);
    control.help_codes = help_codes(table, ground, findings);
    control.status_values = status_values(table, findings);
    twice(table, findings);
    control
}

/// Every record field that `control` names.
pub(super) fn fields(control: &Control) -> impl Iterator<Item = String> {
    let required = [&control.referral_id, &control.sync, &control.audit].into_iter();
    required.chain(control.optional()).cloned()
}

/// A field by its API name, checked as far as it is known.
pub(super) fn name(
    spot: &Spot<String>,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Option<String> {
    if !is_name(&spot.value) {
        let message = format!("`{}` is not the API name of a field", spot.value);
        findings.add_with(&spot.place, message, "use letters, digits and underscores");
        return None;
    }
    if matches!(record_field(ground.crm, ground.kind, &spot.value), Known::Unknown) {
        unknown_field(&spot.value, &spot.place, ground, findings);
        return None;
    }
    Some(spot.value.clone())
}

fn audit_length(table: &ControlTable, findings: &mut Findings) -> usize {
    let Some(spot) = &table.audit_length else { return AUDIT_LENGTH };
    match usize::try_from(spot.value) {
        Ok(length) if (100..=1_000_000).contains(&length) => length,
        _ => {
            findings.add(&spot.place, "`audit_length` must be between 100 and 1000000");
            AUDIT_LENGTH
        }
    }
}

fn link_template(table: &ControlTable, findings: &mut Findings) -> Option<String> {
    if let (Some(link), None) = (&table.link, &table.link_template) {
        findings.add(&link.place, "`link` needs `link_template`");
    }
    let spot = table.link_template.as_ref()?;
    let mut rest = spot.value.clone();
    for placeholder in PLACEHOLDERS {
        rest = rest.replace(placeholder, "");
    }
    if rest.contains(['{', '}']) || rest == spot.value {
        let way = format!("use {}", PLACEHOLDERS.join(" and "));
        findings.add_with(&spot.place, "`link_template` has the wrong placeholders", way);
    }
    if !spot.value.starts_with("https://") {
        findings.add(&spot.place, "`link_template` must begin with https://");
    }
    Some(spot.value.clone())
}

fn help_codes(
    table: &ControlTable,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Vec<(String, String)> {
    let Some(spot) = &table.help_lookup else {
        if let Some(help) = &table.help {
            let way = "name a [lookup.NAME] with the assistance codes and the field's options";
            findings.add_with(&help.place, "`help` needs `help_lookup`", way);
        }
        return Vec::new();
    };
    let Some(lookup) = ground.lookups.get(&spot.value) else {
        let message = format!("there is no `[lookup.{}]`", spot.value);
        let names = ground.lookups.keys().map(String::as_str);
        findings.unknown(&spot.place, message, &spot.value, names);
        return Vec::new();
    };
    let text = |json: &Json| match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    lookup.pairs.iter().map(|(code, option)| (text(option), text(code))).collect()
}

fn status_values(table: &ControlTable, findings: &mut Findings) -> Vec<(String, Json)> {
    let mut values = Vec::new();
    for (key, value) in table.status_values.iter().flatten() {
        if !STATUSES.contains(&key.value.as_str()) {
            let message = format!("there is no status `{}`", key.value);
            findings.unknown(&key.place, message, &key.value, STATUSES);
        }
        values.push((key.value.clone(), value.value.clone()));
    }
    values
}

/// Notes a record field that serves two purposes.
fn twice(table: &ControlTable, findings: &mut Findings) {
    let all = [
        ("referral_id", &table.referral_id),
        ("sync", &table.sync),
        ("audit", &table.audit),
        ("link", &table.link),
        ("help", &table.help),
        ("solutions", &table.solutions),
        ("visibility", &table.visibility),
        ("microsoft_id", &table.microsoft_id),
        ("token", &table.token),
        ("status", &table.status),
    ];
    let named: Vec<(&str, &Spot<String>)> =
        all.into_iter().filter_map(|(key, spot)| Some((key, spot.as_ref()?))).collect();
    for (at, (key, spot)) in named.iter().enumerate() {
        let earlier = named[..at].iter().find(|(_, earlier)| earlier.value == spot.value);
        let Some((other, earlier)) = earlier else { continue };
        let place = nearer(&earlier.place, &spot.place);
        let field = &spot.value;
        let message = format!("`{field}` is both `{other}` and `{key}` in [control]");
        findings.add_with(place, message, "give each a field of its own");
    }
}
