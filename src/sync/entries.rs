//! What the trail says of a try: of writes that took effect, of what they overwrote, and why.

use super::attempt::Attempt;
use crate::connect::evidence;
use crate::domain::audit::{AuditKind, FieldChange, NewEntry};
use crate::domain::deal::{Conflict, Deal, Target, Values};
use crate::domain::notice::{NewNotice, Source, Subject};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::store::{Commit, StoreError};

/// One confirmed write.
pub(super) struct Written<'w> {
    /// The values sent.
    pub(super) sent: &'w Values,
    /// The stage sent, with the name of its field.
    pub(super) stage: Option<(&'static str, Value)>,
    /// What the target held before.
    pub(super) before: &'w Values,
    /// What else was sent, by name.
    pub(super) others: Vec<&'static str>,
    /// When the call began.
    pub(super) started: Timestamp,
}

impl Attempt<'_> {
    /// Makes what was gathered durable and goes on: an intent before a write, a base after one.
    pub(super) async fn keep(&mut self, deal: &mut Deal) -> Result<(), StoreError> {
        let now = self.around.clock.now();
        deal.changed = now;
        let commit = Commit {
            deal: Some(deal.clone()),
            notices: std::mem::take(&mut self.follow),
            entries: std::mem::take(&mut self.entries),
            now: Some(now),
            ..Commit::default()
        };
        self.around.store.commit(commit).await
    }

    pub(super) fn new_entry(
        &self,
        deal: Option<&Deal>,
        kind: AuditKind,
        actor: &str,
        summary: String,
    ) -> NewEntry {
        NewEntry {
            at: self.around.clock.now(),
            account: self.account.name.clone(),
            deal: deal.map(|deal| deal.id.clone()),
            kind,
            actor: actor.to_owned(),
            summary,
            cause: self.cause(kind),
            fields: Vec::new(),
            request_ids: evidence_of(kind, actor),
            duration_ms: None,
        }
    }

    /// The notice behind the try and, where the mapping decided, its version.
    fn cause(&self, kind: AuditKind) -> Option<String> {
        let notice = self.notices.last().map(|notice| format!("notice {}", notice.id));
        let mapped = matches!(
            kind,
            AuditKind::Wrote | AuditKind::WouldWrite | AuditKind::Conflict | AuditKind::Configured
        );
        let version = (mapped && !self.mapping_version.is_empty())
            .then(|| format!("mapping {}", self.mapping_version));
        let causes: Vec<String> = notice.into_iter().chain(version).collect();
        (!causes.is_empty()).then(|| causes.join(", "))
    }

    pub(super) fn entry(
        &mut self,
        deal: Option<&Deal>,
        kind: AuditKind,
        actor: &str,
        summary: String,
    ) {
        let entry = self.new_entry(deal, kind, actor, summary);
        self.entries.push(entry);
    }

    /// A notice of our own for later.
    pub(super) fn follow_up(&mut self, subject: Subject, event: &str, due: Timestamp) {
        self.follow.push(NewNotice {
            account: self.account.name.clone(),
            source: Source::Daemon,
            subject,
            event: event.to_owned(),
            dedupe: None,
            due,
        });
    }

    /// One entry for a confirmed write.
    pub(super) fn wrote(&mut self, deal: &Deal, target: Target, written: Written<'_>) {
        let mut fields: Vec<FieldChange> = written
            .sent
            .iter()
            .map(|(field, after)| FieldChange {
                field: field.clone(),
                before: written.before.get(field).cloned().unwrap_or_default(),
                after: after.clone(),
            })
            .collect();
        if let Some((name, value)) = written.stage {
            fields.push(FieldChange { field: name.to_owned(), before: Value::Null, after: value });
        }
        let summary = summary(target, &fields, &written.others);
        let mut entry = self.new_entry(Some(deal), AuditKind::Wrote, target.as_str(), summary);
        entry.fields = fields;
        let took = self.around.clock.now().since(written.started).as_millis();
        entry.duration_ms = u64::try_from(took).ok();
        self.entries.push(entry);
    }

    /// One entry for each value that lost.
    pub(super) fn conflicts(&mut self, deal: &Deal, conflicts: &[Conflict]) {
        for conflict in conflicts {
            let summary = format!(
                "{} had changed on both sides: kept {} of {}, the other value was {} ({}).",
                conflict.field,
                conflict.kept,
                conflict.winner.as_str(),
                conflict.lost,
                conflict.policy
            );
            let mut entry = self.new_entry(Some(deal), AuditKind::Conflict, "daemon", summary);
            entry.fields = vec![FieldChange {
                field: conflict.field.clone(),
                before: conflict.lost.clone(),
                after: conflict.kept.clone(),
            }];
            self.entries.push(entry);
        }
    }
}

/// The request ids of the write at Partner Center that an entry is about; also in the log.
fn evidence_of(kind: AuditKind, actor: &str) -> Vec<String> {
    let about = matches!(kind, AuditKind::Wrote | AuditKind::Refused);
    if !about || actor != Target::PartnerCenter.as_str() {
        return Vec::new();
    }
    let ids = evidence::take();
    if !ids.is_empty() {
        tracing::info!(request_ids = ids.join(" "), "Partner Center was written to");
    }
    ids
}

/// Names everything that was sent.
fn summary(target: Target, fields: &[FieldChange], others: &[&str]) -> String {
    let system = match target {
        Target::PartnerCenter => "Partner Center",
        Target::Crm(crm) => crm.title(),
    };
    let names = fields.iter().map(|change| change.field.as_str()).chain(others.iter().copied());
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        format!("Wrote the audit line and status to {system}.")
    } else {
        format!("Wrote {} to {system}.", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::summary;
    use crate::domain::audit::FieldChange;
    use crate::domain::deal::Target;
    use crate::domain::id::CrmName;
    use crate::domain::value::Value;

    #[test]
    fn a_write_is_named_by_what_was_sent() {
        let value = FieldChange {
            field: "details.dealValue".to_owned(),
            before: Value::Null,
            after: Value::Integer(1),
        };
        let value = std::slice::from_ref(&value);
        let (there, here) = (Target::PartnerCenter, Target::Crm(CrmName::Salesforce));
        let reference = "externalReferenceId";
        let table: [(_, &[FieldChange], &[&str], _, _); 4] = [
            (there, &[], &[reference], "Wrote externalReferenceId to Partner Center.", "alone"),
            (
                there,
                value,
                &[reference],
                "Wrote details.dealValue, externalReferenceId to Partner Center.",
                "beside a value",
            ),
            (here, value, &[], "Wrote details.dealValue to Salesforce.", "a value"),
            (here, &[], &[], "Wrote the audit line and status to Salesforce.", "only bookkeeping"),
        ];
        for (target, fields, others, expected, why) in table {
            assert_eq!(summary(target, fields, others), expected, "{why}");
        }
    }
}
