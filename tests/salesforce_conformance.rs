//! The Salesforce client against its emulator over HTTP: the laws of the `Crm` seam, and what is
//! special to Salesforce.

#[allow(dead_code, reason = "two laws are about closing actions, which Salesforce does not have")]
#[path = "support/crm_laws.rs"]
mod crm_laws;
#[path = "support/salesforce.rs"]
mod support;

#[path = "salesforce/burst.rs"]
mod burst;
#[path = "salesforce/feed.rs"]
mod feed;
#[path = "salesforce/leads.rs"]
mod leads;
#[path = "salesforce/lists.rs"]
mod lists;
#[path = "salesforce/lost_edits.rs"]
mod lost_edits;
#[path = "salesforce/odd_answers.rs"]
mod odd_answers;
#[path = "salesforce/provision.rs"]
mod provision;
#[path = "salesforce/sign_in.rs"]
mod sign_in;
#[path = "salesforce/writes.rs"]
mod writes;

mod plain {
    //! Fields of the record only.
    use crate::crm_laws;
    use crate::support::World;

    crate::crm_laws!(
        World::plain: the_probe_tells_who_we_are, no_record_is_none, a_created_record_is_found,
        repeating_a_create_leaves_one_record, a_create_with_a_lost_answer_is_unknown,
        an_update_changes_what_it_names, a_stale_version_is_refused,
        an_update_with_a_lost_answer_is_unknown, unknown_fields_are_refused,
        money_is_exact_and_dates_never_shift, every_change_appears_in_the_feed,
        an_expired_cursor_is_reported, a_throttle_closes_the_door_for_its_wait,
        an_exact_search_finds_awkward_names, the_schema_describes_the_fields
    );
}

mod with_lists {
    //! Fields of rows below the record too.
    use crate::crm_laws;
    use crate::support::World;

    crate::crm_laws!(
        World::with_lists: a_created_record_is_found, an_update_changes_what_it_names,
        a_stale_version_is_refused, every_change_appears_in_the_feed
    );
}

mod related {
    //! Fields of related rows too.
    use crate::crm_laws;
    use crate::support::World;

    crate::crm_laws!(
        World::related: a_created_record_is_found, an_update_changes_what_it_names,
        a_stale_version_is_refused, every_change_appears_in_the_feed
    );
}
