//! One `[[field]]` row.

use serde_json::{Map, Value as Json};

use super::ends::{formula, held, record_end, referral_end, suggested};
use super::{Ground, word};
use crate::domain::value::Value;
use crate::mapping::codec::convert::Converter;
use crate::mapping::codec::{ListShape, Step, currency, parse_step};
use crate::mapping::compiled::Row;
use crate::mapping::file::FieldRow;
use crate::mapping::knowledge::{Known, LIST_ITEMS, ReferralField};
use crate::mapping::path::{ReferralPath, without_index};
use crate::mapping::problem::{Findings, Place, Spot};
use crate::mapping::rule::{Direction, FieldKind, FieldRule, Policy};

/// A row and its rule.
pub(super) struct Compiled {
    pub(super) rule: FieldRule,
    pub(super) row: Row,
    pub(super) at: Spots,
    /// What the referral's field holds, if the row has that end.
    pub(super) referral: Option<ReferralField>,
    /// What the record's field is, if the row has that end.
    pub(super) record: Option<Known>,
    pub(super) lossy: bool,
}

/// Where the parts of a row stand; the row itself where it lacks one.
pub(super) struct Spots {
    /// The `referral` end.
    pub(super) referral: Place,
    /// The `crm` end.
    pub(super) crm: Place,
    /// The `type`.
    pub(super) kind: Place,
    /// The `conflict` policy.
    pub(super) conflict: Place,
    /// The `codec`: its first step.
    pub(super) codec: Place,
    /// Each step of the `codec`.
    pub(super) steps: Vec<Place>,
}

impl Spots {
    fn of(row: &FieldRow) -> Self {
        let place = |spot: Option<&Spot<String>>| {
            spot.map_or_else(|| row.place.clone(), |spot| spot.place.clone())
        };
        Self {
            referral: place(row.referral.as_ref()),
            crm: place(row.crm.as_ref()),
            kind: place(row.kind.as_ref()),
            conflict: place(row.conflict.as_ref()),
            codec: place(row.codec.first()),
            steps: row.codec.iter().map(|step| step.place.clone()).collect(),
        }
    }
}

const TYPES: [(&str, FieldKind); 9] = [
    ("text", FieldKind::Text),
    ("money", FieldKind::Money),
    ("decimal", FieldKind::Decimal),
    ("integer", FieldKind::Integer),
    ("boolean", FieldKind::Boolean),
    ("date", FieldKind::Date),
    ("instant", FieldKind::Instant),
    ("option", FieldKind::Option),
    ("list", FieldKind::List),
];

const DIRECTIONS: [(&str, Direction); 3] = [
    ("both", Direction::Both),
    ("to_crm", Direction::ToCrm),
    ("to_partner_center", Direction::ToPartnerCenter),
];

const POLICIES: [(&str, Policy); 4] = [
    ("partner_center", Policy::PartnerCenter),
    ("crm", Policy::Crm),
    ("newest", Policy::Newest),
    ("ask", Policy::Ask),
];

/// Fields of a referral that may be changed but never emptied.
const NEVER_EMPTY: [&str; 5] = [
    "details.closingDateTime",
    "details.currency",
    "details.dealValue",
    "details.requirements.solutions",
    "team",
];

/// Compiles a row; `None` after a problem that makes the rest meaningless.
pub(super) fn compile(
    row: &FieldRow,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Option<Compiled> {
    if row.broken {
        // What is said about the row as a whole may only follow from what could not be read.
        let mut further = Findings::default();
        readable(row, ground, &mut further);
        findings.take(further, |place| *place != row.place);
        return None;
    }
    readable(row, ground, findings)
}

/// Compiles what could be read of a row.
fn readable(row: &FieldRow, ground: &Ground<'_>, findings: &mut Findings) -> Option<Compiled> {
    let to_crm = formula(row.to_crm.as_ref(), "referral", ground, findings);
    let to_partner_center = formula(row.to_partner_center.as_ref(), "record", ground, findings);
    let when = formula(row.when.as_ref(), "", ground, findings);
    let referral = row.referral.as_ref().and_then(|spot| referral_end(spot, findings));
    let record = row.crm.as_ref().and_then(|spot| record_end(spot, ground, findings));
    let direction = direction(row, findings);
    let kind = kind(row, referral, record, findings);
    let direction = direction?;
    let steps = steps(row, ground, record, direction, findings);
    let Some(kind) = kind else {
        occasions(row, findings);
        conflict(row, direction, findings);
        return None;
    };
    let list = list_shape(row, kind, &steps, findings);
    let (scale, by_currency) = scale(row, kind, findings);
    let converter = Converter { kind, scale, by_currency, steps, list };
    let default = default(row, &converter, findings);
    let rule = rule(row, kind, direction, ground, findings)?;
    let compiled = Row {
        path: row.referral.as_ref().map(|spot| ReferralPath::parse(&spot.value)),
        converter,
        when,
        to_crm,
        to_partner_center,
        default,
        optional_field: row.optional_field.unwrap_or(false),
        spot: row.place.clone(),
    };
    let lossy = row.lossy.unwrap_or(false);
    Some(Compiled { rule, row: compiled, at: Spots::of(row), referral, record, lossy })
}

/// The rule that the merge follows.
fn rule(
    row: &FieldRow,
    kind: FieldKind,
    direction: Direction,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Option<FieldRule> {
    let (on_create, on_update) = occasions(row, findings);
    let conflict = conflict(row, direction, findings);
    let Some(name) = row.referral.as_ref().or(row.crm.as_ref()) else {
        findings.add(&row.place, "the row has neither `referral` nor `crm`");
        return None;
    };
    let text = |spot: &Option<Spot<String>>| spot.as_ref().map(|spot| spot.value.clone());
    Some(FieldRule {
        name: name.value.clone(),
        label: text(&row.label).unwrap_or_else(|| label(&name.value)),
        referral: text(&row.referral),
        crm: text(&row.crm),
        kind,
        direction,
        on_create,
        on_update,
        conflict,
        group: text(&row.group),
        required: required(row, &name.value, direction, findings),
        place: row.place.describe(ground.sources),
    })
}

/// Whether an emptied value stays away from Partner Center: always for what it requires.
fn required(row: &FieldRow, name: &str, direction: Direction, findings: &mut Findings) -> bool {
    let needed = direction.to_partner_center() && NEVER_EMPTY.contains(&name);
    if needed && row.required == Some(false) {
        let message = format!("Partner Center does not take an empty `{name}`");
        findings.add_with(&row.place, message, "leave `required` out");
    }
    if let (Some(true), Direction::ToCrm) = (row.required, direction) {
        let message = "`required` keeps an emptied value from Partner Center, where this row never \
                       writes";
        findings.add_with(&row.place, message, "leave `required` out");
    }
    row.required.unwrap_or(needed)
}

/// The type written; if it is missing, the way out names the one that the row's ends suggest.
fn kind(
    row: &FieldRow,
    referral: Option<ReferralField>,
    record: Option<Known>,
    findings: &mut Findings,
) -> Option<FieldKind> {
    if let Some(spot) = &row.kind {
        return word(Some(spot), "type", &TYPES, &row.place, findings);
    }
    let holds = referral.map(|field| field.holds).or(held(record));
    match holds.and_then(suggested) {
        Some(kind) => {
            findings.add_with(&row.place, "`type` is missing", format!("write type = \"{kind}\""));
        }
        None => findings.add(&row.place, "`type` is missing"),
    }
    None
}

/// The direction written, or the only one that a formula allows.
fn direction(row: &FieldRow, findings: &mut Findings) -> Option<Direction> {
    let only = match (&row.to_crm, &row.to_partner_center) {
        (Some(_), Some(second)) => {
            findings.add_with(
                &second.place,
                "a row has one formula",
                "write two rows, one for each direction",
            );
            return None;
        }
        (Some(formula), None) => Some((Direction::ToCrm, "referral", &row.referral, formula)),
        (None, Some(formula)) => Some((Direction::ToPartnerCenter, "crm", &row.crm, formula)),
        (None, None) => None,
    };
    if let Some((_, key, Some(end), _)) = &only {
        let message = format!("the formula takes the place of `{key}`");
        findings.add_with(&end.place, message, format!("leave `{key}` out"));
    }
    if only.is_none()
        && let Some(missing) = missing_end(row)
    {
        findings.add(&row.place, format!("`{missing}` is missing"));
        return None;
    }
    let Some(spot) = &row.direction else {
        return Some(only.map_or(Direction::Both, |(direction, ..)| direction));
    };
    let direction = word(Some(spot), "direction", &DIRECTIONS, &row.place, findings)?;
    match only {
        Some((only, ..)) if only != direction => {
            findings.add_with(
                &spot.place,
                "a formula has no inverse: its row travels one way",
                "leave `direction` out",
            );
            None
        }
        _ => Some(direction),
    }
}

/// The end that a row without a formula lacks; a row without any end is reported as such.
fn missing_end(row: &FieldRow) -> Option<&'static str> {
    match (&row.referral, &row.crm) {
        (None, Some(_)) => Some("referral"),
        (Some(_), None) => Some("crm"),
        _ => None,
    }
}

fn steps(
    row: &FieldRow,
    ground: &Ground<'_>,
    record: Option<Known>,
    direction: Direction,
    findings: &mut Findings,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for spot in &row.codec {
        match parse_step(&spot.value, &ground.lookups) {
            Ok(step) => steps.push(step),
            Err((message, Some(way))) => findings.add_with(&spot.place, message, way),
            Err((message, None)) => findings.add(&spot.place, message),
        }
    }
    let limited = steps.iter().any(|step| matches!(step, Step::Max(_) | Step::Limit(_)));
    // A text that the column cannot hold is refused here, as a problem of this one field, and not
    // by the CRM, as a failure of the whole record.
    match record {
        Some(Known::Standard(column)) if column.length > 0 && direction.to_crm() && !limited => {
            steps.push(Step::Limit(column.length));
        }
        _ => {}
    }
    steps
}

fn list_shape(
    row: &FieldRow,
    kind: FieldKind,
    steps: &[Step],
    findings: &mut Findings,
) -> Option<ListShape> {
    if kind != FieldKind::List {
        for (key, place) in [
            ("identity", row.identity.as_ref().map(|spot| &spot.place)),
            ("parts", row.parts.as_ref().and_then(|parts| parts.first()).map(|part| &part.place)),
            ("item", row.item.as_ref().map(|spot| &spot.place)),
        ] {
            if let Some(place) = place {
                findings.add(place, format!("`{key}` is for rows of type `list`"));
            }
        }
        return None;
    }
    let path = row.referral.as_ref().map(|spot| without_index(&spot.value)).unwrap_or_default();
    let members = LIST_ITEMS.iter().find(|(list, _)| *list == path).map(|(_, members)| *members);
    let Some(identity) = &row.identity else {
        let way = "write the member that tells items apart, for example identity = \"id\"";
        findings.add_with(&row.place, "a list needs `identity`", way);
        return None;
    };
    let mut parts = vec![identity.value.clone()];
    for part in row.parts.iter().flatten() {
        if !parts.contains(&part.value) {
            parts.push(part.value.clone());
        }
    }
    for spot in std::iter::once(identity).chain(row.parts.iter().flatten()) {
        let Some(members) = members else { break };
        if !members.iter().any(|(name, _)| *name == spot.value) {
            let message = format!("an item of `{path}` has no `{}`", spot.value);
            findings.unknown(
                &spot.place,
                message,
                &spot.value,
                members.iter().map(|(name, _)| *name),
            );
        }
    }
    if parts.len() > 1
        && steps.iter().any(|step| matches!(step, Step::Split(_)))
        && let Some(part) = row.parts.iter().flatten().find(|part| part.value != identity.value)
    {
        findings
            .add(&part.place, "`split` carries the identity only, so no other part is compared");
    }
    let item = match &row.item {
        Some(Spot { value: Json::Object(members), .. }) => members.clone(),
        Some(other) => {
            findings.add(&other.place, "`item` must be a table of members");
            Map::new()
        }
        None => Map::new(),
    };
    Some(ListShape { identity: identity.value.clone(), parts, item })
}

/// Digits after the point, and whether those of the currency take their place.
fn scale(row: &FieldRow, kind: FieldKind, findings: &mut Findings) -> (u32, bool) {
    let Some(spot) = &row.scale else {
        return if kind == FieldKind::Money { (currency::MOST, true) } else { (2, false) };
    };
    if !matches!(kind, FieldKind::Money | FieldKind::Decimal) {
        let message = "`scale` is for rows of type `money` or `decimal`";
        findings.add_with(&spot.place, message, "leave `scale` out");
    }
    match u32::try_from(spot.value) {
        Ok(scale) if scale <= 10 => (scale, false),
        _ => {
            findings.add(&spot.place, "`scale` must be between 0 and 10");
            (2, false)
        }
    }
}

fn default(row: &FieldRow, converter: &Converter, findings: &mut Findings) -> Option<Value> {
    let spot = row.default.as_ref()?;
    match converter.canonical(&spot.value) {
        Ok(value) => Some(value),
        Err(fault) => {
            findings.add_with(&spot.place, format!("`default`: {}", fault.reason), fault.fix);
            None
        }
    }
}

fn occasions(row: &FieldRow, findings: &mut Findings) -> (bool, bool) {
    let Some(on) = &row.on else { return (true, true) };
    let (mut create, mut update) = (false, false);
    for spot in on {
        let known = [("create", true), ("update", false)];
        match word(Some(spot), "on", &known, &row.place, findings) {
            Some(true) => create = true,
            Some(false) => update = true,
            None => {}
        }
    }
    if on.is_empty() {
        findings.add(&row.place, "`on` is empty, so the row never acts");
    }
    (create, update)
}

fn conflict(row: &FieldRow, direction: Direction, findings: &mut Findings) -> Policy {
    let Some(spot) = &row.conflict else {
        return match direction {
            Direction::Both => {
                let words = POLICIES.map(|(word, _)| word).join("`, `");
                findings.add_with(
                    &row.place,
                    "a row that travels both ways needs `conflict`: who wins when both sides changed",
                    format!("write one of `{words}`"),
                );
                Policy::Ask
            }
            Direction::ToCrm => Policy::PartnerCenter,
            Direction::ToPartnerCenter => Policy::Crm,
        };
    };
    if direction != Direction::Both {
        findings.add_with(
            &spot.place,
            "a row that travels one way has no conflicts",
            "leave `conflict` out",
        );
    }
    word(Some(spot), "conflict", &POLICIES, &row.place, findings).unwrap_or(Policy::Ask)
}

/// Words for people from a name: `details.dealValue` becomes `Deal value`.
fn label(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name).trim_end_matches("__c");
    let mut words = String::new();
    for letter in last.chars() {
        match letter {
            '_' => words.push(' '),
            letter if letter.is_uppercase() && !words.is_empty() && !words.ends_with(' ') => {
                words.push(' ');
                words.extend(letter.to_lowercase());
            }
            letter if words.is_empty() => words.extend(letter.to_uppercase()),
            letter => words.push(letter),
        }
    }
    words
}
