//! The `[[stage]]` rows.

use serde_json::Value as Json;

use super::ends::unknown_field;
use super::{Ground, lifecycle, word};
use crate::domain::id::{CrmName, RecordKind};
use crate::domain::record::Fields;
use crate::domain::stage::Stage;
use crate::mapping::file::{CloseTable, StageRow};
use crate::mapping::knowledge::{Known, record_field};
use crate::mapping::problem::{Findings, Spot};
use crate::mapping::rule::{CloseRule, StageRule};

const STAGES: [(&str, Stage); 7] = [
    ("on_hold", Stage::OnHold),
    ("active", Stage::Active),
    ("won", Stage::Won),
    ("lost", Stage::Lost),
    ("declined", Stage::Declined),
    ("expired", Stage::Expired),
    ("error", Stage::Error),
];

/// The words for stages.
pub(super) fn words() -> Vec<&'static str> {
    STAGES.iter().map(|(word, _)| *word).collect()
}

/// Compiles the rows, in their order.
pub(super) fn compile(
    rows: &[StageRow],
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Vec<StageRule> {
    let mut rules: Vec<StageRule> = Vec::new();
    for row in rows {
        let stage = word(row.stage.as_ref(), "stage", &STAGES, &row.place, findings);
        let when = fields(row.when.as_ref(), false, ground, findings);
        let write = fields(row.write.as_ref(), true, ground, findings);
        let close = row.close.as_ref().and_then(|close| close_rule(close, ground, findings));
        if row.when.is_none() && row.write.is_none() && row.close.is_none() {
            findings.add(&row.place, "the row says neither how to see the stage nor how to set it");
        }
        if row.write.is_some() && row.close.is_some() {
            findings.add(&row.place, "a stage has `write` or `close`, not both");
        }
        let Some(stage) = stage else { continue };
        let place = row.place.describe(ground.sources);
        rules.push(StageRule { stage, when, write, close, place });
    }
    if rules.len() == rows.len() {
        lifecycle::check(&rules, rows, ground, findings);
    }
    rules
}

fn fields(
    entries: Option<&Vec<(Spot<String>, Spot<Json>)>>,
    written: bool,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in entries.into_iter().flatten() {
        match record_field(ground.crm, ground.kind, &name.value) {
            Known::Unknown => unknown_field(&name.value, &name.place, ground, findings),
            Known::Standard(column) if written && !column.update => {
                let message =
                    format!("{} does not let anyone write `{}`", ground.crm.title(), name.value);
                findings.add(&name.place, message);
            }
            _ => {}
        }
        if value.value.is_object() || (written && value.value.is_array()) {
            findings.add(&value.place, "write one plain value");
        }
        fields.insert(name.value.clone(), value.value.clone());
    }
    fields
}

fn close_rule(
    close: &CloseTable,
    ground: &Ground<'_>,
    findings: &mut Findings,
) -> Option<CloseRule> {
    if ground.crm != CrmName::Dynamics365 || ground.kind != RecordKind::Opportunity {
        let message = format!("{} has no closing action for this record", ground.crm.title());
        findings.add_with(&close.place, message, "use `write`");
        return None;
    }
    match (close.won, &close.status) {
        (Some(won), Some(status)) => Some(CloseRule { won, status: status.value }),
        _ => {
            findings.add_with(
                &close.place,
                "`close` needs `won` and `status`",
                "write close = { won = true, status = 3 }",
            );
            None
        }
    }
}
