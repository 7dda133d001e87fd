//! The HTTP side: log, faults, sign-in, and from axum's types to ours and back.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::post;

use super::Dynamics365Sandbox;
use super::call::{Answer, Call, ROOT};
use super::problem::Problem;
use super::state::State;
use crate::connect::sandbox::Faults;

/// Largest request, in bytes.
const BODY_LIMIT: usize = 128 * 1024 * 1024;

pub(super) fn router(sandbox: &Dynamics365Sandbox) -> Router {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .fallback(api)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(sandbox.faults(), Faults::middleware))
        .layer(middleware::from_fn_with_state(sandbox.clone(), log))
        .with_state(sandbox.clone())
}

async fn log(
    Shared(sandbox): Shared<Dynamics365Sandbox>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let method = request.method().to_string();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let response = next.run(request).await;
    sandbox.with(|state| state.log(&method, &path, response.status().as_u16()));
    response
}

async fn token(
    Shared(sandbox): Shared<Dynamics365Sandbox>,
    axum::extract::Path(tenant): axum::extract::Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let host = host(&headers);
    respond(sandbox.with(|state| state.token(&tenant, &host, &body)))
}

async fn api(
    Shared(sandbox): Shared<Dynamics365Sandbox>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        sandbox.run_hooks();
    }
    let answer = sandbox.with(|state| match call(state, &method, &uri, &headers, &body) {
        Ok(call) => state.handle(&call),
        Err(answer) => *answer,
    });
    sandbox.wake_deliveries();
    respond(answer)
}

fn call(
    state: &State,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Call, Box<Answer>> {
    let host = host(headers);
    check_token(state, headers, &host)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let below =
        path.strip_prefix(ROOT).filter(|below| below.is_empty() || below.starts_with(['/', '?']));
    let below = below.ok_or_else(|| Box::new(Problem::no_segment(path).answer()))?;
    let mut call = Call {
        method: method.to_string(),
        path: Vec::new(),
        raw_path: String::new(),
        query: Vec::new(),
        headers: headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: body.to_vec(),
        root: format!("http://{host}{ROOT}"),
        user: state.ids.application_user.clone(),
    };
    call.address(below).map_err(|problem| Box::new(problem.answer()))?;
    Ok(call)
}

fn check_token(state: &State, headers: &HeaderMap, host: &str) -> Result<(), Box<Answer>> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer "));
    if !token.is_some_and(|token| state.tokens.accepts(token, state.clock.now())) {
        let challenge = format!(
            "Bearer authorization_uri=http://{host}/{}/oauth2/authorize, resource_id=http://{host}/",
            state.options.tenant_id
        );
        let answer = Answer { status: 401, headers: Vec::new(), body: Vec::new() };
        return Err(Box::new(answer.with("WWW-Authenticate", challenge)));
    }
    if state.options.is_member {
        return Ok(());
    }
    let problem = Problem::new(403, "0x80072560", "The user is not a member of the organization.");
    Err(Box::new(problem.answer()))
}

fn host(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.unwrap_or("localhost").to_owned()
}

fn respond(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
