//! Change events of Salesforce over gRPC (Pub/Sub): hints that come within a second.
//!
//! * Owns: the messages, the connection, what is taken from an event. Built with the cargo feature
//!   `pubsub` only, because gRPC needs HTTP/2.
//! * May use: what its parent may. Nothing outside names `tonic`, `prost` or `apache_avro`.
//! * An event is a hint: record ids and whether the record is shared. Gaps, overflows and lost places
//!   are told as *behind*, and the poll by `SystemModstamp` finds what they hid.
//!
//! Start reading at [`Subscription`].

mod channel;
mod event;
mod place;
mod rpc;
mod subscription;
mod wire;

use async_trait::async_trait;

use self::place::Place;
use self::rpc::Rpc;
use self::subscription::{Subscription, Wanted};
use self::wire::{TopicInfo, TopicRequest};
use super::{Salesforce, table_of};
use crate::connect::error::{ConnectError, Refusal};
use crate::connect::events::{EventSource, EventStream};
use crate::domain::id::RecordKind;

const GET_TOPIC: &str = "/eventbus.v1.PubSub/GetTopic";

#[async_trait]
impl EventSource for Salesforce {
    async fn listen(
        &self,
        kind: RecordKind,
        place: Option<&str>,
    ) -> Result<Box<dyn EventStream>, ConnectError> {
        let Some(events) = &self.settings.events else {
            return Err(ConnectError::Broken("change events are not configured".to_owned()));
        };
        let topic = match kind {
            RecordKind::Opportunity => &events.opportunity_topic,
            RecordKind::Lead => &events.lead_topic,
        };
        let us = self.client.identity().await?;
        let after = match place {
            None => None,
            Some(text) => Some(
                Place::read(text, &us.organization_id, topic).ok_or(ConnectError::CursorExpired)?,
            ),
        };
        let channel = channel::connect(&events.url, self.settings.http.ca_pem.as_deref()).await?;
        let rpc =
            Rpc { channel, client: self.client.clone(), organization: us.organization_id.clone() };
        check_topic(&rpc, topic, table_of(kind)).await?;
        let wanted = Wanted {
            topic: topic.clone(),
            entity: table_of(kind),
            at_once: i32::try_from(events.at_once).unwrap_or(1),
            client_name: self.settings.client_name.clone(),
            us,
        };
        Ok(Box::new(Subscription::open(rpc, wanted, after).await?))
    }
}

/// Refuses a topic that cannot be subscribed to, with what the admin must do.
async fn check_topic(rpc: &Rpc, topic: &str, table: &str) -> Result<(), ConnectError> {
    let question = TopicRequest { topic_name: topic.to_owned() };
    let answer: Result<TopicInfo, _> = rpc.ask(GET_TOPIC, &question).await;
    let why = match answer {
        Ok(info) if info.can_subscribe => return Ok(()),
        Ok(_) => "we may not subscribe to it".to_owned(),
        Err(ConnectError::Rejected(refusal)) => format!("{} {}", refusal.code, refusal.message),
        Err(other) => return Err(other),
    };
    Err(ConnectError::Rejected(Refusal {
        code: "topic".to_owned(),
        message: format!(
            "{topic}: {why}; select {table} in Setup under Change Data Capture and let our user \
             view all of its records"
        ),
        ..Refusal::default()
    }))
}
