//! HTTP/2 on loopback, with or without TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::generate_simple_self_signed;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::service::Service;
use crate::connect::salesforce::sandbox::SalesforceSandbox;

/// The running service; it stops, and cuts its streams, when this is dropped.
#[derive(Debug)]
pub struct PubSubServing {
    address: SocketAddr,
    certificate: Option<String>,
    cut: watch::Sender<u64>,
    _task: AbortOnDropHandle<()>,
}

impl PubSubServing {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address; with TLS by name, which the certificate is for.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.certificate {
            None => format!("http://{}", self.address),
            Some(_) => format!("https://localhost:{}", self.address.port()),
        }
    }

    /// What a client must trust, as PEM.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Cuts every connection without a word.
    pub fn drop_streams(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

impl SalesforceSandbox {
    /// Serves the Pub/Sub service on `listen` (port 0 for a free one).
    ///
    /// # Errors
    ///
    /// If the address cannot be bound or no certificate can be made.
    pub async fn serve_pubsub(&self, listen: SocketAddr, tls: bool) -> io::Result<PubSubServing> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (certificate, acceptor) = match tls.then(self::tls).transpose()? {
            Some((certificate, acceptor)) => (Some(certificate), Some(acceptor)),
            None => (None, None),
        };
        let cut = watch::Sender::new(0);
        let (service, cuts) = (Service(self.clone()), cut.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, acceptor) = (service.clone(), acceptor.clone());
                let mut cuts = cuts.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        () = connection(stream, acceptor, service) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Ok(PubSubServing { address, certificate, cut, _task: AbortOnDropHandle::new(task) })
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, service: Service) {
    match acceptor {
        None => talk(stream, service).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                talk(stream, service).await;
            }
        }
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, service: Service) {
    let service = tower::ServiceExt::map_request(service, |request: hyper::Request<_>| {
        request.map(tonic::body::Body::new)
    });
    // A connection that ends badly is the client's story, not the emulator's.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
}

fn tls() -> io::Result<(String, TlsAcceptor)> {
    // A second call in a process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let own = generate_simple_self_signed(names).map_err(io::Error::other)?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((own.cert.pem(), TlsAcceptor::from(Arc::new(config))))
}
