//! One subscription: asks for as many events as it can take, and makes hints of them.

use std::collections::BTreeMap;
use std::time::Duration;

use apache_avro::Schema;
use async_trait::async_trait;
use futures_util::stream;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::event::{self, Change};
use super::place::Place;
use super::rpc::{Opening, Rpc, fault, is_about_session};
use super::wire::{
    ConsumerEvent, FetchRequest, FetchResponse, ProducerEvent, ReplayPreset, SchemaInfo,
    SchemaRequest,
};
use crate::connect::error::ConnectError;
use crate::connect::events::{EventBatch, EventHint, EventStream};
use crate::connect::http::Token;
use crate::connect::salesforce::identity::Identity;
use crate::connect::salesforce::soql;
use crate::domain::id::RecordId;
use crate::domain::record::Shape;

/// Longest silence: the service promises a sign of life within 270 seconds.
const SILENCE: Duration = Duration::from_secs(330);
/// Schemas kept; an object has one until its fields change.
const MOST_SCHEMAS: usize = 16;

const GET_SCHEMA: &str = "/eventbus.v1.PubSub/GetSchema";

/// What is subscribed to, and by whom.
pub(super) struct Wanted {
    pub(super) topic: String,
    pub(super) entity: &'static str,
    pub(super) at_once: i32,
    pub(super) client_name: String,
    pub(super) us: Identity,
}

enum Answer {
    Awaited(Opening),
    Begun(Box<Streaming<FetchResponse>>),
}

/// An open subscription.
pub(super) struct Subscription {
    rpc: Rpc,
    wanted: Wanted,
    token: Token,
    requests: mpsc::Sender<FetchRequest>,
    answer: Answer,
    /// Events asked for that have not come yet.
    outstanding: i32,
    /// By schema id; `None` for one that cannot be used.
    schemas: BTreeMap<String, Option<Schema>>,
}

impl Subscription {
    /// Subscribes after the event with the replay id `after`; from now on without one.
    pub(super) async fn open(
        rpc: Rpc,
        wanted: Wanted,
        after: Option<Vec<u8>>,
    ) -> Result<Self, ConnectError> {
        let first = FetchRequest {
            topic_name: wanted.topic.clone(),
            replay_preset: match after {
                Some(_) => ReplayPreset::Custom.into(),
                None => ReplayPreset::Latest.into(),
            },
            replay_id: after.unwrap_or_default(),
            num_requested: wanted.at_once,
        };
        // One request waits in it, at most: the next is made when its events have come.
        let (requests, mut coming) = mpsc::channel(2);
        let token = rpc.client.session().await?;
        let answer =
            rpc.subscribe(stream::poll_fn(move |context| coming.poll_recv(context)), &token)?;
        let outstanding = wanted.at_once;
        requests.try_send(first).map_err(|_| over())?;
        Ok(Self {
            rpc,
            wanted,
            token,
            requests,
            answer: Answer::Awaited(answer),
            outstanding,
            schemas: BTreeMap::new(),
        })
    }

    /// Asks for more once half of what was asked for has come.
    fn ask_for_more(&mut self) -> Result<(), ConnectError> {
        let more = self.wanted.at_once - self.outstanding;
        if more * 2 < self.wanted.at_once {
            return Ok(());
        }
        let request = FetchRequest { num_requested: more, ..FetchRequest::default() };
        self.requests.try_send(request).map_err(|_| over())?;
        self.outstanding += more;
        Ok(())
    }

    async fn receive(&mut self) -> Result<FetchResponse, ConnectError> {
        let clock = self.rpc.client.clock().clone();
        let received = tokio::select! {
            received = message(&mut self.answer) => received,
            () = clock.sleep(SILENCE) => {
                return Err(ConnectError::Unavailable("Pub/Sub gave no sign of life".to_owned()));
            }
        };
        match received {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(over()),
            Err(status) if is_about_session(&status) => {
                // The next stream signs in afresh; if that is refused too, it says so.
                self.rpc.client.session_refused(&self.token).await;
                Err(ConnectError::Unavailable("the session of the stream has ended".to_owned()))
            }
            Err(status) => Err(fault(&status)),
        }
    }

    /// Makes hints of an event; a wildcard, a gap or an event that cannot be read leaves us behind.
    async fn take(
        &mut self,
        event: &ProducerEvent,
        shape: &Shape,
        batch: &mut EventBatch,
    ) -> Result<(), ConnectError> {
        let schema = self.schema(&event.schema_id).await?;
        let change = schema.and_then(|schema| event::read(schema, &event.payload, shape).ok());
        match change {
            Some(change) => hints(&self.wanted, event, &change, batch),
            None => batch.behind = true,
        }
        Ok(())
    }

    async fn schema(&mut self, id: &str) -> Result<Option<&Schema>, ConnectError> {
        if !self.schemas.contains_key(id) {
            let question = SchemaRequest { schema_id: id.to_owned() };
            let answer: Result<SchemaInfo, _> = self.rpc.ask(GET_SCHEMA, &question).await;
            let schema = match answer {
                Ok(info) => event::schema(&info.schema_json).ok(),
                Err(ConnectError::Rejected(_)) => None,
                Err(other) => return Err(other),
            };
            if self.schemas.len() >= MOST_SCHEMAS {
                self.schemas.clear();
            }
            self.schemas.insert(id.to_owned(), schema);
        }
        Ok(self.schemas.get(id).and_then(Option::as_ref))
    }
}

#[async_trait]
impl EventStream for Subscription {
    async fn next(&mut self, shape: &Shape) -> Result<EventBatch, ConnectError> {
        self.ask_for_more()?;
        let response = self.receive().await?;
        let came = i32::try_from(response.events.len()).unwrap_or(i32::MAX);
        self.outstanding = self.outstanding.saturating_sub(came).max(0);
        if response.pending_num_requested == 0 {
            // Whatever was counted here: nothing comes any more before more is asked for.
            self.outstanding = 0;
        }
        let mut batch = EventBatch::default();
        let mut replay_id = response.latest_replay_id;
        for ConsumerEvent { event, replay_id: place } in response.events {
            let event = event.unwrap_or_default();
            self.take(&event, shape, &mut batch).await?;
            replay_id = place;
        }
        if !replay_id.is_empty() {
            let organization = &self.wanted.us.organization_id;
            batch.place = Some(Place::store(organization, &self.wanted.topic, &replay_id));
        }
        Ok(batch)
    }
}

/// The next message; the answer may only begin with it.
async fn message(answer: &mut Answer) -> Result<Option<FetchResponse>, Status> {
    if let Answer::Awaited(opening) = answer {
        let begun = opening.await?;
        *answer = Answer::Begun(Box::new(begun));
    }
    match answer {
        Answer::Begun(stream) => stream.message().await,
        Answer::Awaited(_) => Ok(None),
    }
}

fn over() -> ConnectError {
    ConnectError::Unavailable("Pub/Sub ended the stream".to_owned())
}

/// What an event hints at.
fn hints(wanted: &Wanted, event: &ProducerEvent, change: &Change, batch: &mut EventBatch) {
    let gap = change.kind.starts_with("GAP_");
    if change.kind == "GAP_OVERFLOW" {
        batch.behind = true;
        return;
    }
    if change.entity != wanted.entity {
        return;
    }
    let ours = change.client.as_deref() == Some(wanted.client_name.as_str())
        && soql::long_id(&change.user).as_deref() == Some(&wanted.us.user_id);
    if ours && !gap {
        // What we wrote was read back in the same transaction.
        return;
    }
    // A gap says nothing about a record: if no deal is known for it, the poll must look.
    batch.behind |= gap;
    for id in &change.ids {
        match soql::long_id(id) {
            Some(id) => batch.hints.push(EventHint {
                id: RecordId::new(id),
                event: format!("change-event {}", change.kind).chars().take(64).collect(),
                event_id: event.id.clone(),
                concerns_us: change.concerns_us,
            }),
            None => batch.behind = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, EventBatch, ProducerEvent, Wanted, hints};
    use crate::connect::salesforce::identity::Identity;

    fn wanted() -> Wanted {
        Wanted {
            topic: "/data/OpportunityChangeEvent".to_owned(),
            entity: "Opportunity",
            at_once: 10,
            client_name: "cosell-sync".to_owned(),
            us: Identity {
                organization_id: "00D000000000001EAA".to_owned(),
                user_id: "005000000000001AAA".to_owned(),
            },
        }
    }

    #[test]
    fn events_become_hints_and_gaps_become_a_poll() {
        const ID: &str = "006000000000001AAA";
        let (us, them) = ("005000000000001AAA", "005000000000002AAA");
        let table: [(&str, &str, &[&str], &str, &str, usize, bool, &str); 10] = [
            ("Opportunity", "UPDATE", &[ID], "", them, 1, false, "a person edits"),
            ("Opportunity", "UPDATE", &[ID, ID], "", them, 2, false, "one change of two rows"),
            ("Opportunity", "DELETE", &[ID], "", them, 1, false, "a person deletes"),
            ("Opportunity", "UPDATE", &[ID], "cosell-sync", us, 0, false, "our own write"),
            ("Opportunity", "UPDATE", &[ID], "cosell-sync", them, 1, false, "somebody else's name"),
            ("Opportunity", "UPDATE", &[ID], "loader", us, 1, false, "our user, another tool"),
            ("Lead", "UPDATE", &[ID], "", them, 0, false, "another object of a shared channel"),
            ("Opportunity", "GAP_UPDATE", &[ID], "cosell-sync", us, 1, true, "a gap"),
            ("Opportunity", "UPDATE", &["006*"], "", them, 0, true, "a wildcard"),
            ("Opportunity", "GAP_OVERFLOW", &["000000000000000AAA"], "", them, 0, true, "overflow"),
        ];
        for (entity, kind, ids, client, user, count, behind, why) in table {
            let change = Change {
                entity: entity.to_owned(),
                kind: kind.to_owned(),
                ids: ids.iter().map(|id| (*id).to_owned()).collect(),
                client: Some(client.to_owned()),
                user: user.to_owned(),
                concerns_us: false,
            };
            let mut batch = EventBatch::default();
            hints(&wanted(), &ProducerEvent::default(), &change, &mut batch);
            assert_eq!((batch.hints.len(), batch.behind), (count, behind), "{why}");
        }
    }
}
