//! Users and the organisation.

use super::Object;
use super::field::{Field, Kind, checkbox, reference, text};

/// The system permissions that matter here.
pub(crate) const PERMISSIONS: &[&str] = &[
    "ApiEnabled",
    "AssignPermissionSets",
    "ConvertLeads",
    "CustomizeApplication",
    "ManageProfilesPermissionsets",
    "ViewSetup",
];

/// All objects of this area.
pub(crate) fn objects() -> Vec<Object> {
    vec![user(), organization(), profile(), permissions()]
}

fn user() -> Object {
    let fields = vec![
        text("Username", 80).required(),
        text("LastName", 80).required(),
        text("FirstName", 40),
        text("Name", 121).read_only(),
        text("Alias", 8),
        text("Title", 80),
        Field::new("Email", Kind::Email, 128),
        Field::new("Phone", Kind::Phone, 40),
        Field::new("MobilePhone", Kind::Phone, 40),
        checkbox("IsActive"),
        text("UserType", 40).read_only(),
        text("TimeZoneSidKey", 40),
        text("LocaleSidKey", 40),
        text("LanguageLocaleKey", 40),
        reference("ProfileId", "Profile"),
    ];
    Object::new("User", "Users", "005", fields)
}

fn organization() -> Object {
    let fields = vec![
        text("Name", 80),
        text("InstanceName", 5),
        text("OrganizationType", 40),
        text("NamespacePrefix", 15),
        text("DefaultLocaleSidKey", 40),
        checkbox("IsSandbox"),
        Field::new("TrialExpirationDate", Kind::DateTime, 0),
    ];
    Object::new("Organization", "Organizations", "00D", fields).read_only()
}

fn profile() -> Object {
    let fields = vec![text("Name", 255), text("UserType", 40).read_only()];
    Object::new("Profile", "Profiles", "00e", fields).read_only()
}

/// One row: what the asking user may do. Its checkboxes are the system permissions.
fn permissions() -> Object {
    let fields = PERMISSIONS.iter().map(|name| checkbox(&format!("Permissions{name}"))).collect();
    Object::new("UserPermissionAccess", "User Permission Access", "10t", fields).read_only()
}
