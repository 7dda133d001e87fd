//! Reference 3, 4.3 to 4.5: what a create must have, the words of every closed list, the three kinds
//! of deal, and the engagement with its two referrals.

use serde_json::{Value as Json, json};

use super::{Page, REFERRALS, add, deal, invitation, member, replace, text};

/// One way to spoil a body: where, by what, and why it is refused.
type Spoiled = (&'static str, Json, &'static str);

fn spoilt() -> Vec<Spoiled> {
    let fifty_one = |one: Json| json!(vec![one; 51]);
    let attributes = "/details/requirements/additionalRequirements/attributes";
    let solutions = "/details/requirements/solutions";
    vec![
        ("/type", Json::Null, "documented as required"),
        ("/customerProfile", Json::Null, "documented as required"),
        ("/consent", Json::Null, "documented as required"),
        ("/details", Json::Null, "documented as required"),
        ("/name", json!(" "), "practical minimum"),
        ("/customerProfile/name", json!(""), "practical minimum"),
        ("/customerProfile/address/addressLine1", json!(""), "practical minimum"),
        ("/customerProfile/address/city", json!(""), "practical minimum"),
        ("/customerProfile/address/country", json!(""), "practical minimum"),
        ("/customerProfile/address/country", json!("Norway"), "two letters"),
        ("/details/dealValue", json!(0), "above zero"),
        ("/details/dealValue", json!("a lot"), "a decimal"),
        ("/details/currency", json!(""), "practical minimum"),
        ("/details/currency", json!("KRONE"), "ISO 4217"),
        ("/details/closingDateTime", Json::Null, "practical minimum"),
        ("/details/closingDateTime", json!("soon"), "ISO 8601"),
        (solutions, json!([]), "at least one solution"),
        (solutions, json!([{ "type": "Name" }]), "with an id"),
        (solutions, json!([{ "id": "SOL-1", "type": "Brand" }]), "no type of a solution"),
        (solutions, fifty_one(json!({ "id": "SOL-1", "type": "Name" })), "50 solutions at most"),
        ("/team", json!([]), "at least one member"),
        ("/team", json!([{ "email": "a@b.example" }]), "with all contact data"),
        ("/team", fifty_one(member("a@b.example")), "50 members at most"),
        (attributes, json!([]), "the marketplace intent"),
        (
            attributes,
            json!([{ "type": "CustomerMarketplaceIntent", "id": "Maybe" }]),
            "no answer of the list",
        ),
        (attributes, json!([{ "type": "CustomerMarketplaceIntent" }]), "no answer at all"),
        ("/consent/consentToToShareInfoWithOthers", json!(false), "no consent, no referral"),
        ("/consent/consentToContact", json!(false), "no consent, no referral"),
        ("/type", json!("Secret"), "no type of a referral"),
        ("/qualification", json!("Hot"), "no qualification"),
        ("/target", json!([{ "type": "Somewhere", "id": "x" }]), "no type of a target"),
        ("/target", json!([{ "id": "x" }]), "a target without a type"),
        ("/target", json!([{ "type": "SolutionProfile" }]), "a target without an id"),
        (
            "/target",
            json!([{ "type": "SolutionProfile", "id": "msft" }]),
            "Microsoft is a location",
        ),
        ("/target", json!({ "type": "SolutionProfile", "id": "x" }), "targets are an array"),
        ("/customerProfile/ids", json!([{ "profileType": "Tax", "id": "1" }]), "no kind of an id"),
        ("/inviteContext", json!({ "assistanceRequestCode": "Magic" }), "no kind of help"),
        ("/status", json!("Closed"), "a deal does not begin at its end"),
        ("/status", json!("Open"), "no status"),
        ("/engagementId", json!("66666666-7777-4888-9999-000000000000"), "no such engagement"),
    ]
}

fn put(body: &mut Json, pointer: &str, value: Json) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    body.pointer_mut(parent).expect("the parent")[name] = value;
}

#[tokio::test]
async fn every_part_of_the_practical_minimum_is_missed() {
    let page = Page::open().await;
    for (pointer, value, why) in spoilt() {
        let mut body = deal("partner-led");
        put(&mut body, pointer, value.clone());
        let answer = page.post(&body).await;
        assert_eq!(answer.status, 400, "{pointer} = {value}: {why}: {}", answer.text);
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "invalidRequest", "{why}");
        assert!(error["message"].is_string() && error["target"].is_string(), "{why}: {error}");
    }
    assert_eq!(page.post(&deal("partner-led")).await.status, 200, "and nothing else was wrong");
    page.set(json!({ "create_rules": "documented" })).await;
    let mut least = json!({ "type": "Independent", "customerProfile": {}, "consent": {} });
    assert_eq!(page.post(&least).await.status, 400, "details are documented as required");
    least["details"] = json!({});
    assert_eq!(page.post(&least).await.status, 200, "the documented minimum");
}

#[tokio::test]
async fn every_word_of_every_list_is_taken_in_any_case_and_given_back_in_its_own() {
    let page = Page::open().await;
    let attribute = |id: &str| json!([{ "type": "CustomerMarketplaceIntent", "id": id }]);
    let mut rows: Vec<(&str, Json, String)> = Vec::new();
    let mut words = |read: &'static str, list: &[&str], wrap: &dyn Fn(&str) -> Json| {
        for word in list {
            rows.push((read, wrap(&word.to_ascii_lowercase()), (*word).to_owned()));
        }
    };
    words("/type", &["Independent", "Shared"], &|word| json!(word));
    words("/qualification", &["None", "Direct", "MarketingQualified", "SalesQualified"], &|word| {
        json!(word)
    });
    words(
        "/target/0/type",
        &["None", "BusinessProfileLocation", "SolutionProfile"],
        &|word| json!([{ "type": word, "id": "x" }]),
    );
    words(
        "/details/requirements/solutions/0/type",
        &["None", "Category", "Name"],
        &|word| json!([{ "type": word, "id": "SOL-1" }]),
    );
    words(
        "/inviteContext/assistanceRequestCode",
        &[
            "Unknown",
            "GeneralOrOther",
            "CustomerTechnicalArchitecture",
            "ProofOfConceptOrDemo",
            "QuotesOrLicensing",
            "PostSalesCustomerSuccess",
            "WorkloadSpecificValueProposition",
        ],
        &|word| json!(word),
    );
    words(
        "/customerProfile/ids/0/profileType",
        &["Duns", "External"],
        &|word| json!([{ "profileType": word, "id": "1" }]),
    );
    words(
        "/details/requirements/additionalRequirements/attributes/0/id",
        &["Yes", "No", "HaveNotDecided"],
        &|word| attribute(word),
    );
    assert_eq!(rows.len(), 2 + 4 + 3 + 3 + 7 + 2 + 3, "every word of 3.4 that a create may hold");
    for (read, value, word) in rows {
        let mut body = deal("partner-led");
        let written = read.split_once("/0/").map_or(read, |(list, _)| list);
        if written == "/inviteContext/assistanceRequestCode" {
            body["inviteContext"] = json!({ "assistanceRequestCode": value });
        } else {
            put(&mut body, written, value);
        }
        let made = page.made(&body).await;
        assert_eq!(made.pointer(read), Some(&json!(word)), "{read}");
    }
}

#[tokio::test]
async fn an_own_deal_is_born_active_whatever_was_posted() {
    let page = Page::open().await;
    let table = [
        (Json::Null, Json::Null),
        (json!("New"), json!("Pending")),
        (json!("New"), json!("Received")),
        (json!("Active"), json!("Accepted")),
    ];
    for (status, substatus) in table {
        let mut body = deal("private");
        body["status"] = status.clone();
        body["substatus"] = substatus;
        let made = page.made(&body).await;
        assert_eq!((&made["status"], &made["substatus"]), (&json!("Active"), &json!("Accepted")));
        assert!(made["acceptedDateTime"].is_string(), "{status}");
        assert_eq!(made["direction"], "Outgoing");
    }
    let mut bulk = deal("private");
    (bulk["status"], bulk["substatus"]) = (json!("New"), json!("Accepted"));
    assert_eq!(page.post(&bulk).await.status, 400, "legal in bulk files only");
    page.set(json!({ "own_deals_incoming": true, "create_status": 201 })).await;
    let answer = page.post(&deal("private")).await;
    assert_eq!((answer.status, &answer.json()["direction"]), (201, &json!("Incoming")));
}

#[tokio::test]
async fn input_binds_in_any_case_and_what_is_read_only_stays_so() {
    let page = Page::open().await;
    let mut body = deal("private");
    let consent = body["consent"].take();
    body.as_object_mut().expect("an object").remove("consent");
    body["CONSENT"] = json!({
        "ConsentToToShareInfoWithOthers": consent["consentToToShareInfoWithOthers"],
        "consenttocontact": consent["consentToContact"],
    });
    let id = "11111111-2222-4333-8444-555555555555";
    for (name, value) in [
        ("id", json!(id)),
        ("organizationId", json!("msft")),
        ("eTag", json!("\"mine\"")),
        ("registrationStatus", json!("Approved")),
        ("notDocumented", json!(1)),
    ] {
        body[name] = value;
    }
    let made = page.made(&body).await;
    assert_eq!(made["consent"]["consentToContact"], true, "emitted in camel case");
    assert_ne!(made["id"], id);
    assert_eq!(made["organizationId"], page.option("organization_id"));
    let tag = text(&made, "eTag");
    assert!(tag.len() > 20 && tag.starts_with('"') && tag.ends_with('"'), "inner quotes: {tag}");
    assert_ne!(tag, "\"mine\"");
    assert_eq!(made["registrationStatus"], "None");
    assert!(made.get("notDocumented").is_none());
    let own = made["links"]["self"]["uri"].as_str().expect("a link");
    assert!(own.ends_with(made["id"].as_str().expect("an id")), "{own}");
}

#[tokio::test]
async fn the_three_kinds_of_deal_are_made_by_their_recipes() {
    let page = Page::open().await;
    let flag = "/consent/consentToShareReferralWithMicrosoftSellers";
    for (kind, shared) in [("private", false), ("partner-led", true), ("co-sell", true)] {
        let own = page.made(&deal(kind)).await;
        assert_eq!(own.pointer(flag), Some(&json!(shared)), "{kind}");
        let engagement = text(&own, "engagementId");
        let related = format!("{REFERRALS}?$filter=engagementId%20eq%20'{engagement}'");
        let many = if kind == "co-sell" {
            let theirs = page.made(&invitation(&own)).await;
            assert_eq!(theirs["organizationId"], "msft");
            assert_eq!(theirs["engagementId"], own["engagementId"]);
            assert_eq!(
                (&theirs["status"], &theirs["substatus"]),
                (&json!("New"), &json!("Pending"))
            );
            2
        } else {
            1
        };
        let found = page.get(&related).await.json();
        assert_eq!(found["value"].as_array().map(Vec::len), Some(many), "{kind}");
    }
}

#[tokio::test]
async fn an_invitation_that_leaves_the_recipe_is_refused() {
    let page = Page::open().await;
    let own = page.made(&deal("co-sell")).await;
    let table: Vec<Spoiled> = vec![
        ("/type", json!("Independent"), "a co-sell deal is Shared"),
        ("/inviteContext", Json::Null, "no help asked for"),
        ("/inviteContext/assistanceRequestCode", json!("Unknown"), "Unknown means none asked"),
        ("/customerProfile/team", json!([]), "help needs a customer contact"),
        ("/consent/consentToShareReferralWithMicrosoftSellers", json!(false), "not shared"),
        ("/target", json!([{ "type": "None", "id": "msft" }]), "Microsoft is a location"),
    ];
    for (pointer, value, why) in table {
        let mut body = invitation(&own);
        put(&mut body, pointer, value);
        let answer = page.post(&body).await;
        assert_eq!(answer.status, 400, "{pointer}: {why}: {}", answer.text);
    }
    page.made(&invitation(&own)).await;
    assert_eq!(page.post(&invitation(&own)).await.status, 409, "Microsoft is invited once");
    page.set(json!({ "second_invitation": "duplicate" })).await;
    assert_eq!(page.post(&invitation(&own)).await.status, 200, "or twice: undocumented");
}

#[tokio::test]
async fn microsoft_answers_and_its_record_is_not_ours_to_write() {
    let page = Page::open().await;
    for (answer, status, substatus) in [
        ("accept", "Active", "Accepted"),
        ("decline", "Closed", "Declined"),
        ("expire", "Closed", "Expired"),
        ("won", "Closed", "Won"),
        ("lost", "Closed", "Lost"),
    ] {
        let own = page.made(&deal("co-sell")).await;
        let theirs = text(&page.made(&invitation(&own)).await, "id");
        let engagement = text(&own, "engagementId");
        let path = format!("/partner-center/engagements/{engagement}/answer");
        page.act("POST", &path, json!({ "answer": answer })).await;
        let read = page.get(&format!("{REFERRALS}/{theirs}")).await.json();
        assert_eq!((&read["status"], &read["substatus"]), (&json!(status), &json!(substatus)));
        let number = &read["trackingInfo"]["microsoftMsxId"];
        assert_eq!(number.is_string(), answer == "accept", "{answer}: {number}");
        let write = page.patch(&theirs, json!([replace("/details/notes", json!("x"))])).await;
        assert_eq!(write.status, 403, "{answer}");
        let again = page.control("POST", &path, &json!({ "answer": "accept" })).await;
        let expected = if answer == "accept" { 204 } else { 409 };
        assert_eq!(again.status, expected, "{answer}: what is closed stays closed");
    }
    let path = "/partner-center/engagements/66666666-7777-4888-9999-000000000000/answer";
    let answer = page.control("POST", path, &json!({ "answer": "accept" })).await;
    assert_eq!(answer.status, 404, "nobody was invited");
}

#[tokio::test]
async fn a_deal_is_upgraded_step_by_step_and_never_back() {
    let page = Page::with(json!({ "share_type_on_invitation": true })).await;
    let own = page.made(&deal("private")).await;
    let id = text(&own, "id");
    let flag = "/consent/consentToShareReferralWithMicrosoftSellers";
    assert_eq!(
        page.patch(&id, json!([replace(flag, json!(false))])).await.status,
        200,
        "still private"
    );
    assert_eq!(
        page.patch(&id, json!([replace(flag, json!(true))])).await.status,
        200,
        "partner-led"
    );
    assert_eq!(page.patch(&id, json!([add(flag, json!(true))])).await.status, 200, "said again");
    assert_eq!(
        page.patch(&id, json!([replace(flag, json!(false))])).await.status,
        400,
        "never back"
    );
    assert_eq!(
        page.patch(&id, json!([replace(flag, json!("yes"))])).await.status,
        400,
        "a boolean"
    );
    page.made(&invitation(&own)).await;
    assert_eq!(page.stored(&id).await["type"], "Shared", "co-sell; by a setting, since unverified");
    let other = page.made(&deal("co-sell")).await;
    let close = super::state("Closed", "Lost");
    assert_eq!(page.patch(&text(&other, "id"), close).await.status, 200);
    assert_eq!(page.post(&invitation(&other)).await.status, 400, "allowed until terminal");
}
