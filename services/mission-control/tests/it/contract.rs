//! What `/openapi.json` declares is what is served: every operation of the document is called with valid input, made from its own schemas,
//! and status, content type and body of the answer are held against what the document says of them. An operation that nothing calls fails.

use std::collections::{BTreeMap, HashMap};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Map, Value, json};
use testkit::gateway::{FakeGateway, Options, Release};

use crate::{
    harness::{Answer, Harness, Rest, eventually, id},
    org::{join, member_id},
    path::{board, team, token_at},
};

/// Operations whose answer hangs on something a test has not: the network, a browser, another person's mail. They may be refused in these
/// ways; the refusal is held against the document like everything else.
const MAY_BE_REFUSED: &[(&str, &[u16])] = &[
    // The token is a made-up one.
    ("accept_org_invite", &[404]),
    // The only owner of an organization with other members.
    ("delete_me", &[409]),
    // Repositories and catalogues on the network.
    ("skill", &[409, 422, 502, 503, 504]),
    ("pack", &[409, 422, 502, 503, 504]),
    ("soul", &[404, 409, 502, 503, 504]),
    // Needs a session of the board's onboarding, a gateway's session, or a second lead: the state decides. Updates are the main agent's.
    ("onboarding", &[401, 403, 404, 409, 422]),
    // Leads comment where they have business; boards have room for so many workers; gateways that boards use stay.
    ("create_task_comment_api_v1_agent", &[403]),
    ("agent_lead_create_agent", &[409]),
    ("delete_gateway", &[409]),
    ("session", &[404, 409, 502, 504]),
    ("operation", &[404, 409]),
];

/// One operation of the document.
pub struct Operation {
    pub method: Method,
    pub template: String,
    pub id: String,
    pub spec: Value,
}

impl Operation {
    /// Later ones would take away what the earlier ones need: deletions last, the deepest first, and the caller at the very end.
    pub fn rank(&self) -> (u8, usize, String) {
        let depth = self.template.matches('/').count();
        let stage = match (self.method.as_str(), self.template.as_str()) {
            (_, "/api/v1/users/me") if self.method == Method::DELETE => 5,
            (_, "/api/v1/organizations/me") if self.method == Method::DELETE => 4,
            ("POST", "/api/v1/organizations") => 3,
            ("DELETE", template) if template.starts_with("/api/v1/gateways") => 2,
            ("DELETE", _) => 1,
            _ => 0,
        };
        (stage, usize::MAX - depth, self.template.clone())
    }

    /// Whether it changes something that a caller can repeat.
    pub fn changes(&self) -> bool {
        let parameters = self.spec["parameters"].as_array();
        parameters.is_some_and(|all| {
            all.iter()
                .any(|parameter| parameter["$ref"] == "#/components/parameters/IdempotencyKey")
        })
    }

    fn may_be_refused(&self, status: u16) -> bool {
        MAY_BE_REFUSED
            .iter()
            .any(|(part, statuses)| self.id.contains(part) && statuses.contains(&status))
    }
}

/// What operations are called with.
pub struct Seeds {
    /// Ids by the path segment before them, or by field name. Deletions take the last one, others the first.
    ids: BTreeMap<&'static str, Vec<String>>,
    gateway_url: String,
    gateway_token: String,
    counter: usize,
}

impl Seeds {
    /// The id for a path variable, by where it stands.
    fn in_path(&mut self, template: &str, variable: &str, take: bool) -> Option<String> {
        let before = template.split(&format!("/{{{variable}}}")).next().unwrap_or_default();
        let collection = before.rsplit('/').next().unwrap_or_default();
        let scoped = if collection == "webhooks" && before.contains("/boards/") {
            "board-webhooks"
        } else {
            collection
        };
        let known = self.ids.get_mut(scoped)?;
        if take && known.len() > 1 {
            known.pop()
        } else {
            known.first().cloned()
        }
    }

    /// What an operation made is what a later one deletes.
    pub fn keep(&mut self, operation: &Operation, answer: &Answer) {
        let collection = operation.template.rsplit('/').next().unwrap_or_default();
        let scoped = if collection == "webhooks" && operation.template.contains("/boards/") {
            "board-webhooks"
        } else {
            collection
        };
        // Keys of the organization are no keys of the person.
        if operation.method == Method::POST
            && scoped != "api-keys"
            && let (Some(known), Some(id)) = (self.ids.get_mut(scoped), answer.body["id"].as_str())
        {
            known.push(id.to_owned());
        }
    }

    fn named(&self, field: &str) -> Option<String> {
        match field {
            "handle" | "slug" => return Some("contract".to_owned()),
            "session_id" => return Some("agent:main:main".to_owned()),
            _ => {}
        }
        let collection = match field
            .strip_suffix("_ids")
            .unwrap_or(field.strip_suffix("_id").unwrap_or(""))
        {
            "board" => "boards",
            "agent" | "assigned_agent" => "agents",
            "task" | "depends_on_task" => "tasks",
            "tag" => "tags",
            "gateway" => "gateways",
            "organization" => "organizations",
            "board_group" | "group" => "board-groups",
            "member" => "members",
            _ => return None,
        };
        self.ids.get(collection).and_then(|ids| ids.first().cloned())
    }

    fn unique(&mut self) -> usize {
        self.counter += 1;
        self.counter
    }
}

/// Makes a valid value of a schema: what must be there, and nothing more.
fn value(document: &Value, schema: &Value, name: &str, operation: &Operation, seeds: &mut Seeds) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} is in the document"));
        return value(document, target, name, operation, seeds);
    }
    if let Some(made) = special(name, operation, seeds) {
        return made;
    }
    for union in ["anyOf", "oneOf"] {
        if let Some(first) = schema[union].as_array().and_then(|options| options.first()) {
            return value(document, first, name, operation, seeds);
        }
    }
    if let Some(fixed) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return fixed.clone();
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        return default.clone();
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or("object"),
        _ => "any",
    };
    match kind {
        "string" => match schema["format"].as_str() {
            Some("uuid") => seeds
                .named(name)
                .unwrap_or_else(|| uuid::Uuid::now_v7().to_string())
                .into(),
            Some("date-time") => "2031-01-01T00:00:00Z".into(),
            Some("date") => "2031-01-01".into(),
            Some("uri" | "url") => "https://example.org/hook".into(),
            Some("email") => format!("contract-{}@example.org", seeds.unique()).into(),
            _ => seeds
                .named(name)
                .unwrap_or_else(|| {
                    let text = format!("{name} {}", seeds.unique());
                    let longest = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok());
                    text.chars().take(longest.unwrap_or(usize::MAX)).collect()
                })
                .into(),
        },
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| 1.into()),
        "boolean" => false.into(),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            (0..least)
                .map(|_| value(document, &schema["items"], name, operation, seeds))
                .collect()
        }
        "null" => Value::Null,
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let mut object = Map::new();
            for field in required.iter().filter_map(Value::as_str) {
                let made = value(document, &schema["properties"][field], field, operation, seeds);
                object.insert(field.to_owned(), made);
            }
            Value::Object(object)
        }
    }
}

/// Fields whose rules a schema cannot say.
fn special(name: &str, operation: &Operation, seeds: &mut Seeds) -> Option<Value> {
    let gateways = operation.template.contains("/gateways");
    Some(match name {
        "url" | "gateway_url" if gateways => seeds.gateway_url.clone().into(),
        "token" | "gateway_token" if gateways => seeds.gateway_token.clone().into(),
        "workspace_root" => "~/.openclaw".into(),
        "url" | "source_url" | "upstream_url" => "https://example.org/hook".into(),
        "invited_email" => format!("contract-{}@example.org", seeds.unique()).into(),
        "slug" | "field_key" => format!("contract-{}", seeds.unique()).replace('-', "_").into(),
        "confidence" => 50.into(),
        "method" if operation.template.ends_with("/access/explain") => "get_me_api_v1_users_me_get".into(),
        _ => return None,
    })
}

/// Fields that the schema leaves open and a rule over several fields wants.
fn besides(operation: &Operation, seeds: &mut Seeds) -> Value {
    let is = |part: &str| operation.id.contains(part);
    match () {
        () if is("explain_transition") || is("explain_task_transition") => json!({"status": "in_progress"}),
        () if is("create_approval") => json!({"lead_reasoning": "It is ready."}),
        () if is("update_org_custom_field") => json!({"label": "Renamed"}),
        () if is("update_tag") || is("update_gateway") || is("update_agent_api") => json!({"name": "Renamed"}),
        () if is("update_task_api_v1_agent") => json!({"assigned_agent_id": seeds.named("agent_id")}),
        () if is("update_task_api") => json!({"title": "Renamed"}),
        () if is("update_board_api")
            || is("update_board_group")
            || is("update_board_webhook")
            || is("update_webhook") =>
        {
            json!({"description": "Changed"})
        }
        () if is("update_me_") => json!({"notes": "Changed"}),
        () if is("update_org_member") => json!({"role": "admin"}),
        () if is("update_member_access") => json!({"all_boards_read": true}),
        () if is("preview_agent_files") || is("heartbeat_or_create_agent") || is("create_agent_api_v1_agents_post") => {
            json!({"board_id": seeds.named("board_id")})
        }
        () if is("board_group_heartbeat") => json!({"every": "10m"}),
        () if is("update_approval") => json!({"status": "approved"}),
        // Two of what an agent asked for: the first is decided alone.
        () if is("decide_approvals") => json!({"status": "approved", "approval_ids": [seeds.ids["approvals"][1]]}),
        () if is("create_board_api") => json!({"gateway_id": seeds.named("gateway_id")}),
        () if is("create_gateway") || is("preflight_gateway") => {
            json!({"url": seeds.gateway_url, "token": seeds.gateway_token})
        }
        () if is("create_skill_pack") || is("update_skill_pack") => {
            json!({"source_url": format!("https://github.com/contract/pack-{}", seeds.unique())})
        }
        () => json!({}),
    }
}

/// The schema checks of one document, each made once.
struct Judge {
    document: Value,
    validators: HashMap<String, Validator>,
}

impl Judge {
    /// What is wrong with an answer; nothing when it is as declared.
    fn check(&mut self, operation: &Operation, answer: &Answer) -> Option<String> {
        let status = answer.status.as_u16();
        let responses = &operation.spec["responses"];
        let declared = match &responses[status.to_string()] {
            Value::Null if status >= 400 => &responses["default"],
            declared => declared,
        };
        if declared.is_null() {
            return Some(format!("{status} is not declared: {:#}", answer.body));
        }
        if !answer.status.is_success() && !operation.may_be_refused(status) {
            return Some(format!("valid input was refused with {status}: {:#}", answer.body));
        }
        let sent = answer
            .headers
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .and_then(|kind| kind.split(';').next())
            .unwrap_or_default();
        let Some(content) = declared["content"].as_object() else {
            return (!sent.is_empty()).then(|| format!("{sent} is answered where no content is declared"));
        };
        let Some(media) = content.get(sent).or_else(|| content.get("*/*")) else {
            return Some(format!("{sent:?} is none of {:?}", content.keys().collect::<Vec<_>>()));
        };
        if sent != "application/json" || media["schema"].is_null() {
            return None;
        }
        let schema = media["schema"].clone();
        let document = &self.document;
        let validator = self.validators.entry(schema.to_string()).or_insert_with(|| {
            let mut whole = schema;
            whole["components"] = document["components"].clone();
            jsonschema::options()
                .with_draft(jsonschema::Draft::Draft202012)
                .should_validate_formats(true)
                .build(&whole)
                .expect("a schema")
        });
        let wrong: Vec<String> = validator
            .iter_errors(&answer.body)
            .take(3)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        (!wrong.is_empty()).then(|| format!("{} in {:#}", wrong.join("; "), answer.body))
    }
}

/// Every operation of a document, in the order in which they can be called.
pub fn operations(document: &Value) -> Vec<Operation> {
    let mut operations: Vec<Operation> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(template, methods)| {
            methods
                .as_object()
                .into_iter()
                .flatten()
                .map(|(method, spec)| Operation {
                    method: method.to_uppercase().parse().expect("a method"),
                    template: template.clone(),
                    id: spec["operationId"].as_str().expect("an operation id").to_owned(),
                    spec: spec.clone(),
                })
        })
        .collect();
    operations.sort_by_key(Operation::rank);
    assert!(
        operations.len() > 100,
        "the document has {} operations",
        operations.len()
    );
    operations
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_declared_operation_answers_as_declared() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::with(|settings| settings.rate_limit_agent = 0).await;
    let document = mc.nobody().get("/openapi.json").await.expect(200);
    let (mut seeds, callers) = seed(&mc, &fake).await;
    let operations = operations(&document);
    let mut judge = Judge {
        document: document.clone(),
        validators: HashMap::new(),
    };
    let mut wrong = Vec::new();
    for operation in &operations {
        let said = match drive(&document, operation, &mut seeds, &callers).await {
            Ok(answer) => {
                seeds.keep(operation, &answer);
                judge.check(operation, &answer)
            }
            Err(why) => Some(why),
        };
        if let Some(said) = said {
            let said: String = said.chars().take(1200).collect();
            wrong.push(format!(
                "{} {} ({}): {said}",
                operation.method, operation.template, operation.id
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} operations are not as declared:\n{}",
        wrong.len(),
        operations.len(),
        wrong.join("\n")
    );
    mc.stop().await;
}

/// Calls an operation with valid input. An error says why it cannot be called: its path names something the test has not.
pub async fn drive(
    document: &Value,
    operation: &Operation,
    seeds: &mut Seeds,
    callers: &Callers,
) -> Result<Answer, String> {
    let mut path = operation.template.clone();
    let mut query = Vec::new();
    for parameter in operation.spec["parameters"].as_array().into_iter().flatten() {
        // The idempotency key of everything that changes something is no part of valid input.
        if parameter.get("$ref").is_some() {
            continue;
        }
        let name = parameter["name"].as_str().expect("a name");
        match parameter["in"].as_str() {
            Some("path") => {
                let take = operation.method == Method::DELETE && operation.template.ends_with(&format!("{{{name}}}"));
                let seed = seeds
                    .in_path(&operation.template, name, take)
                    .or_else(|| seeds.named(name))
                    .ok_or_else(|| format!("nothing to put for {{{name}}}: seed one in `seed`"))?;
                path = path.replace(&format!("{{{name}}}"), &seed);
            }
            // Some operations need one of several: the board and the gateway are always good.
            Some("query") if parameter["required"] == true || matches!(name, "board_id" | "gateway_id") => {
                let made = value(document, &parameter["schema"], name, operation, seeds);
                let text = made.as_str().map_or_else(|| made.to_string(), str::to_owned);
                query.push(format!("{name}={text}"));
            }
            _ => {}
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&").replace(' ', "%20"));
    }
    let caller = callers.of(operation);
    let mut request = caller.request(operation.method.clone(), &path);
    if let Some(content) = operation.spec["requestBody"]["content"].as_object() {
        let (kind, media) = content.iter().next().expect("a content type");
        let body = if kind.contains("json") {
            let mut body = value(document, &media["schema"], "", operation, seeds);
            if let (Some(body), Value::Object(more)) = (body.as_object_mut(), besides(operation, seeds)) {
                body.extend(more);
            }
            body
        } else {
            json!({"contract": true})
        };
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    let streams = operation.spec["responses"]["200"]["content"]
        .as_object()
        .is_some_and(|content| content.contains_key("text/event-stream"));
    if streams {
        let response = request.send().await.map_err(|error| error.to_string())?;
        return Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: Value::Null,
        });
    }
    Ok(Rest::answer(request).await)
}

/// Who calls what.
pub struct Callers {
    person: Rest,
    worker: Rest,
    lead: Rest,
    main: Rest,
}

impl Callers {
    fn of(&self, operation: &Operation) -> &Rest {
        if !operation.template.starts_with("/api/v1/agent/") {
            return &self.person;
        }
        let tags: Vec<&str> = operation.spec["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        // A lead may what a worker may; what only main agents may is theirs.
        match () {
            () if tags.contains(&"agent-lead") => &self.lead,
            () if tags.contains(&"agent-worker") => &self.worker,
            () => &self.main,
        }
    }
}

/// One of everything, and two of what is deleted.
pub async fn seed(mc: &Harness, fake: &FakeGateway) -> (Seeds, Callers) {
    let person = mc.person();
    let team = team(&person, fake, "Contract").await;
    let (board_id, gateway_id) = (id(&team.board), id(&team.gateway));
    let post = async |path: String, body: Value| person.post(&path, body).await.expect(200);
    let mut ids: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();

    {
        use proto::agent::v1::{EnsureBoardLeadRequest, agent_directory_service_client::AgentDirectoryServiceClient};
        let peer = mc.constellation.context.peers.as_service("agent", None, None);
        let request = EnsureBoardLeadRequest {
            board_id: board_id.clone(),
            name: "Contract lead".into(),
            ..EnsureBoardLeadRequest::default()
        };
        AgentDirectoryServiceClient::new(peer)
            .ensure_board_lead(request)
            .await
            .expect("a lead");
    }
    let lead_token = token_at(fake, &format!("lead-{board_id}")).await;
    let main_token = token_at(fake, &format!("mc-gateway-{gateway_id}")).await;
    let spare = async |name: &str| {
        let body = json!({"name": name, "board_id": board_id});
        id(&post("/api/v1/agents".into(), body).await)
    };
    ids.insert(
        "agents",
        vec![id(&team.agent), spare("Spare one").await, spare("Spare two").await],
    );
    ids.insert("gateways", vec![gateway_id.clone()]);
    let mut boards = vec![board_id.clone()];
    boards.push(id(
        &post("/api/v1/boards".into(), board("Contract two", &gateway_id)).await
    ));
    ids.insert("boards", boards);
    let mut tasks = Vec::new();
    for title in ["One", "Two", "Three", "Four"] {
        tasks.push(id(&post(
            format!("/api/v1/boards/{board_id}/tasks"),
            json!({"title": title}),
        )
        .await));
    }
    ids.insert("tasks", tasks);
    let two = async |path: String, bodies: [Value; 2]| {
        let [one, two] = bodies;
        vec![id(&post(path.clone(), one).await), id(&post(path, two).await)]
    };
    ids.insert(
        "tags",
        two("/api/v1/tags".into(), [json!({"name": "Red"}), json!({"name": "Blue"})]).await,
    );
    let hook = |name: &str| json!({"url": format!("https://{name}.example.org/")});
    ids.insert(
        "webhooks",
        two("/api/v1/organizations/me/webhooks".into(), [hook("one"), hook("two")]).await,
    );
    let inbound = two(
        format!("/api/v1/boards/{board_id}/webhooks"),
        [json!({"description": "One"}), json!({"description": "Two"})],
    )
    .await;
    person
        .post(
            &format!("/api/v1/boards/{board_id}/webhooks/{}", inbound[0]),
            json!({"hello": "world"}),
        )
        .await
        .expect(202);
    let payloads = format!("/api/v1/boards/{board_id}/webhooks/{}/payloads", inbound[0]);
    let payload = eventually("keeping a payload", || async {
        let kept = person.get(&payloads).await.expect(200);
        kept["items"].get(0).map(id)
    })
    .await;
    ids.insert("payloads", vec![payload]);
    ids.insert("board-webhooks", inbound);
    let group = |name: &str| json!({"name": name, "slug": name.to_lowercase(), "description": name});
    let groups = two("/api/v1/board-groups".into(), [group("G1"), group("G2")]).await;
    person
        .patch(
            &format!("/api/v1/boards/{board_id}"),
            json!({"board_group_id": groups[0]}),
        )
        .await
        .expect(200);
    ids.insert("board-groups", groups);
    let approval = json!({"action_type": "deploy", "confidence": 50, "lead_reasoning": "It is ready."});
    let approvals = {
        use crate::harness::Rest;
        let agent: Rest = mc.agent(&team.token);
        let mut made = Vec::new();
        for _ in 0..2 {
            let path = format!("/api/v1/agent/boards/{board_id}/approvals");
            made.push(id(&agent.post(&path, approval.clone()).await.expect(200)));
        }
        made
    };
    ids.insert("approvals", approvals);
    ids.insert(
        "invites",
        two(
            "/api/v1/organizations/me/invites".into(),
            [
                json!({"invited_email": "one@example.org"}),
                json!({"invited_email": "two@example.org"}),
            ],
        )
        .await,
    );
    let (ann, bob) = (join(mc, "ann", json!({})).await, join(mc, "bob", json!({})).await);
    ids.insert("members", vec![member_id(&ann).to_owned(), member_id(&bob).to_owned()]);
    let me = person.get("/api/v1/organizations/me").await.expect(200);
    ids.insert("organizations", vec![id(&me)]);
    let deliveries = format!("/api/v1/organizations/me/webhooks/{}/deliveries", ids["webhooks"][0]);
    let delivery = eventually("making a delivery", || async {
        let log = person.get(&deliveries).await.expect(200);
        log["items"].get(0).map(id)
    })
    .await;
    ids.insert("deliveries", vec![delivery]);
    let keys = two(
        "/api/v1/users/me/api-keys".into(),
        [json!({"name": "One"}), json!({"name": "Two"})],
    )
    .await;
    ids.insert("api-keys", keys);
    let field = |key: &str| json!({"field_key": key, "label": key, "field_type": "text", "ui_visibility": "always", "board_ids": [board_id]});
    ids.insert(
        "custom-fields",
        two(
            "/api/v1/organizations/me/custom-fields".into(),
            [field("one"), field("two")],
        )
        .await,
    );
    let synced = post(format!("/api/v1/gateways/{gateway_id}/templates/sync"), json!({})).await;
    assert_eq!(synced["gateway_id"], gateway_id.as_str());
    let operations = person.get("/api/v1/operations").await.expect(200);
    ids.insert(
        "operations",
        operations["items"].as_array().expect("a list").iter().map(id).collect(),
    );
    let source = |name: &str| json!({"name": name, "source_url": format!("https://github.com/contract/{name}")});
    ids.insert(
        "marketplace",
        two("/api/v1/skills/marketplace".into(), [source("one"), source("two")]).await,
    );
    let packs = eventually("the packs of a new organization", || async {
        let packs = person.get("/api/v1/skills/packs").await.expect(200);
        let ids: Vec<String> = packs.as_array()?.iter().map(id).collect();
        (!ids.is_empty()).then_some(ids)
    })
    .await;
    ids.insert("packs", packs);
    let callers = Callers {
        worker: mc.agent(&team.token),
        lead: mc.agent(&lead_token),
        main: mc.agent(&main_token),
        person,
    };
    let seeds = Seeds {
        ids,
        gateway_url: fake.url(),
        gateway_token: fake.token(),
        counter: 0,
    };
    (seeds, callers)
}
