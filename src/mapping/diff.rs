//! What a changed mapping would write differently, over sample deals.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;

use super::compiled::Mapping;
use super::path::ReferralPath;
use super::rule::Occasion;
use crate::domain::record::Fields;
use crate::domain::referral::Referral;

/// The most lines a report keeps; the counts go on.
const MOST_LINES: usize = 1_000;

/// One field that two mappings write differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiffLine {
    /// Id of the sample's referral.
    pub referral: String,
    /// `crm`, `partner_center` or `stage`.
    pub side: &'static str,
    /// Record field or referral path.
    pub field: String,
    /// What the old mapping writes; `None` if nothing.
    pub old: Option<Json>,
    /// What the new mapping writes; `None` if nothing.
    pub new: Option<Json>,
}

/// What would change if the new mapping took the place of the old one.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DiffReport {
    /// Samples compared.
    pub samples: usize,
    /// Samples of which something is written differently: about as many writes follow.
    pub changed: usize,
    /// How often each field differs.
    pub by_field: BTreeMap<String, usize>,
    /// The differences, at most 1,000.
    pub lines: Vec<DiffLine>,
}

/// Compares what `old` and `new` write for each sample, in both directions.
pub fn diff(
    old: &Mapping,
    new: &Mapping,
    samples: impl Iterator<Item = (Referral, Fields)>,
) -> DiffReport {
    let mut report = DiffReport::default();
    for (referral, record) in samples {
        report.samples += 1;
        let id = referral.id().to_string();
        let before = outcome(old, &referral, &record);
        let after = outcome(new, &referral, &record);
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
        let mut changed = false;
        for key in keys {
            let (was, is) = (before.get(&key), after.get(&key));
            let holds = match key.0 {
                "crm" => record.get(&key.1),
                _ => ReferralPath::parse(&key.1).get(&referral),
            };
            // Emptying what is empty is no write.
            let nothing = is_nothing(was) && is_nothing(is) && is_nothing(holds);
            if was == is || nothing {
                continue;
            }
            changed = true;
            let (side, field) = key;
            *report.by_field.entry(field.clone()).or_default() += 1;
            if report.lines.len() < MOST_LINES {
                let (old, new) = (was.cloned(), is.cloned());
                report.lines.push(DiffLine { referral: id.clone(), side, field, old, new });
            }
        }
        report.changed += usize::from(changed);
    }
    report
}

fn is_nothing(value: Option<&Json>) -> bool {
    value.is_none_or(Json::is_null)
}

/// Everything that a mapping writes for one sample, by side and field.
fn outcome(
    mapping: &Mapping,
    referral: &Referral,
    record: &Fields,
) -> BTreeMap<(&'static str, String), Json> {
    let mut all = BTreeMap::new();
    let side = mapping.read_referral(referral);
    match mapping.write_record(&side.values, Some(referral), Occasion::Update) {
        Ok(fields) => all.extend(fields.into_iter().map(|(field, json)| (("crm", field), json))),
        Err(problems) => all.extend(
            problems.into_iter().map(|problem| (("crm", problem.field), problem.reason.into())),
        ),
    }
    let side = mapping.read_record(record);
    match mapping.write_referral(&side.values, Some(referral), Occasion::Update) {
        Ok(paths) => {
            all.extend(paths.into_iter().map(|(path, json)| (("partner_center", path), json)));
        }
        Err(problems) => all.extend(
            problems
                .into_iter()
                .map(|problem| (("partner_center", problem.field), problem.reason.into())),
        ),
    }
    let stage = mapping.stage_of(record).map_or(Json::Null, |stage| stage.as_str().into());
    all.insert(("stage", "stage".to_owned()), stage);
    all
}
