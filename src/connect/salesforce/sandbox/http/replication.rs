//! `/sobjects/T/updated` and `/sobjects/T/deleted`.

use std::time::Duration;

use serde_json::{Value, json};

use super::data::only;
use super::{Answer, Call};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;
use crate::connect::salesforce::sandbox::stamp::{whole_minute, whole_second, wire};
use crate::domain::time::Timestamp;

const DAY: u64 = 24 * 3600;
const UPDATED_REACH: Duration = Duration::from_secs(30 * DAY);
const DELETED_REACH: Duration = Duration::from_secs(15 * DAY);

/// The ids that changed in the window, created ones included.
pub(super) fn updated(org: &mut Org, call: &Call, name: &str) -> Result<Answer, Failure> {
    only(call, "GET")?;
    let object = org.object(name, false).ok_or_else(Failure::not_found)?.name.clone();
    let (start, covered) = window(org, call, UPDATED_REACH)?;
    let ids: Vec<&String> = org
        .live_rows(&object)
        .filter(|(_, row)| {
            let stamp = row.fields.get("SystemModstamp").and_then(Value::as_str);
            stamp.and_then(Timestamp::parse).is_some_and(|at| at >= start && at < covered)
        })
        .map(|(id, _)| id)
        .collect();
    let body = json!({ "ids": ids, "latestDateCovered": wire(covered) });
    org.usage.log.reads += 1;
    Ok(Answer::json(200, body))
}

/// The ids that were deleted in the window.
pub(super) fn deleted(org: &mut Org, call: &Call, name: &str) -> Result<Answer, Failure> {
    only(call, "GET")?;
    let object = org.object(name, false).ok_or_else(Failure::not_found)?.name.clone();
    let (start, covered) = window(org, call, DELETED_REACH)?;
    let reach = org.now().minus(DELETED_REACH);
    let earliest = org.deletes_trimmed_before.map_or(reach, |trimmed| trimmed.max(reach));
    let records: Vec<Value> = org
        .table(&object)
        .filter_map(|(id, row)| Some((id, row.deleted_at?)))
        .filter(|(_, at)| *at >= start && *at < covered && *at >= earliest)
        .map(|(id, at)| json!({ "id": id, "deletedDate": wire(at) }))
        .collect();
    let body = json!({
        "deletedRecords": records, "earliestDateAvailable": wire(whole_second(earliest)),
        "latestDateCovered": wire(covered),
    });
    org.usage.log.reads += 1;
    Ok(Answer::json(200, body))
}

/// Start of the window and how far it is really covered.
fn window(org: &Org, call: &Call, reach: Duration) -> Result<(Timestamp, Timestamp), Failure> {
    let refuse = |message: &str| Failure::new("INVALID_REPLICATION_DATE", message);
    let read = |name: &str| {
        let text = call.parameter(name).filter(|text| text.contains('T'));
        let at = text.and_then(Timestamp::parse).map(whole_minute);
        at.ok_or_else(|| refuse(&format!("{name} is not a valid dateTime")))
    };
    let (start, end) = (read("start")?, read("end")?);
    if start >= end {
        return Err(refuse("startDate should be before endDate"));
    }
    if start < whole_minute(org.now().minus(reach)) {
        let days = reach.as_secs() / DAY;
        return Err(refuse(&format!(
            "startDate before org replication enabled date or more than {days} days ago"
        )));
    }
    let covered = end.min(whole_minute(org.now().minus(org.options.replication_lag)));
    Ok((start, covered.max(start)))
}
