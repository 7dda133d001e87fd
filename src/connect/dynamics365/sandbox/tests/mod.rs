//! Tests over real HTTP: each line of the checklist in the module's documentation has at least one.

mod batch;
mod lifecycle;
mod metadata;
mod paging;
mod rows;
mod stress;
mod token;
mod tracking;
mod upsert;
mod webhook;

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value as Json, json};

use super::{Dynamics365Sandbox, SandboxOptions};
use crate::connect::sandbox::{SandboxClock, Serving, serve};
use crate::domain::time::Timestamp;

/// 2026-03-01T10:00:00.500Z: half a second, so that a stamp with fractions would be seen.
const START: i64 = 1_772_359_200_500;

/// A served organisation with a client that has signed in.
struct Org {
    sandbox: Dynamics365Sandbox,
    clock: SandboxClock,
    serving: Serving,
    http: reqwest::Client,
    token: String,
}

/// An answer, read.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or(Json::Null)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn code(&self) -> String {
        let code = self.json().pointer("/error/code").and_then(Json::as_str).map(str::to_owned);
        code.unwrap_or_default()
    }

    fn rows(&self) -> Vec<Json> {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["value"].as_array().cloned().unwrap()
    }

    /// The GUID at the end of `OData-EntityId`.
    fn id(&self) -> String {
        let address = self.header("OData-EntityId");
        let (_, rest) = address.rsplit_once('(').unwrap_or_else(|| panic!("{self:?}"));
        rest.trim_end_matches(')').to_owned()
    }
}

impl Org {
    async fn new() -> Self {
        Self::with(SandboxOptions::default()).await
    }

    async fn with(options: SandboxOptions) -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = SandboxClock::frozen(Timestamp::from_millis(START));
        let sandbox = Dynamics365Sandbox::new(options, clock.clone());
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let serving = serve(sandbox.router(), listen).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut org = Self { sandbox, clock, serving, http, token: String::new() };
        org.sign_in().await;
        org
    }

    async fn sign_in(&mut self) {
        let reply = self.token_request(&[]).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        self.token = reply.json()["access_token"].as_str().unwrap().to_owned();
    }

    /// Asks for a token with the right secret, with `changes` made to the form; an empty value
    /// leaves a field out.
    async fn token_request(&self, changes: &[(&str, &str)]) -> Reply {
        let options = self.sandbox.options();
        let scope = format!("{}/.default", self.serving.url());
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &options.client_id),
            ("client_secret", &options.client_secret),
            ("scope", &scope),
        ];
        for (name, value) in changes {
            form.retain(|(field, _)| field != name);
            form.extend(Some((*name, *value)).filter(|(_, value)| !value.is_empty()));
        }
        let url = format!("{}/{}/oauth2/v2.0/token", self.serving.url(), options.tenant_id);
        read(self.http.post(url).form(&form).send().await.unwrap()).await
    }

    fn root(&self) -> String {
        format!("{}/api/data/v9.2", self.serving.url())
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Reply {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/{path}", self.root())
        };
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        read(request.send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[("If-None-Match", "null")], None).await
    }

    async fn post(&self, path: &str, body: &Json) -> Reply {
        self.send("POST", path, &[], Some(body)).await
    }

    async fn patch(&self, path: &str, body: &Json) -> Reply {
        self.send("PATCH", path, &[("If-Match", "*")], Some(body)).await
    }

    /// Creates a row through the API and returns its id.
    async fn create(&self, set: &str, body: &Json) -> String {
        let reply = self.post(set, body).await;
        assert_eq!(reply.status, 204, "{}", reply.text);
        reply.id()
    }
}

async fn read(response: reqwest::Response) -> Reply {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, text: response.text().await.unwrap() }
}

/// The values of one member in all rows.
fn column(rows: &[Json], name: &str) -> Vec<Json> {
    rows.iter().map(|row| row.get(name).cloned().unwrap_or(json!("absent"))).collect()
}
