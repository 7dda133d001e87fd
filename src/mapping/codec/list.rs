//! Lists whose items are told apart by one member.

use serde_json::{Map, Value as Json};

use super::{Fault, shown};
use crate::domain::value::{Item, Value};

/// How the items of a list are read and written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ListShape {
    /// Member by which items are told apart.
    pub(crate) identity: String,
    /// Members that are compared, the identity among them.
    pub(crate) parts: Vec<String>,
    /// Members of an item that the other side does not have yet.
    pub(crate) item: Map<String, Json>,
}

impl ListShape {
    /// Reads a JSON array of objects. Items without the identity are an error: they could not be
    /// told apart.
    pub(crate) fn read(&self, json: &Json) -> Result<Value, Fault> {
        let Some(items) = json.as_array() else {
            return Err(Fault::new(format!("{} is not a list", shown(json)), "enter a list"));
        };
        let read = items.iter().map(|item| self.read_item(item)).collect::<Result<_, _>>()?;
        Ok(Value::list(read))
    }

    fn read_item(&self, item: &Json) -> Result<Item, Fault> {
        let identity = item.get(&self.identity).and_then(Json::as_str).unwrap_or_default().trim();
        if identity.is_empty() {
            return Err(Fault::new(
                format!("an item has no `{}`: {}", self.identity, shown(item)),
                format!("give each item of the list its `{}`", self.identity),
            ));
        }
        let mut parts: Vec<(String, Value)> =
            self.parts.iter().map(|part| (part.clone(), part_value(item.get(part)))).collect();
        parts.sort();
        Ok(Item { identity: identity.to_lowercase(), parts })
    }

    /// The JSON array of `items`. An item that `current` has too keeps its other members.
    pub(crate) fn write(&self, items: &[Item], current: Option<&Json>) -> Json {
        let known = current.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        Json::Array(items.iter().map(|item| self.write_item(item, known)).collect())
    }

    fn write_item(&self, item: &Item, known: &[Json]) -> Json {
        let same = known.iter().find(|known| {
            let identity = known.get(&self.identity).and_then(Json::as_str).unwrap_or_default();
            identity.trim().to_lowercase() == item.identity
        });
        let mut members = match same {
            Some(Json::Object(members)) => members.clone(),
            _ => self.item.clone(),
        };
        for (part, value) in &item.parts {
            members.insert(part.clone(), part_json(value));
        }
        Json::Object(members)
    }

    /// Reads a text of identities joined by `separator`.
    pub(crate) fn split(&self, text: &str, separator: char) -> Value {
        let words = text.split(separator).map(str::trim).filter(|word| !word.is_empty());
        Value::list(
            words
                .map(|word| Item {
                    identity: word.to_lowercase(),
                    parts: vec![(self.identity.clone(), Value::Text(word.to_owned()))],
                })
                .collect(),
        )
    }

    /// The identities of `items` joined by `separator`; refused if one contains it.
    pub(crate) fn join(&self, items: &[Item], separator: char) -> Result<String, Fault> {
        let mut words = Vec::new();
        for item in items {
            let part = item.parts.iter().find(|(name, _)| *name == self.identity);
            let word = part.and_then(|(_, value)| value.as_text()).unwrap_or(&item.identity);
            if word.contains(separator) {
                return Err(Fault::new(
                    format!("`{word}` contains the separator `{separator}`"),
                    "use another separator in the mapping file",
                ));
            }
            words.push(word);
        }
        Ok(words.join(&separator.to_string()))
    }
}

fn part_value(json: Option<&Json>) -> Value {
    match json {
        Some(Json::String(text)) => Value::text(text),
        Some(Json::Bool(value)) => Value::Bool(*value),
        Some(number @ Json::Number(_)) => super::decimal_of(number, 10)
            .map_or_else(|_| Value::Text(number.to_string()), Value::decimal),
        Some(Json::Null) | None => Value::Null,
        Some(other) => Value::Text(other.to_string()),
    }
}

fn part_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(number) => Json::Number((*number).into()),
        Value::Decimal(decimal) => super::json_of(*decimal).unwrap_or(Json::Null),
        Value::Text(text) => Json::String(text.clone()),
        _ => Json::Null,
    }
}
