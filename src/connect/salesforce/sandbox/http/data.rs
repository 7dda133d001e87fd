//! Sends a call of the data API to its resource.

use super::{Answer, Call};
use super::{
    batch, collections, composite, graph, query, replication, resources, rows, tooling, upsert,
};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;

/// Resources that exist in the real system and are not emulated.
const ABSENT: [&str; 12] = [
    "search",
    "parameterizedSearch",
    "jobs",
    "analytics",
    "actions",
    "process",
    "metadata",
    "connect",
    "chatter",
    "apexrest",
    "wave",
    "quickActions",
];

/// Answers one call; failures become their error arrays.
pub(crate) fn dispatch(org: &mut Org, call: &Call) -> Answer {
    route(org, call).unwrap_or_else(Answer::from)
}

fn route(org: &mut Org, call: &Call) -> Result<Answer, Failure> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] => Ok(resources::root(call)),
        ["limits"] => resources::limits(org, call),
        ["recent"] => Ok(Answer::json(200, serde_json::json!([]))),
        ["query" | "queryAll", rest @ ..] => query::answer(org, call, rest, false),
        ["sobjects"] => resources::global(org, call),
        ["sobjects", name, "describe"] => resources::describe(org, call, name, false),
        ["sobjects", name, "updated"] => replication::updated(org, call, name),
        ["sobjects", name, "deleted"] => replication::deleted(org, call, name),
        ["sobjects", name] => rows::table(org, call, name),
        ["sobjects", name, id] => rows::row(org, call, name, id),
        ["sobjects", name, field, value] => upsert::row(org, call, name, field, value),
        ["composite"] => composite::answer(org, call),
        ["composite", "batch"] => batch::answer(org, call),
        ["composite", "graph"] => graph::answer(org, call),
        ["composite", "sobjects", rest @ ..] => collections::answer(org, call, rest),
        ["tooling", rest @ ..] => tooling::answer(org, call, rest),
        ["composite", "tree", ..] => Err(absent(call)),
        [first, ..] if ABSENT.contains(first) => Err(absent(call)),
        _ => Err(Failure::not_found()),
    }
}

fn absent(call: &Call) -> Failure {
    let path = call.path.join("/");
    Failure::new("NOT_IMPLEMENTED", format!("the emulator has no resource /{path}"))
}

/// Refuses every method but the ones named, `,` between them.
pub(super) fn only(call: &Call, allowed: &str) -> Result<(), Failure> {
    if allowed.split(',').any(|method| method == call.method) {
        return Ok(());
    }
    Err(Failure::method(&call.method, allowed))
}
