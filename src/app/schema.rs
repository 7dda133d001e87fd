//! Compares the mappings with the live schema before anything is read with them: rows for optional
//! fields that a CRM does not have are dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::mapping::Mapping;
use crate::mapping::registration::RegistrationRule;
use crate::sync::account::{Account, CrmPart, Surroundings};
use crate::sync::feeds::{Feed, Poller};

/// How long to wait before a CRM that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// Asks every CRM of an account until it has answered, then lets its feeds begin.
pub(super) async fn refine(
    account: Arc<Account>,
    around: Surroundings,
    pollers: Vec<Arc<Poller>>,
    stop: CancellationToken,
) {
    for part in &account.crms {
        while !stop.is_cancelled() {
            match refined(part, current(part)).await {
                Ok(mappings) => {
                    part.replace_mappings(mappings);
                    part.be_ready();
                    break;
                }
                Err(fault) => {
                    tracing::warn!("The schema of {} cannot be read yet: {fault}", part.name())
                }
            }
            tokio::select! {
                () = around.clock.sleep(AGAIN) => {}
                () = stop.cancelled() => return,
            }
        }
        let of_part = |poller: &&Arc<Poller>| {
            poller.account().name == account.name
                && matches!(poller.feed(), Feed::Crm(crm, _) if crm == part.name())
        };
        pollers.iter().filter(of_part).for_each(|poller| poller.hint());
    }
}

/// The mappings that a part uses now.
pub(super) fn current(part: &CrmPart) -> Vec<Arc<Mapping>> {
    part.kinds().into_iter().filter_map(|kind| part.mapping(kind)).collect()
}

/// Mappings without the optional fields that the part's CRM does not have.
pub(super) async fn refined(
    part: &CrmPart,
    wanted: Vec<Arc<Mapping>>,
) -> Result<Vec<Arc<Mapping>>, crate::connect::error::ConnectError> {
    let mut mappings = Vec::new();
    for mapping in wanted {
        let schema = part.crm.describe(mapping.kind()).await?;
        let there = |field: &str| {
            let own = field.split('.').next().unwrap_or(field);
            field.contains('.')
                || schema.fields.iter().any(|live| live.name.eq_ignore_ascii_case(own))
        };
        let control = mapping.control();
        let optional = [
            &control.link,
            &control.help,
            &control.solutions,
            &control.visibility,
            &control.microsoft_id,
            &control.token,
            &control.status,
        ];
        let registration = mapping.registration().into_iter().flat_map(RegistrationRule::fields);
        let candidates = mapping
            .optional_fields()
            .into_iter()
            .chain(optional.into_iter().flatten().map(String::as_str))
            .chain(registration.map(String::as_str));
        let missing: Vec<&str> = candidates.filter(|field| !there(field)).collect();
        if missing.is_empty() {
            mappings.push(mapping);
        } else {
            tracing::info!("{} has no {}: not kept in step", part.name(), missing.join(", "));
            mappings.push(Arc::new(mapping.without(&missing)));
        }
    }
    Ok(mappings)
}
