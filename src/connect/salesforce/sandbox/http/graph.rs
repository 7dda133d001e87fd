//! `/composite/graph`: groups of calls, each of them all or none.

use serde_json::{Value, json};

use super::{Answer, Call, composite};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;

const MOST_GRAPHS: usize = 75;
const MOST_NODES: usize = 500;

/// Answers `POST /composite/graph`.
pub(super) fn answer(org: &mut Org, call: &Call) -> Result<Answer, Failure> {
    super::data::only(call, "POST")?;
    let graphs = call.body["graphs"].as_array().cloned().unwrap_or_default();
    let nodes = |graph: &Value| graph["compositeRequest"].as_array().map_or(0, Vec::len);
    if graphs.is_empty()
        || graphs.len() > MOST_GRAPHS
        || graphs.iter().map(nodes).sum::<usize>() > MOST_NODES
    {
        let message = format!("At most {MOST_GRAPHS} graphs with {MOST_NODES} nodes are allowed");
        return Err(Failure::new("INVALID_BATCH_SIZE", message));
    }
    let mut results = Vec::new();
    for graph in &graphs {
        let calls = graph["compositeRequest"].as_array().cloned().unwrap_or_default();
        let (responses, good) = composite::run(org, call, &calls, true)?;
        results.push(json!({
            "graphId": graph["graphId"], "isSuccessful": good,
            "graphResponse": { "compositeResponse": responses },
        }));
    }
    Ok(Answer::json(200, json!({ "graphs": results })))
}
