//! What rows must satisfy together, and against what the three systems allow.

use std::collections::BTreeSet;

use super::Ground;
use super::effective::Effective;
use super::ends::{held, suggested};
use super::field::Compiled;
use crate::domain::id::RecordKind;
use crate::domain::referral::{FROZEN_AFTER_CREATE, FROZEN_AFTER_SHARE, is_frozen, is_patchable};
use crate::mapping::codec::Step;
use crate::mapping::knowledge::{Holds, Known, required};
use crate::mapping::problem::{Findings, Place};
use crate::mapping::rule::{Control, Direction, FieldKind};

/// What Partner Center asks of a new referral, as far as rows give it.
const NEEDED_BY_PARTNER_CENTER: [&str; 7] = [
    "name",
    "details.dealValue",
    "details.closingDateTime",
    "customerProfile.name",
    "customerProfile.address.addressLine1",
    "customerProfile.address.city",
    "customerProfile.address.country",
];

/// Paths that the stages write, together and never by a row.
const WRITTEN_BY_STAGES: [&str; 2] = ["status", "substatus"];

/// Checks everything that needs more than one row or knowledge of the systems.
pub(super) fn check(
    effective: &Effective,
    ground: &Ground<'_>,
    fields: &[Compiled],
    control: &Control,
    findings: &mut Findings,
) {
    for compiled in fields {
        types(compiled, findings);
        losses(compiled, findings);
        partner_center(compiled, findings);
        record(compiled, ground, control, findings);
    }
    writers(fields, findings);
    groups(fields, findings);
    // A row that did not compile may be the one that is missing.
    if fields.len() == effective.fields.len() {
        complete(effective, fields, ground, findings);
    }
    unused(effective, findings);
}

/// Each end must be able to hold the row's type.
fn types(compiled: &Compiled, findings: &mut Findings) {
    let Compiled { rule, row, at, .. } = compiled;
    let steps = &row.converter.steps;
    let has = |wanted: fn(&Step) -> bool| steps.iter().any(wanted);
    let date = has(|step| matches!(step, Step::Date(_)));
    let split = has(|step| matches!(step, Step::Split(_)));
    let lookup = has(|step| matches!(step, Step::Lookup(_)));
    if date && rule.kind != FieldKind::Date {
        findings.add(&at.codec, "`date` is a step of rows of type `date`");
    }
    if split && rule.kind != FieldKind::List {
        findings.add(&at.codec, "`split` is a step of rows of type `list`");
    }
    text_steps(compiled, split, findings);
    if rule.kind == FieldKind::List && rule.crm.is_some() && !split {
        let way = "write codec = [\"split:;\"]";
        findings.add_with(&at.kind, "a field of a record holds a list as one text", way);
    }
    if let Some(field) = compiled.referral {
        let instant_as_date = field.holds == Holds::Instant && rule.kind == FieldKind::Date;
        if instant_as_date && !date {
            let message = format!("`{}` holds an instant, the row a date", field.path);
            findings.add_with(&at.kind, message, "write codec = [\"date\"]");
        } else if !instant_as_date && !field.holds.fits(rule.kind) {
            other_type(&rule.name, field.holds, &at.kind, findings);
        }
    }
    let Some(holds) = held(compiled.record) else { return };
    let crm = rule.crm.as_deref().unwrap_or_default();
    if holds == Holds::Lookup {
        let way = "name a field of the row it points to, or use [[related]]";
        findings.add_with(&at.crm, format!("`{crm}` is a lookup, which a row cannot fill"), way);
    } else {
        let joined = split && holds == Holds::Text;
        if !(lookup || joined || holds.fits(rule.kind)) {
            other_type(crm, holds, &at.kind, findings);
        }
    }
    length(compiled, crm, findings);
}

/// A step for text does nothing in a row of another type. A joined list is a text, of some length.
fn text_steps(compiled: &Compiled, split: bool, findings: &mut Findings) {
    let Compiled { rule, row, at, .. } = compiled;
    if matches!(rule.kind, FieldKind::Text | FieldKind::Option) {
        return;
    }
    for (step, place) in row.converter.steps.iter().zip(&at.steps) {
        let of_length = matches!(step, Step::Max(_) | Step::Limit(_));
        if let Some(name) = step.for_text().filter(|_| !(split && of_length)) {
            let message = format!("`{name}` is a step for text, which this row does not hold");
            findings.add_with(place, message, format!("leave `{name}` out"));
        }
    }
}

fn other_type(field: &str, holds: Holds, place: &Place, findings: &mut Findings) {
    let message = format!("`{field}` holds {}, which this type does not fit", holds.words());
    match suggested(holds) {
        Some(kind) => findings.add_with(place, message, format!("write type = \"{kind}\"")),
        None => findings.add(place, message),
    }
}

/// A length in the codec must not exceed the column's.
fn length(compiled: &Compiled, crm: &str, findings: &mut Findings) {
    let Some(Known::Standard(column)) = compiled.record else { return };
    for step in &compiled.row.converter.steps {
        if let Step::Max(length) | Step::Limit(length) = step
            && column.length > 0
            && *length > column.length
            && compiled.rule.direction.to_crm()
        {
            let message = format!("`{crm}` holds {} characters, not {length}", column.length);
            findings.add(&compiled.at.codec, message);
        }
    }
}

/// A row that travels both ways must not lose anything, unless it says so.
fn losses(compiled: &Compiled, findings: &mut Findings) {
    let Compiled { rule, row, at, .. } = compiled;
    if rule.direction == Direction::Both && !compiled.lossy {
        for lost in row.converter.steps.iter().filter_map(Step::loses) {
            findings.add_with(
                &at.codec,
                format!("the row travels both ways, and {lost}"),
                "give it one direction, or accept the loss with lossy = true",
            );
        }
    }
    for step in &row.converter.steps {
        if let Step::Lookup(lookup) = step
            && rule.direction.to_partner_center()
            && let Some(word) = lookup.ambiguous.first()
        {
            findings.add_with(
                &at.codec,
                format!("`[lookup.{}]` has several referral words for {word}", lookup.name),
                format!("say which one it becomes: reverse = [[{word}, \"...\"]]"),
            );
        }
    }
}

/// What Partner Center lets a row write, and when.
fn partner_center(compiled: &Compiled, findings: &mut Findings) {
    let Compiled { rule, row, at, .. } = compiled;
    let (Some(path), Some(field)) = (&row.path, compiled.referral) else { return };
    if !rule.direction.to_partner_center() {
        return;
    }
    let name = &rule.name;
    let one_way = "give the row direction = \"to_crm\"";
    if WRITTEN_BY_STAGES.contains(&name.as_str()) {
        let message = format!("`{name}` is written by the stages, not by a row");
        findings.add_with(&at.referral, message, one_way);
        return;
    }
    if !field.create {
        let message = format!("Partner Center sets `{name}` itself; nobody can write it");
        findings.add_with(&at.referral, message, one_way);
        return;
    }
    if !rule.on_update {
        return;
    }
    let split = "write two rows: one with direction = \"to_crm\", one with \
                 direction = \"to_partner_center\" and on = [\"create\"]";
    let create = "give the row on = [\"create\"]";
    let way = if rule.direction == Direction::Both { split } else { create };
    if is_frozen(name, FROZEN_AFTER_CREATE) {
        let message = format!("Partner Center freezes `{name}` once the referral exists");
        findings.add_with(&at.referral, message, way);
    } else if is_frozen(&path.root, FROZEN_AFTER_SHARE) {
        let message = format!("Partner Center freezes `{}` once the deal is shared", path.root);
        findings.add_with(&at.referral, message, way);
    } else if !is_patchable(&path.root) {
        let message = format!("Partner Center does not let anyone change `{name}` of a referral");
        findings.add_with(&at.referral, message, way);
    }
}

/// What the CRM lets a row write.
fn record(compiled: &Compiled, ground: &Ground<'_>, control: &Control, findings: &mut Findings) {
    let Compiled { rule, at, .. } = compiled;
    let Some(crm) = rule.crm.as_deref().filter(|_| rule.direction.to_crm()) else { return };
    let title = ground.crm.title();
    let way = "give the row direction = \"to_partner_center\"";
    match compiled.record {
        Some(Known::Standard(column)) if !column.create && !column.update => {
            let message = format!("{title} does not let anyone write `{crm}`");
            findings.add_with(&at.crm, message, way);
        }
        Some(Known::Standard(column)) if rule.on_create && !column.create => {
            let message = format!("{title} does not take `{crm}` when a record is made");
            findings.add_with(&at.crm, message, "give the row on = [\"update\"]");
        }
        Some(Known::Standard(column)) if rule.on_update && !column.update => {
            let message = format!("{title} takes `{crm}` only when a record is made");
            findings.add_with(&at.crm, message, "give the row on = [\"create\"]");
        }
        Some(Known::Related { finds: false, .. }) => {
            let message = format!("`{crm}` belongs to another row, which is not written");
            findings.add_with(&at.crm, message, way);
        }
        Some(Known::Custom) if crm.contains('.') => {
            let message = format!("`{crm}` belongs to another row, which is not written");
            findings.add_with(&at.crm, message, way);
        }
        _ => {}
    }
    let own = [
        Some(&control.referral_id),
        Some(&control.sync),
        Some(&control.audit),
        control.token.as_ref(),
        control.status.as_ref(),
        control.link.as_ref(),
    ];
    if own.into_iter().flatten().any(|field| field == crm) {
        findings.add(&at.crm, format!("`{crm}` is a control field, which only the sync writes"));
    }
}

/// No two rows may write one field on one occasion, and no list beside its own items.
fn writers(fields: &[Compiled], findings: &mut Findings) {
    for (at, later) in fields.iter().enumerate() {
        for earlier in &fields[..at] {
            let together = (earlier.rule.on_create && later.rule.on_create)
                || (earlier.rule.on_update && later.rule.on_update);
            let conditional = earlier.row.when.is_some() && later.row.when.is_some();
            let clash = together && !conditional;
            let to_crm = earlier.rule.direction.to_crm() && later.rule.direction.to_crm();
            if clash && to_crm && earlier.rule.crm == later.rule.crm {
                two_writers(|row| (&row.at.crm, row.rule.crm.as_deref()), earlier, later, findings);
            }
            let back = earlier.rule.direction.to_partner_center()
                && later.rule.direction.to_partner_center();
            if clash && back && overlap(earlier, later) {
                two_writers(
                    |row| (&row.at.referral, row.rule.referral.as_deref()),
                    earlier,
                    later,
                    findings,
                );
            }
            if earlier.rule.name == later.rule.name && !alike(earlier, later) {
                let (mine, other) = mine(earlier, later);
                let message = format!(
                    "`{}` is read differently at {}: both rows must have the same type and codec",
                    mine.rule.name, other.rule.place
                );
                findings.add(&mine.at.kind, message);
            }
        }
    }
}

/// Rows of one group are merged as one, so they travel the same way and one policy decides.
fn groups(fields: &[Compiled], findings: &mut Findings) {
    for (at, later) in fields.iter().enumerate() {
        let Some(group) = &later.rule.group else { continue };
        let earlier = fields[..at].iter().find(|row| row.rule.group.as_ref() == Some(group));
        let Some(earlier) = earlier else { continue };
        let (left, right) = (&earlier.rule, &later.rule);
        if (left.conflict, left.direction) != (right.conflict, right.direction) {
            let (mine, other) = mine(earlier, later);
            let message = format!(
                "the rows of group `{group}` are merged as one, but differ in `conflict` or \
                 `direction` from {}",
                other.rule.place
            );
            let one_way = left.direction != right.direction;
            let place = if one_way { &mine.at.kind } else { &mine.at.conflict };
            findings.add(place, message);
        }
    }
}

/// Of two rows the one in the file itself first, rather than that of a file that it extends; the later
/// one of two in one file.
fn mine<'c>(earlier: &'c Compiled, later: &'c Compiled) -> (&'c Compiled, &'c Compiled) {
    if earlier.at.kind.file < later.at.kind.file { (earlier, later) } else { (later, earlier) }
}

fn two_writers(
    end_of: impl for<'c> Fn(&'c Compiled) -> (&'c Place, Option<&'c str>),
    earlier: &Compiled,
    later: &Compiled,
    findings: &mut Findings,
) {
    let (mine, other) = mine(earlier, later);
    let (place, field) = end_of(mine);
    let field = field.unwrap_or(mine.rule.name.as_str());
    let message = format!("`{field}` already has a writer at {}", other.rule.place);
    if earlier.at.kind.file == later.at.kind.file {
        findings.add(place, message);
        return;
    }
    let end = |key: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{key} = \"{value}\"")).unwrap_or_default()
    };
    let rule = &other.rule;
    let ends = [end("referral", &rule.referral), end("crm", &rule.crm)];
    let ends: Vec<String> = ends.into_iter().filter(|end| !end.is_empty()).collect();
    findings.add_with(place, message, format!("take it out with [[remove]] {}", ends.join(", ")));
}

/// Whether two rows write one path of a referral, or one a list and the other an item of it.
fn overlap(left: &Compiled, right: &Compiled) -> bool {
    match (&left.row.path, &right.row.path) {
        (Some(left), Some(right)) if left.root == right.root => {
            left.inside == right.inside || left.inside.is_none() || right.inside.is_none()
        }
        _ => false,
    }
}

/// Whether two rows of one name read it to the same canonical value.
fn alike(left: &Compiled, right: &Compiled) -> bool {
    let (left, right) = (&left.row.converter, &right.row.converter);
    let words = |steps: &[Step]| {
        let steps = steps.iter().filter(|step| !matches!(step, Step::Limit(_) | Step::Max(_)));
        steps.map(|step| format!("{step:?}")).collect::<Vec<_>>()
    };
    left.kind == right.kind
        && (left.scale, left.by_currency) == (right.scale, right.by_currency)
        && left.list == right.list
        && words(&left.steps) == words(&right.steps)
}

/// What a new record and a new referral cannot do without.
fn complete(
    effective: &Effective,
    fields: &[Compiled],
    ground: &Ground<'_>,
    findings: &mut Findings,
) {
    let start = Place::default();
    for column in required(ground.crm, ground.kind) {
        let written = fields.iter().any(|field| {
            let rule = &field.rule;
            rule.direction.to_crm() && rule.on_create && rule.crm.as_deref() == Some(column)
        });
        if !written {
            let message = format!(
                "{} needs `{column}` of a new record, and no row fills it",
                ground.crm.title()
            );
            findings.add(&start, message);
        }
    }
    let sends = |path: &str| {
        fields.iter().any(|field| {
            let rule = &field.rule;
            rule.direction.to_partner_center() && rule.on_create && rule.name == path
        })
    };
    if ground.kind == RecordKind::Opportunity && !effective.fields.is_empty() {
        for path in NEEDED_BY_PARTNER_CENTER.into_iter().filter(|path| !sends(path)) {
            let message =
                format!("Partner Center needs `{path}` of a new referral, and no row fills it");
            findings.add(&start, message);
        }
    }
}

/// Notes lookups that no row uses.
fn unused(effective: &Effective, findings: &mut Findings) {
    let codecs = effective.fields.iter().flat_map(|row| &row.codec);
    let mut used: BTreeSet<&str> =
        codecs.filter_map(|step| step.value.strip_prefix("lookup:")).map(str::trim).collect();
    let help = effective.control.as_ref().and_then(|control| control.help_lookup.as_ref());
    used.extend(help.map(|spot| spot.value.as_str()));
    for (name, table) in &effective.lookups {
        if table.place.file == 0 && !used.contains(name.as_str()) {
            findings.add(&table.place, format!("`[lookup.{name}]` is used by no row"));
        }
    }
}
