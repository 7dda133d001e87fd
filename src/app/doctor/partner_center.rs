//! Partner Center: sign-in, role, PartnerID, the registration of its webhook.

use super::notes::Notes;
use crate::admin::operations::Finding;
use crate::app::deadlines::{self, FEW_DAYS};
use crate::app::parts::Parts;
use crate::app::signing::{self, Found};
use crate::app::slot;
use crate::connect::error::ConnectError;
use crate::connect::partner_center_seam::{MpnProfile, PartnerProbe};
use crate::domain::time::Timestamp;
use crate::sync::account::Account;

/// What Partner Center says.
pub(super) async fn look(parts: &Parts, account: &Account) -> Vec<Finding> {
    let name = &account.name;
    let mut notes = Notes { account: Some(name), area: "partner_center", found: Vec::new() };
    match account.partner_center.probe().await {
        Ok(probe) => probed(&mut notes, &probe, parts.around.clock.now()),
        Err(ConnectError::Rejected(refusal)) if refusal.status == 403 => {
            let why = refusal.to_string();
            notes.problem(
                format!("The signed-in user may not see referrals: {}.", why.trim_end_matches('.')),
                "Give the user the role Referrals admin in Partner Center, then ask again; a new \
                 role can take an hour.",
            );
            return notes.found;
        }
        Err(fault) => {
            let login = parts.command(name, "login");
            notes.fault(
                &fault,
                &format!("Sign in with `{login}`, as a user of the partner tenant."),
            );
            return notes.found;
        }
    }
    let settings = parts.settings(name).map(|own| &own.partner_center);
    for text in deadlines::near(parts, name) {
        notes.advice(text, "See docs/runbook.md, section Rotating secrets.");
    }
    let mpn_id = settings.and_then(|own| own.mpn_id.as_deref());
    partner_id(&mut notes, mpn_id, account.partner_center.mpn_profile(mpn_id).await);
    notes.found
}

/// The PartnerID that is configured, or that of the signed-in user's organisation.
fn partner_id(
    notes: &mut Notes<'_>,
    configured: Option<&str>,
    found: Result<Option<MpnProfile>, ConnectError>,
) {
    let by_hand = "Check it by hand in Partner Center, Account settings, Identifiers.";
    match (configured, found) {
        (Some(id), Ok(Some(profile))) => {
            notes.ok(format!("PartnerID {id} belongs to {}.", profile.partner_name));
        }
        (Some(id), Ok(None)) => notes.problem(
            format!("PartnerID {id} is not known."),
            "Set mpn_id to a location id of your own organisation.",
        ),
        (Some(id), Err(fault)) => {
            notes.advice(format!("PartnerID {id} cannot be looked up: {fault}."), by_hand);
        }
        (None, Ok(Some(profile))) => notes.advice(
            format!("Our PartnerID is {} ({}).", profile.mpn_id, profile.partner_name),
            "New deals belong to the location that Partner Center picks; set mpn_id to the \
             PartnerID of the location if it must be another one.",
        ),
        (None, Ok(None)) => notes.advice(
            "Partner Center knows no PartnerID of ours.",
            "Sign in as a user of the partner tenant whose PartnerID is verified.",
        ),
        (None, Err(fault)) => {
            notes.advice(format!("Our PartnerID cannot be looked up: {fault}."), by_hand);
        }
    }
}

fn probed(notes: &mut Notes<'_>, probe: &PartnerProbe, now: Timestamp) {
    notes.ok("Signed in.");
    notes.ok("Both audiences are given tokens: referrals, and webhooks with profiles.");
    notes.clock(now, probe.server_time);
    match probe.mfa {
        Some(true) => notes.ok("The sign-in passed multi-factor authentication."),
        Some(false) => notes.problem(
            "The sign-in did not pass multi-factor authentication; calls will be refused.",
            "Turn it on for the user, then sign in again with `cosell-sync login`.",
        ),
        None => notes.advice(
            "Whether multi-factor authentication was passed cannot be told.",
            "If calls are refused, sign in again as a user for whom it is required.",
        ),
    }
    match probe.refresh_token_days_left {
        Some(days) if u64::from(days) < FEW_DAYS => notes.advice(
            format!("The refresh token dies in {days} days."),
            "Sign in again with `cosell-sync login`.",
        ),
        Some(days) => notes.ok(format!("The refresh token lives {days} more days.")),
        None => {}
    }
    if probe.visible_referrals == 0 {
        notes.advice(
            "The list shows no referrals.",
            "If there should be some, give the user the role Referrals admin in Partner Center.",
        );
    } else {
        notes.ok(format!(
            "The list shows referrals ({} on its first page).",
            probe.visible_referrals
        ));
    }
}

/// The registration of the webhook, and who signs its events.
pub(super) async fn webhook(parts: &Parts, account: &Account) -> Vec<Finding> {
    let name = &account.name;
    let mut notes = Notes { account: Some(name), area: "webhook", found: Vec::new() };
    let settings = parts.settings(name).and_then(|own| own.partner_center.webhook.as_ref());
    if settings.is_none() {
        notes.advice(
            "Webhooks are not configured: changes are seen at the next read of the list.",
            "Add [accounts.NAME.partner_center.webhook] to see them within seconds.",
        );
        return notes.found;
    }
    for found in signing::examine(parts, account).await {
        match found {
            Found::Fine(what) => notes.ok(what),
            Found::Look(what, fix) => notes.advice(what, &fix),
            Found::Wrong(what, fix) => notes.problem(what, &fix),
        }
    }
    match slot::look(parts, account).await {
        Ok(view) if view.owner == "ours" => notes.ok("The registration is ours."),
        Ok(view) => {
            let what = slot::sentence(&view).unwrap_or_default();
            let fix = view.fix.as_deref().unwrap_or("Register with `webhook register`.");
            notes.problem(what, fix);
        }
        Err(error) => notes.problem(error.to_string(), "See the findings of partner_center."),
    }
    notes.found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Notes, partner_id, probed};
    use crate::admin::operations::{Finding, Level};
    use crate::connect::error::ConnectError;
    use crate::connect::partner_center_seam::{MpnProfile, PartnerProbe};
    use crate::domain::time::Timestamp;

    fn notes() -> Notes<'static> {
        Notes { account: None, area: "partner_center", found: Vec::new() }
    }

    fn find<'f>(found: &'f [Finding], part: &str, why: &str) -> &'f Finding {
        found
            .iter()
            .find(|finding| finding.what.contains(part))
            .unwrap_or_else(|| panic!("{why}: nothing says `{part}`: {found:?}"))
    }

    #[test]
    fn every_state_of_a_sign_in_is_told_with_a_fix() {
        let now = Timestamp::parse("2026-06-01T12:00:00Z").expect("an instant");
        let good = PartnerProbe {
            organization_id: None,
            server_time: Some(now),
            mfa: Some(true),
            refresh_token_days_left: Some(80),
            visible_referrals: 3,
        };
        let behind = |secs| Some(now.minus(Duration::from_secs(secs)));
        let table = [
            (good.clone(), "Both audiences", Level::Ok, "tokens"),
            (good.clone(), "passed multi-factor", Level::Ok, "MFA"),
            (
                PartnerProbe { mfa: Some(false), ..good.clone() },
                "did not pass",
                Level::Problem,
                "MFA",
            ),
            (PartnerProbe { mfa: None, ..good.clone() }, "cannot be told", Level::Advice, "MFA"),
            (good.clone(), "The clocks agree", Level::Ok, "clock"),
            (
                PartnerProbe { server_time: behind(31), ..good.clone() },
                "differs by 31 s",
                Level::Advice,
                "clock",
            ),
            (
                PartnerProbe { server_time: behind(301), ..good.clone() },
                "differs by 301 s",
                Level::Problem,
                "clock",
            ),
            (good.clone(), "80 more days", Level::Ok, "refresh token"),
            (
                PartnerProbe { refresh_token_days_left: Some(13), ..good.clone() },
                "dies in 13 days",
                Level::Advice,
                "refresh token",
            ),
            (good.clone(), "shows referrals (3", Level::Ok, "role"),
            (
                PartnerProbe { visible_referrals: 0, ..good },
                "shows no referrals",
                Level::Advice,
                "role",
            ),
        ];
        for (probe, part, level, why) in table {
            let mut notes = notes();
            probed(&mut notes, &probe, now);
            let finding = find(&notes.found, part, why);
            assert_eq!(finding.level, level, "{why}: {finding:?}");
            assert_eq!(finding.fix.is_some(), level != Level::Ok, "{why}: {finding:?}");
        }
    }

    #[test]
    fn the_partner_id_is_told_whether_it_is_configured_or_not() {
        let known = || {
            Ok(Some(MpnProfile {
                partner_name: "Contoso".to_owned(),
                mpn_id: "1234567".to_owned(),
            }))
        };
        let down = || Err(ConnectError::Unavailable("down".to_owned()));
        let table = [
            (Some("1234567"), known(), "1234567 belongs to Contoso", Level::Ok),
            (Some("7654321"), Ok(None), "7654321 is not known", Level::Problem),
            (Some("1234567"), down(), "1234567 cannot be looked up", Level::Advice),
            (None, known(), "Our PartnerID is 1234567 (Contoso)", Level::Advice),
            (None, Ok(None), "knows no PartnerID of ours", Level::Advice),
            (None, down(), "Our PartnerID cannot be looked up", Level::Advice),
        ];
        for (configured, found, part, level) in table {
            let mut notes = notes();
            partner_id(&mut notes, configured, found);
            let finding = find(&notes.found, part, part);
            assert_eq!(finding.level, level, "{part}");
            assert_eq!(finding.fix.is_some(), level != Level::Ok, "{part}");
        }
    }
}
