//! Serves one emulator on a free loopback port until it is dropped.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

use super::fault::CloseWithoutAnswer;

/// A running emulator; it stops when this is dropped.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Serves `router` on `listen` (port 0 for a free one).
///
/// # Errors
///
/// If the address cannot be bound.
pub async fn serve(router: Router, listen: SocketAddr) -> io::Result<Serving> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let router = router.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let router = router.clone();
                    async move {
                        let answer = router.oneshot(request.map(Body::new)).await;
                        match answer {
                            Ok(response)
                                if response.extensions().get::<CloseWithoutAnswer>().is_some() =>
                            {
                                Err(io::Error::new(
                                    io::ErrorKind::ConnectionAborted,
                                    "told to close",
                                ))
                            }
                            Ok(response) => Ok(response),
                            Err(never) => match never {},
                        }
                    }
                });
                // A connection that ends badly is the client's story, not the emulator's.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(Serving { address, _task: AbortOnDropHandle::new(task) })
}
