//! Groups of boards, memory, chat and snapshots, as people and agents use them.

use proto::board::v1::{
    GetBoardGroupRequest, ListBoardGroupsRequest, board_group_service_client::BoardGroupServiceClient,
};
use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Options, Release};

use crate::{
    board::Office,
    harness::{Harness, eventually, id},
    path::{self, team},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_shows_its_boards_and_lets_them_go() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let (alpha, agent) = (id(&team.board), id(&team.agent));

    let group = person
        .post(
            "/api/v1/board-groups",
            json!({"name": "Platform Teams", "slug": " ", "description": "All of it"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&group["slug"], &group["description"]),
        (&json!("platform-teams"), &json!("All of it"))
    );
    let group_url = format!("/api/v1/board-groups/{}", id(&group));
    let kept = person
        .patch(&group_url, json!({"slug": "Custom Slug", "name": "Teams"}))
        .await
        .expect(200);
    assert_eq!((&kept["slug"], &kept["name"]), (&json!("Custom Slug"), &json!("Teams")));
    let made_again = person
        .patch(&group_url, json!({"slug": "", "description": null}))
        .await
        .expect(200);
    assert_eq!(
        (&made_again["slug"], &made_again["description"]),
        (&json!("teams"), &Value::Null)
    );
    let listed = person.get("/api/v1/board-groups?limit=1").await.expect(200);
    assert_eq!((&listed["total"], &listed["items"][0]["id"]), (&json!(1), &group["id"]));
    person
        .post("/api/v1/board-groups", json!({"name": "No slug"}))
        .await
        .expect(422);

    // Without boards it is empty; a board in no group has no overview.
    let empty = person.get(&format!("{group_url}/snapshot")).await.expect(200);
    assert_eq!(
        (&empty["group"]["name"], &empty["boards"]),
        (&json!("Teams"), &json!([]))
    );
    let alone = person
        .get(&format!("/api/v1/boards/{alpha}/group-snapshot"))
        .await
        .expect(200);
    assert_eq!(alone, json!({"group": null, "boards": []}));

    let unknown = person
        .patch(
            &format!("/api/v1/boards/{alpha}"),
            json!({"board_group_id": "0199aaaa-0000-7000-8000-000000000000"}),
        )
        .await
        .detail(422);
    assert_eq!(unknown, "board_group_id is invalid");
    let joined = person
        .patch(
            &format!("/api/v1/boards/{alpha}"),
            json!({"board_group_id": group["id"]}),
        )
        .await
        .expect(200);
    assert_eq!(joined["board_group_id"], group["id"]);
    let mut beta = path::board("Beta", &id(&team.gateway));
    beta["board_group_id"] = group["id"].clone();
    let beta = id(&person.post("/api/v1/boards", beta).await.expect(200));

    for (title, status, priority) in [
        ("waits", "inbox", "low"),
        ("urgent", "inbox", "high"),
        ("runs", "in_progress", "low"),
        ("over", "done", "high"),
    ] {
        let task = json!({"title": title, "priority": priority});
        let task = person
            .post(&format!("/api/v1/boards/{alpha}/tasks"), task)
            .await
            .expect(200);
        if status != "inbox" {
            let moved = json!({"status": status, "assigned_agent_id": agent});
            person
                .patch(&format!("/api/v1/boards/{alpha}/tasks/{}", id(&task)), moved)
                .await
                .expect(200);
        }
    }
    let seen = person
        .get(&format!("{group_url}/snapshot?per_board_task_limit=2"))
        .await
        .expect(200);
    let [first, second] = seen["boards"].as_array().expect("boards").as_slice() else {
        panic!("two boards: {seen:#}")
    };
    assert_eq!(
        (&first["board"]["name"], &second["board"]["name"]),
        (&json!("Alpha"), &json!("Beta"))
    );
    assert_eq!(first["task_counts"], json!({"done": 1, "inbox": 2, "in_progress": 1}));
    let titles = |board: &Value| {
        board["tasks"]
            .as_array()
            .expect("tasks")
            .iter()
            .map(|task| task["title"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(titles(first), [json!("runs"), json!("urgent")]);
    assert_eq!(
        (&first["tasks"][0]["assignee"], &first["tasks"][0]["board_name"]),
        (&json!("Alpha worker"), &json!("Alpha"))
    );
    assert_eq!((&second["task_counts"], &second["tasks"]), (&json!({}), &json!([])));
    let all = person
        .get(&format!("{group_url}/snapshot?include_done=true"))
        .await
        .expect(200);
    assert_eq!(
        titles(&all["boards"][0]),
        [json!("runs"), json!("urgent"), json!("waits"), json!("over")]
    );
    person
        .get(&format!("{group_url}/snapshot?per_board_task_limit=-1"))
        .await
        .expect(422);

    // An agent looks from its own board at the others, and at itself when it asks for it.
    let worker = mc.agent(&team.token);
    let around = worker
        .get(&format!("/api/v1/boards/{alpha}/group-snapshot"))
        .await
        .expect(200);
    assert_eq!(
        around["boards"].as_array().map(|boards| boards
            .iter()
            .map(|board| board["board"]["name"].clone())
            .collect::<Vec<_>>()),
        Some(vec![json!("Beta")])
    );
    let with_self = worker
        .get(&format!(
            "/api/v1/boards/{alpha}/group-snapshot?include_self=true&per_board_task_limit=0"
        ))
        .await
        .expect(200);
    assert_eq!(
        (
            with_self["boards"].as_array().map(Vec::len),
            &with_self["boards"][0]["tasks"]
        ),
        (Some(2), &json!([]))
    );
    worker
        .get(&format!("/api/v1/boards/{beta}/group-snapshot"))
        .await
        .expect(403);
    worker.get(&group_url).await.expect(401);

    // Deleting it leaves the boards.
    assert_eq!(person.delete(&group_url).await.expect(200), json!({"ok": true}));
    person.get(&group_url).await.expect(404);
    assert_eq!(
        person.get(&format!("/api/v1/boards/{beta}")).await.expect(200)["board_group_id"],
        Value::Null
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_kept_streamed_and_told() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let (board, agent) = (id(&team.board), id(&team.agent));
    let worker = mc.agent(&team.token);
    let (memory, agents_memory) = (
        format!("/api/v1/boards/{board}/memory"),
        format!("/api/v1/agent/boards/{board}/memory"),
    );
    let session = format!("agent:mc-{agent}:main");
    let told = async |what: &str| {
        eventually(what, || async {
            fake.messages(&session).into_iter().find(|text| text.contains(what))
        })
        .await
    };

    let mut chat = person.stream(&format!("{memory}/stream?is_chat=true")).await;
    let plan = person
        .post(&memory, json!({"content": " The plan ", "tags": ["plan"]}))
        .await
        .expect(200);
    assert_eq!(
        (&plan["content"], &plan["source"], &plan["is_chat"], &plan["tags"]),
        (&json!("The plan"), &Value::Null, &json!(false), &json!(["plan"]))
    );
    let said = worker
        .post(&agents_memory, json!({"content": "Good morning", "tags": ["chat"]}))
        .await
        .expect(200);
    assert_eq!(
        (&said["source"], &said["is_chat"]),
        (&json!("Alpha worker"), &json!(true))
    );
    person.post(&memory, json!({"content": "  "})).await.expect(422);

    // The stream of the chat has the chat, and can be resumed.
    let event = chat.next().await;
    assert_eq!((event.event.as_str(), &event.data["memory"]), ("memory", &said));
    let mut resumed = person
        .stream(&format!("{memory}/stream?last_event_id={}", event.id.expect("an id")))
        .await;
    let asked = person
        .post(&memory, json!({"content": "What now, @alpha?", "tags": ["chat"]}))
        .await
        .expect(200);
    assert_eq!(
        (&chat.next().await.data["memory"], &resumed.next().await.data["memory"]),
        (&asked, &asked)
    );

    let ids = |page: &Value| {
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(id)
            .collect::<Vec<_>>()
    };
    let all = worker.get(&agents_memory).await.expect(200);
    assert_eq!(
        (ids(&all), &all["total"]),
        (vec![id(&asked), id(&said), id(&plan)], &json!(3))
    );
    let notes = person.get(&format!("{memory}?is_chat=false")).await.expect(200);
    assert_eq!(ids(&notes), [id(&plan)]);

    // Who is named is told; the author of a message is not.
    let text = told("BOARD CHAT MENTION").await;
    assert!(
        text.contains("What now, @alpha?")
            && text.contains(&format!("POST {}/api/v1/agent/boards/{board}/memory", mc.url)),
        "{text}"
    );
    person
        .post(&memory, json!({"content": " /PAUSE", "tags": ["chat"]}))
        .await
        .expect(200);
    assert_eq!(told("/pause").await, "/pause");
    assert!(
        !fake.messages(&session).iter().any(|text| text.contains("Good morning")),
        "an author is not told of its own message"
    );

    // The group's memory, from a board that is in none and then in one.
    let shared = format!("/api/v1/boards/{board}/group-memory");
    assert_eq!(
        worker.get(&shared).await.expect(200),
        json!({"items": [], "total": 0, "limit": 200, "offset": 0})
    );
    assert_eq!(
        worker.post(&shared, json!({"content": "x"})).await.detail(422),
        "Board is not in a board group"
    );
    let group = person
        .post("/api/v1/board-groups", json!({"name": "Teams", "slug": ""}))
        .await
        .expect(200);
    person
        .patch(
            &format!("/api/v1/boards/{board}"),
            json!({"board_group_id": group["id"]}),
        )
        .await
        .expect(200);
    let joined = told("BOARD GROUP UPDATED").await;
    assert!(
        joined.contains("Joined Board: Alpha\n") && joined.contains("Board Group: Teams\n"),
        "{joined}"
    );
    let group_memory = format!("/api/v1/board-groups/{}/memory", id(&group));
    let (mut at_group, mut at_board) = (
        person.stream(&format!("{group_memory}/stream")).await,
        worker.stream(&format!("{shared}/stream")).await,
    );
    let heard = person
        .post(
            &group_memory,
            json!({"content": "Freeze at noon", "tags": ["broadcast"]}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&heard["board_group_id"], &heard["is_chat"], heard["source"].is_string()),
        (&group["id"], &json!(false), true)
    );
    assert_eq!(
        (
            &at_group.next().await.data["memory"],
            &at_board.next().await.data["memory"]
        ),
        (&heard, &heard)
    );
    let text = told("GROUP BROADCAST").await;
    assert!(
        text.contains("Group: Teams") && text.contains(&format!("/api/v1/boards/{board}/group-memory")),
        "{text}"
    );
    let answered = worker
        .post(&shared, json!({"content": "Understood", "tags": ["chat"]}))
        .await
        .expect(200);
    assert_eq!(
        ids(&person.get(&format!("{group_memory}?is_chat=true")).await.expect(200)),
        [id(&answered)]
    );
    worker.get(&group_memory).await.expect(401);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_has_the_whole_board() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let (board, agent) = (id(&team.board), id(&team.agent));
    let worker = mc.agent(&team.token);
    let tasks = format!("/api/v1/boards/{board}/tasks");
    let first = person
        .post(&tasks, json!({"title": "first", "assigned_agent_id": agent}))
        .await
        .expect(200);
    let second = person
        .post(&tasks, json!({"title": "second", "depends_on_task_ids": [first["id"]]}))
        .await
        .expect(200);
    let approval =
        json!({"action_type": "mark_done", "confidence": 80, "task_id": first["id"], "lead_reasoning": "It is done."});
    let approval = worker
        .post(&format!("/api/v1/agent/boards/{board}/approvals"), approval)
        .await
        .expect(200);
    for text in ["one", "two"] {
        person
            .post(
                &format!("/api/v1/boards/{board}/memory"),
                json!({"content": text, "tags": ["chat"]}),
            )
            .await
            .expect(200);
    }
    person
        .post(&format!("/api/v1/boards/{board}/memory"), json!({"content": "no chat"}))
        .await
        .expect(200);

    let seen = person
        .get(&format!("/api/v1/boards/{board}/snapshot"))
        .await
        .expect(200);
    assert_eq!(
        (&seen["board"]["id"], &seen["pending_approvals_count"]),
        (&json!(board), &json!(1))
    );
    let [newest, oldest] = seen["tasks"].as_array().expect("tasks").as_slice() else {
        panic!("two tasks: {seen:#}")
    };
    assert_eq!(
        (
            &newest["id"],
            &newest["blocked_by_task_ids"],
            &newest["approvals_count"]
        ),
        (&second["id"], &json!([first["id"]]), &json!(0))
    );
    assert_eq!(
        (&newest["assignee"], &oldest["assignee"]),
        (&Value::Null, &json!("Alpha worker"))
    );
    assert_eq!(
        (&oldest["approvals_count"], &oldest["approvals_pending_count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (
            &seen["approvals"][0]["id"],
            seen["approvals"][0]["task_titles"][0].as_str()
        ),
        (&approval["id"], Some("first"))
    );
    assert_eq!(
        seen["agents"]
            .as_array()
            .map(|agents| agents.iter().map(id).collect::<Vec<_>>()),
        Some(vec![agent])
    );
    let chat: Vec<&Value> = seen["chat_messages"]
        .as_array()
        .expect("chat")
        .iter()
        .map(|message| &message["content"])
        .collect();
    assert_eq!(chat, [&json!("one"), &json!("two")]);
    let by_agent = worker
        .get(&format!("/api/v1/boards/{board}/snapshot"))
        .await
        .expect(200);
    assert_eq!(by_agent["tasks"], seen["tasks"]);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_groups_has_what_its_reader_may_read() {
    let office = Office::open().await;
    let person = &office.person;
    let mut groups = Vec::new();
    for name in ["Empty", "Full"] {
        let group = person
            .post("/api/v1/board-groups", json!({"name": name, "slug": ""}))
            .await
            .expect(200);
        groups.push((name, id(&group)));
    }
    let board = office.board("Board", json!({"board_group_id": groups[1].1})).await;
    for (role, grants, expected) in [
        ("admin", vec![], vec!["Empty"]),
        ("admin", vec![(board.as_str(), false)], vec!["Empty", "Full"]),
        ("member", vec![], vec![]),
        ("member", vec![(board.as_str(), false)], vec!["Full"]),
    ] {
        let caller = office.member(&office.organization, role, &grants);
        let mut door = BoardGroupServiceClient::new(office.door(&caller));
        let listed = door
            .list_board_groups(ListBoardGroupsRequest::default())
            .await
            .expect("a list")
            .into_inner();
        let names: Vec<&str> = listed.items.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, expected, "{role} {grants:?}");
        assert_eq!(
            usize::try_from(listed.total).ok(),
            Some(expected.len()),
            "{role} {grants:?}"
        );
        for (name, group) in &groups {
            let request = GetBoardGroupRequest {
                group_id: group.clone(),
            };
            let read = door.get_board_group(request).await;
            assert_eq!(read.is_ok(), expected.contains(name), "{role} {grants:?} {name}");
        }
    }

    // Chats show how a person wants to be called.
    person
        .patch("/api/v1/users/me", json!({"preferred_name": "Lo"}))
        .await
        .expect(200);
    for url in [
        format!("/api/v1/boards/{board}/memory"),
        format!("/api/v1/board-groups/{}/memory", groups[1].1),
    ] {
        let said = person
            .post(&url, json!({"content": "Good morning", "tags": ["chat"]}))
            .await
            .expect(200);
        assert_eq!(said["source"], "Lo", "{url}");
    }
    office.mc.stop().await;
}
