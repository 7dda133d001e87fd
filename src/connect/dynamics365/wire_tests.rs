use std::time::Duration;

use serde_json::json;

use super::{Condition, Failure, classify, exact_json, is_too_many_at_once, name_fields};
use crate::connect::error::{ConnectError, Refusal};
use crate::connect::http::Purpose::{self, Read, Write};

fn failure(status: u16, code: &str) -> Failure {
    let body = json!({"error": {"code": code, "message": "words that decide nothing"}});
    Failure { status, body: body.to_string().into_bytes(), ..Failure::default() }
}

fn class(purpose: Purpose, condition: &Condition, failure: &Failure) -> String {
    let error = classify(purpose, condition, failure, Duration::from_secs(4));
    let text = format!("{error:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

/// Every code of section 8.2, with the codes of 2.7, 3.6, 4.4 and 7.1.
#[test]
fn every_code_lands_in_the_class_the_worker_expects() {
    let table: &[(u16, &[&str], &str, &str)] = &[
        (
            400,
            &[
                "0x80040203",
                "0x80044331",
                "0x8004432f",
                "0x80044330",
                "0x8004431a",
                "0x80060890",
                "0x8004f01f",
                "0x80044410",
                "0x8004700c",
                "0x80041d33",
                "0x80041d67",
                "0x80040800",
                "0x80060888",
                "0x80048d19",
                "0x8006088a",
                "0x80040200",
            ],
            "Rejected",
            "the same bytes fail again",
        ),
        (400, &["0x80040265"], "Rejected", "the customer's plug-in said no"),
        (400, &["0x80100005", "0x80048408"], "Rejected", "a state that needs another action"),
        (400, &["0x80044352"], "CursorExpired", "full comparison"),
        (500, &["0x80044352"], "CursorExpired", "the code counts, whatever the status"),
        (400, &["0x80048cfb", "0x80048cea"], "Rejected", "currency missing or different"),
        (400, &["0x80047013"], "Rejected", "a column of that name exists"),
        (
            401,
            &[
                "0x8004a100",
                "0x8004a101",
                "0x8004a102",
                "0x8004a103",
                "0x8004a105",
                "0x80040204",
                "0x80044300",
                "0x80044302",
                "0x80044308",
                "0x80040277",
                "0x800404d2",
            ],
            "Unauthorized",
            "the credentials are refused",
        ),
        (403, &["0x80072560"], "Unauthorized", "no application user"),
        (
            403,
            &[
                "0x80040220",
                "0x80040256",
                "0x8004020d",
                "0x80040231",
                "0x80040276",
                "0x8004049e",
                "0x800404bb",
                "0x8004f502",
                "0x8004f504",
                "0x8004f507",
                "0x8004a110",
                "0x8004ed43",
                "0x80048306",
                "0x80042f09",
            ],
            "Rejected",
            "a privilege is missing for this record or column",
        ),
        (404, &["0x80040217", "0x80060891"], "NotFound", "no such row"),
        (404, &["0x8006088a", "0x80060888"], "Rejected", "no such table: not a missing row"),
        (405, &["0x80040227", "0x8004023b", "0x80040315"], "Rejected", "not supported"),
        (412, &["0x80060882"], "Stale", "the version moved"),
        (412, &["0x80040237", "0x80060892"], "Exists", "the key is taken"),
        (412, &["0x80040333"], "Rejected", "a duplicate rule of the customer needs a person"),
        (412, &["0x80073002"], "Rejected", "some other unique constraint"),
        (412, &["0x80060893"], "Rejected", "no versions in this table: trying again does not help"),
        (413, &["0x8004418a"], "Rejected", "too long"),
        (429, &["0x80072321", "0x80072322", "0x80072326"], "Throttled", "service protection"),
        (403, &["0x80072321", "0x80072322", "0x80072326"], "Throttled", "sent as 403 by proxies"),
        (500, &["0x8004a001", "0x80044339"], "Unavailable", "busy: nothing was changed"),
        (500, &["0x80044151", "0x80040216"], "Unknown", "gave up in the middle of a write"),
        (400, &["0x80040216"], "Rejected", "unexpected, but refused"),
        (400, &["0x8004beef", ""], "Rejected", "unknown codes go by status"),
        (500, &["", "0x8004beef"], "Unknown", "a write that broke"),
        (503, &[""], "Unknown", "a write that broke"),
        (408, &[""], "Unknown", "a write that timed out"),
        (302, &[""], "Unknown", "a redirect is never followed"),
    ];
    for (status, codes, expected, why) in table {
        for code in *codes {
            for code in [(*code).to_owned(), code.to_uppercase().replace("0X", "0x")] {
                let found = class(Write, &Condition::None, &failure(*status, &code));
                assert_eq!(&found, expected, "{status} {code}: {why}");
            }
        }
    }
}

#[test]
fn without_a_code_the_condition_tells_the_meanings_of_412_apart() {
    let table = [
        (Condition::IfMatch("W/\"1\"".to_owned()), "Stale", "we named a version"),
        (Condition::IfNoneMatch, "Exists", "we demanded that it be new"),
        (Condition::None, "Rejected", "we demanded nothing"),
    ];
    for (condition, expected, why) in table {
        assert_eq!(class(Write, &condition, &failure(412, "")), expected, "{why}");
    }
}

#[test]
fn bodies_of_gateways_are_not_taken_for_the_web_api() {
    let html = |status| Failure { status, body: b"<html>".to_vec(), ..Failure::default() };
    assert_eq!(class(Read, &Condition::None, &html(404)), "Unavailable", "no row was looked for");
    assert_eq!(class(Read, &Condition::None, &html(502)), "Unavailable");
    assert_eq!(class(Write, &Condition::None, &html(502)), "Unknown");
    assert_eq!(class(Write, &Condition::None, &html(401)), "Unauthorized");
}

#[test]
fn the_vendors_wait_is_kept_and_a_missing_one_is_replaced() {
    let mut throttled = failure(429, "0x80072322");
    let wait = |failure: &Failure| match classify(
        Write,
        &Condition::None,
        failure,
        Duration::from_secs(4),
    ) {
        ConnectError::Throttled(wait) => wait.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(&throttled), 4, "our own backoff");
    throttled.wait = Some(Duration::from_secs(37));
    assert_eq!(wait(&throttled), 37, "theirs");
    assert!(!is_too_many_at_once(&throttled));
    assert!(is_too_many_at_once(&failure(429, "0x80072326")));
    let mut busy = failure(503, "");
    busy.wait = Some(Duration::from_secs(9));
    assert_eq!(class(Read, &Condition::None, &busy), "Throttled", "a read obeys a 503's wait");
    assert_eq!(class(Write, &Condition::None, &busy), "Unknown", "a write may have landed");
}

#[test]
fn a_plug_ins_words_and_the_request_id_reach_the_admin() {
    let body = json!({"error": {"code": "0x80040265", "message": "Value of estimatedvalue above the limit of lead@contoso.example"}});
    let failure = Failure {
        status: 400,
        body: body.to_string().into_bytes(),
        request_id: Some("request-1".to_owned()),
        wait: None,
    };
    let error = classify(Write, &Condition::None, &failure, Duration::ZERO);
    let error = name_fields(error, ["name", "estimatedvalue"].into_iter());
    let ConnectError::Rejected(Refusal { message, request_id, fields, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "Value of estimatedvalue above the limit of [e-mail]");
    assert_eq!(request_id.as_deref(), Some("request-1"));
    assert_eq!(fields, ["estimatedvalue"]);
}

#[test]
fn no_digit_is_lost() {
    let table = [
        (r#"{"a":125000.0000}"#, json!({"a": 125_000.0}), "money on the wire"),
        (r#"{"a":999999999999.99}"#, json!({"a": 999_999_999_999.99}), "the largest estimate"),
        (
            r#"{"a":[{"b":12345678901234.5678}]}"#,
            json!({"a": [{"b": "12345678901234.5678"}]}),
            "18 digits are text",
        ),
        (
            r#"{"a":1234567890123456789}"#,
            json!({"a": 1_234_567_890_123_456_789_i64}),
            "a row version",
        ),
        (r#"{"a":"1234567890123456.7"}"#, json!({"a": "1234567890123456.7"}), "text stays text"),
        (
            r#"{"a":1e308,"b":0.1000000000000000}"#,
            json!({"a": "1e308", "b": 0.1}),
            "out of range is text",
        ),
    ];
    for (text, expected, why) in table {
        assert_eq!(exact_json(text.as_bytes()), Some(expected), "{text}: {why}");
    }
    assert_eq!(exact_json(b"<html>"), None);
}
