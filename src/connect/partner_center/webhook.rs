//! Checks that a delivery comes from Partner Center, over its raw bytes and before anything in it
//! is read.
//!
//! * Order: headers, pinned certificate address, certificate, signature, and only then the body.
//! * Nobody can make us fetch: an address that is not pinned is refused without a call, and the
//!   pinned ones are fetched at most once in ten seconds each, those of a pattern all together.
//! * The signature says nothing about freshness. A replay is the same delivery, by its fingerprint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use url::Url;

use super::certificate::{Examined, Judge, Signer};
use super::envelope;
use super::pinned::certificate_url;
use crate::connect::http::address::is_loopback;
use crate::connect::http::{Fetched, PublicFetch};
use crate::connect::webhook::{Delivery, Refused, WebhookSource};
use crate::domain::clock::Clock;
use crate::domain::digest::sha256;
use crate::domain::time::Timestamp;

/// Least time between two fetches of one address.
const BETWEEN_FETCHES: Duration = Duration::from_secs(10);
/// Longest time a certificate is used without fetching it again.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a bad certificate or a failed fetch is remembered.
const BAD_KEPT: Duration = Duration::from_secs(60);
/// Longest signature taken, in base64 letters.
const SIGNATURE_LETTERS: usize = 1024;
/// Most addresses remembered; a pattern may pin many.
const REMEMBERED: usize = 16;
/// Deadline and cap of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
const FETCH_BYTES: usize = 16 << 10;

/// What is trusted.
#[derive(Debug, Clone)]
pub struct VerifierSettings {
    /// Hosts that certificates may come from: `name`, or `name:port` for another port than the
    /// default one.
    pub certificate_hosts: Vec<String>,
    /// Paths there; one `*` may stand for anything within a segment.
    pub certificate_paths: Vec<String>,
    /// Root certificates, PEM.
    pub roots_pem: Vec<u8>,
    /// Intermediate certificates, PEM; may be empty. None is ever fetched.
    pub intermediates_pem: Vec<u8>,
    /// Organization that the certificate must name: `Microsoft Corporation`.
    pub organization: String,
    /// Name that the certificate must have, as an alternative or common name.
    pub leaf_name: Option<String>,
    /// Hosts that a `ResourceUri` may name, in the form of `certificate_hosts`.
    pub resource_hosts: Vec<String>,
    /// Whether a certificate may come from a loopback address over plain http: for a sandbox.
    pub allow_loopback: bool,
}

impl VerifierSettings {
    /// The public service with the given pinned certificates.
    #[must_use]
    pub fn public(roots_pem: Vec<u8>, intermediates_pem: Vec<u8>) -> Self {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Self {
            certificate_hosts: list(&["3psostorageacct.blob.core.windows.net"]),
            certificate_paths: list(&["/cert/pcnotifications-dispatch.microsoft.com.cer"]),
            roots_pem,
            intermediates_pem,
            organization: "Microsoft Corporation".to_owned(),
            leaf_name: None,
            resource_hosts: list(&["api.partnercenter.microsoft.com", "api.partner.microsoft.com"]),
            allow_loopback: false,
        }
    }
}

/// Fetches certificates from pinned addresses.
#[async_trait]
pub trait CertificateFetcher: Send + Sync {
    /// Fetches the file at `url`.
    async fn fetch(&self, url: &Url) -> Fetched;
}

/// Fetches over the network: no redirect, three seconds, 16 KiB, public addresses only.
#[derive(Debug)]
pub struct NetworkFetcher(PublicFetch);

impl NetworkFetcher {
    /// The fetcher.
    ///
    /// # Errors
    ///
    /// A sentence if TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        PublicFetch::new(FETCH_TIMEOUT, FETCH_BYTES).map(Self)
    }
}

#[async_trait]
impl CertificateFetcher for NetworkFetcher {
    async fn fetch(&self, url: &Url) -> Fetched {
        self.0.get(url).await
    }
}

/// What is known of one certificate address.
#[derive(Clone)]
enum Known {
    Good { signer: Arc<Signer>, until: Timestamp, fetched: Timestamp },
    Bad { refused: Refused, until: Timestamp },
}

#[derive(Default)]
struct Cache {
    known: BTreeMap<String, Known>,
    /// When the fetch of each budget was last taken; see [`Verifier::may_fetch`].
    fetches: BTreeMap<String, Timestamp>,
}

/// Checks deliveries of Partner Center.
pub struct Verifier {
    settings: VerifierSettings,
    judge: Judge,
    fetcher: Arc<dyn CertificateFetcher>,
    clock: Arc<dyn Clock>,
    cache: Mutex<Cache>,
    /// Held during a fetch, so that many deliveries cause one.
    fetching: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Verifier").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier with an empty cache.
    ///
    /// # Errors
    ///
    /// A sentence if a pinned certificate cannot be read or there is no root.
    pub fn new(
        settings: VerifierSettings,
        fetcher: Arc<dyn CertificateFetcher>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let judge = Judge::new(
            &settings.roots_pem,
            &settings.intermediates_pem,
            &settings.organization,
            settings.leaf_name.as_deref(),
        )?;
        Ok(Self {
            settings,
            judge,
            fetcher,
            clock,
            cache: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        })
    }

    /// Fetches what stands at the pinned addresses and judges it now; for `doctor`. An address that
    /// is a pattern is left out: what it stands for is not known.
    pub async fn examine(&self) -> Vec<Examined> {
        let mut examined = Vec::new();
        for host in &self.settings.certificate_hosts {
            for path in self.settings.certificate_paths.iter().filter(|path| !path.contains('*')) {
                let Some(url) = self.pinned_url(host, path) else { continue };
                let now = self.clock.now();
                examined.push(match self.fetcher.fetch(&url).await {
                    Fetched::File(file) => self.judge.examine(&url, &file, now),
                    Fetched::TooLong => Examined::faulty(&url, "it is too long for a certificate"),
                    Fetched::Unavailable(why) => {
                        Examined { out_of_reach: true, ..Examined::faulty(&url, &why) }
                    }
                });
            }
        }
        examined
    }

    /// What the pinned certificates are called, and when they end.
    #[must_use]
    pub fn pinned(&self) -> Vec<(String, Timestamp)> {
        self.judge.pinned()
    }

    fn pinned_url(&self, host: &str, path: &str) -> Option<Url> {
        let settings = &self.settings;
        let at = |scheme: &str| {
            let text = format!("{scheme}://{host}{path}");
            certificate_url(
                &text,
                &settings.certificate_hosts,
                &settings.certificate_paths,
                settings.allow_loopback,
            )
        };
        let url = at("https")?;
        if is_loopback(&url) { at("http") } else { Some(url) }
    }

    /// Checks the signature; `Ok` means that the body is the signer's.
    async fn verify(&self, url: &Url, body: &[u8], signature: &[u8]) -> Result<(), Refused> {
        let signer = match self.cached(url) {
            Some(Known::Good { signer, .. }) => signer,
            Some(Known::Bad { refused, .. }) => return Err(refused),
            None => self.fetch(url, None).await?,
        };
        if signer.signed(body, signature) {
            return Ok(());
        }
        // The certificate may have been replaced since: look once more, if that was not just done.
        let newer = self.fetch(url, Some(&signer)).await?;
        if !newer.is(&signer) && newer.signed(body, signature) {
            return Ok(());
        }
        Err(Refused::NotAuthentic("the signature does not match the body".to_owned()))
    }

    fn cached(&self, url: &Url) -> Option<Known> {
        let now = self.clock.now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache.known.get(url.as_str())?.clone();
        let (Known::Good { until, .. } | Known::Bad { until, .. }) = &known;
        if now < *until {
            return Some(known);
        }
        cache.known.remove(url.as_str());
        None
    }

    /// The signer at `url`, fetched unless somebody else just did or the limit forbids it.
    /// `instead_of` is a signer whose signature failed.
    async fn fetch(
        &self,
        url: &Url,
        instead_of: Option<&Arc<Signer>>,
    ) -> Result<Arc<Signer>, Refused> {
        let _one_at_a_time = self.fetching.lock().await;
        match (self.cached(url), instead_of) {
            (Some(Known::Bad { refused, .. }), _) => return Err(refused),
            (Some(Known::Good { signer, .. }), None) => return Ok(signer),
            (Some(Known::Good { signer, fetched, .. }), Some(old)) => {
                let fresh = self.clock.now().since(fetched) < BETWEEN_FETCHES;
                if fresh || !signer.is(old) {
                    return Ok(signer);
                }
            }
            (None, _) => {}
        }
        if !self.may_fetch(url) {
            return Err(Refused::CannotVerify(
                "certificates were fetched too recently to fetch another".to_owned(),
            ));
        }
        let fetched = self.fetcher.fetch(url).await;
        let now = self.clock.now();
        let known = self.judge(fetched, now);
        self.remember(url, &known, instead_of.is_some());
        match known {
            Known::Good { signer, .. } => Ok(signer),
            Known::Bad { refused, .. } => Err(refused),
        }
    }

    fn judge(&self, fetched: Fetched, now: Timestamp) -> Known {
        let until = now.plus(BAD_KEPT);
        let bad = |refused| Known::Bad { refused, until };
        let file = match fetched {
            Fetched::File(file) => file,
            Fetched::TooLong => {
                return bad(Refused::NotAuthentic("the certificate is too long".to_owned()));
            }
            Fetched::Unavailable(why) => {
                return bad(Refused::CannotVerify(format!("the certificate: {why}")));
            }
        };
        match self.judge.judge(&file, now) {
            Err(why) => bad(Refused::NotAuthentic(why)),
            Ok(signer) => {
                let until = now.plus(KEPT).min(signer.not_after);
                Known::Good { signer: Arc::new(signer), until, fetched: now }
            }
        }
    }

    /// Keeps the outcome. A failed second look does not throw away the certificate that works.
    fn remember(&self, url: &Url, known: &Known, second_look: bool) {
        if second_look && matches!(known, Known::Bad { .. }) {
            return;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.known.len() >= REMEMBERED && !cache.known.contains_key(url.as_str()) {
            let (bad, good): (Vec<_>, Vec<_>) = std::mem::take(&mut cache.known)
                .into_iter()
                .partition(|(_, known)| matches!(known, Known::Bad { .. }));
            drop(bad);
            cache.known = good.into_iter().take(REMEMBERED / 2).collect();
        }
        cache.known.insert(url.as_str().to_owned(), known.clone());
    }

    /// Takes the one fetch of these ten seconds, if it is still there. Each address that is pinned
    /// letter by letter has its own, so that a flood of others does not starve it; those that only
    /// fit a pattern share one, since a stranger can name any number of them.
    fn may_fetch(&self, url: &Url) -> bool {
        let exact = self.settings.certificate_paths.iter().any(|path| path == url.path());
        let budget = if exact { url.as_str() } else { "*" };
        let now = self.clock.now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let last = cache.fetches.get(budget);
        let free = last.is_none_or(|last| now.since(*last) >= BETWEEN_FETCHES);
        if free {
            cache.fetches.insert(budget.to_owned(), now);
        }
        free
    }
}

#[async_trait]
impl WebhookSource for Verifier {
    async fn accept(
        &self,
        headers: &[(String, String)],
        _query: Option<&str>,
        body: &Bytes,
    ) -> Result<Delivery, Refused> {
        let signature = signature(headers)?;
        let algorithm = single(headers, "x-ms-signature-algorithm")?;
        let address = single(headers, "x-ms-certificate-url")?;
        if algorithm != "rsa-sha256" {
            return Err(Refused::NotAuthentic(
                "the signature algorithm is not accepted".to_owned(),
            ));
        }
        let settings = &self.settings;
        let url = certificate_url(
            address,
            &settings.certificate_hosts,
            &settings.certificate_paths,
            settings.allow_loopback,
        )
        .ok_or_else(|| Refused::NotAuthentic("the certificate address is not pinned".to_owned()))?;
        self.verify(&url, body, &signature).await?;
        let hint = envelope::read(body, &settings.resource_hosts).map_err(Refused::NotAnEvent)?;
        Ok(Delivery { hints: vec![hint], fingerprint: sha256(body), answer: None })
    }
}

/// All values of a header.
fn values<'a>(headers: &'a [(String, String)], wanted: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// The one value of a header the protocol demands.
fn single<'a>(headers: &'a [(String, String)], wanted: &'static str) -> Result<&'a str, Refused> {
    match values(headers, wanted).as_slice() {
        [] => Err(Refused::MissingHeader(wanted)),
        [value] => Ok(value),
        _ => Err(Refused::NotAuthentic(format!("{wanted} is given twice"))),
    }
}

/// The one signature, from whichever of its two headers it is in.
fn signature(headers: &[(String, String)]) -> Result<Vec<u8>, Refused> {
    let refused = |why: &str| Refused::NotAuthentic(why.to_owned());
    let mut found = values(headers, "authorization");
    found.extend(values(headers, "x-ms-signature"));
    let value = match found.as_slice() {
        [] => return Err(refused("there is no signature")),
        [value] => value,
        _ => return Err(refused("there is more than one signature")),
    };
    let (scheme, encoded) = value.split_once(' ').ok_or_else(|| refused("no signature scheme"))?;
    if !scheme.eq_ignore_ascii_case("signature") {
        return Err(refused("another scheme than Signature"));
    }
    if encoded.len() > SIGNATURE_LETTERS {
        return Err(refused("the signature is too long"));
    }
    STANDARD.decode(encoded.trim()).map_err(|_| refused("the signature is not base64"))
}

#[cfg(test)]
mod tests;
