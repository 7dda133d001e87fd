//! `GET /referrals`: filter, order, choice of properties, pages (reference 2.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value as Json, json};
use url::form_urlencoded;

use super::answer::Refusal;
use super::filter::{Filter, instant};
use super::literal::Literal;
use super::options::{NextLinkStyle, Options};
use super::state::State;
use super::view;

/// The context of a collection; the documentation's samples misspell `engagements` here.
const CONTEXT: &str = "https://api.partner.microsoft.com/v1.0/engagments/$metadata#referrals";

/// The properties that the reference filters by (2.3), as far as their first step.
const PROVEN: &[&str] = &[
    "engagementId",
    "status",
    "substatus",
    "qualification",
    "type",
    "direction",
    "customerProfile",
    "updatedDateTime",
    "externalReferenceId",
];

/// What a list call asks for.
#[derive(Debug, Default)]
struct Query {
    filter: Option<Filter>,
    order: Option<(String, bool)>,
    top: Option<usize>,
    skip: usize,
    select: Vec<String>,
}

/// Answers a list call with the given query string.
pub(super) fn list(state: &State, query: &str) -> Result<Json, Refusal> {
    let mut pairs: Vec<(String, String)> = parse_pairs(query);
    let start = match pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case("$skiptoken")) {
        None => 0,
        Some((_, token)) => {
            let (start, rest) = open_token(token)
                .ok_or_else(|| Refusal::invalid("$skiptoken", "The skip token is not valid."))?;
            pairs = parse_pairs(&rest);
            start
        }
    };
    let asked = Query::parse(&pairs, &state.options)?;
    let mut items: Vec<&Map<String, Json>> = state
        .referrals
        .iter()
        .filter(|stored| stored.lag == 0 && view::is_visible(state, stored))
        .map(|stored| &stored.json)
        .filter(|json| {
            asked.filter.as_ref().is_none_or(|filter| filter.holds(&Json::Object((*json).clone())))
        })
        .collect();
    if let Some((property, descending)) = &asked.order {
        items.sort_by_key(|json| json.get(property).and_then(Json::as_str).and_then(instant));
        if *descending {
            items.reverse();
        }
    }
    let limit = asked.top.unwrap_or(usize::MAX);
    let matching: Vec<_> = items.into_iter().skip(asked.skip).take(limit).collect();
    let page: Vec<Json> = matching
        .iter()
        .skip(start)
        .take(state.options.page_size)
        .map(|json| asked.chosen(view::decorated(state, json)))
        .collect();
    let next = start + page.len();
    let mut body = json!({ "@odata.context": CONTEXT, "@odata.count": page.len(), "value": page });
    if next < matching.len() {
        body["@odata.nextLink"] = json!(next_link(&state.options, next, &pairs));
    }
    Ok(body)
}

impl Query {
    fn parse(pairs: &[(String, String)], options: &Options) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for (name, value) in pairs {
            let number = || {
                value.parse::<usize>().map_err(|_| Refusal::invalid(name, "A number is expected."))
            };
            match name.to_ascii_lowercase().as_str() {
                "$filter" => query.filter = Some(filter(value, options)?),
                "$orderby" => query.order = Some(order(value)?),
                "$top" => query.top = Some(number()?),
                "$skip" => query.skip = number()?,
                "$select" => {
                    query.select = value.split(',').map(|name| name.trim().to_owned()).collect();
                }
                "$count" | "$expand" | "api-version" => {}
                other if other.starts_with('$') => {
                    return Err(Refusal::invalid(other, "The query option is not supported."));
                }
                _ => {}
            }
        }
        Ok(query)
    }

    /// Only the properties that were asked for.
    fn chosen(&self, json: Map<String, Json>) -> Json {
        if self.select.is_empty() {
            return Json::Object(json);
        }
        let wanted = |name: &String| self.select.iter().any(|want| want.eq_ignore_ascii_case(name));
        Json::Object(json.into_iter().filter(|(name, _)| wanted(name)).collect())
    }
}

fn filter(text: &str, options: &Options) -> Result<Filter, Refusal> {
    let filter = Filter::parse(text).map_err(|why| Refusal::invalid("$filter", why))?;
    let mut trouble = None;
    filter.comparisons(&mut |property, literal| {
        let updated = property.eq_ignore_ascii_case("updatedDateTime");
        let external = property.eq_ignore_ascii_case("externalReferenceId");
        let bare_instant = matches!(literal, Literal::Bare(text) if instant(text).is_some());
        if updated && options.refuse_updated_filter
            || external && options.refuse_external_reference_filter
        {
            trouble = Some(format!("The property '{property}' cannot be filtered."));
        } else if bare_instant && options.quoted_datetime_only {
            trouble = Some(format!("The property '{property}' is compared with text only."));
        } else if options.proven_filters_only
            && !PROVEN.iter().any(|proven| proven.eq_ignore_ascii_case(property))
        {
            trouble = Some(format!("The property '{property}' cannot be filtered."));
        } else if !view::has_property(property) {
            trouble = Some(format!("Could not find a property named '{property}'."));
        }
    });
    trouble.map_or(Ok(filter), |why| Err(Refusal::invalid("$filter", why)))
}

/// Only the two times can be ordered by.
fn order(text: &str) -> Result<(String, bool), Refusal> {
    let mut words = text.split_whitespace();
    let property = words.next().unwrap_or_default();
    let known = ["createdDateTime", "updatedDateTime"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(property));
    let descending = match words.next() {
        None | Some("asc") => Some(false),
        Some("desc") => Some(true),
        Some(_) => None,
    };
    match (known, descending, words.next()) {
        (Some(known), Some(descending), None) => Ok((known.to_owned(), descending)),
        _ => Err(Refusal::invalid("$orderby", "Order by createdDateTime or updatedDateTime only.")),
    }
}

fn parse_pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// The token holds the position and the whole query; it is long and percent-encoded, as seen.
fn next_link(options: &Options, start: usize, pairs: &[(String, String)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let filler = "+".repeat(160);
    let token = URL_SAFE_NO_PAD.encode(format!("{start}|{filler}|{query}"));
    let token: String = form_urlencoded::byte_serialize(format!("{token}==").as_bytes()).collect();
    let place = match options.next_link {
        NextLinkStyle::HttpWithWrongPath => "http://api.partner.microsoft.com/v1.0/referrals",
        NextLinkStyle::Right => "https://api.partner.microsoft.com/v1.0/engagements/referrals",
    };
    format!("{place}?$skiptoken={token}")
}

fn open_token(token: &str) -> Option<(usize, String)> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_suffix("==")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut parts = text.splitn(3, '|');
    let start = parts.next()?.parse().ok()?;
    parts.next()?;
    Some((start, parts.next()?.to_owned()))
}
