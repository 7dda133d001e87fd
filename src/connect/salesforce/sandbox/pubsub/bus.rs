//! The event bus: what was published, for how long it is kept, who must be told.

use std::collections::{BTreeMap, BTreeSet};

use ring::digest::{SHA256, digest};
use serde_json::Value;
use tokio::sync::watch;

use super::avro::{self, Header};
use crate::connect::salesforce::sandbox::org::{Fields, Org, Row};
use crate::domain::time::Timestamp;

/// How long events are kept.
const KEPT_MILLIS: i64 = 72 * 3600 * 1000;

/// One event on the bus.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) topic: String,
    pub(super) place: u64,
    pub(super) id: String,
    pub(super) schema_id: String,
    pub(super) payload: Vec<u8>,
    at: Timestamp,
}

/// A subscription that a client has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// The topic.
    pub topic: String,
    /// Whether it goes on after an event that the client remembers.
    pub resumed: bool,
}

/// Why a replay id is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadPlace {
    Corrupted,
    Gone,
}

/// The bus of one organisation.
pub(crate) struct Bus {
    /// The name that the client of the running call gave itself.
    pub(crate) client: Option<String>,
    pub(super) selected: BTreeSet<String>,
    pub(super) log: Vec<Subscribed>,
    /// Most events that a stream has asked for and not got.
    pub(super) most_asked_for: i32,
    /// Published, but lost: nobody is told of changes.
    pub(super) silent: bool,
    /// Grows with each sign of life that all streams are to send.
    pub(super) life_signs: u64,
    /// Places up to this one are refused.
    forgotten: u64,
    last: u64,
    events: Vec<Stored>,
    schemas: BTreeMap<String, String>,
    moved: watch::Sender<u64>,
}

impl Default for Bus {
    fn default() -> Self {
        let selected = ["Opportunity", "Lead"].map(str::to_owned);
        Self {
            client: None,
            selected: selected.into(),
            log: Vec::new(),
            most_asked_for: 0,
            silent: false,
            life_signs: 0,
            forgotten: 0,
            last: 1000,
            events: Vec::new(),
            schemas: BTreeMap::new(),
            moved: watch::Sender::new(0),
        }
    }
}

impl Bus {
    /// Changes whenever a stream may have something to send.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    pub(super) fn wake(&self) {
        self.moved.send_modify(|count| *count += 1);
    }

    /// The place of the newest event.
    pub(super) fn end(&self) -> u64 {
        self.last
    }

    /// The place before the oldest event.
    pub(super) fn start(&self) -> u64 {
        self.forgotten
    }

    /// A replay id: opaque, rising, with gaps.
    pub(super) fn replay_id(place: u64) -> Vec<u8> {
        place.to_be_bytes().to_vec()
    }

    pub(super) fn place(&self, replay_id: &[u8]) -> Result<u64, BadPlace> {
        let bytes = replay_id.try_into().map_err(|_| BadPlace::Corrupted)?;
        let place = u64::from_be_bytes(bytes);
        if place > self.last {
            return Err(BadPlace::Corrupted);
        }
        if place < self.forgotten { Err(BadPlace::Gone) } else { Ok(place) }
    }

    /// Refuses every replay id that was given out so far, and forgets the events.
    pub(super) fn forget(&mut self) {
        self.events.clear();
        self.last += 7;
        self.forgotten = self.last;
    }

    /// Forgets what is older than 72 hours.
    pub(super) fn purge(&mut self, now: Timestamp) {
        let old = |event: &Stored| now.as_millis() - event.at.as_millis() > KEPT_MILLIS;
        if let Some(newest) =
            self.events.iter().filter(|event| old(event)).map(|event| event.place).max()
        {
            self.forgotten = self.forgotten.max(newest);
        }
        self.events.retain(|event| !old(event));
    }

    /// At most `most` events of a topic after a place.
    pub(super) fn after(&self, topic: &str, place: u64, most: usize) -> Vec<Stored> {
        let wanted = |event: &&Stored| event.topic == topic && event.place > place;
        self.events.iter().filter(wanted).take(most).cloned().collect()
    }

    /// A schema that an event or a topic has named.
    pub(super) fn schema(&self, id: &str) -> Option<&String> {
        self.schemas.get(id)
    }

    fn keep_schema(&mut self, text: String) -> String {
        let hash = digest(&SHA256, text.as_bytes());
        let id: String = hash.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        self.schemas.insert(id.clone(), text);
        id
    }
}

/// The topic of an object.
pub(super) fn topic_of(object: &str) -> String {
    format!("/data/{object}ChangeEvent")
}

impl Org {
    /// The object behind a topic, if its changes are captured.
    pub(super) fn captured(&self, topic: &str) -> Option<String> {
        self.bus.selected.iter().find(|object| topic_of(object) == topic).cloned()
    }

    /// The id of the schema that events of `object` have now.
    pub(super) fn schema_id(&mut self, object: &str) -> String {
        let text = avro::schema(self, object);
        self.bus.keep_schema(text)
    }

    /// Publishes what a committed change of a row was.
    pub(crate) fn announce(&mut self, object: &str, id: &str, before: Option<&Row>) {
        if self.bus.silent || !self.bus.selected.contains(object) {
            return;
        }
        let Some(now) = self.stored(object, id).cloned() else { return };
        let gone = |row: &Row| row.deleted_at.is_some();
        let change = match before {
            None => "CREATE",
            Some(before) if !gone(before) && gone(&now) => "DELETE",
            Some(before) if gone(before) && !gone(&now) => "UNDELETE",
            Some(_) if gone(&now) => return,
            Some(_) => "UPDATE",
        };
        let changed: Fields = match (change, before) {
            ("DELETE", _) => Fields::new(),
            ("UPDATE", Some(before)) => {
                // A field that is younger than the row is no change of it.
                let differs = |name: &String, value: &Value| {
                    before.fields.get(name).is_some_and(|old| old != value)
                };
                let new = now.fields.iter().filter(|(name, value)| differs(name, value));
                new.map(|(name, value)| (name.clone(), value.clone())).collect()
            }
            _ => now
                .fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        };
        if change == "UPDATE" && changed.is_empty() {
            return;
        }
        let user = now.fields.get("LastModifiedById").and_then(Value::as_str).unwrap_or_default();
        self.publish(object, &[id.to_owned()], change, user.to_owned(), &changed);
    }

    /// Puts an event on the bus and tells the streams.
    pub(super) fn publish(
        &mut self,
        object: &str,
        ids: &[String],
        change: &str,
        user: String,
        changed: &Fields,
    ) {
        let schema_id = self.schema_id(object);
        let schema = self.bus.schema(&schema_id).cloned().unwrap_or_default();
        let at = self.now();
        self.bus.last += 3;
        let place = self.bus.last;
        let client = self.bus.client.as_ref();
        let header = Header {
            object,
            ids: ids.to_vec(),
            change,
            origin: client.map_or_else(String::new, |client| {
                format!("com/salesforce/api/rest/66.0;client={client}")
            }),
            user,
            at,
            number: i64::try_from(place).unwrap_or(0),
        };
        let payload = avro::payload(self, &schema, &header, changed);
        let id = format!("00000000-0000-4000-9000-{place:012x}");
        self.bus.events.push(Stored { topic: topic_of(object), place, id, schema_id, payload, at });
        self.bus.wake();
    }
}
