//! Describe answers.

use serde_json::{Value, json};

use super::{Field, Kind, Object};

/// The short form in `/sobjects`, also the head of the full form.
pub(crate) fn global(object: &Object, version: &str) -> Value {
    let base = if object.tooling { "tooling/sobjects" } else { "sobjects" };
    let root = format!("/services/data/{version}/{base}/{}", object.name);
    json!({
        "name": object.name, "label": object.name, "labelPlural": object.plural,
        "keyPrefix": object.prefix, "custom": false, "customSetting": false,
        "createable": object.createable, "updateable": object.updateable,
        "deletable": object.deletable, "queryable": true, "retrieveable": true,
        "replicateable": true, "searchable": true, "triggerable": true, "undeletable": true,
        "mergeable": matches!(object.name.as_str(), "Account" | "Contact" | "Lead"),
        "activateable": false, "deprecatedAndHidden": false, "feedEnabled": false,
        "hasSubtypes": false, "isInterface": false, "isSubtype": false, "layoutable": true,
        "mruEnabled": true,
        "urls": {
            "sobject": root, "describe": format!("{root}/describe"),
            "rowTemplate": format!("{root}/{{ID}}"),
        },
    })
}

/// The full form, with the fields that `visible` lets through as (field, editable).
pub(crate) fn object(
    object: &Object,
    version: &str,
    (create, edit): (bool, bool),
    visible: &[(&Field, bool)],
    ways_down: &[(&Object, &Field)],
) -> Value {
    let mut full = global(object, version);
    full["createable"] = json!(object.createable && create);
    full["updateable"] = json!(object.updateable && edit);
    full["childRelationships"] = ways_down.iter().map(|way| describe_way_down(*way)).collect();
    full["recordTypeInfos"] = json!([{
        "active": true, "available": true, "defaultRecordTypeMapping": true, "master": true,
        "developerName": "Master", "name": "Master", "recordTypeId": "012000000000000AAA",
        "urls": {},
    }]);
    full["fields"] =
        visible.iter().map(|(field, editable)| describe_field(field, *editable)).collect();
    full
}

fn describe_way_down((object, field): (&Object, &Field)) -> Value {
    json!({
        "childSObject": object.name, "field": field.name, "relationshipName": field.way_down,
        "cascadeDelete": true, "deprecatedAndHidden": false, "restrictedDelete": false,
        "junctionIdListNames": [], "junctionReferenceTo": [],
    })
}

fn describe_field(field: &Field, editable: bool) -> Value {
    let text = matches!(
        field.kind,
        Kind::Id
            | Kind::Text
            | Kind::TextArea
            | Kind::Picklist
            | Kind::Url
            | Kind::Email
            | Kind::Phone
            | Kind::Reference
    );
    let choices: Vec<Value> = field
        .choices
        .iter()
        .map(|choice| {
            json!({
                "value": choice.value, "label": choice.label, "active": true,
                "defaultValue": choice.default, "validFor": null,
            })
        })
        .collect();
    let defaulted = field.kind == Kind::Boolean
        || field.name == "OwnerId"
        || field.choices.iter().any(|choice| choice.default);
    let system = !field.createable && !field.custom;
    json!({
        "name": field.name, "label": field.label, "type": field.kind.name(),
        "soapType": soap_type(field.kind), "length": if text { field.length } else { 0 },
        "byteLength": if text { field.length * 3 } else { 0 },
        "precision": field.precision, "scale": field.scale,
        "digits": if field.kind == Kind::Int { field.precision } else { 0 },
        "nillable": !(field.required || system || field.kind == Kind::Boolean),
        "createable": field.createable && editable, "updateable": field.updateable && editable,
        "filterable": !field.is_long_text(), "sortable": !field.is_long_text(),
        "groupable": !field.is_long_text() && field.kind != Kind::DateTime,
        "aggregatable": !field.is_long_text(), "custom": field.custom,
        "externalId": field.external_id, "unique": field.unique,
        "idLookup": field.external_id || field.kind == Kind::Id,
        "caseSensitive": field.case_sensitive, "calculated": false, "autoNumber": false,
        "defaultValue": if field.kind == Kind::Boolean { json!(false) } else { Value::Null },
        "defaultedOnCreate": defaulted,
        "permissionable": !field.required && !system && field.kind != Kind::Id,
        "picklistValues": choices, "restrictedPicklist": field.restricted,
        "dependentPicklist": false, "controllerName": null, "referenceTo": field.reference_to,
        "relationshipName": field.relationship, "inlineHelpText": null, "htmlFormatted": false,
        "encrypted": false, "nameField": field.name == "Name", "compoundFieldName": null,
        "extraTypeInfo": if field.is_long_text() { json!("plaintextarea") } else { Value::Null },
        "deprecatedAndHidden": false, "namePointing": false, "polymorphicForeignKey": false,
    })
}

fn soap_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Id | Kind::Reference => "tns:ID",
        Kind::Boolean => "xsd:boolean",
        Kind::Currency | Kind::Percent => "xsd:double",
        Kind::Int => "xsd:int",
        Kind::Date => "xsd:date",
        Kind::DateTime => "xsd:dateTime",
        Kind::Text | Kind::TextArea | Kind::Picklist | Kind::Url | Kind::Email | Kind::Phone => {
            "xsd:string"
        }
    }
}
