//! A new mapping that reads the stage of a record in another way: its change is no edit of anybody's.

use serde_json::Value as Json;

use super::attempt::{Attempt, ReadRecord};
use crate::domain::audit::AuditKind;
use crate::domain::deal::{Deal, Link, StageAgreement, StageSeen, StageSince};
use crate::domain::record::{Fields, Record};
use crate::domain::stage::Stage;
use crate::mapping::Mapping;

impl Attempt<'_> {
    /// Heeds the mapping that a record was read by: see [`heed`]. What it holds is remembered at once,
    /// also of a record that is then left alone or whose try fails.
    pub(super) fn heed_stage(&mut self, deal: &mut Deal, record: &Record, mapping: &Mapping) {
        let Some(link) = deal.link_mut(record.key.crm) else { return };
        let reread = heed(link, &record.fields, mapping);
        remember(link, &record.fields, mapping);
        if let Some(reread) = reread {
            let summary = reread.summary(record);
            self.entry(Some(deal), AuditKind::Configured, record.key.crm.as_str(), summary);
        }
    }
}

/// A record that a new mapping reads in another stage.
struct Reread {
    /// What was agreed on, as it is read now.
    agreed: StageAgreement,
    /// The record's stage as it was read before.
    before: Stage,
    /// What the record held when it was agreed on.
    held: Fields,
}

impl Reread {
    /// What the trail says of it.
    fn summary(&self, record: &Record) -> String {
        let held: Vec<String> = self.held.iter().map(|(name, value)| shown(name, value)).collect();
        let mut text = format!(
            "The mapping files read the {} in {} that holds {} as {}; it was read as {} \
             before. Nobody moved it by that, so nothing is sent for it.",
            record.key.kind,
            record.key.crm.title(),
            held.join(", "),
            self.agreed.record.for_people(),
            self.before.for_people(),
        );
        if self.agreed.record != self.agreed.referral {
            text.push_str(&format!(
                " At Partner Center the deal is {}: to change that, move it there, or move the record to \
                 another stage and back.",
                self.agreed.referral.for_people(),
            ));
        }
        text
    }
}

fn shown(name: &str, value: &Json) -> String {
    match value {
        Json::String(text) => format!("{name} = {text}"),
        other => format!("{name} = {other}"),
    }
}

/// Where a mapping reads what was agreed on in another stage than the one that it was read in then,
/// that stage is the one agreed on. What the record holds otherwise since is an edit as before, also
/// where it is read as that same stage.
fn heed(link: &mut Link, record: &Fields, mapping: &Mapping) -> Option<Reread> {
    let before = link.base_stage?;
    let seen = link.stage_seen.as_mut()?;
    let now = mapping.stage_fields(record);
    let mut held = now.clone();
    let is_whole = held.keys().all(|name| seen.fields.contains_key(name));
    if seen.since == StageSince::Left && !is_whole {
        // The move that is still to be followed must not be taken for the new mapping's doing.
        return None;
    }
    for (name, value) in &mut held {
        if let Some(then) = seen.fields.get(name) {
            *value = then.clone();
        }
    }
    let stage = mapping.stage_of(&held)?;
    let is_same = mapping.stage_of(record) == Some(stage) && now != held;
    let is_nobodys = stage != before.record || seen.since == StageSince::Reread;
    if is_same && is_nobodys && stage != before.referral {
        // Nobody chose this stage where the record stood. Where it was moved to, somebody did.
        seen.since = StageSince::Left;
        link.base_stage = Some(StageAgreement { record: before.referral, ..before });
        return None;
    }
    let agreed = StageAgreement { record: stage, ..before };
    if agreed == before {
        return None;
    }
    if seen.since == StageSince::Moved || now == held {
        seen.since = StageSince::Reread;
    }
    seen.fields.extend(held.clone());
    link.base_stage = Some(agreed);
    Some(Reread { agreed, before: before.record, held })
}

/// Remembers what each record holds: see [`remember`].
pub(super) fn remember_all(deal: &mut Deal, records: &[ReadRecord]) {
    for read in records {
        if let Some(link) = deal.link_mut(read.record.key.crm) {
            remember(link, &read.record.fields, &read.mapping);
        }
    }
}

/// Remembers what a record holds where its stage is the one agreed on, and that it was moved on where
/// it is not. Fields that only an earlier mapping read are kept: the files may come back to it.
fn remember(link: &mut Link, record: &Fields, mapping: &Mapping) {
    let (Some(base), Some(stage)) = (link.base_stage, mapping.stage_of(record)) else { return };
    let now = mapping.stage_fields(record);
    if stage != base.record {
        if let Some(seen) = &mut link.stage_seen {
            seen.since = StageSince::Left;
        }
        return;
    }
    let stands = link.stage_seen.as_ref().is_some_and(|seen| is_reread(seen, &now));
    let since = if stands { StageSince::Reread } else { StageSince::Moved };
    let mut fields = link.stage_seen.take().map(|seen| seen.fields).unwrap_or_default();
    fields.extend(now);
    link.stage_seen = Some(StageSeen { fields, since });
}

/// Whether a record is in its stage only because a changed mapping reads it so.
pub(super) fn is_only_reread(link: &Link, record: &Fields, mapping: &Mapping) -> bool {
    let now = mapping.stage_fields(record);
    link.stage_seen.as_ref().is_some_and(|seen| is_reread(seen, &now))
}

fn is_reread(seen: &StageSeen, now: &Fields) -> bool {
    seen.since == StageSince::Reread
        && now.iter().all(|(name, value)| seen.fields.get(name) == Some(value))
}

/// Whether a mapping reads the stage that was agreed on as another one, as far as it is remembered.
#[must_use]
pub fn reads_otherwise(link: &Link, mapping: &Mapping) -> bool {
    let (Some(base), Some(seen)) = (link.base_stage, &link.stage_seen) else { return false };
    mapping.stage_of(&seen.fields).is_some_and(|stage| stage != base.record)
}

/// Whether a record is to be looked at because of its stage: it is read as another one, or nothing is
/// remembered of it yet.
pub(super) fn is_to_be_looked_at(link: &Link, mapping: &Mapping) -> bool {
    let forgotten = link.base_stage.is_some() && link.stage_seen.is_none();
    forgotten || reads_otherwise(link, mapping)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::heed;
    use crate::domain::deal::{Link, StageAgreement, StageSeen, StageSince};
    use crate::domain::record::Fields;
    use crate::domain::stage::Stage;
    use crate::mapping::{Mapping, MappingFolder};

    /// The shipped mapping with these stages of Salesforce: of each a name, and what is read as it.
    fn mapping(stages: &[(&str, &[&str])]) -> Mapping {
        let head = "extends = \"salesforce-opportunity.toml\"\ncrm = \"salesforce\"\n\
                    record = \"opportunity\"\n";
        let mut text = head.to_owned();
        for (stage, held) in stages {
            let held = json!(held);
            text.push_str(&format!(
                "[[stage]]\nstage = \"{stage}\"\nwhen = {{ StageName = {held} }}\n\
                 write = {{ StageName = {} }}\n",
                held[0]
            ));
        }
        for stage in ["declined", "expired", "error"] {
            text.push_str(&format!(
                "[[stage]]\nstage = \"{stage}\"\nwrite = {{ StageName = \"Closed Lost\" }}\n"
            ));
        }
        let files = BTreeMap::from([("own.toml".to_owned(), text)]);
        let all = MappingFolder::of("own", &files).compile().expect("a good mapping");
        all.into_iter().next().expect("one mapping")
    }

    fn held(stage: &str) -> Fields {
        json!({ "StageName": stage }).as_object().expect("an object").clone()
    }

    fn link(base: (Stage, Stage), stage: &str, since: StageSince) -> Link {
        let link = json!({
            "record": { "crm": "salesforce", "kind": "opportunity", "id": "006" },
            "state": { "is": "live" }, "version": null, "base": {}, "base_stage": null, "hold": null,
        });
        let mut link: Link = serde_json::from_value(link).expect("a link");
        link.base_stage = Some(StageAgreement { referral: base.0, record: base.1 });
        link.stage_seen = Some(StageSeen { fields: held(stage), since });
        link
    }

    #[test]
    fn a_move_is_heard_also_where_new_files_read_both_stages_alike() {
        use Stage::{Active, Expired, Lost, OnHold, Won};
        use StageSince::{Left, Moved, Reread};
        let new = mapping(&[
            ("on_hold", &["Value"]),
            ("active", &["Prospecting", "Analysis"]),
            ("won", &["Closed Won", "Proposal"]),
            ("lost", &["Closed Lost", "Closed Late"]),
        ]);
        let table = [
            ((OnHold, OnHold), "Prospecting", Moved, "Prospecting", Active, Reread, "no move"),
            (
                (OnHold, OnHold),
                "Prospecting",
                Moved,
                "Analysis",
                OnHold,
                Left,
                "accepted, not looked at",
            ),
            ((OnHold, OnHold), "Prospecting", Left, "Analysis", OnHold, Left, "accepted, refused"),
            (
                (OnHold, OnHold),
                "Prospecting",
                Left,
                "Prospecting",
                Active,
                Reread,
                "and taken back",
            ),
            ((OnHold, Active), "Prospecting", Reread, "Analysis", OnHold, Left, "accepted since"),
            (
                (OnHold, Active),
                "Prospecting",
                Moved,
                "Analysis",
                Active,
                Moved,
                "adopted like that",
            ),
            ((Active, Active), "Proposal", Left, "Closed Won", Active, Left, "a win that waits"),
            ((Active, Active), "Proposal", Moved, "Proposal", Won, Reread, "nobody won it"),
            ((Active, Won), "Proposal", Reread, "Closed Won", Active, Left, "now somebody did"),
            (
                (Active, OnHold),
                "Prospecting",
                Moved,
                "Analysis",
                Active,
                Reread,
                "where it is there",
            ),
            (
                (Expired, Lost),
                "Closed Lost",
                Moved,
                "Closed Late",
                Lost,
                Moved,
                "a lossy pair stays",
            ),
        ];
        for (base, seen, since, now, record, after, why) in table {
            let mut link = link(base, seen, since);
            heed(&mut link, &held(now), &new);
            let agreed = StageAgreement { referral: base.0, record };
            assert_eq!(link.base_stage, Some(agreed), "{why}");
            assert_eq!(link.stage_seen.map(|seen| seen.since), Some(after), "{why}");
        }
    }
}
