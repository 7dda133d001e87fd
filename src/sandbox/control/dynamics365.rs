//! The part of the control interface about Dynamics 365: what sellers do, and what goes wrong.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{DONE, Done, Fields, Refused, Sent};
use super::{Sandbox, Shared, found, made};

pub(super) fn routes() -> Router<Arc<Sandbox>> {
    Router::new()
        .route("/dynamics365/{table}", get(rows).post(create))
        .route("/dynamics365/{table}/{id}", get(row).patch(edit).delete(delete))
        .route("/dynamics365/opportunity/{id}/win", post(win))
        .route("/dynamics365/opportunity/{id}/lose", post(lose))
        .route("/dynamics365/lead/{id}/qualify", post(qualify))
        .route("/dynamics365/{table}/{id}/merge", post(merge))
        .route("/dynamics365/feed/expire", post(expire))
        .route("/dynamics365/sign-in/forget", post(forget))
}

async fn rows(State(sandbox): Shared, Path(table): Path<String>) -> Json<Value> {
    Json(sandbox.dynamics365.rows(&table).into())
}

async fn row(
    State(sandbox): Shared,
    Path((table, id)): Path<(String, String)>,
) -> Result<Json<Value>, Refused> {
    found(sandbox.dynamics365.row(&table, &id))
}

async fn create(
    State(sandbox): Shared,
    Path(table): Path<String>,
    Sent(body): Sent<Fields>,
) -> Result<Json<Value>, Refused> {
    Ok(made(&sandbox.dynamics365.create_as_person(&table, &body.into())?))
}

async fn edit(
    State(sandbox): Shared,
    Path((table, id)): Path<(String, String)>,
    Sent(body): Sent<Fields>,
) -> Done {
    sandbox.dynamics365.edit_as_person(&table, &id, &body.into())?;
    DONE
}

async fn delete(State(sandbox): Shared, Path((table, id)): Path<(String, String)>) -> Done {
    sandbox.dynamics365.delete_as_person(&table, &id)?;
    DONE
}

async fn win(State(sandbox): Shared, Path(id): Path<String>) -> Done {
    sandbox.dynamics365.win_as_person(&id)?;
    DONE
}

async fn lose(State(sandbox): Shared, Path(id): Path<String>) -> Done {
    sandbox.dynamics365.lose_as_person(&id)?;
    DONE
}

async fn qualify(State(sandbox): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    Ok(made(&sandbox.dynamics365.qualify_as_person(&id)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    /// The row that goes on.
    into: String,
}

async fn merge(
    State(sandbox): Shared,
    Path((table, id)): Path<(String, String)>,
    Sent(body): Sent<Merge>,
) -> Done {
    sandbox.dynamics365.merge_as_person(&table, &body.into, &id)?;
    DONE
}

async fn expire(State(sandbox): Shared) -> Done {
    sandbox.dynamics365.expire_delta_tokens();
    DONE
}

async fn forget(State(sandbox): Shared) -> Done {
    sandbox.dynamics365.revoke_tokens();
    DONE
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::{Request, header};
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::super::{Sandbox, router};
    use crate::sandbox::Addresses;

    async fn act(sandbox: &Arc<Sandbox>, method: &str, path: &str, body: &Value) -> u16 {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answer = router(Arc::clone(sandbox)).oneshot(request).await.expect("an answer");
        answer.status().as_u16()
    }

    #[tokio::test]
    async fn sellers_end_qualify_merge_and_delete() {
        let sandbox = Arc::new(Sandbox::start(Addresses::free()).await.expect("it starts"));
        let crm = &sandbox.dynamics365;
        let deal = || crm.seed_opportunity(&json!({})).expect("a row");
        let lead = || crm.seed_lead(&json!({ "lastname": "Buyer" })).expect("a row");
        let (won, lost, gone) = (deal(), deal(), deal());
        let (qualified, kept, merged) = (lead(), lead(), lead());
        let into = json!({ "into": kept });
        let none = json!({});
        for (method, path, body, status, why) in [
            ("POST", format!("opportunity/{won}/win"), &none, 204, "won"),
            ("POST", format!("opportunity/{won}/win"), &none, 422, "won already"),
            ("POST", format!("opportunity/{lost}/lose"), &none, 204, "lost"),
            ("DELETE", format!("opportunity/{gone}"), &none, 204, "deleted"),
            ("DELETE", format!("opportunity/{gone}"), &none, 404, "deleted already"),
            ("POST", format!("lead/{qualified}/qualify"), &none, 200, "qualified"),
            ("POST", format!("lead/{merged}/merge"), &none, 422, "into which one?"),
            ("POST", format!("lead/{merged}/merge"), &into, 204, "merged"),
            ("POST", "feed/expire".to_owned(), &none, 204, "links are dead"),
            ("POST", "sign-in/forget".to_owned(), &none, 204, "tokens are refused"),
        ] {
            let path = format!("/dynamics365/{path}");
            assert_eq!(act(&sandbox, method, &path, body).await, status, "{path}: {why}");
        }
        let state = |table: &str, id: &str| crm.row(table, id).expect("a row")["statecode"].clone();
        assert_eq!([state("opportunity", &won), state("opportunity", &lost)], [json!(1), json!(2)]);
        assert_eq!(state("lead", &qualified), json!(1));
        assert_eq!(crm.row("lead", &merged).expect("a row")["_masterid_value"], json!(kept));
        assert_eq!(crm.row("opportunity", &gone), None);
    }
}
