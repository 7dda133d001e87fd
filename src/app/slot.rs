//! The one webhook registration of a partner tenant: who has it, making it ours, keeping it ours.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::alert;
use super::parts::Parts;
use crate::admin::operations::{OperationError, WebhookTest, WebhookView};
use crate::connect::error::{ConnectError, Refusal};
use crate::connect::evidence;
use crate::connect::partner_center::slot::{DOOR, SlotPlan, plan, without_secrets};
use crate::connect::partner_center_seam::WebhookSlot;
use crate::domain::audit::AuditKind;
use crate::domain::id::{AccountName, CrmName};
use crate::domain::secret::ExposeSecret;
use crate::domain::time::Timestamp;
use crate::sync::account::Account;

/// How often what became of a test event is asked for, once a second.
const TEST_POLLS: u32 = 20;
/// What was last seen, per account.
#[derive(Default)]
pub(super) struct Slots(Mutex<BTreeMap<AccountName, Seen>>);

/// What was last seen of one tenant.
#[derive(Clone, Default)]
pub(super) struct Seen {
    /// Its webhook registration.
    pub(super) webhook: Option<WebhookView>,
    /// Days until the refresh token dies unused.
    pub(super) days_left: Option<u32>,
    /// When the certificate ends that its events are signed with.
    pub(super) signing_ends: Option<Timestamp>,
    /// Since when each CRM whose quota is nearly used up is left alone.
    pub(super) resting: BTreeMap<CrmName, Timestamp>,
}

impl Slots {
    /// What was last seen of a tenant.
    pub(super) fn seen(&self, account: &AccountName) -> Seen {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(account).cloned().unwrap_or_default()
    }

    pub(super) fn change(&self, account: &AccountName, change: impl FnOnce(&mut Seen)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(account.clone()).or_default());
    }
}

/// A fault of Partner Center as an answer to an administrator.
pub(super) fn outside(system: &str, fault: &ConnectError) -> OperationError {
    let fix = match fault {
        ConnectError::Unauthorized(_) => "Sign in again with `cosell-sync login`.",
        ConnectError::Throttled(_) => "Wait and ask again.",
        _ => "Look at the system with `cosell-sync doctor`.",
    };
    let fault = fault.to_string();
    let what = format!("{system}: {}.", fault.trim_end_matches('.'));
    OperationError::Outside { what, fix: fix.to_owned() }
}

/// Our own address for an account: with its secret, and as it may be shown.
fn address(parts: &Parts, account: &AccountName) -> Result<(String, String), OperationError> {
    let refused = |what: &str, fix: &str| OperationError::Refused {
        what: what.to_owned(),
        fix: fix.to_owned(),
    };
    let public = parts.config.server.public_url.as_ref().ok_or_else(|| {
        refused(
            "There is no address to register.",
            "Set server.public_url to the address under which the world reaches this daemon.",
        )
    })?;
    let webhook = parts.settings(account).and_then(|own| own.partner_center.webhook.as_ref());
    let webhook = webhook.ok_or_else(|| {
        refused(
            "Webhooks are not configured.",
            "Add the table [accounts.NAME.partner_center.webhook].",
        )
    })?;
    let base = public.as_str().trim_end_matches('/');
    let shown = format!("{base}/{DOOR}{account}");
    let Some(source) = &webhook.path_secret else { return Ok((shown.clone(), shown)) };
    let secret = source
        .read("path_secret", &parts.config.folder)
        .map_err(|error| refused(&error.to_string(), "Put the secret there."))?;
    Ok((format!("{shown}/{}", secret.expose_secret()), shown))
}

/// Asks who has the registration.
pub(super) async fn look(parts: &Parts, account: &Account) -> Result<WebhookView, OperationError> {
    let slot = ask(parts, account).await?;
    let view = view(parts, account, slot.as_ref());
    parts.slots.change(&account.name, |seen| seen.webhook = Some(view.clone()));
    Ok(view)
}

async fn ask(parts: &Parts, account: &Account) -> Result<Option<WebhookSlot>, OperationError> {
    if let Err(closed) = account.breaker.pass(parts.around.clock.now()) {
        // A wait is no help where somebody must sign in.
        let fault = account.breaker.refusal().map_or(closed, ConnectError::Unauthorized);
        return Err(outside("Partner Center", &fault));
    }
    let asked = account.partner_center.webhook_slot().await;
    account.breaker.learn(&asked, parts.around.clock.now());
    asked.map_err(|fault| outside("Partner Center", &fault))
}

fn view(parts: &Parts, account: &Account, slot: Option<&WebhookSlot>) -> WebhookView {
    let own = address(parts, &account.name);
    let command = |words: &str| parts.command(&account.name, words);
    let register = format!("Register our address with `{}`.", command("webhook register"));
    let (owner, fix) = match (&own, slot) {
        (Err(error), _) => ("unknown", Some(error.to_string())),
        (Ok((wanted, _)), slot) => match plan(slot, wanted, false) {
            SlotPlan::Keep => ("ours", None),
            SlotPlan::Register(_) => ("none", Some(register)),
            SlotPlan::Complete(_) => ("incomplete", Some(register)),
            SlotPlan::TakeOver { .. } | SlotPlan::Foreign { .. } => (
                "foreign",
                Some(format!(
                    "Another tool gets the events; the list is still read. Take over with `{}`.",
                    command("webhook register --take-over"),
                )),
            ),
        },
    };
    let ours = matches!(owner, "ours" | "incomplete");
    let shown = own.ok().map(|(_, shown)| shown);
    WebhookView {
        owner: owner.to_owned(),
        url: slot.map(|slot| match &shown {
            Some(shown) if ours => shown.clone(),
            _ => without_secrets(&slot.url),
        }),
        wanted: shown,
        events: slot.map(|slot| slot.events.clone()).unwrap_or_default(),
        checked: parts.around.clock.now(),
        fix,
    }
}

/// Makes the registration ours.
pub(super) async fn register(
    parts: &Parts,
    account: &Account,
    take_over: bool,
    who: &str,
) -> Result<WebhookView, OperationError> {
    evidence::gathering(write(parts, account, take_over, who)).await
}

async fn write(
    parts: &Parts,
    account: &Account,
    take_over: bool,
    who: &str,
) -> Result<WebhookView, OperationError> {
    let (wanted, shown) = address(parts, &account.name)?;
    let current = ask(parts, account).await?;
    let (slot, summary) = match plan(current.as_ref(), &wanted, take_over) {
        SlotPlan::Keep => return Ok(view(parts, account, current.as_ref())),
        SlotPlan::Register(slot) => (slot, format!("The webhook {shown} was registered.")),
        SlotPlan::Complete(slot) => (slot, format!("The webhook {shown} was completed.")),
        SlotPlan::TakeOver { slot, from } => {
            let from = without_secrets(&from);
            (slot, format!("The webhook {shown} was registered in place of {from}."))
        }
        SlotPlan::Foreign { url } => {
            return Err(OperationError::Refused {
                what: format!("Another tool holds the registration: {}.", without_secrets(&url)),
                fix: "If it may lose its events, repeat with --take-over.".to_owned(),
            });
        }
    };
    let seen = current.as_ref().map(|current| current.url.as_str());
    let written = match account.partner_center.write_webhook_slot(&slot, seen).await {
        Err(ConnectError::Exists(taken)) => return Err(lost(parts, account, &taken).await),
        written => written.map_err(|fault| outside("Partner Center", &fault))?,
    };
    alert::note(parts, &account.name, AuditKind::Configured, who, summary, None).await?;
    let view = view(parts, account, Some(&written));
    parts.slots.change(&account.name, |seen| seen.webhook = Some(view.clone()));
    Ok(view)
}

/// Another tool wrote the registration while we did: shown, and left as it is.
async fn lost(parts: &Parts, account: &Account, taken: &Refusal) -> OperationError {
    let what = format!("The webhook was not registered: {}.", taken.message);
    alert::raise(parts, &account.name, &what).await;
    OperationError::Refused {
        what,
        fix: "Find out which tool that is. If it may lose its events, register with --take-over."
            .to_owned(),
    }
}

/// Asks for a test event and waits a while for what becomes of it.
pub(super) async fn test(parts: &Parts, account: &Account) -> Result<WebhookTest, OperationError> {
    let fault = |fault| outside("Partner Center", &fault);
    let view = look(parts, account).await?;
    if matches!(view.owner.as_str(), "none" | "foreign") {
        return Err(OperationError::Refused {
            what: sentence(&view).unwrap_or_default(),
            fix: view.fix.unwrap_or_default(),
        });
    }
    let id = account.partner_center.send_validation_event().await.map_err(fault)?;
    let mut result = account.partner_center.validation_result(&id).await.map_err(fault)?;
    for _ in 0..TEST_POLLS {
        if result.status.eq_ignore_ascii_case("completed") {
            break;
        }
        parts.around.clock.sleep(Duration::from_secs(1)).await;
        result = account.partner_center.validation_result(&id).await.map_err(fault)?;
    }
    Ok(WebhookTest { correlation_id: id, status: result.status, attempts: result.attempts })
}

/// Looks at the registration as often as the list is read.
pub(super) async fn guard(parts: Arc<Parts>, account: Arc<Account>, stop: CancellationToken) {
    let settings = parts.settings(&account.name).map(|own| own.partner_center.clone());
    let Some(settings) = settings else { return };
    if settings.webhook.is_none() || parts.config.server.public_url.is_none() {
        return;
    }
    let every = Duration::from_secs(settings.reconcile_secs);
    let take_over = settings.webhook.as_ref().is_some_and(|webhook| webhook.take_over);
    while !stop.is_cancelled() {
        watch_slot(&parts, &account, take_over).await;
        tokio::select! {
            () = parts.around.clock.sleep(every) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What is wrong with a registration; `None` if it is as it should be.
pub(super) fn sentence(view: &WebhookView) -> Option<String> {
    match (view.owner.as_str(), view.url.as_deref()) {
        ("ours", _) => None,
        ("incomplete", _) => {
            Some("Our webhook registration lacks events, or the signature header.".to_owned())
        }
        ("unknown", _) => {
            Some("Whether the webhook registration is ours cannot be told.".to_owned())
        }
        (_, Some(url)) => Some(format!("The webhook registration points to {url}, not to us.")),
        (_, None) => Some("There is no webhook registration.".to_owned()),
    }
}

/// One look: raises an alert when the owner changed, takes it back only where that is allowed.
async fn watch_slot(parts: &Parts, account: &Account, take_over: bool) {
    let Ok(view) = look(parts, account).await else { return };
    let name = format!("slot/{}", account.name);
    let incomplete = view.owner == "incomplete";
    let owner = format!("{} {}", view.owner, view.url.as_deref().unwrap_or("nobody"));
    let before = parts.around.store.note(&name).await.ok().flatten();
    let changed = before.as_deref() != Some(owner.as_bytes());
    if changed {
        if let Some(text) = sentence(&view) {
            alert::raise(parts, &account.name, &text).await;
        }
        if let Err(error) = parts.around.store.keep_note(&name, Some(owner.into_bytes())).await {
            tracing::error!("What was seen of the registration could not be kept: {error}");
        }
    }
    let repair = incomplete || take_over && view.owner != "ours";
    if repair && let Err(error) = register(parts, account, take_over, "daemon").await {
        tracing::warn!("The webhook registration could not be repaired: {error}");
    }
}
