//! Looks at everything live and says what is wrong and how to repair it.

use std::time::Duration;

use super::deadlines::{self, FEW_DAYS};
use super::parts::Parts;
use super::provisioning;
use super::schema::is_there;
use super::signing::{self, Found};
use super::slot;
use super::systems;
use crate::admin::operations::{Finding, Level};
use crate::connect::crm::{Remark, TableSchema};
use crate::connect::error::ConnectError;
use crate::connect::partner_center_seam::{MpnProfile, PartnerProbe};
use crate::domain::id::AccountName;
use crate::domain::time::Timestamp;
use crate::mapping::Mapping;
use crate::mapping::rule::Direction;
use crate::sync::account::{Account, CrmPart};

/// A clock that differs by more is a problem: signatures and tokens are refused.
const SKEW_PROBLEM: Duration = Duration::from_secs(300);
/// A clock that differs by more is worth a look.
const SKEW_ADVICE: Duration = Duration::from_secs(30);

/// Collects findings of one area.
struct Notes<'a> {
    account: Option<&'a AccountName>,
    area: &'static str,
    found: Vec<Finding>,
}

impl Notes<'_> {
    fn add(&mut self, level: Level, what: impl Into<String>, fix: Option<&str>) {
        self.found.push(Finding {
            account: self.account.cloned(),
            area: self.area.to_owned(),
            level,
            what: what.into(),
            fix: fix.map(str::to_owned),
        });
    }

    fn ok(&mut self, what: impl Into<String>) {
        self.add(Level::Ok, what, None);
    }

    fn advice(&mut self, what: impl Into<String>, fix: &str) {
        self.add(Level::Advice, what, Some(fix));
    }

    fn problem(&mut self, what: impl Into<String>, fix: &str) {
        self.add(Level::Problem, what, Some(fix));
    }

    /// What a CRM says of itself; once, where two mappings ask the same.
    fn remark(&mut self, remark: Remark) {
        if self.found.iter().any(|known| known.what == remark.what) {
            return;
        }
        match remark.fix {
            None => self.ok(remark.what),
            Some(fix) if remark.serious => self.problem(remark.what, &fix),
            Some(fix) => self.advice(remark.what, &fix),
        }
    }

    fn clock(&mut self, now: Timestamp, theirs: Option<Timestamp>) {
        let Some(theirs) = theirs else { return };
        let skew = now.since(theirs).max(theirs.since(now));
        let fix = "Let the clock of this machine follow a time server (chrony, systemd-timesyncd).";
        if skew > SKEW_PROBLEM {
            self.problem(format!("Our clock differs by {} s.", skew.as_secs()), fix);
        } else if skew > SKEW_ADVICE {
            self.advice(format!("Our clock differs by {} s.", skew.as_secs()), fix);
        } else {
            self.ok("The clocks agree.");
        }
    }

    fn fault(&mut self, fault: &ConnectError, sign_in: &str) {
        match fault {
            ConnectError::Unauthorized(why) => {
                self.problem(format!("The credentials are refused: {why}."), sign_in);
            }
            ConnectError::Throttled(wait) => self.advice(
                format!("No call is allowed for {} s.", wait.as_secs()),
                "Wait, then ask again.",
            ),
            other => self.problem(
                format!("It cannot be asked: {other}."),
                "Check address, firewall and proxy, and the system's own status page.",
            ),
        }
    }
}

/// Everything, the program itself first.
pub(super) async fn examine(parts: &Parts) -> Vec<Finding> {
    let mut found = store(parts).await;
    for account in &parts.accounts {
        found.extend(partner_center(parts, account).await);
        found.extend(webhook(parts, account).await);
        for part in &account.crms {
            found.extend(crm(parts, account, part).await);
        }
    }
    found
}

async fn store(parts: &Parts) -> Vec<Finding> {
    let mut notes = Notes { account: None, area: "store", found: Vec::new() };
    match parts.around.store.health().await {
        Ok(()) => notes.ok("The store takes writes."),
        Err(error) => notes.problem(error.to_string(), "See docs/runbook.md, section Restore."),
    }
    match systems::sealer(&parts.config) {
        Ok(Some(_)) => notes.ok("Refresh tokens are kept encrypted."),
        Ok(None) => notes.advice(
            "No encryption key is configured: a refresh token cannot be kept.",
            "Set store.encryption_key to a file made with `openssl rand -hex 32`.",
        ),
        Err(error) => notes.problem(error.to_string(), "Correct store.encryption_key."),
    }
    notes.found
}

async fn partner_center(parts: &Parts, account: &Account) -> Vec<Finding> {
    let name = &account.name;
    let mut notes = Notes { account: Some(name), area: "partner_center", found: Vec::new() };
    match account.partner_center.probe().await {
        Ok(probe) => probed(&mut notes, &probe, parts.around.clock.now()),
        Err(fault) => {
            notes.fault(
                &fault,
                "Sign in with `cosell-sync login`, as a user of the partner tenant.",
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

async fn webhook(parts: &Parts, account: &Account) -> Vec<Finding> {
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

async fn crm(parts: &Parts, account: &Account, part: &CrmPart) -> Vec<Finding> {
    let area = part.name().as_str();
    let mut notes = Notes { account: Some(&account.name), area, found: Vec::new() };
    match part.crm.probe().await {
        Ok(probe) => {
            notes.ok(format!("Signed in to organisation {}.", probe.organization_id));
            notes.clock(parts.around.clock.now(), probe.server_time);
            if let Some((used, allowed)) =
                probe.budget.filter(|(used, allowed)| used * 5 > allowed * 4)
            {
                notes.advice(
                    format!("{used} of {allowed} API requests of the day are used."),
                    "Raise poll_secs, or find out what else uses them.",
                );
            }
        }
        Err(fault) => {
            notes.fault(&fault, "Check client id and secret, and that the app may act in the CRM.");
            return notes.found;
        }
    }
    let settings = parts.settings(&account.name);
    let folder = settings.map(|own| parts.config.path(&own.sync.mappings)).unwrap_or_default();
    // The files as they stand, since the mappings in use have lost what the CRM lacks.
    for mapping in super::load_mappings(&folder).unwrap_or_default() {
        if mapping.crm() != part.name() {
            continue;
        }
        match part.crm.describe(mapping.kind()).await {
            Ok(schema) => compare(&mut notes, &mapping, &schema),
            Err(fault) => notes.fault(&fault, "Give our user the right to read the schema."),
        }
        match part.crm.examine(&provisioning::wanted(&mapping)).await {
            Ok(remarks) => remarks.into_iter().for_each(|remark| notes.remark(remark)),
            Err(fault) => notes.fault(&fault, "Check the rights of our user in the CRM."),
        }
        events(&mut notes, part, &mapping).await;
    }
    notes.found
}

/// The stream of events, where one is configured. Nothing is subscribed to.
async fn events(notes: &mut Notes<'_>, part: &CrmPart, mapping: &Mapping) {
    let Some(source) = part.crm.events() else { return };
    let kind = mapping.kind();
    match source.listen(kind, None).await {
        Ok(_) => notes.ok(format!("Change events of the {kind} can be heard.")),
        Err(ConnectError::Rejected(refusal)) => notes.problem(
            format!("Change events of the {kind} cannot be heard: {}.", refusal.message),
            "Until then changes are found by the poll alone.",
        ),
        Err(fault) => notes.fault(&fault, "Give our user the right to the Pub/Sub service."),
    }
}

/// The mapping against the live table.
fn compare(notes: &mut Notes<'_>, mapping: &Mapping, schema: &TableSchema) {
    let kind = mapping.kind();
    let control = mapping.control();
    let optional = mapping.optional_fields();
    let required = [&control.referral_id, &control.sync, &control.audit];
    let mut missing = 0;
    for field in &mapping.shape().fields {
        let own = field.split('.').next().unwrap_or(field);
        if is_there(schema, field) {
            continue;
        }
        missing += 1;
        let text = format!("The {kind} has no field {own}.");
        let make = "Make it with `cosell-sync provision --apply`, or correct the mapping file.";
        if !required.contains(&field) && optional.contains(&field.as_str()) {
            notes.advice(format!("{text} It is not kept in step."), make);
        } else if !required.contains(&field) && is_optional_control(mapping, field) {
            notes.advice(format!("{text} The sync does without."), make);
        } else {
            let fix = if required.contains(&field) {
                make
            } else {
                "Make it in the CRM, correct the mapping file, or give the row `optional_field = true`: \
                 `cosell-sync provision --apply` makes such fields. Then run `mapping reload`."
            };
            let what = match mapping.indispensable_fields().contains(&field.as_str()) {
                true => format!("{text} Nothing of it is kept in step without."),
                false => format!("{text} Its rows are parked; the other fields are kept in step."),
            };
            notes.problem(what, fix);
        }
    }
    if missing == 0 {
        notes.ok(format!("Every mapped field of the {kind} is there."));
    }
    let written =
        mapping.fields().iter().filter(|rule| rule.direction != Direction::ToPartnerCenter);
    let written = written.filter(|rule| rule.on_update).filter_map(|rule| rule.crm.as_ref());
    for field in written.chain(required) {
        if find(schema, field).is_some_and(|live| !live.updatable && live.kind != "lookup") {
            notes.problem(
                format!("We may not write {field} of the {kind}."),
                "Give our user (or its permission set) the right to edit it.",
            );
        }
    }
    let is_key = |key: &String| key.eq_ignore_ascii_case(&control.referral_id);
    if find(schema, &control.referral_id).is_some() && !schema.keys.iter().any(is_key) {
        notes.problem(
            format!("{} of the {kind} is no unique key.", control.referral_id),
            "Make the key with `cosell-sync provision --apply`.",
        );
    }
    if !schema.tracks_changes {
        notes.problem(
            format!("Changes of the {kind} are not tracked."),
            "Turn change tracking on with `cosell-sync provision --apply`.",
        );
    }
}

fn find<'s>(schema: &'s TableSchema, name: &str) -> Option<&'s crate::connect::crm::FieldSchema> {
    schema.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}

fn is_optional_control(mapping: &Mapping, field: &str) -> bool {
    let control = mapping.control();
    let all = [
        &control.link,
        &control.help,
        &control.solutions,
        &control.visibility,
        &control.microsoft_id,
        &control.token,
        &control.status,
    ];
    all.into_iter().flatten().any(|name| name == field)
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
