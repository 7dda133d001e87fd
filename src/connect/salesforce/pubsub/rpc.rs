//! One call of the Pub/Sub service: who we are in its metadata, and what its errors mean.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::wire::{FetchRequest, FetchResponse};
use crate::connect::error::{ConnectError, Refusal};
use crate::connect::http::Token;
use crate::connect::salesforce::client::Client;
use crate::domain::secret::ExposeSecret;

/// Deadline of a call that is no stream.
const DEADLINE: Duration = Duration::from_secs(30);
/// Largest message taken, in bytes: gRPC's usual bound. An event has at most 1 MB.
const MOST_BYTES: usize = 4 << 20;
/// How long to keep away when the daily delivery of events is used up.
const SPENT: Duration = Duration::from_secs(600);

const SUBSCRIBE: &str = "/eventbus.v1.PubSub/Subscribe";

/// The future that ends when a subscription's answer begins.
pub(super) type Opening = BoxFuture<'static, Result<Streaming<FetchResponse>, Status>>;

/// The service, with our session.
pub(super) struct Rpc {
    pub(super) channel: Channel,
    pub(super) client: Arc<Client>,
    pub(super) organization: String,
}

impl Rpc {
    /// One question, one answer; signs in once more if the session is refused.
    pub(super) async fn ask<Q, A>(
        &self,
        path: &'static str,
        question: &Q,
    ) -> Result<A, ConnectError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let token = self.client.session().await?;
        match self.exchange(path, question, &token).await {
            Err(status) if is_about_session(&status) => {
                self.client.session_refused(&token).await;
                let token = self.client.session().await?;
                let answer = self.exchange(path, question, &token).await;
                if answer.as_ref().is_err_and(is_about_session) {
                    self.client.session_refused(&token).await;
                }
                answer.map_err(|status| fault(&status))
            }
            answer => answer.map_err(|status| fault(&status)),
        }
    }

    async fn exchange<Q, A>(
        &self,
        path: &'static str,
        question: &Q,
        token: &Token,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut request = Request::new(question.clone());
        request.set_timeout(DEADLINE);
        self.sign(&mut request, token)?;
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|_| Status::unavailable("the connection is lost"))?;
        let codec = ProstCodec::<Q, A>::default();
        Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    /// Starts a subscription. Nothing is sent before the future is waited for, and the service may
    /// keep it waiting until it has an event.
    pub(super) fn subscribe(
        &self,
        requests: impl Stream<Item = FetchRequest> + Send + 'static,
        token: &Token,
    ) -> Result<Opening, ConnectError> {
        let mut request = Request::new(requests);
        self.sign(&mut request, token).map_err(|status| fault(&status))?;
        let mut grpc = self.grpc();
        Ok(Box::pin(async move {
            grpc.ready().await.map_err(|_| Status::unavailable("the connection is lost"))?;
            let codec = ProstCodec::<FetchRequest, FetchResponse>::default();
            let answer = grpc.streaming(request, PathAndQuery::from_static(SUBSCRIBE), codec).await;
            Ok(answer?.into_inner())
        }))
    }

    fn grpc(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    fn sign<T>(&self, request: &mut Request<T>, token: &Token) -> Result<(), Status> {
        let value = |text: &str| {
            MetadataValue::<Ascii>::try_from(text)
                .map_err(|_| Status::internal("the session cannot be sent"))
        };
        let mut session = value(token.secret.expose_secret())?;
        session.set_sensitive(true);
        let instance = token.instance.as_ref().unwrap_or(&self.client.settings().url);
        let metadata = request.metadata_mut();
        metadata.insert("accesstoken", session);
        metadata.insert("instanceurl", value(instance.as_str().trim_end_matches('/'))?);
        metadata.insert("tenantid", value(&self.organization)?);
        Ok(())
    }
}

/// Salesforce's own code of an error, from the trailers.
fn code(status: &Status) -> &str {
    status.metadata().get("error-code").and_then(|code| code.to_str().ok()).unwrap_or_default()
}

/// Whether another session may help.
pub(super) fn is_about_session(status: &Status) -> bool {
    status.code() == Code::Unauthenticated || code(status).contains(".service.auth.")
}

/// What an error asks us to do. Salesforce's own code decides first, the status second.
pub(super) fn fault(status: &Status) -> ConnectError {
    let own = code(status);
    let message: String = status.message().chars().take(300).collect();
    let text = || format!("Pub/Sub: {:?} {own} {message}", status.code());
    if own.contains(".replayid.") {
        return ConnectError::CursorExpired;
    }
    if own.contains(".limit.exceeded") {
        return ConnectError::Throttled(SPENT);
    }
    if is_about_session(status) {
        return ConnectError::Unauthorized(format!(
            "{}; the app needs the scope `api`, the user the permission for the API",
            text()
        ));
    }
    match status.code() {
        // A batch that is too long to be read would come again and again.
        Code::OutOfRange => ConnectError::CursorExpired,
        Code::ResourceExhausted => ConnectError::Throttled(SPENT),
        Code::InvalidArgument | Code::NotFound | Code::PermissionDenied | Code::Unimplemented => {
            ConnectError::Rejected(Refusal {
                code: own.to_owned(),
                message: format!("{:?} {message}", status.code()),
                ..Refusal::default()
            })
        }
        _ => ConnectError::Unavailable(text()),
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;
    use tonic::{Code, Status};

    use super::fault;

    #[test]
    fn every_error_is_sorted_by_what_happens_next() {
        let own = "sfdc.platform.eventbus.grpc.";
        let table = [
            (Code::InvalidArgument, "subscription.fetch.replayid.corrupted", "CursorExpired"),
            (
                Code::InvalidArgument,
                "subscription.fetch.replayid.validation.failed",
                "CursorExpired",
            ),
            (Code::Unavailable, "subscription.limit.exceeded", "Throttled"),
            (Code::Unauthenticated, "service.auth.error", "Unauthorized"),
            (Code::Unknown, "service.auth.error", "Unauthorized"),
            (Code::NotFound, "topic.get.failed", "Rejected"),
            (Code::PermissionDenied, "", "Rejected"),
            (Code::InvalidArgument, "subscription.fetch.requested.events.invalid", "Rejected"),
            (Code::OutOfRange, "", "CursorExpired"),
            (Code::ResourceExhausted, "", "Throttled"),
            (Code::Unavailable, "", "Unavailable"),
            (Code::Internal, "something.new", "Unavailable"),
        ];
        for (status, code, expected) in table {
            let mut trailers = MetadataMap::new();
            if !code.is_empty() {
                let code = format!("{own}{code}").parse().expect("a code");
                trailers.insert("error-code", code);
            }
            let fault = fault(&Status::with_metadata(status, "rpcId: 1", trailers));
            assert!(format!("{fault:?}").starts_with(expected), "{status:?} {code}: {fault:?}");
        }
    }
}
