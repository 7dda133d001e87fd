//! Shows the columns to sellers: one section in each form that the settings name.
//!
//! A form is one text of XML. What is there stays as it is: a section is put behind the first tab's
//! last one, or missing columns into a section of ours.

use serde_json::json;

use super::Dynamics365;
use super::client::{Request, rows, text};
use super::hooks::escaped;
use super::metadata::Table;
use super::odata::{guid, text_literal};
use super::provision::{Run, SOLUTION};
use crate::connect::crm::{SellerAccess, WantedField};
use crate::connect::error::ConnectError;
use crate::domain::clock::Randomness;

/// `type` of a main form.
const MAIN: u8 = 2;
/// Name of our section, by which it is found again.
const SECTION: &str = "cosell_sync";
/// Its label. The name of the product, in every language.
const LABEL: &str = "Partner Center";

impl Dynamics365 {
    /// Puts the columns that sellers see on the forms of the settings.
    pub(super) async fn sections(
        &self,
        run: &mut Run<'_>,
        table: &Table,
    ) -> Result<(), ConnectError> {
        if self.forms.is_empty() {
            return Ok(());
        }
        let address = format!(
            "systemforms?$select=formid,name,formxml&$filter=objecttypecode%20eq%20{}%20and%20type\
             %20eq%20{MAIN}",
            text_literal(&table.name)
        );
        let json = self.client.get(&address).await?;
        let forms = rows(&json)?;
        let mut found = false;
        for form in forms {
            let name = text(form, "name");
            if !self.forms.iter().any(|wanted| wanted == name) {
                continue;
            }
            found = true;
            let what = format!("section {LABEL} on the form {name} of {}", table.name);
            let xml = text(form, "formxml");
            let missing: Vec<&WantedField> =
                run.wanted.fields.iter().filter(|field| is_missing(field, xml)).collect();
            if missing.is_empty() {
                run.note(what, "present");
                continue;
            }
            let language = self.language().await?;
            let Some(changed) = with_columns(xml, &missing, language, &*self.randomness) else {
                let advice = format!("{what}: the form has no section to put it behind");
                run.note(advice, "advice");
                continue;
            };
            if run.make(&what) {
                let id = guid(text(form, "formid"))
                    .ok_or_else(|| ConnectError::Broken("a form without its id".to_owned()))?;
                let url = self.client.url(&format!("systemforms({id})"))?;
                let request = Request::write("PATCH", url, &json!({"formxml": changed}))
                    .header("if-match", "*")
                    .header(SOLUTION, run.wanted.container.as_str());
                self.client.send(&request).await?;
            }
        }
        if !found {
            let names: Vec<&str> = forms.iter().map(|form| text(form, "name")).collect();
            let advice = format!(
                "no main form of {} bears one of the names given: it has {}",
                table.name,
                names.join(", ")
            );
            run.note(advice, "advice");
        }
        Ok(())
    }
}

fn is_missing(field: &WantedField, xml: &str) -> bool {
    let there = format!("datafieldname=\"{}\"", field.name);
    field.sellers != SellerAccess::None && !xml.contains(&there)
}

/// The form with the columns in our section; `None` if there is no place for one.
fn with_columns(
    xml: &str,
    missing: &[&WantedField],
    language: i64,
    randomness: &dyn Randomness,
) -> Option<String> {
    let rows: String = missing.iter().map(|field| row(field, language, randomness)).collect();
    let (at, text) = match xml.find(&format!("name=\"{SECTION}\"")) {
        Some(section) => (section + xml.get(section..)?.find("</rows>")?, rows),
        None => {
            let section = format!(
                "<section name=\"{SECTION}\" showlabel=\"true\" showbar=\"false\" columns=\"1\" \
                 id=\"{{{}}}\"><labels><label description=\"{LABEL}\" languagecode=\"{language}\" \
                 /></labels><rows>{rows}</rows></section>",
                randomness.guid()
            );
            (xml.find("</sections>")?, section)
        }
    };
    Some(format!("{}{text}{}", xml.get(..at)?, xml.get(at..)?))
}

fn row(field: &WantedField, language: i64, randomness: &dyn Randomness) -> String {
    let name = escaped(&field.name);
    format!(
        "<row><cell id=\"{{{}}}\" showlabel=\"true\"><labels><label description=\"{}\" \
         languagecode=\"{language}\" /></labels><control id=\"{name}\" classid=\"{{{}}}\" \
         datafieldname=\"{name}\" disabled=\"{}\" /></cell></row>",
        randomness.guid(),
        escaped(&field.label),
        control(&field.kind),
        field.sellers == SellerAccess::Read
    )
}

/// The platform's control for a kind of column.
fn control(kind: &str) -> &'static str {
    match kind {
        "boolean" => "67FAC785-CD58-4f9f-ABB3-4B7DDC6ED5ED",
        "long_text" => "E0DECE4B-6FC8-4a8f-A065-082708572369",
        "option" => "3EF39988-22BB-4f0b-BBBE-64B5A3748AEE",
        "url" => "71716B6C-711E-476c-8AB8-5D11542BFB47",
        _ => "4273EDBD-AC1D-40d3-9FB2-095C621B552D",
    }
}
