//! Reference 2.5, 4.2 and 4.6: every step between two states, every field at every time, versions,
//! and the 14 days to answer.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{Page, REFERRALS, REFERRALS_HOST, add, deal, invitation, member, replace, state, text};

const STATUSES: [&str; 4] = ["None", "New", "Active", "Closed"];
const SUBSTATUSES: [&str; 9] =
    ["None", "Pending", "Received", "Accepted", "Won", "Lost", "Declined", "Expired", "Error"];

/// Each state of 4.2 and where a partner may take a referral from it.
#[expect(clippy::type_complexity, reason = "a table: from where, and where to")]
const STEPS: [((&str, &str), &[(&str, &str)]); 8] = [
    (
        ("New", "Pending"),
        &[
            ("New", "Pending"),
            ("New", "Received"),
            ("Active", "Accepted"),
            ("Closed", "Declined"),
            ("Closed", "Error"),
        ],
    ),
    (
        ("New", "Received"),
        &[
            ("New", "Pending"),
            ("New", "Received"),
            ("Active", "Accepted"),
            ("Closed", "Declined"),
            ("Closed", "Error"),
        ],
    ),
    (
        ("Active", "Accepted"),
        &[("Active", "Accepted"), ("Closed", "Won"), ("Closed", "Lost"), ("Closed", "Error")],
    ),
    (("Closed", "Won"), &[]),
    (("Closed", "Lost"), &[]),
    (("Closed", "Declined"), &[]),
    (("Closed", "Expired"), &[]),
    (("Closed", "Error"), &[]),
];

#[tokio::test]
async fn every_state_goes_where_the_table_says_and_nowhere_else() {
    let page = Page::open().await;
    let token = page.token(REFERRALS_HOST).await;
    let mut tried = 0;
    for ((status, substatus), allowed) in STEPS {
        for to_status in STATUSES {
            for to_substatus in SUBSTATUSES {
                let id = page.arrives(json!({ "status": status, "substatus": substatus })).await;
                let path = format!("{REFERRALS}/{id}");
                let body = state(to_status, to_substatus);
                let answer = page.call_with(&token, "PATCH", &path, &[], &body).await;
                let expected = if allowed.contains(&(to_status, to_substatus)) { 204 } else { 400 };
                let step = format!("{status}/{substatus} to {to_status}/{to_substatus}");
                assert_eq!(answer.status, expected, "{step}: {}", answer.text);
                let now = page.stored(&id).await;
                let is =
                    if expected == 204 { (to_status, to_substatus) } else { (status, substatus) };
                assert_eq!(
                    (text(&now, "status"), text(&now, "substatus")),
                    (is.0.into(), is.1.into())
                );
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 8 * 36, "every state of 4.2 against every pair of words of 3.4");
}

#[tokio::test]
async fn both_words_go_together_and_times_and_reasons_follow() {
    let page = Page::open().await;
    let id = page.arrives(json!({})).await;
    let alone = page.patch(&id, json!([replace("/status", json!("Active"))])).await;
    assert_eq!(alone.status, 400, "status without substatus");
    let odd = page.patch(&id, state("Active", "Engaged")).await;
    assert_eq!(odd.status, 400, "a word of somebody else's map");
    let mut accept = state("active", "ACCEPTED");
    let more = [
        replace("/details/dealValue", json!("60000")),
        replace("/details/closingDateTime", json!("2099-01-31T00:00:00Z")),
        replace("/details/notes", json!("ours")),
        replace("/externalReferenceId", json!("crm-1")),
        add("/team/-", member("more@contoso.example")),
    ];
    accept.as_array_mut().expect("a list").extend(more);
    let accepted = page.patch(&id, accept).await.json();
    assert_eq!(
        (&accepted["status"], &accepted["substatus"]),
        (&json!("Active"), &json!("Accepted"))
    );
    assert!(accepted["acceptedDateTime"].is_string(), "{accepted}");
    assert_eq!(accepted["details"]["dealValue"], 60_000, "numeric text became a number");
    let won = page.patch(&id, state("Closed", "Won")).await.json();
    assert!(won["closedDateTime"].is_string(), "{won}");

    page.set(json!({ "closing_needs_reason": true })).await;
    for (first, substatus) in [("New", "Declined"), ("Active", "Lost"), ("Active", "Error")] {
        let pair = if first == "New" { "Pending" } else { "Accepted" };
        let id = page.arrives(json!({ "status": first, "substatus": pair })).await;
        let mut close = state("Closed", substatus);
        assert_eq!(page.patch(&id, close.clone()).await.status, 400, "{substatus}: no reason");
        close.as_array_mut().expect("a list").push(add("/statusReason", json!("budget")));
        assert_eq!(page.patch(&id, close).await.status, 200, "{substatus}");
    }
}

/// When a field may be patched (reference 2.5, 4.6).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Until {
    /// Set by the service, frozen after create, or on no list.
    Never,
    /// Frozen once the deal is shared.
    Shared,
    /// The flag of sharing: one way.
    Door,
    /// Open until the deal has ended.
    Ended,
}

/// Every property of a referral as it is read, and until when it may be replaced.
#[expect(clippy::too_many_lines, reason = "a table with a row for each field")]
fn fields() -> Vec<(&'static str, Until, Json)> {
    use Until::{Door, Ended, Never, Shared};
    let never = [
        "/@odata.context",
        "/id",
        "/engagementId",
        "/name",
        "/organizationId",
        "/organizationName",
        "/lastModifiedVia",
        "/lastRunId",
        "/createdDateTime",
        "/updatedDateTime",
        "/expirationDateTime",
        "/qualification",
        "/type",
        "/referralSource",
        "/eTag",
        "/favorite",
        "/quality",
        "/isSpam",
        "/direction",
        "/mpnId",
        "/dealSensitivity",
        "/createdVia",
        "/tags",
        "/acceptedDateTime",
        "/closedDateTime",
        "/callToAction",
        "/registrationStatus",
        "/target",
        "/customerProfile/name",
        "/customerProfile/size",
        "/customerProfile/isMatchingComplete",
        "/customerProfile/address/addressLine1",
        "/customerProfile/address/addressLine2",
        "/customerProfile/address/city",
        "/customerProfile/address/state",
        "/customerProfile/address/postalCode",
        "/customerProfile/address/country",
        "/customerProfile/address/region",
        "/customerProfile/ids",
        "/consent/consentToToShareInfoWithOthers",
        "/consent/consentToContact",
        "/consent/consentToMicrosoftToContactSpecificPartners",
        "/details/customerRequestedContact",
        "/details/customerAction",
        "/details/incentiveLevel",
        "/details/requirements/industries",
        "/details/requirements/products",
        "/details/requirements/services",
        "/details/requirements/offers",
        "/details/requirements/salesPlays",
        "/details/requirements/additionalRequirements/iot/customerLicenseAgreementNumber",
        "/details/requirements/additionalRequirements/iot/deviceCategory",
        "/details/requirements/additionalRequirements/iot/siliconType",
        "/details/requirements/additionalRequirements/iot/azureCertifiedDevice",
        "/details/requirements/additionalRequirements/iot/attachServices",
        "/details/requirements/additionalRequirements/attributes",
        "/inviteContext/notes",
        "/inviteContext/assistanceRequestCode",
        "/inviteContext/invitedMpnId",
        "/inviteContext/invitedBy/organizationId",
        "/inviteContext/invitedBy/organizationName",
        "/links/relatedReferrals/uri",
        "/links/relatedReferrals/method",
        "/links/self/uri",
        "/links/self/method",
        "/trackingInfo/microsoftMsxId",
        "/trackingInfo/microsoftUSFedOpportunityId",
        "/trackingInfo/microsoftUSFedLeadId",
        "/trackingInfo/migratedPSCDealId",
        "/trackingInfo/migratedPSCPartnerDealId",
        "/registrations",
    ];
    let mut all: Vec<_> = never.map(|path| (path, Never, json!("x"))).to_vec();
    all.extend([
        ("/customerProfile/team", Shared, json!([member("x@fabrikam.example")])),
        ("/consent/consentToShareReferralWithMicrosoftSellers", Door, json!(true)),
        ("/campaignId", Ended, json!("spring")),
        ("/details/closingDateTime", Ended, json!("2099-01-31T00:00:00Z")),
        ("/details/currency", Ended, json!("EUR")),
        ("/details/dealValue", Ended, json!(60_000)),
        ("/details/notes", Ended, json!("x")),
        ("/details/requirements/solutions", Ended, json!([{ "id": "SOL-2", "type": "Name" }])),
        ("/externalReferenceId", Ended, json!("crm-2")),
        ("/referralProgram", Ended, json!("p")),
        ("/salesStage", Ended, json!("40")),
        ("/status", Ended, json!("Active")),
        ("/substatus", Ended, json!("Accepted")),
        ("/statusReason", Ended, json!("r")),
        ("/team", Ended, json!([member("x@contoso.example")])),
    ]);
    all
}

/// The pointer of every value that is no object.
fn leaves(json: &Json, at: &str, found: &mut BTreeSet<String>) {
    match json {
        Json::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                leaves(value, &format!("{at}/{name}"), found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

#[tokio::test]
async fn every_field_is_open_until_its_time_and_not_after() {
    let page = Page::open().await;
    let private = text(&page.made(&deal("private")).await, "id");
    let shared = text(&page.made(&deal("partner-led")).await, "id");
    let closed = text(&page.made(&deal("partner-led")).await, "id");
    assert_eq!(page.patch(&closed, state("Closed", "Won")).await.status, 200);

    let fields = fields();
    let mut read = BTreeSet::new();
    leaves(&page.get(&format!("{REFERRALS}/{private}")).await.json(), "", &mut read);
    let listed: BTreeSet<String> = fields.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(listed, read, "every property of a referral has its row");
    assert_eq!(listed.len(), fields.len(), "and one only");

    for (path, until, value) in fields {
        let times = [
            (&private, "after create", until != Until::Never),
            (&shared, "after sharing", matches!(until, Until::Door | Until::Ended)),
            (&closed, "after the end", false),
        ];
        for (id, when, open) in times {
            let before = page.stored(id).await;
            let answer = page.patch(id, json!([replace(path, value.clone())])).await;
            let expected = if open { 200 } else { 400 };
            assert_eq!(answer.status, expected, "{path} {when}: {}", answer.text);
            let after = page.stored(id).await;
            if open {
                let was = before.pointer(path).cloned();
                assert_eq!(after.pointer(path), Some(&value), "{path} {when}");
                let back = json!([replace(path, was.unwrap_or_default())]);
                // The door does not open again: a fresh private deal is not needed after it.
                if until != Until::Door {
                    page.patch(id, back).await;
                }
            } else {
                assert_eq!(before, after, "{path} {when}: nothing changed");
            }
        }
    }
    for status in [409, 422] {
        page.set(json!({ "closed_status": status })).await;
        let answer = page.patch(&closed, json!([replace("/details/notes", json!("x"))])).await;
        assert_eq!(answer.status, status, "the exact code is unverified");
    }
}

#[tokio::test]
async fn appending_operations_and_atomicity_are_as_documented() {
    let page = Page::open().await;
    let id = text(&page.made(&deal("private")).await, "id");
    let solution = json!({ "id": "SOL-2", "type": "Name" });
    for (path, value) in [
        ("/team/-", member("x@contoso.example")),
        ("/customerProfile/team/-", member("x@fabrikam.example")),
        ("/details/requirements/solutions/-", solution),
    ] {
        let list = path.trim_end_matches("/-");
        let many = |json: &Json| json.pointer(list).and_then(Json::as_array).map_or(0, Vec::len);
        let before = many(&page.stored(&id).await);
        let answer = page.patch(&id, json!([add(path, value.clone())])).await;
        assert_eq!((answer.status, many(&answer.json())), (200, before + 1), "{path}");
        let answer = page.patch(&id, json!([replace(path, value)])).await;
        assert_eq!(answer.status, 400, "{path}: nothing there to replace");
    }
    let good = replace("/details/notes", json!("changed"));
    let table = [
        (json!({ "op": "remove", "path": "/team/0" }), "no remove"),
        (json!({ "op": "test", "path": "/status", "value": "Active" }), "no test"),
        (json!({ "op": "move", "path": "/team/0", "from": "/team/1" }), "no move"),
        (json!({ "op": "copy", "path": "/team/0", "from": "/team/1" }), "no copy"),
        (json!({ "op": "replace", "path": "/status" }), "no value"),
        (json!({ "op": "replace", "value": 1 }), "no path"),
        (replace("details/notes", json!("x")), "a path begins with a slash"),
        (replace("/team/0", member("y@contoso.example")), "a place in a list"),
        (replace("/details", json!({})), "a parent of listed paths"),
        (replace("/noSuchThing", json!(1)), "unknown"),
        (replace("/details/dealValue", json!(-1)), "negative"),
        (replace("/details/notes", json!(5)), "not text"),
        (replace("/team", json!("nobody")), "not a list"),
        (replace("/details/requirements/solutions", json!([{}])), "the solution id is required"),
    ];
    for (operation, why) in table {
        let before = page.stored(&id).await;
        let answer = page.patch(&id, json!([good, operation])).await;
        assert_eq!(answer.status, 400, "{operation}: {why}");
        assert_eq!(page.stored(&id).await, before, "all or nothing: {why}");
    }
    for body in [json!([]), json!({}), good] {
        assert_eq!(page.patch(&id, body.clone()).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn versions_are_compared_letter_by_letter_and_change_with_every_write() {
    let page = Page::open().await;
    let made = page.made(&deal("private")).await;
    let (path, first) = (format!("{REFERRALS}/{}", text(&made, "id")), text(&made, "eTag"));
    let change = json!([replace("/details/dealValue", json!("10000.50"))]);
    let with = async |tag: &str| page.call("PATCH", &path, &[("if-match", tag)], &change).await;
    let bare = with(first.trim_matches('"')).await;
    assert_eq!(bare.status, 412, "the inner quotes belong to it");
    let done = with(&first).await;
    assert_eq!((done.status, done.text.as_str()), (204, ""), "no body unless asked for");
    assert!(done.header("request-id").is_some());
    let stale = with(&first).await;
    assert_eq!(stale.status, 412);
    let json = stale.json();
    assert_eq!(json["error"]["code"], "preconditionFailed");
    assert_eq!(json["error"]["innerError"]["code"], "resourceModified");
    let last = page.call("PATCH", &path, &[("prefer", "return=representation")], &change).await;
    assert_eq!(last.status, 200, "without If-Match the last write wins");
    let (second, read) = (text(&last.json(), "eTag"), page.get(&path).await);
    assert_ne!(first, second);
    assert_eq!(text(&read.json(), "eTag"), second);
    assert_eq!(read.header("etag"), Some(second.as_str()), "in a header too");
    assert_eq!(read.json()["details"]["dealValue"], 10_000.5);
    let form = page.http.patch(format!("{}{path}", page.partner));
    let token = page.token(REFERRALS_HOST).await;
    let answer = page.send(form.bearer_auth(token).body("[]")).await;
    assert_eq!(answer.status, 415, "Content-Type: application/json");
    for method in ["PUT", "DELETE"] {
        assert_eq!(page.call(method, &path, &[], &json!({})).await.status, 405, "{method}");
    }
    let slash = page.call("PATCH", &format!("{path}/"), &[], &change).await;
    assert_eq!(slash.status, 204, "the connector's spelling");
}

#[tokio::test]
async fn nobody_answering_for_14_days_is_an_expiry() {
    let page = Page::open().await;
    let lead = json!({ "type": "Independent", "qualification": "Direct" });
    let lead = page.arrives(lead).await;
    let inbound = page.arrives(json!({})).await;
    let own = page.made(&deal("co-sell")).await;
    let theirs = text(&page.made(&invitation(&own)).await, "id");
    page.advance(14 * 86_400 - 3600).await;
    for id in [&lead, &inbound, &theirs] {
        assert_eq!(page.stored(id).await["status"], "New", "not yet");
    }
    page.advance(3700).await;
    for id in [&lead, &inbound, &theirs] {
        let now = page.stored(id).await;
        assert_eq!((&now["status"], &now["substatus"]), (&json!("Closed"), &json!("Expired")));
        let hidden = now["customerProfile"]["team"] == json!([]);
        assert_eq!(hidden, id == &lead, "an expired lead hides its contacts");
    }
    assert_eq!(page.stored(&text(&own, "id")).await["status"], "Active", "ours goes on");
}
