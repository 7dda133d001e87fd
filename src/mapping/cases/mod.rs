//! The cases that mapping files carry, and generated ones that no file needs to state.

mod generated;
mod known;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::codec::decimal_of;
use super::compiled::Mapping;
use super::file::{CaseKey, CaseRow};
use super::path::ReferralPath;
use super::problem::{Findings, Place, Problem, Spot};
use super::rule::{Direction, FieldProblem, FieldRule, Occasion};
use crate::domain::record::Fields;
use crate::domain::referral::Referral;

pub(crate) use known::KnownNames;

/// One `[[case]]` of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    name: String,
    occasion: Option<Occasion>,
    given_referral: Option<Fields>,
    given_crm: Option<Fields>,
    expect_referral: Option<Fields>,
    expect_crm: Option<Fields>,
    expect_stage: Option<String>,
    expect_problem: Option<String>,
    place: Place,
    keys: Vec<CaseKey>,
}

/// One thing that a case expects otherwise.
struct Difference {
    /// `crm`, `referral`, `stage` or `problem`.
    side: &'static str,
    /// The field or path; empty for the case as a whole.
    key: String,
    /// What is expected and what came.
    message: String,
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseOutcome {
    /// The case's name; for generated cases the row's.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What differs, one sentence each.
    pub differences: Vec<String>,
    /// The same with the place in the file: the expectation that does not hold, or the row that does
    /// not come back.
    pub problems: Vec<Problem>,
}

/// What became of all cases of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CaseReport {
    /// The file's own cases, in its order, then one generated case for each row that travels both
    /// ways.
    pub outcomes: Vec<CaseOutcome>,
    /// Rows and directions that no case of the file shows: `details.notes to_crm`.
    pub uncovered: Vec<String>,
}

impl CaseReport {
    /// Whether every case holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.passed)
    }
}

/// Runs the file's cases and, for each row that travels both ways without an accepted loss, 1,000
/// generated values: what is written must read back the same at either end.
#[must_use]
pub fn run_cases(mapping: &Mapping) -> CaseReport {
    let mut covered = BTreeSet::new();
    let mut outcomes: Vec<CaseOutcome> =
        mapping.cases.iter().map(|case| case.run(mapping, &mut covered)).collect();
    outcomes.extend(generated::run(mapping));
    let uncovered = directions(mapping).filter(|line| !covered.contains(line)).collect();
    CaseReport { outcomes, uncovered }
}

/// Every row in every direction it travels.
fn directions(mapping: &Mapping) -> impl Iterator<Item = String> {
    mapping.fields().iter().flat_map(|rule| {
        let ways = match rule.direction {
            Direction::Both => vec!["to_crm", "to_partner_center"],
            Direction::ToCrm => vec!["to_crm"],
            Direction::ToPartnerCenter => vec!["to_partner_center"],
        };
        ways.into_iter().map(|way| format!("{} {way}", rule.name))
    })
}

impl Case {
    /// Reads every case; notes what is wrong with it.
    pub(crate) fn all(
        rows: &[CaseRow],
        known: Option<&KnownNames>,
        findings: &mut Findings,
    ) -> Vec<Self> {
        rows.iter().map(|row| Self::read(row, known, findings)).collect()
    }

    fn read(row: &CaseRow, known: Option<&KnownNames>, findings: &mut Findings) -> Self {
        let (place, keys) = (row.place.clone(), row.keys.clone());
        let mut case = Self { place, keys, ..Self::default() };
        match &row.name {
            Some(name) => case.name.clone_from(&name.value),
            None => findings.add(&row.place, "`name` is missing in the [[case]]"),
        }
        case.occasion = match row.on.as_ref().map(|on| on.value.as_str()) {
            None | Some("update") => Some(Occasion::Update),
            Some("create") => Some(Occasion::Create),
            Some(other) => {
                let place = row.on.as_ref().map_or(&row.place, |on| &on.place);
                findings.add_with(
                    place,
                    format!("`on` cannot be `{other}`"),
                    "write create or update",
                );
                None
            }
        };
        let mut given = sides(row.given.as_ref(), "given", &row.place, findings);
        let mut expect = sides(row.expect.as_ref(), "expect", &row.place, findings);
        case.given_referral = object(given.remove("referral"), "referral", &row.place, findings);
        case.given_crm = object(given.remove("crm"), "crm", &row.place, findings);
        case.expect_referral = object(expect.remove("referral"), "referral", &row.place, findings);
        case.expect_crm = object(expect.remove("crm"), "crm", &row.place, findings);
        let text = |json: Option<Json>| json.and_then(|json| json.as_str().map(str::to_owned));
        case.expect_stage = text(expect.remove("stage"));
        case.expect_problem = text(expect.remove("problem"));
        for (key, spot) in [(given.keys().next(), &row.given), (expect.keys().next(), &row.expect)]
        {
            if let (Some(key), Some(spot)) = (key, spot) {
                let known = "known: crm, problem, referral, stage";
                findings.add_with(&spot.place, format!("unknown key `{key}` in the case"), known);
            }
        }
        case.check(&row.place, findings);
        if let Some(known) = known {
            case.check_names(known, findings);
        }
        case
    }

    /// Notes every name in the case that no row knows.
    fn check_names(&self, known: &KnownNames, findings: &mut Findings) {
        for CaseKey { table, side, key, place } in &self.keys {
            match side.as_str() {
                "crm" | "referral" if !key.is_empty() => {
                    known.check_key(table, side, key, place, findings);
                }
                "stage" => {
                    let stage = self.expect_stage.iter();
                    stage.for_each(|stage| known.check_stage(stage, place, findings));
                }
                "problem" => {
                    let field = self.expect_problem.iter();
                    field.for_each(|field| known.check_problem(field, place, findings));
                }
                _ => {}
            }
        }
    }

    /// A case that could never fail is a mistake.
    fn check(&self, place: &Place, findings: &mut Findings) {
        if self.expect_referral.is_none()
            && self.expect_crm.is_none()
            && self.expect_stage.is_none()
            && self.expect_problem.is_none()
        {
            findings.add(place, "the case expects nothing");
        }
        if self.expect_crm.is_some() && self.given_referral.is_none() {
            findings.add(place, "a case that expects `crm` needs a given `referral`");
        }
        if (self.expect_referral.is_some() || self.expect_stage.is_some())
            && self.given_crm.is_none()
        {
            findings.add(place, "a case that expects `referral` or `stage` needs a given `crm`");
        }
    }

    fn run(&self, mapping: &Mapping, covered: &mut BTreeSet<String>) -> CaseOutcome {
        let mut differences = Vec::new();
        let mut problems = Vec::new();
        let occasion = self.occasion.unwrap_or(Occasion::Update);
        let referral = self.given_referral.as_ref().map(referral_of);
        if let (Some(Some(referral)), true) = (&referral, self.goes_to_crm()) {
            let side = mapping.read_referral(referral);
            problems.extend(side.problems);
            match mapping.write_record(&side.values, Some(referral), occasion) {
                Ok(fields) => compare_crm(self.expect_crm.as_ref(), &fields, &mut differences),
                Err(more) => problems.extend(more),
            }
        }
        if let Some(record) = &self.given_crm {
            let side = mapping.read_record(record);
            problems.extend(side.problems);
            let current = referral.as_ref().and_then(Option::as_ref);
            match mapping.write_referral(&side.values, current, occasion) {
                Ok(paths) => {
                    compare_referral(self.expect_referral.as_ref(), &paths, &mut differences);
                }
                Err(more) => problems.extend(more),
            }
            if let Some(expected) = &self.expect_stage {
                let stage = mapping.stage_of(record).map_or("none", |stage| stage.as_str());
                if stage != expected {
                    let message = format!("stage: expected {expected}, got {stage}");
                    differences.push(Difference { side: "stage", key: String::new(), message });
                }
            }
        }
        self.judge_problems(&problems, &mut differences);
        self.cover(mapping, covered);
        let problems = differences.iter().map(|difference| {
            let message =
                format!("the case \"{}\" does not hold: {}", self.name, difference.message);
            Problem::at(self.place_of(difference), &mapping.sources, message, None)
        });
        CaseOutcome {
            name: self.name.clone(),
            passed: differences.is_empty(),
            problems: problems.collect(),
            differences: differences.into_iter().map(|difference| difference.message).collect(),
        }
    }

    /// Where the expectation stands, or else what was given for the field, or else the case.
    fn place_of(&self, difference: &Difference) -> &Place {
        let expected = self.keys.iter().find(|key| {
            key.table == "expect" && key.side == difference.side && key.key == difference.key
        });
        let given = || self.keys.iter().find(|key| key.key == difference.key);
        expected.or_else(given).map_or(&self.place, |key| &key.place)
    }

    /// Whether the given referral is the source and not only what Partner Center holds already.
    fn goes_to_crm(&self) -> bool {
        self.expect_crm.is_some() || self.given_crm.is_none()
    }

    fn judge_problems(&self, problems: &[FieldProblem], differences: &mut Vec<Difference>) {
        match &self.expect_problem {
            None => differences.extend(problems.iter().map(|problem| Difference {
                side: "",
                key: problem.field.clone(),
                message: format!("{}: {}", problem.field, problem.reason),
            })),
            Some(field) if problems.iter().any(|problem| problem.field == *field) => {}
            Some(field) => differences.push(Difference {
                side: "problem",
                key: String::new(),
                message: format!("{field}: expected a problem, there is none"),
            }),
        }
    }

    /// Notes which rows this case shows, by the fields that it expects.
    fn cover(&self, mapping: &Mapping, covered: &mut BTreeSet<String>) {
        let names = |fields: &Option<Fields>, end: fn(&FieldRule) -> Option<&String>, way: &str| {
            let keys: Vec<&String> = fields.iter().flat_map(Map::keys).collect();
            let rules = mapping.fields().iter();
            let shown = rules.filter(|rule| {
                end(rule).is_some_and(|end| {
                    keys.iter().any(|key| {
                        *key == end
                            || key
                                .strip_prefix(end.as_str())
                                .is_some_and(|rest| rest.starts_with('.'))
                    })
                })
            });
            shown.map(|rule| format!("{} {way}", rule.name)).collect::<Vec<_>>()
        };
        covered.extend(names(&self.expect_crm, |rule| rule.crm.as_ref(), "to_crm"));
        covered.extend(names(
            &self.expect_referral,
            |rule| rule.referral.as_ref(),
            "to_partner_center",
        ));
    }
}

/// A referral that holds `fields`, given by dotted paths.
fn referral_of(fields: &Fields) -> Option<Referral> {
    let mut json = serde_json::json!({ "id": "11111111-2222-4333-8444-555555555555" });
    for (path, value) in fields {
        set(&mut json, path, value.clone());
    }
    Referral::from_json(json)
}

/// Puts `value` at the dotted `path`.
fn set(json: &mut Json, path: &str, value: Json) {
    let path = ReferralPath::parse(path);
    let mut at = json;
    for step in path.root.split('.') {
        if !at.is_object() {
            *at = Json::Object(Map::new());
        }
        at = &mut at[step];
    }
    path.set_inside(at, value);
}

fn compare_crm(expected: Option<&Fields>, actual: &Fields, differences: &mut Vec<Difference>) {
    for (field, expected) in expected.into_iter().flatten() {
        compare("crm", field, expected, actual.get(field), differences);
    }
}

fn compare_referral(
    expected: Option<&Fields>,
    paths: &std::collections::BTreeMap<String, Json>,
    differences: &mut Vec<Difference>,
) {
    for (name, expected) in expected.into_iter().flatten() {
        let path = ReferralPath::parse(name);
        let root = paths.get(&path.root);
        let actual = match &path.inside {
            None => root,
            Some((index, steps)) => root
                .and_then(|root| root.get(*index))
                .and_then(|item| steps.iter().try_fold(item, |at, step| at.get(step))),
        };
        compare("referral", name, expected, actual, differences);
    }
}

fn compare(
    side: &'static str,
    field: &str,
    expected: &Json,
    actual: Option<&Json>,
    differences: &mut Vec<Difference>,
) {
    let actual = actual.unwrap_or(&Json::Null);
    if !same(expected, actual) {
        let message = format!("{field}: expected {expected}, got {actual}");
        differences.push(Difference { side, key: field.to_owned(), message });
    }
}

/// Whether two values are the same; numbers by their value, `nothing` in a file means null.
fn same(expected: &Json, actual: &Json) -> bool {
    match (expected, actual) {
        (Json::String(text), Json::Null) => text.is_empty(),
        (Json::Number(_), Json::Number(_)) => {
            decimal_of(expected, 10).ok() == decimal_of(actual, 10).ok()
        }
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        (left, right) => left == right,
    }
}

fn sides(
    spot: Option<&Spot<Json>>,
    key: &str,
    place: &Place,
    findings: &mut Findings,
) -> Map<String, Json> {
    match spot.map(|spot| (&spot.value, &spot.place)) {
        Some((Json::Object(members), _)) => members.clone(),
        Some((_, place)) => {
            findings.add(place, format!("`{key}` must be a table"));
            Map::new()
        }
        None => {
            findings.add(place, format!("`{key}` is missing in the [[case]]"));
            Map::new()
        }
    }
}

fn object(json: Option<Json>, key: &str, place: &Place, findings: &mut Findings) -> Option<Fields> {
    match json? {
        Json::Object(members) => {
            let mut fields = Fields::new();
            flatten(members, "", &mut fields);
            Some(fields)
        }
        _ => {
            findings.add(place, format!("`{key}` of a case must be a table of fields"));
            None
        }
    }
}

/// Names fields by dotted paths, however the file writes them: `Account.Name = ""` without quotation
/// marks is a table in a table.
fn flatten(members: Map<String, Json>, before: &str, fields: &mut Fields) {
    for (key, value) in members {
        let name = format!("{before}{key}");
        match value {
            Json::Object(inner) if !inner.is_empty() => flatten(inner, &format!("{name}."), fields),
            value => drop(fields.insert(name, value)),
        }
    }
}
