//! The rows that every organisation has from the start.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::data::{Data, Row};
use super::options::SandboxOptions;
use super::schema::Schema;
use super::state::{FixedIds, State, stable_guid, stamp};
use super::token::Tokens;
use super::write::reference;
use crate::connect::sandbox::SandboxClock;

/// Messages a step can be registered for, and the tables of each.
const MESSAGES: &[(&str, &[&str])] = &[
    ("Create", &["opportunity", "lead", "account", "contact", "opportunityproduct"]),
    ("Update", &["opportunity", "lead", "account", "contact", "opportunityproduct"]),
    ("Delete", &["opportunity", "lead", "account", "contact", "opportunityproduct"]),
    ("CreateMultiple", &["opportunity", "lead", "account", "contact"]),
    ("UpdateMultiple", &["opportunity", "lead", "account", "contact"]),
    ("UpsertMultiple", &["opportunity", "lead", "account", "contact"]),
    ("Win", &["opportunity"]),
    ("Lose", &["opportunity"]),
    ("QualifyLead", &["lead"]),
];

/// An organisation as delivered.
pub(super) fn organization(options: SandboxOptions, clock: SandboxClock) -> State {
    let fixed = |name: &str| stable_guid("fixed", name);
    let ids = FixedIds {
        organization: fixed("organization"),
        business_unit: fixed("business unit"),
        application_user: fixed("application user"),
        person: fixed("person"),
        currency: fixed("currency"),
    };
    let mut state = State {
        options,
        clock,
        schema: Schema::delivered(),
        data: Data::default(),
        tokens: Tokens::default(),
        log: Vec::new(),
        delta_floor: 0,
        answered: 0,
        change_sets: 0,
        ids: ids.clone(),
    };
    people_and_money(&mut state, &ids);
    let default = fixed("default publisher");
    put(
        &mut state,
        "publisher",
        &default,
        &json!({
            "uniquename": "DefaultPublishersandbox", "friendlyname": "Default Publisher",
            "customizationprefix": "new", "customizationoptionvalueprefix": 10_000,
        }),
    );
    put(
        &mut state,
        "solution",
        &fixed("default solution"),
        &json!({
            "uniquename": "Default", "friendlyname": "Default Solution", "version": "1.0",
            "ismanaged": false, "publisherid": reference("publisher", &default),
        }),
    );
    messages(&mut state);
    state.deliver_forms();
    state
}

fn people_and_money(state: &mut State, ids: &FixedIds) {
    let client = state.options.client_id.clone();
    let days = i64::try_from(state.options.delta_life.as_secs() / 86_400).unwrap_or(7);
    put(
        state,
        "systemuser",
        &ids.application_user,
        &json!({
            "fullname": "# Partner Center Sync", "applicationid": client, "isdisabled": false,
        }),
    );
    put(
        state,
        "systemuser",
        &ids.person,
        &json!({
            "fullname": "Seller", "domainname": "seller@contoso.example",
            "internalemailaddress": "seller@contoso.example", "isdisabled": false,
        }),
    );
    put(
        state,
        "transactioncurrency",
        &ids.currency,
        &json!({
            "currencyname": "US Dollar", "isocurrencycode": "USD", "currencysymbol": "$",
            "currencyprecision": 2, "exchangerate": 1, "statecode": 0, "statuscode": 1,
        }),
    );
    put(
        state,
        "organization",
        &ids.organization,
        &json!({
            "name": "sandbox", "languagecode": 1033, "expirechangetrackingindays": days,
        }),
    );
}

fn messages(state: &mut State) {
    let mut filters = BTreeMap::new();
    for (name, tables) in MESSAGES {
        let message = stable_guid("message", name);
        put(state, "sdkmessage", &message, &json!({"name": name}));
        for table in *tables {
            filters.insert((*name, *table), message.clone());
        }
    }
    for ((name, table), message) in filters {
        let id = stable_guid(&format!("{name} filter"), table);
        put(
            state,
            "sdkmessagefilter",
            &id,
            &json!({
                "name": format!("{name} of {table}"),
                "primaryobjecttypecode": table,
                "iscustomprocessingstepallowed": true,
                "sdkmessageid": reference("sdkmessage", &message),
            }),
        );
    }
}

/// The publisher with the prefix `pc` and its unmanaged solution.
pub(super) fn publisher(state: &mut State) {
    let publisher = stable_guid("fixed", "cosell publisher");
    put(
        state,
        "publisher",
        &publisher,
        &json!({
            "uniquename": "cosellsync", "friendlyname": "Co-sell sync",
            "customizationprefix": "pc", "customizationoptionvalueprefix": 72_700,
        }),
    );
    put(
        state,
        "solution",
        &stable_guid("fixed", "cosell solution"),
        &json!({
            "uniquename": "CosellSync", "friendlyname": "Co-sell sync", "version": "1.0.0.0",
            "ismanaged": false, "publisherid": reference("publisher", &publisher),
        }),
    );
}

fn put(state: &mut State, table: &str, id: &str, values: &Json) {
    let mut values = values.as_object().cloned().unwrap_or_default();
    let now = stamp(state.clock.now());
    values.insert("createdon".to_owned(), json!(now));
    values.insert("modifiedon".to_owned(), json!(now));
    state.data.put(table, Row { id: id.to_owned(), version: 0, values });
}
