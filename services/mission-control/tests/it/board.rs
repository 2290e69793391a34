//! Boards and tags: what people may do with them, and what happens to them when something else is gone.

use std::sync::Arc;

use chassis::{Caller, Change, channel::Peer, timestamp};
use proto::{
    agent::v1::{EnsureBoardLeadRequest, agent_directory_service_client::AgentDirectoryServiceClient},
    board::v1::{
        DeleteBoardRequest, GetBoardRequest, ListBoardTagsRequest, ListBoardsRequest, ListGatewayBoardsRequest,
        LookupBoardRequest, board_directory_service_client::BoardDirectoryServiceClient,
        board_service_client::BoardServiceClient, tag_service_client::TagServiceClient,
        task_service_client::TaskServiceClient,
    },
    event::v1::Event,
    identity::v1::{BoardGrant, Membership, Principal, PrincipalKind},
};
use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Options, Release};
use tonic::Code;
use uuid::Uuid;

use crate::harness::{Harness, Rest, eventually, id};

/// A constellation with a gateway, and callers of all kinds.
pub struct Office {
    pub mc: Harness,
    pub person: Rest,
    pub organization: String,
    pub gateway: String,
    _fake: FakeGateway,
}

/// An agent that exists, as itself.
pub struct Agent {
    pub id: String,
    pub caller: Caller,
}

impl Office {
    pub async fn open() -> Self {
        let fake = FakeGateway::start(Options::release(Release::Latest)).await;
        let mc = Harness::start().await;
        let person = mc.person();
        let gateway = person
            .post(
                "/api/v1/gateways",
                json!({"name": "Gateway", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"}),
            )
            .await
            .expect(200);
        let organization = gateway["organization_id"].as_str().expect("an organization").to_owned();
        Self {
            mc,
            person,
            organization,
            gateway: id(&gateway),
            _fake: fake,
        }
    }

    /// A board with these fields beside the required ones, and without the approval gate unless they say so.
    pub async fn board(&self, name: &str, fields: Value) -> String {
        let mut body = json!({"name": name, "slug": "s", "description": "d", "gateway_id": self.gateway, "require_approval_for_done": false, "max_agents": 9});
        for (key, value) in fields.as_object().expect("fields") {
            body[key] = value.clone();
        }
        id(&self.person.post("/api/v1/boards", body).await.expect(200))
    }

    /// A worker of a board.
    pub async fn worker(&self, board: &str, name: &str) -> Agent {
        let agent = self
            .person
            .post("/api/v1/agents", json!({"name": name, "board_id": board}))
            .await
            .expect(200);
        self.agent(&id(&agent), name, board, false)
    }

    /// The lead of a board.
    pub async fn lead(&self, board: &str) -> Agent {
        let request = EnsureBoardLeadRequest {
            board_id: board.to_owned(),
            name: "Grace Lead".into(),
            ..Default::default()
        };
        let made = AgentDirectoryServiceClient::new(self.service("agent"))
            .ensure_board_lead(request)
            .await
            .expect("a lead")
            .into_inner();
        self.agent(&made.agent.expect("an agent").id, "Grace Lead", board, true)
    }

    fn agent(&self, id: &str, name: &str, board: &str, is_lead: bool) -> Agent {
        let principal = Principal {
            kind: PrincipalKind::Agent.into(),
            id: id.to_owned(),
            name: name.to_owned(),
            organization_id: self.organization.clone(),
            board_id: board.to_owned(),
            gateway_id: self.gateway.clone(),
            is_lead,
            ..Principal::default()
        };
        Agent {
            id: id.to_owned(),
            caller: self.caller(principal),
        }
    }

    /// A member of an organization with rights on single boards.
    pub fn member(&self, organization: &str, role: &str, grants: &[(&str, bool)]) -> Caller {
        let grants = grants.iter().map(|(board, write)| BoardGrant {
            board_id: (*board).to_owned(),
            can_read: true,
            can_write: *write,
        });
        self.caller(Principal {
            kind: PrincipalKind::User.into(),
            id: Uuid::now_v7().to_string(),
            name: "A member".into(),
            organization_id: organization.to_owned(),
            memberships: vec![Membership {
                organization_id: organization.to_owned(),
                role: role.to_owned(),
                grants: grants.collect(),
                ..Membership::default()
            }],
            ..Principal::default()
        })
    }

    /// Anybody.
    pub fn principal(&self, principal: Principal) -> Caller {
        self.caller(principal)
    }

    fn caller(&self, principal: Principal) -> Caller {
        let signed = self
            .mc
            .constellation
            .context
            .signer
            .sign(principal, std::time::Duration::from_mins(10));
        Caller {
            signed: Some(signed),
            request_id: Arc::from("test"),
            traceparent: Arc::from(""),
        }
    }

    /// The board role, called as somebody.
    pub fn door(&self, caller: &Caller) -> Peer {
        self.mc.constellation.context.peers.on_behalf("board", caller)
    }

    /// Tasks, as somebody.
    pub fn tasks(&self, caller: &Caller) -> TaskServiceClient<Peer> {
        TaskServiceClient::new(self.door(caller))
    }

    /// A role, called as a service.
    pub fn service(&self, role: &str) -> Peer {
        self.mc.constellation.context.peers.as_service(role, None, None)
    }

    /// An event of another service, as the bus brings it.
    pub async fn happened(&self, change: Change) {
        let caller = Caller::service(&self.mc.constellation.context.signer, "test", None);
        let event = Event {
            position: 1,
            source: "test".into(),
            time: Some(timestamp(time::OffsetDateTime::now_utc())),
            ..change.into_event(&caller)
        };
        self.mc
            .constellation
            .context
            .bus
            .publish(&[event])
            .await
            .expect("it is published");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boards_are_created_listed_changed_and_deleted() {
    let office = Office::open().await;
    let person = &office.person;
    let minimal =
        json!({"name": "beta", "slug": "any thing", "description": "  What for  ", "gateway_id": office.gateway});
    let created = person.post("/api/v1/boards", minimal.clone()).await.expect(200);
    for (key, expected) in [
        ("name", json!("beta")),
        ("slug", json!("any thing")),
        ("description", json!("What for")),
        ("board_type", json!("goal")),
        ("objective", Value::Null),
        ("success_metrics", Value::Null),
        ("goal_confirmed", json!(false)),
        ("require_approval_for_done", json!(true)),
        ("require_review_before_done", json!(false)),
        ("comment_required_for_review", json!(false)),
        ("block_status_changes_with_pending_approval", json!(false)),
        ("only_lead_can_change_status", json!(false)),
        ("max_agents", json!(1)),
        ("organization_id", json!(office.organization)),
        ("board_group_id", Value::Null),
    ] {
        assert_eq!(created[key], expected, "{key}");
    }
    let beta = id(&created);
    assert_eq!(person.get(&format!("/api/v1/boards/{beta}")).await.expect(200), created);
    let alpha = office.board("Alpha", json!({})).await;

    let listed = person.get("/api/v1/boards").await.expect(200);
    let names: Vec<&Value> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|board| &board["name"])
        .collect();
    assert_eq!(
        (names, &listed["total"]),
        (vec![&json!("Alpha"), &json!("beta")], &json!(2))
    );
    let page = person.get("/api/v1/boards?limit=1&offset=1").await.expect(200);
    assert_eq!(
        (id(&page["items"][0]), &page["total"], &page["limit"], &page["offset"]),
        (beta.clone(), &json!(2), &json!(1), &json!(1))
    );
    assert_eq!(person.get("/api/v1/boards?offset=7").await.expect(200)["total"], 2);
    let elsewhere = person
        .get(&format!("/api/v1/boards?gateway_id={}", Uuid::now_v7()))
        .await
        .expect(200);
    assert_eq!((&elsewhere["items"], &elsewhere["total"]), (&json!([]), &json!(0)));

    let url = format!("/api/v1/boards/{beta}");
    let patched = person
        .patch(
            &url,
            json!({"objective": "Ship", "target_date": "2031-01-01T10:00:00+02:00", "max_agents": 4}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&patched["objective"], &patched["max_agents"], &patched["name"]),
        (&json!("Ship"), &json!(4), &json!("beta"))
    );
    assert!(
        patched["target_date"]
            .as_str()
            .unwrap()
            .starts_with("2031-01-01T08:00:00"),
        "{}",
        patched["target_date"]
    );
    let cleared = person
        .patch(&url, json!({"objective": null, "target_date": null}))
        .await
        .expect(200);
    assert_eq!(
        (&cleared["objective"], &cleared["target_date"]),
        (&Value::Null, &Value::Null)
    );
    for wrong in [
        json!({"name": null}),
        json!({"description": " "}),
        json!({"require_approval_for_done": null}),
        json!({"max_agents": -1}),
        json!({"gateway_id": null}),
    ] {
        person.patch(&url, wrong.clone()).await.expect(422);
    }

    assert_eq!(person.delete(&url).await.expect(200), json!({"ok": true}));
    person.get(&url).await.expect(404);
    person.delete(&url).await.expect(404);
    assert_eq!(person.get("/api/v1/boards").await.expect(200)["total"], 1);
    person.get(&format!("/api/v1/boards/{alpha}")).await.expect(200);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_needs_a_gateway_of_its_organization_and_a_whole_goal() {
    let office = Office::open().await;
    let person = &office.person;
    let with = |fields: Value| {
        let mut body = json!({"name": "b", "slug": "b", "description": "d", "gateway_id": office.gateway});
        for (key, value) in fields.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    person
        .post("/api/v1/boards", json!({"name": "b", "slug": "b", "description": "d"}))
        .await
        .expect(422);
    let unknown = person
        .post("/api/v1/boards", with(json!({"gateway_id": Uuid::now_v7()})))
        .await
        .detail(422);
    assert_eq!(unknown, json!("gateway_id is invalid"));
    let group = person
        .post("/api/v1/boards", with(json!({"board_group_id": Uuid::now_v7()})))
        .await
        .detail(422);
    assert_eq!(group, json!("board_group_id is invalid"));

    let text = "Confirmed goal boards require objective and success_metrics";
    for part in [
        json!({"objective": "o"}),
        json!({"success_metrics": {"a": 1}}),
        json!({"objective": "o", "success_metrics": {}}),
    ] {
        let mut fields = part.clone();
        fields["goal_confirmed"] = json!(true);
        let refused = person.post("/api/v1/boards", with(fields)).await.expect(422);
        assert!(refused.to_string().contains(text), "{refused:#}");
    }
    // Free-form JSON keeps its form.
    let metrics: Value = serde_json::from_str(r#"{"z": 1.50, "a": [1, {"b": null}]}"#).unwrap();
    let whole = person
        .post(
            "/api/v1/boards",
            with(json!({"objective": "o", "success_metrics": metrics, "goal_confirmed": true})),
        )
        .await
        .expect(200);
    assert_eq!(whole["success_metrics"].to_string(), metrics.to_string());
    let url = format!("/api/v1/boards/{}", id(&whole));
    person.patch(&url, json!({"objective": null})).await.expect(422);
    assert_eq!(
        person
            .patch(&url, json!({"gateway_id": Uuid::now_v7()}))
            .await
            .detail(422),
        json!("gateway_id is invalid")
    );

    let other = person
        .post("/api/v1/boards", with(json!({"board_type": "general"})))
        .await
        .expect(200);
    let refused = person
        .patch(&format!("/api/v1/boards/{}", id(&other)), json!({"board_type": "goal"}))
        .await
        .detail(422);
    assert_eq!(refused, json!("Goal boards require objective and success_metrics"));
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_on_boards_come_from_the_boards_organization() {
    let office = Office::open().await;
    let (red, blue) = (
        office.board("Red", json!({})).await,
        office.board("Blue", json!({})).await,
    );
    let reader = office.member(&office.organization, "member", &[(&red, false)]);
    let writer = office.member(&office.organization, "member", &[(&red, true)]);
    let admin = office.member(&office.organization, "admin", &[]);
    let stranger = office.member(&Uuid::now_v7().to_string(), "owner", &[(&red, true)]);

    for (who, caller, read, delete) in [
        ("reader", &reader, None, Some("Board access denied")),
        (
            "admin without rights on boards",
            &admin,
            Some("Board access denied"),
            Some("Board access denied"),
        ),
        ("stranger", &stranger, Some("No org access"), Some("No org access")),
        ("writer", &writer, None, None),
    ] {
        let mut boards = BoardServiceClient::new(office.door(caller));
        let got = boards.get_board(GetBoardRequest { board_id: red.clone() }).await;
        assert_eq!(
            got.err().map(|status| (status.code(), status.message().to_owned())),
            read.map(|text| (Code::PermissionDenied, text.to_owned())),
            "{who} reads"
        );
        let refused = boards
            .get_board(GetBoardRequest { board_id: blue.clone() })
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{who} reads another");
        let gone = boards
            .delete_board(DeleteBoardRequest {
                board_id: red.clone(),
                ..DeleteBoardRequest::default()
            })
            .await;
        assert_eq!(
            gone.err().map(|status| status.message().to_owned()),
            delete.map(str::to_owned),
            "{who} deletes"
        );
    }
    let green = office.board("Green", json!({})).await;
    let seen = |caller: &Caller| {
        let mut boards = BoardServiceClient::new(office.door(caller));
        async move {
            boards.list_boards(ListBoardsRequest::default()).await.map(|list| {
                list.into_inner()
                    .items
                    .into_iter()
                    .map(|board| board.name)
                    .collect::<Vec<_>>()
            })
        }
    };
    let one = office.member(&office.organization, "member", &[(&green, false)]);
    assert_eq!(seen(&one).await.unwrap(), ["Green"]);
    assert_eq!(seen(&admin).await.unwrap(), [""; 0]);
    assert_eq!(seen(&stranger).await.unwrap(), [""; 0]);
    let worker = office.worker(&green, "Ann").await;
    assert_eq!(
        seen(&worker.caller).await.unwrap(),
        ["Green"],
        "an agent sees its own board"
    );
    let mut boards = BoardServiceClient::new(office.door(&worker.caller));
    assert_eq!(
        boards
            .get_board(GetBoardRequest { board_id: blue })
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_labels_of_the_organization() {
    let office = Office::open().await;
    let person = &office.person;
    let bug = person
        .post("/api/v1/tags", json!({"name": "  Bug Report ", "color": "#FF0000"}))
        .await
        .expect(200);
    assert_eq!(
        (&bug["name"], &bug["slug"], &bug["color"], &bug["task_count"]),
        (&json!("Bug Report"), &json!("bug-report"), &json!("ff0000"), &json!(0))
    );
    let plain = person
        .post("/api/v1/tags", json!({"name": "area: UI", "slug": "Front End"}))
        .await
        .expect(200);
    assert_eq!(
        (&plain["slug"], &plain["color"]),
        (&json!("front-end"), &json!("9e9e9e"))
    );
    let taken = person
        .post("/api/v1/tags", json!({"name": "other", "slug": "BUG report"}))
        .await
        .detail(409);
    assert_eq!(taken, json!("Tag slug already exists in this organization."));
    for wrong in [
        json!({"name": " "}),
        json!({"name": "x", "color": "red"}),
        json!({"name": "x", "color": ""}),
    ] {
        person.post("/api/v1/tags", wrong).await.expect(422);
    }

    let board = office.board("Board", json!({})).await;
    let task = person
        .post(
            &format!("/api/v1/boards/{board}/tasks"),
            json!({"title": "t", "tag_ids": [bug["id"], plain["id"], bug["id"]]}),
        )
        .await
        .expect(200);
    assert_eq!(
        task["tag_ids"],
        json!([bug["id"], plain["id"]]),
        "each once, in their order"
    );
    assert_eq!(
        task["tags"][0],
        json!({"id": bug["id"], "name": "Bug Report", "slug": "bug-report", "color": "ff0000"})
    );
    let missing = Uuid::now_v7().to_string();
    let refused = person
        .post(
            &format!("/api/v1/boards/{board}/tasks"),
            json!({"title": "t", "tag_ids": [missing]}),
        )
        .await
        .detail(404);
    assert_eq!(
        (&refused["message"], &refused["missing_tag_ids"]),
        (
            &json!("One or more tags do not exist in this organization."),
            &json!([missing])
        )
    );

    let listed = person.get("/api/v1/tags").await.expect(200);
    let counted: Vec<(&Value, &Value)> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| (&tag["name"], &tag["task_count"]))
        .collect();
    assert_eq!(
        counted,
        [(&json!("area: UI"), &json!(1)), (&json!("Bug Report"), &json!(1))]
    );

    let url = format!("/api/v1/tags/{}", id(&bug));
    person.patch(&url, json!({})).await.expect(422);
    let renamed = person.patch(&url, json!({"name": "Defect"})).await.expect(200);
    assert_eq!(
        (&renamed["slug"], &renamed["task_count"]),
        (&json!("bug-report"), &json!(1)),
        "the slug stays, the count is true"
    );
    assert_eq!(
        person.patch(&url, json!({"slug": null})).await.expect(200)["slug"],
        "defect"
    );
    assert_eq!(
        person.patch(&url, json!({"slug": "front end"})).await.detail(409),
        json!("Tag slug already exists in this organization.")
    );
    assert_eq!(person.get(&url).await.expect(200)["name"], "Defect");
    assert_eq!(
        person.get(&format!("/api/v1/boards/{board}/tasks")).await.expect(200)["items"][0]["tags"][0]["name"],
        "Defect"
    );

    let worker = office.worker(&board, "Ann").await;
    let refs = TagServiceClient::new(office.door(&worker.caller))
        .list_board_tags(ListBoardTagsRequest {
            board_id: board.clone(),
        })
        .await
        .unwrap();
    assert_eq!(
        refs.into_inner()
            .tags
            .into_iter()
            .map(|tag| tag.name)
            .collect::<Vec<_>>(),
        ["area: UI", "Defect"]
    );

    person.delete(&url).await.expect(200);
    person.get(&url).await.expect(404);
    assert_eq!(
        person.get(&format!("/api/v1/boards/{board}/tasks")).await.expect(200)["items"][0]["tag_ids"],
        json!([plain["id"]])
    );
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_elsewhere_leaves_nothing_dangling() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let organization: Uuid = office.organization.parse().unwrap();
    let mut tasks = std::collections::BTreeMap::new();
    let gone = Uuid::now_v7();
    let ann = office.worker(&board, "Ann").await;
    for status in ["inbox", "in_progress", "done"] {
        let url = format!("/api/v1/boards/{board}/tasks");
        let task = person
            .post(
                &url,
                json!({"title": status, "status": status, "assigned_agent_id": ann.id}),
            )
            .await
            .expect(200);
        tasks.insert(status, format!("/api/v1/tasks/{}", id(&task)));
    }

    office
        .happened(Change::new("agent.deleted", organization).agent(Some(ann.id.parse().unwrap())))
        .await;
    for (before, after) in [("inbox", "inbox"), ("in_progress", "inbox"), ("done", "done")] {
        let task = eventually("taking the task back", || async {
            let task = person.get(&tasks[before]).await.expect(200);
            task["assigned_agent_id"].is_null().then_some(task)
        })
        .await;
        assert_eq!(
            (&task["status"], &task["in_progress_at"]),
            (&json!(after), &Value::Null),
            "{before}"
        );
    }

    // A gateway that is gone leaves its boards; another's event changes nothing.
    office
        .happened(Change::new("gateway.deleted", organization).gateway(gone))
        .await;
    office
        .happened(Change::new("gateway.deleted", organization).gateway(office.gateway.parse().unwrap()))
        .await;
    let url = format!("/api/v1/boards/{board}");
    eventually("leaving the gateway", || async {
        person.get(&url).await.expect(200)["gateway_id"].is_null().then_some(())
    })
    .await;

    let mut directory =
        BoardDirectoryServiceClient::new(office.service("agent").within(std::time::Duration::from_secs(1)));
    directory
        .lookup_board(LookupBoardRequest {
            board_id: board.clone(),
        })
        .await
        .expect_err("the agent role has no boards");
    let mut directory = BoardDirectoryServiceClient::new(office.service("board"));
    assert_eq!(
        directory
            .lookup_board(LookupBoardRequest {
                board_id: board.clone()
            })
            .await
            .unwrap()
            .into_inner()
            .id,
        board
    );
    let of_gateway = ListGatewayBoardsRequest {
        gateway_id: office.gateway.clone(),
    };
    assert!(
        directory
            .list_gateway_boards(of_gateway)
            .await
            .unwrap()
            .into_inner()
            .boards
            .is_empty()
    );

    person.post("/api/v1/tags", json!({"name": "t"})).await.expect(200);
    office.happened(Change::new("organization.deleted", organization)).await;
    eventually("deleting the board", || async {
        (person.get(&url).await.status == 404).then_some(())
    })
    .await;
    person.get(&tasks["done"]).await.expect(404);
    assert_eq!(person.get("/api/v1/tags").await.expect(200)["total"], 0);
    office.mc.stop().await;
}
