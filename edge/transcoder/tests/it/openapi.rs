//! The OpenAPI document of the test contract.

use serde_json::{Value, json};
use transcoder::ApiInfo;

use crate::support::CATALOG;

fn document() -> Value {
    let info = ApiInfo {
        title: "Library".to_owned(),
        version: "1".to_owned(),
        description: "Books.".to_owned(),
    };
    CATALOG.openapi(&info)
}

#[test]
fn the_whole_document() {
    insta::assert_json_snapshot!("library", document());
}

/// Every reference leads somewhere, and every component is referred to.
#[test]
fn references_resolve() {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(name)) = map.get("$ref") {
                    found.push(name.trim_start_matches("#/components/schemas/").to_owned());
                }
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    walk(&document, &mut found);
    found.sort();
    found.dedup();
    let components: Vec<&String> = document["components"]["schemas"].as_object().unwrap().keys().collect();
    assert_eq!(
        found.iter().collect::<std::collections::BTreeSet<_>>(),
        components.into_iter().collect()
    );
}

#[test]
fn internal_methods_and_hidden_fields_are_left_out() {
    let text = document().to_string();
    for word in [
        "/internal",
        "secret_cursor",
        "idempotency_key",
        "schemas/Everything",
        "update_mask",
    ] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn hints_are_extensions() {
    let operation = &document()["paths"]["/api/v1/agent/shelves/{shelf_id}/books"]["get"];
    assert_eq!(operation["x-llm-intent"], "find_books");
    assert_eq!(
        operation["x-routing-policy-examples"],
        json!([{ "input": "what is there", "decision": "agent_list_books" }])
    );
    assert_eq!(
        operation["security"],
        json!([{ "AgentToken": [] }, { "HTTPBearer": [] }])
    );
    assert_eq!(operation["description"], "One page of books.\n\nNewest first.");
}
