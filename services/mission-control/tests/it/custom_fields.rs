//! Custom fields through the public doors: definitions of an organization, and values on the tasks of its boards.

use proto::board::v1::{
    CreateCustomFieldRequest, ListCustomFieldsRequest, UpdateTaskRequest,
    custom_field_service_client::CustomFieldServiceClient,
};
use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use tonic::Code;
use uuid::Uuid;

use crate::{
    board::Office,
    harness::{eventually, id},
};

const FIELDS: &str = "/api/v1/organizations/me/custom-fields";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_fields_are_defined_listed_changed_and_deleted() {
    let office = Office::open().await;
    let person = &office.person;
    let (one, two) = (
        office.board("One", json!({})).await,
        office.board("Two", json!({})).await,
    );
    assert_eq!(person.get(FIELDS).await.expect(200), json!([]));
    let made = person
        .post(FIELDS, json!({"field_key": " Severity ", "board_ids": [two, one, one]}))
        .await
        .expect(200);
    let mut both = [one.clone(), two.clone()];
    both.sort();
    for (key, expected) in [
        ("field_key", json!("Severity")),
        ("label", json!("Severity")),
        ("field_type", json!("text")),
        ("ui_visibility", json!("always")),
        ("validation_regex", Value::Null),
        ("description", Value::Null),
        ("required", json!(false)),
        ("default_value", Value::Null),
        ("organization_id", json!(office.organization)),
        ("board_ids", json!(both)),
    ] {
        assert_eq!(made[key], expected, "{key}");
    }
    let taken = json!({"field_key": "Severity", "board_ids": [one]});
    assert_eq!(
        person.post(FIELDS, taken).await.detail(409),
        json!("Field key already exists in this organization.")
    );
    person
        .post(FIELDS, json!({"field_key": "severity", "label": "a", "field_type": "Text (Long)", "ui_visibility": "If Set", "board_ids": [one]}))
        .await
        .expect(200);
    let labels: Vec<Value> = person
        .get(FIELDS)
        .await
        .expect(200)
        .as_array()
        .unwrap()
        .iter()
        .map(|field| json!([field["label"], field["field_type"], field["ui_visibility"]]))
        .collect();
    assert_eq!(
        labels,
        [
            json!(["a", "text_long", "if_set"]),
            json!(["Severity", "text", "always"])
        ]
    );

    for (wrong, expected) in [
        (json!({"field_key": "x"}), "board_ids"),
        (json!({"field_key": "x", "board_ids": []}), "board_ids"),
        (json!({"field_key": "  ", "board_ids": [one]}), "field_key"),
        (
            json!({"field_key": "x", "field_type": "number", "board_ids": [one]}),
            "field_type must be one of",
        ),
        (
            json!({"field_key": "x", "ui_visibility": "never", "board_ids": [one]}),
            "ui_visibility must be",
        ),
        (
            json!({"field_key": "x", "validation_regex": "(", "board_ids": [one]}),
            "validation_regex cannot be used",
        ),
        (
            json!({"field_key": "x", "field_type": "integer", "validation_regex": "1", "board_ids": [one]}),
            "validation_regex is only supported for string field types.",
        ),
        (
            json!({"field_key": "x", "field_type": "integer", "default_value": "1", "board_ids": [one]}),
            "default_value must be an integer",
        ),
        (
            json!({"field_key": "x", "validation_regex": "[a-z]+", "default_value": "A", "board_ids": [one]}),
            "default_value does not match validation_regex",
        ),
    ] {
        let refused = person.post(FIELDS, wrong.clone()).await.expect(422);
        assert!(refused.to_string().contains(expected), "{wrong}: {refused:#}");
    }
    let elsewhere = Uuid::now_v7().to_string();
    let foreign = person
        .post(FIELDS, json!({"field_key": "x", "board_ids": [one, elsewhere]}))
        .await
        .detail(422);
    assert_eq!(
        (&foreign["message"], &foreign["invalid_board_ids"]),
        (
            &json!("Some selected boards are invalid for this organization."),
            &json!([elsewhere])
        )
    );

    let url = format!("{FIELDS}/{}", id(&made));
    for (wrong, expected) in [
        (json!({}), "At least one field is required"),
        (json!({"field_key": "y"}), "field_key cannot be changed"),
        (json!({"label": null}), "label cannot be null"),
        (json!({"label": " "}), "label"),
        (json!({"required": null}), "required cannot be null"),
        (json!({"field_type": null}), "field_type cannot be null"),
        (json!({"ui_visibility": null}), "ui_visibility cannot be null"),
        (json!({"default_value": 7}), "default_value must be a string"),
    ] {
        let refused = person.patch(&url, wrong.clone()).await.expect(422);
        assert!(refused.to_string().contains(expected), "{wrong}: {refused:#}");
    }
    let changed = person
        .patch(
            &url,
            json!({"label": "How bad", "default_value": "low", "description": "d", "board_ids": [one]}),
        )
        .await
        .expect(200);
    assert_eq!(
        (
            &changed["label"],
            &changed["default_value"],
            &changed["board_ids"],
            &changed["field_key"]
        ),
        (&json!("How bad"), &json!("low"), &json!([one]), &json!("Severity"))
    );
    let kept = person
        .patch(&url, json!({"board_ids": null, "default_value": null}))
        .await
        .expect(200);
    assert_eq!(
        (&kept["board_ids"], &kept["default_value"]),
        (&json!([one]), &Value::Null)
    );

    assert_eq!(person.delete(&url).await.expect(200), json!({"ok": true}));
    person.delete(&url).await.expect(404);
    person.patch(&url, json!({"label": "x"})).await.expect(404);
    person.delete(&format!("{FIELDS}/x")).await.expect(422);

    // Members read; only admins define.
    let member = office.member(&office.organization, "member", &[(&one, true)]);
    let mut fields = CustomFieldServiceClient::new(office.door(&member));
    assert_eq!(
        fields
            .list_custom_fields(ListCustomFieldsRequest {})
            .await
            .unwrap()
            .into_inner()
            .fields
            .len(),
        1
    );
    let refused = fields
        .create_custom_field(CreateCustomFieldRequest {
            field_key: "x".into(),
            board_ids: vec![one],
            ..CreateCustomFieldRequest::default()
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_carry_values_of_their_boards_fields() {
    let office = Office::open().await;
    let person = &office.person;
    let (board, other) = (
        office.board("Board", json!({})).await,
        office.board("Other", json!({})).await,
    );
    let define = async |fields: Value| person.post(FIELDS, fields).await.expect(200);
    let severity = define(
        json!({"field_key": "severity", "default_value": "low", "board_ids": [board], "validation_regex": "low|high"}),
    )
    .await;
    let points = define(json!({"field_key": "points", "field_type": "integer", "board_ids": [board]})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let mut live = person.stream(&format!("{url}/stream")).await;

    let first = person.post(&url, json!({"title": "a"})).await.expect(200);
    assert_eq!(first["custom_field_values"], json!({"points": null, "severity": "low"}));
    let sent = live.next().await;
    assert_eq!(sent.data["task"]["custom_field_values"], first["custom_field_values"]);
    let second = person
        .post(
            &url,
            json!({"title": "b", "custom_field_values": {"severity": null, "points": 5}}),
        )
        .await
        .expect(200);
    assert_eq!(second["custom_field_values"], json!({"points": 5, "severity": null}));
    // Elsewhere nothing is known of them.
    let elsewhere = format!("/api/v1/boards/{other}/tasks");
    let plain = person.post(&elsewhere, json!({"title": "c"})).await.expect(200);
    assert_eq!(plain["custom_field_values"], json!({}));

    for (wrong, message, key, expected) in [
        (
            json!({"z": 1, "a": 1, "points": "x"}),
            "Unknown custom field keys for this board.",
            "unknown_field_keys",
            json!(["a", "z"]),
        ),
        (
            json!({"points": 1.5}),
            "Invalid custom field value.",
            "reason",
            json!("must be an integer"),
        ),
        (
            json!({"points": 1.5}),
            "Invalid custom field value.",
            "field_key",
            json!("points"),
        ),
        (
            json!({"points": true}),
            "Invalid custom field value.",
            "field_type",
            json!("integer"),
        ),
        (
            json!({"severity": "higher"}),
            "Invalid custom field value.",
            "reason",
            json!("does not match validation_regex"),
        ),
    ] {
        let created = person
            .post(&url, json!({"title": "t", "custom_field_values": wrong}))
            .await
            .detail(422);
        let task = format!("{url}/{}", id(&first));
        let patched = person
            .patch(&task, json!({"custom_field_values": wrong}))
            .await
            .detail(422);
        for refused in [created, patched] {
            assert_eq!(
                (&refused["message"], &refused[key]),
                (&json!(message), &expected),
                "{refused:#}"
            );
        }
    }
    assert_eq!(
        person.get(&url).await.expect(200)["total"],
        2,
        "nothing was made on the way"
    );

    // A change touches what it names; taken away stays away, and does not become the default again.
    let task = format!("{url}/{}", id(&first));
    let values = async |change: Value| {
        person
            .patch(&task, json!({"custom_field_values": change}))
            .await
            .expect(200)["custom_field_values"]
            .clone()
    };
    assert_eq!(
        values(json!({"points": 3})).await,
        json!({"points": 3, "severity": "low"})
    );
    assert_eq!(
        values(json!({"severity": "high"})).await,
        json!({"points": 3, "severity": "high"})
    );
    assert_eq!(
        values(json!({"severity": null})).await,
        json!({"points": 3, "severity": null})
    );
    assert_eq!(values(json!({})).await, json!({"points": 3, "severity": null}));
    let read = person.get(&format!("/api/v1/tasks/{}", id(&first))).await.expect(200);
    assert_eq!(read["custom_field_values"], json!({"points": 3, "severity": null}));
    let listed = person.get(&url).await.expect(200);
    let of = |listed: &Value, place: usize| listed[place]["custom_field_values"].clone();
    assert_eq!(of(&listed["items"], 1), read["custom_field_values"]);
    assert_eq!(of(&listed["items"], 0), json!({"points": 5, "severity": null}));
    let snapshot = person
        .get(&format!("/api/v1/boards/{board}/snapshot"))
        .await
        .expect(200);
    assert_eq!(of(&snapshot["tasks"], 1), read["custom_field_values"]);

    // Workers may set values too.
    let worker = office.worker(&board, "Ann").await;
    let by_worker = office
        .tasks(&worker.caller)
        .update_task(UpdateTaskRequest {
            board_id: board.clone(),
            task_id: id(&second),
            custom_field_values: Some(br#"{"points": 8}"#.to_vec()),
            ..UpdateTaskRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let shown: Value = serde_json::from_slice(&by_worker.custom_field_values.unwrap()).unwrap();
    assert_eq!(shown["points"], 8);

    // Lists by value: what a task shows counts, be it its own or the default.
    let found = async |query: &str| {
        let listed = person.get(&format!("{url}?{query}")).await.expect(200);
        let titles = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["title"].clone());
        (titles.collect::<Vec<_>>(), listed["total"].clone())
    };
    person.post(&url, json!({"title": "d"})).await.expect(200);
    assert_eq!(found("custom_field=severity=low").await, (vec![json!("d")], json!(1)));
    assert_eq!(found("custom_field=points=8").await, (vec![json!("b")], json!(1)));
    assert_eq!(
        found("custom_field=points=3&custom_field=severity=low").await.0,
        Vec::<Value>::new()
    );
    let unknown = person.get(&format!("{url}?custom_field=nope=1")).await.detail(422);
    assert_eq!(unknown["unknown_field_keys"], json!(["nope"]));
    person.get(&format!("{url}?custom_field=nope")).await.expect(422);

    // A field that tasks have values of is not deleted, not even where it is no longer shown.
    let field = format!("{FIELDS}/{}", id(&points));
    let text = json!("Cannot delete a custom field definition while task values exist.");
    assert_eq!(person.delete(&field).await.detail(409), text);
    person.patch(&field, json!({"board_ids": []})).await.expect(200);
    let hidden = person.get(&format!("/api/v1/tasks/{}", id(&first))).await.expect(200);
    assert_eq!(hidden["custom_field_values"], json!({"severity": null}));
    assert_eq!(person.delete(&field).await.detail(409), text);
    // Its type does not change under the values either.
    let misfit = person.patch(&field, json!({"field_type": "text"})).await.detail(409);
    assert_eq!(
        (&misfit["reason"], &misfit["task_count"]),
        (&json!("must be a string"), &json!(2))
    );
    person
        .patch(&field, json!({"field_type": "decimal", "board_ids": [board]}))
        .await
        .expect(200);
    person
        .patch(&task, json!({"custom_field_values": {"points": null}}))
        .await
        .expect(200);
    person.delete(&format!("{url}/{}", id(&second))).await.expect(200);
    // What is left is a value that was taken away, which is none.
    assert_eq!(person.delete(&field).await.expect(200), json!({"ok": true}));

    // With the board go its tasks' values.
    assert_eq!(
        person.delete(&format!("{FIELDS}/{}", id(&severity))).await.detail(409),
        text
    );
    person.delete(&format!("/api/v1/boards/{board}")).await.expect(200);
    let left = person.get(FIELDS).await.expect(200);
    assert_eq!(left[0]["board_ids"], json!([]));
    person.delete(&format!("{FIELDS}/{}", id(&severity))).await.expect(200);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_does_not_change_under_a_value_that_is_being_written() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let field = person
        .post(FIELDS, json!({"field_key": "when", "board_ids": [board]}))
        .await
        .expect(200);
    let field = format!("{FIELDS}/{}", id(&field));
    let url = format!("/api/v1/boards/{board}/tasks");
    let task = json!({"title": "t", "custom_field_values": {"when": "2031-01-01"}});
    let task = format!("{url}/{}", id(&person.post(&url, task).await.expect(200)));

    // The value is held, so that its change stops after it was found to fit.
    let database = &office.mc.database.url;
    let mut holder = sqlx::PgConnection::connect(database).await.expect("the database");
    holder
        .execute("BEGIN; UPDATE board.task_custom_field_values SET value = value")
        .await
        .expect("held");
    let pool = sqlx::PgPool::connect(database).await.expect("the database");
    let waiting = async |count: i64| {
        eventually("waiting for the value", || async {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%custom_field%'",
            )
            .fetch_one(&pool)
            .await
            .expect("a count");
            (waiting == count).then_some(())
        })
        .await;
    };
    let (written, changed, ()) = tokio::join!(
        person.patch(&task, json!({"custom_field_values": {"when": "soon"}})),
        async {
            waiting(1).await;
            person.patch(&field, json!({"field_type": "date"})).await
        },
        async {
            waiting(2).await;
            holder.execute("ROLLBACK").await.expect("let go");
        }
    );
    assert_eq!(written.expect(200)["custom_field_values"], json!({"when": "soon"}));
    assert_eq!(changed.detail(409)["reason"], "must be an ISO date string (YYYY-MM-DD)");
    pool.close().await;
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn required_fields_need_values() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let early = person.post(&url, json!({"title": "early"})).await.expect(200);
    for (key, default) in [("b", Value::Null), ("a", Value::Null), ("c", json!("x"))] {
        person
            .post(
                FIELDS,
                json!({"field_key": key, "required": true, "default_value": default, "board_ids": [board]}),
            )
            .await
            .expect(200);
    }
    let missing = |detail: Value| {
        assert_eq!(detail["message"], "Required custom fields must have values.");
        detail["missing_field_keys"].clone()
    };
    assert_eq!(
        missing(person.post(&url, json!({"title": "t"})).await.detail(422)),
        json!(["a", "b"])
    );
    let nulls = json!({"title": "t", "custom_field_values": {"a": "1", "b": null, "c": null}});
    assert_eq!(missing(person.post(&url, nulls).await.detail(422)), json!(["b", "c"]));
    let whole = json!({"title": "t", "custom_field_values": {"a": "1", "b": "2"}});
    let task = person.post(&url, whole).await.expect(200);
    assert_eq!(task["custom_field_values"], json!({"a": "1", "b": "2", "c": "x"}));

    // A task from before is asked for them when its values are touched, and only then.
    let old = format!("{url}/{}", id(&early));
    person.patch(&old, json!({"title": "renamed"})).await.expect(200);
    assert_eq!(
        missing(
            person
                .patch(&old, json!({"custom_field_values": null}))
                .await
                .detail(422)
        ),
        json!(["a", "b"])
    );
    assert_eq!(
        missing(
            person
                .patch(&old, json!({"custom_field_values": {"a": "1"}}))
                .await
                .detail(422)
        ),
        json!(["b"])
    );
    person
        .patch(&old, json!({"custom_field_values": {"a": "1", "b": "2"}}))
        .await
        .expect(200);
    let cleared = person
        .patch(&old, json!({"custom_field_values": {"c": null}}))
        .await
        .detail(422);
    assert_eq!(missing(cleared), json!(["c"]));
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_found_by_text_label_priority_and_in_order() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let tag = person.post("/api/v1/tags", json!({"name": "bug"})).await.expect(200);
    for task in [
        json!({"title": "Fix 100% CPU", "priority": "low", "due_at": "2031-01-02T00:00:00Z"}),
        json!({"title": "b", "description": "the cpu_time is wrong", "priority": "high", "tag_ids": [tag["id"]]}),
        json!({"title": "c", "due_at": "2020-01-01T00:00:00Z", "status": "in_progress"}),
    ] {
        person.post(&url, task).await.expect(200);
    }
    let found = async |query: &str| {
        let listed = person.get(&format!("{url}?{query}")).await.expect(200);
        let items = listed["items"].as_array().unwrap();
        assert_eq!(listed["total"], items.len(), "{query}");
        let firsts = items
            .iter()
            .map(|task| task["title"].as_str().unwrap().chars().next().unwrap());
        firsts.collect::<String>()
    };
    for (query, expected) in [
        ("q=cpu", "bF"),
        ("q=100%25", "F"),
        ("q=cpu_", "b"),
        ("q=c%25u", ""),
        ("q=%20", "cbF"),
        ("priority=high", "b"),
        ("priority=high,low", "bF"),
        (&format!("tag_ids={}", id(&tag)), "b"),
        (&format!("tag_ids={}", Uuid::now_v7()), ""),
        ("q=cpu&priority=low", "F"),
        ("order=oldest", "Fbc"),
        ("order=updated", "cbF"),
        ("order=due", "cFb"),
        ("order=priority", "bcF"),
        ("order=newest", "cbF"),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    person.get(&format!("{url}?order=odd")).await.expect(422);
    person.get(&format!("{url}?tag_ids=x")).await.expect(422);
    let page = person
        .get(&format!("{url}?order=priority&limit=1&offset=1"))
        .await
        .expect(200);
    assert_eq!((&page["items"][0]["title"], &page["total"]), (&json!("c"), &json!(3)));

    // Large boards are read in part; the counts are of the whole.
    let part = person
        .get(&format!("/api/v1/boards/{board}/snapshot?task_limit=1"))
        .await
        .expect(200);
    assert_eq!(
        (
            part["tasks"].as_array().map(Vec::len),
            &part["tasks"][0]["title"],
            &part["task_counts"]["total"],
            &part["task_counts"]["in_progress"]
        ),
        (Some(1), &json!("c"), &json!(3), &json!(1))
    );
    let page = person.get(&format!("{url}?limit=3")).await.expect(200);
    assert_eq!(
        (page["items"].as_array().map(Vec::len), &page["total"]),
        (Some(3), &json!(3))
    );
    let page = person.get(&format!("{url}?limit=2")).await.expect(200);
    assert_eq!(
        (page["items"].as_array().map(Vec::len), &page["total"]),
        (Some(2), &json!(3))
    );

    let empty = office.board("An empty one", json!({})).await;
    let counts = person.get("/api/v1/boards/task-counts").await.expect(200);
    assert_eq!(
        counts["items"],
        json!([
            {"board_id": empty, "inbox": 0, "in_progress": 0, "review": 0, "done": 0, "overdue": 0, "total": 0},
            {"board_id": board, "inbox": 2, "in_progress": 1, "review": 0, "done": 0, "overdue": 1, "total": 3},
        ])
    );
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_an_organization() {
    let office = Office::open().await;
    let person = &office.person;
    let group = person
        .post("/api/v1/board-groups", json!({"name": "g", "slug": "g"}))
        .await
        .expect(200);
    let board = office.board("Board", json!({"board_group_id": group["id"]})).await;
    let url = format!("/api/v1/boards/{board}");
    let tag = person.post("/api/v1/tags", json!({"name": "bug"})).await.expect(200);
    person
        .post(
            FIELDS,
            json!({"field_key": "k", "default_value": "v", "board_ids": [board]}),
        )
        .await
        .expect(200);
    let first = person
        .post(&format!("{url}/tasks"), json!({"title": "t", "tag_ids": [tag["id"]]}))
        .await
        .expect(200);
    person
        .post(
            &format!("{url}/tasks"),
            json!({"title": "u", "depends_on_task_ids": [first["id"]]}),
        )
        .await
        .expect(200);
    person
        .post(&format!("{url}/tasks/{}/comments", id(&first)), json!({"message": "m"}))
        .await
        .expect(200);
    person
        .post(&format!("{url}/memory"), json!({"content": "c"}))
        .await
        .expect(200);
    person
        .post(&format!("{url}/group-memory"), json!({"content": "c"}))
        .await
        .expect(200);
    let webhook = person
        .post(&format!("{url}/webhooks"), json!({"description": "d"}))
        .await
        .expect(200);
    office
        .mc
        .nobody()
        .post(&format!("{url}/webhooks/{}", id(&webhook)), json!({"a": 1}))
        .await
        .expect(202);
    eventually("starting an onboarding", || async {
        let answer = person.post(&format!("{url}/onboarding/start"), json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;

    let mut connection = sqlx::PgConnection::connect(&office.mc.database.url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'board' \
           AND tablename NOT IN ('outbox', 'change_log', 'relay', 'inbox', 'parked', 'idempotency') AND tablename NOT LIKE '%migrations%' ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() >= 16, "{tables:?}");
    let filled = async |connection: &mut sqlx::PgConnection| {
        let mut filled = Vec::new();
        for table in &tables {
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM board.{table}")))
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            if rows > 0 {
                filled.push(table.clone());
            }
        }
        filled
    };
    assert_eq!(filled(&mut connection).await, tables, "every table is part of the test");

    // Told twice, as the bus may.
    let gone = chassis::Change::new("organization.deleted", Uuid::parse_str(&office.organization).unwrap());
    office.happened(gone.clone()).await;
    office.happened(gone).await;
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    while !filled(&mut connection).await.is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "left behind: {:?}",
            filled(&mut connection).await
        );
        tokio::task::yield_now().await;
    }
    office.mc.stop().await;
}
