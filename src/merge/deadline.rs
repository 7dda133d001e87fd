//! What is due on a deal, and when its seller is to be warned.

use std::time::Duration;

use crate::domain::deal::MicrosoftRecord;
use crate::domain::referral::{Referral, ReferralState};
use crate::domain::stage::Stage;
use crate::domain::time::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Something that must be done by a certain time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// Stable key; told once for each.
    pub key: &'static str,
    /// What is to be done, as the beginning of a sentence that ends with the date.
    pub what: &'static str,
    /// When it must be done.
    pub at: Timestamp,
    /// From when on the seller is warned.
    pub warn_from: Timestamp,
}

/// The open deadlines of a deal.
///
/// A new referral expires 14 days after its creation, Microsoft has the same 14 days to answer an
/// invitation, and a customer who asked to be contacted is urgent for 72 hours (reference 4.2).
#[must_use]
pub fn deadlines(referral: &Referral, microsoft: Option<&MicrosoftRecord>) -> Vec<Deadline> {
    let mut open = Vec::new();
    let waiting = |state: &ReferralState| Stage::of(state) == Some(Stage::OnHold);
    if let Some(created) = referral.created().filter(|_| waiting(&referral.state())) {
        let asked = referral.get("details.customerRequestedContact");
        if asked.and_then(serde_json::Value::as_bool) == Some(true) {
            open.push(Deadline {
                key: "contact",
                what: "The customer asked to be contacted: please call",
                at: created.plus(DAY * 3),
                warn_from: created,
            });
        }
        open.push(Deadline {
            key: "answer",
            what: "Microsoft closes this deal if it is not answered: please accept or decline it",
            at: created.plus(DAY * 14),
            warn_from: created.plus(DAY * 11),
        });
    }
    if let Some(created) =
        microsoft.filter(|record| waiting(&record.state)).and_then(|record| record.created)
    {
        open.push(Deadline {
            key: "microsoft_answer",
            what: "Microsoft has not answered yet; the request for help ends",
            at: created.plus(DAY * 14),
            warn_from: created.plus(DAY * 11),
        });
    }
    open
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::deadlines;
    use crate::domain::deal::MicrosoftRecord;
    use crate::domain::referral::Referral;

    fn referral(status: &str, substatus: &str, contact: bool) -> Referral {
        Referral::from_json(json!({
            "id": "11111111-2222-4333-8444-555555555555",
            "createdDateTime": "2026-09-01T00:00:00Z",
            "status": status, "substatus": substatus,
            "details": { "customerRequestedContact": contact },
        }))
        .expect("a referral")
    }

    #[test]
    fn only_what_is_open_is_due() {
        let new = referral("New", "Pending", true);
        let keys = |due: Vec<super::Deadline>| -> Vec<(&str, String)> {
            due.iter().map(|deadline| (deadline.key, deadline.at.to_string())).collect()
        };
        assert_eq!(
            keys(deadlines(&new, None)),
            [
                ("contact", "2026-09-04T00:00:00.000Z".to_owned()),
                ("answer", "2026-09-15T00:00:00.000Z".to_owned())
            ]
        );
        let active = referral("Active", "Accepted", true);
        assert!(deadlines(&active, None).is_empty(), "accepted: nothing is due");
        let new = referral("New", "Pending", false);
        let microsoft = MicrosoftRecord {
            id: new.id(),
            state: new.state(),
            number: None,
            help: None,
            created: new.created(),
        };
        assert_eq!(
            keys(deadlines(&active, Some(&microsoft))),
            [("microsoft_answer", "2026-09-15T00:00:00.000Z".to_owned())]
        );
    }
}
