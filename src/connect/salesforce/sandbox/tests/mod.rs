//! Every line of the checklist over real HTTP.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod children;
mod composite;
mod login;
mod outbound;
mod permissions;
mod queries;
mod replication;
mod rows;
mod soap;
mod writes;

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::{SalesforceSandbox, SandboxOptions};
use crate::connect::sandbox::{SandboxClock, Serving, serve};
use crate::domain::time::Timestamp;

/// An emulator that listens, and a client with a session.
struct Site {
    sandbox: SalesforceSandbox,
    clock: SandboxClock,
    serving: Serving,
    http: reqwest::Client,
    session: String,
}

/// One answer.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    fn code(&self) -> &str {
        self.body[0]["errorCode"].as_str().unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Where the clock stands at first.
const START: &str = "2026-09-01T10:00:30.500Z";

async fn site_with(options: SandboxOptions) -> Site {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock = SandboxClock::frozen(Timestamp::parse(START).unwrap());
    let sandbox = SalesforceSandbox::new(options, clock.clone());
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let serving = serve(sandbox.router(), anywhere).await.unwrap();
    let session = sandbox.log_in();
    Site { sandbox, clock, serving, http: reqwest::Client::new(), session }
}

async fn site() -> Site {
    site_with(SandboxOptions::default()).await
}

impl Site {
    /// One call of the data API; `path` follows `/services/data/v66.0`.
    async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        self.call_with(method, path, body, &[]).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, Value::Null).await
    }

    async fn call_with(
        &self,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Reply {
        let path = format!("/services/data/v66.0{path}");
        self.raw(method, &path, body, headers).await
    }

    async fn raw(&self, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Reply {
        let url = format!("{}{path}", self.serving.url());
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, url).bearer_auth(&self.session);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        Reply { status, headers, body }
    }

    async fn query(&self, soql: &str) -> Reply {
        let encoded: String = url::form_urlencoded::byte_serialize(soql.as_bytes()).collect();
        self.get(&format!("/query?q={encoded}")).await
    }

    /// Names of the records that a query finds.
    async fn names(&self, soql: &str) -> Vec<String> {
        let reply = self.query(soql).await;
        assert_eq!(reply.status, 200, "{soql}: {}", reply.body);
        let records = reply.body["records"].as_array().unwrap();
        records.iter().map(|record| record["Name"].as_str().unwrap().to_owned()).collect()
    }

    fn opportunity(&self, name: &str) -> String {
        self.sandbox.create_as_person("Opportunity", &deal(name)).unwrap()
    }

    fn lead(&self, name: &str) -> String {
        let lead = json!({ "LastName": name, "Company": "Fabrikam" });
        self.sandbox.create_as_person("Lead", &lead).unwrap()
    }
}

/// The least that an opportunity needs.
fn deal(name: &str) -> Value {
    json!({ "Name": name, "StageName": "Prospecting", "CloseDate": "2026-12-31" })
}

/// `value` with the members of `more` on top.
fn with(mut value: Value, more: Value) -> Value {
    if let (Some(map), Value::Object(more)) = (value.as_object_mut(), more) {
        map.extend(more);
    }
    value
}
