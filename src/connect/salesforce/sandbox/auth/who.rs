//! `userinfo` and the identity URL.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{origin, session};
use crate::connect::salesforce::sandbox::http::Answer;
use crate::connect::salesforce::sandbox::org::Org;

/// Answers both; a bad token is 403 with plain text here, not the usual array.
pub(super) fn answer(org: &mut Org, headers: &BTreeMap<String, String>, identity: bool) -> Answer {
    if !headers.contains_key("authorization") {
        return Answer::text(403, "text/html;charset=UTF-8", "Missing_OAuth_Token");
    }
    let Ok(user) = session(org, headers) else {
        return Answer::text(403, "text/html;charset=UTF-8", "Bad_OAuth_Token");
    };
    let fields = org.stored("User", &user).map(|row| row.fields.clone()).unwrap_or_default();
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let instance = origin(headers);
    let organization = &org.organization_id;
    let id = format!("{instance}/id/{organization}/{user}");
    let mut body = json!({
        "user_id": user, "organization_id": organization, "email": field("Email"),
        "active": field("IsActive"), "user_type": "STANDARD", "language": "en_US",
        "locale": "en_US", "utcOffset": 3_600_000, "urls": urls(&instance),
    });
    let more = if identity {
        json!({
            "id": id, "asserted_user": true, "username": field("Username"),
            "nick_name": field("Alias"), "display_name": field("Name"),
            "last_modified_date": field("LastModifiedDate"), "is_app_installed": true,
        })
    } else {
        json!({
            "sub": id, "preferred_username": field("Username"), "nickname": field("Alias"),
            "name": field("Name"), "given_name": field("FirstName"),
            "family_name": field("LastName"), "email_verified": true,
            "zoneinfo": field("TimeZoneSidKey"), "updated_at": field("LastModifiedDate"),
            "profile": format!("{instance}/{user}"), "picture": format!("{instance}/profilephoto/005/F"),
            "photos": {
                "picture": format!("{instance}/profilephoto/005/F"),
                "thumbnail": format!("{instance}/profilephoto/005/T"),
            },
            "address": {}, "is_salesforce_integration_user": true,
        })
    };
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    Answer::json(200, body)
}

/// The addresses, with the literal `{version}` that clients replace.
fn urls(instance: &str) -> Value {
    let rest = |name: &str| json!(format!("{instance}/services/data/v{{version}}/{name}"));
    let mut urls: Map<String, Value> = [
        ("rest", ""),
        ("sobjects", "sobjects/"),
        ("search", "search/"),
        ("query", "query/"),
        ("recent", "recent/"),
        ("tooling_rest", "tooling/"),
    ]
    .into_iter()
    .map(|(name, path)| (name.to_owned(), rest(path)))
    .collect();
    for (name, letter) in [("enterprise", 'c'), ("partner", 'u'), ("metadata", 'm')] {
        let url = format!("{instance}/services/Soap/{letter}/{{version}}");
        urls.insert(name.to_owned(), json!(url));
    }
    urls.insert("custom_domain".to_owned(), json!(instance));
    Value::Object(urls)
}
