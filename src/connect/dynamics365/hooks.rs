//! Registers the environment's webhooks: one endpoint, and one step for each event of a table.
//!
//! Steps are asynchronous: a seller's save never waits for us and never fails because of us. What is
//! registered is looked at first, so that running it again changes nothing. The stored secret cannot
//! be read back, so a fingerprint of it stands in the endpoint's description, which can.

use std::num::NonZeroU32;

use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use serde_json::{Value as Json, json};

use super::Dynamics365;
use super::client::{Request, made_id, rows, text};
use super::metadata::Table;
use super::odata::{guid, text_literal};
use super::provision::{Run, SOLUTION};
use super::settings::WebhookTarget;
use crate::connect::error::ConnectError;
use crate::domain::secret::ExposeSecret;

/// The events a step is registered for. Winning, losing and qualifying are updates as well.
const EVENTS: [&str; 3] = ["Create", "Update", "Delete"];
/// The one event whose steps name columns.
const UPDATE: &str = "Update";
/// `contract` of a webhook.
const WEBHOOK: u8 = 8;
/// `authtype` of a secret in a header.
const HTTP_HEADER: u8 = 5;
/// Rounds of the fingerprint's hash: enough that guessing a weak secret from it is dear.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
/// `statecode` of a step that works.
const ENABLED: i64 = 0;

/// The event of a table that a step listens to, as the environment names it.
struct Filter {
    id: String,
    message: String,
}

impl Dynamics365 {
    /// Registers the endpoint and the steps of `table`, where a webhook is wanted.
    pub(super) async fn webhooks(
        &self,
        run: &mut Run<'_>,
        table: &Table,
    ) -> Result<(), ConnectError> {
        let Some(target) = &self.webhook else { return Ok(()) };
        if !target.is_deliverable() {
            run.note(
                format!(
                    "webhooks cannot be delivered to {}: Dataverse calls the ports 80 and 443 only",
                    target.url
                ),
                "advice",
            );
            return Ok(());
        }
        let endpoint = self.endpoint(run, target).await?;
        for event in EVENTS {
            self.step(run, table, endpoint.as_deref(), (event, &target.name)).await?;
        }
        Ok(())
    }

    /// The endpoint's id; `None` in a dry run before there is one.
    async fn endpoint(
        &self,
        run: &mut Run<'_>,
        target: &WebhookTarget,
    ) -> Result<Option<String>, ConnectError> {
        let what = format!("webhook endpoint {}", target.name);
        let address = format!(
            "serviceendpoints?$select=serviceendpointid,url,authtype,description&$filter=contract\
             %20eq%20{WEBHOOK}%20and%20name%20eq%20{}",
            text_literal(&target.name)
        );
        let description = description(&self.organization().await?, target);
        let json = self.client.get(&address).await?;
        let Some(row) = rows(&json)?.first() else {
            if !run.plan(&what) {
                return Ok(None);
            }
            let url = self.client.url("serviceendpoints")?;
            let request = Request::write("POST", url, &body(target, &description))
                .header(SOLUTION, run.wanted.container.as_str());
            let answer = self.client.send(&request).await?;
            return made_id(&answer).map(Some).ok_or_else(|| {
                ConnectError::Unknown("an endpoint was made, its id was not told".to_owned())
            });
        };
        let id = guid(text(row, "serviceendpointid"))
            .ok_or_else(|| ConnectError::Broken("an endpoint without its id".to_owned()))?;
        let kind = row.get("authtype").and_then(Json::as_u64);
        let is_ours = text(row, "url") == target.url.as_str();
        let difference = if !is_ours || kind != Some(u64::from(HTTP_HEADER)) {
            format!("our address in place of {}", text(row, "url"))
        } else if text(row, "description") != description {
            "our secret in place of the one that is stored there".to_owned()
        } else {
            run.note(what, "present");
            return Ok(Some(id));
        };
        if run.plan(&format!("{what}: {difference}")) {
            let url = self.client.url(&format!("serviceendpoints({id})"))?;
            let body = body(target, &description);
            self.client.send(&Request::write("PATCH", url, &body).header("if-match", "*")).await?;
        }
        Ok(Some(id))
    }

    async fn step(
        &self,
        run: &mut Run<'_>,
        table: &Table,
        endpoint: Option<&str>,
        (event, name): (&str, &str),
    ) -> Result<(), ConnectError> {
        let what = format!("webhook step {event} of {}", table.name);
        let columns = if event == UPDATE { watched(run, table) } else { String::new() };
        let Some(filter) = self.filter(table, event).await? else {
            run.note(format!("{what}: the environment does not offer this event"), "advice");
            return Ok(());
        };
        let found = match endpoint {
            Some(endpoint) => self.registered(endpoint, &filter).await?,
            None => None,
        };
        let Some(row) = found else {
            if let (true, Some(endpoint)) = (run.plan(&what), endpoint) {
                let mut step = json!({
                    "name": format!("{name}: {} {event}", table.name),
                    "stage": 40,
                    "mode": 1,
                    "rank": 1,
                    "supporteddeployment": 0,
                    "asyncautodelete": true,
                    "eventhandler_serviceendpoint@odata.bind":
                        format!("/serviceendpoints({endpoint})"),
                    "sdkmessageid@odata.bind": format!("/sdkmessages({})", filter.message),
                    "sdkmessagefilterid@odata.bind": format!("/sdkmessagefilters({})", filter.id),
                });
                if !columns.is_empty() {
                    step["filteringattributes"] = json!(columns);
                }
                let url = self.client.url("sdkmessageprocessingsteps")?;
                let request = Request::write("POST", url, &step)
                    .header(SOLUTION, run.wanted.container.as_str());
                self.client.send(&request).await?;
            }
            return Ok(());
        };
        if row.get("statecode").and_then(Json::as_i64) != Some(ENABLED) {
            run.note(format!("{what}: switched off by somebody, left so"), "advice");
        } else if sorted(text(&row, "filteringattributes")) == sorted(&columns) {
            run.note(what, "present");
        } else if run.plan(&format!("{what}: the columns of the mapping")) {
            let id = guid(text(&row, "sdkmessageprocessingstepid"))
                .ok_or_else(|| ConnectError::Broken("a step without its id".to_owned()))?;
            let url = self.client.url(&format!("sdkmessageprocessingsteps({id})"))?;
            let columns = json!({"filteringattributes": columns});
            let request = Request::write("PATCH", url, &columns).header("if-match", "*");
            self.client.send(&request).await?;
        }
        Ok(())
    }

    /// The environment's row for an event of a table; `None` if the table does not have the event.
    async fn filter(&self, table: &Table, event: &str) -> Result<Option<Filter>, ConnectError> {
        let address = format!(
            "sdkmessagefilters?$select=sdkmessagefilterid,_sdkmessageid_value&$filter=\
             primaryobjecttypecode%20eq%20{}%20and%20sdkmessageid/name%20eq%20{}",
            text_literal(&table.name),
            text_literal(event)
        );
        let json = self.client.get(&address).await?;
        Ok(rows(&json)?.first().and_then(|row| {
            let id = guid(text(row, "sdkmessagefilterid"))?;
            Some(Filter { id, message: guid(text(row, "_sdkmessageid_value"))? })
        }))
    }

    /// The step of an endpoint for an event.
    async fn registered(
        &self,
        endpoint: &str,
        filter: &Filter,
    ) -> Result<Option<Json>, ConnectError> {
        let address = format!(
            "sdkmessageprocessingsteps?$select=sdkmessageprocessingstepid,filteringattributes,\
             statecode&$filter=_eventhandler_value%20eq%20{endpoint}%20and%20\
             _sdkmessagefilterid_value%20eq%20{}",
            filter.id
        );
        let json = self.client.get(&address).await?;
        Ok(rows(&json)?.first().cloned())
    }
}

/// What tells a reader, and the next run, with which secret and header the endpoint was registered.
/// Salted with the organization, so that equal secrets do not look equal elsewhere.
fn description(organization: &str, target: &WebhookTarget) -> String {
    let salt = format!("{organization} {} {}", target.name, target.header);
    let mut hash = [0; 8];
    let secret = target.secret.expose_secret().as_bytes();
    derive(PBKDF2_HMAC_SHA256, ROUNDS, salt.as_bytes(), secret, &mut hash);
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("Registered by cosell-sync. Fingerprint of the secret: {digits}")
}

fn body(target: &WebhookTarget, description: &str) -> Json {
    let secret = escaped(target.secret.expose_secret());
    json!({
        "name": target.name,
        "description": description,
        "url": target.url.as_str(),
        "contract": WEBHOOK,
        "authtype": HTTP_HEADER,
        "authvalue": format!(
            "<settings><setting name=\"{}\" value=\"{secret}\" /></settings>",
            escaped(&target.header)
        ),
        "messageformat": 2,
        "connectionmode": 1,
        "userclaim": 1,
    })
}

/// The columns whose changes are worth a hint: those of the mapping that the table has.
fn watched(run: &Run<'_>, table: &Table) -> String {
    let known = run.wanted.watched.iter().filter(|name| {
        // What this run makes is not in the definition that was read before it.
        table.attributes.contains_key(*name) || run.wanted.fields.iter().any(|f| f.name == **name)
    });
    let mut names: Vec<&str> = known.map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

fn sorted(columns: &str) -> Vec<String> {
    let mut names: Vec<String> =
        columns.split(',').map(|name| name.trim().to_lowercase()).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names
}

/// A text as it may stand in an XML attribute.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{escaped, sorted};

    #[test]
    fn no_secret_ends_its_attribute() {
        assert_eq!(escaped("a\"/><b&c"), "a&quot;/&gt;&lt;b&amp;c");
    }

    #[test]
    fn the_order_of_columns_does_not_matter() {
        assert_eq!(sorted("name, StateCode,"), sorted("statecode,name"));
        assert_ne!(sorted("name"), sorted(""));
    }
}
