//! Whether a row meets a condition, and how rows are ordered.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::filter::{Condition, Operator, TextTest};
use crate::connect::dynamics365::sandbox::data::Row;
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::{Kind, Table};
use crate::connect::dynamics365::sandbox::state::State;
use crate::connect::dynamics365::sandbox::write::{decimal, target_of};
use crate::domain::time::Timestamp;

/// Something whose properties a condition can name.
pub(in super::super) trait Subject {
    /// The value at `path`; `Null` if there is none.
    fn value(&self, path: &[String]) -> Result<Json, Problem>;
}

/// A row with the means to follow its lookups.
pub(in super::super) struct RowSubject<'a> {
    pub(in super::super) state: &'a State,
    pub(in super::super) table: &'a Table,
    pub(in super::super) row: &'a Row,
}

impl Subject for RowSubject<'_> {
    fn value(&self, path: &[String]) -> Result<Json, Problem> {
        self.state.value_at(self.table, Some(self.row), path)
    }
}

/// A definition as JSON.
pub(in super::super) struct JsonSubject<'a>(pub(in super::super) &'a Json);

impl Subject for JsonSubject<'_> {
    fn value(&self, path: &[String]) -> Result<Json, Problem> {
        let mut here = self.0;
        for name in path {
            here = match here.get(name) {
                Some(next) => next,
                None if here.is_null() => return Ok(Json::Null),
                None => return Err(Problem::unknown_property("EntityMetadata", name)),
            };
        }
        Ok(here.clone())
    }
}

impl State {
    fn value_at(&self, table: &Table, row: Option<&Row>, path: &[String]) -> Result<Json, Problem> {
        match path {
            [name] => {
                let column = table
                    .selectable(name)
                    .ok_or_else(|| Problem::unknown_property(&table.logical, name))?;
                let Some(row) = row else { return Ok(Json::Null) };
                if column.logical == table.primary_id {
                    return Ok(Json::from(row.id.clone()));
                }
                if column.logical == "versionnumber" {
                    return Ok(Json::from(row.version));
                }
                let value = row.values.get(&column.logical).cloned().unwrap_or(Json::Null);
                Ok(target_of(&value).map(|(_, id)| Json::from(id)).unwrap_or(value))
            }
            [navigation, rest @ ..] if !rest.is_empty() => {
                let (column, target) = table
                    .navigation(navigation)
                    .ok_or_else(|| Problem::unknown_property(&table.logical, navigation))?;
                debug_assert!(matches!(column.kind, Kind::Lookup(_)));
                let held = row.and_then(|row| row.values.get(&column.logical)).and_then(target_of);
                let other = held
                    .filter(|(table, _)| *table == target.table)
                    .and_then(|(table, id)| self.data.row(table, id));
                let table = self.table(&target.table)?;
                self.value_at(&table, other.map(AsRef::as_ref), rest)
            }
            _ => Err(Problem::query("An empty path.")),
        }
    }
}

/// Whether `subject` meets `condition`.
pub(in super::super) fn meets(
    condition: &Condition,
    subject: &dyn Subject,
) -> Result<bool, Problem> {
    match condition {
        // Both sides are always read, so that an unknown name is refused whatever the data.
        Condition::And(left, right) => Ok(meets(left, subject)? & meets(right, subject)?),
        Condition::Or(left, right) => Ok(meets(left, subject)? | meets(right, subject)?),
        Condition::Not(inner) => Ok(!meets(inner, subject)?),
        Condition::Is(path) => Ok(subject.value(path)? == Json::Bool(true)),
        Condition::Text(test, path, wanted) => {
            let value = subject.value(path)?;
            let (held, wanted) =
                (value.as_str().unwrap_or("").to_lowercase(), wanted.to_lowercase());
            Ok(match test {
                TextTest::Contains => held.contains(&wanted),
                TextTest::StartsWith => held.starts_with(&wanted),
                TextTest::EndsWith => held.ends_with(&wanted),
            })
        }
        Condition::Compare(path, operator, wanted) => {
            Ok(compares(&subject.value(path)?, *operator, wanted))
        }
    }
}

fn compares(held: &Json, operator: Operator, wanted: &Json) -> bool {
    let equal = match (held.is_null(), wanted.is_null()) {
        (true, true) => Some(Ordering::Equal),
        (false, false) => Some(order(held, wanted)),
        _ => None,
    };
    match operator {
        Operator::Equal => equal == Some(Ordering::Equal),
        Operator::NotEqual => equal != Some(Ordering::Equal),
        _ if wanted.is_null() => false,
        Operator::Greater => equal == Some(Ordering::Greater),
        Operator::GreaterOrEqual => matches!(equal, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Less => equal == Some(Ordering::Less),
        Operator::LessOrEqual => matches!(equal, Some(Ordering::Less | Ordering::Equal)),
    }
}

/// Order of two values: nulls first, numbers by size, instants by time, text without case.
pub(in super::super) fn order(left: &Json, right: &Json) -> Ordering {
    match (left, right) {
        (Json::Null, Json::Null) => Ordering::Equal,
        (Json::Null, _) => Ordering::Less,
        (_, Json::Null) => Ordering::Greater,
        (Json::Bool(left), Json::Bool(right)) => left.cmp(right),
        (Json::Number(_), Json::Number(_)) => decimal(left).cmp(&decimal(right)),
        (Json::String(left), Json::String(right)) => match (instant(left), instant(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.to_lowercase().cmp(&right.to_lowercase()),
        },
        _ => left.to_string().cmp(&right.to_string()),
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let looks_like_one = text.as_bytes().get(4) == Some(&b'-') && text.contains('T');
    if looks_like_one { Timestamp::parse(text) } else { None }
}
