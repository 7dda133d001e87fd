//! The Pub/Sub service of the emulated organisation: change events over gRPC.
//!
//! Implemented: `GetTopic`, `GetSchema`, `Subscribe` with flow control and the three presets; one
//! event for each row of a committed transaction on the captured objects, with the header of the
//! guide, changed values and bit maps; events are kept for 72 hours of the emulated clock.
//! Not implemented: publishing, managed subscriptions, custom channels and their filters, text sent
//! as a difference, several rows in one event (but see [`SalesforceSandbox::publish_gap`]).

mod avro;
mod bus;
mod service;
mod serving;
mod wire;

pub use bus::Subscribed;
pub use serving::PubSubServing;

pub(crate) use bus::Bus;

use super::SalesforceSandbox;
use super::org::Fields;

/// What happens to the bus and its streams.
impl SalesforceSandbox {
    /// A gap event: ids and nothing else. `change` is `GAP_UPDATE` and the like.
    pub fn publish_gap(&self, object: &str, ids: &[&str], change: &str) {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.with(|org| {
            let user = org.seller.clone();
            org.publish(object, &ids, change, user, &Fields::new());
        });
    }

    /// An overflow event: too much changed in one transaction to tell.
    pub fn publish_overflow(&self, object: &str) {
        self.publish_gap(object, &["000000000000000AAA"], "GAP_OVERFLOW");
    }

    /// From now on changes are, or are no longer, published.
    pub fn publish_changes(&self, published: bool) {
        self.with(|org| org.bus.silent = !published);
    }

    /// Selects an object for change data capture, or no longer.
    pub fn capture(&self, object: &str, captured: bool) {
        self.with(|org| {
            if captured {
                org.bus.selected.insert(object.to_owned());
            } else {
                org.bus.selected.remove(object);
            }
        });
    }

    /// Refuses every replay id given out so far: the 72 hours are over, or the organisation moved.
    pub fn expire_replay_ids(&self) {
        self.with(|org| org.bus.forget());
    }

    /// Lets every stream send an empty batch with the newest replay id.
    pub fn send_life_signs(&self) {
        self.with(|org| {
            org.bus.life_signs += 1;
            org.bus.wake();
        });
    }

    /// Most events that one stream has asked for and not got, so far.
    #[must_use]
    pub fn most_events_asked_for(&self) -> i32 {
        self.with(|org| org.bus.most_asked_for)
    }

    /// The subscriptions that clients have opened so far.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Subscribed> {
        self.with(|org| org.bus.log.clone())
    }
}
