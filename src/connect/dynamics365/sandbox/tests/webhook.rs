//! Webhooks: registration, payload, delivery.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use super::Org;
use crate::connect::dynamics365::sandbox::SandboxOptions;
use crate::connect::sandbox::{Serving, serve};

/// A receiver that keeps what it is sent.
#[derive(Clone, Default)]
struct Receiver {
    calls: Arc<Mutex<Vec<(Uri, HeaderMap, Json)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    arrived: Arc<Notify>,
}

impl Receiver {
    async fn start(&self) -> Serving {
        async fn take(
            State(receiver): State<Receiver>,
            uri: Uri,
            headers: HeaderMap,
            body: Bytes,
        ) -> StatusCode {
            let body = serde_json::from_slice(&body).unwrap();
            receiver.calls.lock().unwrap().push((uri, headers, body));
            receiver.arrived.notify_one();
            let answer = receiver.answers.lock().unwrap().pop_front();
            StatusCode::from_u16(answer.unwrap_or(200)).unwrap()
        }
        let router = Router::new().fallback(take).with_state(self.clone());
        serve(router, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap()
    }

    fn take(&self) -> Vec<(Uri, HeaderMap, Json)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

/// Registers a webhook the documented way and returns the id of the step.
pub(super) async fn register(
    org: &Org,
    url: &str,
    auth: (i64, &str),
    message: &str,
    columns: &str,
) -> String {
    let endpoint = json!({
        "name": "pc-sync", "url": url, "contract": 8, "authtype": auth.0, "authvalue": auth.1,
        "messageformat": 2, "connectionmode": 1, "userclaim": 1,
    });
    let endpoint = org.create("serviceendpoints", &endpoint).await;
    let query = format!("sdkmessages?$select=sdkmessageid&$filter=name eq '{message}'");
    let found = org.get(&query).await.rows()[0]["sdkmessageid"].clone();
    let query = format!(
        "sdkmessagefilters?$filter=primaryobjecttypecode eq 'opportunity' and \
         sdkmessageid/name eq '{message}'"
    );
    let filter = org.get(&query).await.rows()[0]["sdkmessagefilterid"].clone();
    let id = |value: &Json| value.as_str().unwrap().to_owned();
    let step = json!({
        "name": format!("pc-sync: opportunity {message}"), "stage": 40, "mode": 1, "rank": 1,
        "supporteddeployment": 0, "asyncautodelete": true, "filteringattributes": columns,
        "eventhandler_serviceendpoint@odata.bind": format!("/serviceendpoints({endpoint})"),
        "sdkmessageid@odata.bind": format!("/sdkmessages({})", id(&found)),
        "sdkmessagefilterid@odata.bind": format!("/sdkmessagefilters({})", id(&filter)),
    });
    org.create("sdkmessageprocessingsteps", &step).await
}

const HEADERS: &str = "<settings><setting name=\"x-pc-key\" value=\"a &amp; b\" /></settings>";

#[tokio::test]
async fn an_update_is_told_in_the_real_shape() {
    let (org, receiver) = (Org::new().await, Receiver::default());
    let serving = receiver.start().await;
    let url = format!("{}/hooks/dv", serving.url());
    let step = register(&org, &url, (5, HEADERS), "Update", "name,estimatedvalue,salesstage").await;
    let account = org.sandbox.seed_account(&json!({})).unwrap();
    let id = org.create("opportunities", &json!({"name": "A"})).await;
    let path = format!("opportunities({id})");
    org.patch(&path, &json!({"description": "not filtered for"})).await;
    let body = json!({
        "name": "B", "estimatedvalue": 1500.5, "salesstage": 1, "estimatedclosedate": "2017-09-26",
        "customerid_account@odata.bind": format!("/accounts({account})"),
    });
    org.patch(&format!("{path}?tag=pcsync:1"), &body).await;
    assert_eq!(org.sandbox.deliver().await, 1);
    let (uri, headers, context) = receiver.take().remove(0);
    assert_eq!(uri.to_string(), "/hooks/dv", "no secret in the address");
    assert_eq!(headers["x-pc-key"], "a & b");
    assert_eq!(headers["x-ms-dynamics-request-name"], "Update");
    assert_eq!(headers["x-ms-dynamics-entity-name"], "opportunity");
    assert_eq!(headers["x-ms-correlation-request-id"], context["CorrelationId"].as_str().unwrap());
    for (name, value) in [
        ("MessageName", json!("Update")),
        ("PrimaryEntityName", json!("opportunity")),
        ("PrimaryEntityId", json!(id)),
        ("InitiatingUserId", json!(org.sandbox.application_user())),
        ("OrganizationId", json!(org.sandbox.organization_id())),
        ("SecondaryEntityName", json!("none")),
        ("Stage", json!(40)),
        ("SharedVariables", json!([{"key": "tag", "value": "pcsync:1"}])),
    ] {
        assert_eq!(context[name], value, "{name}");
    }
    assert_eq!(context["OwningExtension"]["Id"], step);
    assert_eq!(context["PostEntityImages"][0]["value"], "B");
    let target = &context["InputParameters"][0]["value"];
    assert_eq!(target["LogicalName"], "opportunity");
    let value = |name: &str| {
        let attributes = target["Attributes"].as_array().unwrap();
        attributes.iter().find(|pair| pair["key"] == name).map(|pair| pair["value"].clone())
    };
    assert_eq!(value("name"), Some(json!("B")));
    assert_eq!(value("estimatedvalue").unwrap()["Value"], 1500.5);
    assert_eq!(value("salesstage").unwrap()["Value"], 1);
    assert_eq!(value("estimatedclosedate"), Some(json!("/Date(1506384000000)/")));
    assert_eq!(value("customerid").unwrap()["Id"], account);
    assert!(value("modifiedby").is_some(), "stamped by the platform");
    assert_eq!(value("description"), None, "not in the request");
}

#[tokio::test]
async fn secrets_travel_where_the_endpoint_says() {
    let (org, receiver) = (Org::new().await, Receiver::default());
    let serving = receiver.start().await;
    for (auth, query) in [((4, "k&1"), "code=k%261"), ((6, HEADERS), "x-pc-key=a+%26+b")] {
        register(&org, &serving.url(), auth, "Create", "").await;
        org.sandbox.seed_opportunity(&json!({})).unwrap();
        org.sandbox.deliver().await;
        let calls = receiver.take();
        let found = calls.iter().any(|(uri, _, _)| uri.query() == Some(query));
        assert!(found, "{query}");
    }
    let shown = org.get("serviceendpoints?$select=authvalue,isauthvalueset").await.rows();
    assert_eq!(shown[0]["authvalue"], Json::Null, "write-only");
    assert_eq!(shown[0]["isauthvalueset"], true);
}

#[tokio::test]
async fn only_gateway_errors_are_tried_once_more() {
    let (org, receiver) = (Org::new().await, Receiver::default());
    let serving = receiver.start().await;
    let step = register(&org, &serving.url(), (4, "k"), "Create", "").await;
    let table = [
        // (answers, calls, taken, why)
        (vec![503, 200], 2, 1, "one more try helps"),
        (vec![502, 504], 2, 0, "and it is the last"),
        (vec![500], 1, 0, "no second try after 500"),
        (vec![404], 1, 0, "nor after 404"),
    ];
    for (answers, calls, taken, why) in table {
        *receiver.answers.lock().unwrap() = answers.into();
        org.sandbox.seed_opportunity(&json!({})).unwrap();
        assert_eq!(org.sandbox.deliver().await, taken, "{why}");
        assert_eq!(receiver.take().len(), calls, "{why}");
    }
    let query = format!("asyncoperations?$filter=_owningextensionid_value eq {step}");
    let failures = org.get(&query).await.rows();
    assert_eq!(failures.len(), 3);
    assert!(failures.iter().all(|row| row["statuscode"] == 31), "{failures:?}");
}

#[tokio::test]
async fn a_large_body_is_stripped() {
    let (org, receiver) = (Org::new().await, Receiver::default());
    let serving = receiver.start().await;
    register(&org, &serving.url(), (4, "k"), "Create", "").await;
    org.sandbox.configure(|options| options.webhook_body_limit = 2000);
    let id = org.sandbox.seed_opportunity(&json!({"description": "x".repeat(2000)})).unwrap();
    org.sandbox.deliver().await;
    let (_, headers, context) = receiver.take().remove(0);
    assert!(headers.contains_key("x-ms-dynamics-msg-size-exceeded"));
    assert_eq!(context["PrimaryEntityId"], id, "the row can still be read");
    for name in ["ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages"] {
        assert_eq!(context.get(name), None, "{name}");
    }
}

#[tokio::test]
async fn winning_and_deleting_are_told() {
    let (org, receiver) = (Org::new().await, Receiver::default());
    let serving = receiver.start().await;
    for message in ["Win", "Update", "Delete"] {
        register(&org, &serving.url(), (4, "k"), message, "").await;
    }
    let id = org.sandbox.seed_opportunity(&json!({})).unwrap();
    org.sandbox.win_as_person(&id).unwrap();
    org.sandbox.delete_as_person("opportunity", &id).unwrap();
    org.sandbox.deliver().await;
    let calls = receiver.take();
    let names: Vec<&Json> = calls.iter().map(|(_, _, context)| &context["MessageName"]).collect();
    assert_eq!(names, ["Update", "Win", "Delete"]);
    let target = &calls[2].2["InputParameters"][0]["value"];
    assert!(target["__type"].as_str().unwrap().starts_with("EntityReference:"));
}

#[tokio::test]
async fn a_failed_write_is_not_told_and_background_delivery_works() {
    let (org, receiver) = (Org::new().await, Receiver::default());
    let serving = receiver.start().await;
    register(&org, &serving.url(), (4, "k"), "Create", "").await;
    let body = json!({"name": "A", "product_opportunities": [{"nosuch": 1}]});
    assert_eq!(org.post("opportunities", &body).await.status, 400);
    assert_eq!(org.sandbox.waiting_deliveries(), 0);
    let _background = org.sandbox.deliver_in_background();
    org.create("opportunities", &json!({"name": "B"})).await;
    receiver.arrived.notified().await;
    assert_eq!(receiver.take().len(), 1);
}

#[tokio::test]
async fn what_the_platform_refuses_to_register() {
    let options = SandboxOptions { refuse_odd_webhook_ports: true, ..SandboxOptions::default() };
    let org = Org::with(options).await;
    let endpoint = |url: &str, authtype: i64| json!({"name": "x", "url": url, "contract": 8, "authtype": authtype, "authvalue": "k"});
    for (url, authtype, status, why) in [
        ("https://host.example/hooks", 4, 204, "port 443"),
        ("https://host.example:8443/hooks", 4, 400, "another port"),
        ("/hooks", 4, 400, "not absolute"),
        ("https://host.example/hooks", 1, 400, "another kind of authentication"),
    ] {
        let reply = org.post("serviceendpoints", &endpoint(url, authtype)).await;
        assert_eq!(reply.status, status, "{why}");
    }
    let pascal = json!({"name": "x", "SdkMessageId@odata.bind": "/sdkmessages(x)"});
    let reply = org.post("sdkmessageprocessingsteps", &pascal).await;
    assert_eq!(reply.status, 400, "navigation names are lower case");
}
