//! Runs a query against the rows.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::ast::{Condition, Order, Path, Query, Select};
use super::matching::{Operand, meets, millis, operand};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::{Fields, Org};
use crate::connect::salesforce::sandbox::schema::{Field, Kind, Object};

/// Where and for whom a query runs.
pub(crate) struct Source<'a> {
    pub(crate) org: &'a Org,
    pub(crate) user: &'a str,
    pub(crate) tooling: bool,
    /// `/queryAll`: rows in the recycle bin as well.
    pub(crate) deleted: bool,
    pub(crate) version: &'a str,
}

/// Every record of the result, or only their number for `COUNT()`.
///
/// # Errors
///
/// Unknown objects and columns, values of the wrong type.
pub(crate) fn run(source: &Source<'_>, query: &Query) -> Result<(usize, Vec<Value>), Failure> {
    let object = source.object(&query.from)?;
    let columns = source.columns(object, query)?;
    let below = query.below.iter().map(|below| Below::new(source, object, below));
    let below = below.collect::<Result<Vec<_>, _>>()?;
    let rows = source.rows(object, query)?;
    if query.select == Select::Count {
        return Ok((rows.len(), Vec::new()));
    }
    let records = rows.into_iter().map(|row| {
        let mut record = source.record(object, row, &columns);
        for below in &below {
            record[&below.way] = below.of(row);
        }
        record
    });
    let records: Vec<Value> = records.collect();
    Ok((records.len(), records))
}

/// A filter whose literals have become operands.
enum Bound {
    All(Vec<Bound>),
    Any(Vec<Bound>),
    Not(Box<Bound>),
    Test(Path, super::ast::Operator, Operand),
    In(Path, bool, Vec<Operand>),
}

/// The rows below, ready to be handed out with the row that they belong to.
struct Below {
    /// The way to them under its own name.
    way: String,
    /// Each with the id of the row above it.
    records: Vec<(String, Value)>,
}

impl Below {
    fn new(source: &Source<'_>, above: &Object, query: &Query) -> Result<Self, Failure> {
        let found = source.org.schema.below(&above.name, &query.from);
        let (object, field) = found.ok_or_else(|| {
            let message = format!(
                "\nDidn't understand relationship '{}' in FROM part of query call. If you are \
                 attempting to use a custom relationship, be sure to append the '__r' after the \
                 custom relationship name.",
                query.from
            );
            Failure::new("INVALID_TYPE", message)
        })?;
        let columns = source.columns(object, query)?;
        let records = source.rows(object, query)?.into_iter().map(|row| {
            let above = row.get(&field.name).and_then(Value::as_str).unwrap_or_default();
            (above.to_owned(), source.record(object, row, &columns))
        });
        let way = field.way_down.clone().unwrap_or_default();
        Ok(Self { way, records: records.collect() })
    }

    /// Those of one row; null where there are none.
    fn of(&self, above: &Fields) -> Value {
        let id = above.get("Id").and_then(Value::as_str).unwrap_or_default();
        let own = self.records.iter().filter(|(above, _)| above == id);
        let own: Vec<&Value> = own.map(|(_, record)| record).collect();
        match own.is_empty() {
            true => Value::Null,
            false => json!({ "totalSize": own.len(), "done": true, "records": own }),
        }
    }
}

impl<'a> Source<'a> {
    /// The rows of a query in their order, within its limit.
    fn rows(&self, object: &'a Object, query: &Query) -> Result<Vec<&'a Fields>, Failure> {
        let filter = query.filter.as_ref().map(|filter| self.bind(object, filter)).transpose()?;
        let mut kinds = Vec::new();
        for order in &query.order {
            let field = self.resolve(object, &order.path)?;
            kinds.push(field.kind);
            if field.is_long_text() {
                let message = format!("field '{}' can not be sorted in a query call", field.name);
                return Err(Failure::new("INVALID_FIELD", message));
            }
        }
        if query.offset > 2_000 {
            let message = "Maximum SOQL offset allowed is 2000";
            return Err(Failure::new("NUMBER_OUTSIDE_VALID_RANGE", message));
        }
        let mut rows: Vec<&Fields> = self
            .org
            .table(&object.name)
            .filter(|(_, row)| self.deleted || row.deleted_at.is_none())
            .map(|(_, row)| &row.fields)
            .filter(|row| filter.as_ref().is_none_or(|filter| self.holds(object, row, filter)))
            .collect();
        rows.sort_by(|left, right| self.compare(object, &query.order, &kinds, left, right));
        let wanted = rows.into_iter().skip(query.offset);
        Ok(wanted.take(query.limit.unwrap_or(usize::MAX)).collect())
    }

    /// The values of a query's one column, which holds ids. Whether `/queryAll` reaches into a query
    /// within another is not documented: here it does not.
    fn ids(&self, query: &Query) -> Result<Vec<Operand>, Failure> {
        let object = self.object(&query.from)?;
        let columns = self.columns(object, query)?;
        let [path] = columns.as_slice() else {
            let message = "Semi join sub-selects must have exactly one column";
            return Err(Failure::new("MALFORMED_QUERY", message));
        };
        if !matches!(self.resolve(object, path)?.kind, Kind::Id | Kind::Reference) {
            let message = "Semi join sub-selects can only query id fields";
            return Err(Failure::new("MALFORMED_QUERY", message));
        }
        let live = Self { deleted: false, ..*self };
        let values = live.rows(object, query)?.into_iter().map(|row| self.value(object, row, path));
        Ok(values.filter_map(|value| Some(Operand::Id(value.as_str()?.to_owned()))).collect())
    }

    fn object(&self, name: &str) -> Result<&'a Object, Failure> {
        let found = self.org.object(name, self.tooling);
        found.filter(|object| self.org.may_read(object, self.user)).ok_or_else(|| {
            let message = format!(
                "\nsObject type '{name}' is not supported. If you are attempting to use a custom \
                 object, be sure to append the '__c' after the entity name."
            );
            Failure::new("INVALID_TYPE", message)
        })
    }

    fn columns(&self, object: &'a Object, query: &Query) -> Result<Vec<Path>, Failure> {
        match &query.select {
            Select::Count => Ok(Vec::new()),
            Select::Columns(columns) => {
                for path in columns {
                    self.resolve(object, path)?;
                }
                Ok(columns.clone())
            }
            Select::Fields(group) => {
                if group != "STANDARD" && query.limit.is_none_or(|limit| limit > 200) {
                    let message = "The SOQL FIELDS function must have a LIMIT of at most 200";
                    return Err(Failure::new("MALFORMED_QUERY", message));
                }
                let wanted = object.fields.iter().filter(|field| match group.as_str() {
                    "STANDARD" => !field.custom,
                    "CUSTOM" => field.custom,
                    _ => true,
                });
                Ok(wanted
                    .filter(|field| self.org.access(object, field, self.user).0)
                    .map(|field| vec![field.name.clone()])
                    .collect())
            }
        }
    }

    /// The field at the end of a path, if every step of it exists and is visible.
    fn resolve(&self, object: &'a Object, path: &[String]) -> Result<&'a Field, Failure> {
        let (last, steps) = path.split_last().ok_or_else(Failure::not_found)?;
        let mut here = object;
        for step in steps {
            let field = here.relationship(step).filter(|field| {
                let target = field.reference_to.first();
                let target = target.and_then(|target| self.org.object(target, self.tooling));
                target.is_some_and(|target| self.org.may_read(target, self.user))
            });
            let field = field.ok_or_else(|| {
                let message = format!(
                    "Didn't understand relationship '{step}' in field path. If you are attempting \
                     to use a custom relationship, be sure to append the '__r' after the custom \
                     relationship name."
                );
                Failure::new("INVALID_FIELD", message)
            })?;
            here = self.object(field.reference_to.first().map_or("", String::as_str))?;
        }
        self.org.visible(here, last, self.user).ok_or_else(|| {
            let message = format!(
                "\nNo such column '{last}' on entity '{}'. If you are attempting to use a custom \
                 field, be sure to append the '__c' after the custom field name. Please reference \
                 your WSDL or the describe call for the appropriate names.",
                here.name
            );
            Failure::new("INVALID_FIELD", message)
        })
    }

    fn bind(&self, object: &'a Object, condition: &Condition) -> Result<Bound, Failure> {
        let all = |parts: &[Condition]| {
            parts.iter().map(|part| self.bind(object, part)).collect::<Result<Vec<_>, _>>()
        };
        let now = self.org.now();
        Ok(match condition {
            Condition::All(parts) => Bound::All(all(parts)?),
            Condition::Any(parts) => {
                if parts.iter().any(|part| matches!(part, Condition::InRows(..))) {
                    let message = "Semi join sub-selects are not allowed with the 'OR' operator";
                    return Err(Failure::new("MALFORMED_QUERY", message));
                }
                Bound::Any(all(parts)?)
            }
            Condition::InRows(path, inside, query) => {
                self.resolve(object, path)?;
                Bound::In(path.clone(), *inside, self.ids(query)?)
            }
            Condition::Not(part) => Bound::Not(Box::new(self.bind(object, part)?)),
            Condition::Compare(path, operator, literal) => {
                let field = self.resolve(object, path)?;
                Bound::Test(path.clone(), *operator, operand(field, *operator, literal, now)?)
            }
            Condition::In(path, inside, values) => {
                let field = self.resolve(object, path)?;
                let equal = super::ast::Operator::Equal;
                let operands = values.iter().map(|value| operand(field, equal, value, now));
                Bound::In(path.clone(), *inside, operands.collect::<Result<_, _>>()?)
            }
        })
    }

    fn holds(&self, object: &Object, row: &Fields, filter: &Bound) -> bool {
        match filter {
            Bound::All(parts) => parts.iter().all(|part| self.holds(object, row, part)),
            Bound::Any(parts) => parts.iter().any(|part| self.holds(object, row, part)),
            Bound::Not(part) => !self.holds(object, row, part),
            Bound::Test(path, operator, operand) => {
                meets(&self.value(object, row, path), *operator, operand)
            }
            Bound::In(path, inside, operands) => {
                let value = self.value(object, row, path);
                let equal = super::ast::Operator::Equal;
                operands.iter().any(|operand| meets(&value, equal, operand)) == *inside
            }
        }
    }

    /// The value at the end of a path; null where a step leads nowhere.
    fn value(&self, object: &Object, row: &Fields, path: &[String]) -> Value {
        let Some((first, rest)) = path.split_first() else { return Value::Null };
        if rest.is_empty() {
            let field = object.field(first);
            return field.and_then(|field| row.get(&field.name)).cloned().unwrap_or_default();
        }
        self.parent(object, row, first)
            .map_or(Value::Null, |(parent, fields)| self.value(parent, fields, rest))
    }

    fn parent(
        &self,
        object: &Object,
        row: &Fields,
        step: &str,
    ) -> Option<(&'a Object, &'a Fields)> {
        let field = object.relationship(step)?;
        let id = row.get(&field.name)?.as_str()?;
        let parent = self.object(field.reference_to.first()?).ok()?;
        Some((parent, &self.org.stored(&parent.name, id)?.fields))
    }

    fn compare(
        &self,
        object: &Object,
        order: &[Order],
        kinds: &[Kind],
        left: &Fields,
        right: &Fields,
    ) -> Ordering {
        for (key, kind) in order.iter().zip(kinds) {
            let (left, right) =
                (self.value(object, left, &key.path), self.value(object, right, &key.path));
            let found = match (left.is_null(), right.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if key.nulls_last => Ordering::Greater,
                (true, false) => Ordering::Less,
                (false, true) if key.nulls_last => Ordering::Less,
                (false, true) => Ordering::Greater,
                _ if key.descending => by_kind(*kind, &right, &left),
                _ => by_kind(*kind, &left, &right),
            };
            if found != Ordering::Equal {
                return found;
            }
        }
        Ordering::Equal
    }

    fn record(&self, object: &Object, row: &Fields, columns: &[Path]) -> Value {
        let mut record = Map::new();
        let id = row.get("Id").and_then(Value::as_str).unwrap_or_default();
        let base = if object.tooling { "tooling/sobjects" } else { "sobjects" };
        let url = format!("/services/data/{}/{base}/{}/{id}", self.version, object.name);
        record.insert("attributes".into(), json!({ "type": object.name, "url": url }));
        let mut done: Vec<String> = Vec::new();
        for path in columns {
            let Some((first, rest)) = path.split_first() else { continue };
            if rest.is_empty() {
                if let Some(field) = object.field(first) {
                    let value = row.get(&field.name).cloned().unwrap_or_default();
                    record.insert(field.name.clone(), value);
                }
            } else if !done.iter().any(|name| name.eq_ignore_ascii_case(first)) {
                done.push(first.clone());
                let name = object.relationship(first).and_then(|field| field.relationship.clone());
                let below: Vec<Path> = columns
                    .iter()
                    .filter(|other| other.len() > 1 && other[0].eq_ignore_ascii_case(first))
                    .map(|other| other[1..].to_vec())
                    .collect();
                let parent = self.parent(object, row, first);
                let value = parent.map(|(parent, fields)| self.record(parent, fields, &below));
                record.insert(name.unwrap_or_default(), value.unwrap_or_default());
            }
        }
        Value::Object(record)
    }
}

fn by_kind(kind: Kind, left: &Value, right: &Value) -> Ordering {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match kind {
        Kind::Boolean => left.as_bool().cmp(&right.as_bool()),
        Kind::Date | Kind::DateTime => millis(&text(left)).cmp(&millis(&text(right))),
        Kind::Id | Kind::Reference => text(left).cmp(&text(right)),
        kind if kind.is_number() => {
            left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal)
        }
        _ => text(left).to_lowercase().cmp(&text(right).to_lowercase()),
    }
}
