use serde_json::json;

use super::*;

const TOKEN: &str = "key-id-key-id-16.secret-secret-secret-secret-secret-secret43";

fn agent(role: &str) -> AgentRow {
    let now = OffsetDateTime::UNIX_EPOCH;
    let (id, gateway_id, board) = (
        uuid::Uuid::from_u128(1),
        uuid::Uuid::from_u128(3),
        uuid::Uuid::from_u128(2),
    );
    let board_id = (role != "main").then_some(board);
    let is_board_lead = role == "lead";
    AgentRow {
        id,
        organization_id: uuid::Uuid::from_u128(4),
        gateway_id,
        board_id,
        name: "Ada".into(),
        status: "provisioning".into(),
        shown_status: "provisioning".into(),
        is_board_lead,
        heartbeat_config: None,
        heartbeat_seconds: 600,
        identity_profile: Some(json!({"role": "Engineer", "purpose": "Keep the shop running."})),
        identity_template: None,
        soul_template: None,
        session_key: crate::rules::Seat::of(id, gateway_id, board_id, is_board_lead).session_key(),
        last_seen_at: None,
        desired_generation: 1,
        observed_generation: 0,
        wishes: json!({}),
        conditions: json!([]),
        applied_digest: None,
        next_attempt_at: None,
        attempts: 0,
        last_failure: None,
        wake_attempts: 0,
        last_wake_at: None,
        deleting_at: None,
        created_at: now,
        updated_at: now,
    }
}

fn board() -> Board {
    Board {
        id: uuid::Uuid::from_u128(2).to_string(),
        name: "Shop".into(),
        board_type: "goal".into(),
        objective: Some("Sell 100 kites".into()),
        success_metrics: Some(br#"{"kites":100}"#.to_vec()),
        require_approval_for_done: true,
        comment_required_for_review: true,
        max_agents: 3,
        ..Board::default()
    }
}

fn owner() -> User {
    User {
        name: Some("Grace Hopper".into()),
        email: Some("grace@example.org".into()),
        timezone: Some("Europe/Berlin".into()),
        notes: Some("Likes short answers.".into()),
        ..User::default()
    }
}

fn render(agent: &AgentRow) -> Result<Vec<File>> {
    let (board, owner) = (board(), owner());
    let gateway = Gateway {
        workspace_root: "~/.openclaw/".into(),
        ..Gateway::default()
    };
    let scene = Scene {
        agent,
        board: agent.board_id.map(|_| &board),
        gateway: &gateway,
        owner: &owner,
        base_url: "http://127.0.0.1:8000",
        token: TOKEN,
        soul: None,
    };
    Renderer::default().files(&scene, true)
}

fn file<'a>(files: &'a [File], name: &str) -> &'a str {
    files
        .iter()
        .find(|file| file.name == name)
        .map_or("", |file| file.content.as_str())
}

#[test]
fn every_role_and_file_is_as_it_was_read_last() {
    for role in ["worker", "lead", "main"] {
        let files = render(&agent(role)).expect("renders");
        let names: Vec<_> = files.iter().map(|file| file.name).collect();
        let mut expected = vec![
            "AGENTS.md",
            "HEARTBEAT.md",
            "IDENTITY.md",
            "MEMORY.md",
            "SOUL.md",
            "TOOLS.md",
            "USER.md",
        ];
        if role == "lead" {
            expected.insert(1, "BOOTSTRAP.md");
        }
        assert_eq!(names, expected, "{role}");
        for file in &files {
            insta::with_settings!({ snapshot_path => "../templates/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(format!("{role}-{}", file.name), file.content);
            });
            assert!(file.content.len() <= 20_000, "{role} {}", file.name);
            assert!(!file.content.contains("\n\n\n"), "{role} {} has gaps", file.name);
            assert_eq!(
                file.content.contains(TOKEN),
                file.name == "TOOLS.md",
                "the token is in TOOLS.md only: {role} {}",
                file.name
            );
        }
    }
}

#[test]
fn tools_can_be_read_by_machines() {
    for role in ["worker", "lead", "main"] {
        let files = render(&agent(role)).expect("renders");
        let tools = file(&files, "TOOLS.md");
        let value = |key: &str| tools.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
        assert_eq!(value("BASE_URL"), Some("http://127.0.0.1:8000"));
        assert_eq!(value("AUTH_TOKEN"), Some(TOKEN));
        assert_eq!(value("AGENT_ID"), Some("00000000-0000-0000-0000-000000000001"));
        assert_eq!(value("AGENT_NAME"), Some("Ada"));
        assert_eq!(
            value("BOARD_ID"),
            (role != "main").then_some("00000000-0000-0000-0000-000000000002")
        );
        assert!(
            value("WORKSPACE").is_some_and(|path| path.starts_with("~/.openclaw/workspace-")),
            "{role}"
        );
        let calls: Vec<_> = tools.lines().filter(|line| line.starts_with("curl ")).collect();
        assert!(calls.len() >= 8, "{role}");
        for call in calls {
            if call.contains("/openapi.json") {
                assert!(
                    !call.contains(TOKEN) && call.contains(&format!("\"agent-{role}\"")),
                    "{call}"
                );
                continue;
            }
            assert!(
                call.starts_with("curl -fsS ") && call.contains("\"http://127.0.0.1:8000/api/v1/"),
                "{call}"
            );
            assert!(call.contains(&format!("-H \"X-Agent-Token: {TOKEN}\"")), "{call}");
            if let Some((_, body)) = call.split_once(" -d '") {
                let body = body.strip_suffix('\'').expect("the body ends the line");
                serde_json::from_str::<Value>(body).expect("the body is JSON");
            }
        }
    }
}

#[test]
fn own_templates_replace_soul_and_identity() {
    let mut agent = agent("worker");
    agent.soul_template = Some("I am {{ agent_name }} of {{ board_name }}.".into());
    agent.identity_template = Some("{{ identity_role }} / {{ identity_verbosity }}{{ identity_emoji }}".into());
    let files = render(&agent).expect("renders");
    assert_eq!(file(&files, "SOUL.md"), "I am Ada of Shop.\n");
    assert_eq!(file(&files, "IDENTITY.md"), "Engineer / :gear:\n");
    agent.soul_template = Some("{# nothing #}".into());
    assert_eq!(
        file(&render(&agent).expect("renders"), "SOUL.md"),
        "",
        "empty files are not written"
    );
}

#[test]
fn mistakes_in_templates_name_line_and_variable() {
    let cases = [
        (
            "one\ntwo {{ agent_nam }}",
            vec!["`agent_nam` is not defined on line 2", "agent_name"],
        ),
        ("{{ agent_name", vec!["on line 1"]),
        (
            "{% for i in range(100000) %}{% for j in range(1000) %}x{% endfor %}{% endfor %}",
            vec!["cannot be rendered"],
        ),
        ("{% if %}", vec!["line 1"]),
        ("{{ agent_name.missing.deeper }}", vec!["on line 1"]),
    ];
    for (source, expected) in cases {
        let mut agent = agent("worker");
        agent.soul_template = Some(source.into());
        let error = render(&agent).err().expect("refused");
        let text = crate::provision::describe(&error);
        assert!(text.starts_with("soul_template cannot be rendered: "), "{text}");
        for part in expected {
            assert!(text.contains(part), "{source:?}: {text}");
        }
    }
    let mut main = agent("main");
    main.soul_template = Some("{{ board_name }}".into());
    assert!(render(&main).is_err(), "main agents have no board");
}

#[test]
fn endless_templates_run_out_of_fuel() {
    let mut agent = agent("worker");
    agent.identity_template =
        Some("{% for a in range(10000) %}{% for b in range(10000) %}{{ b }}{% endfor %}{% endfor %}".into());
    let text = crate::provision::describe(&render(&agent).err().expect("refused"));
    assert!(text.contains("runs too long"), "{text}");
}

#[test]
fn the_digest_follows_what_is_written() {
    let files = render(&agent("lead")).expect("renders");
    let heartbeat = json!({"every": "10m"});
    let digest = |files: &[File], name: &str| super::digest(files, name, "~/w", &heartbeat);
    let base = digest(&files, "Ada");
    assert_eq!(base, digest(&files, "Ada"));
    assert_ne!(base, digest(&files, "Bob"));
    let without: Vec<File> = files
        .iter()
        .filter(|file| file.name != "BOOTSTRAP.md")
        .cloned()
        .collect();
    assert_eq!(base, digest(&without, "Ada"), "agents delete BOOTSTRAP.md themselves");
    let mut other = files.clone();
    other[0].content.push('x');
    assert_ne!(base, digest(&other, "Ada"));
}

#[test]
fn people_are_called_by_the_first_word_there_is() {
    let user = |preferred: &str, name: &str, email: &str| User {
        preferred_name: Some(preferred.into()),
        name: Some(name.into()),
        email: Some(email.into()),
        ..User::default()
    };
    let cases = [
        (
            user("Amazing Grace", "Grace Hopper", "g@x.org"),
            "Grace Hopper",
            "Amazing",
        ),
        (user("", "Grace Hopper", "g@x.org"), "Grace Hopper", "Grace"),
        (user(" ", "gh@navy.mil", "g@x.org"), "gh@navy.mil", "gh"),
        (user("", "", "g.hopper@x.org"), "g.hopper@x.org", "g.hopper"),
        (User::default(), "", ""),
    ];
    for (user, name, preferred) in cases {
        let values = BTreeMap::from(person(&user));
        assert_eq!(
            (values["user_name"].as_str(), values["user_preferred_name"].as_str()),
            (name, preferred)
        );
    }
}

#[test]
fn only_rendered_fields_of_a_board_matter() {
    let base = board();
    assert!(!board_renders_differently(
        &base,
        &Board {
            description: "new".into(),
            slug: "x".into(),
            ..board()
        }
    ));
    assert!(board_renders_differently(
        &base,
        &Board {
            name: "Kites".into(),
            ..board()
        }
    ));
    assert!(board_renders_differently(
        &base,
        &Board {
            only_lead_can_change_status: true,
            ..board()
        }
    ));
    assert!(board_renders_differently(
        &base,
        &Board {
            success_metrics: None,
            ..board()
        }
    ));
}
