//! The control interface of the sandbox over HTTP: seed, edit as a person, look, break things.

mod dynamics365;
mod partner_center;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

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
        .with_state(sandbox)
}

async fn help() -> &'static str {
    GUIDE
}

fn found(row: Option<Value>) -> Response {
    row.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |row| Json(row).into_response())
}

fn made<T: std::fmt::Display, E: std::fmt::Debug>(result: Result<T, E>) -> Response {
    match result {
        Ok(id) => Json(json!({ "id": id.to_string() })).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

fn done<T, E: std::fmt::Debug>(result: Result<T, E>) -> Response {
    match result {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refused(&refusal),
    }
}

fn refused<E: std::fmt::Debug>(refusal: &E) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, format!("{refusal:?}\n")).into_response()
}

async fn advance(State(sandbox): Shared, Json(body): Json<Value>) -> Response {
    let secs = body.get("advance_secs").and_then(Value::as_u64).unwrap_or(0);
    sandbox.clock.advance(Duration::from_secs(secs));
    sandbox.partner_center.tick();
    Json(json!({ "now": sandbox.clock.now().to_string() })).into_response()
}

fn faults(sandbox: &Sandbox, system: &str) -> Option<Faults> {
    match system {
        "partner-center" => Some(sandbox.partner_center.faults()),
        "dynamics365" => Some(sandbox.dynamics365.faults()),
        "salesforce" => Some(sandbox.salesforce.faults()),
        _ => None,
    }
}

async fn add_fault(
    State(sandbox): Shared,
    Path(system): Path<String>,
    Json(fault): Json<Fault>,
) -> StatusCode {
    match faults(&sandbox, &system) {
        Some(faults) => {
            faults.add(fault);
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn clear_faults(State(sandbox): Shared, Path(system): Path<String>) -> StatusCode {
    match faults(&sandbox, &system) {
        Some(faults) => {
            faults.clear();
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn sales_rows(State(sandbox): Shared, Path(table): Path<String>) -> Json<Value> {
    Json(sandbox.salesforce.rows(&table).into())
}

async fn sales_row(State(sandbox): Shared, Path((table, id)): Path<(String, String)>) -> Response {
    found(sandbox.salesforce.row(&table, &id))
}

async fn create_sales(
    State(sandbox): Shared,
    Path(table): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    made(sandbox.salesforce.create_as_person(&table, &body))
}

async fn edit_sales(
    State(sandbox): Shared,
    Path((table, id)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    done(sandbox.salesforce.edit_as_person(&table, &id, &body))
}
