//! The reconciling feed: referrals updated since a watermark.
//!
//! * The watermark is the service's own time (its `Date` header when a sweep began). Ours only holds
//!   it back: a watermark that lies ahead would miss changes, one that lies behind reads some twice.
//! * Every sweep reads back by an overlap, so that what was written around the watermark is not
//!   missed. Seeing a referral twice is harmless; the feed never says that one is gone.
//! * Within a sweep the next page begins at the last change of this one, rather than at a place in
//!   a list that moves under our feet. Only where that makes no headway is the service's link used.
//! * Three spellings: plain instant, quoted instant, and no comparison at all (newest first, until
//!   older than the watermark). A refused spelling leads to the next and starts the sweep again.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::referrals::{broken, query};
use super::wire::{self, Page};
use crate::connect::error::ConnectError;
use crate::connect::partner_center_seam::ReferralPage;
use crate::domain::digest::sha256;
use crate::domain::referral::Referral;
use crate::domain::time::Timestamp;

/// A sweep whose links die again and again is given up after so many starts.
const RESTARTS: u32 = 3;

/// How the list is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Spelling {
    /// `updatedDateTime ge 2026-01-01T00:00:00Z`.
    #[default]
    Plain,
    /// `updatedDateTime ge '2026-01-01T00:00:00Z'`.
    Quoted,
    /// Newest first, without a comparison.
    NewestFirst,
}

impl Spelling {
    /// What to try when the service refuses this one.
    fn next(self) -> Option<Self> {
        match self {
            Self::Plain => Some(Self::Quoted),
            Self::Quoted => Some(Self::NewestFirst),
            Self::NewestFirst => None,
        }
    }
}

/// Where the feed is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Cursor {
    /// Everything updated before this by the service's clock was seen.
    #[serde(default)]
    watermark: Option<Timestamp>,
    /// The spelling that works.
    #[serde(default)]
    spelling: Spelling,
    /// The sweep under way.
    #[serde(default)]
    sweep: Option<Sweep>,
    /// How often this sweep began again because a link of the service's had died.
    #[serde(default)]
    restarts: u32,
}

impl Cursor {
    /// Reads a stored cursor. Only an object: an array would be read as its fields in order.
    fn read(text: &str) -> Option<Self> {
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        serde_json::from_value(fields.into()).ok()
    }

    /// Begins the sweep again after a refused query: in the same way if a link of the service's was
    /// refused, which may just have died, else in the next spelling. False if nothing is left to try.
    fn begin_again(&mut self) -> bool {
        let by_link = self.sweep.take().is_some_and(|sweep| sweep.by_link);
        if by_link && self.restarts < RESTARTS {
            self.restarts += 1;
            return true;
        }
        let Some(next) = self.spelling.next() else { return false };
        self.spelling = next;
        true
    }
}

/// A sweep that has more pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sweep {
    /// The watermark once the sweep is through.
    then: Option<Timestamp>,
    /// Query of the next page.
    query: String,
    /// Whether that query is the service's own link.
    #[serde(default)]
    by_link: bool,
    /// Begin of that query, to see headway.
    #[serde(default)]
    from: Option<Timestamp>,
    /// Pages so far.
    pages: u32,
    /// A query seen before, for telling a circle (Brent's method), and when to take the next one.
    seen: String,
    /// Pages at which `seen` is replaced.
    renew: u32,
}

impl Client {
    /// One page of the feed.
    pub(super) async fn read_changes(
        &self,
        cursor: Option<&str>,
    ) -> Result<ReferralPage, ConnectError> {
        let mut cursor = match cursor {
            None => Cursor::default(),
            Some(text) => Cursor::read(text).ok_or(ConnectError::CursorExpired)?,
        };
        loop {
            let query = match &cursor.sweep {
                Some(sweep) => sweep.query.clone(),
                None => self.ask(cursor.spelling, self.floor(&cursor)),
            };
            match self.read_page(&query).await {
                Err(ConnectError::Rejected(refusal)) if refusal.status != 403 => {
                    if !cursor.begin_again() {
                        return Err(ConnectError::Rejected(refusal));
                    }
                }
                Err(error) => return Err(error),
                Ok((page, answer)) => {
                    return self.advance(cursor, &query, page, answer.date());
                }
            }
        }
    }

    /// The first instant of a sweep.
    fn floor(&self, cursor: &Cursor) -> Option<Timestamp> {
        cursor.watermark.map(|watermark| watermark.minus(self.settings.overlap))
    }

    fn ask(&self, spelling: Spelling, from: Option<Timestamp>) -> String {
        let oldest_first = ("$orderby", "updatedDateTime asc");
        let newest_first = ("$orderby", "updatedDateTime desc");
        match (spelling, from) {
            (Spelling::NewestFirst, _) => query(&[newest_first]),
            (_, None) => query(&[oldest_first]),
            (Spelling::Plain, Some(from)) => {
                query(&[("$filter", &format!("updatedDateTime ge {from}")), oldest_first])
            }
            (Spelling::Quoted, Some(from)) => {
                let from = wire::literal(&from.to_string());
                query(&[("$filter", &format!("updatedDateTime ge {from}")), oldest_first])
            }
        }
    }

    /// Hands the page over and says where to go on.
    fn advance(
        &self,
        mut cursor: Cursor,
        asked: &str,
        page: Page,
        date: Option<Timestamp>,
    ) -> Result<ReferralPage, ConnectError> {
        let floor = self.floor(&cursor);
        let mut sweep = cursor.sweep.take().unwrap_or_else(|| Sweep {
            then: date
                .or_else(|| newest(&page.referrals))
                .map(|then| then.min(self.http.clock().now()))
                .max(cursor.watermark),
            query: String::new(),
            by_link: false,
            from: floor,
            pages: 0,
            seen: String::new(),
            renew: 1,
        });
        sweep.pages += 1;
        if sweep.pages > self.settings.page_cap {
            return Err(broken("more pages than any list can have"));
        }
        let next = match (cursor.spelling, page.next) {
            (_, None) => None,
            (Spelling::NewestFirst, Some(link)) => {
                (!is_older(&page.referrals, floor)).then_some((link, true, sweep.from))
            }
            (spelling, Some(link)) => Some(match headway(&page.referrals, sweep.from) {
                Some(last) => (self.ask(spelling, Some(last)), false, Some(last)),
                None => (link, true, sweep.from),
            }),
        };
        let more = next.is_some();
        match next {
            Some((query, by_link, from)) => {
                watch_for_circle(&mut sweep, asked, &query)?;
                sweep.query = query;
                sweep.by_link = by_link;
                sweep.from = from;
                cursor.sweep = Some(sweep);
            }
            None => {
                cursor.watermark = sweep.then;
                cursor.restarts = 0;
            }
        }
        let cursor = serde_json::to_string(&cursor)
            .map_err(|error| ConnectError::Broken(format!("the cursor cannot be kept: {error}")))?;
        Ok(ReferralPage { referrals: page.referrals, cursor, more })
    }
}

fn newest(referrals: &[Referral]) -> Option<Timestamp> {
    referrals.iter().filter_map(Referral::updated).max()
}

/// Whether the page ends before `floor`. Without a floor there is no end but the list's own.
fn is_older(referrals: &[Referral], floor: Option<Timestamp>) -> bool {
    let last = referrals.last().and_then(Referral::updated);
    matches!((last, floor), (Some(last), Some(floor)) if last < floor)
}

/// The last change of a page that is in order and ends after `from`.
fn headway(referrals: &[Referral], from: Option<Timestamp>) -> Option<Timestamp> {
    let times: Option<Vec<Timestamp>> = referrals.iter().map(Referral::updated).collect();
    let times = times.filter(|times| times.is_sorted())?;
    let (first, last) = (*times.first()?, *times.last()?);
    let ahead = from.is_none_or(|from| last > from) && last > first;
    ahead.then_some(last)
}

/// Refuses a circle of links without keeping all of them.
fn watch_for_circle(sweep: &mut Sweep, asked: &str, next: &str) -> Result<(), ConnectError> {
    if sweep.pages >= sweep.renew {
        sweep.seen = sha256(asked.as_bytes());
        sweep.renew = sweep.renew.saturating_mul(2);
    }
    if sweep.seen == sha256(next.as_bytes()) {
        return Err(broken("a next link that leads in a circle"));
    }
    Ok(())
}
