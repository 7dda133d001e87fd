//! Resource list, versions, limits, describes.

use serde_json::{Value, json};

use super::data::only;
use super::{Answer, Call};
use crate::connect::salesforce::sandbox::failure::Failure;
use crate::connect::salesforce::sandbox::org::Org;
use crate::connect::salesforce::sandbox::schema;

/// Oldest and newest live version.
pub(super) const LIVE: std::ops::RangeInclusive<u32> = 31..=67;

/// `GET /services/data`: needs no session.
pub(super) fn versions() -> Answer {
    let season = |number: u32| {
        let (year, season) =
            (2010 + (number - 18) / 3, ["Spring", "Summer", "Winter"][(number as usize) % 3]);
        let year = if season == "Winter" { year + 1 } else { year };
        format!("{season} '{:02}", year % 100)
    };
    let all: Vec<Value> = LIVE
        .map(|number| {
            let version = format!("{number}.0");
            json!({
                "label": season(number), "url": format!("/services/data/v{version}"),
                "version": version,
            })
        })
        .collect();
    Answer::json(200, json!(all))
}

/// `GET /services/data/vXX.0`.
pub(super) fn root(call: &Call) -> Answer {
    let names = ["sobjects", "query", "queryAll", "limits", "composite", "tooling", "recent"];
    let root = call.root();
    let mut body: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!(format!("{root}/{name}")))).collect();
    body.insert("identity".into(), json!(format!("/services/oauth2/userinfo")));
    Answer::json(200, Value::Object(body))
}

/// `GET /limits`.
pub(super) fn limits(org: &mut Org, call: &Call) -> Result<Answer, Failure> {
    only(call, "GET")?;
    let now = org.now();
    let (used, quota) = org.usage.state(now);
    let full = |max: usize| json!({ "Max": max, "Remaining": max });
    Ok(Answer::json(
        200,
        json!({
            "DailyApiRequests": { "Max": quota, "Remaining": quota.saturating_sub(used) },
            "DailyBulkApiBatches": full(15_000), "DailyDeliveredPlatformEvents": full(10_000),
            "HourlyPublishedPlatformEvents": full(50_000), "DataStorageMB": full(5),
            "FileStorageMB": full(20),
        }),
    ))
}

/// `GET /sobjects`.
pub(super) fn global(org: &Org, call: &Call) -> Result<Answer, Failure> {
    only(call, "GET")?;
    let objects: Vec<Value> = org
        .schema
        .objects()
        .filter(|object| !object.tooling)
        .map(|object| schema::global(object, &call.version))
        .collect();
    let body = json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects });
    Ok(Answer::json(200, body))
}

/// `GET /sobjects/T/describe`, without the fields that the user may not see.
pub(super) fn describe(
    org: &Org,
    call: &Call,
    name: &str,
    tooling: bool,
) -> Result<Answer, Failure> {
    only(call, "GET")?;
    let object = org.object(name, tooling).filter(|object| org.may_read(object, &call.user));
    let object = object.ok_or_else(Failure::not_found)?;
    let visible: Vec<_> = object
        .fields
        .iter()
        .map(|field| (field, org.access(object, field, &call.user)))
        .filter(|(_, (read, _))| *read)
        .map(|(field, (_, edit))| (field, edit))
        .collect();
    let may = |what: &str| org.may(object, &call.user, what);
    let rights = (may("PermissionsCreate"), may("PermissionsEdit"));
    let ways_down: Vec<_> = org.schema.ways_down(&object.name).collect();
    Ok(Answer::json(200, schema::object(object, &call.version, rights, &visible, &ways_down)))
}
