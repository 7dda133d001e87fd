//! Every sentence that a seller reads in the CRM's audit field, in one place, ready for another
//! language: plain, short, no jargon, no codes.

use serde::Serialize;

use crate::domain::digest::sha256;
use crate::domain::referral::{Referral, ReferralState};
use crate::domain::stage::Stage;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::mapping::rule::Control;

/// One sentence, without its date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Line(pub String);

/// Puts `lines` in front of the audit text, newest first, and cuts whole old entries so that the
/// text stays below `max` characters. A line end counts as two, as one CRM does.
#[must_use]
pub fn audit_text(before: &str, lines: &[Line], at: Timestamp, zone: &str, max: usize) -> String {
    let stamp = at.for_people(zone);
    let fresh = lines.iter().rev().map(|line| format!("{stamp} \u{2013} {}", line.0));
    let old = before.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned);
    let mut text = String::new();
    let mut length = 0;
    for entry in fresh.chain(old) {
        let more = entry.chars().count() + 2;
        if length + more > max {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&entry);
        length += more;
    }
    text
}

/// A short key for a sentence that is not to be repeated.
#[must_use]
pub fn key(text: &str) -> String {
    sha256(text.as_bytes()).chars().take(16).collect()
}

/// A key for a sentence about `topic` that is not to be repeated until its `detail` is another one.
#[must_use]
pub fn topic_key(topic: &str, detail: &str) -> String {
    if detail.is_empty() { key(topic) } else { format!("{}:{}", key(topic), key(detail)) }
}

/// Whether two keys are of one topic, with other details.
#[must_use]
pub fn same_topic(left: &str, right: &str) -> bool {
    let topic = |key: &str| key.split_once(':').map(|(topic, _)| topic.to_owned());
    topic(left).is_some_and(|left| Some(left) == topic(right))
}

/// The link to a referral for people, from the mapping's template.
#[must_use]
pub fn link(control: &Control, referral: &Referral) -> Option<String> {
    let engagement = referral.engagement_id().map(|id| id.to_string()).unwrap_or_default();
    let template = control.link_template.as_ref()?;
    Some(
        template
            .replace("{referral_id}", referral.id().as_str())
            .replace("{engagement_id}", &engagement),
    )
}

fn amount(value: &Value, currency: Option<&str>) -> String {
    let value = shortened(value);
    currency.map_or_else(|| value.clone(), |currency| format!("{value} {currency}"))
}

/// A value in a sentence: long text is not repeated in full.
fn shortened(value: &Value) -> String {
    let text = value.to_string().replace('\n', " ");
    if text.chars().count() <= 80 {
        return text;
    }
    text.chars().take(77).chain("...".chars()).collect()
}

/// A value came from Partner Center.
pub(super) fn received(label: &str, value: &Value, currency: Option<&str>) -> Line {
    Line(format!("{label} changed to {} at Microsoft Partner Center.", amount(value, currency)))
}

/// A value went to Partner Center.
pub(super) fn sent(label: &str, value: &Value, currency: Option<&str>) -> Line {
    Line(format!("{label} sent to Microsoft: {}.", amount(value, currency)))
}

/// Both had changed a value, Microsoft's stayed.
pub(super) fn microsoft_won(label: &str, here: &Value, there: &Value) -> Line {
    Line(format!(
        "{label} changed here ({}) and at Microsoft ({}) at the same time. Kept {} because \
         Microsoft decides it; your value was {}.",
        shortened(here),
        shortened(there),
        shortened(there),
        shortened(here)
    ))
}

/// Both had changed a value, the CRM's stayed.
pub(super) fn crm_won(label: &str, here: &Value, there: &Value) -> Line {
    Line(format!(
        "{label} changed here ({}) and at Microsoft ({}) at the same time. Kept {} because your \
         CRM decides it; the other value was {}.",
        shortened(here),
        shortened(there),
        shortened(here),
        shortened(there)
    ))
}

/// Both had changed a value and a person decides.
pub(super) fn both_changed(label: &str, here: &Value, there: &Value) -> Line {
    Line(format!(
        "{label} changed here ({}) and at Microsoft ({}) at the same time. Please enter the value \
         that is to stay.",
        shortened(here),
        shortened(there)
    ))
}

/// The deal of a lead goes on with the opportunity that it became.
#[must_use]
pub fn lead_became_this() -> Line {
    Line("The lead became this opportunity.".to_owned())
}

/// A field that Partner Center needs was emptied.
pub(super) fn not_cleared(label: &str) -> Line {
    Line(format!("{label} was emptied here. Microsoft needs it and keeps its last value."))
}

/// A value from Partner Center that the CRM did not take.
#[must_use]
pub fn not_taken(label: &str, wanted: &Value, held: &Value) -> Line {
    Line(format!(
        "{label} is {} at Microsoft, but your CRM keeps {}. Where it is calculated, for example from \
         products, please change what it is calculated from.",
        shortened(wanted),
        shortened(held)
    ))
}

/// A field is frozen at Partner Center.
pub(super) fn frozen(label: &str) -> Line {
    Line(format!("{label} can no longer be changed at Microsoft once the deal is shared."))
}

/// A won deal was registered.
#[must_use]
pub fn registered() -> Line {
    Line("The deal was sent to Microsoft for registration.".to_owned())
}

/// A won deal cannot be registered yet: everything that stands against it.
#[must_use]
pub fn not_registered(missing: &[String]) -> Line {
    Line(format!("Not registered with Microsoft yet: {}.", missing.join("; ")))
}

/// Microsoft refused a registration, or the correction of one.
#[must_use]
pub fn registration_refused(reason: &str, corrects: bool) -> Line {
    let what = if corrects { "correction of the registration" } else { "registration" };
    Line(format!("Microsoft did not accept the {what}: {reason}"))
}

/// Microsoft asks for a correction of a registration that was sent from here.
#[must_use]
pub fn correction_asked(reason: Option<&str>) -> Line {
    Line(format!(
        "Microsoft asks for a correction of the registration{} Please change its fields here; they \
         are sent again.",
        said(reason)
    ))
}

/// Microsoft asks for a correction of a registration that was made in Partner Center.
#[must_use]
pub fn correction_elsewhere(reason: Option<&str>) -> Line {
    Line(format!(
        "Microsoft asks for a correction of the registration{} It was not sent from here: please \
         correct it in Partner Center.",
        said(reason)
    ))
}

/// A registration has failed.
#[must_use]
pub fn registration_failed(reason: Option<&str>) -> Line {
    Line(format!("The registration failed at Microsoft{}", said(reason)))
}

/// `: reason.`, or what follows where none is given.
fn said(reason: Option<&str>) -> String {
    let text = |reason: &str| {
        let reason: String = reason.replace(['\r', '\n'], " ").chars().take(500).collect();
        format!(": {reason}{}", if reason.ends_with(['.', '!', '?']) { "" } else { "." })
    };
    reason.map_or_else(|| " and gives no reason.".to_owned(), text)
}

/// A correction that cannot be sent yet: everything that stands against it.
#[must_use]
pub fn not_corrected(against: &[String]) -> Line {
    Line(format!("The correction was not sent to Microsoft yet: {}.", against.join("; ")))
}

/// What was sent as a correction of a registration.
#[must_use]
pub fn registration_corrected(changes: &[String]) -> Line {
    Line(format!("A correction of the registration was sent to Microsoft: {}.", changes.join("; ")))
}

/// A value could not be read.
pub(super) fn parked(reason: &str, fix: &str) -> Line {
    Line(format!("Not synced: {reason} {fix}"))
}

/// A row of the mapping is left out, so that a field is not kept in step.
pub(super) fn row_rests(label: &str, reason: &str) -> Line {
    Line(format!("Not synced: {label}; {reason}. Your administrator knows what to do."))
}

/// The stage came from Partner Center.
pub(super) fn stage_received(stage: Stage) -> Line {
    Line(format!("The deal is {} at Microsoft Partner Center.", stage.for_people()))
}

/// The stage went to Partner Center.
pub(super) fn stage_sent(stage: Stage) -> Line {
    Line(format!("Microsoft was told that the deal is {}.", stage.for_people()))
}

/// The deal has ended at Partner Center.
pub(super) fn closed_at_microsoft(stage: Stage) -> Line {
    Line(format!(
        "The deal is closed at Microsoft as {}. Later changes here are not sent.",
        stage.for_people()
    ))
}

/// A stage that Partner Center does not allow now.
pub(super) fn not_possible(wanted: Stage, now: Stage) -> Line {
    Line(format!(
        "Microsoft cannot mark a deal as {} while it is {}.",
        wanted.for_people(),
        now.for_people()
    ))
}

/// A status we do not know.
pub(super) fn unknown_state(state: &ReferralState) -> Line {
    Line(format!("Microsoft shows a status that is new to us ({state}). The stage was left alone."))
}

/// Won so early that deal registration may be refused.
pub(super) fn won_early() -> Line {
    Line(
        "The deal was won within 72 hours of its creation. Microsoft may refuse to register it."
            .to_owned(),
    )
}

/// Won early, and sent later.
pub(super) fn won_waits(at: Timestamp, zone: &str) -> Line {
    Line(format!(
        "Microsoft will be told of the win on {}, 72 hours after the deal was created.",
        at.for_people(zone)
    ))
}

/// The Referral Identifier was overwritten.
pub(super) fn identifier_restored() -> Line {
    Line("The Referral Identifier was restored. It ties this deal to Microsoft.".to_owned())
}

/// Microsoft answered an invitation.
pub(super) fn microsoft_answered(stage: Stage, number: Option<&str>) -> Line {
    let number = number.map(|number| format!(" Its number there is {number}.")).unwrap_or_default();
    Line(format!("Microsoft's own record of this deal is {}.{number}", stage.for_people()))
}

/// The deal was shared.
pub(super) fn shared() -> Line {
    Line("The deal is now visible to Microsoft's sellers. This cannot be undone.".to_owned())
}

/// Sharing cannot be undone.
pub(super) fn sharing_is_final() -> Line {
    Line("A shared deal stays shared. Visibility was set back to yes.".to_owned())
}

/// Microsoft was asked for help.
#[must_use]
pub fn help_asked() -> Line {
    Line("Microsoft was asked for help with this deal. This cannot be undone.".to_owned())
}

/// Asking for help cannot be undone.
pub(super) fn help_is_final() -> Line {
    Line("Help was asked for and cannot be withdrawn. The field was set back.".to_owned())
}

/// A choice of help that is not in the mapping.
pub(super) fn unknown_help(value: &str) -> Line {
    Line(format!("\"{value}\" is not a kind of help that Microsoft knows. Please choose another."))
}

/// The record arrived from Partner Center.
#[must_use]
pub fn arrived(stage: Stage) -> Line {
    let next =
        if stage == Stage::OnHold { " Move it to an active stage to accept it." } else { "" };
    Line(format!("This deal came from Microsoft Partner Center.{next}"))
}

/// The record was shared and the referral exists.
#[must_use]
pub fn referral_created() -> Line {
    Line("The deal was sent to Microsoft Partner Center.".to_owned())
}

/// The record cannot be shared yet.
#[must_use]
pub fn missing(what: &[String]) -> Line {
    Line(format!("Not shared yet. Please add: {}.", what.join(", ")))
}

/// Microsoft cannot be asked for help yet.
pub(super) fn missing_for_help(what: &[String]) -> Line {
    Line(format!("Microsoft was not asked for help yet. Please add: {}.", what.join(", ")))
}

/// A system refused what the seller entered; its own words.
#[must_use]
pub fn refused(system: &str, message: &str) -> Line {
    Line(format!("{system} did not take a change: {message}"))
}

/// A CRM id at Partner Center that points to nothing here.
#[must_use]
pub fn foreign_reference(reference: &str) -> Line {
    Line(format!(
        "Microsoft Partner Center names another record ({reference}) that is not here. It was left alone."
    ))
}

/// An administrator tied the deal to this record.
#[must_use]
pub fn relinked() -> Line {
    Line("An administrator tied the deal at Microsoft Partner Center to this record.".to_owned())
}

/// The record that a deal was tied to was merged into this one.
#[must_use]
pub fn merged() -> Line {
    Line("The deal at Microsoft Partner Center goes on here after the merge.".to_owned())
}

/// An administrator tied the deal to another record.
#[must_use]
pub fn left_for(record: &str) -> Line {
    Line(format!("The deal at Microsoft Partner Center goes on with another record ({record})."))
}

/// The seller un-ticked the box.
#[must_use]
pub fn paused() -> Line {
    Line(
        "Syncing with Microsoft Partner Center rests. Tick \"Sync with Partner Center\" to go on."
            .to_owned(),
    )
}

/// The link goes on.
#[must_use]
pub fn resumed() -> Line {
    Line("Syncing with Microsoft Partner Center goes on.".to_owned())
}

/// A deadline is near.
#[must_use]
pub fn deadline(what: &str, at: Timestamp, zone: &str) -> Line {
    Line(format!("{what} by {}.", at.for_people(zone)))
}

#[cfg(test)]
mod tests {
    use super::{Line, audit_text};
    use crate::domain::time::Timestamp;

    #[test]
    fn newest_lines_come_first_and_old_entries_are_cut_whole() {
        let at = Timestamp::parse("2026-11-22T13:03:00Z").expect("an instant");
        let lines = [Line("First.".to_owned()), Line("Second.".to_owned())];
        let text = audit_text("old entry\nolder entry", &lines, at, "Europe/Berlin", 1000);
        assert_eq!(
            text,
            "22 Nov 2026 14:03 \u{2013} Second.\n22 Nov 2026 14:03 \u{2013} First.\nold entry\nolder entry"
        );
        let cut = audit_text("old entry\nolder entry", &lines, at, "Europe/Berlin", 70);
        assert!(cut.ends_with("old entry"), "{cut}");
        assert!(!cut.contains("older"));
    }
}
