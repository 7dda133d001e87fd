//! The client secret or certificate of Partner Center: tried before it is used, and replaced without
//! a restart when its file changes.
//!
//! * A file whose content is refused is told once; the credential in use stays in use.
//! * Where it cannot be told whether new content works, it is used only if the sign-in in use is
//!   refused anyway.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::alert;
use super::parts::Parts;
use crate::admin::operations::CredentialTest;
use crate::connect::partner_center::{Client, Credential, Trial};
use crate::domain::audit::AuditKind;
use crate::domain::id::AccountName;
use crate::domain::notice::{NewNotice, Source, Subject};
use crate::domain::secret::{ExposeSecret, SecretString};
use crate::store::StoreError;
use crate::sync::account::Account;

/// Notices that a new sign-in makes due, at most; the others come in their own time.
const MOST_HURRIED: usize = 10_000;

/// How one account is signed in.
pub(super) struct SignInState {
    /// The client that signs in.
    pub(super) client: Arc<Client>,
    seen: Mutex<Seen>,
}

struct Seen {
    in_use: SecretString,
    /// What the file holds and must not be used, with the reason.
    refused: Option<(SecretString, String)>,
}

impl SignInState {
    /// A client that signs in with `in_use`.
    pub(super) fn new(client: Arc<Client>, in_use: SecretString) -> Self {
        Self { client, seen: Mutex::new(Seen { in_use, refused: None }) }
    }

    /// Why what the file holds is not in use; `None` if it is.
    pub(super) fn refused(&self) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.refused.as_ref().map(|(_, why)| why.clone())
    }

    /// Whether the file holds something that was not judged yet.
    fn is_new(&self, text: &SecretString) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |other: &SecretString| other.expose_secret() == text.expose_secret();
        if same(&seen.in_use) {
            seen.refused = None;
            return false;
        }
        !seen.refused.as_ref().is_some_and(|(other, _)| same(other))
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Tries a staged credential and says what it is worth. The one in use stays in use.
pub(super) async fn test(
    parts: &Parts,
    account: &AccountName,
    staged: &SecretString,
) -> CredentialTest {
    let told = |works, what: String, fix: Option<&str>| CredentialTest {
        works,
        what,
        fix: fix.map(str::to_owned),
    };
    let Some(state) = parts.sign_ins.get(account) else {
        return told(false, format!("There is no account `{account}`."), None);
    };
    match trial(state, staged).await {
        Trial::Works => told(
            true,
            "It works. The one in use stays in use.".to_owned(),
            Some("Put it in place of the configured file: the daemon uses it within seconds."),
        ),
        Trial::Refused(why) => told(
            false,
            format!("It is refused: {why}."),
            Some("Leave the one in use in its place, and make another in the app registration."),
        ),
        Trial::Untold(why) => told(
            false,
            format!("Whether it works cannot be told: {why}."),
            Some("Repair that first, then try again."),
        ),
    }
}

async fn trial(state: &SignInState, staged: &SecretString) -> Trial {
    match Credential::staged(staged) {
        Ok(credential) => state.client.try_credential(&credential).await,
        Err(why) => Trial::Refused(why),
    }
}

/// Looks at the file of the credential; new content that works is used from now on.
pub(super) async fn renew(parts: &Parts, account: &Account) {
    let Some(settings) = parts.settings(&account.name) else { return };
    let source = settings.partner_center.credential().filter(|(_, source)| source.is_file());
    let (Some((name, source)), Some(state)) = (source, parts.sign_ins.get(&account.name)) else {
        return;
    };
    // A file that is not there right now is about to be replaced.
    let Ok(text) = source.read_again(name, &parts.config.folder) else { return };
    if !state.is_new(&text) {
        return;
    }
    let Ok(credential) = Credential::staged(&text) else {
        let why = "it holds no certificate with its private key".to_owned();
        return refuse(parts, account, state, (name, text), why).await;
    };
    match state.client.try_credential(&credential).await {
        Trial::Works => {}
        Trial::Refused(why) => return refuse(parts, account, state, (name, text), why).await,
        Trial::Untold(_) if account.breaker.refusal().is_some() => {}
        Trial::Untold(why) => {
            tracing::warn!("Whether the new {name} of Partner Center works cannot be told: {why}");
            return;
        }
    }
    state.client.replace_credential(credential);
    state.change(|seen| *seen = Seen { in_use: text, refused: None });
    let summary = format!("The {name} of Partner Center was replaced.");
    let noted =
        alert::note(parts, &account.name, AuditKind::Configured, "daemon", summary, None).await;
    let gone_on = match noted {
        Ok(()) => go_on(parts, account, "credential").await,
        Err(error) => Err(error),
    };
    if let Err(error) = gone_on {
        tracing::error!("What waits for the new {name} could not be hurried: {error}");
    }
}

async fn refuse(
    parts: &Parts,
    account: &Account,
    state: &SignInState,
    (name, text): (&str, SecretString),
    why: String,
) {
    let told = format!("The new {name} of Partner Center is not used: {why}.");
    state.change(|seen| seen.refused = Some((text, told.clone())));
    alert::raise(parts, &account.name, &told).await;
}

/// A sign-in was renewed: what is waiting is done now, with fresh tokens.
pub(super) async fn go_on(parts: &Parts, account: &Account, why: &str) -> Result<(), StoreError> {
    if let Some(state) = parts.sign_ins.get(&account.name) {
        state.client.forget().await;
    }
    account.breaker.reset();
    parts.pollers_of(&account.name).for_each(|poller| poller.hint());
    hurry(parts, &account.name, why).await
}

/// Makes everything of an account that waits for a later try due now.
async fn hurry(parts: &Parts, account: &AccountName, why: &str) -> Result<(), StoreError> {
    let now = parts.around.clock.now();
    let waiting = parts.around.store.waiting(MOST_HURRIED).await?;
    let of_account = waiting.into_iter().filter(|it| it.notice.account == *account);
    let subjects: BTreeSet<Subject> = of_account.map(|it| it.notice.subject).collect();
    let notice = |subject| NewNotice {
        account: account.clone(),
        source: Source::Operator,
        subject,
        event: why.to_owned(),
        dedupe: None,
        due: now,
    };
    let notices = subjects.into_iter().map(notice).collect();
    parts.around.store.enqueue(notices, Vec::new(), Vec::new(), now).await?;
    parts.wake.notify_one();
    Ok(())
}
