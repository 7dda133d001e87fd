//! Reference 7.1: who may register a deal, what a registration must say, its updates and its review.

use serde_json::{Value as Json, json};

use super::{Page, add, deal, invitation, replace, state, text};

/// A contract signed and begun today, for two years.
async fn registration(page: &Page) -> Json {
    let now = text(&page.act("POST", "/clock", json!({ "advance_secs": 0 })).await, "now");
    let (today, year) = (&now[..10], now[..4].parse::<u32>().expect("a year"));
    let end = format!("{}{}T00:00:00Z", year + 2, &now[4..10].replace("02-29", "02-28"));
    json!({
        "type": "AzureIPCoSell",
        "solutionDetails": [{
            "id": "SOL-00001-XYZ", "currency": "USD", "value": 60_000, "isDeployedOnAzure": true,
            "primaryDeploymentOn": "Customer", "pricingModel": "Other",
            "marketplaceTransactionDetails": { "isMarketplaceTransacted": false },
        }],
        "contract": {
            "currency": "USD", "value": 60_000, "startDateTime": format!("{today}T00:00:00Z"),
            "endDateTime": end, "signDateTime": format!("{today}T00:00:00Z"), "term": "Finite",
        },
    })
}

fn days(instant: &Json, days: i64) -> Json {
    let text = instant.as_str().expect("text");
    let day: jiff::civil::Date = text[..10].parse().expect("a date");
    let moved = day.checked_add(jiff::Span::new().days(days)).expect("in range");
    json!(format!("{moved}T00:00:00Z"))
}

async fn won(page: &Page, kind: &str) -> String {
    let id = text(&page.made(&deal(kind)).await, "id");
    assert_eq!(page.patch(&id, state("Closed", "Won")).await.status, 200);
    id
}

#[tokio::test]
async fn who_may_register_is_as_the_page_says() {
    let page = Page::open().await;
    let body = registration(&page).await;
    let register = json!([add("/registrations/-", body)]);
    let open = text(&page.made(&deal("partner-led")).await, "id");
    assert_eq!(page.patch(&open, register.clone()).await.status, 400, "not won");
    assert_eq!(page.patch(&open, state("Closed", "Lost")).await.status, 200);
    assert_eq!(page.patch(&open, register.clone()).await.status, 400, "lost");
    let private = won(&page, "private").await;
    assert_eq!(page.patch(&private, register.clone()).await.status, 400, "private");
    for (currency, value, status) in
        [("USD", 24_999, 400), ("USD", 25_000, 200), ("NOK", 249_999, 400), ("EUR", 23_000, 200)]
    {
        let mut small = deal("partner-led");
        small["details"]["currency"] = json!(currency);
        small["details"]["dealValue"] = json!(value);
        let id = text(&page.made(&small).await, "id");
        page.patch(&id, state("Closed", "Won")).await;
        let answer = page.patch(&id, register.clone()).await;
        assert_eq!(answer.status, status, "{value} {currency}: {}", answer.text);
    }
    for answer in ["accept", "won", "decline", "lost", "expire"] {
        let own = page.made(&deal("co-sell")).await;
        page.made(&invitation(&own)).await;
        let id = text(&own, "id");
        page.patch(&id, state("Closed", "Won")).await;
        assert_eq!(
            page.patch(&id, register.clone()).await.status,
            400,
            "Microsoft has not answered"
        );
        let path = format!("/partner-center/engagements/{}/answer", text(&own, "engagementId"));
        page.act("POST", &path, json!({ "answer": answer })).await;
        let expected = if matches!(answer, "accept" | "won") { 200 } else { 400 };
        assert_eq!(page.patch(&id, register.clone()).await.status, expected, "{answer}");
    }
    let id = won(&page, "partner-led").await;
    for (option, bad, good) in [
        ("managed_customer", json!(false), json!(true)),
        ("solution_assessment", json!(true), json!(false)),
        ("eligible_solutions", json!(["SOL-OTHER"]), json!(["SOL-00001-XYZ"])),
    ] {
        page.set(json!({ option: bad })).await;
        assert_eq!(page.patch(&id, register.clone()).await.status, 400, "{option}");
        page.set(json!({ option: good })).await;
    }
    assert_eq!(page.patch(&id, register).await.status, 200);
}

#[tokio::test]
async fn every_rule_about_a_contract_is_kept() {
    let page = Page::open().await;
    let right = registration(&page).await;
    let id = won(&page, "partner-led").await;
    let today = right["contract"]["signDateTime"].clone();
    let (contract, solution) = ("/contract", "/solutionDetails/0");
    let table: Vec<(String, Json, &str)> = vec![
        ("/type".into(), json!("Other"), "the only type"),
        (format!("{contract}/currency"), json!("US"), "three letters"),
        (format!("{contract}/value"), Json::Null, "a value"),
        (format!("{contract}/value"), json!(49_000), "25,000 USD a year"),
        (format!("{contract}/term"), json!("Endless"), "Perpetual or Finite"),
        (format!("{contract}/signDateTime"), Json::Null, "a day of signature"),
        (format!("{contract}/signDateTime"), days(&today, 1), "in the future"),
        (format!("{contract}/signDateTime"), days(&today, -1), "before the deal was created"),
        (format!("{contract}/startDateTime"), Json::Null, "a start"),
        (format!("{contract}/startDateTime"), days(&today, -91), "90 days back at most"),
        (format!("{contract}/endDateTime"), days(&today, -1), "not before the start"),
        (format!("{contract}/endDateTime"), Json::Null, "required unless perpetual"),
        ("/solutionDetails".into(), json!([]), "one solution at least"),
        (format!("{solution}/id"), json!(""), "its id"),
        (format!("{solution}/currency"), Json::Null, "its currency"),
        (format!("{solution}/value"), json!(60_001), "not above the contract"),
        (format!("{solution}/isDeployedOnAzure"), json!("yes"), "a boolean"),
        (format!("{solution}/primaryDeploymentOn"), json!("Moon"), "Customer or Partner"),
        (format!("{solution}/pricingModel"), json!("Free"), "PayAsYouGo or Other"),
        (
            format!("{solution}/marketplaceTransactionDetails"),
            json!({ "isMarketplaceTransacted": true }),
            "a transaction has a date",
        ),
    ];
    for (pointer, value, why) in table {
        let mut wrong = right.clone();
        *wrong.pointer_mut(&pointer).expect("the path") = value.clone();
        let answer = page.patch(&id, json!([add("/registrations/-", wrong)])).await;
        assert_eq!(answer.status, 400, "{pointer} = {value}: {why}: {}", answer.text);
    }
    let mut perpetual = right.clone();
    perpetual["contract"]["term"] = json!("Perpetual");
    perpetual["contract"]["endDateTime"] = Json::Null;
    let answer = page.patch(&id, json!([add("/registrations/-", perpetual.clone())])).await;
    assert_eq!(answer.status, 400, "perpetual is six years: 10,000 USD a year");
    perpetual["contract"]["value"] = json!(150_000);
    let answer = page.patch(&id, json!([add("/registrations/-", perpetual)])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = won(&page, "partner-led").await;
    page.advance(61 * 86_400).await;
    let answer = page.patch(&id, json!([add("/registrations/-", right)])).await;
    assert_eq!(answer.status, 400, "60 days after the signature at most");
}

#[tokio::test]
async fn the_day_of_the_invitation_counts_too() {
    let page = Page::open().await;
    let early = registration(&page).await;
    let own = page.made(&deal("co-sell")).await;
    page.advance(2 * 86_400).await;
    page.made(&invitation(&own)).await;
    let path = format!("/partner-center/engagements/{}/answer", text(&own, "engagementId"));
    page.act("POST", &path, json!({ "answer": "accept" })).await;
    let id = text(&own, "id");
    page.patch(&id, state("Closed", "Won")).await;
    let answer = page.patch(&id, json!([add("/registrations/-", early)])).await;
    assert_eq!(answer.status, 400, "signed before Microsoft was invited");
    let late = registration(&page).await;
    assert_eq!(page.patch(&id, json!([add("/registrations/-", late)])).await.status, 200);
}

#[expect(clippy::too_many_lines, reason = "the whole life of one registration")]
#[tokio::test]
async fn a_registration_is_changed_at_the_listed_paths_and_reviewed_step_by_step() {
    let page = Page::open().await;
    let id = won(&page, "partner-led").await;
    let right = registration(&page).await;
    let review = format!("/partner-center/referrals/{id}/registration");
    let none = page.control("POST", &review, &json!({ "status": "Approved" })).await;
    assert_eq!(none.status, 409, "there is none yet");
    let early =
        page.patch(&id, json!([replace("/registrations/0/contract/value", json!(1))])).await;
    assert_eq!(early.status, 400, "there is none yet");
    let made = page.patch(&id, json!([add("/registrations/-", right.clone())])).await.json();
    let new = &made["registrations"][0];
    assert_eq!(
        (&new["status"], &made["registrationStatus"]),
        (&json!("ReviewPending"), &json!("ReviewPending"))
    );
    for name in ["id", "registrationDateTime"] {
        assert!(new[name].is_string(), "{name}: {new}");
    }
    assert!(new["statusHistory"]["reviewPendingDateTime"].is_string(), "{new}");
    let solution = "/registrations/0/solutionDetails/0";
    let bought = format!("{solution}/marketplaceTransactionDetails");
    let contract = "/registrations/0/contract";
    let sample = |pointer: &str| right.pointer(pointer).cloned().unwrap_or_default();
    for (path, value) in [
        (format!("{contract}/startDateTime"), sample("/contract/startDateTime")),
        (format!("{contract}/endDateTime"), sample("/contract/endDateTime")),
        (format!("{contract}/signDateTime"), sample("/contract/signDateTime")),
        (format!("{contract}/term"), json!("Finite")),
        (format!("{contract}/value"), json!(61_000)),
        (format!("{solution}/value"), json!(50_000)),
        (format!("{solution}/currency"), json!("USD")),
        (format!("{solution}/isDeployedOnAzure"), json!(false)),
        (format!("{solution}/primaryDeploymentOn"), json!("Partner")),
        (format!("{solution}/pricingModel"), json!("PayAsYouGo")),
        (format!("{bought}/marketplaceTransactionDateTime"), sample("/contract/signDateTime")),
        (format!("{bought}/isMarketplaceTransacted"), json!(true)),
    ] {
        for operation in [replace(&path, value.clone()), add(&path, value.clone())] {
            let answer = page.patch(&id, json!([operation])).await;
            assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
            assert_eq!(answer.json().pointer(&path), Some(&value), "{path}");
        }
    }
    for path in [
        "/registrations",
        "/registrations/0",
        "/registrations/0/status",
        "/registrations/0/contract",
        "/registrations/0/contract/currency",
        "/registrations/0/solutionDetails/0/id",
        "/registrations/1/contract/value",
        "/details/notes",
    ] {
        let answer = page.patch(&id, json!([replace(path, json!("x"))])).await;
        assert_eq!(answer.status, 400, "{path} is not on the list");
    }
    let act = async |status: &str| {
        page.control("POST", &review, &json!({ "status": status, "reason": "r" })).await.status
    };
    assert_eq!(act("Lost").await, 409, "no status of a registration");
    assert_eq!(act("ActionRequired").await, 204);
    assert_eq!(act("Approved").await, 409, "something is to be done first");
    let stored = page.stored(&id).await;
    assert_eq!(stored["registrationStatus"], "ActionRequired");
    assert_eq!(stored["registrations"][0]["statusReason"], "r");
    let fixed = page.patch(&id, json!([replace("/registrations/0/contract/value", json!(62_000))]));
    assert_eq!(
        fixed.await.json()["registrationStatus"],
        "ReviewPending",
        "a change goes to review"
    );
    for status in ["Passed", "Closed"] {
        assert_eq!(act(status).await, 204, "{status}");
    }
    assert_eq!(act("Approved").await, 409, "closed is the end");
    let history = &page.stored(&id).await["registrations"][0]["statusHistory"];
    for name in ["reviewPendingDateTime", "actionRequiredDateTime", "passedDateTime"] {
        assert!(history[name].is_string(), "{name}: {history}");
    }
}
