//! The lifecycle: what a stage that moved on one side does to the other.
//!
//! Source: the lifecycle table of the product contract, and Partner Center reference 4.2.

use std::time::Duration;

use super::view::WonEarly;
use crate::domain::deal::StageAgreement;
use crate::domain::stage::Stage;
use crate::domain::time::Timestamp;

/// Both sides' stages and what they last agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stages {
    /// What both sides were in when they last agreed; `None` for a record just adopted.
    pub base: Option<StageAgreement>,
    /// At Partner Center.
    pub referral: Stage,
    /// In the CRM.
    pub record: Stage,
    /// When the referral was created, for the 72-hour rule.
    pub created: Option<Timestamp>,
}

/// What is to happen to the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageMove {
    /// Nothing.
    Still,
    /// Both sides are where they may be: it becomes the base.
    Agreed,
    /// The record goes to this stage.
    ToCrm(Stage),
    /// The referral goes to this stage. If the record is further on, another round follows.
    ToPartnerCenter(Stage),
    /// The referral will go to *won*, not before this moment.
    WaitUntil(Timestamp),
    /// Both sides ended, differently; both are final. Told, and it becomes the base.
    EndedApart,
}

/// A deal won sooner than this after its creation may be refused for deal registration.
pub const EARLY: Duration = Duration::from_secs(72 * 60 * 60);

/// Decides the stage.
#[must_use]
pub fn decide(stages: &Stages, early: WonEarly, now: Timestamp) -> StageMove {
    let Some(base) = stages.base else { return first_meeting(stages) };
    let referral_moved = base.referral != stages.referral;
    let record_moved = base.record != stages.record;
    match (referral_moved, record_moved) {
        (false, false) => StageMove::Still,
        (true, _) if stages.referral.is_closed() => ended_at_partner_center(stages),
        (_, true) => record_moved_on(stages, early, now),
        (true, false) => accepted_at_partner_center(stages),
    }
}

/// An adopted record: what ended at Partner Center ends in the CRM, everything else waits for
/// somebody to move. Nothing is accepted or closed at Partner Center because of a state that nobody
/// was seen to choose.
fn first_meeting(stages: &Stages) -> StageMove {
    if stages.referral.is_closed() { ended_at_partner_center(stages) } else { StageMove::Agreed }
}

fn ended_at_partner_center(stages: &Stages) -> StageMove {
    if !stages.record.is_closed() {
        return StageMove::ToCrm(stages.referral);
    }
    let both_won = stages.referral == Stage::Won && stages.record == Stage::Won;
    let both_not = stages.referral != Stage::Won && stages.record != Stage::Won;
    if both_won || both_not { StageMove::Agreed } else { StageMove::EndedApart }
}

fn accepted_at_partner_center(stages: &Stages) -> StageMove {
    if stages.record == Stage::OnHold && stages.referral == Stage::Active {
        StageMove::ToCrm(Stage::Active)
    } else {
        StageMove::Agreed
    }
}

fn record_moved_on(stages: &Stages, early: WonEarly, now: Timestamp) -> StageMove {
    match (stages.referral, stages.record) {
        (referral, _) if referral.is_closed() => StageMove::Agreed,
        (_, Stage::OnHold) => StageMove::Agreed,
        (Stage::OnHold, Stage::Active | Stage::Won) => StageMove::ToPartnerCenter(Stage::Active),
        (Stage::OnHold, Stage::Error) => StageMove::ToPartnerCenter(Stage::Error),
        (Stage::OnHold, _) => StageMove::ToPartnerCenter(Stage::Declined),
        (_, Stage::Active) => StageMove::Agreed,
        (_, Stage::Won) => match stages.created.map(|created| created.plus(EARLY)) {
            Some(late) if early == WonEarly::Wait && now < late => StageMove::WaitUntil(late),
            _ => StageMove::ToPartnerCenter(Stage::Won),
        },
        (_, Stage::Error) => StageMove::ToPartnerCenter(Stage::Error),
        (_, Stage::Lost | Stage::Declined | Stage::Expired) => {
            StageMove::ToPartnerCenter(Stage::Lost)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{StageMove, Stages, decide};
    use crate::domain::deal::StageAgreement;
    use crate::domain::stage::Stage;
    use crate::domain::time::Timestamp;
    use crate::merge::view::WonEarly;

    #[test]
    fn every_row_of_the_lifecycle_holds() {
        use Stage::{Active, Declined, Error, Expired, Lost, OnHold, Won};
        use StageMove::{Agreed, EndedApart, Still, ToCrm, ToPartnerCenter};
        let pair = |referral, record| Some(StageAgreement { referral, record });
        let table = [
            (pair(OnHold, OnHold), OnHold, OnHold, Still, "nobody moved"),
            (pair(OnHold, OnHold), Active, OnHold, ToCrm(Active), "accepted in the portal"),
            (
                pair(OnHold, OnHold),
                OnHold,
                Active,
                ToPartnerCenter(Active),
                "accepted by the seller",
            ),
            (pair(OnHold, OnHold), OnHold, Won, ToPartnerCenter(Active), "accept first, then win"),
            (pair(Active, Won), Active, Won, Still, "never reached: the base moves after the win"),
            (pair(OnHold, OnHold), OnHold, Lost, ToPartnerCenter(Declined), "closed while new"),
            (pair(OnHold, OnHold), OnHold, Declined, ToPartnerCenter(Declined), "declined"),
            (pair(OnHold, OnHold), OnHold, Error, ToPartnerCenter(Error), "a mistake"),
            (pair(OnHold, OnHold), Declined, OnHold, ToCrm(Declined), "declined in the portal"),
            (pair(OnHold, OnHold), Expired, OnHold, ToCrm(Expired), "nobody answered"),
            (pair(OnHold, OnHold), Expired, Active, ToCrm(Expired), "accepted too late"),
            (pair(Active, Active), Active, Won, ToPartnerCenter(Won), "won by the seller"),
            (pair(Active, Active), Active, Lost, ToPartnerCenter(Lost), "lost by the seller"),
            (pair(Active, Active), Active, Error, ToPartnerCenter(Error), "closed as an error"),
            (pair(Active, Active), Won, Active, ToCrm(Won), "won in the portal"),
            (pair(Active, Active), Lost, Active, ToCrm(Lost), "lost in the portal"),
            (pair(Active, Active), Error, Active, ToCrm(Error), "an error in the portal"),
            (pair(Active, Active), Won, Won, Agreed, "won on both sides"),
            (pair(Active, Active), Won, Lost, EndedApart, "both final, differently"),
            (pair(Active, Active), Expired, Lost, Agreed, "both ended without a sale"),
            (pair(Active, Active), Active, OnHold, Agreed, "there is no way back to new"),
            (pair(Won, Won), Won, Active, Agreed, "reopened in the CRM: final at Microsoft"),
            (pair(Expired, Lost), Expired, Lost, Still, "a lossy pair stays a pair"),
            (None, OnHold, Active, Agreed, "adopted: nobody was seen to accept"),
            (None, Active, OnHold, Agreed, "adopted: the stage is left to the seller"),
            (None, Won, Active, ToCrm(Won), "adopted: the end is final"),
            (None, Active, Won, Agreed, "adopted: nobody was seen to win"),
        ];
        for (base, referral, record, expected, why) in table {
            let stages = Stages { base, referral, record, created: None };
            let now = Timestamp::from_millis(0);
            assert_eq!(decide(&stages, WonEarly::Send, now), expected, "{why}");
        }
    }

    #[test]
    fn a_deal_won_early_waits_if_told_to() {
        let created = Timestamp::parse("2026-09-01T00:00:00Z");
        let late = Timestamp::parse("2026-09-04T00:00:00Z").expect("an instant");
        let base = Some(StageAgreement { referral: Stage::Active, record: Stage::Active });
        let stages = Stages { base, referral: Stage::Active, record: Stage::Won, created };
        let early = Timestamp::parse("2026-09-02T00:00:00Z").expect("an instant");
        assert_eq!(decide(&stages, WonEarly::Wait, early), StageMove::WaitUntil(late));
        assert_eq!(decide(&stages, WonEarly::Wait, late), StageMove::ToPartnerCenter(Stage::Won));
        assert_eq!(decide(&stages, WonEarly::Send, early), StageMove::ToPartnerCenter(Stage::Won));
    }
}
