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

/// Somebody acts; the sentences say who does what where.
pub type Act = fn(&Sandbox, &mut Memory) -> Result<Vec<String>, String>;

/// What the sides show once they agree; `None` before.
pub type Agreed = fn(&Sandbox, &Memory) -> Option<Vec<String>>;

/// One step.
pub struct Step {
    /// Heading.
    pub title: &'static str,
    /// What somebody does, and where; the sentences say it.
    pub act: Act,
    /// What every side shows once all agree; `None` as long as they do not.
    pub agreed: Agreed,
}

/// The steps, in order.
#[must_use]
pub fn steps() -> Vec<Step> {
    let step = |title, act: Act, agreed: Agreed| Step { title, act, agreed };
    vec![
        step("A referral arrives from Microsoft", arrive, arrived),
        step("A seller shares another deal from Dynamics 365 and asks for help", share, shared),
        step("A seller accepts the first deal in Dynamics 365", accept, accepted),
        step("Both sides change the same field of the second deal at once", clash, clashed),
        step("Both sides change different fields of the first deal", change, changed),
        step("Microsoft accepts the request for help with the second deal", answer, answered),
        step("The first deal is won in Dynamics 365", win, won),
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
    let (own, _, dynamics) = shared_sides(sandbox, memory).ok_or("the shared deal is missing")?;
    edit_dynamics(sandbox, &dynamics, &json!({ "estimatedvalue": 90_000 }))?;
    let id = ReferralId::new(text(&own["id"]));
    let edit = json!({ "details": { "dealValue": 85_000 } });
    sandbox.partner_center.edit_as_person(&id, edit).map_err(|error| error.to_string())?;
    Ok(vec![
        "Dynamics 365     seller enters 90,000 EUR".to_owned(),
        "Partner Center   a colleague enters 85,000 EUR, at the same moment".to_owned(),
    ])
}

fn clashed(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (own, sales, dynamics) = shared_sides(sandbox, memory)?;
    let values = [&own["details"]["dealValue"], &dynamics["estimatedvalue"], &sales["Amount"]];
    let line = text(&dynamics["pc_audit"]).lines().find(|line| line.contains("85,000"))?.to_owned();
    let same = line.contains("90,000") && values.iter().all(|held| number(held) == Some(90_000.0));
    same.then(|| {
        vec![
            "All three        90,000 EUR: the mapping says that the CRM decides values".to_owned(),
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
    let fail =
        |refusal: crate::connect::dynamics365::sandbox::SandboxRefusal| format!("{refusal:?}");
    let account = json!({
        "name": "Fabrikam Retail", "address1_line1": "5 Market Square", "address1_city": "Berlin",
        "address1_postalcode": "10115", "address1_country": "DE",
    });
    let account = sandbox.dynamics365.create_as_person("account", &account).map_err(fail)?;
    let contact = json!({
        "firstname": "Bo", "lastname": "Buyer", "emailaddress1": "buyer@fabrikam.example",
        "telephone1": "+49 30 5550102",
    });
    let contact = sandbox.dynamics365.create_as_person("contact", &contact).map_err(fail)?;
    let currency = only(sandbox.dynamics365.rows("transactioncurrency"), "isocurrencycode", "EUR");
    let currency = currency.ok_or("the euro is missing")?;
    let opportunity = json!({
        "name": "Fabrikam analytics", "estimatedvalue": 80_000, "estimatedclosedate": "2027-05-31",
        "parentaccountid@odata.bind": format!("/accounts({account})"),
        "customerid_account@odata.bind": format!("/accounts({account})"),
        "parentcontactid@odata.bind": format!("/contacts({contact})"),
        "transactioncurrencyid@odata.bind":
            format!("/transactioncurrencies({})", text(&currency["transactioncurrencyid"])),
        "pc_solutions": "SOL-00001-XYZ", "pc_syncwithpartnercenter": true,
        "pc_howcanmicrosofthelp": 727_000_003,
    });
    let id = sandbox.dynamics365.create_as_person("opportunity", &opportunity).map_err(fail)?;
    memory.shared = Some(id.clone());
    Ok(vec![
        format!("Dynamics 365     seller ticks \"Sync with Partner Center\" on {id}:"),
        "                 Fabrikam analytics, 80,000 EUR, help with quotes or licensing".to_owned(),
    ])
}

fn shared(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (own, sales, dynamics) = shared_sides(sandbox, memory)?;
    let microsofts = microsofts(sandbox, &own)?;
    let same = own["status"] == "Active"
        && own["consent"]["consentToShareReferralWithMicrosoftSellers"] == true
        && number(&own["details"]["dealValue"]) == Some(80_000.0)
        && own["externalReferenceId"] == dynamics["opportunityid"]
        && number(&sales["Amount"]) == Some(80_000.0);
    same.then(|| {
        vec![
            format!("Partner Center   our referral {}: Active / Accepted", text(&own["id"])),
            format!(
                "Partner Center   Microsoft's referral {}: New, same engagement",
                text(&microsofts["id"])
            ),
            format!("Salesforce       opportunity {}: 80,000 EUR", text(&sales["Id"])),
        ]
    })
}

fn answer(sandbox: &Sandbox, memory: &mut Memory) -> Result<Vec<String>, String> {
    let (own, _, _) = shared_sides(sandbox, memory).ok_or("the shared deal is missing")?;
    let engagement = EngagementId::new(text(&own["engagementId"]));
    let answered = sandbox.partner_center.answer_invitation(&engagement, InvitationAnswer::Accept);
    answered.map_err(|error| error.to_string())?;
    Ok(vec!["Partner Center   a seller at Microsoft accepts the request".to_owned()])
}

fn answered(sandbox: &Sandbox, memory: &Memory) -> Option<Vec<String>> {
    let (_, sales, dynamics) = shared_sides(sandbox, memory)?;
    let number = text(&sales["Microsoft_CRM_Identifier__c"]).to_owned();
    let same = !number.is_empty()
        && dynamics["pc_microsoftcrmidentifier"] == sales["Microsoft_CRM_Identifier__c"];
    let line = text(&dynamics["pc_audit"]).lines().next().unwrap_or_default().to_owned();
    same.then(|| {
        vec![
            format!("Both CRMs        Microsoft CRM identifier {number}"),
            format!("Seller reads     {line}"),
        ]
    })
}

/// Microsoft's own referral of a deal; `None` unless there is just one.
fn microsofts(sandbox: &Sandbox, own: &Json) -> Option<Json> {
    let same_engagement = sandbox.partner_center.referrals().into_iter().filter(|referral| {
        referral["engagementId"] == own["engagementId"] && referral["id"] != own["id"]
    });
    only(same_engagement.collect(), "organizationId", "msft")
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
    let dynamics = sandbox.dynamics365.row("opportunity", memory.shared.as_deref()?)?;
    let id = text(&dynamics["pc_referralidentifier"]).to_owned();
    let own = only(sandbox.partner_center.referrals(), "id", &id)?;
    let sales = only(sandbox.salesforce.rows("Opportunity"), "Referral_Identifier__c", &id)?;
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
