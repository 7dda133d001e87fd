//! Reading lists: filter, order, pages and the change feed.

mod evaluate;
mod filter;
mod options;
mod render;
mod tracking;

use std::cmp::Ordering;

use serde_json::{Value as Json, json};

pub(super) use evaluate::{JsonSubject, RowSubject, Subject, meets, order};
pub(super) use options::Options;
pub(super) use render::{Members, etag};

use super::call::{Answer, Call, Preferences};
use super::data::Row;
use super::problem::Problem;
use super::schema::Table;
use super::state::State;

impl State {
    /// The size of a page that a call may have.
    pub(super) fn page_size(&self, preferences: &Preferences) -> usize {
        let limit = self.options.page_limit;
        preferences.page_size.map_or(limit, |size| size.clamp(1, limit))
    }

    /// `GET` of an entity set, or of the children `within` a row (lookup, table, id).
    pub(super) fn list(
        &self,
        call: &Call,
        table: &Table,
        within: Option<(&str, &str, &str)>,
    ) -> Result<Answer, Problem> {
        let mut options = Options::read(call.query.iter().map(|(n, v)| (n.as_str(), v.as_str())))?;
        options.root.clone_from(&call.root);
        let preferences = call.preferences();
        let goes_on = options.skip_token.as_deref().is_some_and(tracking::is_tracking);
        if preferences.track_changes || options.delta_token.is_some() || goes_on {
            return self.tracked(call, table, &options, &preferences);
        }
        let mut rows = self.matching(table, &options, within)?;
        let total = rows.len();
        let size = self.page_size(&preferences);
        let wanted = options.top.unwrap_or(usize::MAX);
        let done = match &options.skip_token {
            Some(cookie) => Cookie::read(cookie)?.skip(&mut rows),
            None => 0,
        };
        let left = wanted.saturating_sub(done);
        let more = rows.len() > size && left > size;
        rows.truncate(size.min(left));
        let annotations = preferences.annotations.as_deref();
        let mut rendered = Vec::with_capacity(rows.len());
        for (_, row) in &rows {
            rendered.push(self.render(table, row, &options, annotations, None)?);
        }
        let mut members = Members::default();
        members.add("@odata.context", &json!(context(call, table, &options, "")));
        if options.count {
            members.add("@odata.count", &json!(total.min(5000)));
            if total > 5000 {
                members.add("@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded", &json!(true));
            }
        }
        members.text("value", &format!("[{}]", rendered.join(",")));
        if let Some((keys, row)) = rows.last().filter(|_| more) {
            let cookie = Cookie { done: done + rows.len(), keys: keys.clone(), id: row.id.clone() };
            members.add("@odata.nextLink", &json!(link(call, "$skiptoken", &cookie.write())));
        }
        Ok(applied(Answer::json(200, members.object()), &preferences))
    }

    /// The rows that meet a query, in order, each with the values it is ordered by.
    pub(super) fn matching<'a>(
        &'a self,
        table: &Table,
        options: &Options,
        within: Option<(&str, &str, &str)>,
    ) -> Result<Vec<(SortKeys, &'a Row)>, Problem> {
        self.check_names(table, options)?;
        let mut rows = Vec::new();
        for row in self.data.rows(&table.logical) {
            let inside = within.is_none_or(|(lookup, parent, id)| {
                row.values.get(lookup).and_then(super::write::target_of) == Some((parent, id))
            });
            let subject = RowSubject { state: self, table, row };
            let met = options.filter.as_ref().map_or(Ok(true), |filter| meets(filter, &subject));
            if inside && met? {
                let value = |(path, down): &(Vec<String>, bool)| Ok((subject.value(path)?, *down));
                let keys =
                    options.order.iter().map(value).collect::<Result<SortKeys, Problem>>()?;
                rows.push((keys, row.as_ref()));
            }
        }
        rows.sort_by(|left, right| {
            compare(&left.0, &right.0).then_with(|| left.1.id.cmp(&right.1.id))
        });
        Ok(rows)
    }

    /// Refuses unknown names even if there is no row to find them in.
    fn check_names(&self, table: &Table, options: &Options) -> Result<(), Problem> {
        let nothing = Row { id: String::new(), version: 0, values: serde_json::Map::new() };
        let subject = RowSubject { state: self, table, row: &nothing };
        if let Some(filter) = &options.filter {
            meets(filter, &subject)?;
        }
        for (path, _) in &options.order {
            subject.value(path)?;
        }
        self.render(table, &nothing, options, None, None)?;
        Ok(())
    }
}

/// Values a row is ordered by, each with whether it descends.
pub(super) type SortKeys = Vec<(Json, bool)>;

fn compare(left: &SortKeys, right: &SortKeys) -> Ordering {
    let pairs = left.iter().zip(right);
    pairs.fold(Ordering::Equal, |so_far, ((left, down), (right, _))| {
        so_far.then_with(|| if *down { order(right, left) } else { order(left, right) })
    })
}

/// Where a list goes on: after the last row shown, so that rows which come and go between two pages
/// move nothing.
struct Cookie {
    done: usize,
    keys: SortKeys,
    id: String,
}

impl Cookie {
    fn write(&self) -> String {
        hex(&json!({"done": self.done, "keys": self.keys, "id": self.id}).to_string())
    }

    fn read(text: &str) -> Result<Self, Problem> {
        let value = unhex(text).ok_or_else(bad_token)?;
        let value: Json = serde_json::from_str(&value).map_err(|_| bad_token())?;
        let done = value.get("done").and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        let keys = value.get("keys").cloned().and_then(|keys| serde_json::from_value(keys).ok());
        let id = value.get("id").and_then(Json::as_str).map(str::to_owned);
        match (done, keys, id) {
            (Some(done), Some(keys), Some(id)) => Ok(Self { done, keys, id }),
            _ => Err(bad_token()),
        }
    }

    fn skip(&self, rows: &mut Vec<(SortKeys, &Row)>) -> usize {
        rows.retain(|(keys, row)| {
            compare(keys, &self.keys).then_with(|| row.id.cmp(&self.id)) == Ordering::Greater
        });
        self.done
    }
}

fn bad_token() -> Problem {
    Problem::new(400, "0x80060888", "Malformed XML in the Paging Cookie.")
}

/// Opaque text of a token.
fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        out.push_str(&format!("{byte:02x}"));
        out
    })
}

fn unhex(text: &str) -> Option<String> {
    let bytes = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect::<Option<Vec<_>>>()?;
    String::from_utf8(bytes).ok()
}

/// The address of the call with `name=value` in place of any earlier token.
fn link(call: &Call, name: &str, value: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (option, held) in &call.query {
        if !matches!(option.as_str(), "$skiptoken" | "$deltatoken") {
            query.append_pair(option, held);
        }
    }
    query.append_pair(name, value);
    let query = query.finish().replace("%24", "$").replace('+', "%20");
    format!("{}{}?{query}", call.root, call.raw_path)
}

fn context(call: &Call, table: &Table, options: &Options, tail: &str) -> String {
    let select = options.select.as_ref().map(|names| format!("({})", names.join(",")));
    format!("{}/$metadata#{}{}{tail}", call.root, table.set, select.unwrap_or_default())
}

fn applied(answer: Answer, preferences: &Preferences) -> Answer {
    let mut parts = Vec::new();
    if let Some(size) = preferences.page_size {
        parts.push(format!("odata.maxpagesize={size}"));
    }
    if preferences.track_changes {
        parts.push("odata.track-changes".to_owned());
    }
    if let Some(annotations) = &preferences.annotations {
        parts.push(format!("odata.include-annotations=\"{annotations}\""));
    }
    if parts.is_empty() { answer } else { answer.with("Preference-Applied", parts.join(",")) }
}
