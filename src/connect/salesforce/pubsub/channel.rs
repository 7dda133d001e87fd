//! A connection for gRPC, under the same trust settings as every other call.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use url::Url;

use crate::connect::error::ConnectError;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// What both kinds of connection can do.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to `url`: TLS for https, in the open for http, which the settings allow on loopback
/// only. No proxy of the environment is used. `ca_pem` is trusted in place of the public roots.
pub(super) async fn connect(url: &Url, ca_pem: Option<&[u8]>) -> Result<Channel, ConnectError> {
    let place = url.origin().ascii_serialization();
    let unusable = |what: &dyn std::fmt::Display| ConnectError::Broken(format!("{place}: {what}"));
    let endpoint = Endpoint::from_shared(place.clone()).map_err(|error| unusable(&error))?;
    let tls = (url.scheme() == "https").then(|| tls(ca_pem)).transpose();
    let tls = tls.map_err(|error| unusable(&error))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let connector = tower::service_fn(move |_: Uri| open(host.clone(), port, tls.clone()));
    let endpoint = endpoint.connect_timeout(CONNECT).user_agent("cosell-sync");
    let endpoint = endpoint.map_err(|error| unusable(&error))?;
    let connected = tokio::time::timeout(CONNECT, endpoint.connect_with_connector(connector)).await;
    match connected {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => {
            let why = cause(&error);
            Err(ConnectError::Unavailable(format!("{place} cannot be reached: {why}")))
        }
        Err(_) => Err(ConnectError::Unavailable(format!("{place} cannot be reached in time"))),
    }
}

/// The innermost reason, such as a certificate that is not trusted.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string().chars().take(200).collect()
}

async fn open(
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
) -> io::Result<TokioIo<Box<dyn Stream>>> {
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(tls).connect(name, stream).await?)
        }
    };
    Ok(TokioIo::new(stream))
}

fn tls(ca_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, String> {
    // The second call in a process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut tls = match ca_pem {
        None => ClientConfig::with_platform_verifier().map_err(|error| error.to_string())?,
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| error.to_string())?;
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(tls))
}
