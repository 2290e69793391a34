//! Finding routes, and what they say of themselves.

use http::Method;
use transcoder::{Access, Credential, Found};

use crate::support::{CATALOG, route};

#[test]
fn paths_lead_to_their_methods() {
    let cases = [
        ("GET", "/api/v1/shelves/a/books", "ListBooks"),
        ("GET", "/api/v1/agent/shelves/a/books", "ListBooks"),
        ("POST", "/api/v1/shelves/a/books", "CreateBook"),
        ("PATCH", "/api/v1/books/a", "UpdateBook"),
        ("GET", "/api/v1/books/a", "GetBook"),
        // A literal segment wins over a variable ...
        ("GET", "/api/v1/books/stream", "WatchBooks"),
        // ... but only for the methods it serves.
        ("PATCH", "/api/v1/books/stream", "UpdateBook"),
        ("GET", "/api/v1/titl%65s", "ListTitles"),
        ("POST", "/hooks/a/b/c", "Drop"),
    ];
    for (method, path, name) in cases {
        assert_eq!(route(method, path).0.plan.name, name, "{method} {path}");
    }
}

#[test]
fn variables_are_decoded_segment_by_segment() {
    let (drop, params) = route("POST", "/hooks/a%2Fb/%C3%A9");
    let wire = drop.read(&params, None, None, b"", None).unwrap();
    assert_eq!(
        crate::support::canonical("DropRequest", &wire),
        serde_json::json!({ "name": "a/b/é" })
    );
}

#[test]
fn what_is_not_served_is_told_apart() {
    let find = |method: Method, path: &'static str| CATALOG.find(&method, path);
    assert!(matches!(find(Method::GET, "/nowhere"), Found::NotFound));
    assert!(matches!(find(Method::GET, "/nowhere/"), Found::NotFound));
    assert!(matches!(find(Method::GET, "//"), Found::NotFound));
    assert!(matches!(find(Method::GET, ""), Found::NotFound));
    // An empty segment fills no variable.
    assert!(matches!(find(Method::GET, "/api/v1/shelves//books"), Found::NotFound));
    let Found::Redirect(path) = find(Method::GET, "/api/v1/shelves/%20/books/") else {
        panic!("no redirect")
    };
    assert_eq!(path, "/api/v1/shelves/%20/books");
    let Found::MethodNotAllowed(methods) = find(Method::DELETE, "/api/v1/books/stream") else {
        panic!("allowed")
    };
    assert_eq!(methods, [Method::GET, Method::PATCH]);
    let Found::MethodNotAllowed(methods) = find(Method::HEAD, "/api/v1/titles") else {
        panic!("allowed")
    };
    assert_eq!(methods, [Method::GET]);
}

#[test]
fn routes_carry_what_the_options_say() {
    let (list, _) = route("GET", "/api/v1/shelves/a/books");
    assert_eq!(&*list.plan.path, "/test.v1.Library/ListBooks");
    assert_eq!(list.plan.access, [Access::Member, Access::Agent]);
    assert_eq!(
        (list.credential, list.status, &list.event),
        (Credential::Any, 200, &None)
    );
    assert_eq!(list.operation_id, "list_books_api_v1_shelves__shelf_id__books_get");
    assert_eq!(list.tags, ["books"]);
    let (agent, _) = route("GET", "/api/v1/agent/shelves/a/books");
    assert_eq!(
        (agent.credential, agent.operation_id.as_str()),
        (Credential::Agent, "agent_list_books")
    );
    let (create, _) = route("POST", "/api/v1/shelves/a/books");
    assert_eq!((create.credential, create.status), (Credential::User, 201));
    assert_eq!(route("GET", "/api/v1/books/a").0.credential, Credential::User);
    let (watch, _) = route("GET", "/api/v1/books/stream");
    assert_eq!(watch.event.as_deref(), Some("book"));
    assert!(watch.plan.server_streaming && !watch.plan.client_streaming);
    assert_eq!(CATALOG.routes().count(), 11);
}

#[test]
fn methods_without_route_have_a_plan() {
    let plan = CATALOG.method("/test.v1.Library/Internal").unwrap();
    assert_eq!(
        (plan.access.as_slice(), plan.input.name()),
        ([Access::Service].as_slice(), "test.v1.Everything")
    );
    assert!(CATALOG.method("/test.v1.Library/Nothing").is_none());
    assert_eq!(CATALOG.methods().count(), 11);
    assert!(CATALOG.shape("test.v1.Nothing").is_none());
}
