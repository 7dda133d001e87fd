//! The description of this interface.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`.
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use super::DOCUMENT;

    /// The routes, read from the source of the router itself: a new one cannot be forgotten.
    #[test]
    fn every_route_is_described() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let source = include_str!("mod.rs");
        let mut found = 0;
        for line in source.lines().filter(|line| line.contains(".route(\"")) {
            let path = line.split('"').nth(1).expect("a path");
            let described = &document["paths"][path];
            for method in ["get", "post"] {
                if line.contains(&format!("{method}(")) {
                    found += 1;
                    let summary = &described[method]["summary"];
                    assert!(summary.is_string(), "{method} {path} is not described");
                }
            }
        }
        let described = document["paths"].as_object().expect("paths").values();
        let described: usize = described.map(|path| path.as_object().map_or(0, |o| o.len())).sum();
        assert_eq!(found, described, "the document describes routes that do not exist");
    }
}
