//! The emulator's checklist of the reference, line by line, over plain HTTP: the `sandbox` is
//! started as a user starts it, and everything is asked of its addresses and its control interface
//! in JSON written from the reference. Nothing of our client takes part.

mod adjacent;
mod control;
mod create;
mod faults;
mod lifecycle;
mod list;
mod registration;
mod sign_in;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;

use cosell_sync::connect::sandbox::{Serving, serve};
use cosell_sync::sandbox::{Addresses, Sandbox, control as interface};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value as Json, json};

/// Audience of the referrals host.
const REFERRALS_HOST: &str = "https://api.partner.microsoft.com";
/// Audience of the other host.
const CENTER_HOST: &str = "https://api.partnercenter.microsoft.com";
/// Where referrals are.
const REFERRALS: &str = "/v1.0/engagements/referrals";
/// Where the webhook slot is.
const SLOT: &str = "/webhooks/v1/registration";

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A running sandbox and somebody who talks to it.
struct Page {
    http: reqwest::Client,
    partner: String,
    control: String,
    options: Json,
    _serving: Serving,
    _sandbox: Arc<Sandbox>,
}

impl Page {
    async fn open() -> Self {
        let sandbox = Sandbox::start(Addresses::free()).await.expect("the emulators start");
        let sandbox = Arc::new(sandbox);
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let serving = serve(interface::router(Arc::clone(&sandbox)), free).await.expect("served");
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        let [partner, _, _] = sandbox.urls();
        let control = serving.url();
        let mut page = Self {
            http,
            partner,
            control,
            options: Json::Null,
            _serving: serving,
            _sandbox: sandbox,
        };
        page.options = page.control("GET", "/partner-center/options", &Json::Null).await.json();
        page
    }

    /// As [`Page::open`], with these settings of the emulator changed.
    async fn with(options: Json) -> Self {
        let page = Self::open().await;
        page.set(options).await;
        page
    }

    async fn set(&self, options: Json) {
        let answer = self.control("PATCH", "/partner-center/options", &options).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.expect("a body") }
    }

    /// Asks the control interface.
    async fn control(&self, method: &str, path: &str, body: &Json) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.control));
        let request = if body.is_null() { request } else { request.json(body) };
        self.send(request).await
    }

    /// Does something through the control interface that must succeed.
    async fn act(&self, method: &str, path: &str, body: Json) -> Json {
        let answer = self.control(method, path, &body).await;
        assert!(matches!(answer.status, 200 | 204), "{method} {path}: {answer:?}");
        serde_json::from_str(&answer.text).unwrap_or_default()
    }

    async fn advance(&self, secs: u64) {
        self.act("POST", "/clock", json!({ "advance_secs": secs })).await;
    }

    fn option(&self, name: &str) -> &str {
        self.options[name].as_str().expect("text")
    }

    /// Posts a form to the sign-in service, with the application's id and secret where the form has
    /// none.
    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = fields.to_vec();
        for (name, option) in [("client_id", "client_id"), ("client_secret", "client_secret")] {
            if !fields.iter().any(|(given, _)| *given == name) {
                all.push((name, self.option(option)));
            }
        }
        self.send(self.http.post(format!("{}{path}", self.partner)).form(&all)).await
    }

    async fn refresh_token(&self) -> String {
        let answer = self.act("POST", "/partner-center/sign-in/consent", Json::Null).await;
        answer["refresh_token"].as_str().expect("a token").to_owned()
    }

    /// An access token of the user for one audience, by the v1 endpoint.
    async fn token(&self, audience: &str) -> String {
        let refresh = self.refresh_token().await;
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.as_str()),
            ("resource", audience),
        ];
        let path = format!("/{}/oauth2/token", self.option("tenant_id"));
        let answer = self.form(&path, &fields).await;
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// Calls one of the two hosts with a token of its audience and further headers.
    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Json,
    ) -> Answer {
        let audience = if path.starts_with("/v1.0/") { REFERRALS_HOST } else { CENTER_HOST };
        let token = self.token(audience).await;
        self.call_with(&token, method, path, headers, body).await
    }

    async fn call_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Json,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.partner))
            .bearer_auth(token)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        self.send(request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], &Json::Null).await
    }

    async fn post(&self, body: &Json) -> Answer {
        self.call("POST", REFERRALS, &[], body).await
    }

    /// Patches a referral and asks for it back.
    async fn patch(&self, id: &str, operations: Json) -> Answer {
        let prefer = [("prefer", "return=representation")];
        self.call("PATCH", &format!("{REFERRALS}/{id}"), &prefer, &operations).await
    }

    /// Creates a referral that must be accepted, and its JSON.
    async fn made(&self, body: &Json) -> Json {
        let answer = self.post(body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// What Microsoft sends us, with some fields set; its id.
    async fn arrives(&self, fields: Json) -> String {
        text(&self.act("POST", "/partner-center/referrals", fields).await, "id")
    }

    async fn stored(&self, id: &str) -> Json {
        self.act("GET", &format!("/partner-center/referrals/{id}"), Json::Null).await
    }
}

fn text(json: &Json, name: &str) -> String {
    json[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {json}")).to_owned()
}

fn replace(path: &str, value: Json) -> Json {
    json!({ "op": "replace", "path": path, "value": value })
}

fn add(path: &str, value: Json) -> Json {
    json!({ "op": "add", "path": path, "value": value })
}

fn state(status: &str, substatus: &str) -> Json {
    json!([replace("/status", json!(status)), replace("/substatus", json!(substatus))])
}

fn member(email: &str) -> Json {
    json!({ "firstName": "A", "lastName": "B", "phoneNumber": "5550100", "email": email })
}

/// A deal of our own for a kind of the recipes in 4.3: private, partner-led, or the first of the two
/// posts of a co-sell deal.
fn deal(kind: &str) -> Json {
    json!({
        "name": "Adventure Works data platform",
        "externalReferenceId": "crm-42",
        "type": if kind == "co-sell" { "Shared" } else { "Independent" },
        "qualification": "SalesQualified",
        "customerProfile": {
            "name": "Adventure Works",
            "address": { "addressLine1": "2 Side Street", "city": "Bergen", "country": "NO" },
            "team": [member("buyer@adventure-works.example")],
        },
        "consent": {
            "consentToToShareInfoWithOthers": true,
            "consentToContact": true,
            "consentToShareReferralWithMicrosoftSellers": kind != "private",
        },
        "details": {
            "notes": "n", "dealValue": 50_000, "currency": "USD",
            "closingDateTime": "2099-12-31T00:00:00Z",
            "requirements": {
                "solutions": [{ "id": "SOL-00001-XYZ", "type": "Name" }],
                "additionalRequirements": {
                    "attributes": [{ "type": "CustomerMarketplaceIntent", "id": "HaveNotDecided" }],
                },
            },
        },
        "team": [member("seller@contoso.example")],
        "target": [{ "type": "SolutionProfile", "id": "SOL-00001-XYZ" }],
    })
}

/// The second post of a co-sell deal: Microsoft is asked for help in the same engagement.
fn invitation(own: &Json) -> Json {
    let mut body = deal("co-sell");
    body["engagementId"] = own["engagementId"].clone();
    body["target"] = json!([{ "type": "BusinessProfileLocation", "id": "msft" }]);
    body["inviteContext"] =
        json!({ "notes": "Please help.", "assistanceRequestCode": "QuotesOrLicensing" });
    body
}
