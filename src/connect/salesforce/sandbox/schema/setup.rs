//! Permission sets and the Tooling object behind custom fields.

use super::Object;
use super::field::{Field, Kind, checkbox, reference, text};

/// All objects of this area.
pub(crate) fn objects() -> Vec<Object> {
    vec![permission_set(), assignment(), field_permissions(), object_permissions(), custom_field()]
}

fn permission_set() -> Object {
    let fields = vec![
        text("Name", 80).required(),
        text("Label", 80).required(),
        Field::new("Description", Kind::TextArea, 255),
        checkbox("IsOwnedByProfile").read_only(),
        reference("ProfileId", "Profile").read_only(),
    ];
    Object::new("PermissionSet", "Permission Sets", "0PS", fields)
}

fn assignment() -> Object {
    let fields = vec![
        reference("AssigneeId", "User").required(),
        reference("PermissionSetId", "PermissionSet").required(),
    ];
    Object::new("PermissionSetAssignment", "Permission Set Assignments", "0Pa", fields)
}

fn field_permissions() -> Object {
    let fields = vec![
        reference("ParentId", "PermissionSet").required(),
        text("SobjectType", 255).required(),
        text("Field", 255).required(),
        checkbox("PermissionsRead"),
        checkbox("PermissionsEdit"),
    ];
    Object::new("FieldPermissions", "Field Permissions", "01k", fields)
}

fn object_permissions() -> Object {
    let fields = vec![
        reference("ParentId", "PermissionSet").required(),
        text("SobjectType", 255).required(),
        checkbox("PermissionsCreate"),
        checkbox("PermissionsRead"),
        checkbox("PermissionsEdit"),
        checkbox("PermissionsDelete"),
        checkbox("PermissionsViewAllRecords"),
        checkbox("PermissionsModifyAllRecords"),
    ];
    Object::new("ObjectPermissions", "Object Permissions", "110", fields)
}

fn custom_field() -> Object {
    let fields = vec![
        text("DeveloperName", 80),
        text("NamespacePrefix", 15),
        text("TableEnumOrId", 255),
        text("FullName", 255),
        // An object on the wire; the query engine passes it through as it is stored.
        Field::new("Metadata", Kind::TextArea, 131_072),
    ];
    Object::new("CustomField", "Custom Fields", "00N", fields).tooling()
}
