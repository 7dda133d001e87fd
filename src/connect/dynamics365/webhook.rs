//! Dataverse webhooks: a shared secret, then a hint which row may have changed.
//!
//! There is no signature; the secret is the whole proof. Nothing of the payload but table, id and
//! event name is used, so a payload that the platform stripped for its size serves as well.

use async_trait::async_trait;
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde_json::Value as Json;

use super::client::{TAG, text};
use super::odata::guid;
use crate::connect::webhook::{Delivery, Hint, Refused, WebhookSource};
use crate::domain::id::{CrmName, RecordId, RecordKey, RecordKind};
use crate::domain::secret::{ExposeSecret, SecretString};

/// Where the platform puts the shared secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a header of this name (authentication type *HttpHeader*).
    Header(String),
    /// In the query as `code` (authentication type *WebhookKey*), or under another name
    /// (*HttpQueryString*).
    Query(String),
}

/// The door for one environment's webhooks.
#[derive(Debug)]
pub struct DataverseHook {
    secret: SecretString,
    place: SecretPlace,
    /// Lower-case host name that the platform names as the sender, if it is checked.
    organization: Option<String>,
}

impl DataverseHook {
    /// `organization`: host name of the environment, for example `contoso.crm.dynamics.com`; a
    /// delivery that names another one is refused.
    ///
    /// # Errors
    ///
    /// A sentence if the secret is too short to be one.
    pub fn new(
        secret: SecretString,
        place: SecretPlace,
        organization: Option<String>,
    ) -> Result<Self, String> {
        if secret.expose_secret().len() < 16 {
            return Err("the webhook secret needs at least 16 characters".to_owned());
        }
        let organization = organization.map(|host| host.to_ascii_lowercase());
        Ok(Self { secret, place, organization })
    }

    /// Whether `given` is the secret, in a time that tells nothing about it.
    fn is_secret(&self, given: &str) -> bool {
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        let (ours, theirs) = (hash(self.secret.expose_secret()), hash(given));
        let pairs = ours.as_ref().iter().zip(theirs.as_ref());
        pairs.fold(0, |different, (left, right)| different | (left ^ right)) == 0
    }

    fn check(&self, headers: &[(String, String)], query: Option<&str>) -> Result<(), Refused> {
        let refused = |what: &str| Err(Refused::NotAuthentic(what.to_owned()));
        let given = match &self.place {
            SecretPlace::Header(name) => only(headers.iter().map(borrow), name, true),
            SecretPlace::Query(name) => {
                let pairs: Vec<(String, String)> =
                    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                        .into_owned()
                        .collect();
                only(pairs.iter().map(borrow), name, false)
            }
        };
        match given {
            Some(given) if self.is_secret(&given) => {}
            Some(_) => return refused("the shared secret is wrong"),
            None => return refused("the shared secret is missing"),
        }
        let named = only(headers.iter().map(borrow), "x-ms-dynamics-organization", true);
        match (&self.organization, named) {
            (Some(ours), Some(named)) if !named.eq_ignore_ascii_case(ours) => {
                refused("it comes from another environment")
            }
            _ => Ok(()),
        }
    }
}

fn borrow(pair: &(String, String)) -> (&str, &str) {
    (&pair.0, &pair.1)
}

/// The value of a name that occurs exactly once.
fn only<'a>(
    mut pairs: impl Iterator<Item = (&'a str, &'a str)>,
    name: &str,
    any_case: bool,
) -> Option<String> {
    let is_it = |found: &str| found == name || any_case && found.eq_ignore_ascii_case(name);
    let first = pairs.find(|(found, _)| is_it(found))?.1.to_owned();
    pairs.all(|(found, _)| !is_it(found)).then_some(first)
}

#[async_trait]
impl WebhookSource for DataverseHook {
    async fn accept(
        &self,
        headers: &[(String, String)],
        query: Option<&str>,
        body: &Bytes,
    ) -> Result<Delivery, Refused> {
        self.check(headers, query)?;
        let json: Json = serde_json::from_slice(body)
            .map_err(|_| Refused::NotAnEvent("the body is not JSON".to_owned()))?;
        if !json.is_object() {
            return Err(Refused::NotAnEvent("the body is not an object".to_owned()));
        }
        let (message, table) = (text(&json, "MessageName"), text(&json, "PrimaryEntityName"));
        if message.is_empty() || table.is_empty() {
            return Err(Refused::NotAnEvent("it names no message or no table".to_owned()));
        }
        let fingerprint =
            digest(&SHA256, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let hints = if is_our_own_write(&json) {
            vec![Hint::Unused { event: event_name(message, table) }]
        } else {
            vec![hint(message, table, text(&json, "PrimaryEntityId"))]
        };
        Ok(Delivery { hints, fingerprint, answer: None })
    }
}

/// Whether the event itself, and not one further out, carries the mark of our own writes. What a
/// plug-in changed in answer to one of them carries it only in its parents, and is news.
fn is_our_own_write(json: &Json) -> bool {
    let shared = json.get("SharedVariables").and_then(Json::as_array);
    shared.into_iter().flatten().any(|one| text(one, "key") == "tag" && text(one, "value") == TAG)
}

fn event_name(message: &str, table: &str) -> String {
    let name = format!("{table} {message}");
    name.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

fn hint(message: &str, table: &str, id: &str) -> Hint {
    let event = event_name(message, table);
    let kind = match table {
        "opportunity" => RecordKind::Opportunity,
        "lead" => RecordKind::Lead,
        _ => return Hint::Unused { event },
    };
    match guid(id) {
        Some(id) => Hint::Record {
            key: RecordKey { crm: CrmName::Dynamics365, kind, id: RecordId::new(id) },
            event,
        },
        None => {
            Hint::Unusable { event, reason: "PrimaryEntityId is not the id of a row".to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value as Json, json};

    use super::{DataverseHook, Delivery, Hint, Refused, SecretPlace, WebhookSource};
    use crate::domain::secret::SecretString;

    type Headers<'a> = &'a [(String, String)];

    const SECRET: &str = "a-secret-of-some-length";
    const ID: &str = "AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE";

    fn hook(place: SecretPlace) -> DataverseHook {
        let host = Some("Contoso.crm.dynamics.com".to_owned());
        DataverseHook::new(SecretString::from(SECRET), place, host).expect("a hook")
    }

    fn header(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    async fn accept(headers: &[(String, String)], body: &Json) -> Result<Delivery, Refused> {
        let place = SecretPlace::Header("x-pc-key".to_owned());
        hook(place).accept(headers, None, &Bytes::from(body.to_string())).await
    }

    fn event(table: &str, id: &str) -> Json {
        json!({"MessageName": "Update", "PrimaryEntityName": table, "PrimaryEntityId": id})
    }

    #[tokio::test]
    async fn only_the_whole_secret_opens_the_door() {
        let organization = "x-ms-dynamics-organization";
        let table: &[(Headers<'_>, bool, &str)] = &[
            (&[header("X-PC-Key", SECRET)], true, "header names have no case"),
            (&[header("x-pc-key", "a-secret-of-some-lengtH")], false, "one letter differs"),
            (&[header("x-pc-key", "")], false, "empty"),
            (&[header("x-pc-key", SECRET), header("x-pc-key", "x")], false, "two of them"),
            (&[], false, "none"),
            (
                &[header("x-pc-key", SECRET), header(organization, "contoso.crm.dynamics.com")],
                true,
                "our environment",
            ),
            (
                &[header("x-pc-key", SECRET), header(organization, "fabrikam.crm.dynamics.com")],
                false,
                "another environment",
            ),
        ];
        for (headers, good, why) in table {
            let answer = accept(headers, &event("opportunity", ID)).await;
            let refused = matches!(answer, Err(Refused::NotAuthentic(_)));
            assert_eq!((answer.is_ok(), refused), (*good, !*good), "{why}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn the_secret_may_stand_in_the_query() {
        let hook = hook(SecretPlace::Query("code".to_owned()));
        let body = Bytes::from(event("lead", ID).to_string());
        let good = format!("x=1&code={SECRET}");
        assert!(hook.accept(&[], Some(&good), &body).await.is_ok());
        for bad in ["", "code=", "Code=a-secret-of-some-length", "code=wrong-secret-of-length"] {
            let answer = hook.accept(&[], Some(bad), &body).await;
            assert!(matches!(answer, Err(Refused::NotAuthentic(_))), "{bad}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn events_become_hints() {
        let table = [
            (event("opportunity", ID), "Record", "an opportunity"),
            (event("lead", ID), "Record", "a lead"),
            (event("opportunityclose", ID), "Unused", "not a table of ours"),
            (event("opportunity", "../../evil"), "Unusable", "no id"),
            (event("opportunity", "00000000-0000-0000-0000-000000000000"), "Unusable", "nobody"),
        ];
        for (body, expected, why) in table {
            let delivery = accept(&[header("x-pc-key", SECRET)], &body).await.expect("a delivery");
            let found = format!("{:?}", delivery.hints[0]);
            assert!(found.starts_with(expected), "{why}: {found}");
            let again = accept(&[header("x-pc-key", SECRET)], &body).await.expect("a delivery");
            assert_eq!(delivery, again, "a replay is the same delivery");
        }
    }

    #[tokio::test]
    async fn a_stripped_payload_serves_and_ids_are_lower_case() {
        let headers =
            [header("x-pc-key", SECRET), header("x-ms-dynamics-msg-size-exceeded", "true")];
        let delivery = accept(&headers, &event("opportunity", ID)).await.expect("a delivery");
        let Hint::Record { key, event } = &delivery.hints[0] else { panic!("{delivery:?}") };
        assert_eq!(key.id.as_str(), "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee");
        assert_eq!(event, "opportunity Update");
    }

    #[tokio::test]
    async fn our_own_writes_are_no_news_but_what_follows_them_is() {
        let tagged = |value: &str| json!([{"key": "tag", "value": value}]);
        let table = [
            (json!({"SharedVariables": tagged("cosell-sync")}), "Unused", "our write"),
            (json!({"SharedVariables": tagged("import")}), "Record", "somebody else's mark"),
            (json!({"SharedVariables": []}), "Record", "a seller"),
            (
                json!({"ParentContext": {"SharedVariables": tagged("cosell-sync")}}),
                "Record",
                "a plug-in's answer to our write",
            ),
        ];
        for (more, expected, why) in table {
            let mut body = event("opportunity", ID);
            let more = more.as_object().cloned().expect("an object");
            body.as_object_mut().expect("an object").extend(more);
            let delivery = accept(&[header("x-pc-key", SECRET)], &body).await.expect("a delivery");
            let found = format!("{:?}", delivery.hints[0]);
            assert!(found.starts_with(expected), "{why}: {found}");
        }
    }

    #[tokio::test]
    async fn the_name_of_an_event_is_plain_and_short() {
        let long = "x".repeat(100);
        let body = json!({"MessageName": long, "PrimaryEntityName": "a\n\u{1b}[31mb\0"});
        let delivery = accept(&[header("x-pc-key", SECRET)], &body).await.expect("a delivery");
        let Hint::Unused { event } = &delivery.hints[0] else { panic!("{delivery:?}") };
        assert_eq!(event, &format!("a[31mb {}", "x".repeat(57)));
    }

    #[tokio::test]
    async fn what_is_no_event_is_refused() {
        for body in [json!([]), json!({}), json!({"MessageName": "Update"}), json!("x")] {
            let answer = accept(&[header("x-pc-key", SECRET)], &body).await;
            assert!(matches!(answer, Err(Refused::NotAnEvent(_))), "{body}: {answer:?}");
        }
        let short = DataverseHook::new(
            SecretString::from("short"),
            SecretPlace::Query("code".to_owned()),
            None,
        );
        assert!(short.is_err(), "a guessable secret");
    }
}
