//! The service itself: sessions, topics, schemas, subscriptions.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::Grpc;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::bus::{BadPlace, Bus, Stored, Subscribed};
use super::wire::{
    ConsumerEvent, FetchRequest, FetchResponse, ProducerEvent, SchemaInfo, SchemaRequest,
    TopicInfo, TopicRequest,
};
use crate::connect::salesforce::sandbox::SalesforceSandbox;
use crate::connect::salesforce::sandbox::org::Org;

/// Most events that may be asked for at once.
const MOST_REQUESTED: i32 = 100;
/// Most events of one response.
const BATCH: usize = 20;

type Answers = stream::BoxStream<'static, Result<FetchResponse, Status>>;

/// The gRPC service of one organisation.
#[derive(Clone)]
pub(super) struct Service(pub(super) SalesforceSandbox);

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let sandbox = self.0.clone();
        Box::pin(async move {
            let answer = match request.uri().path() {
                "/eventbus.v1.PubSub/GetTopic" => {
                    let answer = tower::service_fn(move |request: Request<TopicRequest>| {
                        let answer = sandbox.with(|org| topic(org, &request));
                        async move { answer.map(Response::new) }
                    });
                    Grpc::new(ProstCodec::default()).unary(answer, request).await
                }
                "/eventbus.v1.PubSub/GetSchema" => {
                    let answer = tower::service_fn(move |request: Request<SchemaRequest>| {
                        let answer = sandbox.with(|org| schema(org, &request));
                        async move { answer.map(Response::new) }
                    });
                    Grpc::new(ProstCodec::default()).unary(answer, request).await
                }
                "/eventbus.v1.PubSub/Subscribe" => {
                    let answer =
                        tower::service_fn(move |request: Request<Streaming<FetchRequest>>| {
                            let answer = subscribe(sandbox.clone(), request);
                            async move { answer.map(Response::new) }
                        });
                    Grpc::new(ProstCodec::default()).streaming(answer, request).await
                }
                _ => Status::unimplemented("not emulated").into_http(),
            };
            Ok(answer)
        })
    }
}

/// An error as the service tells it: Salesforce's own code in the trailers.
fn failure(status: Code, own: &str, message: &str) -> Status {
    let mut trailers = MetadataMap::new();
    let own = format!("sfdc.platform.eventbus.grpc.{own}");
    if let Ok(own) = MetadataValue::try_from(own) {
        trailers.insert("error-code", own);
    }
    Status::with_metadata(status, format!("{message} rpcId: 0"), trailers)
}

/// Checks who asks: the session, and that it belongs to this organisation.
fn check(org: &mut Org, metadata: &MetadataMap) -> Result<(), Status> {
    let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
    let refused = |message| failure(Code::Unauthenticated, "service.auth.error", message);
    let token = text("accesstoken").ok_or_else(|| refused("no session"))?;
    let address = text("instanceurl").is_some_and(|url| url.starts_with("http"));
    let tenant = text("tenantid").unwrap_or_default();
    let same = org.organization_id.get(..15) == tenant.get(..15);
    if !address || !same {
        return Err(refused("no organisation"));
    }
    let now = org.now();
    org.sessions.user(token, now).map(|_| ()).ok_or_else(|| refused("the session is not valid"))
}

fn no_topic() -> Status {
    failure(Code::NotFound, "topic.get.not.found", "the topic does not exist or is not visible")
}

fn topic(org: &mut Org, request: &Request<TopicRequest>) -> Result<TopicInfo, Status> {
    check(org, request.metadata())?;
    let topic_name = request.get_ref().topic_name.clone();
    let object = org.captured(&topic_name).ok_or_else(no_topic)?;
    Ok(TopicInfo {
        topic_name,
        tenant_guid: org.organization_id.clone(),
        can_publish: false,
        can_subscribe: true,
        schema_id: org.schema_id(&object),
        rpc_id: "0".to_owned(),
    })
}

fn schema(org: &mut Org, request: &Request<SchemaRequest>) -> Result<SchemaInfo, Status> {
    check(org, request.metadata())?;
    let schema_id = request.get_ref().schema_id.clone();
    let known = org.bus.schema(&schema_id).cloned();
    let schema_json =
        known.ok_or_else(|| failure(Code::NotFound, "schema.not.found", "no such schema"))?;
    Ok(SchemaInfo { schema_json, schema_id, rpc_id: "0".to_owned() })
}

fn subscribe(
    sandbox: SalesforceSandbox,
    request: Request<Streaming<FetchRequest>>,
) -> Result<Answers, Status> {
    sandbox.with(|org| check(org, request.metadata()))?;
    let (metadata, _, requests) = request.into_parts();
    let (answers, mut coming) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut reader =
            Reader { sandbox, metadata, topic: String::new(), place: 0, credit: 0, life_signs: 0 };
        if let Err(status) = reader.run(requests, &answers).await {
            let _ = answers.send(Err(status)).await;
        }
    });
    Ok(Box::pin(stream::poll_fn(move |context| coming.poll_recv(context))))
}

/// One subscription.
struct Reader {
    sandbox: SalesforceSandbox,
    metadata: MetadataMap,
    topic: String,
    place: u64,
    /// Events that the client has asked for and not got.
    credit: i32,
    life_signs: u64,
}

impl Reader {
    async fn run(
        &mut self,
        mut requests: Streaming<FetchRequest>,
        answers: &mpsc::Sender<Result<FetchResponse, Status>>,
    ) -> Result<(), Status> {
        let mut moved = self.sandbox.with(|org| org.bus.watch());
        let Some(first) = requests.message().await? else { return Ok(()) };
        self.begin(&first)?;
        loop {
            moved.mark_unchanged();
            while let Some(response) = self.next()? {
                if answers.send(Ok(response)).await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                more = requests.message() => match more? {
                    Some(more) => self.more(&more)?,
                    None => return Ok(()),
                },
                _ = moved.changed() => {}
                () = answers.closed() => return Ok(()),
            }
        }
    }

    fn begin(&mut self, first: &FetchRequest) -> Result<(), Status> {
        self.topic.clone_from(&first.topic_name);
        let (topic, preset, replay_id) = (&first.topic_name, first.replay_preset, &first.replay_id);
        let (place, signs) = self.sandbox.with(|org| {
            org.captured(topic).ok_or_else(no_topic)?;
            let now = org.now();
            org.bus.purge(now);
            let place = match preset {
                0 => org.bus.end(),
                1 => org.bus.start(),
                _ => org.bus.place(replay_id).map_err(|bad| match bad {
                    BadPlace::Corrupted => {
                        let own = "subscription.fetch.replayid.corrupted";
                        failure(Code::InvalidArgument, own, "the Replay ID is corrupted")
                    }
                    BadPlace::Gone => {
                        let own = "subscription.fetch.replayid.validation.failed";
                        failure(Code::InvalidArgument, own, "the Replay ID validation failed")
                    }
                })?,
            };
            org.bus.log.push(Subscribed { topic: topic.clone(), resumed: preset == 2 });
            Ok::<_, Status>((place, org.bus.life_signs))
        })?;
        (self.place, self.life_signs) = (place, signs);
        self.more(first)
    }

    fn more(&mut self, request: &FetchRequest) -> Result<(), Status> {
        if !request.topic_name.is_empty() && request.topic_name != self.topic {
            return Err(Status::invalid_argument("the topic of a stream cannot change"));
        }
        if !(1..=MOST_REQUESTED).contains(&request.num_requested) {
            let own = "subscription.fetch.requested.events.invalid";
            return Err(failure(Code::InvalidArgument, own, "1 to 100 events may be asked for"));
        }
        self.credit += request.num_requested;
        let credit = self.credit;
        self.sandbox.with(|org| org.bus.most_asked_for = org.bus.most_asked_for.max(credit));
        Ok(())
    }

    /// The next response that is due, if one is.
    fn next(&mut self) -> Result<Option<FetchResponse>, Status> {
        let most = usize::try_from(self.credit).unwrap_or(0).min(BATCH);
        let (topic, place, metadata) = (&self.topic, self.place, &self.metadata);
        let (events, signs, end) = self.sandbox.with(|org| {
            let events = org.bus.after(topic, place, most);
            let due = !events.is_empty() || org.bus.life_signs > self.life_signs;
            if due {
                check(org, metadata)?;
            }
            Ok::<_, Status>((events, org.bus.life_signs, org.bus.end()))
        })?;
        if events.is_empty() && signs == self.life_signs {
            return Ok(None);
        }
        let told = i32::try_from(events.len()).unwrap_or(0);
        self.credit -= told;
        self.life_signs = signs;
        // A sign of life moves on past events of other topics, but never past one that waits.
        let idle = events.is_empty() && self.credit > 0;
        self.place = events.last().map_or(if idle { end } else { place }, |event| event.place);
        Ok(Some(FetchResponse {
            events: events.into_iter().map(consumed).collect(),
            latest_replay_id: Bus::replay_id(self.place),
            rpc_id: "0".to_owned(),
            pending_num_requested: self.credit,
        }))
    }
}

fn consumed(event: Stored) -> ConsumerEvent {
    let replay_id = Bus::replay_id(event.place);
    let Stored { id, schema_id, payload, .. } = event;
    ConsumerEvent { event: Some(ProducerEvent { id, schema_id, payload }), replay_id }
}
