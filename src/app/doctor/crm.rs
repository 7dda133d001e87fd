//! A CRM: sign-in, rights, and the mapping against its live tables.

use super::notes::Notes;
use crate::admin::operations::Finding;
use crate::app::parts::Parts;
use crate::app::provisioning;
use crate::app::schema::is_there;
use crate::connect::crm::{FieldSchema, TableSchema};
use crate::connect::error::ConnectError;
use crate::mapping::rule::Direction;
use crate::mapping::{LiveField, Mapping};
use crate::sync::account::{Account, CrmPart};

/// What a CRM says, mapping by mapping.
pub(super) async fn look(parts: &Parts, account: &Account, part: &CrmPart) -> Vec<Finding> {
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
    for mapping in crate::app::load_mappings(&folder).unwrap_or_default() {
        if mapping.crm() != part.name() {
            continue;
        }
        let paths = &mapping.shape().fields;
        let described = async {
            let schema = part.crm.describe(mapping.kind()).await?;
            Ok((schema, part.crm.unreadable(mapping.kind(), paths).await?))
        };
        match described.await {
            Ok((schema, unreadable)) => {
                compare(&mut notes, &mapping, &schema, &unreadable);
                compare_values(&mut notes, &mapping, &schema);
            }
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

/// What cannot be read of a field: all of it, or its first step where that is not there.
fn lacking<'f>(schema: &TableSchema, unreadable: &[String], field: &'f str) -> Option<&'f str> {
    match (is_there(schema, field), unreadable.iter().any(|path| path == field)) {
        (true, false) => None,
        (true, true) => Some(field),
        (false, _) => field.split('.').next(),
    }
}

/// The mapping against the live table, and the paths from it that cannot be read.
fn compare(notes: &mut Notes<'_>, mapping: &Mapping, schema: &TableSchema, unreadable: &[String]) {
    let kind = mapping.kind();
    let control = mapping.control();
    let optional = mapping.optional_fields();
    let required = [&control.referral_id, &control.sync, &control.audit];
    let mut missing = 0;
    for field in &mapping.shape().fields {
        let Some(own) = lacking(schema, unreadable, field) else { continue };
        missing += 1;
        let text = format!("The {kind} has no field {own}.");
        let make = "Make it with `cosell-sync provision --apply`, or correct the mapping file.";
        if !required.contains(&field) && optional.contains(&field.as_str()) {
            notes.advice(format!("{text} It is not kept in step."), make);
        } else if !required.contains(&field)
            && mapping.control().optional().any(|name| name == field)
        {
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

/// Types, lengths and values of the rows against those of the live fields, as far as they are told.
fn compare_values(notes: &mut Notes<'_>, mapping: &Mapping, schema: &TableSchema) {
    let mismatches = mapping.mismatches(|name| {
        find(schema, name).map(|live| LiveField {
            kind: &live.kind,
            max_length: live.max_length,
            options: &live.options,
        })
    });
    for mismatch in mismatches {
        match mismatch.serious {
            true => notes.problem(mismatch.what, &mismatch.fix),
            false => notes.advice(mismatch.what, &mismatch.fix),
        }
    }
}

fn find<'s>(schema: &'s TableSchema, name: &str) -> Option<&'s FieldSchema> {
    schema.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}
