//! The laws of the `Crm` seam, run against the Dynamics 365 client and its emulator over HTTP.
#![cfg(feature = "sandbox")]

#[path = "support/crm_laws.rs"]
mod crm_laws;
#[path = "support/dynamics365.rs"]
mod support;

mod plain {
    //! Writes are single requests.
    use crate::crm_laws;
    use crate::support::World;

    crate::crm_laws!(World::plain);
}

mod related {
    //! Fields of related rows are read too, so writes are batches.
    use crate::crm_laws;
    use crate::support::World;

    crate::crm_laws!(World::related);
}

#[path = "dynamics365/closing.rs"]
mod closing;
#[path = "dynamics365/feed.rs"]
mod feed;
#[path = "dynamics365/lost_answers.rs"]
mod lost_answers;
#[path = "dynamics365/merged.rs"]
mod merged;
#[path = "dynamics365/records.rs"]
mod records;
#[path = "dynamics365/setup.rs"]
mod setup;
#[path = "dynamics365/signing_in.rs"]
mod signing_in;
#[path = "dynamics365/webhooks.rs"]
mod webhooks;
