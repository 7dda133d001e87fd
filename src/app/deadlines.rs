//! What ends by itself and needs a person in time: refresh token, client secret, certificates.

use super::parts::Parts;
use crate::domain::id::AccountName;
use crate::domain::time::Timestamp;

/// Fewer days than this are worth an alert.
pub(super) const FEW_DAYS: u64 = 14;
/// One day, in seconds.
const DAY: u64 = 86_400;

/// What ends soon for an account, or has ended; one sentence each. Asks no remote system.
pub(super) fn near(parts: &Parts, account: &AccountName) -> Vec<String> {
    let now = parts.around.clock.now();
    let seen = parts.slots.seen(account);
    let mut told = Vec::new();
    if let Some(days) = seen.days_left.filter(|days| u64::from(*days) < FEW_DAYS) {
        let login = parts.command(account, "login");
        told.push(format!(
            "The refresh token of Partner Center dies in {days} days; sign in with `{login}`."
        ));
    }
    let settings = parts.settings(account).map(|own| &own.partner_center);
    let secret = settings.and_then(|own| own.client_secret_expires);
    let client = parts.sign_ins.get(account).map(|state| &state.client);
    let certificate = client.and_then(|client| client.credential_ends());
    let ends = [
        ("client secret of Partner Center", secret.map(|date| date.midnight_utc()), REPLACE),
        ("certificate that signs in to Partner Center", certificate, REPLACE),
        ("certificate that signs Partner Center's events", seen.signing_ends, WATCH),
    ];
    told.extend(ends.into_iter().filter_map(|(what, at, fix)| sentence(what, at?, fix, now)));
    told
}

/// What to do about our own credential.
const REPLACE: &str =
    "make a new one, try it with `cosell-sync login --test-secret FILE`, put it in place";
/// What to do about a certificate that Microsoft renews.
const WATCH: &str =
    "Microsoft renews it; `cosell-sync doctor` tells if the new one cannot be checked";

/// One end as a sentence; `None` while it is far away.
fn sentence(what: &str, at: Timestamp, fix: &str, now: Timestamp) -> Option<String> {
    let date = at.date();
    if at <= now {
        return Some(format!("The {what} has ended on {date}; {fix}."));
    }
    let days = at.since(now).as_secs() / DAY;
    (days < FEW_DAYS).then(|| format!("The {what} ends in {days} days, on {date}; {fix}."))
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::domain::time::Timestamp;

    #[test]
    fn an_end_is_told_two_weeks_ahead_and_afterwards() {
        let now = Timestamp::parse("2026-06-01T12:00:00Z").expect("an instant");
        let table = [
            ("2026-08-01T00:00:00Z", None, "far away"),
            ("2026-06-15T12:00:00Z", None, "exactly two weeks"),
            ("2026-06-15T11:59:59Z", Some("ends in 13 days, on 2026-06-15"), "a second less"),
            ("2026-06-01T13:00:00Z", Some("ends in 0 days, on 2026-06-01"), "within the hour"),
            ("2026-06-01T12:00:00Z", Some("has ended on 2026-06-01"), "this instant"),
            ("2026-05-01T00:00:00Z", Some("has ended on 2026-05-01"), "long ago"),
        ];
        for (at, expected, why) in table {
            let at = Timestamp::parse(at).expect("an instant");
            let told = sentence("secret", at, "make a new one", now);
            let fits = match (&told, expected) {
                (Some(told), Some(part)) => told.contains(part) && told.ends_with("new one."),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{why}: {told:?}");
        }
    }
}
