//! What people do and see.

use cosell_sync::domain::id::ReferralId;
use serde_json::{Value as Json, json};

use super::World;

impl World {
    /// A deal arrives from Microsoft; `fields` are laid over an ordinary one.
    pub(crate) fn seed(&self, fields: Json) -> ReferralId {
        self.sandbox.partner_center.seed_incoming(fields)
    }

    pub(crate) fn referral(&self, id: &ReferralId) -> Json {
        self.sandbox.partner_center.referral(id).expect("the referral")
    }

    /// `Status/Substatus`.
    pub(crate) fn state(&self, id: &ReferralId) -> String {
        let referral = self.referral(id);
        format!("{}/{}", text(&referral["status"]), text(&referral["substatus"]))
    }

    /// The one row of a table of Dynamics 365 with this referral.
    pub(crate) fn dynamics_row(&self, table: &str, id: &ReferralId) -> Option<Json> {
        only(self.sandbox.dynamics365.rows(table), "pc_referralidentifier", id.as_str())
    }

    /// The opportunity of Dynamics 365 with this referral.
    pub(crate) fn dynamics(&self, id: &ReferralId) -> Option<Json> {
        self.dynamics_row("opportunity", id)
    }

    /// The opportunity of Salesforce with this referral.
    pub(crate) fn sales(&self, id: &ReferralId) -> Option<Json> {
        only(self.sandbox.salesforce.rows("Opportunity"), "Referral_Identifier__c", id.as_str())
    }

    /// Waits for the opportunities of those CRMs that are configured.
    pub(crate) async fn arrived(&self, id: &ReferralId) {
        self.until_true("the deal arrives in every CRM", || {
            let dynamics = !self.setup.dynamics || self.dynamics(id).is_some();
            let sales = !self.setup.salesforce || self.sales(id).is_some();
            dynamics && sales
        })
        .await;
        self.idle().await;
    }

    /// A deal that has arrived.
    pub(crate) async fn arrival(&self, fields: Json) -> ReferralId {
        let id = self.seed(fields);
        self.arrived(&id).await;
        id
    }

    /// A deal that has arrived and is accepted everywhere.
    pub(crate) async fn accepted(&self) -> ReferralId {
        let id = self.arrival(json!({})).await;
        self.edit_as_microsoft(&id, json!({ "status": "Active", "substatus": "Accepted" }));
        self.until_true("it is active everywhere", || self.stage(&id, "active")).await;
        self.idle().await;
        id
    }

    pub(crate) fn edit_as_microsoft(&self, id: &ReferralId, patch: Json) {
        self.sandbox.partner_center.edit_as_microsoft(id, patch).expect("Microsoft may");
    }

    /// A seller edits the opportunity in Dynamics 365.
    pub(crate) fn edit_dynamics(&self, id: &ReferralId, edit: Json) {
        let row = self.dynamics(id).expect("the opportunity");
        let key = text(&row["opportunityid"]);
        self.sandbox.dynamics365.edit_as_person("opportunity", key, &edit).expect("the seller may");
    }

    /// A seller edits the opportunity in Salesforce.
    pub(crate) fn edit_sales(&self, id: &ReferralId, edit: Json) {
        let row = self.sales(id).expect("the opportunity");
        let key = text(&row["Id"]);
        self.sandbox.salesforce.edit_as_person("Opportunity", key, &edit).expect("the seller may");
    }

    /// Whether every configured CRM shows this stage: `on_hold`, `active`, `won`, `lost`.
    pub(crate) fn stage(&self, id: &ReferralId, stage: &str) -> bool {
        let dynamics = self.dynamics(id).is_some_and(|row| {
            let state = (row["statecode"].as_i64(), row["statuscode"].as_i64());
            match stage {
                "on_hold" => state == (Some(0), Some(2)),
                "active" => state.0 == Some(0) && state.1 != Some(2),
                "won" => state.0 == Some(1),
                _ => state.0 == Some(2),
            }
        });
        let sales = self.sales(id).is_some_and(|row| {
            let name = text(&row["StageName"]);
            match stage {
                "on_hold" => name == "Prospecting",
                "won" => name == "Closed Won",
                "lost" => name == "Closed Lost",
                _ => !matches!(name, "Prospecting" | "Closed Won" | "Closed Lost"),
            }
        });
        (!self.setup.dynamics || dynamics) && (!self.setup.salesforce || sales)
    }

    /// Whether all configured systems hold this value and close date.
    pub(crate) fn agree(&self, id: &ReferralId, value: f64, date: &str) -> bool {
        let referral = self.referral(id);
        let details = &referral["details"];
        let hub = number(&details["dealValue"]) == Some(value)
            && text(&details["closingDateTime"]).starts_with(date);
        let dynamics = self.dynamics(id).is_some_and(|row| {
            number(&row["estimatedvalue"]) == Some(value) && row["estimatedclosedate"] == date
        });
        let sales = self
            .sales(id)
            .is_some_and(|row| number(&row["Amount"]) == Some(value) && row["CloseDate"] == date);
        hub && (!self.setup.dynamics || dynamics) && (!self.setup.salesforce || sales)
    }

    /// Whether all configured systems hold this value.
    pub(crate) fn agree_on_value(&self, id: &ReferralId, value: f64) -> bool {
        let hub = number(&self.referral(id)["details"]["dealValue"]) == Some(value);
        let dynamics = || self.dynamics(id).map(|row| number(&row["estimatedvalue"]));
        let sales = || self.sales(id).map(|row| number(&row["Amount"]));
        hub && (!self.setup.dynamics || dynamics() == Some(Some(value)))
            && (!self.setup.salesforce || sales() == Some(Some(value)))
    }

    /// The currency row of Dynamics 365.
    pub(crate) fn euro(&self) -> String {
        let rows = self.sandbox.dynamics365.rows("transactioncurrency");
        let euro = only(rows, "isocurrencycode", "EUR").expect("the euro");
        text(&euro["transactioncurrencyid"]).to_owned()
    }

    /// A complete opportunity in Dynamics 365 that is not shared yet; `fields` are laid over it.
    pub(crate) fn draft_dynamics(&self, name: &str, fields: Json) -> String {
        let crm = &self.sandbox.dynamics365;
        let account = json!({
            "name": format!("{name} customer"), "address1_line1": "5 Market Square",
            "address1_city": "Berlin", "address1_postalcode": "10115", "address1_country": "DE",
        });
        let account = crm.create_as_person("account", &account).expect("an account");
        let contact = json!({
            "firstname": "Bo", "lastname": "Buyer", "emailaddress1": "buyer@fabrikam.example",
            "telephone1": "+49 30 5550102",
        });
        let contact = crm.create_as_person("contact", &contact).expect("a contact");
        let mut row = json!({
            "name": name, "estimatedvalue": 80_000, "estimatedclosedate": "2027-05-31",
            "parentaccountid@odata.bind": format!("/accounts({account})"),
            "customerid_account@odata.bind": format!("/accounts({account})"),
            "parentcontactid@odata.bind": format!("/contacts({contact})"),
            "transactioncurrencyid@odata.bind": format!("/transactioncurrencies({})", self.euro()),
            "pc_solutions": "SOL-00001-XYZ",
        });
        lay_over(&mut row, fields);
        crm.create_as_person("opportunity", &row).expect("an opportunity")
    }

    /// A complete opportunity in Salesforce that is not shared yet; `fields` are laid over it.
    pub(crate) fn draft_sales(&self, name: &str, fields: Json) -> String {
        let crm = &self.sandbox.salesforce;
        let account = json!({
            "Name": format!("{name} customer"), "BillingStreet": "5 Market Square",
            "BillingCity": "Berlin", "BillingPostalCode": "10115", "BillingCountry": "DE",
        });
        let account = crm.create_as_person("Account", &account).expect("an account");
        let mut row = json!({
            "Name": name, "Amount": 80_000, "CloseDate": "2027-05-31", "StageName": "Qualification",
            "AccountId": account, "CurrencyIsoCode": "EUR", "Products__c": "SOL-00001-XYZ",
        });
        lay_over(&mut row, fields);
        crm.create_as_person("Opportunity", &row).expect("an opportunity")
    }

    /// The referral that an opportunity of Dynamics 365 carries.
    pub(crate) fn shared_dynamics(&self, key: &str) -> Option<ReferralId> {
        let row = self.sandbox.dynamics365.row("opportunity", key)?;
        ReferralId::parse(text(&row["pc_referralidentifier"]))
    }

    /// The referral that an opportunity of Salesforce carries.
    pub(crate) fn shared_sales(&self, key: &str) -> Option<ReferralId> {
        let row = self.sandbox.salesforce.row("Opportunity", key)?;
        ReferralId::parse(text(&row["Referral_Identifier__c"]))
    }

    /// Microsoft's own referrals in the engagement of ours.
    pub(crate) fn microsofts(&self, own: &ReferralId) -> Vec<Json> {
        let engagement = self.referral(own)["engagementId"].clone();
        let of_microsoft = |referral: &Json| {
            referral["engagementId"] == engagement && referral["organizationId"] == "msft"
        };
        self.sandbox.partner_center.referrals().into_iter().filter(of_microsoft).collect()
    }

    /// The audit text of the opportunity of Dynamics 365.
    pub(crate) fn dynamics_audit(&self, key: &str) -> String {
        let row = self.sandbox.dynamics365.row("opportunity", key).unwrap_or_default();
        text(&row["pc_audit"]).to_owned()
    }

    /// The audit text of the opportunity of Salesforce.
    pub(crate) fn sales_audit(&self, key: &str) -> String {
        let row = self.sandbox.salesforce.row("Opportunity", key).unwrap_or_default();
        text(&row["Sync_Audit__c"]).to_owned()
    }
}

/// The one row with this value; `None` if there is none or several.
pub(crate) fn only(rows: Vec<Json>, field: &str, value: &str) -> Option<Json> {
    let mut fitting =
        rows.into_iter().filter(|row| !value.is_empty() && text(&row[field]) == value);
    let first = fitting.next();
    if fitting.next().is_some() { None } else { first }
}

pub(crate) fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn lay_over(row: &mut Json, fields: Json) {
    if let (Some(row), Json::Object(fields)) = (row.as_object_mut(), fields) {
        row.extend(fields);
    }
}
