//! A file with the rows it takes over from the files it extends.

use std::collections::BTreeMap;

use crate::mapping::file::{
    CaseRow, ControlTable, FieldRow, LookupTable, MappingFile, RelatedRow, RemoveRow, StageRow,
};
use crate::mapping::problem::{Findings, Spot};
use crate::mapping::registration::RegistrationTable;

/// The rows that count.
#[derive(Debug, Default)]
pub(super) struct Effective {
    pub(super) crm: Option<Spot<String>>,
    pub(super) record: Option<Spot<String>>,
    pub(super) fields: Vec<FieldRow>,
    pub(super) lookups: BTreeMap<String, LookupTable>,
    pub(super) control: Option<ControlTable>,
    pub(super) registration: Option<RegistrationTable>,
    pub(super) stages: Vec<StageRow>,
    pub(super) related: Vec<RelatedRow>,
    pub(super) cases: Vec<CaseRow>,
}

impl Effective {
    /// Lays `files` on top of one another; the first is the file itself, the last the base.
    ///
    /// `None` if they are not about the same records.
    pub(super) fn of(files: Vec<MappingFile>, findings: &mut Findings) -> Option<Self> {
        let mut effective = Self::default();
        let count = files.len();
        for (at, file) in files.into_iter().rev().enumerate() {
            // Cases show what their own file does; a base's cases need not hold after a change.
            let last = at + 1 == count;
            if !effective.lay(file, last, findings) {
                return None;
            }
        }
        Some(effective)
    }

    fn lay(&mut self, file: MappingFile, last: bool, findings: &mut Findings) -> bool {
        let crm = same(&mut self.crm, file.crm, "crm", findings);
        let record = same(&mut self.record, file.record, "record", findings);
        if !crm || !record {
            return false;
        }
        for row in &file.removed {
            self.remove(row, findings);
        }
        self.replace(file.fields);
        self.lookups.extend(file.lookups.into_iter().map(|(name, table)| (name.value, table)));
        self.control = match (self.control.take(), file.control) {
            (Some(base), Some(top)) => Some(over(base, top)),
            (base, top) => top.or(base),
        };
        self.registration = match (self.registration.take(), file.registration) {
            (Some(base), Some(top)) => Some(top.over(base)),
            (base, top) => top.or(base),
        };
        if !file.stages.is_empty() {
            self.stages = file.stages;
        }
        for row in file.related {
            let name = |row: &RelatedRow| row.name.as_ref().map(|name| name.value.clone());
            match self.related.iter_mut().find(|known| name(known) == name(&row)) {
                Some(known) if known.place.file != row.place.file => *known = row,
                _ => self.related.push(row),
            }
        }
        if last {
            self.cases = file.cases;
        }
        true
    }

    fn remove(&mut self, row: &RemoveRow, findings: &mut Findings) {
        let key = (text(row.referral.as_ref()), text(row.crm.as_ref()));
        let before = self.fields.len();
        self.fields.retain(|field| ends(field) != key);
        if self.fields.len() == before {
            let known: Vec<String> = self.fields.iter().map(describe).collect();
            let wanted = described(key.0, key.1);
            let message = format!("there is no row {wanted} to remove");
            findings.unknown(&row.place, message, &wanted, known.iter().map(String::as_str));
        }
    }

    /// Puts `rows` in, each in the place of the rows with the same two ends.
    fn replace(&mut self, rows: Vec<FieldRow>) {
        let base = std::mem::take(&mut self.fields);
        let mut rows: Vec<Option<FieldRow>> = rows.into_iter().map(Some).collect();
        for field in base {
            let mut replaced = false;
            for slot in &mut rows {
                match slot {
                    Some(row) if ends(row) == ends(&field) => {
                        replaced = true;
                        self.fields.extend(slot.take());
                    }
                    _ => {}
                }
            }
            let replaced = replaced
                || self
                    .fields
                    .iter()
                    .any(|row| ends(row) == ends(&field) && row.place.file != field.place.file);
            if !replaced {
                self.fields.push(field);
            }
        }
        self.fields.extend(rows.into_iter().flatten());
    }
}

/// A header that a file repeats must say the same as its base.
fn same(
    known: &mut Option<Spot<String>>,
    top: Option<Spot<String>>,
    key: &str,
    findings: &mut Findings,
) -> bool {
    let Some(top) = top else { return true };
    if let Some(base) = known
        && base.value != top.value
    {
        let message = format!("`{key}` is `{}` in the file it extends", base.value);
        let way = format!("leave `{key}` out, or extend another file");
        findings.add_with(&top.place, message, way);
        return false;
    }
    *known = Some(top);
    true
}

/// The two ends of a row, which make it the same row in a file that extends.
pub(super) fn ends(row: &FieldRow) -> (Option<&str>, Option<&str>) {
    (text(row.referral.as_ref()), text(row.crm.as_ref()))
}

fn text(spot: Option<&Spot<String>>) -> Option<&str> {
    spot.map(|spot| spot.value.as_str())
}

fn describe(row: &FieldRow) -> String {
    let (referral, crm) = ends(row);
    described(referral, crm)
}

fn described(referral: Option<&str>, crm: Option<&str>) -> String {
    format!("{} - {}", referral.unwrap_or("(formula)"), crm.unwrap_or("(formula)"))
}

/// `top`, with what it leaves out taken from `base`.
fn over(base: ControlTable, top: ControlTable) -> ControlTable {
    ControlTable {
        place: top.place,
        referral_id: top.referral_id.or(base.referral_id),
        sync: top.sync.or(base.sync),
        audit: top.audit.or(base.audit),
        audit_length: top.audit_length.or(base.audit_length),
        link: top.link.or(base.link),
        link_template: top.link_template.or(base.link_template),
        help: top.help.or(base.help),
        help_lookup: top.help_lookup.or(base.help_lookup),
        solutions: top.solutions.or(base.solutions),
        visibility: top.visibility.or(base.visibility),
        microsoft_id: top.microsoft_id.or(base.microsoft_id),
        token: top.token.or(base.token),
        status: top.status.or(base.status),
        status_values: top.status_values.or(base.status_values),
    }
}
