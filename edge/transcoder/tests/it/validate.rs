//! The rules on encoded messages.

use serde_json::{Value, json};

use crate::support::{kinds, shape, wire};

fn problems(name: &str, message: &Value) -> Vec<(&'static str, String)> {
    match shape(name).validate(&wire(name, message)) {
        Ok(()) => Vec::new(),
        Err(problems) => kinds(&problems),
    }
}

#[test]
fn good_messages_pass() {
    for message in [
        json!({}),
        json!({ "title": "t", "copies": 3, "tags": [{ "name": " a " }], "extras": "e30=" }),
        // An empty text was perhaps given: JSON accepts it too.
        json!({ "title": "" }),
    ] {
        assert_eq!(problems("CreateBookRequest", &message), []);
    }
}

#[test]
fn every_rule_is_checked() {
    let cases = [
        (json!({ "copies": 10 }), "less_than_equal", "body.copies"),
        (json!({ "relatedIds": ["x"] }), "uuid_parsing", "body.related_ids.0"),
        (json!({ "tags": [{}] }), "missing", "body.tags.0.name"),
        (
            json!({ "tags": [{ "name": "abcdef" }] }),
            "string_too_long",
            "body.tags.0.name",
        ),
        (
            json!({ "tags": [{ "name": " " }] }),
            "string_too_short",
            "body.tags.0.name",
        ),
        (
            json!({ "tags": [{ "name": "a", "weight": 9 }] }),
            "less_than_equal",
            "body.tags.0.weight",
        ),
        (
            json!({ "tags": [{ "name": "a" }, { "name": "a" }, { "name": "a" }] }),
            "too_long",
            "body.tags",
        ),
        (json!({ "status": 99 }), "literal_error", "body.status"),
        (json!({ "extras": "W10=" }), "dict_type", "body.extras"),
        (json!({ "extras": "ew==" }), "value_error", "body.extras"),
        (json!({ "url": "x" }), "url_parsing", "body.url"),
        (json!({ "contact": "x" }), "value_error", "body.contact"),
        (json!({ "title": "a\u{0}" }), "value_error", "body.title"),
        (
            json!({ "scores": { "a\u{0}": 1 } }),
            "value_error",
            "body.scores.a\u{0}",
        ),
    ];
    for (message, kind, place) in cases {
        assert_eq!(
            problems("CreateBookRequest", &message),
            [(kind, place.to_owned())],
            "{message}"
        );
    }
    let far = shape("Book")
        .validate(b"\x52\x0b\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")
        .unwrap_err();
    assert_eq!(kinds(&far)[0], ("datetime_parsing", "body.created_at".to_owned()));
    let cut = shape("Book").validate(b"\x0a\x05a").unwrap_err();
    assert_eq!(
        cut[0].msg,
        "Value error, malformed protobuf message at byte 2: a value reaches beyond the end of its message"
    );
}

/// A rule cannot be passed by hiding the value in the first of two parts that protobuf merges.
#[test]
fn merged_parts_are_checked_together() {
    let mut parts = wire("Book", &json!({ "mainTag": { "name": "abcdef" } }));
    parts.extend(wire("Book", &json!({ "mainTag": {} })));
    assert_eq!(
        kinds(&shape("Book").validate(&parts).unwrap_err()),
        [("string_too_long", "body.main_tag.name".to_owned())]
    );
    let mut parts = wire("Book", &json!({ "mainTag": { "weight": 1 } }));
    parts.extend(wire("Book", &json!({ "mainTag": { "name": "a" } })));
    assert!(shape("Book").validate(&parts).is_ok());
}

#[test]
fn a_mask_cannot_clear_what_must_not_be_null() {
    let mask = |paths: &str| problems("UpdateBookRequest", &json!({ "book": {}, "updateMask": paths }));
    assert_eq!(mask("description"), []);
    assert_eq!(
        mask("description,title"),
        [("value_error", "body.book.title".to_owned())]
    );
    assert_eq!(
        problems(
            "UpdateBookRequest",
            &json!({ "book": { "title": "t" }, "updateMask": "title" })
        ),
        []
    );
}

#[test]
fn a_field_is_taken_out_of_a_message() {
    let book = json!({ "title": "t", "copies": 3, "relatedIds": ["a", "b"], "idempotencyKey": "k" });
    let sent = wire("CreateBookRequest", &book);
    let shape = shape("CreateBookRequest");
    assert_eq!(shape.text(&sent, "idempotency_key"), Some("k"));
    let mut rest = book.clone();
    rest.as_object_mut().unwrap().remove("idempotencyKey");
    let rest = wire("CreateBookRequest", &rest);
    assert_eq!(*shape.without(&sent, "idempotency_key"), *rest);
    // Wherever it stands, and however often.
    let doubled = [&sent[..], &sent[..]].concat();
    assert_eq!(
        *shape.without(&doubled, "idempotency_key"),
        *[&rest[..], &rest[..]].concat()
    );
    let alone = wire("CreateBookRequest", &json!({ "idempotencyKey": "k" }));
    assert!(shape.without(&alone, "idempotency_key").is_empty());
    // Nothing to take: the message itself.
    for (wire, field) in [
        (&rest[..], "idempotency_key"),
        (&sent[..], "unknown"),
        (&[0x80][..], "title"),
    ] {
        assert_eq!(*shape.without(wire, field), *wire);
    }
}
