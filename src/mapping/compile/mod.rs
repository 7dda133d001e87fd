//! From the text of a mapping file and the files it extends to a [`Mapping`], or to every problem.

mod check;
mod control;
mod effective;
mod ends;
mod field;
mod lifecycle;
mod registration;
mod related;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::de::DeTable;

use super::cases::{Case, KnownNames};
use super::codec::{Lookup, OnUnknown};
use super::compiled::{Mapping, record_fields, repeated};
use super::file::{LookupTable, MappingFile};
use super::load::shipped_files;
use super::problem::{Findings, Place, Problem, Problems, Source, Spot};
use super::registration::RegistrationRule;
use super::rule::{Control, StageRule};
use super::table::Table;
use crate::domain::digest::sha256;
use crate::domain::id::{CrmName, RecordKind};
use crate::domain::record::Shape;
use effective::Effective;

/// The most rows of a mapping: several times the columns that anyone keeps in step.
const MOST_ROWS: usize = 500;

/// How many files may extend one another.
const LONGEST_CHAIN: usize = 4;

/// Compiles the mapping file named `file`. It and the files it extends are read through `load`,
/// which gets the name and returns the text, or why there is none.
///
/// # Errors
///
/// Every problem of the files at once, each with its place and, where known, a way out.
pub fn compile(
    file: &str,
    load: &dyn Fn(&str) -> Result<Source, String>,
) -> Result<Mapping, Problems> {
    let mut findings = Findings::default();
    let mut sources = Vec::new();
    let files = chain(file, load, &mut sources, &mut findings)?;
    // With a file unreadable or built on the wrong one, anything else said would be noise.
    let Some(files) = files else { return Err(findings.into_problems(&sources)) };
    let Some(effective) = Effective::of(files, &mut findings) else {
        return Err(findings.into_problems(&sources));
    };
    let mapping = build(&effective, &sources, &mut findings);
    match mapping {
        Some(mapping) if findings.is_empty() => Ok(mapping),
        _ => Err(findings.into_problems(&sources)),
    }
}

/// The file and the files it extends, the file itself first; `None` if one could not be read.
fn chain(
    file: &str,
    load: &dyn Fn(&str) -> Result<Source, String>,
    sources: &mut Vec<Source>,
    findings: &mut Findings,
) -> Result<Option<Vec<MappingFile>>, Problems> {
    let mut files: Vec<MappingFile> = Vec::new();
    let mut names = vec![file.to_owned()];
    let mut wanted = Some(Spot { value: file.to_owned(), place: Place::default() });
    while let Some(name) = wanted.take() {
        match load(&name.value) {
            Ok(source) => {
                let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text).to_owned();
                sources.push(Source { name: source.name, text });
            }
            Err(reason) if files.is_empty() => {
                return Err(Problems(vec![Problem::of_file(file, reason, None)]));
            }
            Err(reason) => {
                let message = format!("cannot extend `{}`: {reason}", name.value);
                let shipped = shipped_files().iter().map(|(name, _)| *name);
                // A path to a shipped file means that file.
                let wanted = name.value.rsplit(['/', '\\']).next().unwrap_or_default();
                findings.unknown(&name.place, message, wanted, shipped);
                return Ok(None);
            }
        }
        let Some(read) = parse(sources.len() - 1, sources, findings) else { return Ok(None) };
        wanted = read.extends.clone();
        files.push(read);
        if let Some(next) = &wanted {
            let again = names.contains(&next.value) && next.value != file;
            if again || files.len() > LONGEST_CHAIN {
                findings.add(&next.place, "the files extend one another in a circle");
                return Ok(None);
            }
            names.push(next.value.clone());
        }
    }
    Ok(Some(files))
}

/// Reads one file; `None` after syntax errors, which are all noted.
fn parse(index: usize, sources: &[Source], findings: &mut Findings) -> Option<MappingFile> {
    let text = &sources[index].text;
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let place = Place { file: index, span: 0..0 };
        let table = Table::new(index, "the file", place, table.get_ref());
        return Some(MappingFile::read(table, findings));
    }
    for error in errors {
        let place = Place { file: index, span: error.span().unwrap_or(0..0) };
        findings.add(&place, error.message().to_owned());
    }
    None
}

/// What rows are compiled with.
struct Ground<'e> {
    crm: CrmName,
    kind: RecordKind,
    lookups: BTreeMap<String, Arc<Lookup>>,
    sources: &'e [Source],
}

fn build(effective: &Effective, sources: &[Source], findings: &mut Findings) -> Option<Mapping> {
    let start = Place::default();
    let crm = word(effective.crm.as_ref(), "crm", &CRMS, &start, findings);
    let kind = word(effective.record.as_ref(), "record", &KINDS, &start, findings);
    let (crm, kind) = (crm?, kind?);
    let lookups = effective.lookups.iter();
    let lookups = lookups
        .map(|(name, table)| (name.clone(), Arc::new(lookup(name, table, findings))))
        .collect();
    if let Some(first) = effective.fields.get(MOST_ROWS) {
        findings.add(&first.place, format!("a mapping has at most {MOST_ROWS} rows"));
        return None;
    }
    let ground = Ground { crm, kind, lookups, sources };
    let fields: Vec<field::Compiled> =
        effective.fields.iter().filter_map(|row| field::compile(row, &ground, findings)).collect();
    let control = control::compile(effective.control.as_ref(), &ground, findings);
    let stages = stage::compile(&effective.stages, &ground, findings);
    let related = related::compile(&effective.related, &ground, findings);
    check::check(effective, &ground, &fields, &control, findings);
    let registration = registration::compile(
        effective.registration.as_ref(),
        &ground,
        &control,
        &fields,
        findings,
    );
    let shape = shape(&fields, &control, &stages, registration.as_ref());
    let paths: BTreeSet<&String> = fields.iter().flat_map(|field| field.row.formulas()).collect();
    let paths: Arc<[String]> = paths.into_iter().cloned().collect();
    let known = known(effective, &fields, &shape, &paths, (crm, kind));
    let cases: Arc<[Case]> = Case::all(&effective.cases, known.as_ref(), findings).into();
    if !findings.is_empty() {
        return None;
    }
    let mut mapping = Mapping {
        crm,
        kind,
        file: sources.first().map_or_else(String::new, |source| source.name.clone()),
        version: version(sources),
        shape,
        rules: Vec::new(),
        rows: Vec::new(),
        repeated: Vec::new(),
        control,
        registration,
        stages,
        related,
        parked: Vec::new(),
        cases,
        sources: sources.into(),
        paths,
    };
    for field::Compiled { rule, row, .. } in fields {
        mapping.rules.push(rule);
        mapping.rows.push(Arc::new(row));
    }
    mapping.repeated = repeated(&mapping.rules);
    Some(mapping)
}

/// The names that a case may use; `None` if a row did not compile, which may be the one that a case
/// is about.
fn known(
    effective: &Effective,
    fields: &[field::Compiled],
    shape: &Shape,
    paths: &[String],
    of: (CrmName, RecordKind),
) -> Option<KnownNames> {
    let rules = fields.iter().map(|field| &field.rule);
    (fields.len() == effective.fields.len())
        .then(|| KnownNames::of(rules, &shape.fields, paths, of, stage::words()))
}

/// Every record field that is to be read.
fn shape(
    fields: &[field::Compiled],
    control: &Control,
    stages: &[StageRule],
    registration: Option<&RegistrationRule>,
) -> Shape {
    let mut read: BTreeSet<String> = BTreeSet::new();
    for compiled in fields {
        read.extend(compiled.rule.crm.clone());
        let formulas = [&compiled.row.when, &compiled.row.to_partner_center];
        read.extend(formulas.into_iter().flatten().flat_map(record_fields).map(str::to_owned));
    }
    read.extend(control::fields(control));
    read.extend(registration.into_iter().flat_map(RegistrationRule::fields).cloned());
    read.extend(stages.iter().flat_map(|rule| rule.when.keys().cloned()));
    Shape {
        fields: read.into_iter().collect(),
        referral_field: control.referral_id.clone(),
        sync_field: control.sync.clone(),
        token_field: control.token.clone(),
    }
}

/// The first 12 hex digits of the SHA-256 over all texts.
fn version(sources: &[Source]) -> String {
    let all: Vec<&str> = sources.iter().map(|source| source.text.as_str()).collect();
    let mut version = sha256(all.join("\u{0}").as_bytes());
    version.truncate(12);
    version
}

const CRMS: [(&str, CrmName); 2] =
    [("dynamics365", CrmName::Dynamics365), ("salesforce", CrmName::Salesforce)];

const KINDS: [(&str, RecordKind); 2] =
    [("opportunity", RecordKind::Opportunity), ("lead", RecordKind::Lead)];

/// The value of one of the words in `known`.
fn word<T: Copy>(
    spot: Option<&Spot<String>>,
    key: &str,
    known: &[(&'static str, T)],
    missing: &Place,
    findings: &mut Findings,
) -> Option<T> {
    let words = || known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join("`, `");
    let Some(spot) = spot else {
        findings.add_with(
            missing,
            format!("`{key}` is missing"),
            format!("write one of `{}`", words()),
        );
        return None;
    };
    let found = known.iter().find(|(word, _)| *word == spot.value);
    if found.is_none() {
        let message = format!("`{key}` cannot be `{}`", spot.value);
        findings.add_with(&spot.place, message, format!("write one of `{}`", words()));
    }
    found.map(|(_, value)| *value)
}

/// Compiles one `[lookup.NAME]` table.
fn lookup(name: &str, table: &LookupTable, findings: &mut Findings) -> Lookup {
    let unknown =
        [("refuse", OnUnknown::Refuse), ("pass", OnUnknown::Pass), ("empty", OnUnknown::Empty)];
    let on_unknown = table.on_unknown.as_ref().map_or(Some(OnUnknown::Refuse), |spot| {
        word(Some(spot), "on_unknown", &unknown, &table.place, findings)
    });
    let pairs = table.rows.as_ref().map(|rows| pairs(rows, findings)).unwrap_or_default();
    if pairs.is_empty() {
        let message = format!("`[lookup.{name}]` has no rows");
        let example = "write rows = [[\"word in the referral\", \"word in the record\"]]";
        findings.add_with(&table.place, message, example);
    }
    let reverse =
        table.reverse.as_ref().map(|rows| self::pairs(rows, findings)).unwrap_or_default();
    let lookup = Lookup::new(name, pairs, &reverse, on_unknown.unwrap_or_default());
    for word in &lookup.repeated {
        let place = table.rows.as_ref().map_or(&table.place, |rows| &rows.place);
        findings.add(place, format!("`[lookup.{name}]` has two rows for {word} of the referral"));
    }
    lookup
}

/// The pairs of a list of lists of two.
fn pairs(
    rows: &Spot<serde_json::Value>,
    findings: &mut Findings,
) -> Vec<(serde_json::Value, serde_json::Value)> {
    let mut pairs = Vec::new();
    let scalar = |value: &serde_json::Value| !value.is_array() && !value.is_object();
    for row in rows.value.as_array().map_or(&[][..], Vec::as_slice) {
        match row.as_array().map(Vec::as_slice) {
            Some([left, right]) if scalar(left) && scalar(right) => {
                pairs.push((left.clone(), right.clone()));
            }
            _ => findings.add_with(
                &rows.place,
                format!("{row} is not a pair"),
                "write each row as [\"word in the referral\", \"word in the record\"]",
            ),
        }
    }
    pairs
}
