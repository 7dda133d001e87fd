//! Instants and dates, wrapped so that the time library stays out of every signature.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in UTC, to the millisecond.
///
/// Written and read as RFC 3339 text with `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01 UTC, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment later by `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// This moment earlier by `duration`.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an ISO 8601 instant the way the three systems write it: 0 to 9 fraction digits, and
    /// `Z`, `+00:00` or `+0000` as the offset. A text without an offset is read as UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(Self(instant.as_millisecond()));
        }
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        let instant = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        Some(Self(instant.as_millisecond()))
    }

    /// The date of this moment in UTC.
    #[must_use]
    pub fn date(self) -> Date {
        Date(self.zoned(jiff::tz::TimeZone::UTC).date())
    }

    /// Day, month, year, hour and minute in the named zone, for people: `22 Nov 2026 14:03`.
    /// An unknown zone is read as UTC.
    #[must_use]
    pub fn for_people(self, zone: &str) -> String {
        let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
        self.zoned(zone).strftime("%-d %b %Y %H:%M").to_string()
    }

    /// The HTTP date of this moment, to the second: `Tue, 01 Sep 2026 10:00:00 GMT`.
    #[must_use]
    pub fn http_date(self) -> String {
        let secs = u64::try_from(self.as_secs()).unwrap_or(0);
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(secs))
    }

    /// Reads an HTTP date; `None` if the text is not one.
    #[must_use]
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let time = httpdate::parse_http_date(text).ok()?;
        let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self(i64::try_from(since.as_millis()).ok()?))
    }

    fn zoned(self, zone: jiff::tz::TimeZone) -> jiff::Zoned {
        let clamped = self.0.clamp(-62_000_000_000_000, 253_000_000_000_000);
        jiff::Timestamp::from_millisecond(clamped).unwrap_or_default().to_zoned(zone)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zoned = self.zoned(jiff::tz::TimeZone::UTC);
        formatter.write_str(&zoned.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not an instant"))
    }
}

/// A calendar date without a time or a zone, for example a close date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Date(jiff::civil::Date);

impl Date {
    /// Reads `YYYY-MM-DD`; `None` if it is not a date of the calendar.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != 10 {
            return None;
        }
        text.parse().ok().map(Self)
    }

    /// The date on which `instant` falls in the named zone; `None` if the zone is unknown.
    #[must_use]
    pub fn of(instant: Timestamp, zone: &str) -> Option<Self> {
        let zone = jiff::tz::TimeZone::get(zone).ok()?;
        Some(Self(instant.zoned(zone).date()))
    }

    /// The moment at which this date begins in UTC.
    #[must_use]
    pub fn midnight_utc(self) -> Timestamp {
        let instant = self.0.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp());
        Timestamp(instant.map_or(0, jiff::Timestamp::as_millisecond))
    }

    /// The date for people: `15 Jan 2027`.
    #[must_use]
    pub fn for_people(self) -> String {
        self.0.strftime("%-d %b %Y").to_string()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a date"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Date, Timestamp};

    #[test]
    fn every_spelling_of_an_instant_is_read() {
        let table = [
            ("2024-05-01T10:00:00.1234567Z", "2024-05-01T10:00:00.123Z", "seven digits, .NET"),
            ("2024-05-02T09:30:00.123456Z", "2024-05-02T09:30:00.123Z", "six digits"),
            ("2024-09-30T00:00:00Z", "2024-09-30T00:00:00.000Z", "no fraction"),
            ("2024-09-30T00:00:00.000+0000", "2024-09-30T00:00:00.000Z", "Salesforce offset"),
            ("2024-09-30T02:00:00+02:00", "2024-09-30T00:00:00.000Z", "an offset"),
            ("2024-09-30T00:00:00", "2024-09-30T00:00:00.000Z", "no zone is UTC"),
        ];
        for (text, expected, why) in table {
            let read = Timestamp::parse(text).map(|instant| instant.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}: {why}");
        }
        assert_eq!(Timestamp::parse("2026-02-30T00:00:00Z"), None, "no such day");
    }

    #[test]
    fn a_date_never_shifts() {
        let date = Date::parse("2026-12-31").expect("a date");
        assert_eq!(date.midnight_utc().date(), date);
        assert_eq!(Date::parse("2026-02-30"), None);
        let late = Timestamp::parse("2026-12-31T23:30:00Z").expect("an instant");
        let berlin = Date::of(late, "Europe/Berlin").map(|date| date.to_string());
        assert_eq!(berlin.as_deref(), Some("2027-01-01"));
    }

    #[test]
    fn http_dates_go_both_ways() {
        let instant = Timestamp::parse("2026-09-01T10:00:00Z").expect("an instant");
        assert_eq!(instant.http_date(), "Tue, 01 Sep 2026 10:00:00 GMT");
        assert_eq!(Timestamp::parse_http_date(&instant.http_date()), Some(instant));
    }
}
