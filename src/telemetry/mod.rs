//! What the program tells operators: log and metrics.

pub mod metrics;

use tracing_subscriber::EnvFilter;

/// Starts logging to standard error: lines for people, or JSON. `RUST_LOG` chooses the detail;
/// without it `level` does.
pub fn start_logging(json: bool, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, in tests, changes nothing.
    let _ = if json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
}
