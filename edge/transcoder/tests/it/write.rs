//! Wire bytes to JSON.

use serde_json::json;

use crate::support::{CATALOG, json, route, shape, wire};

const ID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

#[test]
fn keys_come_in_declared_order_and_nulls_are_written() {
    assert_eq!(
        json("Book", b""),
        r#"{"id":"","title":"","description":null,"status":null,"price":0.0,"created_at":null,"due_at":null,"tags":[],"extras":null,"waiting":null,"rare":false,"isbn":null,"key":null,"main_tag":null}"#
    );
    let book = wire(
        "Book",
        &json!({
            "id": ID, "title": "a \"b\" \\ \n\u{1} é 🦀 and a long plain tail", "description": "", "status": "BOOK_STATUS_IN_PLACE",
            "price": 80.0, "createdAt": "2026-11-22T07:08:48.667082Z", "dueAt": "2031-01-01T00:00:00Z",
            "tags": [{ "name": "x", "weight": 0.5 }, { "name": "y" }], "waiting": { "names": [] }, "rare": true,
            "extras": "eyJhIjogWzEsCiAyXX0=", "isbn": "1", "key": "secret",
        }),
    );
    assert_eq!(
        json("Book", &book),
        [
            r#"{"id":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","title":"a \"b\" \\ \n\u0001 é 🦀 and a long plain tail","#,
            r#""description":"","status":"in_place","price":80.0,"created_at":"2026-11-22T07:08:48.667082Z","#,
            r#""due_at":"2031-01-01T00:00:00Z","tags":[{"name":"x","weight":0.5},{"name":"y","weight":null}],"#,
            r#""extras":{"a": [1,  2]},"waiting":[],"rare":true,"isbn":"1","key":null,"main_tag":null}"#,
        ]
        .concat()
    );
}

/// Every position of an escape relative to the eight-byte steps, against serde_json.
#[test]
fn strings_are_escaped_like_serde_json() {
    for special in ['"', '\\', '\n', '\u{1f}', '\u{7f}', '\u{0}', 'é', '\u{2028}'] {
        for before in 0..18 {
            for after in 0..10 {
                let text = format!("{}{special}{special}{}", "a".repeat(before), "!".repeat(after));
                let book = wire("Tag", &json!({ "name": text }));
                let expected = serde_json::to_string(&text).unwrap();
                assert_eq!(json("Tag", &book), format!(r#"{{"name":{expected},"weight":null}}"#));
            }
        }
    }
}

/// The expected texts are what Python's `repr` prints.
#[test]
fn numbers_look_as_in_python() {
    let doubles = [
        (1.0, "1.0"),
        (80.0, "80.0"),
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (123_456.789, "123456.789"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.5e-7, "1.5e-07"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (1.234_567_890_123_456_8e17, "1.2345678901234568e+17"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
    ];
    for (value, expected) in doubles {
        let mut bytes = vec![0x29];
        bytes.extend_from_slice(&f64::to_le_bytes(value));
        let book = json("Book", &bytes);
        assert!(book.contains(&format!(r#""price":{expected},"#)), "{value}: {book}");
    }
    let tag = wire("Tag", &json!({ "name": "", "weight": 0.1 }));
    assert_eq!(json("Tag", &tag), r#"{"name":"","weight":0.1}"#);
}

#[test]
fn every_kind_of_field_has_its_form() {
    let everything = wire(
        "Everything",
        &json!({
            "aDouble": 1.5, "aFloat": 2.5, "anInt32": -1, "anInt64": "-9223372036854775808", "aUint32": 4_294_967_295_u32,
            "aUint64": "18446744073709551615", "aSint32": -2, "aSint64": "-3", "aFixed32": 4, "aFixed64": "5",
            "aSfixed32": -6, "aSfixed64": "-7", "aBool": true, "aString": "s", "someBytes": "AAH/", "anEnum": "BOOK_STATUS_LOST",
            "aTimestamp": "0001-01-01T00:00:00Z", "aDuration": "-1.5s", "maybeDouble": 0, "maybeInt64": 0, "maybeBool": false,
            "maybeString": "", "maybeEnum": "BOOK_STATUS_LENT", "doubles": [1, 2.5], "ints": [1, -1], "sints": ["1", "-1"],
            "bools": [true, false], "strings": ["a", ""], "enums": ["BOOK_STATUS_LENT", 99, "BOOK_STATUS_UNSPECIFIED"],
            "texts": { "k\"": "v" }, "tags": { "7": { "name": "t" } }, "flags": { "true": 1 }, "right": 0,
            "anyJson": "Mw==", "anObject": "e30=", "anArray": "W10=", "far": [1, 2],
            "packed": { "@type": "type.googleapis.com/test.v1.Tag", "name": "in any" },
        }),
    );
    let text = json("Everything", &everything);
    let expected = [
        r#"{"a_double":1.5,"a_float":2.5,"an_int32":-1,"an_int64":-9223372036854775808,"a_uint32":4294967295,"#,
        r#""a_uint64":18446744073709551615,"a_sint32":-2,"a_sint64":-3,"a_fixed32":4,"a_fixed64":5,"a_sfixed32":-6,"#,
        r#""a_sfixed64":-7,"a_bool":true,"a_string":"s","some_bytes":"AAH/","an_enum":"lost","a_message":null,"#,
        r#""a_timestamp":"0001-01-01T00:00:00Z","a_duration":"-1.5s","maybe_double":0.0,"maybe_int64":0,"maybe_bool":false,"#,
        r#""maybe_string":"","maybe_enum":"lent","doubles":[1.0,2.5],"ints":[1,-1],"sints":[1,-1],"bools":[true,false],"#,
        r#""strings":["a",""],"enums":["lent",null,null],"messages":[],"texts":{"k\"":"v"},"#,
        r#""tags":{"7":{"name":"t","weight":null}},"flags":{"true":1.0},"left":null,"right":0,"tag":null,"any_json":3,"#,
        r#""an_object":{},"an_array":[],"far":[1,2],"packed":{"name":"in any","weight":null}}"#,
    ]
    .concat();
    assert_eq!(text, expected);
}

#[test]
fn unpacked_numbers_and_split_messages_are_read_as_protobuf_does() {
    // ints = 26, unpacked, with a foreign field between.
    let mut bytes = Vec::new();
    for value in [1_u8, 2] {
        bytes.extend_from_slice(&[0xd0, 0x01, value]);
        bytes.extend_from_slice(&[0x68, 1]);
    }
    assert!(json("Everything", &bytes).contains(r#""ints":[1,2]"#));
    // main_tag = 18 twice: the parts are merged.
    let mut book = wire("Book", &json!({ "mainTag": { "name": "n" } }));
    book.extend(wire("Book", &json!({ "mainTag": { "weight": 2 } })));
    assert!(json("Book", &book).ends_with(r#""main_tag":{"name":"n","weight":2.0}}"#));
    // Of a oneof the last member counts.
    let mut event = wire("BookEvent", &json!({ "removedId": "x" }));
    event.extend(wire("BookEvent", &json!({ "book": {} })));
    assert!(json("BookEvent", &event).ends_with(r#""removed_id":null}"#));
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let cases: [(&[u8], &str); 8] = [
        (b"\x0a\x05a", "a value reaches beyond the end of its message"),
        (b"\x0a", "a number is cut off"),
        (b"\x0a\x01\xff", "a string is not UTF-8"),
        (b"\x08\x01", "a field has another type than declared"),
        (b"\x13\x14", "groups are not supported"),
        (b"\x00\x00", "a field number is out of range"),
        (b"\x29\x00", "a fixed-size number is cut off"),
        (
            b"\x52\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "a timestamp is outside the years 1 to 9999",
        ),
    ];
    for (bytes, what) in cases {
        let result = shape("Book").write_json(bytes, &mut Vec::new());
        if what.starts_with("a timestamp") {
            // Minus one second is inside; the far past is not.
            assert!(result.is_ok());
            let far = b"\x52\x0b\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
            assert_eq!(shape("Book").write_json(far, &mut Vec::new()).unwrap_err().what, what);
        } else {
            assert_eq!(result.unwrap_err().what, what, "{bytes:?}");
        }
    }
}

#[test]
fn nesting_has_a_limit() {
    let nest = |levels: usize| {
        let mut bytes = Vec::new();
        for _ in 0..levels {
            let mut outer = vec![0x8a, 0x01];
            let mut length = bytes.len();
            while length >= 0x80 {
                outer.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            outer.push(u8::try_from(length).unwrap());
            outer.extend_from_slice(&bytes);
            bytes = outer;
        }
        shape("Everything").write_json(&bytes, &mut Vec::new())
    };
    assert!(nest(63).is_ok());
    assert_eq!(nest(64).unwrap_err().what, "messages are nested too deeply");
    assert!(nest(5000).is_err());
}

#[test]
fn answers_apply_response_body_headers_and_status() {
    let (titles, _) = route("GET", "/api/v1/titles");
    let (mut out, mut headers) = (Vec::new(), Vec::new());
    let answer = wire("Titles", &json!({ "titles": ["a", "b"], "total": 7, "next": "n" }));
    titles.write(&answer, &mut out, &mut headers).unwrap();
    assert_eq!(out, br#"["a","b"]"#);
    assert_eq!(
        headers,
        [
            ("x-total-count".parse().unwrap(), "7".to_owned()),
            ("x-next".parse().unwrap(), "n".to_owned())
        ]
    );
    // A number without presence is always there, an unset optional is not.
    let (mut out, mut headers) = (Vec::new(), Vec::new());
    titles.write(b"", &mut out, &mut headers).unwrap();
    assert_eq!(
        (out.as_slice(), headers.len(), headers[0].1.as_str()),
        (b"[]".as_slice(), 1, "0")
    );
    let (shelf, _) = route("PATCH", "/api/v1/shelves/a");
    let mut out = Vec::new();
    shelf.write(b"", &mut out, &mut Vec::new()).unwrap();
    assert!(out.is_empty());
    let (drop, _) = route("POST", "/hooks/a");
    drop.write(b"", &mut out, &mut Vec::new()).unwrap();
    assert_eq!(out, b"{}");
    let (tags, _) = route("PUT", "/api/v1/books/a/tags");
    let mut out = Vec::new();
    tags.write(
        &wire("TagList", &json!({ "tags": [{ "name": "a" }] })),
        &mut out,
        &mut Vec::new(),
    )
    .unwrap();
    assert_eq!(out, br#"[{"name":"a","weight":null}]"#);
}

#[test]
fn events_carry_their_id_beside_the_data() {
    let (watch, _) = route("GET", "/api/v1/books/stream");
    let mut out = Vec::new();
    let event = wire("BookEvent", &json!({ "position": "41", "removedId": "x" }));
    assert_eq!(watch.write_event(&event, &mut out).unwrap().as_deref(), Some("41"));
    assert_eq!(out, br#"{"book":null,"removed_id":"x"}"#);
    assert_eq!(CATALOG.shape("test.v1.BookEvent").unwrap().name(), "test.v1.BookEvent");
}
