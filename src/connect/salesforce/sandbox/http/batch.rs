//! `/composite/batch`: up to 25 independent calls, each counted.

use serde_json::{Value, json};

use super::{Answer, Call, composite, dispatch};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;

const MOST: usize = 25;

/// Answers `POST /composite/batch`.
pub(super) fn answer(org: &mut Org, call: &Call) -> Result<Answer, Failure> {
    super::data::only(call, "POST")?;
    let calls = call.body["batchRequests"].as_array().cloned().unwrap_or_default();
    if calls.is_empty() || calls.len() > MOST {
        let message = format!("The number of subrequests must be between 1 and {MOST}");
        return Err(Failure::new("INVALID_BATCH_SIZE", message));
    }
    // The request itself has been counted once already.
    let now = org.now();
    org.usage.take(calls.len() - 1, now);
    let halt = call.body["haltOnError"].as_bool().unwrap_or(false);
    let mut results = Vec::new();
    let mut errors = false;
    for one in &calls {
        let answer = if errors && halt {
            let message = "Batch processing halted per request";
            Answer::from(Failure::new("BATCH_PROCESSING_HALTED", message).with_status(412))
        } else {
            let url = one["url"].as_str().unwrap_or_default().trim_start_matches('/');
            let url = url.strip_prefix("services/data/").unwrap_or(url);
            let method = one["method"].as_str().unwrap_or_default();
            match composite::inner(call, method, &format!("/services/data/{url}")) {
                Ok(mut inner) => {
                    inner.body = one["richInput"].clone();
                    dispatch(org, &inner)
                }
                Err(failure) => Answer::from(failure),
            }
        };
        errors |= answer.status >= 400;
        let status = answer.status;
        results.push(json!({ "statusCode": status, "result": answer.into_value() }));
    }
    let results: Value = json!({ "hasErrors": errors, "results": results });
    Ok(Answer::json(200, results))
}
