//! What hangs on an opportunity: contact roles, team members, line items and their products.

use super::Object;
use super::field::{Field, Kind, checkbox, picklist, reference, text};

/// All objects of this area.
pub(crate) fn objects() -> Vec<Object> {
    vec![contact_role(), team_member(), line_item(), product()]
}

/// A reference that is set once, with the way back.
fn parent(way_down: &str) -> Field {
    let mut field = reference("OpportunityId", "Opportunity").required();
    field.updateable = false;
    field.way_down = Some(way_down.to_owned());
    field
}

fn contact_role() -> Object {
    let roles = ["Business User", "Decision Maker", "Evaluator", "Executive Sponsor", "Other"];
    let fields = vec![
        parent("OpportunityContactRoles"),
        reference("ContactId", "Contact").required(),
        picklist("Role", &roles),
        checkbox("IsPrimary"),
    ];
    Object::new("OpportunityContactRole", "Opportunity Contact Roles", "00K", fields)
}

fn team_member() -> Object {
    let roles = ["Account Manager", "Channel Manager", "Opportunity Owner", "Sales Rep"];
    let mut user = reference("UserId", "User").required();
    user.updateable = false;
    let fields = vec![
        parent("OpportunityTeamMembers"),
        user,
        picklist("TeamMemberRole", &roles),
        picklist("OpportunityAccessLevel", &["Read", "Edit"]).default_choice("Read"),
    ];
    Object::new("OpportunityTeamMember", "Opportunity Team Members", "00q", fields)
}

fn line_item() -> Object {
    let fields = vec![
        parent("OpportunityLineItems"),
        reference("Product2Id", "Product2"),
        text("Name", 376).read_only(),
        Field::new("Quantity", Kind::Currency, 0).digits(12, 2).required(),
        Field::new("UnitPrice", Kind::Currency, 0).digits(18, 2).required(),
        Field::new("TotalPrice", Kind::Currency, 0).digits(18, 2).read_only(),
        text("Description", 255),
    ];
    Object::new("OpportunityLineItem", "Opportunity Products", "00k", fields)
}

fn product() -> Object {
    let fields = vec![
        text("Name", 255).required(),
        text("ProductCode", 255),
        checkbox("IsActive"),
        text("Description", 255),
    ];
    Object::new("Product2", "Products", "01t", fields)
}
