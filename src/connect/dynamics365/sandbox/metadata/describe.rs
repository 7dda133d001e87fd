//! Definitions as the JSON that the platform shows.

use serde_json::{Value as Json, json};

use crate::connect::dynamics365::sandbox::privileges::{RIGHTS, privilege_name};
use crate::connect::dynamics365::sandbox::schema::{
    AlternateKey, Choice, Column, KeyIndex, Kind, Table,
};
use crate::connect::dynamics365::sandbox::state::stable_guid;

/// A label in the base language.
pub(super) fn label(text: &str) -> Json {
    let localized = json!({"Label": text, "LanguageCode": 1033, "IsManaged": false});
    json!({"LocalizedLabels": [localized], "UserLocalizedLabel": localized})
}

fn managed(value: bool) -> Json {
    json!({"Value": value, "CanBeChanged": true, "ManagedPropertyLogicalName": ""})
}

/// A table.
pub(super) fn table(table: &Table) -> Json {
    json!({
        "MetadataId": table.metadata_id,
        "LogicalName": table.logical,
        "SchemaName": table.logical,
        "EntitySetName": table.set,
        "LogicalCollectionName": table.set,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "DisplayName": label(&table.logical),
        "DisplayCollectionName": label(&table.set),
        "IsActivity": table.logical == "opportunityclose",
        "IsCustomEntity": false,
        "IsPrivate": false,
        "IsOptimisticConcurrencyEnabled": true,
        "ChangeTrackingEnabled": table.tracks_changes,
        "CanChangeTrackingBeEnabled": managed(true),
        "OwnershipType": "UserOwned",
        "TableType": "Standard",
        "Privileges": privileges(table),
    })
}

/// The rights that a table knows.
fn privileges(table: &Table) -> Vec<Json> {
    let one = |right: &&str| {
        let name = privilege_name(table, right);
        json!({
            "CanBeBasic": true,
            "CanBeDeep": true,
            "CanBeGlobal": true,
            "CanBeLocal": true,
            "CanBeEntityReference": false,
            "CanBeParentEntityReference": false,
            "Name": name,
            "PrivilegeId": stable_guid("privilege", &name),
            "PrivilegeType": right,
        })
    };
    RIGHTS.iter().map(one).collect()
}

/// The ways from one row of a table to many of another.
pub(super) fn children(table: &Table) -> Vec<Json> {
    let one = |(way, child, lookup): &(String, String, String)| {
        json!({
            "MetadataId": stable_guid("relationship", way),
            "SchemaName": way,
            "RelationshipType": "OneToManyRelationship",
            "ReferencedEntity": table.logical,
            "ReferencedAttribute": table.primary_id,
            "ReferencedEntityNavigationPropertyName": way,
            "ReferencingEntity": child,
            "ReferencingAttribute": lookup,
        })
    };
    table.collections.iter().map(one).collect()
}

/// A column.
pub(super) fn column(column: &Column) -> Json {
    let kind = type_name(column);
    let required = if column.required { "SystemRequired" } else { "None" };
    let mut definition = json!({
        "@odata.type": format!("#Microsoft.Dynamics.CRM.{}", metadata_type(column)),
        "MetadataId": column.metadata_id,
        "LogicalName": column.logical,
        "SchemaName": column.schema_name,
        "AttributeType": kind,
        "AttributeTypeName": {"Value": format!("{kind}Type")},
        "DisplayName": label(&column.label),
        "Description": label(""),
        "IsCustomAttribute": column.custom,
        "IsPrimaryId": matches!(column.kind, Kind::Guid),
        "IsValidForCreate": column.creatable,
        "IsValidForUpdate": column.updatable || matches!(column.kind, Kind::State(_)),
        "IsValidForRead": column.readable,
        "AttributeOf": null,
        "RequiredLevel": {"Value": required, "CanBeChanged": true},
    });
    if let (Json::Object(members), Json::Object(more)) = (&mut definition, details(column)) {
        members.extend(more);
    }
    definition
}

fn details(column: &Column) -> Json {
    match &column.kind {
        Kind::Text(max, format) => json!({
            "MaxLength": max,
            "Format": format,
            "FormatName": {"Value": format},
        }),
        Kind::Memo(max) => json!({"MaxLength": max, "Format": "TextArea"}),
        Kind::Integer(min, max) => json!({"MinValue": min, "MaxValue": max, "Format": "None"}),
        Kind::Decimal(precision) => json!({"Precision": precision}),
        Kind::Money { min, max, precision } => json!({
            "MinValue": min,
            "MaxValue": max,
            "Precision": precision,
            "PrecisionSource": 2,
            "IsBaseCurrency": column.logical.ends_with("_base"),
        }),
        Kind::Boolean(no, yes) => json!({
            "DefaultValue": false,
            "OptionSet": {
                "TrueOption": {"Value": 1, "Label": label(yes)},
                "FalseOption": {"Value": 0, "Label": label(no)},
                "OptionSetType": "Boolean",
            },
        }),
        Kind::Date => json!({"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}}),
        Kind::Instant => {
            json!({"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}})
        }
        Kind::Choice(options) | Kind::State(options) | Kind::Status(options) => json!({
            "OptionSet": {
                "Name": column.logical,
                "IsGlobal": false,
                "OptionSetType": type_name(column),
                "Options": options.iter().map(option).collect::<Vec<_>>(),
            },
        }),
        Kind::Lookup(targets) => {
            let mut tables: Vec<&str> =
                targets.iter().map(|target| target.table.as_str()).collect();
            tables.dedup();
            json!({"Targets": tables})
        }
        Kind::Big | Kind::Double | Kind::Guid => json!({}),
    }
}

fn option(choice: &Choice) -> Json {
    let mut option = json!({"Value": choice.value, "Label": label(&choice.label)});
    if let (Some(state), Json::Object(members)) = (choice.state, &mut option) {
        members.insert("State".to_owned(), json!(state));
    }
    option
}

fn type_name(column: &Column) -> &'static str {
    match &column.kind {
        Kind::Text(..) => "String",
        Kind::Memo(_) => "Memo",
        Kind::Integer(..) => "Integer",
        Kind::Big => "BigInt",
        Kind::Decimal(_) => "Decimal",
        Kind::Double => "Double",
        Kind::Money { .. } => "Money",
        Kind::Boolean(..) => "Boolean",
        Kind::Date | Kind::Instant => "DateTime",
        Kind::Choice(_) => "Picklist",
        Kind::State(_) => "State",
        Kind::Status(_) => "Status",
        Kind::Lookup(_) if column.logical == "customerid" => "Customer",
        Kind::Lookup(_) if column.logical == "ownerid" => "Owner",
        Kind::Lookup(_) => "Lookup",
        Kind::Guid => "Uniqueidentifier",
    }
}

/// The name of a column's metadata type, as in a typed cast.
pub(super) fn metadata_type(column: &Column) -> String {
    match &column.kind {
        Kind::Lookup(_) => "LookupAttributeMetadata".to_owned(),
        Kind::Guid => "AttributeMetadata".to_owned(),
        _ => format!("{}AttributeMetadata", type_name(column)),
    }
}

/// An alternate key.
pub(super) fn key(table: &Table, key: &AlternateKey) -> Json {
    let status = match key.index {
        KeyIndex::Active => "Active",
        KeyIndex::Failed => "Failed",
        KeyIndex::Polls(1) => "InProgress",
        KeyIndex::Polls(_) | KeyIndex::At(_) => "Pending",
    };
    json!({
        "MetadataId": key.metadata_id,
        "LogicalName": key.schema_name.to_ascii_lowercase(),
        "SchemaName": key.schema_name,
        "EntityLogicalName": table.logical,
        "DisplayName": label(&key.schema_name),
        "KeyAttributes": key.columns,
        "EntityKeyIndexStatus": status,
        "IsManaged": managed(false),
    })
}
