//! Sharing a deal from a CRM: what is missing, which kind it is, and what is sent.
//!
//! Nothing is invented: a value comes from the record, or from a default that an admin configured.
//! Source: Partner Center reference 4.3 to 4.5.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::domain::record::Fields;
use crate::domain::referral::{DealKind, Referral};

/// What the configuration says about sharing.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Sharing {
    /// Whether sellers have the customer's consent, by the admin's statement or from a field.
    pub consent: Consent,
    /// Solution id used where the record names none.
    pub default_solution: Option<String>,
    /// Our people, used where the record's owner has no phone or e-mail: first name, last name,
    /// phone, e-mail.
    pub default_team: Vec<Person>,
    /// `Yes`, `No` or `HaveNotDecided`.
    pub marketplace_intent: String,
}

/// Where the customer's consent is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub enum Consent {
    /// Nobody said that there is one.
    #[default]
    Missing,
    /// The admin stated that sellers have it.
    Stated,
    /// A check box of the record says so.
    Field(String),
}

/// One of our people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Phone number.
    pub phone: String,
    /// E-mail address.
    pub email: String,
}

/// What a record asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wish {
    /// Assistance code of Partner Center; set means co-sell.
    pub help: Option<String>,
    /// Whether Microsoft's sellers may see the deal.
    pub visible: bool,
    /// Whether the customer's consent is there.
    pub consent: bool,
}

impl Wish {
    /// Help chosen is co-sell, else visible is partner-led, else private.
    #[must_use]
    pub fn kind(&self) -> DealKind {
        match (&self.help, self.visible) {
            (Some(_), _) => DealKind::CoSell,
            (None, true) => DealKind::PartnerLed,
            (None, false) => DealKind::Private,
        }
    }
}

/// The body that creates our referral, from the record's values by dotted referral path.
#[must_use]
pub fn body(
    values: &BTreeMap<String, Json>,
    wish: &Wish,
    sharing: &Sharing,
    reference: &str,
) -> Fields {
    let mut body = Json::Object(Fields::new());
    for (path, value) in values {
        put(&mut body, path, value.clone());
    }
    let kind = wish.kind();
    let shared = kind > DealKind::Private;
    put(&mut body, "type", json!(if kind == DealKind::CoSell { "Shared" } else { "Independent" }));
    put(&mut body, "qualification", json!("SalesQualified"));
    put(&mut body, "externalReferenceId", json!(reference));
    put(&mut body, "consent.consentToToShareInfoWithOthers", json!(wish.consent));
    put(&mut body, "consent.consentToContact", json!(wish.consent));
    put(&mut body, "consent.consentToShareReferralWithMicrosoftSellers", json!(shared));
    if is_empty(body.pointer("/details/requirements/solutions"))
        && let Some(solution) = &sharing.default_solution
    {
        put(
            &mut body,
            "details.requirements.solutions",
            json!([{ "id": solution, "type": "Name" }]),
        );
    }
    if !team_is_complete(body.get("team")) && !sharing.default_team.is_empty() {
        put(&mut body, "team", sharing.default_team.iter().map(person).collect());
    }
    let intent = json!([{ "type": "CustomerMarketplaceIntent", "id": sharing.marketplace_intent }]);
    put(&mut body, "details.requirements.additionalRequirements.attributes", intent);
    let solutions = body.pointer("/details/requirements/solutions").and_then(Json::as_array);
    let target: Json = solutions
        .into_iter()
        .flatten()
        .filter_map(|solution| solution.get("id"))
        .map(|id| json!({ "type": "SolutionProfile", "id": id }))
        .collect();
    put(&mut body, "target", target);
    match body {
        Json::Object(fields) => fields,
        _ => Fields::new(),
    }
}

/// The body that asks Microsoft for help: its own referral in the same engagement.
#[must_use]
pub fn invitation(own: &Referral, help: &str, notes: Option<&str>) -> Fields {
    let mut body = Fields::new();
    for part in [
        "name",
        "customerProfile",
        "consent",
        "details",
        "team",
        "qualification",
        "engagementId",
        "externalReferenceId",
    ] {
        if let Some(value) = own.get(part) {
            body.insert(part.to_owned(), value.clone());
        }
    }
    let mut body = Json::Object(body);
    put(&mut body, "type", json!("Shared"));
    put(&mut body, "target", json!([{ "type": "BusinessProfileLocation", "id": "msft" }]));
    put(&mut body, "consent.consentToShareReferralWithMicrosoftSellers", json!(true));
    put(&mut body, "inviteContext", json!({ "notes": notes, "assistanceRequestCode": help }));
    match body {
        Json::Object(fields) => fields,
        _ => Fields::new(),
    }
}

/// Everything that is missing before a deal can be shared, at once, in a seller's words. Empty when
/// it can be.
#[must_use]
pub fn missing(body: &Fields, wish: &Wish) -> Vec<String> {
    let text =
        |path: &str| body_at(body, path).and_then(Json::as_str).unwrap_or("").trim().to_owned();
    let mut missing = Vec::new();
    let mut need = |there: bool, what: &str| {
        if !there {
            missing.push(what.to_owned());
        }
    };
    need(!text("/name").is_empty(), "a name of the deal");
    need(is_positive(body_at(body, "/details/dealValue")), "a deal value above zero");
    need(text("/details/currency").len() == 3, "a currency");
    need(!text("/details/closingDateTime").is_empty(), "a close date");
    need(!text("/customerProfile/name").is_empty(), "the customer account");
    need(!text("/customerProfile/address/addressLine1").is_empty(), "the street of the account");
    need(!text("/customerProfile/address/city").is_empty(), "the city of the account");
    let country = text("/customerProfile/address/country");
    let letters = country.len() == 2 && country.chars().all(|letter| letter.is_ascii_alphabetic());
    need(letters, "the country of the account as two letters, such as DE");
    let solutions = body_at(body, "/details/requirements/solutions");
    need(!is_empty(solutions), "a solution");
    need(length(solutions) <= 50, "no more than 50 solutions");
    let team = body.get("team");
    need(team_is_complete(team), "an owner with first name, last name, phone and e-mail");
    need(length(team) <= 50, "no more than 50 team members");
    need(wish.consent, "the customer's consent");
    if wish.help.is_some() {
        let contact = body_at(body, "/customerProfile/team/0/email").and_then(Json::as_str);
        need(
            contact.is_some_and(|email| email.contains('@')),
            "a contact of the customer with an e-mail",
        );
    }
    missing
}

fn body_at<'a>(body: &'a Fields, pointer: &str) -> Option<&'a Json> {
    let (first, rest) = pointer.strip_prefix('/')?.split_once('/').unwrap_or((&pointer[1..], ""));
    let value = body.get(first)?;
    if rest.is_empty() { Some(value) } else { value.pointer(&format!("/{rest}")) }
}

fn is_positive(value: Option<&Json>) -> bool {
    let text = match value {
        Some(Json::Number(number)) => number.to_string(),
        Some(Json::String(text)) => text.clone(),
        _ => return false,
    };
    text.parse::<Decimal>().is_ok_and(|amount| amount > Decimal::ZERO)
}

fn is_empty(value: Option<&Json>) -> bool {
    length(value) == 0
}

fn length(value: Option<&Json>) -> usize {
    value.and_then(Json::as_array).map_or(0, Vec::len)
}

fn team_is_complete(team: Option<&Json>) -> bool {
    let parts = ["firstName", "lastName", "phoneNumber", "email"];
    team.and_then(Json::as_array).is_some_and(|members| {
        !members.is_empty()
            && members.iter().all(|member| {
                parts.iter().all(|part| {
                    member
                        .get(part)
                        .and_then(Json::as_str)
                        .is_some_and(|text| !text.trim().is_empty())
                })
            })
    })
}

fn person(person: &Person) -> Json {
    json!({
        "firstName": person.first_name, "lastName": person.last_name,
        "phoneNumber": person.phone, "email": person.email,
    })
}

/// Puts a value at a dotted path, making objects and lists on the way; a number is a place in a list.
fn put(at: &mut Json, path: &str, value: Json) {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let slot = match step.parse::<usize>() {
        Ok(place) if place < 50 => {
            if !at.is_array() {
                *at = Json::Array(Vec::new());
            }
            let Json::Array(items) = at else { return };
            while items.len() <= place {
                items.push(Json::Object(Fields::new()));
            }
            items.get_mut(place)
        }
        _ => {
            if !at.is_object() {
                *at = Json::Object(Fields::new());
            }
            let Json::Object(fields) = at else { return };
            Some(fields.entry(step).or_insert(Json::Null))
        }
    };
    match (slot, rest) {
        (Some(slot), Some(rest)) => put(slot, rest, value),
        (Some(slot), None) => *slot = value,
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value as Json, json};

    use super::{Person, Sharing, Wish, body, invitation, missing};
    use crate::domain::referral::{DealKind, Referral};

    fn complete() -> BTreeMap<String, Json> {
        [
            ("name", json!("Northwind ERP move")),
            ("details.dealValue", json!(50000)),
            ("details.currency", json!("EUR")),
            ("details.closingDateTime", json!("2027-01-15T00:00:00Z")),
            ("customerProfile.name", json!("Northwind")),
            ("customerProfile.address.addressLine1", json!("1 Main")),
            ("customerProfile.address.city", json!("Oslo")),
            ("customerProfile.address.country", json!("NO")),
            ("customerProfile.team.0.email", json!("buyer@northwind.example")),
            ("details.requirements.solutions", json!([{ "id": "SOL-00001-XYZ" }])),
        ]
        .into_iter()
        .map(|(path, value)| (path.to_owned(), value))
        .collect()
    }

    fn sharing() -> Sharing {
        Sharing {
            default_team: vec![Person {
                first_name: "Deal".to_owned(),
                last_name: "Desk".to_owned(),
                phone: "+47 000".to_owned(),
                email: "dealdesk@contoso.example".to_owned(),
            }],
            marketplace_intent: "HaveNotDecided".to_owned(),
            ..Sharing::default()
        }
    }

    fn wish(help: Option<&str>) -> Wish {
        Wish { help: help.map(str::to_owned), visible: false, consent: true }
    }

    #[test]
    fn everything_missing_is_said_at_once() {
        let nothing = body(
            &BTreeMap::new(),
            &Wish { help: Some("x".to_owned()), visible: false, consent: false },
            &Sharing::default(),
            "crm-1",
        );
        let wish_without =
            Wish { help: Some("GeneralOrOther".to_owned()), visible: false, consent: false };
        let all = missing(&nothing, &wish_without);
        assert_eq!(all.len(), 12, "{all:?}");
        assert!(
            missing(&body(&complete(), &wish(None), &sharing(), "crm-1"), &wish(None)).is_empty()
        );
    }

    #[test]
    fn each_part_is_missed_by_itself() {
        let table = [
            ("details.dealValue", json!(0), "a deal value above zero"),
            (
                "customerProfile.address.country",
                json!("Norway"),
                "the country of the account as two letters, such as DE",
            ),
            ("details.closingDateTime", Json::Null, "a close date"),
            ("name", json!("  "), "a name of the deal"),
        ];
        for (path, value, expected) in table {
            let mut values = complete();
            values.insert(path.to_owned(), value);
            let wish = wish(None);
            assert_eq!(missing(&body(&values, &wish, &sharing(), "crm-1"), &wish), [expected]);
        }
    }

    #[test]
    fn the_kind_follows_the_explicit_wish() {
        let table = [
            (Some("GeneralOrOther"), false, DealKind::CoSell, "Shared", true),
            (None, true, DealKind::PartnerLed, "Independent", true),
            (None, false, DealKind::Private, "Independent", false),
        ];
        for (help, visible, kind, kind_word, shared) in table {
            let wish = Wish { help: help.map(str::to_owned), visible, consent: true };
            assert_eq!(wish.kind(), kind);
            let body = Json::Object(body(&complete(), &wish, &sharing(), "crm-1"));
            assert_eq!(body["type"], kind_word);
            assert_eq!(body["consent"]["consentToShareReferralWithMicrosoftSellers"], shared);
            assert_eq!(body["customerProfile"]["team"][0]["email"], "buyer@northwind.example");
        }
    }

    #[test]
    fn the_invitation_goes_to_microsoft_in_the_same_engagement() {
        let own = Referral::from_json(json!({
            "id": "11111111-2222-4333-8444-555555555555", "engagementId": "e-1",
            "name": "Northwind ERP move", "customerProfile": { "name": "Northwind" },
            "details": {}, "consent": {}, "team": [],
        }))
        .expect("a referral");
        let body = Json::Object(invitation(&own, "QuotesOrLicensing", None));
        assert_eq!(body["engagementId"], "e-1");
        assert_eq!(body["target"][0]["id"], "msft");
        assert_eq!(body["inviteContext"]["assistanceRequestCode"], "QuotesOrLicensing");
    }
}
