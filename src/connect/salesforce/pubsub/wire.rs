//! The messages of `eventbus.v1` that we need. Field numbers are those of the service's published
//! definition; fields that nothing here reads are left out, which protobuf permits.

/// Asks about a topic.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TopicRequest {
    #[prost(string, tag = "1")]
    pub(super) topic_name: String,
}

/// What may be done with a topic.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TopicInfo {
    #[prost(bool, tag = "4")]
    pub(super) can_subscribe: bool,
}

/// Asks for a schema.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct SchemaRequest {
    #[prost(string, tag = "1")]
    pub(super) schema_id: String,
}

/// An Avro schema.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct SchemaInfo {
    #[prost(string, tag = "1")]
    pub(super) schema_json: String,
}

/// Where a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ReplayPreset {
    /// From now on.
    Latest = 0,
    /// With the oldest event there is.
    Earliest = 1,
    /// After the given event.
    Custom = 2,
}

/// Starts a subscription, or asks for more events of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FetchRequest {
    #[prost(string, tag = "1")]
    pub(super) topic_name: String,
    #[prost(enumeration = "ReplayPreset", tag = "2")]
    pub(super) replay_preset: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) replay_id: Vec<u8>,
    #[prost(int32, tag = "4")]
    pub(super) num_requested: i32,
}

/// Events, or none as a sign of life.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FetchResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) events: Vec<ConsumerEvent>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) latest_replay_id: Vec<u8>,
    #[prost(int32, tag = "4")]
    pub(super) pending_num_requested: i32,
}

/// An event with its place.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ConsumerEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) event: Option<ProducerEvent>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) replay_id: Vec<u8>,
}

/// An event.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ProducerEvent {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) schema_id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) payload: Vec<u8>,
}
