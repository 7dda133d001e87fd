//! What to do with the one webhook registration of a partner tenant, which other tools share.

use crate::connect::partner_center_seam::WebhookSlot;

/// The events the daemon needs.
pub const EVENTS: [&str; 5] = [
    "referral-created",
    "referral-updated",
    "related-referral-created",
    "related-referral-updated",
    "test-created",
];

/// What stands before the account in the path of our own addresses.
pub const DOOR: &str = "webhooks/partner-center/";

/// What to do about the registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotPlan {
    /// It is as wanted.
    Keep,
    /// There is none: register.
    Register(WebhookSlot),
    /// It is ours but lacks an event or has the signature elsewhere: write it.
    Complete(WebhookSlot),
    /// It is somebody else's and may be taken over: write it. Their events stay registered.
    TakeOver {
        /// What to write.
        slot: WebhookSlot,
        /// The address that loses its events.
        from: String,
    },
    /// It is somebody else's and nobody allowed taking it over.
    Foreign {
        /// The address that has it.
        url: String,
    },
}

/// Decides about the registration `current` so that events go to `wanted_url`.
///
/// Events of others are kept, ours are added. An address other than ours is only replaced with
/// `take_over`. Signatures are asked for in `x-ms-signature`, since front ends tend to take the
/// `Authorization` header for themselves.
#[must_use]
pub fn plan(current: Option<&WebhookSlot>, wanted_url: &str, take_over: bool) -> SlotPlan {
    let Some(current) = current else {
        return SlotPlan::Register(wanted(wanted_url, &[]));
    };
    let slot = wanted(wanted_url, &current.events);
    if !same_address(&current.url, wanted_url) {
        if take_over {
            return SlotPlan::TakeOver { slot, from: current.url.clone() };
        }
        return SlotPlan::Foreign { url: current.url.clone() };
    }
    let complete = current.signature_in_ms_header && slot.events.len() == current.events.len();
    if complete { SlotPlan::Keep } else { SlotPlan::Complete(slot) }
}

fn wanted(url: &str, kept: &[String]) -> WebhookSlot {
    let mut events = kept.to_vec();
    for event in EVENTS {
        if !events.iter().any(|known| known.eq_ignore_ascii_case(event)) {
            events.push(event.to_owned());
        }
    }
    WebhookSlot { url: url.to_owned(), events, signature_in_ms_header: true, last_modified: None }
}

/// Whether two addresses are the same by their parts: the case of the host and a written default
/// port do not matter, the path does.
fn same_address(left: &str, right: &str) -> bool {
    match (url::Url::parse(left), url::Url::parse(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => left == right,
    }
}

/// An address without what tends to hold secrets: sign-in, query, and what follows the account in an
/// address that a daemon like this one was reached at, under whatever name.
#[must_use]
pub fn without_secrets(address: &str) -> String {
    let shown = address.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = shown.split_once("://").unwrap_or(("", shown));
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = place.rsplit('@').next().unwrap_or(place);
    let path = match path.split_once(DOOR) {
        Some((before, after)) => {
            let account = after.split('/').next().unwrap_or_default();
            format!("{before}{DOOR}{account}")
        }
        None => path.to_owned(),
    };
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    let path = if path.is_empty() { path } else { format!("/{path}") };
    format!("{scheme}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::{EVENTS, SlotPlan, plan, without_secrets};
    use crate::connect::partner_center_seam::WebhookSlot;

    const OURS: &str = "https://sync.contoso.example/webhooks/partner-center/contoso";
    const THEIRS: &str = "https://gdap.fabrikam.example/hook";

    fn slot(url: &str, events: &[&str], header: bool) -> WebhookSlot {
        WebhookSlot {
            url: url.to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            signature_in_ms_header: header,
            last_modified: None,
        }
    }

    #[test]
    fn every_state_of_the_slot_has_its_plan() {
        let full: Vec<&str> = EVENTS.to_vec();
        let mut shared = vec!["granular-admin-relationship-approved"];
        shared.extend(EVENTS);
        let table = [
            (None, false, SlotPlan::Register(slot(OURS, &full, true)), "nobody has it"),
            (None, true, SlotPlan::Register(slot(OURS, &full, true)), "nothing to take over"),
            (Some(slot(OURS, &full, true)), false, SlotPlan::Keep, "as wanted"),
            (Some(slot(OURS, &full, true)), true, SlotPlan::Keep, "the flag does not rewrite"),
            (Some(slot(OURS, &shared, true)), false, SlotPlan::Keep, "more events do not harm"),
            (
                Some(slot(
                    "https://SYNC.contoso.example:443/webhooks/partner-center/contoso",
                    &full,
                    true,
                )),
                false,
                SlotPlan::Keep,
                "the same address spelled otherwise",
            ),
            (
                Some(slot(OURS, &["granular-admin-relationship-approved"], true)),
                false,
                SlotPlan::Complete(slot(OURS, &shared, true)),
                "events of another tool on our address stay",
            ),
            (
                Some(slot(OURS, &full, false)),
                false,
                SlotPlan::Complete(slot(OURS, &full, true)),
                "the signature is in the wrong header",
            ),
            (
                Some(slot(THEIRS, &full, true)),
                false,
                SlotPlan::Foreign { url: THEIRS.to_owned() },
                "never stolen silently",
            ),
            (
                Some(slot(THEIRS, &["granular-admin-relationship-approved"], false)),
                true,
                SlotPlan::TakeOver { slot: slot(OURS, &shared, true), from: THEIRS.to_owned() },
                "taken over, their events stay registered",
            ),
            (
                Some(slot(&format!("{OURS}/"), &full, true)),
                false,
                SlotPlan::Foreign { url: format!("{OURS}/") },
                "another path is another address",
            ),
        ];
        for (current, take_over, expected, why) in table {
            assert_eq!(plan(current.as_ref(), OURS, take_over), expected, "{why}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let ours = "https://former.contoso.example/webhooks/partner-center/contoso";
        let table = [
            (ours.to_owned(), ours, "nothing to hide"),
            (format!("{ours}/a-path-secret"), ours, "ours under another name"),
            (format!("{ours}/a-path-secret/?code=1"), ours, "with a query"),
            (
                "https://proxy.contoso.example/sync/webhooks/partner-center/contoso/a-path-secret"
                    .to_owned(),
                "https://proxy.contoso.example/sync/webhooks/partner-center/contoso",
                "behind a path",
            ),
            (
                "https://user:word@other.fabrikam.example:8443/hook?code=1#part".to_owned(),
                "https://other.fabrikam.example:8443/hook",
                "another tool's",
            ),
            ("https://other.fabrikam.example".to_owned(), "https://other.fabrikam.example", "bare"),
        ];
        for (address, expected, why) in table {
            assert_eq!(without_secrets(&address), expected, "{why}");
        }
    }
}
