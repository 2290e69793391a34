//! JSON, query and path to wire bytes. The expected problems are what pydantic 2 and FastAPI answer.

use serde_json::{Value, json};

use crate::support::{canonical, kinds, route, shape, shown};

pub const ID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

/// Reads a body of `POST /api/v1/shelves/{id}/books`; the message without the shelf, or the problems.
pub fn create(body: &str) -> Result<Value, Value> {
    let (route, params) = route("POST", &format!("/api/v1/shelves/{ID}/books"));
    match route.read(&params, None, Some("application/json"), body.as_bytes(), None) {
        Ok(wire) => {
            let mut message = canonical("CreateBookRequest", &wire);
            assert_eq!(message.as_object_mut().unwrap().remove("shelf_id"), Some(json!(ID)));
            Ok(message)
        }
        Err(problems) => Err(shown(&problems)),
    }
}

fn query(query: &str) -> Result<Value, Value> {
    let (route, params) = route("GET", &format!("/api/v1/shelves/{ID}/books"));
    match route.read(&params, Some(query), None, b"", None) {
        Ok(wire) => {
            let mut message = canonical("ListBooksRequest", &wire);
            message.as_object_mut().unwrap().remove("shelf_id");
            Ok(message)
        }
        Err(problems) => Err(shown(&problems)),
    }
}

#[test]
fn a_good_body_becomes_the_message() {
    let body = format!(
        r#"{{"title":"old","unknown":[1],"description":null,"status":"lent","due_at":"2031-01-01","tags":[{{"name":" a "}}],
        "extras":{{"b": [1.50]}},"related_ids":["{}"],"copies":"3","lent":"yes","scores":{{"x":"1"}},"idempotency_key":"no",
        "url":"https://example.org/a","contact":"a@example.org","title":"t"}}"#,
        ID.to_uppercase().replace('-', "")
    );
    let expected = json!({
        "title": "t", "status": "BOOK_STATUS_LENT", "due_at": "2031-01-01T00:00:00Z", "tags": [{ "name": "a" }],
        "extras": "eyJiIjogWzEuNTBdfQ==", "related_ids": [ID], "copies": 3, "lent": true, "scores": { "x": 1 },
        "url": "https://example.org/a", "contact": "a@example.org",
    });
    assert_eq!(create(&body).unwrap(), expected);
}

#[test]
fn all_problems_are_reported_at_once_in_order() {
    let (route, params) = route("POST", "/api/v1/shelves/x/books");
    let body = br#"{"description":5,"status":"doing","due_at":"soon","tags":[{},5,{"name":"","weight":9}],"related_ids":["x"],"copies":1.5}"#;
    let problems = route.read(&params, None, None, body, None).unwrap_err();
    let expected = [
        ("uuid_parsing", "path.shelf_id"),
        ("missing", "body.title"),
        ("string_type", "body.description"),
        ("literal_error", "body.status"),
        ("datetime_from_date_parsing", "body.due_at"),
        ("too_long", "body.tags"),
        ("uuid_parsing", "body.related_ids.0"),
        ("int_from_float", "body.copies"),
    ];
    assert_eq!(kinds(&problems), expected.map(|(kind, place)| (kind, place.to_owned())));
    assert_eq!(problems[6].field(), "related_ids[0]");
    assert_eq!(
        shown(&problems)[3],
        json!({
            "type": "literal_error", "loc": ["body", "status"], "msg": "Input should be 'in_place', 'lent' or 'lost'",
            "input": "doing", "ctx": { "expected": "'in_place', 'lent' or 'lost'" },
        })
    );
    let nested = shape("CreateBookRequest")
        .read_json(br#"{"title":"t","tags":[{},5]}"#)
        .unwrap_err();
    assert_eq!(
        shown(&nested),
        json!([
            { "type": "missing", "loc": ["body", "tags", 0, "name"], "msg": "Field required", "input": {} },
            {
                "type": "model_attributes_type", "loc": ["body", "tags", 1],
                "msg": "Input should be a valid dictionary or object to extract fields from", "input": 5,
            },
        ])
    );
    assert_eq!(nested[0].field(), "tags[0].name");
}

#[test]
fn bodies_that_are_no_objects() {
    let missing = json!([{ "type": "missing", "loc": ["body"], "msg": "Field required", "input": null }]);
    assert_eq!(create(""), Err(missing.clone()));
    assert_eq!(create("null"), Err(missing));
    for body in ["[]", "\"x\"", "1"] {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        let input: Value = serde_json::from_str(body).unwrap();
        let expected = json!([{ "type": "model_attributes_type", "loc": ["body"], "msg": msg, "input": input }]);
        assert_eq!(create(body), Err(expected));
    }
    let (route, params) = route("POST", &format!("/api/v1/shelves/{ID}/books"));
    let as_text = |content_type| route.read(&params, None, Some(content_type), br#"{"title":"t"}"#, None);
    for json in [
        "application/json; charset=utf-8",
        "application/vnd.x+json",
        "Application/JSON",
        "",
    ] {
        assert!(as_text(json).is_ok(), "{json}");
    }
    let problems = as_text("text/plain").unwrap_err();
    assert_eq!(kinds(&problems), [("model_attributes_type", "body".to_owned())]);
    assert_eq!(shown(&problems)[0]["input"], json!(r#"{"title":"t"}"#));
}

/// Positions and words are those of Python's `json` module.
#[test]
fn malformed_json_is_reported_alone() {
    let cases = [
        (r#"{"title":"a""#, 12, "Expecting ',' delimiter"),
        (r#"{"a":,}"#, 5, "Expecting value"),
        ("{", 1, "Expecting property name enclosed in double quotes"),
        (r#"{"title" 1}"#, 9, "Expecting ':' delimiter"),
        (r#"{"title":"a"} x"#, 14, "Extra data"),
        ("{\"a\":\"\u{1}\"}", 6, "Invalid control character at"),
        (
            r#"{"title":"a",}"#,
            13,
            "Expecting property name enclosed in double quotes",
        ),
        ("[1,]", 3, "Expecting value"),
        ("tru", 0, "Expecting value"),
        (r#"{"é":}"#, 5, "Expecting value"),
        (r#"{"a":"\x"}"#, 6, "Invalid \\escape"),
        (r#"{"a":"abc"#, 5, "Unterminated string starting at"),
        (r#"{"a":01}"#, 6, "Expecting ',' delimiter"),
        (r#"{"a":-}"#, 5, "Expecting value"),
        (r#"{"a":1.}"#, 6, "Expecting ',' delimiter"),
        (" ", 1, "Expecting value"),
        ("{1:2}", 1, "Expecting property name enclosed in double quotes"),
        (r#"{"a":[1 2]}"#, 8, "Expecting ',' delimiter"),
        ("nan", 0, "Expecting value"),
        (r#"{"a":1,"b""#, 10, "Expecting ':' delimiter"),
        ("[", 1, "Expecting value"),
        ("[1", 2, "Expecting ',' delimiter"),
        (r#"{"a":"#, 5, "Expecting value"),
        (r#"{"a":"x\u12"}"#, 8, "Invalid \\uXXXX escape"),
        (r#"{"a":"x\"#, 5, "Unterminated string starting at"),
        (r#"{"title":"x"}}"#, 13, "Extra data"),
        // Python accepts these two; they have no UTF-8 or JSON form to pass on.
        (r#"{"title":"\ud800"}"#, 11, "Unpaired surrogate in \\uXXXX escape"),
        (r#"{"title":NaN}"#, 9, "Expecting value"),
    ];
    for (body, at, error) in cases {
        let expected = json!([{
            "type": "json_invalid", "loc": ["body", at], "msg": "JSON decode error", "input": {}, "ctx": { "error": error },
        }]);
        assert_eq!(create(body), Err(expected), "{body}");
    }
    let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
    assert_eq!(
        create(&deep).unwrap_err()[0]["ctx"]["error"],
        "Nested deeper than 64 levels"
    );
    let very_deep = "[".repeat(1_000_000);
    assert_eq!(create(&very_deep).unwrap_err()[0]["loc"], json!(["body", 64]));
    let problems = shape("CreateBookRequest")
        .read_json(b"{\"title\":\"\xff\"}")
        .unwrap_err();
    assert_eq!(kinds(&problems), [("json_invalid", "body.10".to_owned())]);
    // A byte order mark is skipped; surrogate pairs are one character.
    assert_eq!(
        create("\u{feff}{\"title\":\"\\ud83e\\udd80\\/\"}").unwrap(),
        json!({ "title": "🦀/" })
    );
}

#[test]
fn queries_are_read_as_text() {
    let good = [
        ("", json!({})),
        ("limit=1&limit=2", json!({ "limit": 2 })),
        ("limit=%2B5", json!({ "limit": 5 })),
        ("limit=+5", json!({ "limit": 5 })),
        (
            "status=lent,%20lost,,",
            json!({ "status": ["BOOK_STATUS_LENT", "BOOK_STATUS_LOST"] }),
        ),
        ("word=a&word=b+c", json!({ "word": ["a", "b c"] })),
        ("lent=No", json!({ "lent": false })),
        (
            "since=2031-01-01T10:00:00%2B02:00",
            json!({ "since": "2031-01-01T08:00:00Z" }),
        ),
        (
            "range=24h&range_key=x&secret_cursor=1&nothing=1",
            json!({ "range_key": "RANGE_KEY_24H" }),
        ),
    ];
    for (text, message) in good {
        assert_eq!(query(text), Ok(message), "{text}");
    }
    let bad = [
        ("limit=", "int_parsing", json!("")),
        ("limit=900", "less_than_equal", json!("900")),
        ("limit=0", "greater_than_equal", json!("0")),
        ("limit=%FF", "int_parsing", json!("\u{fffd}")),
        ("offset=-1", "greater_than_equal", json!("-1")),
        ("lent=maybe", "bool_parsing", json!("maybe")),
        ("lent", "bool_parsing", json!("")),
        ("since=x", "datetime_from_date_parsing", json!("x")),
        ("reader_id=x", "uuid_parsing", json!("x")),
        ("range=z", "literal_error", json!("z")),
        ("word=%00", "value_error", json!("\u{0}")),
        ("status=", "", json!(null)),
        ("status=lent,z", "literal_error", json!("z")),
    ];
    for (text, kind, input) in bad {
        match query(text) {
            Ok(message) => assert_eq!((kind, message), ("", json!({})), "{text}"),
            Err(problems) => {
                assert_eq!(
                    (&problems[0]["type"], &problems[0]["input"]),
                    (&json!(kind), &input),
                    "{text}"
                );
                assert_eq!(problems[0]["loc"][0], "query");
            }
        }
    }
    assert_eq!(query("limit=0&offset=x").unwrap_err().as_array().unwrap().len(), 2);
    assert_eq!(
        query("status=lent,z").unwrap_err()[0]["loc"],
        json!(["query", "status", 1])
    );
}

#[test]
fn patches_say_which_fields_were_given() {
    let (patch, params) = route("PATCH", &format!("/api/v1/books/{ID}"));
    let read = |body: &str| patch.read(&params, Some("notify=1"), None, body.as_bytes(), None);
    let message = canonical(
        "UpdateBookRequest",
        &read(r#"{"description":null,"kind":"x","waiting":null,"no":1}"#).unwrap(),
    );
    // The canonical form of a mask is camelCase.
    assert_eq!(
        message,
        json!({ "book_id": ID, "book": { "kind_of": "x" }, "update_mask": "description,waiting,kindOf", "notify": true })
    );
    let waiting = canonical("UpdateBookRequest", &read(r#"{"waiting":[]}"#).unwrap());
    assert_eq!(
        (&waiting["book"], &waiting["update_mask"]),
        (&json!({ "waiting": {} }), &json!("waiting"))
    );
    for body in ["", "{}", "null"] {
        let empty = canonical("UpdateBookRequest", &read(body).unwrap());
        assert_eq!(
            (&empty["book"], &empty["update_mask"]),
            (&json!({}), &json!("")),
            "{body}"
        );
    }
    let refused = read(r#"{"title":null,"status":null,"waiting":["a"," "]}"#).unwrap_err();
    let expected = [
        ("string_type", "body.title"),
        ("literal_error", "body.status"),
        ("string_too_short", "body.waiting.1"),
    ];
    assert_eq!(kinds(&refused), expected.map(|(kind, place)| (kind, place.to_owned())));
    let secret = shown(&read(r#"{"pin":"12345"}"#).unwrap_err());
    assert_eq!(
        (&secret[0]["type"], &secret[0]["input"]),
        (&json!("string_too_long"), &Value::Null)
    );
    let (shelf, params) = route("PATCH", "/api/v1/shelves/s");
    let whole = shelf
        .read(
            &params,
            Some("force=yes&name=query"),
            None,
            br#"{"name":"n","shelf_id":"other","update_mask":"x","force":null}"#,
            None,
        )
        .unwrap();
    let expected = json!({ "shelf_id": "s", "name": "n", "force": true, "update_mask": "name" });
    assert_eq!(canonical("UpdateShelfRequest", &whole), expected);
}

#[test]
fn bodies_of_one_field_and_raw_bodies() {
    let (tags, params) = route("PUT", "/api/v1/books/b/tags");
    let read = |body: &str| tags.read(&params, None, None, body.as_bytes(), None);
    let message = canonical("SetTagsRequest", &read(r#"[{"name":"a"}]"#).unwrap());
    assert_eq!(message, json!({ "book_id": "b", "tags": [{ "name": "a" }] }));
    assert_eq!(kinds(&read("").unwrap_err()), [("missing", "body".to_owned())]);
    assert_eq!(kinds(&read("{}").unwrap_err()), [("list_type", "body".to_owned())]);
    assert_eq!(
        kinds(&read("[{}]").unwrap_err()),
        [("missing", "body.0.name".to_owned())]
    );
    let (drop, params) = route("POST", "/hooks/x");
    let raw = drop.read(&params, None, Some("text/plain"), b"\xff{", None).unwrap();
    assert_eq!(
        canonical("DropRequest", &raw),
        json!({ "name": "x", "payload": "/3s=" })
    );
}

#[test]
fn streams_resume_where_the_header_says() {
    let (watch, params) = route("GET", "/api/v1/books/stream");
    let read = |id| {
        canonical(
            "WatchBooksRequest",
            &watch.read(&params, Some("after=no"), None, b"", id).unwrap(),
        )
    };
    assert_eq!(read(Some("41")), json!({ "after": "41" }));
    assert_eq!(read(Some("")), json!({}));
    assert_eq!(read(None), json!({}));
}

#[test]
fn problems_do_not_grow_with_the_input() {
    let tags = (0..1000).map(|_| "{}").collect::<Vec<_>>().join(",");
    let problems = shape("TagList").read_json(format!("[{tags}]").as_bytes()).unwrap_err();
    assert_eq!(problems.len(), 100);
    let long = format!(r#"{{"title":5,"description":"{}"}}"#, "x".repeat(10_000));
    assert!(
        shown(&shape("CreateBookRequest").read_json(long.as_bytes()).unwrap_err())
            .to_string()
            .len()
            < 500
    );
    let missing = format!(r#"{{"description":"{}"}}"#, "x".repeat(10_000));
    assert_eq!(create(&missing).unwrap_err()[0]["input"], Value::Null);
}

#[test]
fn places_of_services_are_parsed_back() {
    let steps = |path: &str| serde_json::to_value(transcoder::Loc::parse(path)).unwrap();
    assert_eq!(steps("tags[2].name"), json!(["tags", 2, "name"]));
    assert_eq!(steps("tags.2.name"), json!(["tags", 2, "name"]));
    assert_eq!(steps(""), json!([]));
}
