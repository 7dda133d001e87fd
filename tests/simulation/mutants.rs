//! Bugs that are planted one at a time, each a defence switched off, and each of which the simulation
//! must find.

/// A defence that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Partner Center takes a PATCH whatever its `If-Match` says: edits are overwritten unseen.
    PartnerCenterIgnoresVersion,
    /// The CRMs take a write whatever version it names.
    CrmIgnoresVersion,
    /// Salesforce stamps of the running second are taken as proof.
    NoWaitRule,
    /// Records do not carry the sync token of the write.
    NoSyncToken,
    /// Neither the search for a referral's record nor the unique key works.
    NoUniqueKey,
    /// Nobody looks for an own referral before creating one.
    NoLookBeforeCreate,
    /// Intents are never stored.
    NoIntent,
    /// Intents are stored only together with the outcome, not before the write.
    IntentNotDurable,
    /// Intents do not name the value that loses.
    LoserNotInIntent,
    /// What both sides agreed on is not remembered.
    NoBase,
    /// Deleted records are forgotten.
    NoTombstone,
    /// Two tries of one deal run at once.
    TwoAtOnce,
    /// A feed's cursor moves although its notices are not durable.
    CursorBeforeNotices,
    /// An expired cursor is taken as "start from now".
    ExpiredMeansNow,
    /// A write is answered with what was sent, not with what is held.
    AnswerShowsWhatWasSent,
    /// Some writes have no entry in the audit trail.
    AuditLost,
    /// No bug by itself: nothing is compared at night, which repairs what a feed has missed.
    NoNight,
}

impl Bug {
    /// What a run that finds the bug is held against: without the bug, the same run must hold.
    pub(crate) fn control(self) -> Option<Self> {
        (self == Self::ExpiredMeansNow).then_some(Self::NoNight)
    }

    /// All that must be found, each with the first seed that finds it.
    pub(crate) const ALL: [(Self, u64); 16] = [
        (Self::PartnerCenterIgnoresVersion, 1),
        (Self::CrmIgnoresVersion, 25),
        (Self::NoWaitRule, 123),
        (Self::NoSyncToken, 9),
        (Self::NoUniqueKey, 3),
        (Self::NoLookBeforeCreate, 55),
        (Self::NoIntent, 25),
        (Self::IntentNotDurable, 1),
        (Self::LoserNotInIntent, 9),
        (Self::NoBase, 1),
        (Self::NoTombstone, 7),
        (Self::TwoAtOnce, 1),
        (Self::CursorBeforeNotices, 62),
        (Self::ExpiredMeansNow, 63),
        (Self::AnswerShowsWhatWasSent, 35),
        (Self::AuditLost, 4),
    ];
}
