//! Where a stream of events stands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// A replay id with what it belongs to: another organisation or topic does not know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    organization: String,
    topic: String,
    replay_id: String,
}

impl Place {
    /// The place as stored.
    pub(super) fn store(organization: &str, topic: &str, replay_id: &[u8]) -> String {
        let place = Self {
            organization: organization.to_owned(),
            topic: topic.to_owned(),
            replay_id: STANDARD_NO_PAD.encode(replay_id),
        };
        serde_json::to_string(&place).unwrap_or_default()
    }

    /// The replay id of a stored place; `None` if it belongs to something else.
    pub(super) fn read(text: &str, organization: &str, topic: &str) -> Option<Vec<u8>> {
        let place: Self = serde_json::from_str(text).ok()?;
        let ours = place.organization == organization && place.topic == topic;
        ours.then(|| STANDARD_NO_PAD.decode(place.replay_id).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_place_is_good_for_its_own_stream_only() {
        let text = Place::store("00D1", "/data/LeadChangeEvent", &[0, 255, 7]);
        let read = |organization, topic| Place::read(&text, organization, topic);
        assert_eq!(read("00D1", "/data/LeadChangeEvent"), Some(vec![0, 255, 7]));
        assert_eq!(read("00D2", "/data/LeadChangeEvent"), None, "another organisation");
        assert_eq!(read("00D1", "/data/OpportunityChangeEvent"), None, "another topic");
        assert_eq!(Place::read("{}", "00D1", "/data/LeadChangeEvent"), None, "no place");
    }
}
