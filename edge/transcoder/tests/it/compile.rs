//! What a contract must not be.

use std::fs;

use transcoder::Catalog;

use crate::support::descriptors;

/// Compiles a contract with this body, which is refused; answers the error's text.
fn refused(body: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "syntax = \"proto3\";\npackage t;\nimport \"google/api/annotations.proto\";\n\
         import \"google/protobuf/empty.proto\";\nimport \"google/protobuf/struct.proto\";\n\
         import \"google/protobuf/wrappers.proto\";\nimport \"missioncontrol/options/v1/options.proto\";\n{body}"
    );
    fs::write(dir.path().join("t.proto"), text).unwrap();
    Catalog::compile(&descriptors(dir.path(), "t.proto"))
        .unwrap_err()
        .to_string()
}

fn refused_method(options: &str) -> String {
    refused(&format!(
        "message In {{ string id = 1; repeated string many = 2; In self = 3; }}\n\
         service S {{ rpc M(In) returns (In) {{ {options} }} }}"
    ))
}

fn refused_field(field: &str) -> String {
    refused(&format!("message In {{ {field} }}")).replace("missioncontrol.options.v1.", "")
}

#[test]
fn methods_that_cannot_be_served_are_named() {
    const ACCESS: &str = "option (missioncontrol.options.v1.method) = {access: ACCESS_USER};";
    let http = |rule: &str| refused_method(&format!("{ACCESS} option (google.api.http) = {{{rule}}};"));
    assert_eq!(
        refused_method(""),
        "t.S.M: option `access` is missing: say who may call"
    );
    assert_eq!(
        http("get: \"/a/{nothing}\""),
        "t.S.M: path variable `nothing` is no field of t.In"
    );
    assert_eq!(
        http("get: \"/a/{many}\""),
        "t.S.M: path variable `many` must be a scalar field"
    );
    assert_eq!(http("get: \"/a/{id}/{id}\""), "t.S.M: path variable `id` occurs twice");
    assert_eq!(http("get: \"a\""), "t.S.M: a: a path must start with `/`");
    assert_eq!(
        http("get: \"/{id}:x\""),
        "t.S.M: /{id}:x: `{id}:x`: a variable must be a whole segment"
    );
    assert_eq!(
        http("get: \"/{id=**}/x\""),
        "t.S.M: /{id=**}/x: `**` must be the last segment"
    );
    assert_eq!(
        http("post: \"/a\" body: \"nothing\""),
        "t.S.M: `body: \"nothing\"` is no free field of t.In"
    );
    assert_eq!(
        http("get: \"/a\" response_body: \"nothing\""),
        "t.S.M: `response_body: \"nothing\"` is no field of t.In"
    );
    assert_eq!(http("body: \"*\""), "t.S.M: a binding needs one method and path");
    assert_eq!(
        http("get: \"/a/{id}\" additional_bindings {get: \"/a/{id=*}\"}"),
        "t.S.M: GET /a/{id=*} is already served by /t.S/M"
    );
    assert_eq!(
        refused_method(
            "option (missioncontrol.options.v1.method) = {access: ACCESS_USER status: 404}; \
             option (google.api.http) = {get: \"/a\"};"
        ),
        "t.S.M: `status: 404` is no success status"
    );
    assert_eq!(
        refused_method(
            "option (missioncontrol.options.v1.method) = {access: ACCESS_USER operations: {id: \"x\"} operations: {id: \"x\"}}; \
             option (google.api.http) = {get: \"/a\" additional_bindings {get: \"/b\"}};"
        ),
        "t.S.M: operation id `x` is taken"
    );
}

#[test]
fn fields_whose_options_do_not_fit_are_named() {
    let cases = [
        (
            "int32 a = 1 [(missioncontrol.options.v1.field) = {non_empty: true}];",
            "`non_empty` needs a string field",
        ),
        (
            "int32 a = 1 [(missioncontrol.options.v1.field) = {format: \"uuid\"}];",
            "`format` needs a string field",
        ),
        (
            "string a = 1 [(missioncontrol.options.v1.field) = {minimum: 1}];",
            "`minimum` and `maximum` need a number",
        ),
        (
            "string a = 1 [(missioncontrol.options.v1.field) = {max_items: 1}];",
            "`min_items` and `max_items` need a repeated field",
        ),
        (
            "string a = 1 [(missioncontrol.options.v1.field) = {json: JSON_ANY}];",
            "`json` needs a `bytes` field",
        ),
        (
            "string a = 1 [(missioncontrol.options.v1.field) = {comma_separated: true}];",
            "`comma_separated` needs a repeated field",
        ),
        (
            "repeated string a = 1 [(missioncontrol.options.v1.field) = {header: \"X-A\"}];",
            "`header` needs a scalar field",
        ),
        (
            "string a = 1 [(missioncontrol.options.v1.field) = {header: \"a b\"}];",
            "`header` is no header name",
        ),
        (
            "string a = 1 [(missioncontrol.options.v1.field) = {default_value: \"x\"}];",
            "`default_value` is not JSON: x (texts need quotes)",
        ),
        (
            "google.protobuf.Struct a = 1;",
            "free-form JSON is a `bytes` field with option `json`",
        ),
        (
            "google.protobuf.StringValue a = 1;",
            "a nullable scalar is an `optional` field, not a wrapper message",
        ),
    ];
    for (field, what) in cases {
        assert_eq!(refused_field(field), format!("t.In.a: {what}"), "{field}");
    }
    assert_eq!(
        refused_field("string a = 1; string b = 2 [(missioncontrol.options.v1.field) = {name: \"a\"}];"),
        "t.In: two fields have the JSON name `a`"
    );
    assert_eq!(
        refused_field("option (missioncontrol.options.v1.message) = {list: true}; string a = 1;"),
        "t.In: option `list` needs a message with one repeated or map field and no other"
    );
    let garbage = Catalog::compile(b"\x0a\xff").unwrap_err();
    assert_eq!(garbage.place, "descriptor set");
}
