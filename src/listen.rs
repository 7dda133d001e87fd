//! Serves a router with deadlines and bounds that `axum::serve` lacks.
//!
//! * Owns: the accept loop of both listeners.
//! * A half-sent header, a stalled connection or too many of them never hold a worker or the stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Open connections, at most.
    pub connections: usize,
    /// How long a header may take.
    pub header: Duration,
    /// How long open connections may finish after the stop.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 1024, header: Duration::from_secs(5), drain: Duration::from_secs(10) }
    }
}

/// Accepts connections until `stop`, then lets the open ones finish for a while.
#[expect(clippy::disallowed_methods, reason = "paces the operating system, not the work")]
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    let open = TaskTracker::new();
    loop {
        // Full of stalled connections, there is no room for long; the stop does not wait for it.
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit,
            () = stop.cancelled() => break,
        };
        let Ok(permit) = permit else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors: wait for some to be closed instead of spinning.
                    tracing::warn!("A connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        let router = router.clone();
        let stop = stop.clone();
        open.spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                router.clone().oneshot(request.map(Body::new))
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(bounds.header)
                .max_buf_size(32 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                ended = connection.as_mut() => drop(ended),
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    drop(connection.await);
                }
            }
            drop(permit);
        });
    }
    open.close();
    if tokio::time::timeout(bounds.drain, open.wait()).await.is_err() {
        tracing::warn!("Connections were cut off at the stop");
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, CancellationToken, Duration, Router, TcpListener, serve};

    #[tokio::test]
    async fn a_full_listener_stops_taking_connections_at_the_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stop = CancellationToken::new();
        // Without room there is nothing that could end but by the stop.
        let bounds = Bounds { connections: 0, drain: Duration::ZERO, ..Bounds::default() };
        let serving = tokio::spawn(serve(listener, Router::new(), bounds, stop.clone()));
        tokio::task::yield_now().await;
        stop.cancel();
        serving.await.expect("it ends");
    }
}
