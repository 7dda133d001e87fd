//! The canonical stages of a deal.

use serde::{Deserialize, Serialize};

use super::referral::{ReferralState, Status, Substatus};

/// The canonical stage of a deal: the one word for Partner Center's status and substatus, and for
/// whatever a CRM calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Not accepted yet.
    OnHold,
    /// Accepted and worked on.
    Active,
    /// Sold.
    Won,
    /// Not sold.
    Lost,
    /// Refused before it was accepted.
    Declined,
    /// Not answered in time; set by Partner Center only.
    Expired,
    /// Closed as a mistake.
    Error,
}

impl Stage {
    /// The stage of a referral's state; `None` if its words are unknown or do not agree.
    #[must_use]
    pub fn of(state: &ReferralState) -> Option<Self> {
        if !state.is_consistent() {
            return None;
        }
        Some(match state.substatus {
            Substatus::Pending | Substatus::Received => Self::OnHold,
            Substatus::Accepted => Self::Active,
            Substatus::Won => Self::Won,
            Substatus::Lost => Self::Lost,
            Substatus::Declined => Self::Declined,
            Substatus::Expired => Self::Expired,
            Substatus::Error => Self::Error,
            Substatus::Unknown(_) => return None,
        })
    }

    /// The state to send to Partner Center for this stage; `None` for [`Stage::OnHold`], which only
    /// Partner Center sets, and [`Stage::Expired`].
    #[must_use]
    pub fn referral_state(self) -> Option<ReferralState> {
        let (status, substatus) = match self {
            Self::OnHold | Self::Expired => return None,
            Self::Active => (Status::Active, Substatus::Accepted),
            Self::Won => (Status::Closed, Substatus::Won),
            Self::Lost => (Status::Closed, Substatus::Lost),
            Self::Declined => (Status::Closed, Substatus::Declined),
            Self::Error => (Status::Closed, Substatus::Error),
        };
        Some(ReferralState::new(status, substatus))
    }

    /// Whether the deal has ended.
    #[must_use]
    pub fn is_closed(self) -> bool {
        !matches!(self, Self::OnHold | Self::Active)
    }

    /// Whether a lead in this stage takes no more writes: it is closed, or was turned into an
    /// opportunity.
    #[must_use]
    pub fn ends_a_lead(self) -> bool {
        self.is_closed() || self == Self::Active
    }

    /// The word used in mapping files and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnHold => "on_hold",
            Self::Active => "active",
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Error => "error",
        }
    }

    /// The word a seller reads.
    #[must_use]
    pub fn for_people(self) -> &'static str {
        match self {
            Self::OnHold => "waiting for an answer",
            Self::Active => "accepted",
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Error => "closed as an error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn every_stage_that_can_be_sent_comes_back() {
        for stage in [Stage::Active, Stage::Won, Stage::Lost, Stage::Declined, Stage::Error] {
            let state = stage.referral_state().expect("sendable");
            assert_eq!(Stage::of(&state), Some(stage));
        }
        assert_eq!(Stage::OnHold.referral_state(), None);
        assert_eq!(Stage::Expired.referral_state(), None);
    }
}
