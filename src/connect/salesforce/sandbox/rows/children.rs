//! What a row below an opportunity does to it, and the other way round.

use serde_json::{Value, json};

use super::Writer;
use crate::connect::salesforce::sandbox::org::{Fields, Org, Row};

impl Org {
    /// Carries a saved or deleted row over to what depends on it.
    pub(super) fn carry_over(&mut self, object: &str, fields: &Fields, is_new: bool, by: &Writer) {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        match object {
            "Opportunity" if is_new && !text("ContactId").is_empty() => {
                self.add_primary_role(text("Id"), text("ContactId"), by);
            }
            "OpportunityContactRole" => self.choose_primary(text("OpportunityId"), text("Id"), by),
            "OpportunityLineItem" => self.sum_up(text("OpportunityId"), by),
            _ => {}
        }
    }

    /// The contact named when an opportunity is made becomes its primary contact role.
    pub(super) fn add_primary_role(&mut self, opportunity: &str, contact: &str, by: &Writer) {
        let role = json!({ "OpportunityId": opportunity, "ContactId": contact, "IsPrimary": true });
        let by = Writer { client: false, ..by.clone() };
        // The reference was checked with the opportunity.
        if let Value::Object(role) = role {
            let _ = self.create("OpportunityContactRole", &role, &by);
        }
    }

    /// At most one role is primary: the one saved last. The opportunity's ContactId follows it,
    /// without a stamp of its own.
    fn choose_primary(&mut self, opportunity: &str, newest: &str, by: &Writer) {
        let is_primary = |row: &Row| row.fields["IsPrimary"] == json!(true);
        let roles: Vec<(String, Row)> = self
            .live_rows("OpportunityContactRole")
            .filter(|(_, row)| row.fields["OpportunityId"] == opportunity && is_primary(row))
            .map(|(id, row)| (id.clone(), row.clone()))
            .collect();
        let chosen = roles.iter().find(|(id, _)| id == newest).or(roles.first()).cloned();
        for (id, mut row) in roles {
            if chosen.as_ref().is_some_and(|(chosen, _)| *chosen != id) {
                row.fields.insert("IsPrimary".into(), json!(false));
                self.touch(&mut row.fields, &by.user);
                self.put("OpportunityContactRole", &id, Some(row));
            }
        }
        let contact = chosen.map_or(Value::Null, |(_, row)| row.fields["ContactId"].clone());
        if let Some(mut row) = self.stored("Opportunity", opportunity).cloned() {
            row.fields.insert("ContactId".into(), contact);
            self.put("Opportunity", opportunity, Some(row));
        }
    }

    /// The Amount of an opportunity with line items is their sum.
    fn sum_up(&mut self, opportunity: &str, by: &Writer) {
        let prices: Vec<f64> = self
            .live_rows("OpportunityLineItem")
            .filter(|(_, row)| row.fields["OpportunityId"] == opportunity)
            .filter_map(|(_, row)| row.fields["TotalPrice"].as_f64())
            .collect();
        let Some(mut row) = self.stored("Opportunity", opportunity).cloned() else { return };
        row.fields.insert("HasOpportunityLineItem".into(), json!(!prices.is_empty()));
        if !prices.is_empty() {
            row.fields.insert("Amount".into(), json!(prices.iter().sum::<f64>()));
        }
        self.touch(&mut row.fields, &by.user);
        self.put("Opportunity", opportunity, Some(row));
    }
}
