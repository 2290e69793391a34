//! Single values: coercions, formats and bounds. The expected problems are what pydantic 2 answers.

use serde_json::{Value, json};

use crate::{
    read::{ID, create},
    support::{canonical, kinds, shape, shown},
};

/// One field beside a title: the message's part, or the one problem.
fn field(name: &str, value: &str) -> Result<Value, Value> {
    let mut message = create(&format!(r#"{{"title":"t","{name}":{value}}}"#)).map_err(|problems| {
        assert_eq!(problems.as_array().unwrap().len(), 1, "{name} {value}: {problems}");
        problems[0].clone()
    })?;
    let message = message.as_object_mut().unwrap();
    assert_eq!(message.remove("title"), Some(json!("t")));
    Ok(message.remove(name).unwrap_or(Value::Null))
}

#[test]
fn numbers_are_coerced() {
    let good = [
        ("3", 3),
        ("\"3\"", 3),
        ("\" 3 \"", 3),
        ("\"+3\"", 3),
        ("3.0", 3),
        ("\"3.00\"", 3),
        ("3e0", 3),
        ("true", 1),
        ("\"0_3\"", 3),
    ];
    for (text, value) in good {
        assert_eq!(field("copies", text), Ok(json!(value)), "{text}");
    }
    let bad = [
        (
            "\"x\"",
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            "\"\"",
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            "\"1.5\"",
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            "\"1.\"",
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            "\"1__0\"",
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            "1.5",
            "int_from_float",
            "Input should be a valid integer, got a number with a fractional part",
        ),
        ("1e400", "finite_number", "Input should be a finite number"),
        (
            "1e300",
            "int_parsing_size",
            "Unable to parse input string as an integer, exceeded maximum size",
        ),
        ("null", "int_type", "Input should be a valid integer"),
        ("[]", "int_type", "Input should be a valid integer"),
        ("0", "greater_than_equal", "Input should be greater than or equal to 1"),
        ("\"10\"", "less_than_equal", "Input should be less than or equal to 9"),
        (
            "99999999999999999999999999999999999999999999",
            "less_than_equal",
            "Input should be less than or equal to 9",
        ),
    ];
    for (text, kind, msg) in bad {
        let problem = field("copies", text).unwrap_err();
        assert_eq!(
            (&problem["type"], &problem["msg"]),
            (&json!(kind), &json!(msg)),
            "{text}"
        );
    }
    assert_eq!(field("copies", "0").unwrap_err()["ctx"], json!({ "ge": 1 }));
    // Without bounds of its own a field has those of its type.
    let wide = |json: &str| {
        shape("Everything")
            .read_json(json.as_bytes())
            .map_err(|problems| shown(&problems)[0]["ctx"].clone())
    };
    assert_eq!(wide(r#"{"an_int32":2147483648}"#), Err(json!({ "le": 2_147_483_647 })));
    assert_eq!(wide(r#"{"a_uint64":-1}"#), Err(json!({ "ge": 0 })));
    assert_eq!(
        wide(r#"{"an_int64":9223372036854775808}"#),
        Err(json!({ "le": i64::MAX }))
    );
    let double = |text: &str| shape("Everything").read_json(format!(r#"{{"a_double":{text}}}"#).as_bytes());
    for (text, value) in [
        ("1", 1.0),
        ("\"1e3\"", 1000.0),
        ("\".5\"", 0.5),
        ("true", 1.0),
        ("\" 1_0 \"", 10.0),
    ] {
        assert_eq!(
            canonical("Everything", &double(text).unwrap()),
            json!({ "a_double": value }),
            "{text}"
        );
    }
    for (text, kind) in [
        ("\"x\"", "float_parsing"),
        ("\"\"", "float_parsing"),
        ("{}", "float_type"),
        ("\"nan\"", "finite_number"),
        ("1e400", "finite_number"),
    ] {
        assert_eq!(
            kinds(&double(text).unwrap_err()),
            [(kind, "body.a_double".to_owned())],
            "{text}"
        );
    }
    let problem = &create(r#"{"title":"t","tags":[{"name":"a","weight":2.5}]}"#).unwrap_err()[0];
    assert_eq!(
        (&problem["msg"], &problem["ctx"]),
        (&json!("Input should be less than or equal to 2"), &json!({ "le": 2.0 }))
    );
}

#[test]
fn booleans_are_coerced() {
    for text in [
        "true", "1", "1.0", "\"1\"", "\"TRUE\"", "\"on\"", "\"Y\"", "\"t\"", "\"yes\"",
    ] {
        assert_eq!(field("lent", text), Ok(json!(true)), "{text}");
    }
    for text in [
        "false",
        "0",
        "0.0",
        "\"0\"",
        "\"False\"",
        "\"off\"",
        "\"n\"",
        "\"f\"",
        "\"NO\"",
    ] {
        assert_eq!(field("lent", text), Ok(Value::Null), "{text}");
    }
    for text in ["2", "\"2\"", "\"\"", "\" true\""] {
        let problem = field("lent", text).unwrap_err();
        assert_eq!(problem["type"], "bool_parsing", "{text}");
        assert_eq!(
            problem["msg"],
            "Input should be a valid boolean, unable to interpret input"
        );
    }
    for text in ["null", "[]", "1.5"] {
        let problem = field("lent", text).unwrap_err();
        assert_eq!(
            (&problem["type"], &problem["msg"]),
            (&json!("bool_type"), &json!("Input should be a valid boolean"))
        );
    }
}

#[test]
fn moments_are_read_in_every_accepted_form() {
    let good = [
        ("\"2031-01-01\"", "2031-01-01T00:00:00Z"),
        ("\"2031-01-01T10:00\"", "2031-01-01T10:00:00Z"),
        ("\"2031-01-01 10:00:00\"", "2031-01-01T10:00:00Z"),
        ("\"2031-01-01t10:00:00z\"", "2031-01-01T10:00:00Z"),
        ("\"2031-01-01_10:00:00\"", "2031-01-01T10:00:00Z"),
        ("\"2031-01-01T10:00:00+02:00\"", "2031-01-01T08:00:00Z"),
        ("\"2031-01-01T10:00:00-0230\"", "2031-01-01T12:30:00Z"),
        ("\"2031-01-01T10:00:00\u{2212}02:00\"", "2031-01-01T12:00:00Z"),
        ("\"2031-01-01T10:00:00.123456789\"", "2031-01-01T10:00:00.123456Z"),
        ("\"2031-01-01T10:00:00,5\"", "2031-01-01T10:00:00.500Z"),
        ("1925000000", "2031-01-01T02:13:20Z"),
        ("\"1925000000\"", "2031-01-01T02:13:20Z"),
        ("1925000000.25", "2031-01-01T02:13:20.250Z"),
        ("\"1925000000.5\"", "2031-01-01T02:13:20.500Z"),
        ("1925000000000", "2031-01-01T02:13:20Z"),
        ("20000000000", "2603-10-11T11:33:20Z"),
        ("20000000001", "1970-08-20T11:33:20.001Z"),
        ("-20000000001", "1969-05-14T12:26:39.999Z"),
        ("-1", "1969-12-31T23:59:59Z"),
        ("\"20310101\"", "1970-08-24T01:41:41Z"),
        ("\"253402300800\"", "1978-01-11T21:31:40.800Z"),
        ("\"9999-12-31\"", "9999-12-31T00:00:00Z"),
        ("\"2032-02-29\"", "2032-02-29T00:00:00Z"),
    ];
    for (text, moment) in good {
        assert_eq!(field("due_at", text), Ok(json!(moment)), "{text}");
    }
    let bad = [
        ("\"x\"", "datetime_from_date_parsing", "input is too short"),
        ("\"\"", "datetime_from_date_parsing", "input is too short"),
        ("\"2031-1-1\"", "datetime_from_date_parsing", "input is too short"),
        (
            "\"2031-13-01\"",
            "datetime_from_date_parsing",
            "month value is outside expected range of 1-12",
        ),
        (
            "\"2031-02-29\"",
            "datetime_from_date_parsing",
            "day value is outside expected range",
        ),
        (
            "\"203a-01-01\"",
            "datetime_from_date_parsing",
            "invalid character in year",
        ),
        (
            "\" 2031-01-01 \"",
            "datetime_from_date_parsing",
            "invalid character in year",
        ),
        (
            "\"2031-01-01T25:00:00\"",
            "datetime_from_date_parsing",
            "unexpected extra characters at the end of the input",
        ),
        (
            "\"2031-01-01T10:00:60\"",
            "datetime_from_date_parsing",
            "unexpected extra characters at the end of the input",
        ),
        (
            "\"2031-01-01T10:00:00+02\"",
            "datetime_from_date_parsing",
            "unexpected extra characters at the end of the input",
        ),
        (
            "\"2031-01-01T10:00:00.\"",
            "datetime_from_date_parsing",
            "unexpected extra characters at the end of the input",
        ),
        (
            "\"2031-01-01x\"",
            "datetime_from_date_parsing",
            "unexpected extra characters at the end of the input",
        ),
        (
            "\"999999999999999999\"",
            "datetime_from_date_parsing",
            "dates after 9999 are not supported as unix timestamps",
        ),
        (
            "1e20",
            "datetime_parsing",
            "dates after 9999 are not supported as unix timestamps",
        ),
        (
            "-99999999999999999",
            "datetime_parsing",
            "dates before 1600 are not supported as unix timestamps",
        ),
        ("\"0000-01-01\"", "datetime_parsing", "year 0 is out of range"),
        (
            "\"0001-01-01T00:00:00+05:00\"",
            "datetime_parsing",
            "year 0 is out of range",
        ),
    ];
    for (text, kind, error) in bad {
        let problem = field("due_at", text).unwrap_err();
        assert_eq!(
            (&problem["type"], &problem["ctx"]["error"]),
            (&json!(kind), &json!(error)),
            "{text}"
        );
        assert!(problem["msg"].as_str().unwrap().ends_with(error));
    }
    for text in ["true", "[]", "{}"] {
        assert_eq!(field("due_at", text).unwrap_err()["type"], "datetime_type", "{text}");
    }
    assert_eq!(field("due_at", "null"), Ok(Value::Null));
}

#[test]
fn texts_have_formats_and_bounds() {
    let uuid = |text: &str| field("related_ids", &format!("[\"{text}\"]"));
    for form in [
        ID.to_uppercase(),
        ID.replace('-', ""),
        format!("{{{ID}}}"),
        format!("urn:uuid:{ID}"),
    ] {
        assert_eq!(uuid(&form), Ok(json!([ID])), "{form}");
    }
    let bad = [
        (
            "not-a-uuid",
            "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `n` at 1",
        ),
        ("", "invalid length: expected length 32 for simple format, found 0"),
        (
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            "invalid group length in group 4: expected 12, found 11",
        ),
        (
            "a0eebc-999c0b-4ef8-bb6d-6bb9bd380a11",
            "invalid group length in group 0: expected 8, found 6",
        ),
        (
            "a0eebc99-9c0b4ef8bb6d6bb9bd380a11",
            "invalid group count: expected 5, found 2",
        ),
        (
            "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
            "invalid group count: expected 5, found 1",
        ),
        (
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380aé",
            "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `é` at 35",
        ),
    ];
    for (text, error) in bad {
        let problem = uuid(text).unwrap_err();
        assert_eq!(problem["msg"], format!("Input should be a valid UUID, {error}"));
        assert_eq!(
            (&problem["type"], &problem["ctx"]),
            (&json!("uuid_parsing"), &json!({ "error": error })),
            "{text}"
        );
    }
    assert_eq!(field("related_ids", "[1]").unwrap_err()["type"], "uuid_type");
    assert_eq!(
        field("description", "1").unwrap_err()["msg"],
        "Input should be a valid string"
    );
    let nul = field("description", r#""a\u0000b""#).unwrap_err();
    assert_eq!(
        (&nul["type"], &nul["msg"]),
        (
            &json!("value_error"),
            &json!("Value error, the text must not contain NUL characters")
        )
    );
    assert_eq!(
        field("extras", r#"{"a":["\u0000"]}"#).unwrap_err()["type"],
        "value_error"
    );
    let tag = |name: &str| field("tags", &format!(r#"[{{"name":"{name}"}}]"#));
    assert_eq!(tag("  abcde "), Ok(json!([{ "name": "abcde" }])));
    let blank = tag("  ").unwrap_err();
    assert_eq!(
        blank,
        json!({
            "type": "string_too_short", "loc": ["body", "tags", 0, "name"], "msg": "String should have at least 1 character",
            "input": "  ", "ctx": { "min_length": 1 },
        })
    );
    assert_eq!(tag("ééééé"), Ok(json!([{ "name": "ééééé" }])));
    let long = tag("abcdef").unwrap_err();
    assert_eq!(
        (&long["type"], &long["msg"]),
        (
            &json!("string_too_long"),
            &json!("String should have at most 5 characters")
        )
    );
    // Only texts declared so must not be empty.
    assert_eq!(create(r#"{"title":""}"#), Ok(json!({})));
    let url = |text: &str| field("url", &format!("\"{text}\"")).unwrap_err()["msg"].clone();
    assert_eq!(url("x"), "Input should be a valid URL, relative URL without a base");
    assert_eq!(url(""), "Input should be a valid URL, input is empty");
    assert_eq!(url("http://"), "Input should be a valid URL, empty host");
    assert_eq!(url("ftp://a"), "URL scheme should be 'http' or 'https'");
    assert_eq!(field("url", "1").unwrap_err()["type"], "url_type");
    let mail = field("contact", "\"x\"").unwrap_err();
    assert_eq!(
        mail["msg"],
        "value is not a valid email address: An email address must have an @-sign."
    );
    for text in ["@b.c", "a@", "a b@c.d", "a@b", "a@b..c", "a@@b.c"] {
        assert_eq!(
            field("contact", &format!("\"{text}\"")).unwrap_err()["type"],
            "value_error",
            "{text}"
        );
    }
}

#[test]
fn lists_maps_and_free_form_json() {
    assert_eq!(
        field("tags", "\"x\"").unwrap_err()["msg"],
        "Input should be a valid list"
    );
    assert_eq!(field("tags", "null"), Ok(Value::Null));
    let many = field("tags", r#"[{"name":"a"},{"name":"b"},{"name":"c"}]"#).unwrap_err();
    assert_eq!(many["msg"], "List should have at most 2 items after validation, not 3");
    assert_eq!(
        many["ctx"],
        json!({ "field_type": "List", "max_length": 2, "actual_length": 3 })
    );
    assert_eq!(
        field("scores", "[]").unwrap_err()["msg"],
        "Input should be a valid dictionary"
    );
    let score = field("scores", r#"{"a":"x"}"#).unwrap_err();
    assert_eq!(
        (&score["type"], &score["loc"]),
        (&json!("int_parsing"), &json!(["body", "scores", "a"]))
    );
    assert_eq!(field("extras", "[]").unwrap_err()["type"], "dict_type");
    assert_eq!(field("extras", "null"), Ok(Value::Null));
    let everything = |json: &str| shape("Everything").read_json(json.as_bytes());
    assert_eq!(
        kinds(&everything(r#"{"an_array":{}}"#).unwrap_err()),
        [("list_type", "body.an_array".to_owned())]
    );
    assert_eq!(
        kinds(&everything(r#"{"some_bytes":"?"}"#).unwrap_err()),
        [("value_error", "body.some_bytes".to_owned())]
    );
    assert_eq!(
        kinds(&everything(r#"{"packed":{}}"#).unwrap_err()),
        [("value_error", "body.packed".to_owned())]
    );
    let two = everything(r#"{"left":"a","right":1}"#).unwrap_err();
    assert_eq!(
        shown(&two)[0]["ctx"]["error"],
        "only one of 'left' and 'right' may be given"
    );
    let one = everything(
        r#"{"left":null,"right":0,"some_bytes":"_-8","a_duration":"1.5s","tags":{"7":{"name":"a"}},"flags":{"true":1}}"#,
    );
    assert_eq!(
        canonical("Everything", &one.unwrap()),
        json!({
            "right": 0, "some_bytes": "/+8=", "a_duration": "1.500s", "tags": { "7": { "name": "a" } }, "flags": { "true": 1.0 },
        })
    );
}
