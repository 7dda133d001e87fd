//! The admin listener: health, metrics and the JSON interface for administrators.
//!
//! * Owns: the admin routes, their token, their answers (RFC 9457 problems), the OpenAPI document.
//! * May use: `domain`, `store`, `mapping`, and the trait [`Operations`] for all that needs a
//!   connector. Never a connector or the worker itself.
//! * Every list is a bounded page. Health and readiness need no token, everything else does.

mod api;
mod extract;
mod health;
pub mod operations;
mod problem;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::get;

use crate::domain::clock::Clock;
use crate::domain::secret::SecretString;
use crate::store::Store;

pub use operations::{OperationError, Operations};
pub use problem::Problem;

/// What the admin routes work on.
pub struct Admin {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What needs connectors.
    pub operations: Arc<dyn Operations>,
}

/// All routes of the admin listener. Without a token every guarded route answers 401 with the
/// setting that is missing.
pub fn router(admin: Arc<Admin>, token: Option<SecretString>) -> Router {
    let guarded = routes(Arc::clone(&admin))
        .layer(middleware::from_fn_with_state(Arc::new(token), token::check));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(admin)
        .merge(guarded)
}

/// The guarded routes without their guard, for a caller in the same process who holds the store.
pub fn routes(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .nest("/api/v1", api::routes())
        .with_state(admin)
}
