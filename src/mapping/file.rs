//! The shape of a mapping file, as it is written.

use schemars::JsonSchema;
use serde_json::Value as Json;

use super::problem::{Findings, Place, Spot};
use super::registration::RegistrationTable;
use super::table::Table;

/// One mapping file: what a field of a referral is called in a CRM, and how its value is converted.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct MappingFile {
    /// `dynamics365` or `salesforce`.
    #[schemars(extend("enum" = ["dynamics365", "salesforce"]))]
    pub(crate) crm: Option<Spot<String>>,
    /// `opportunity` or `lead`.
    #[schemars(extend("enum" = ["opportunity", "lead"]))]
    pub(crate) record: Option<Spot<String>>,
    /// A file whose rows this one takes over; this one then holds only the differences.
    pub(crate) extends: Option<Spot<String>>,
    /// One row for each field.
    #[schemars(rename = "field")]
    pub(crate) fields: Vec<FieldRow>,
    /// Rows of the extended file that are not wanted.
    #[schemars(rename = "remove")]
    pub(crate) removed: Vec<RemoveRow>,
    /// Tables of pairs, by name.
    #[schemars(rename = "lookup", with = "std::collections::BTreeMap<String, LookupTable>")]
    pub(crate) lookups: Vec<(Spot<String>, LookupTable)>,
    /// Names of the control fields.
    pub(crate) control: Option<ControlTable>,
    /// Fields of a won deal by which it is registered with Microsoft; nothing is without it.
    pub(crate) registration: Option<RegistrationTable>,
    /// What the record's stage says about the deal; the first row that fits wins.
    #[schemars(rename = "stage")]
    pub(crate) stages: Vec<StageRow>,
    /// Rows of other tables that a new record points to.
    pub(crate) related: Vec<RelatedRow>,
    /// Examples that must hold.
    #[schemars(rename = "case")]
    pub(crate) cases: Vec<CaseRow>,
}

/// One `[[field]]` row.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct FieldRow {
    #[schemars(skip)]
    pub(crate) place: Place,
    /// Something in the row could not be read, so that what seems missing may not be.
    #[schemars(skip)]
    pub(crate) broken: bool,
    /// Dotted path in the referral: `details.dealValue`, `team.0.email`.
    pub(crate) referral: Option<Spot<String>>,
    /// Field of the record, dotted for a field of a related record.
    pub(crate) crm: Option<Spot<String>>,
    /// How values are compared: `text`, `money`, `decimal`, `integer`, `boolean`, `date`, `instant`,
    /// `option` or `list`.
    #[schemars(rename = "type", extend("enum" = ["text", "money", "decimal", "integer", "boolean", "date", "instant", "option", "list"]))]
    pub(crate) kind: Option<Spot<String>>,
    /// Steps that convert between the two ends, from the referral to the record.
    pub(crate) codec: Vec<Spot<String>>,
    /// `both`, `to_crm` or `to_partner_center`.
    #[schemars(extend("enum" = ["both", "to_crm", "to_partner_center"]))]
    pub(crate) direction: Option<Spot<String>>,
    /// `create`, `update`, or both (the default).
    pub(crate) on: Option<Vec<Spot<String>>>,
    /// Who wins when both sides changed: `partner_center`, `crm`, `newest` or `ask`.
    #[schemars(extend("enum" = ["partner_center", "crm", "newest", "ask"]))]
    pub(crate) conflict: Option<Spot<String>>,
    /// Rows of one group are merged as one.
    pub(crate) group: Option<Spot<String>>,
    /// An emptied value is not sent to Partner Center.
    pub(crate) required: Option<bool>,
    /// Value for a new target when the source has none.
    pub(crate) default: Option<Spot<Json>>,
    /// Condition formula over `referral` or `record`; while it does not hold, the row rests.
    pub(crate) when: Option<Spot<String>>,
    /// Words for people.
    pub(crate) label: Option<Spot<String>>,
    /// Formula over `referral` whose result goes to the record.
    pub(crate) to_crm: Option<Spot<String>>,
    /// Formula over `record` whose result goes to the referral.
    pub(crate) to_partner_center: Option<Spot<String>>,
    /// Digits after the point of money and decimals. If absent, an amount has those of its currency
    /// and a decimal 2.
    pub(crate) scale: Option<Spot<i64>>,
    /// The member by which items of a list are told apart.
    pub(crate) identity: Option<Spot<String>>,
    /// The members of an item that are compared; the identity alone if absent.
    pub(crate) parts: Option<Vec<Spot<String>>>,
    /// Members of an item that Partner Center does not have yet.
    pub(crate) item: Option<Spot<Json>>,
    /// Accepts, in a row that travels both ways, a step that loses something.
    pub(crate) lossy: Option<bool>,
    /// The row is dropped where the live schema has no such field.
    pub(crate) optional_field: Option<bool>,
}

/// One `[[remove]]` row: the row of the extended file with these ends is dropped.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct RemoveRow {
    #[schemars(skip)]
    pub(crate) place: Place,
    /// The row's referral end.
    pub(crate) referral: Option<Spot<String>>,
    /// The row's record end.
    pub(crate) crm: Option<Spot<String>>,
}

/// One `[lookup.NAME]` table.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct LookupTable {
    #[schemars(skip)]
    pub(crate) place: Place,
    /// Pairs: the referral's word and the record's.
    pub(crate) rows: Option<Spot<Json>>,
    /// Pairs back, record to referral, where one record word has several referral words.
    pub(crate) reverse: Option<Spot<Json>>,
    /// What becomes of a word that is in no row: `refuse` (the default), `pass` or `empty`.
    #[schemars(extend("enum" = ["refuse", "pass", "empty"]))]
    pub(crate) on_unknown: Option<Spot<String>>,
}

/// The `[control]` table.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ControlTable {
    #[schemars(skip)]
    pub(crate) place: Place,
    /// Holds the referral id.
    pub(crate) referral_id: Option<Spot<String>>,
    /// The check box *Sync with Partner Center*.
    pub(crate) sync: Option<Spot<String>>,
    /// The seller's audit trail.
    pub(crate) audit: Option<Spot<String>>,
    /// Longest audit text in characters.
    pub(crate) audit_length: Option<Spot<i64>>,
    /// A link to the referral.
    pub(crate) link: Option<Spot<String>>,
    /// Template of that link with `{referral_id}` and `{engagement_id}`.
    pub(crate) link_template: Option<Spot<String>>,
    /// *How can Microsoft help?*
    pub(crate) help: Option<Spot<String>>,
    /// Name of the lookup that turns help codes of Partner Center into the field's options.
    pub(crate) help_lookup: Option<Spot<String>>,
    /// Solution ids of the deal.
    pub(crate) solutions: Option<Spot<String>>,
    /// Whether Microsoft's sellers may see the deal.
    pub(crate) visibility: Option<Spot<String>>,
    /// Microsoft's own number of the deal.
    pub(crate) microsoft_id: Option<Spot<String>>,
    /// The sync token.
    pub(crate) token: Option<Spot<String>>,
    /// The seller's check mark.
    pub(crate) status: Option<Spot<String>>,
    /// What the status field holds for `in_sync`, `waiting`, `needs_attention`, `paused`, `closed`.
    #[schemars(with = "std::collections::BTreeMap<String, Json>")]
    pub(crate) status_values: Option<Vec<(Spot<String>, Spot<Json>)>>,
}

/// One `[[stage]]` row.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct StageRow {
    #[schemars(skip)]
    pub(crate) place: Place,
    /// `on_hold`, `active`, `won`, `lost`, `declined`, `expired` or `error`.
    #[schemars(extend("enum" = ["on_hold", "active", "won", "lost", "declined", "expired", "error"]))]
    pub(crate) stage: Option<Spot<String>>,
    /// Field values by which the stage is recognised; without them the row is only written.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Json>>")]
    pub(crate) when: Option<Vec<(Spot<String>, Spot<Json>)>>,
    /// Field values that bring a record into this stage.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Json>>")]
    pub(crate) write: Option<Vec<(Spot<String>, Spot<Json>)>>,
    /// Closing action: `won = true` or `false`, and the `status` code to ask for.
    pub(crate) close: Option<CloseTable>,
}

/// The `close` table of a stage.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct CloseTable {
    #[schemars(skip)]
    pub(crate) place: Place,
    /// Win or lose.
    pub(crate) won: Option<bool>,
    /// Status code to ask for.
    pub(crate) status: Option<Spot<i64>>,
}

/// One `[[related]]` row.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct RelatedRow {
    #[schemars(skip)]
    pub(crate) place: Place,
    /// A word for people: `account`, `contact`.
    pub(crate) name: Option<Spot<String>>,
    /// Lookup fields of the record that are to point to the row.
    pub(crate) fields: Vec<Spot<String>>,
    /// Logical name of the other table.
    pub(crate) table: Option<Spot<String>>,
    /// Columns of the other table and the referral paths they must equal. Two columns are a name and
    /// a postal code, in this order; one column must be equal without case.
    pub(crate) by: Vec<Spot<String>>,
    /// Columns of a new row and their referral paths.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub(crate) create: Vec<(Spot<String>, Spot<Json>)>,
    /// Lookup columns of a new row that point to an earlier related row.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub(crate) create_links: Vec<(Spot<String>, Spot<Json>)>,
}

/// One `[[case]]`: given one side, what the other side gets.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct CaseRow {
    #[schemars(skip)]
    pub(crate) place: Place,
    /// What the case shows.
    pub(crate) name: Option<Spot<String>>,
    /// `create` or `update` (the default).
    #[schemars(extend("enum" = ["create", "update"]))]
    pub(crate) on: Option<Spot<String>>,
    /// `referral = { "dotted.path" = value }` or `crm = { Field = value }`.
    pub(crate) given: Option<Spot<Json>>,
    /// `crm`, `referral` or `stage`, or `problem = "field"` for a value that must be refused.
    pub(crate) expect: Option<Spot<Json>>,
    /// Where the keys of `given` and `expect` stand: `("expect", "crm", "Name")`.
    #[schemars(skip)]
    pub(crate) keys: Vec<CaseKey>,
}

/// A key within a case: the table, its side, the field (empty for a side that holds one value).
#[derive(Debug, Clone)]
pub(crate) struct CaseKey {
    /// `given` or `expect`.
    pub(crate) table: &'static str,
    /// `crm`, `referral`, `stage`, `problem`.
    pub(crate) side: String,
    /// The field or path.
    pub(crate) key: String,
    /// Where it stands.
    pub(crate) place: Place,
}

impl MappingFile {
    /// Reads the top table; notes everything that is wrong.
    pub(crate) fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
        let file = Self {
            crm: table.text("crm", findings),
            record: table.text("record", findings),
            extends: table.text("extends", findings),
            fields: rows(&mut table, "field", "a [[field]] row", findings, FieldRow::read),
            removed: rows(&mut table, "remove", "a [[remove]] row", findings, RemoveRow::read),
            lookups: table
                .named("lookup", "a [lookup] table", findings)
                .into_iter()
                .map(|(name, table)| (name, LookupTable::read(table, findings)))
                .collect(),
            control: table
                .table("control", "[control]", findings)
                .map(|table| ControlTable::read(table, findings)),
            registration: table
                .table("registration", "[registration]", findings)
                .map(|table| RegistrationTable::read(table, findings)),
            stages: rows(&mut table, "stage", "a [[stage]] row", findings, StageRow::read),
            related: rows(&mut table, "related", "a [[related]] row", findings, RelatedRow::read),
            cases: rows(&mut table, "case", "a [[case]]", findings, CaseRow::read),
        };
        table.finish(findings);
        file
    }
}

fn rows<T>(
    table: &mut Table<'_, '_>,
    key: &'static str,
    name: &'static str,
    findings: &mut Findings,
    read: fn(Table<'_, '_>, &mut Findings) -> T,
) -> Vec<T> {
    let rows = table.rows(key, name, findings);
    rows.into_iter().map(|row| read(row, findings)).collect()
}

impl FieldRow {
    fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
        let before = findings.count();
        let mut row = Self {
            place: table.place().clone(),
            broken: false,
            referral: table.text("referral", findings),
            crm: table.text("crm", findings),
            kind: table.text("type", findings),
            codec: table.texts("codec", findings).unwrap_or_default(),
            direction: table.text("direction", findings),
            on: table.texts("on", findings),
            conflict: table.text("conflict", findings),
            group: table.text("group", findings),
            required: table.boolean("required", findings),
            default: table.json("default"),
            when: table.text("when", findings),
            label: table.text("label", findings),
            to_crm: table.text("to_crm", findings),
            to_partner_center: table.text("to_partner_center", findings),
            scale: table.integer("scale", findings),
            identity: table.text("identity", findings),
            parts: table.texts("parts", findings),
            item: table.json("item"),
            lossy: table.boolean("lossy", findings),
            optional_field: table.boolean("optional_field", findings),
        };
        table.finish(findings);
        row.broken = findings.count() > before;
        row
    }
}

impl RemoveRow {
    fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
        let row = Self {
            place: table.place().clone(),
            referral: table.text("referral", findings),
            crm: table.text("crm", findings),
        };
        table.finish(findings);
        row
    }
}

impl LookupTable {
    fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
        let lookup = Self {
            place: table.place().clone(),
            rows: table.json("rows"),
            reverse: table.json("reverse"),
            on_unknown: table.text("on_unknown", findings),
        };
        table.finish(findings);
        lookup
    }
}

impl ControlTable {
    fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
        let control = Self {
            place: table.place().clone(),
            referral_id: table.text("referral_id", findings),
            sync: table.text("sync", findings),
            audit: table.text("audit", findings),
            audit_length: table.integer("audit_length", findings),
            link: table.text("link", findings),
            link_template: table.text("link_template", findings),
            help: table.text("help", findings),
            help_lookup: table.text("help_lookup", findings),
            solutions: table.text("solutions", findings),
            visibility: table.text("visibility", findings),
            microsoft_id: table.text("microsoft_id", findings),
            token: table.text("token", findings),
            status: table.text("status", findings),
            status_values: table.map("status_values", findings),
        };
        table.finish(findings);
        control
    }
}

impl StageRow {
    fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
        let row = Self {
            place: table.place().clone(),
            stage: table.text("stage", findings),
            when: table.map("when", findings),
            write: table.map("write", findings),
            close: table.table("close", "a close table", findings).map(|mut close| {
                let read = CloseTable {
                    place: close.place().clone(),
                    won: close.boolean("won", findings),
                    status: close.integer("status", findings),
                };
                close.finish(findings);
                read
            }),
        };
        table.finish(findings);
        row
    }
}

impl RelatedRow {
    fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
        let row = Self {
            place: table.place().clone(),
            name: table.text("name", findings),
            fields: table.texts("fields", findings).unwrap_or_default(),
            table: table.text("table", findings),
            by: table.texts("by", findings).unwrap_or_default(),
            create: table.map("create", findings).unwrap_or_default(),
            create_links: table.map("create_links", findings).unwrap_or_default(),
        };
        table.finish(findings);
        row
    }
}

impl CaseRow {
    fn read(mut table: Table<'_, '_>, findings: &mut Findings) -> Self {
        let row = Self {
            place: table.place().clone(),
            name: table.text("name", findings),
            on: table.text("on", findings),
            given: table.json("given"),
            expect: table.json("expect"),
            keys: ["given", "expect"].into_iter().flat_map(|key| table.inner_keys(key)).collect(),
        };
        table.finish(findings);
        row
    }
}

/// In a file, a value is written without its place.
impl<T: JsonSchema> JsonSchema for Spot<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}
