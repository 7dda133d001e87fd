//! What goes wrong in random runs, counted, so that nobody trusts runs in which it no longer does.

use std::collections::BTreeMap;

/// One kind of mishap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mishap {
    /// A webhook that never arrives.
    WebhookLost,
    /// A webhook that arrives twice.
    WebhookDoubled,
    /// A webhook that overtakes an earlier one.
    WebhookReordered,
    /// A webhook that arrives more than a minute late.
    WebhookLate,
    /// A call that fails and changes nothing: the system is busy.
    Busy,
    /// A call that is put off by its system.
    Throttled,
    /// Credentials that are refused.
    Unauthorized,
    /// An answer that cannot be read.
    Garbled,
    /// A write that is refused until a person acts.
    Refused,
    /// A write that never arrives, while nobody is told.
    NeverArrived,
    /// A call that takes effect, and whose answer is lost.
    AnswerLost,
    /// A write that finds the record changed although nobody changed it.
    Storm,
    /// A write that finds the record changed by a person since it was read.
    Overtaken,
    /// A person who edits between two steps of the daemon.
    EditInBetween,
    /// A person who imports one field of everything at once.
    BulkEdit,
    /// The process is killed.
    Killed,
    /// The process is killed while a write is under way.
    KilledInWrite,
    /// The process is killed after an intent was stored, and before its outcome is.
    KilledWithIntent,
    /// The clock of Partner Center is more than a minute off.
    PartnerCenterSkewed,
    /// The clock of a CRM is more than a minute off.
    CrmSkewed,
    /// A stamp of the running second, which proves nothing, has to be waited for.
    RunningSecond,
    /// A list does not show the newest changes yet.
    ListLags,
    /// A feed's cursor is no longer accepted.
    CursorExpired,
    /// A field cuts what it is given.
    TextCut,
    /// A record is deleted.
    Deleted,
    /// A record is copied, its identifier and all.
    Copied,
    /// A record is merged into another one.
    Merged,
    /// A seller overwrites the identifier of a record.
    IdentifierOverwritten,
    /// A seller turns a lead into an opportunity.
    LeadTurned,
    /// A seller pauses a deal.
    Paused,
    /// A seller closes a record.
    RecordClosed,
    /// A referral ends at Partner Center.
    ReferralClosed,
    /// The admin brings mapping files that keep a field elsewhere.
    MappingMoved,
    /// The admin goes back to the mapping files of before.
    MappingBack,
    /// People answer what they were asked.
    Answered,
    /// Shadow mode ends.
    ShadowLeft,
    /// A person releases what was held.
    Released,
}

impl Mishap {
    /// All of them.
    pub(crate) const ALL: [Self; 37] = [
        Self::WebhookLost,
        Self::WebhookDoubled,
        Self::WebhookReordered,
        Self::WebhookLate,
        Self::Busy,
        Self::Throttled,
        Self::Unauthorized,
        Self::Garbled,
        Self::Refused,
        Self::NeverArrived,
        Self::AnswerLost,
        Self::Storm,
        Self::Overtaken,
        Self::EditInBetween,
        Self::BulkEdit,
        Self::Killed,
        Self::KilledInWrite,
        Self::KilledWithIntent,
        Self::PartnerCenterSkewed,
        Self::CrmSkewed,
        Self::RunningSecond,
        Self::ListLags,
        Self::CursorExpired,
        Self::TextCut,
        Self::Deleted,
        Self::Copied,
        Self::Merged,
        Self::IdentifierOverwritten,
        Self::LeadTurned,
        Self::Paused,
        Self::RecordClosed,
        Self::ReferralClosed,
        Self::MappingMoved,
        Self::MappingBack,
        Self::Answered,
        Self::ShadowLeft,
        Self::Released,
    ];
}

/// How often each mishap happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(BTreeMap<Mishap, u64>);

impl Tally {
    /// One more.
    pub(crate) fn count(&mut self, mishap: Mishap) {
        *self.0.entry(mishap).or_default() += 1;
    }

    /// Takes the counts of another run in.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mishap, times) in &other.0 {
            *self.0.entry(*mishap).or_default() += times;
        }
    }

    /// What never happened.
    pub(crate) fn missing(&self) -> Vec<Mishap> {
        Mishap::ALL.into_iter().filter(|mishap| !self.0.contains_key(mishap)).collect()
    }
}
