//! The certificate that Partner Center's events are signed with, and what it is checked against.

use super::deadlines::FEW_DAYS;
use super::parts::Parts;
use super::systems;
use crate::connect::partner_center::{Examined, Verifier};
use crate::domain::time::Timestamp;
use crate::sync::account::Account;

/// One thing that was found: how it is, and what to do.
pub(super) enum Found {
    /// As it should be.
    Fine(String),
    /// Works, but look at it.
    Look(String, String),
    /// Events are or will be refused.
    Wrong(String, String),
}

/// The first end among the certificates that events are signed with now; `None` where events are not
/// taken, or none could be fetched.
pub(super) async fn ends(parts: &Parts, account: &Account) -> Option<Timestamp> {
    let verifier = verifier(parts, account)?.ok()?;
    verifier.examine().await.into_iter().filter_map(|examined| examined.ends).min()
}

/// Looks at the pinned certificates, and at those that stand at the pinned addresses now.
pub(super) async fn examine(parts: &Parts, account: &Account) -> Vec<Found> {
    let now = parts.around.clock.now();
    match verifier(parts, account) {
        None => Vec::new(),
        Some(Err(why)) => vec![Found::Wrong(
            why,
            "Put the pinned root certificates there as PEM; docs/admin-guide.md says which."
                .to_owned(),
        )],
        Some(Ok(verifier)) => {
            let mut found: Vec<Found> =
                verifier.pinned().iter().map(|(name, ends)| pinned(name, *ends, now)).collect();
            found.extend(verifier.examine().await.iter().map(|examined| signing(examined, now)));
            found
        }
    }
}

fn verifier(parts: &Parts, account: &Account) -> Option<Result<Verifier, String>> {
    let settings = &parts.settings(&account.name)?.partner_center;
    let webhook = settings.webhook.as_ref()?;
    let name = account.name.as_str();
    let both = (settings, webhook);
    let verifier = systems::partner_center_verifier(&parts.config, name, both, &parts.around);
    Some(verifier.map_err(|error| format!("{error}.")))
}

/// A root or an intermediate certificate of ours.
fn pinned(name: &str, ends: Timestamp, now: Timestamp) -> Found {
    let date = ends.date();
    let fix = "Add its successor to the files of `roots` and `intermediates`, then restart.";
    if ends <= now {
        return Found::Wrong(
            format!("The pinned certificate {name} has ended on {date}."),
            fix.into(),
        );
    }
    if days(ends, now) < FEW_DAYS {
        return Found::Look(format!("The pinned certificate {name} ends on {date}."), fix.into());
    }
    Found::Fine(format!("The certificate {name} is pinned, until {date}."))
}

/// A certificate that events are signed with.
fn signing(examined: &Examined, now: Timestamp) -> Found {
    let url = &examined.url;
    let issuer = examined.issuer.as_deref().unwrap_or("its issuer");
    match (&examined.fault, examined.ends) {
        (Some(why), _) if examined.out_of_reach => Found::Wrong(
            format!("The signing certificate at {url} cannot be fetched: {why}."),
            "Let this machine reach that address, and check certificate_hosts and \
             certificate_paths."
                .to_owned(),
        ),
        (Some(why), Some(ends)) if ends <= now => Found::Wrong(
            format!("The signing certificate at {url} has ended on {}: {why}.", ends.date()),
            "Microsoft must renew it; look whether events name another address by now.".to_owned(),
        ),
        (Some(why), _) => Found::Wrong(
            format!("The signing certificate at {url} is not accepted: {why}."),
            format!(
                "If it is Microsoft's: put the certificate of {issuer} into `intermediates` and the \
                 root that it leads to into `roots`, and check `organization` and `leaf_name`."
            ),
        ),
        (None, Some(ends)) if days(ends, now) < FEW_DAYS => Found::Look(
            format!("The signing certificate at {url} ends on {}.", ends.date()),
            "Microsoft renews it; look again then, since its issuer may change.".to_owned(),
        ),
        (None, Some(ends)) => Found::Fine(format!(
            "The signing certificate of {issuer} is accepted, until {}.",
            ends.date()
        )),
        (None, None) => Found::Fine(format!("The signing certificate of {issuer} is accepted.")),
    }
}

fn days(ends: Timestamp, now: Timestamp) -> u64 {
    ends.since(now).as_secs() / 86_400
}

#[cfg(test)]
mod tests {
    use super::{Found, pinned, signing};
    use crate::connect::partner_center::Examined;
    use crate::domain::time::Timestamp;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("an instant")
    }

    /// Level and both sentences.
    fn told(found: Found) -> (&'static str, String) {
        match found {
            Found::Fine(what) => ("fine", what),
            Found::Look(what, fix) => ("look", format!("{what} {fix}")),
            Found::Wrong(what, fix) => ("wrong", format!("{what} {fix}")),
        }
    }

    #[test]
    fn every_state_of_the_signing_certificate_has_its_fix() {
        let now = at("2026-06-01T00:00:00Z");
        let good = Examined {
            url: "https://certificates.contoso.example/cert/a.cer".to_owned(),
            ends: Some(at("2027-06-01T00:00:00Z")),
            issuer: Some("Contoso Issuing CA 1".to_owned()),
            fault: None,
            out_of_reach: false,
        };
        let fault = Some("the certificate's chain is not valid: UnknownIssuer".to_owned());
        let table = [
            (good.clone(), "fine", "until 2027-06-01", "as it should be"),
            (
                Examined { ends: Some(at("2026-06-10T00:00:00Z")), ..good.clone() },
                "look",
                "ends on 2026-06-10",
                "it ends soon",
            ),
            (
                Examined { fault: fault.clone(), ..good.clone() },
                "wrong",
                "put the certificate of Contoso Issuing CA 1 into `intermediates`",
                "an intermediate or a root is not pinned",
            ),
            (
                Examined {
                    fault: fault.clone(),
                    ends: Some(at("2026-05-01T00:00:00Z")),
                    ..good.clone()
                },
                "wrong",
                "has ended on 2026-05-01",
                "it has ended",
            ),
            (
                Examined { fault, ends: None, issuer: None, out_of_reach: true, ..good },
                "wrong",
                "certificate_hosts",
                "nothing answers there",
            ),
        ];
        for (examined, level, part, why) in table {
            let (found, text) = told(signing(&examined, now));
            assert!(found == level && text.contains(part), "{why}: {found} {text}");
        }
    }

    #[test]
    fn a_pinned_certificate_is_told_with_its_end() {
        let now = at("2026-06-01T00:00:00Z");
        let table = [
            ("2027-06-01T00:00:00Z", "fine"),
            ("2026-06-10T00:00:00Z", "look"),
            ("2026-05-01T00:00:00Z", "wrong"),
        ];
        for (ends, level) in table {
            assert_eq!(told(pinned("Contoso Root", at(ends), now)).0, level, "{ends}");
        }
    }
}
