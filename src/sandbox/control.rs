//! The control interface of the sandbox over HTTP: seed, edit as a person, look, break things.

mod answer;
mod dynamics365;
mod partner_center;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use self::answer::{DONE, Done, Fields, Refused, Sent};
use super::Sandbox;
use crate::connect::sandbox::{Fault, Faults};

type Shared = State<Arc<Sandbox>>;

/// What the control interface can do: one line for each call, with the lines below it about its
/// body.
pub const GUIDE: &str = include_str!("control/guide.txt");

/// Routes for people and scripts; `GET /` lists them.
pub fn router(sandbox: Arc<Sandbox>) -> Router {
    Router::new()
        .route("/", get(help))
        .route("/clock", post(advance))
        .route("/faults/{system}", post(add_fault).delete(clear_faults))
        .merge(partner_center::routes())
        .merge(dynamics365::routes())
        .route("/salesforce/{table}", get(sales_rows).post(create_sales))
        .route("/salesforce/{table}/{id}", get(sales_row).patch(edit_sales))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .with_state(sandbox)
}

async fn help() -> &'static str {
    GUIDE
}

async fn nothing() -> Refused {
    Refused::missing("There is no such call.")
}

fn found(row: Option<Value>) -> Result<Json<Value>, Refused> {
    row.map(Json).ok_or_else(|| Refused::missing("Nothing is there."))
}

fn made(id: &impl std::fmt::Display) -> Json<Value> {
    Json(json!({ "id": id.to_string() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_secs: u64,
}

async fn advance(State(sandbox): Shared, Sent(body): Sent<Advance>) -> Json<Value> {
    sandbox.clock.advance(Duration::from_secs(body.advance_secs));
    sandbox.partner_center.tick();
    Json(json!({ "now": sandbox.clock.now().to_string() }))
}

fn faults(sandbox: &Sandbox, system: &str) -> Result<Faults, Refused> {
    match system {
        "partner-center" => Ok(sandbox.partner_center.faults()),
        "dynamics365" => Ok(sandbox.dynamics365.faults()),
        "salesforce" => Ok(sandbox.salesforce.faults()),
        _ => Err(Refused::missing("The systems are partner-center, dynamics365 and salesforce.")),
    }
}

async fn add_fault(
    State(sandbox): Shared,
    Path(system): Path<String>,
    Sent(fault): Sent<Fault>,
) -> Done {
    faults(&sandbox, &system)?.add(fault);
    DONE
}

async fn clear_faults(State(sandbox): Shared, Path(system): Path<String>) -> Done {
    faults(&sandbox, &system)?.clear();
    DONE
}

async fn sales_rows(State(sandbox): Shared, Path(table): Path<String>) -> Json<Value> {
    Json(sandbox.salesforce.rows(&table).into())
}

async fn sales_row(
    State(sandbox): Shared,
    Path((table, id)): Path<(String, String)>,
) -> Result<Json<Value>, Refused> {
    found(sandbox.salesforce.row(&table, &id))
}

async fn create_sales(
    State(sandbox): Shared,
    Path(table): Path<String>,
    Sent(body): Sent<Fields>,
) -> Result<Json<Value>, Refused> {
    Ok(made(&sandbox.salesforce.create_as_person(&table, &body.into())?))
}

async fn edit_sales(
    State(sandbox): Shared,
    Path((table, id)): Path<(String, String)>,
    Sent(body): Sent<Fields>,
) -> Done {
    sandbox.salesforce.edit_as_person(&table, &id, &body.into())?;
    DONE
}

#[cfg(test)]
mod tests;
