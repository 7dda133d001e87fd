//! One request and one answer, free of HTTP libraries, so that a batch can carry them too.

use serde_json::{Map, Value as Json};

use super::problem::Problem;

/// Path of the service root.
pub(super) const ROOT: &str = "/api/data/v9.2";

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Method, upper case.
    pub(super) method: String,
    /// Segments below the service root.
    pub(super) path: Vec<Segment>,
    /// Address as sent, below the service root and without the query.
    pub(super) raw_path: String,
    /// Decoded query options in order.
    pub(super) query: Vec<(String, String)>,
    /// Header names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// Body.
    pub(super) body: Vec<u8>,
    /// `http://host/api/data/v9.2`, with the host that the client used.
    pub(super) root: String,
    /// Who calls.
    pub(super) user: String,
}

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Name before the parenthesis.
    pub(super) name: String,
    /// What the parenthesis holds.
    pub(super) key: Option<Key>,
}

/// What addresses one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// Primary key, lower case.
    Id(String),
    /// Column and value pairs of an alternate key.
    Alternate(Vec<(String, String)>),
    /// Empty parentheses of a function.
    Empty,
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// Headers in order.
    pub(super) headers: Vec<(String, String)>,
    /// Body; empty for none.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// 204 without a body.
    pub(super) fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Vec::new() }
    }

    /// JSON with `status`.
    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let kind = "application/json; odata.metadata=minimal".to_owned();
        let headers = vec![("Content-Type".to_owned(), kind)];
        Self { status, headers, body: body.into() }
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What the `Prefer` header asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Preferences {
    pub(super) representation: bool,
    pub(super) page_size: Option<usize>,
    pub(super) track_changes: bool,
    pub(super) annotations: Option<String>,
    pub(super) continue_on_error: bool,
}

impl Call {
    /// Reads the address `path_and_query`, which starts below the service root.
    pub(super) fn address(&mut self, path_and_query: &str) -> Result<(), Problem> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        path.clone_into(&mut self.raw_path);
        self.query = url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let decoded = percent_decode(path)?;
        let parts = decoded.split('/').filter(|part| !part.is_empty());
        self.path = parts.map(segment).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// A header by its lower-case name. The literal `null` counts as absent.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.trim()).filter(|value| *value != "null")
    }

    /// A query option by its exact name.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    /// The body as a JSON object.
    pub(super) fn object(&self) -> Result<Map<String, Json>, Problem> {
        match serde_json::from_slice(&self.body) {
            Ok(Json::Object(object)) => Ok(object),
            Ok(_) => Err(Problem::payload("", "A start object was expected.")),
            Err(error) => Err(Problem::payload("", &format!("Invalid JSON: {error}"))),
        }
    }

    /// What `Prefer` asks for; several preferences and several headers are merged.
    pub(super) fn preferences(&self) -> Preferences {
        let mut preferences = Preferences::default();
        for (_, value) in self.headers.iter().filter(|(name, _)| name == "prefer") {
            for part in split_outside_quotes(value) {
                let (name, argument) = part.split_once('=').unwrap_or((part, ""));
                let argument = argument.trim().trim_matches('"');
                match name.trim() {
                    "return" => preferences.representation = argument == "representation",
                    "odata.maxpagesize" => preferences.page_size = argument.parse().ok(),
                    "odata.track-changes" => preferences.track_changes = true,
                    "odata.include-annotations" => {
                        preferences.annotations = Some(argument.to_owned());
                    }
                    "odata.continue-on-error" => preferences.continue_on_error = true,
                    _ => {}
                }
            }
        }
        preferences
    }
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .collect()
}

/// Undoes percent encoding in a path, where `+` is an ordinary character.
pub(super) fn percent_decode(text: &str) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or(&[]);
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::query("The address is not UTF-8."))
}

/// Reads `name` or `name(key)`.
pub(super) fn segment(text: &str) -> Result<Segment, Problem> {
    let Some((name, rest)) = text.split_once('(') else {
        return Ok(Segment { name: text.to_owned(), key: None });
    };
    let inside = rest
        .strip_suffix(')')
        .ok_or_else(|| Problem::query(format!("Bad Request - Error in query syntax: '{text}'.")))?;
    Ok(Segment { name: name.to_owned(), key: Some(key(inside)?) })
}

fn key(text: &str) -> Result<Key, Problem> {
    if text.is_empty() {
        return Ok(Key::Empty);
    }
    if let Ok(id) = uuid::Uuid::parse_str(text) {
        return Ok(Key::Id(id.to_string()));
    }
    let mut pairs = Vec::new();
    for part in split_outside_single_quotes(text) {
        let (column, literal) = part
            .split_once('=')
            .ok_or_else(|| Problem::query(format!("The key '{text}' is not valid.")))?;
        let value = match literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            Some(quoted) => quoted.replace("''", "'"),
            None => literal.to_owned(),
        };
        if value.contains(['<', '>', '*', '%', '&', ':', '\\', '?', '+', '#']) {
            let message =
                "A potentially dangerous Request.Path value was detected from the client.";
            return Err(Problem::query(message));
        }
        pairs.push((column.trim().to_owned(), value));
    }
    Ok(Key::Alternate(pairs))
}

fn split_outside_single_quotes(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '\'';
        character == ',' && !quoted
    })
    .collect()
}
