//! A short story played on the emulators: people act, and all three sides must end up the same.
//!
//! The demo tells it; the crash test plays it and kills the daemon between the steps. Every step only
//! acts as people do and then looks at what the systems hold; it never speaks to the daemon.

use serde_json::{Value as Json, json};

use super::Sandbox;
use crate::connect::partner_center::sandbox::InvitationAnswer;
use crate::domain::id::{EngagementId, ReferralId};

/// What the story has to remember between its steps.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    first: Option<ReferralId>,
    shared: Option<String>,
}

/// One step.
pub struct Step {
    /// Heading.
    pub title: &'static str,
    /// What somebody does, and where; the sentences say it.
    pub act: fn(&Sandbox, &mut Memory) -> Result<Vec<String>, String>,
    /// What every side shows once all agree; `None` as long as they do not.
    pub agreed: fn(&Sandbox, &Memory) -> Option<Vec<String>>,
}

/// The steps, in order.
#[must_use]
pub fn steps() -> Vec<Step> {
    vec![
        Step { title: "A referral arrives from Microsoft", act: arrive, agreed: arrived },
        Step { title: "A seller accepts it in Dynamics 365", act: accept, agreed: accepted },
        Step {
            title: "Microsoft and a seller change different fields",
            act: change,
            agreed: changed,
        },
        Step { title: "Both change the same field at once", act: clash, agreed: clashed },
        Step { title: "The deal is won in Dynamics 365", act: win, agreed: won },
        Step { title: "A seller shares a deal from Salesforce", act: share, agreed: shared },
        Step {
            title: "The seller asks Microsoft for help, and Microsoft accepts",
            act: answer,
            agreed: answered,
        },
    ]
}

fn arrive(sandbox: &Sandbox, memory: &mut Memory) -> Result<Vec<String>, String> {
    let id = sandbox.partner_center.seed_incoming(json!({
        "name": "Northwind ERP move",
        "details": { "dealValue": 100_000, "currency": "EUR", "closingDateTime": "2027-03-31T00:00:00Z" },
    }));
    memory.first = Some(id.clone());
    Ok(vec![format!("Partner Center   new referral {id}: Northwind ERP move, 100,000 EUR")])
}

fn arrived(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (dynamics, sales) = first_rows(sandbox, memory)?;
    let same = dynamics["name"] == "Northwind ERP move"
        && number(&dynamics["estimatedvalue"]) == Some(100_000.0)
        && dynamics["statuscode"] == 2
        && sales["Name"] == "Northwind ERP move"
        && number(&sales["Amount"]) == Some(100_000.0)
        && sales["StageName"] == "Prospecting";
    let reference = referral(sandbox, memory)?["externalReferenceId"].clone();
    (same && reference == dynamics["opportunityid"]).then(|| {
        vec![
            format!(
                "Dynamics 365     opportunity {}: on hold, 100,000 EUR",
                text(&dynamics["opportunityid"])
            ),
            format!(
                "Salesforce       opportunity {}: Prospecting, 100,000 EUR",
                text(&sales["Id"])
            ),
        ]
    })
}

fn accept(sandbox: &Sandbox, memory: &mut Memory) -> Result<Vec<String>, String> {
    let (dynamics, _) = first_rows(sandbox, memory).ok_or("the opportunity is missing")?;
    edit_dynamics(
        sandbox,
        &dynamics,
        &json!({ "statuscode": 1, "estimatedclosedate": "2027-02-28" }),
    )?;
    Ok(vec!["Dynamics 365     seller moves it to In Progress, close date 28 Feb 2027".to_owned()])
}

fn accepted(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (_, sales) = first_rows(sandbox, memory)?;
    let referral = referral(sandbox, memory)?;
    let same = referral["status"] == "Active"
        && referral["substatus"] == "Accepted"
        && text(&referral["details"]["closingDateTime"]).starts_with("2027-02-28")
        && sales["StageName"] == "Qualification"
        && sales["CloseDate"] == "2027-02-28";
    same.then(|| {
        vec![
            "Partner Center   Active / Accepted, closes 28 Feb 2027".to_owned(),
            "Salesforce       Qualification, closes 28 Feb 2027".to_owned(),
        ]
    })
}

fn change(sandbox: &Sandbox, memory: &mut Memory) -> Result<Vec<String>, String> {
    let id = memory.first.clone().ok_or("the referral is missing")?;
    let (_, sales) = first_rows(sandbox, memory).ok_or("the opportunity is missing")?;
    let edit = sandbox
        .partner_center
        .edit_as_microsoft(&id, json!({ "details": { "dealValue": 125_000 } }));
    edit.map_err(|error| error.to_string())?;
    edit_salesforce(sandbox, &sales, &json!({ "CloseDate": "2027-01-15" }))?;
    Ok(vec![
        "Partner Center   Microsoft raises the value to 125,000 EUR".to_owned(),
        "Salesforce       seller moves the close date to 15 Jan 2027".to_owned(),
    ])
}

fn changed(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    all_hold(sandbox, memory, 125_000.0, "2027-01-15").then(|| {
        vec!["All three        125,000 EUR, closes 15 Jan 2027: both edits survive".to_owned()]
    })
}

fn clash(sandbox: &Sandbox, memory: &mut Memory) -> Result<Vec<String>, String> {
    let id = memory.first.clone().ok_or("the referral is missing")?;
    let (dynamics, _) = first_rows(sandbox, memory).ok_or("the opportunity is missing")?;
    edit_dynamics(sandbox, &dynamics, &json!({ "estimatedvalue": 120_000 }))?;
    let edit = sandbox
        .partner_center
        .edit_as_microsoft(&id, json!({ "details": { "dealValue": 118_000 } }));
    edit.map_err(|error| error.to_string())?;
    Ok(vec![
        "Dynamics 365     seller enters 120,000 EUR".to_owned(),
        "Partner Center   Microsoft enters 118,000 EUR, at the same moment".to_owned(),
    ])
}

fn clashed(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (dynamics, _) = first_rows(sandbox, memory)?;
    let told = text(&dynamics["pc_audit"])
        .lines()
        .any(|line| line.contains("120,000") && line.contains("118,000"));
    (told && all_hold(sandbox, memory, 120_000.0, "2027-01-15")).then(|| {
        let line = text(&dynamics["pc_audit"])
            .lines()
            .find(|line| line.contains("118,000"))
            .unwrap_or_default()
            .to_owned();
        vec![
            "All three        120,000 EUR: the mapping says that the CRM decides values".to_owned(),
            format!("Seller reads     {line}"),
        ]
    })
}

fn win(sandbox: &Sandbox, memory: &mut Memory) -> Result<Vec<String>, String> {
    let (dynamics, _) = first_rows(sandbox, memory).ok_or("the opportunity is missing")?;
    let won = sandbox.dynamics365.win_as_person(text(&dynamics["opportunityid"]));
    won.map_err(|refusal| format!("{refusal:?}"))?;
    Ok(vec!["Dynamics 365     seller closes the opportunity as won".to_owned()])
}

fn won(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (_, sales) = first_rows(sandbox, memory)?;
    let referral = referral(sandbox, memory)?;
    (referral["status"] == "Closed"
        && referral["substatus"] == "Won"
        && sales["StageName"] == "Closed Won")
        .then(|| {
            vec![
                "Partner Center   Closed / Won".to_owned(),
                "Salesforce       Closed Won".to_owned(),
            ]
        })
}

fn share(sandbox: &Sandbox, memory: &mut Memory) -> Result<Vec<String>, String> {
    let fail = |failure: crate::connect::salesforce::sandbox::Failure| format!("{failure:?}");
    let account = sandbox
        .salesforce
        .seed_account(&json!({
            "Name": "Fabrikam Retail", "BillingStreet": "5 Market Square", "BillingCity": "Berlin",
            "BillingPostalCode": "10115", "BillingCountry": "DE",
        }))
        .map_err(fail)?;
    let opportunity = json!({
        "Name": "Fabrikam analytics", "AccountId": account, "StageName": "Qualification",
        "Amount": 80_000, "CurrencyIsoCode": "EUR", "CloseDate": "2027-05-31",
        "Products__c": "SOL-00001-XYZ", "Sync_With_Partner_Center__c": true, "Visibility__c": true,
    });
    let id = sandbox.salesforce.create_as_person("Opportunity", &opportunity).map_err(fail)?;
    memory.shared = Some(id.clone());
    Ok(vec![format!(
        "Salesforce       seller ticks \"Sync with Partner Center\" on {id}: Fabrikam analytics, 80,000 EUR"
    )])
}

fn shared(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (own, sales, dynamics) = shared_sides(sandbox, memory)?;
    let same = own["status"] == "Active"
        && own["consent"]["consentToShareReferralWithMicrosoftSellers"] == true
        && number(&own["details"]["dealValue"]) == Some(80_000.0)
        && sales["Referral_Identifier__c"] == own["id"]
        && number(&dynamics["estimatedvalue"]) == Some(80_000.0);
    same.then(|| {
        vec![
            format!(
                "Partner Center   referral {}: Active / Accepted, visible to Microsoft",
                text(&own["id"])
            ),
            format!(
                "Dynamics 365     opportunity {}: 80,000 EUR",
                text(&dynamics["opportunityid"])
            ),
        ]
    })
}

fn answer(sandbox: &Sandbox, memory: &mut Memory) -> Result<Vec<String>, String> {
    let id = memory.shared.clone().ok_or("the shared opportunity is missing")?;
    let (own, _, _) = shared_sides(sandbox, memory).ok_or("the shared deal is missing")?;
    let help = json!({ "How_can_Microsoft_help__c": "Quotes or licensing" });
    sandbox
        .salesforce
        .edit_as_person("Opportunity", &id, &help)
        .map_err(|failure| format!("{failure:?}"))?;
    Ok(vec![format!("Salesforce       seller asks Microsoft for help with {}", text(&own["name"]))])
}

fn answered(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (own, sales, dynamics) = shared_sides(sandbox, memory)?;
    let engagement = text(&own["engagementId"]);
    let microsofts = sandbox.partner_center.referrals().into_iter().find(|referral| {
        text(&referral["engagementId"]) == engagement && referral["id"] != own["id"]
    })?;
    if microsofts["status"] == "New" {
        // A seller at Microsoft takes it as soon as it is there.
        let engagement = EngagementId::new(engagement);
        let _ = sandbox.partner_center.answer_invitation(&engagement, InvitationAnswer::Accept);
        return None;
    }
    let number = text(&sales["Microsoft_CRM_Identifier__c"]).to_owned();
    let same = !number.is_empty()
        && dynamics["pc_microsoftcrmidentifier"] == sales["Microsoft_CRM_Identifier__c"];
    same.then(|| {
        vec![
            format!(
                "Partner Center   Microsoft's own referral {}: Active / Accepted",
                text(&microsofts["id"])
            ),
            format!("Both CRMs        Microsoft CRM identifier {number}"),
        ]
    })
}

/// The rows of the first deal in Dynamics 365 and Salesforce; `None` unless there is just one each.
fn first_rows(sandbox: &Sandbox, memory: &Memory) -> Option<(Json, Json)> {
    let id = memory.first.as_ref()?.as_str();
    let dynamics = only(sandbox.dynamics365.rows("opportunity"), "pc_referralidentifier", id)?;
    let sales = only(sandbox.salesforce.rows("Opportunity"), "Referral_Identifier__c", id)?;
    Some((dynamics, sales))
}

/// Our referral of the shared deal, and its rows; `None` unless there is just one of each.
fn shared_sides(sandbox: &Sandbox, memory: &Memory) -> Option<(Json, Json, Json)> {
    let sales = sandbox.salesforce.row("Opportunity", memory.shared.as_deref()?)?;
    let id = text(&sales["Referral_Identifier__c"]).to_owned();
    let own = only(sandbox.partner_center.referrals(), "id", &id)?;
    let dynamics = only(sandbox.dynamics365.rows("opportunity"), "pc_referralidentifier", &id)?;
    Some((own, sales, dynamics))
}

fn referral(sandbox: &Sandbox, memory: &Memory) -> Option<Json> {
    sandbox.partner_center.referral(memory.first.as_ref()?)
}

fn only(rows: Vec<Json>, field: &str, value: &str) -> Option<Json> {
    let mut fitting =
        rows.into_iter().filter(|row| !value.is_empty() && text(&row[field]) == value);
    let first = fitting.next();
    if fitting.next().is_some() { None } else { first }
}

fn all_hold(sandbox: &Sandbox, memory: &Memory, value: f64, date: &str) -> bool {
    let Some((dynamics, sales)) = first_rows(sandbox, memory) else { return false };
    let Some(referral) = referral(sandbox, memory) else { return false };
    let values = [&referral["details"]["dealValue"], &dynamics["estimatedvalue"], &sales["Amount"]];
    let dates = [
        &referral["details"]["closingDateTime"],
        &dynamics["estimatedclosedate"],
        &sales["CloseDate"],
    ];
    values.iter().all(|held| number(held) == Some(value))
        && dates.iter().all(|held| text(held).starts_with(date))
}

fn edit_dynamics(sandbox: &Sandbox, row: &Json, edit: &Json) -> Result<(), String> {
    let edited =
        sandbox.dynamics365.edit_as_person("opportunity", text(&row["opportunityid"]), edit);
    edited.map(|_| ()).map_err(|refusal| format!("{refusal:?}"))
}

fn edit_salesforce(sandbox: &Sandbox, row: &Json, edit: &Json) -> Result<(), String> {
    let edited = sandbox.salesforce.edit_as_person("Opportunity", text(&row["Id"]), edit);
    edited.map(|_| ()).map_err(|failure| format!("{failure:?}"))
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}
