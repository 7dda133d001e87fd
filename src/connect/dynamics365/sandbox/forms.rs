//! Forms: XML with sections of controls, each of which shows a column.

use std::collections::BTreeSet;

use quick_xml::events::{BytesStart, Event};
use serde_json::{Value as Json, json};

use super::data::Row;
use super::problem::Problem;
use super::schema::Table;
use super::state::{State, stable_guid};

/// The tables that have a main form from the start, with its name.
const FORMS: &[(&str, &str)] = &[("opportunity", "Opportunity"), ("lead", "Lead")];

impl State {
    /// Adds the main forms that every organisation has.
    pub(super) fn deliver_forms(&mut self) {
        for (table, name) in FORMS {
            let id = stable_guid("form", table);
            let now = self.stamp();
            let values = json!({
                "name": name, "objecttypecode": table, "type": 2, "formxml": delivered(table),
                "createdon": now, "modifiedon": now,
            });
            let values = values.as_object().cloned().unwrap_or_default();
            self.data.put("systemform", Row { id, version: 0, values });
        }
    }

    /// Refuses a form that cannot be shown.
    pub(super) fn check_form(&self, table: &Table, row: &Row) -> Result<(), Problem> {
        if table.logical != "systemform" {
            return Ok(());
        }
        let text = |name: &str| row.values.get(name).and_then(Json::as_str).unwrap_or_default();
        let shown = self.table(text("objecttypecode"))?;
        let controls = controls(text("formxml"))?;
        match controls.iter().find(|column| !shown.columns.contains_key(*column)) {
            Some(column) => Err(Problem::invalid(format!(
                "The form shows the attribute {column}, which {} does not have.",
                shown.logical
            ))),
            None => Ok(()),
        }
    }
}

fn delivered(table: &str) -> String {
    let name = if table == "lead" { "subject" } else { "name" };
    let id = |what: &str| stable_guid(&format!("form of {table}"), what);
    format!(
        "<form><tabs><tab name=\"Summary\" id=\"{{{}}}\"><columns><column width=\"100%\"><sections>\
         <section name=\"topic\" id=\"{{{}}}\"><rows><row><cell id=\"{{{}}}\"><control id=\"{name}\" \
         classid=\"{{4273EDBD-AC1D-40d3-9FB2-095C621B552D}}\" datafieldname=\"{name}\" /></cell>\
         </row></rows></section></sections></column></columns></tab></tabs></form>",
        id("tab"),
        id("section"),
        id("cell")
    )
}

/// The columns that a form shows. Tags must be closed, ids must differ, and a cell lies in a row.
fn controls(xml: &str) -> Result<Vec<String>, Problem> {
    let broken = || Problem::invalid("The form XML is not valid.");
    let mut reader = quick_xml::Reader::from_str(xml);
    let (mut columns, mut ids, mut open) = (Vec::new(), BTreeSet::new(), Vec::new());
    loop {
        match reader.read_event().map_err(|_| broken())? {
            Event::Start(tag) => {
                look(&tag, &open, &mut ids, &mut columns)?;
                open.push(tag.name().as_ref().to_owned());
            }
            Event::Empty(tag) => look(&tag, &open, &mut ids, &mut columns)?,
            Event::End(_) => drop(open.pop()),
            Event::Eof if open.is_empty() => return Ok(columns),
            Event::Eof => return Err(broken()),
            _ => {}
        }
    }
}

fn look(
    tag: &BytesStart<'_>,
    open: &[String],
    ids: &mut BTreeSet<String>,
    columns: &mut Vec<String>,
) -> Result<(), Problem> {
    let value = |name: &str| {
        let attribute = tag.try_get_attribute(name).ok()??;
        quick_xml::escape::unescape(&attribute.value).ok().map(|text| text.into_owned())
    };
    let (name, parent) = (tag.name(), open.last().map_or("", String::as_str));
    let belongs = match name.as_ref() {
        "section" => parent == "sections",
        "row" => parent == "rows",
        "cell" => parent == "row",
        "control" => parent == "cell",
        _ => true,
    };
    let id = value("id").filter(|_| name.as_ref() != "control");
    if !belongs || id.is_some_and(|id| !ids.insert(id)) {
        return Err(Problem::invalid("The form XML is not valid."));
    }
    columns.extend(value("datafieldname"));
    Ok(())
}
