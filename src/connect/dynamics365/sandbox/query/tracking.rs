//! The change feed: `Prefer: odata.track-changes` and delta links.

use serde_json::json;

use super::{Members, Options, applied, bad_token, context, link};
use crate::connect::dynamics365::sandbox::call::{Answer, Call, Preferences};
use crate::connect::dynamics365::sandbox::data::Row;
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::Table;
use crate::connect::dynamics365::sandbox::state::State;
use crate::domain::time::Timestamp;

/// One entry of a page.
enum Entry<'a> {
    Row(&'a Row),
    Gone(&'a str),
}

/// Where a feed stands between two pages: everything up to `after` was shown, and the next delta
/// link will begin at `since`, the version when the first page was read.
struct Progress {
    since: u64,
    after: u64,
    from: Option<u64>,
}

impl State {
    /// One page of a first full read, or of the changes since a delta token.
    pub(super) fn tracked(
        &self,
        call: &Call,
        table: &Table,
        options: &Options,
        preferences: &Preferences,
    ) -> Result<Answer, Problem> {
        refuse_options(options)?;
        if !table.tracks_changes {
            let message = format!("Change tracking is not enabled for entity {}.", table.logical);
            return Err(Problem::new(400, "0x80060888", message));
        }
        self.check_names(table, options)?;
        let progress = self.progress(table, options)?;
        let entries = self.entries(table, &progress);
        let size = self.page_size(preferences);
        let more = entries.len() > size;
        let shown = entries.get(..size.min(entries.len())).unwrap_or_default();
        let annotations = preferences.annotations.as_deref();
        let mut rendered = Vec::with_capacity(shown.len());
        for (_, entry) in shown {
            rendered.push(match entry {
                Entry::Row(row) => self.render(table, row, options, annotations, None)?,
                Entry::Gone(id) => {
                    let context = format!("{}/$metadata#{}/$deletedEntity", call.root, table.set);
                    json!({"@odata.context": context, "id": id, "reason": "deleted"}).to_string()
                }
            });
        }
        let tail = if progress.from.is_some() { "/$delta" } else { "" };
        let mut members = Members::default();
        members.add("@odata.context", &json!(context(call, table, options, tail)));
        members.text("value", &format!("[{}]", rendered.join(",")));
        match shown.last().filter(|_| more) {
            Some((position, _)) => {
                let cookie = cookie(&progress, *position);
                members.add("@odata.nextLink", &json!(link(call, "$skiptoken", &cookie)));
            }
            None => {
                let token = self.delta_token(progress.since);
                members.add("@odata.deltaLink", &json!(link(call, "$deltatoken", &token)));
            }
        }
        Ok(applied(Answer::json(200, members.object()), preferences))
    }

    /// `GET /opportunities/$count?$deltatoken=…`.
    pub(in super::super) fn count_changes(
        &self,
        table: &Table,
        options: &Options,
    ) -> Result<usize, Problem> {
        refuse_options(options)?;
        let progress = self.progress(table, options)?;
        Ok(self.entries(table, &progress).len())
    }

    fn progress(&self, table: &Table, options: &Options) -> Result<Progress, Problem> {
        if let Some(cookie) = &options.skip_token {
            return read_cookie(cookie);
        }
        let from = match &options.delta_token {
            Some(token) => Some(self.read_delta_token(table, token)?),
            None => None,
        };
        Ok(Progress { since: self.data.version, after: from.unwrap_or(0), from })
    }

    /// What is still to be shown, in order, each with its position: rows by version, then
    /// tombstones. A tombstone's position lies after every row's.
    fn entries(&self, table: &Table, progress: &Progress) -> Vec<(u64, Entry<'_>)> {
        let mut rows: Vec<(u64, Entry<'_>)> = self
            .data
            .rows(&table.logical)
            .filter(|row| row.version > progress.after)
            .map(|row| (row.version, Entry::Row(row.as_ref())))
            .collect();
        rows.sort_by_key(|(version, _)| *version);
        if let Some(from) = progress.from {
            let gone = self.data.tombstones.iter().filter(|gone| {
                gone.table == table.logical
                    && gone.version > from
                    && GONE + gone.version > progress.after
            });
            rows.extend(gone.map(|gone| (GONE + gone.version, Entry::Gone(gone.id.as_str()))));
        }
        rows
    }

    /// `919042!08/22/2017 08:10:44`.
    fn delta_token(&self, version: u64) -> String {
        let stamp = self.stamp();
        let (date, time) = stamp.trim_end_matches('Z').split_once('T').unwrap_or((&stamp, ""));
        let mut parts = date.split('-');
        let year = parts.next().unwrap_or_default();
        let rest = parts.collect::<Vec<_>>().join("/");
        format!("{version}!{rest}/{year} {time}")
    }

    fn read_delta_token(&self, table: &Table, token: &str) -> Result<u64, Problem> {
        let (version, moment) = token.split_once('!').ok_or_else(bad_token)?;
        let version: u64 = version.parse().map_err(|_| bad_token())?;
        let (date, time) = moment.split_once(' ').ok_or_else(bad_token)?;
        let [month, day, year] = date.split('/').collect::<Vec<_>>()[..] else {
            return Err(bad_token());
        };
        let issued = Timestamp::parse(&format!("{year}-{month}-{day}T{time}Z"));
        // Tokens hold whole seconds, so the age is counted in them too.
        let now = Timestamp::from_millis(self.clock.now().as_secs() * 1000);
        let age = now.since(issued.ok_or_else(bad_token)?);
        let floor = table.changed_at.max(self.delta_floor);
        if age > self.options.delta_life || version < floor {
            let message = "Version stamp associated with the client has expired. Please perform a \
                           full sync.";
            return Err(Problem::new(400, "0x80044352", message));
        }
        Ok(version)
    }
}

/// Added to the position of tombstones.
const GONE: u64 = 1 << 48;

fn refuse_options(options: &Options) -> Result<(), Problem> {
    for name in ["$filter", "$orderby", "$expand", "$top"] {
        if options.given.iter().any(|given| given == name) {
            let message = format!(
                "The \"{name}\" query parameter isn't supported when Change Tracking is enabled."
            );
            return Err(Problem::query(message));
        }
    }
    Ok(())
}

fn cookie(progress: &Progress, after: u64) -> String {
    let from = progress.from.map_or_else(|| "first".to_owned(), |from| from.to_string());
    super::hex(&format!("istracking {} {after} {from}", progress.since))
}

/// Whether a skip token belongs to the change feed.
pub(super) fn is_tracking(token: &str) -> bool {
    super::unhex(token).is_some_and(|text| text.starts_with("istracking"))
}

fn read_cookie(text: &str) -> Result<Progress, Problem> {
    let text = super::unhex(text).ok_or_else(bad_token)?;
    let ["istracking", since, after, from] = text.split(' ').collect::<Vec<_>>()[..] else {
        return Err(bad_token());
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad_token());
    let from = if from == "first" { None } else { Some(number(from)?) };
    Ok(Progress { since: number(since)?, after: number(after)?, from })
}
