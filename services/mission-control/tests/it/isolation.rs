//! Nothing of one organization is reached from another: every RPC of the contract is called by strangers with the ids of somebody else's
//! resources. The list comes from the descriptors, so that a new RPC is held to it without a line here.

use std::{collections::BTreeMap, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use chassis::identity::PRINCIPAL;
use http_body_util::BodyExt;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use proto::identity::v1::{Principal, PrincipalKind};
use serde_json::{Map, Value, json};
use testkit::gateway::{FakeGateway, Options, Release};
use tonic::Code;
use transcoder::{Access, MethodPlan};
use uuid::Uuid;

use crate::{
    harness::{Harness, eventually, id},
    org::sign_in,
    path::{board, team},
};

/// Stands in every text of the victim's resources.
const MARK: &str = "victim-only";
/// Stands in every text the strangers send.
const STRANGER: &str = "stranger";

/// How a call ended: its code, and the messages that were answered.
struct Outcome {
    code: Code,
    answered: Vec<u8>,
}

async fn call(mc: &Harness, plan: &MethodPlan, principal: Option<&Principal>, message: &[u8]) -> Outcome {
    let context = &mc.constellation.context;
    let package = plan
        .path
        .trim_start_matches("/missioncontrol.")
        .split('.')
        .next()
        .unwrap_or_default();
    let role = if package == "gateway" {
        "gateway-bridge"
    } else {
        package
    };
    let channel = context
        .peers
        .channel(role)
        .unwrap_or_else(|| panic!("no role serves {}", plan.path));
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a short message"));
    frame.put_slice(message);
    let body = tonic::body::Body::new(http_body_util::Full::new(Bytes::from(frame)).map_err(|never| match never {}));
    let mut request = http::Request::post(&*plan.path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("a request");
    if let Some(principal) = principal {
        request.headers_mut().insert(
            PRINCIPAL,
            context.signer.sign(principal.clone(), Duration::from_secs(60)).value,
        );
    }
    let response = channel.send(request).await.expect("the role is there");
    let code = |headers: &http::HeaderMap| {
        headers
            .get("grpc-status")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(|code: i32| Code::from(code))
    };
    if let Some(code) = code(response.headers()) {
        return Outcome {
            code,
            answered: Vec::new(),
        };
    }
    let (mut answered, mut status, mut body) = (Vec::new(), Code::Ok, response.into_body());
    // A stream that opened stays open: what it says at once is enough.
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(
        Duration::from_millis(if plan.server_streaming { 200 } else { 20_000 }),
        body.frame(),
    )
    .await
    {
        match frame.into_data() {
            Ok(data) => answered.extend_from_slice(&data),
            Err(frame) => status = frame.trailers_ref().and_then(code).unwrap_or(Code::Ok),
        }
    }
    Outcome { code: status, answered }
}

/// A request that names the victim's resources wherever it can.
fn request(message: &MessageDescriptor, ids: &BTreeMap<&str, String>, depth: usize) -> Value {
    let mut object = Map::new();
    for field in message
        .fields()
        .filter(|field| !matches!(field.name(), "update_mask" | "resume_token" | "since") && depth < 4)
    {
        let one = value(&field, ids, depth);
        let value = if field.is_map() {
            json!({})
        } else if field.is_list() {
            json!([one])
        } else {
            one
        };
        object.insert(field.name().to_owned(), value);
    }
    Value::Object(object)
}

fn value(field: &FieldDescriptor, ids: &BTreeMap<&str, String>, depth: usize) -> Value {
    let name = field.name();
    let single = name.strip_suffix("_ids").map(|stem| format!("{stem}_id"));
    // Lists of ids that can be null are messages around the ids.
    if let Some(id) = ids.get(single.as_deref().unwrap_or(name)) {
        return if matches!(field.kind(), Kind::Message(_)) {
            json!([id])
        } else {
            id.clone().into()
        };
    }
    match field.kind() {
        Kind::String if name.ends_with("_id") || name.ends_with("_ids") => panic!(
            "{} names a resource this test does not know: add one of the victim to `ids`",
            field.full_name()
        ),
        Kind::String if name.contains("email") => "stranger@example.net".into(),
        Kind::String if matches!(name, "url" | "source_url") => "https://stranger.example.net/".into(),
        Kind::String if name == "color" => "123456".into(),
        Kind::String if name == "role" => "member".into(),
        Kind::String => STRANGER.into(),
        // A body as it came, in base64.
        Kind::Bytes if name == "body" => "e30=".into(),
        Kind::Bytes => json!({"reason": STRANGER}),
        Kind::Bool => true.into(),
        Kind::Enum(kind) => {
            let prefix = kind
                .values()
                .next()
                .map(|first| first.name().trim_end_matches("UNSPECIFIED").to_owned())
                .unwrap_or_default();
            kind.values().nth(1).map_or(Value::Null, |value| {
                value.name().trim_start_matches(&prefix).to_lowercase().into()
            })
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => "2031-01-01T00:00:00Z".into(),
        // Lists that can be null are bare arrays.
        Kind::Message(message) if message.fields().len() == 1 && message.fields().all(|field| field.is_list()) => {
            json!([value(&message.fields().next().expect("one field"), ids, depth + 1)])
        }
        Kind::Message(message) => request(&message, ids, depth + 1),
        _ => 1.into(),
    }
}

/// What the victim has, without what changes by itself.
async fn inventory(mc: &Harness, board: &str) -> Value {
    let person = mc.person();
    let mut all = Map::new();
    for path in [
        "/api/v1/boards".to_owned(),
        format!("/api/v1/boards/{board}/tasks"),
        format!("/api/v1/boards/{board}/approvals"),
        "/api/v1/agents".to_owned(),
        "/api/v1/gateways".to_owned(),
        "/api/v1/tags".to_owned(),
        "/api/v1/skills/packs".to_owned(),
        "/api/v1/organizations/me/custom-fields".to_owned(),
        "/api/v1/organizations/me/webhooks".to_owned(),
        "/api/v1/organizations/me/members".to_owned(),
        "/api/v1/organizations/me/invites".to_owned(),
    ] {
        let mut list = person.get(&path).await.expect(200);
        // Pages have their items inside, some lists are bare.
        let items = if list.is_array() {
            Some(&mut list)
        } else {
            list.get_mut("items")
        };
        for item in items
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            for changing in [
                "updated_at",
                "last_seen_at",
                "status",
                "status_reason",
                "condition",
                "offline_at",
            ] {
                item.remove(changing);
            }
        }
        all.insert(path, list);
    }
    Value::Object(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rpc_reaches_into_another_organization() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, MARK).await;
    let board_id = id(&team.board);
    let post = async |path: String, body: Value| person.post(&path, body).await.expect(200);
    let task = post(
        format!("/api/v1/boards/{board_id}/tasks"),
        json!({"title": MARK, "description": MARK, "assigned_agent_id": team.agent["id"]}),
    )
    .await;
    post(
        format!("/api/v1/boards/{board_id}/tasks/{}/comments", id(&task)),
        json!({"message": MARK}),
    )
    .await;
    let tag = post("/api/v1/tags".into(), json!({"name": MARK})).await;
    let field = post(
        "/api/v1/organizations/me/custom-fields".into(),
        json!({"field_key": MARK, "default_value": MARK, "board_ids": [board_id]}),
    )
    .await;
    eventually("starting an onboarding", || async {
        let path = format!("/api/v1/boards/{board_id}/onboarding/start");
        (person.post(&path, json!({})).await.status == 200).then_some(())
    })
    .await;
    let webhook = post(
        "/api/v1/organizations/me/webhooks".into(),
        json!({"url": format!("https://{MARK}.example.org/")}),
    )
    .await;
    let approval = post(
        format!("/api/v1/boards/{board_id}/approvals"),
        json!({"action_type": MARK, "confidence": 50, "lead_reasoning": MARK, "task_id": task["id"]}),
    )
    .await;
    let invite = post(
        "/api/v1/organizations/me/invites".into(),
        json!({"invited_email": format!("{MARK}@example.org")}),
    )
    .await;
    let member = person.get("/api/v1/organizations/me/member").await.expect(200);
    let me = person.get("/api/v1/users/me").await.expect(200);
    let delivery = eventually("making a delivery", || async {
        let log = person
            .get(&format!(
                "/api/v1/organizations/me/webhooks/{}/deliveries",
                id(&webhook)
            ))
            .await
            .expect(200);
        log["items"].get(0).cloned()
    })
    .await;
    let pack = post(
        "/api/v1/skills/packs".into(),
        json!({"source_url": format!("https://github.com/{MARK}/skills"), "name": MARK}),
    )
    .await;
    let skill = post(
        "/api/v1/skills/marketplace".into(),
        json!({"source_url": format!("https://example.org/{MARK}"), "name": MARK}),
    )
    .await;
    let other_board = post("/api/v1/boards".into(), board("Neighbour", &id(&team.gateway))).await;

    let unknown = Uuid::now_v7().to_string();
    let mut ids: BTreeMap<&str, String> = [
        ("organization_id", &team.board["organization_id"]),
        ("board_id", &team.board["id"]),
        ("gateway_id", &team.gateway["id"]),
        ("agent_id", &team.agent["id"]),
        ("assigned_agent_id", &team.agent["id"]),
        ("task_id", &task["id"]),
        ("depends_on_task_id", &task["id"]),
        ("tag_id", &tag["id"]),
        ("task_custom_field_definition_id", &field["id"]),
        ("webhook_id", &webhook["id"]),
        ("delivery_id", &delivery["id"]),
        ("approval_id", &approval["id"]),
        // Of the audit trail: the thing that was changed.
        ("target_id", &task["id"]),
        ("invite_id", &invite["id"]),
        ("pack_id", &pack["id"]),
        ("skill_id", &skill["id"]),
        ("member_id", &member["id"]),
        ("user_id", &me["id"]),
        ("created_by_user_id", &me["id"]),
    ]
    .map(|(name, value)| (name, value.as_str().expect("an id").to_owned()))
    .into();
    // Resources of kinds that the victim has none of; what is unknown must not be reached either.
    for name in [
        "board_group_id",
        "group_id",
        "payload_id",
        "session_id",
        "correlation_id",
        "key_id",
        "operation_id",
        "api_key_id",
        "request_id",
    ] {
        ids.insert(name, unknown.clone());
    }

    let stranger = sign_in(&mc, "stranger", "stranger@example.net").await;
    assert_ne!(stranger.organization_id, ids["organization_id"]);
    let agent = |organization: &str, board: &str, gateway: &str, is_lead: bool| Principal {
        kind: PrincipalKind::Agent.into(),
        id: Uuid::now_v7().to_string(),
        name: STRANGER.into(),
        organization_id: organization.into(),
        board_id: board.into(),
        gateway_id: gateway.into(),
        is_lead,
        ..Principal::default()
    };
    let callers: Vec<(&str, Option<Principal>)> = vec![
        ("nobody", None),
        (
            "an agent of another organization",
            Some(agent(&stranger.organization_id, &unknown, &unknown, false)),
        ),
        (
            "a lead of another organization",
            Some(agent(&stranger.organization_id, &unknown, &unknown, true)),
        ),
        (
            "a main agent of another organization",
            Some(agent(&stranger.organization_id, "", &unknown, false)),
        ),
        (
            "a worker of another board",
            Some(agent(
                &ids["organization_id"],
                &id(&other_board),
                &ids["gateway_id"],
                false,
            )),
        ),
        (
            "a lead of another board",
            Some(agent(
                &ids["organization_id"],
                &id(&other_board),
                &ids["gateway_id"],
                true,
            )),
        ),
        // Last: this person's own organization may end on the way.
        ("a person of another organization", Some(stranger)),
    ];

    let before = inventory(&mc, &board_id).await;
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).expect("descriptors");
    let catalog = mc.constellation.context.catalog.clone();
    let mut plans: Vec<&MethodPlan> = catalog
        .methods()
        .filter(|plan| plan.path.starts_with("/missioncontrol."))
        .collect();
    plans.sort_by_key(|plan| plan.path.contains("DeleteM"));
    assert!(plans.len() > 60, "the contract has {} methods", plans.len());
    let mut broken = Vec::new();
    for plan in plans {
        let (service, method) = plan.path.trim_start_matches('/').split_once('/').expect("a path");
        let input = pool
            .get_service_by_name(service)
            .and_then(|service| service.methods().find(|found| found.name() == method))
            .expect("the method")
            .input();
        let message = plan
            .input
            .read_json(request(&input, &ids, 0).to_string().as_bytes())
            .unwrap_or_else(|problems| panic!("{}: {problems:?}", plan.path));
        for (who, principal) in &callers {
            let outcome = call(&mc, plan, principal.as_ref(), &message).await;
            let text = String::from_utf8_lossy(&outcome.answered);
            let public = plan.access.contains(&Access::Public);
            if plan.access.contains(&Access::Service)
                && !matches!(outcome.code, Code::PermissionDenied | Code::Unauthenticated)
            {
                broken.push(format!(
                    "{}: {who} got {:?} from an internal method",
                    plan.path, outcome.code
                ));
            }
            if principal.is_none() && !public && outcome.code != Code::Unauthenticated {
                broken.push(format!("{}: {who} got {:?}", plan.path, outcome.code));
            }
            // Labels belong to the whole organization: agents of its other boards may see them.
            let neighbour =
                who.ends_with("another board") && (method.contains("Tag") || service.ends_with("GatewayService"));
            if text.contains(MARK) && !neighbour {
                broken.push(format!("{}: {who} was shown {text:?}", plan.path));
            }
            if matches!(
                outcome.code,
                Code::Internal | Code::Unknown | Code::Unimplemented | Code::DataLoss
            ) {
                broken.push(format!("{}: {who} caused {:?}", plan.path, outcome.code));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert_eq!(before, inventory(&mc, &board_id).await, "nothing of the victim changed");
    mc.stop().await;
}
