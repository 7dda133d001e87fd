//! `PATCH /referrals/{id}`: JSON Patch with `add` and `replace` on a closed list of paths
//! (reference 2.5, 4.2, 4.6).

use serde_json::{Map, Value as Json, json};

use super::answer::Refusal;
use super::state::{State, Stored};
use super::{casing, check, registration, rules};

/// One operation, checked.
#[derive(Debug)]
pub(super) struct Operation {
    /// Steps of the path in camel case; a last step `-` appends.
    pub(super) steps: Vec<String>,
    pub(super) value: Json,
}

/// The referral after all operations, or the reason why none is applied.
pub(super) fn patch(
    state: &mut State,
    at: usize,
    operations: &Json,
) -> Result<Map<String, Json>, Refusal> {
    let stored = state.referrals.get(at).ok_or_else(Refusal::not_found)?.clone();
    if stored.is_microsofts() {
        let message = "The referral belongs to another organisation.";
        return Err(Refusal::referrals(403, "accessDenied", message));
    }
    let operations = parse(operations)?;
    let registers =
        |operation: &Operation| operation.steps.first().is_some_and(|step| step == "registrations");
    let won = stored.text("substatus") == "Won";
    if stored.is_closed() && !(won && operations.iter().all(registers)) {
        let status = state.options.closed_status;
        return Err(Refusal::referrals(status, "invalidRequest", "The referral is closed."));
    }
    let mut json = stored.json.clone();
    for operation in operations {
        if registers(&operation) {
            registration::apply(state, &stored, &mut json, &operation)?;
        } else {
            check_freeze(state, &stored, &operation)?;
            apply(&mut json, operation)?;
        }
    }
    bind_deal_value(&mut json);
    check::shape(&mut json)?;
    check_transition(state, &stored, &mut json)?;
    Ok(json)
}

fn parse(operations: &Json) -> Result<Vec<Operation>, Refusal> {
    let operations = operations.as_array().filter(|operations| !operations.is_empty());
    let operations =
        operations.ok_or_else(|| Refusal::invalid("patch", "Send an array of operations."))?;
    operations.iter().map(operation).collect()
}

fn operation(json: &Json) -> Result<Operation, Refusal> {
    let text = |name: &str| casing::lookup(json, name).and_then(Json::as_str).unwrap_or_default();
    let replaces = match text("op").to_ascii_lowercase().as_str() {
        "add" => false,
        "replace" => true,
        other => {
            let why = format!("The operation '{other}' is not supported.");
            return Err(Refusal::invalid("op", why));
        }
    };
    let path = text("path");
    let steps: Option<Vec<String>> = path.strip_prefix('/').and_then(|path| {
        path.split('/')
            .map(|step| match step {
                "-" => Some(step.to_owned()),
                _ if step.bytes().all(|byte| byte.is_ascii_digit()) => Some(step.to_owned()),
                _ => casing::canonical(step).map(str::to_owned),
            })
            .collect()
    });
    let value = casing::lookup(json, "value").cloned();
    let value = value.ok_or_else(|| Refusal::invalid(path, "The operation has no value."))?;
    let steps = steps.filter(|steps| is_allowed(steps, replaces));
    let steps = steps.ok_or_else(|| Refusal::invalid(path, "The path cannot be patched."))?;
    Ok(Operation { steps, value: casing::bind(value) })
}

/// Whether the path is on the list of what may be patched, in this manner.
fn is_allowed(steps: &[String], replaces: bool) -> bool {
    if steps.first().is_some_and(|step| step == "registrations") {
        return registration::is_allowed(steps, replaces);
    }
    rules::is_patchable(&steps.join("/"), replaces)
}

/// What was shared with Microsoft stays shared, and its contacts stay as they were.
fn check_freeze(state: &State, stored: &Stored, operation: &Operation) -> Result<(), Refusal> {
    let path = operation.steps.join(".");
    let invited = state.engagement(stored.text("engagementId")).any(Stored::is_microsofts);
    let shared = invited || stored.consented_to_sharing();
    if shared && rules::is_frozen_by_sharing(&operation.steps.join("/")) {
        return Err(Refusal::invalid(&path, "The property is frozen once the deal is shared."));
    }
    if path.starts_with("consent.") {
        let Some(value) = operation.value.as_bool() else {
            return Err(Refusal::invalid(&path, "The value is true or false."));
        };
        if shared && !value {
            return Err(Refusal::invalid(&path, "Sharing with Microsoft cannot be withdrawn."));
        }
    }
    Ok(())
}

fn apply(json: &mut Map<String, Json>, operation: Operation) -> Result<(), Refusal> {
    let path = operation.steps.join(".");
    let mut root = Json::Object(std::mem::take(json));
    let outcome = put(&mut root, &operation.steps, operation.value)
        .ok_or_else(|| Refusal::invalid(&path, "The path does not exist."));
    if let Json::Object(fields) = root {
        *json = fields;
    }
    outcome
}

/// Sets the value at the path, or appends it where the path ends in `-`.
pub(super) fn put(root: &mut Json, steps: &[String], value: Json) -> Option<()> {
    let (last, parents) = steps.split_last()?;
    let mut at = root;
    for step in parents {
        at = match at {
            Json::Object(fields) => fields.get_mut(step)?,
            Json::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match at {
        Json::Array(items) if last == "-" => items.push(value),
        Json::Array(items) => *items.get_mut(last.parse::<usize>().ok()?)? = value,
        Json::Object(fields) => {
            fields.insert(last.clone(), value);
        }
        _ => return None,
    }
    Some(())
}

/// Numeric text becomes a number, as the documentation's own sample sends it.
fn bind_deal_value(json: &mut Map<String, Json>) {
    let Some(value) = json.get_mut("details").and_then(|details| details.get_mut("dealValue"))
    else {
        return;
    };
    if let Json::String(text) = value {
        let whole = text.trim().parse::<i64>().ok().map(|number| json!(number));
        let number = whole.or_else(|| check::number(value).map(|number| json!(number)));
        if let Some(number) = number {
            *value = number;
        }
    }
}

/// Status and substatus must agree afterwards, and the step must be one that a partner may take.
fn check_transition(
    state: &State,
    stored: &Stored,
    json: &mut Map<String, Json>,
) -> Result<(), Refusal> {
    let word = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default();
    let before = (stored.text("status"), stored.text("substatus"));
    let after = (word("status"), word("substatus"));
    if before == after {
        return Ok(());
    }
    let Some(agreed) = rules::pair(after.0, after.1) else {
        let why = format!("{}/{} is not a pair of status and substatus.", after.0, after.1);
        return Err(Refusal::invalid("substatus", why));
    };
    if !rules::may_become(before, agreed) {
        let why = format!("{}/{} cannot become {}/{}.", before.0, before.1, agreed.0, agreed.1);
        return Err(Refusal::invalid("status", why));
    }
    let reasoned = matches!(agreed.1, "Declined" | "Lost" | "Error");
    if reasoned && state.options.closing_needs_reason && word("statusReason").trim().is_empty() {
        return Err(Refusal::invalid("statusReason", "A reason is required."));
    }
    json.insert("status".to_owned(), json!(agreed.0));
    json.insert("substatus".to_owned(), json!(agreed.1));
    Ok(())
}
