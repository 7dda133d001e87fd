//! Rows below a record, such as the line items of an opportunity: each mapped list is a query within
//! the query of the record, so that it costs no call of its own.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::client::{Client, Request};
use super::describe::{Table, WayDown};
use super::query::read_batch;
use crate::connect::error::ConnectError;

/// Between the values of many rows; a mapping takes them apart with `split:;`.
const SEPARATOR: &str = ";";

/// Most further batches of one list.
const MOST_BATCHES: usize = 100;

/// The ways down that `paths` take, each with what is read of its rows.
pub(super) fn mapped<'t>(table: &'t Table, paths: &[String]) -> Vec<(&'t WayDown, Vec<String>)> {
    let mut mapped: Vec<(&WayDown, Vec<String>)> = Vec::new();
    for path in paths {
        let Some((way, column)) = table.list(path) else { continue };
        match mapped.iter_mut().find(|(known, _)| std::ptr::eq(*known, way)) {
            Some((_, columns))
                if columns.iter().any(|known| known.eq_ignore_ascii_case(column)) => {}
            Some((_, columns)) => columns.push(column.to_owned()),
            None => mapped.push((way, vec![column.to_owned()])),
        }
    }
    mapped
}

/// The query of a list within the query of its record. A query that shows the recycle bin shows the
/// rows below in it too, so they are left out by name.
pub(super) fn within((way, columns): &(&WayDown, Vec<String>)) -> String {
    format!("(SELECT {} FROM {} WHERE IsDeleted = FALSE)", columns.join(", "), way.name)
}

/// The texts of many rows as one, each once, in an order that does not depend on the answer's.
pub(super) fn joined<'a>(values: impl Iterator<Item = &'a Json>) -> Json {
    let texts = values.filter_map(|value| match value {
        Json::String(text) => Some(text.trim().to_owned()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        _ => None,
    });
    let texts: BTreeSet<String> = texts.filter(|text| !text.is_empty()).collect();
    if texts.is_empty() {
        return Json::Null;
    }
    Json::String(texts.into_iter().collect::<Vec<_>>().join(SEPARATOR))
}

/// Whether a row holds only the beginning of a list.
pub(super) fn is_open(row: &Json) -> bool {
    row.as_object().is_some_and(|row| row.values().any(goes_on))
}

fn goes_on(member: &Json) -> bool {
    member.get("done") == Some(&Json::Bool(false))
}

impl Client {
    /// Reads on where the answer held only the beginning of a list.
    pub(super) async fn complete_lists(&self, rows: &mut [Json]) -> Result<(), ConnectError> {
        let members =
            rows.iter_mut().filter_map(Json::as_object_mut).flat_map(|row| row.values_mut());
        for list in members.filter(|member| goes_on(member)) {
            let mut next = list.get("nextRecordsUrl").and_then(Json::as_str).map(str::to_owned);
            if next.is_none() {
                return Err(ConnectError::Broken("a list that is neither done nor goes on".into()));
            }
            let mut further = Vec::new();
            for _ in 0..MOST_BATCHES {
                let Some(path) = next.take() else { break };
                if !path.starts_with(&self.data("/")) || path.contains("..") {
                    return Err(ConnectError::Broken("a list that goes on elsewhere".to_owned()));
                }
                let (json, moment) = self.json(&Request::get(path)).await?;
                let batch = read_batch(json, moment, &self.data("/"))?;
                further.extend(batch.rows);
                next = batch.next;
            }
            if next.is_some() {
                return Err(ConnectError::Broken("a list that does not end".to_owned()));
            }
            if let Some(Json::Array(records)) = list.get_mut("records") {
                records.extend(further);
            }
            if let Some(done) = list.get_mut("done") {
                *done = Json::Bool(true);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::joined;

    #[test]
    fn the_values_of_many_rows_are_one_text() {
        let table = [
            (json!([]), Json::Null, "no rows"),
            (json!([null, " "]), Json::Null, "nothing in them"),
            (json!(["B", "A", " B "]), json!("A;B"), "each once, sorted"),
            (json!([2, true]), json!("2;true"), "what is no text is printed"),
        ];
        for (values, expected, why) in table {
            let values = values.as_array().cloned().unwrap_or_default();
            assert_eq!(joined(values.iter()), expected, "{why}");
        }
    }
}
