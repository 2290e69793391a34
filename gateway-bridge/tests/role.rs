//! The role through its gRPC doors, with real sessions to fake gateways and a database of its own.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use chassis::{
    Caller, Context, Error,
    bus::memory::MemoryBus,
    channel::{Channel, Peer, Peers},
    error::Kind,
    identity::Signer,
    seal::{Sealer, derive},
    server::Running,
    settings::Settings,
};
use clap::Parser;
use futures::TryStreamExt as _;
use gateway_bridge::{SCHEMA, TOKEN_MASK, role};
use prost::Message as _;
use proto::{
    event::v1::Event,
    gateway::v1::{
        AgentFile, AgentHeartbeatConfig, ConfigureHeartbeatsRequest, ConnectionPhase, CreateGatewayRequest,
        EnsureAgentRequest, Gateway, GatewayConnection, GetGatewayConnectionRequest, GetGatewayRequest,
        GetGatewaysStatusRequest, ListGatewaysRequest, LookupGatewayRequest, PreflightGatewayRequest, PreflightStep,
        ReadAgentFileRequest, RemoveAgentRequest, ResetSessionRequest, SendMessageRequest, StepStatus,
        UpdateGatewayRequest, WriteAgentFilesRequest, gateway_runtime_service_client::GatewayRuntimeServiceClient,
        gateway_service_client::GatewayServiceClient,
    },
    identity::v1::{Membership, Principal, PrincipalKind},
};
use testkit::{
    Database, database,
    gateway::{FakeGateway, Fault, Options, Release},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use transcoder::Catalog;
use uuid::Uuid;

mod replicas;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// What a role is built from, alone in its process.
fn context(database: &str, more: &[&str]) -> Context {
    let mut arguments = vec![
        "test",
        "--database-url",
        database,
        "--secret-key",
        "test-secret-key-0123456789-0123456789",
        "--database-connections",
        "5",
        "--amqp-url",
        "",
        "--listen",
        "127.0.0.1:0",
    ];
    arguments.extend(more);
    let settings = Arguments::parse_from(arguments).settings;
    let signer = Signer::new(&derive(&settings.secret_key, "principal"));
    let channels = HashMap::from([("gateway-bridge", Channel::near())]);
    let stop = CancellationToken::new();
    Context {
        catalog: Catalog::compile(proto::DESCRIPTORS).expect("the contract"),
        sealer: Sealer::new(&settings.secret_key),
        settings: Arc::new(settings),
        peers: Peers::new(channels, signer.clone()),
        signer,
        bus: Arc::new(MemoryBus::new(stop.clone())),
        stop,
    }
}

/// The role, running.
struct Bridge {
    context: Context,
    running: Running,
    database: Database,
}

impl Bridge {
    async fn start() -> Self {
        Self::on(database(&[SCHEMA]).await)
    }

    fn on(database: Database) -> Self {
        let context = context(&database.url, &[]);
        let role = role(&context).expect("the role");
        let running = Running::start(&context, vec![role], Vec::new());
        Self {
            context,
            running,
            database,
        }
    }

    async fn restart(self) -> Self {
        self.running.stop().await;
        Self::on(self.database)
    }

    fn peer(&self, principal: Principal) -> Peer {
        let caller = Caller {
            signed: Some(self.context.signer.sign(principal, Duration::from_mins(1))),
            request_id: "test".into(),
            traceparent: "".into(),
        };
        self.context
            .peers
            .on_behalf("gateway-bridge", &caller)
            .within(Duration::from_mins(1))
    }

    /// RPCs of a person with a role in an organization.
    fn person(&self, organization: Uuid, role: &str) -> GatewayServiceClient<Peer> {
        let membership = Membership {
            organization_id: organization.to_string(),
            role: role.to_owned(),
            all_boards_read: true,
            all_boards_write: true,
            ..Membership::default()
        };
        GatewayServiceClient::new(self.peer(Principal {
            kind: PrincipalKind::User.into(),
            id: Uuid::now_v7().to_string(),
            organization_id: organization.to_string(),
            memberships: vec![membership],
            ..Principal::default()
        }))
    }

    fn admin(&self, organization: Uuid) -> GatewayServiceClient<Peer> {
        self.person(organization, "admin")
    }

    /// RPCs of the agent service.
    fn service(&self, organization: Uuid) -> GatewayRuntimeServiceClient<Peer> {
        let peer = self
            .context
            .peers
            .named("agent")
            .as_service("gateway-bridge", Some(organization), None);
        GatewayRuntimeServiceClient::new(peer.within(Duration::from_mins(1)))
    }

    async fn connection(&self, organization: Uuid, gateway: &Gateway) -> GatewayConnection {
        let request = GetGatewayConnectionRequest {
            gateway_id: gateway.id.clone(),
        };
        self.admin(organization)
            .get_gateway_connection(request)
            .await
            .expect("a connection")
            .into_inner()
    }

    async fn reaches(&self, organization: Uuid, gateway: &Gateway, phase: ConnectionPhase) -> GatewayConnection {
        eventually(&format!("{phase:?}"), || async {
            let connection = self.connection(organization, gateway).await;
            (connection.phase() == phase).then_some(connection)
        })
        .await
    }

    async fn created(&self, organization: Uuid, fake: &FakeGateway) -> Gateway {
        self.admin(organization)
            .create_gateway(create(fake))
            .await
            .expect("created")
            .into_inner()
    }
}

async fn eventually<T, F, R>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} did not happen in {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn create(fake: &FakeGateway) -> CreateGatewayRequest {
    CreateGatewayRequest {
        name: "One".to_owned(),
        url: fake.url(),
        workspace_root: "~/.openclaw".to_owned(),
        token: Some(fake.token()),
        ..CreateGatewayRequest::default()
    }
}

fn kind(status: Status) -> (Kind, String) {
    let error = Error::from(status);
    (error.kind(), error.to_string())
}

fn org() -> Uuid {
    Uuid::now_v7()
}

#[tokio::test]
async fn a_gateway_is_stored_after_a_look_and_its_token_is_never_answered() {
    for release in [Release::Old, Release::Latest] {
        let fake = FakeGateway::start(Options::release(release)).await;
        let bridge = Bridge::start().await;
        let organization = org();
        let gateway = bridge.created(organization, &fake).await;
        assert_eq!(gateway.token.as_deref(), Some(TOKEN_MASK));
        let connection = bridge.reaches(organization, &gateway, ConnectionPhase::Connected).await;
        assert_eq!(connection.version.as_deref(), Some(release.version()));
        assert_eq!(connection.error, None);
        let listed = bridge
            .admin(organization)
            .list_gateways(ListGatewaysRequest::default())
            .await
            .expect("listed")
            .into_inner();
        assert_eq!((listed.items.len(), listed.total), (1, 1));
        assert!(!format!("{listed:?}").contains(&fake.token()));
    }
}

#[tokio::test]
async fn what_is_typed_wrong_is_told_at_once_and_field_by_field() {
    let bridge = Bridge::start().await;
    let request = CreateGatewayRequest {
        url: "http://x".to_owned(),
        token: Some("t".to_owned()),
        ..CreateGatewayRequest::default()
    };
    let status = bridge
        .admin(org())
        .create_gateway(request)
        .await
        .expect_err("not valid");
    let fields: Vec<_> = tonic_types::StatusExt::get_details_bad_request(&status)
        .expect("violations")
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(fields, ["name", "url", "workspace_root"]);
}

#[tokio::test]
async fn a_gateway_that_refuses_is_not_stored_and_the_cause_is_told() {
    let fake = FakeGateway::start(Options::default()).await;
    let bridge = Bridge::start().await;
    let organization = org();
    let wrong = CreateGatewayRequest {
        token: Some("wrong".to_owned()),
        ..create(&fake)
    };
    let (kind, message) = kind(
        bridge
            .admin(organization)
            .create_gateway(wrong)
            .await
            .expect_err("refused"),
    );
    assert_eq!(kind, Kind::Gateway);
    assert!(
        message.contains("token mismatch") && message.contains("gateway.auth.token"),
        "{message}"
    );
    let away = CreateGatewayRequest {
        url: "ws://127.0.0.1:1".to_owned(),
        ..create(&fake)
    };
    let (kind, message) = self::kind(bridge.admin(organization).create_gateway(away).await.expect_err("away"));
    assert_eq!(kind, Kind::Gateway);
    assert!(message.contains("127.0.0.1:1"), "{message}");
    let listed = bridge
        .admin(organization)
        .list_gateways(ListGatewaysRequest::default())
        .await
        .expect("listed");
    assert_eq!(listed.into_inner().total, 0);
}

#[tokio::test]
async fn a_gateway_that_is_starting_is_waited_for() {
    let fake = FakeGateway::start(Options::default()).await;
    fake.starting(2);
    let bridge = Bridge::start().await;
    bridge.created(org(), &fake).await;
}

#[tokio::test]
async fn a_gateway_that_wants_approval_is_stored_and_connects_after_it() {
    let fake = FakeGateway::start(Options {
        pairing_required: true,
        ..Options::default()
    })
    .await;
    let bridge = Bridge::start().await;
    let organization = org();
    let gateway = bridge.created(organization, &fake).await;
    let connection = bridge
        .reaches(organization, &gateway, ConnectionPhase::PairingRequired)
        .await;
    let id = connection.pairing_request_id.expect("a request to approve");
    assert!(connection.remedy.expect("a remedy").contains(&id));
    assert_eq!(connection.error_code.as_deref(), Some("PAIRING_REQUIRED"));
    assert_eq!(
        fake.pending_pairings(),
        std::slice::from_ref(&id),
        "the look and the session are one device"
    );
    fake.approve(&id);
    // A change of nothing but the name needs no look; the restart connects at once instead of at the next slow look.
    let bridge = bridge.restart().await;
    bridge.reaches(organization, &gateway, ConnectionPhase::Connected).await;
    assert_eq!(
        fake.pending_pairings(),
        Vec::<String>::new(),
        "the device is the same after a restart"
    );
}

#[tokio::test]
async fn other_organizations_and_plain_members_see_nothing() {
    let fake = FakeGateway::start(Options::default()).await;
    let bridge = Bridge::start().await;
    let organization = org();
    let gateway = bridge.created(organization, &fake).await;
    let mut stranger = bridge.admin(org());
    let id = || gateway.id.clone();
    let results = [
        stranger
            .get_gateway(GetGatewayRequest { gateway_id: id() })
            .await
            .map(drop),
        stranger
            .update_gateway(UpdateGatewayRequest {
                gateway_id: id(),
                name: Some("x".into()),
                ..UpdateGatewayRequest::default()
            })
            .await
            .map(drop),
        stranger
            .delete_gateway(proto::gateway::v1::DeleteGatewayRequest {
                gateway_id: id(),
                ..proto::gateway::v1::DeleteGatewayRequest::default()
            })
            .await
            .map(drop),
        stranger
            .get_gateway_connection(GetGatewayConnectionRequest { gateway_id: id() })
            .await
            .map(drop),
        stranger
            .preflight_gateway(PreflightGatewayRequest {
                gateway_id: Some(id()),
                ..PreflightGatewayRequest::default()
            })
            .await
            .map(drop),
    ];
    for (n, result) in results.into_iter().enumerate() {
        let (kind, message) = kind(result.expect_err("not there"));
        assert_eq!((kind, message.as_str()), (Kind::NotFound, "Gateway not found"), "{n}");
    }
    assert_eq!(
        stranger
            .list_gateways(ListGatewaysRequest::default())
            .await
            .expect("listed")
            .into_inner()
            .total,
        0
    );
    let mut member = bridge.person(organization, "member");
    let status = member
        .list_gateways(ListGatewaysRequest::default())
        .await
        .expect_err("admins only");
    assert_eq!(kind(status).0, Kind::Denied);
    let lookup = LookupGatewayRequest {
        organization_id: String::new(),
        gateway_id: id(),
    };
    let mut runtime = GatewayRuntimeServiceClient::new(bridge.peer(Principal {
        kind: PrincipalKind::User.into(),
        id: Uuid::now_v7().to_string(),
        ..Principal::default()
    }));
    runtime.lookup_gateway(lookup).await.expect_err("services only");
    let foreign = RemoveAgentRequest {
        gateway_id: id(),
        agent_key: "mc-1".into(),
        session_key: String::new(),
    };
    let status = bridge
        .service(org())
        .remove_agent(foreign)
        .await
        .expect_err("another organization's");
    assert_eq!(kind(status).0, Kind::NotFound);
}

#[tokio::test]
async fn updates_keep_what_they_do_not_name_and_reconnect_when_they_must() {
    let (first, second) = (
        FakeGateway::start(Options::default()).await,
        FakeGateway::start(Options::default()).await,
    );
    let bridge = Bridge::start().await;
    let organization = org();
    let gateway = bridge.created(organization, &first).await;
    bridge.reaches(organization, &gateway, ConnectionPhase::Connected).await;
    let mut admin = bridge.admin(organization);
    let update = |change: UpdateGatewayRequest| UpdateGatewayRequest {
        gateway_id: gateway.id.clone(),
        ..change
    };

    let connections = first.connections();
    let renamed = UpdateGatewayRequest {
        name: Some("Two".into()),
        token: Some(TOKEN_MASK.into()),
        ..UpdateGatewayRequest::default()
    };
    let renamed = admin
        .update_gateway(update(renamed))
        .await
        .expect("renamed")
        .into_inner();
    assert_eq!(
        (renamed.name.as_str(), renamed.token.as_deref()),
        ("Two", Some(TOKEN_MASK))
    );
    assert_ne!(renamed.updated_at, gateway.updated_at);
    assert_eq!(first.connections(), connections, "a name is no reason to connect again");

    let moved = UpdateGatewayRequest {
        url: Some(second.url()),
        ..UpdateGatewayRequest::default()
    };
    admin.update_gateway(update(moved)).await.expect("moved");
    eventually("the session moves", || async {
        (second.connections() >= 2).then_some(())
    })
    .await;
    bridge.reaches(organization, &gateway, ConnectionPhase::Connected).await;

    let mask = prost_types::FieldMask {
        paths: vec!["token".to_owned()],
    };
    let cleared = UpdateGatewayRequest {
        update_mask: Some(mask),
        ..UpdateGatewayRequest::default()
    };
    let (kind, message) = kind(admin.update_gateway(update(cleared)).await.expect_err("no token"));
    assert_eq!(kind, Kind::Gateway, "{message}");
    let kept = admin
        .get_gateway(GetGatewayRequest {
            gateway_id: gateway.id.clone(),
        })
        .await
        .expect("there")
        .into_inner();
    assert_eq!(
        kept.token.as_deref(),
        Some(TOKEN_MASK),
        "a refused change changes nothing"
    );
}

#[tokio::test]
async fn the_agent_service_provisions_talks_and_removes() {
    for release in [Release::Old, Release::Latest] {
        let fake = FakeGateway::start(Options::release(release)).await;
        let bridge = Bridge::start().await;
        let organization = org();
        let gateway = bridge.created(organization, &fake).await.id;
        let mut service = bridge.service(organization);
        let ensure = EnsureAgentRequest {
            gateway_id: gateway.clone(),
            agent_key: "mc-1".into(),
            name: "Worker".into(),
            workspace: "/ws/1".into(),
        };
        assert!(
            service
                .ensure_agent(ensure.clone())
                .await
                .expect("ensured")
                .into_inner()
                .created
        );
        assert!(
            !service
                .ensure_agent(ensure)
                .await
                .expect("ensured")
                .into_inner()
                .created
        );

        let heartbeat = br#"{"every":"10m","target":"last","includeReasoning":false}"#.to_vec();
        let heartbeats = ConfigureHeartbeatsRequest {
            gateway_id: gateway.clone(),
            agents: vec![AgentHeartbeatConfig {
                agent_key: "mc-1".into(),
                workspace: "/ws/1".into(),
                heartbeat,
            }],
        };
        assert!(
            service
                .configure_heartbeats(heartbeats.clone())
                .await
                .expect("set")
                .into_inner()
                .changed
        );
        assert!(
            !service
                .configure_heartbeats(heartbeats)
                .await
                .expect("set")
                .into_inner()
                .changed
        );

        let file = |name: &str, content: &str| AgentFile {
            name: name.into(),
            content: content.into(),
            keep_existing: false,
        };
        let files = WriteAgentFilesRequest {
            gateway_id: gateway.clone(),
            agent_key: "mc-1".into(),
            files: vec![
                file("AGENTS.md", "# A\n"),
                file("TOOLS.md", "AUTH_TOKEN=x\n"),
                file("HEARTBEAT.md", "Check in.\n"),
            ],
        };
        let written = service
            .write_agent_files(files.clone())
            .await
            .expect("written")
            .into_inner();
        assert_eq!(
            (written.written.len(), written.unchanged.len()),
            (3, 0),
            "{release:?} {written:?}"
        );
        let mapped = if release == Release::Latest {
            vec!["TOOLS.md -> AGENTS.md", "HEARTBEAT.md -> heartbeat job"]
        } else {
            vec![]
        };
        assert_eq!(written.mapped, mapped);
        let again = service.write_agent_files(files).await.expect("written").into_inner();
        assert_eq!(
            (again.written.len(), again.unchanged.len()),
            (0, 3),
            "{release:?} {again:?}"
        );
        let read = ReadAgentFileRequest {
            gateway_id: gateway.clone(),
            agent_key: "mc-1".into(),
            name: "TOOLS.md".into(),
        };
        let read = service.read_agent_file(read).await.expect("read").into_inner();
        assert_eq!((read.exists, read.content.as_str()), (true, "AUTH_TOKEN=x\n"));

        let session = "agent:mc-1:main".to_owned();
        let message = SendMessageRequest {
            gateway_id: gateway.clone(),
            session_key: session.clone(),
            label: "Worker".into(),
            text: "TASK ASSIGNED".into(),
            deliver: false,
            idempotency_key: "outbox-1".into(),
        };
        fake.fail_next("chat.send", Fault::CutAfter);
        for _ in 0..2 {
            assert_eq!(
                service
                    .send_message(message.clone())
                    .await
                    .expect("sent")
                    .into_inner()
                    .run_id,
                "outbox-1"
            );
        }
        assert_eq!(fake.messages(&session), ["TASK ASSIGNED"]);
        assert_eq!(fake.calls_of("sessions.patch").len(), 1, "a label is set once");

        service
            .reset_session(ResetSessionRequest {
                gateway_id: gateway.clone(),
                session_key: session.clone(),
            })
            .await
            .expect("reset");
        assert_eq!(fake.messages(&session), Vec::<String>::new());
        let remove = RemoveAgentRequest {
            gateway_id: gateway,
            agent_key: "mc-1".into(),
            session_key: session,
        };
        service.remove_agent(remove.clone()).await.expect("removed");
        service.remove_agent(remove).await.expect("gone is fine");
        assert!(!fake.agents().contains(&"mc-1".to_owned()));
    }
}

#[tokio::test]
async fn failures_reach_the_agent_service_with_what_it_decides_on() {
    let fake = FakeGateway::start(Options {
        pairing_required: true,
        ..Options::default()
    })
    .await;
    let bridge = Bridge::start().await;
    let organization = org();
    let gateway = bridge.created(organization, &fake).await;
    bridge
        .reaches(organization, &gateway, ConnectionPhase::PairingRequired)
        .await;
    let ensure = EnsureAgentRequest {
        gateway_id: gateway.id.clone(),
        agent_key: "mc-1".into(),
        name: "Worker".into(),
        workspace: "/ws/1".into(),
    };
    let status = bridge
        .service(organization)
        .ensure_agent(ensure)
        .await
        .expect_err("not approved");
    let detail = tonic_types::StatusExt::get_details_error_info(&status)
        .expect("info")
        .metadata["detail"]
        .clone();
    let detail: serde_json::Value = serde_json::from_str(&detail).expect("json");
    assert_eq!(detail["code"], "PAIRING_REQUIRED");
    assert_eq!(detail["retryable"], false);
    assert!(detail["pairing_request_id"].is_string());
    assert_eq!(kind(status).0, Kind::Gateway);
}

#[tokio::test]
async fn changes_and_connections_are_told_without_secrets() {
    let fake = FakeGateway::start(Options::default()).await;
    let bridge = Bridge::start().await;
    let mut events = bridge.context.bus.watch();
    let organization = org();
    let gateway = bridge.created(organization, &fake).await;
    let mut seen: Vec<Arc<Event>> = Vec::new();
    while seen.len() < 2 {
        let event = tokio::time::timeout(PATIENCE, events.recv())
            .await
            .expect("an event")
            .expect("the bus");
        seen.push(event);
    }
    let kinds: Vec<_> = seen.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(kinds, ["gateway.created", "gateway.connection_changed"]);
    for event in &seen {
        assert_eq!(
            (event.gateway_id.as_str(), event.organization_id.as_str()),
            (gateway.id.as_str(), organization.to_string().as_str())
        );
        let bytes = event.encode_to_vec();
        assert!(
            !bytes
                .windows(fake.token().len())
                .any(|part| part == fake.token().as_bytes())
        );
    }
    let connection: GatewayConnection = chassis::outbox::unpack(seen[1].after.as_ref()).expect("a connection");
    assert_eq!(connection.phase(), ConnectionPhase::Connected);
}

#[tokio::test]
async fn the_end_of_a_short_interruption_is_told_to_services_only() {
    let fake = FakeGateway::start(Options::default()).await;
    let bridge = Bridge::start().await;
    let mut events = bridge.context.bus.watch();
    let gateway = bridge.created(org(), &fake).await;
    let mut next = async || {
        tokio::time::timeout(PATIENCE, events.recv())
            .await
            .expect("an event")
            .expect("the bus")
    };
    assert_eq!(next().await.r#type, "gateway.created");
    assert_eq!(next().await.r#type, "gateway.connection_changed");
    fake.cut();
    let back = next().await;
    assert_eq!(
        (
            back.r#type.as_str(),
            back.gateway_id.as_str(),
            back.organization_id.as_str()
        ),
        ("gateway.reconnected", gateway.id.as_str(), ""),
        "of no organization's log"
    );
}

#[tokio::test]
async fn gateways_end_with_their_organization() {
    let fake = FakeGateway::start(Options::default()).await;
    let bridge = Bridge::start().await;
    let (organization, other) = (org(), org());
    bridge.created(organization, &fake).await;
    let kept = bridge.created(other, &fake).await;
    let event = Event {
        id: Uuid::now_v7().to_string(),
        r#type: "organization.deleted".to_owned(),
        organization_id: organization.to_string(),
        ..Event::default()
    };
    bridge.context.bus.publish(&[event]).await.expect("handled");
    let total = |organization| {
        let mut admin = bridge.admin(organization);
        async move {
            admin
                .list_gateways(ListGatewaysRequest::default())
                .await
                .expect("listed")
                .into_inner()
                .total
        }
    };
    eventually("the end", || async { (total(organization).await == 0).then_some(()) }).await;
    assert_eq!(total(other).await, 1);
    bridge.reaches(other, &kept, ConnectionPhase::Connected).await;
}

async fn walked(client: &mut GatewayServiceClient<Peer>, request: PreflightGatewayRequest) -> Vec<PreflightStep> {
    client
        .preflight_gateway(request)
        .await
        .expect("a stream")
        .into_inner()
        .try_collect()
        .await
        .expect("steps")
}

#[tokio::test]
async fn preflight_walks_step_by_step() {
    let fake = FakeGateway::start(Options {
        tls: true,
        ..Options::default()
    })
    .await;
    let bridge = Bridge::start().await;
    let mut admin = bridge.admin(org());
    let request = PreflightGatewayRequest {
        url: Some(fake.url()),
        token: Some(fake.token()),
        allow_insecure_tls: Some(true),
        ..PreflightGatewayRequest::default()
    };
    let steps = walked(&mut admin, request.clone()).await;
    let ended: Vec<_> = steps
        .iter()
        .filter(|step| step.status() != StepStatus::Running)
        .collect();
    let names: Vec<_> = ended.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "dns",
            "tcp",
            "tls",
            "websocket",
            "challenge",
            "authentication",
            "pairing",
            "scopes",
            "version",
            "methods"
        ]
    );
    assert!(
        ended.iter().all(|step| !matches!(step.status(), StepStatus::Failed)),
        "{ended:?}"
    );
    assert_eq!(ended[2].tls_fingerprint.as_deref(), fake.fingerprint());
    assert_eq!(steps.len(), 20, "each step is told when it begins and when it ends");

    let strict = PreflightGatewayRequest {
        allow_insecure_tls: None,
        ..request
    };
    let steps = walked(&mut admin, strict).await;
    let failed = steps
        .iter()
        .find(|step| step.status() == StepStatus::Failed)
        .expect("a failure");
    assert_eq!(
        (failed.name.as_str(), failed.error_code.as_deref()),
        ("tls", Some("TLS_UNTRUSTED"))
    );
    assert_eq!(failed.tls_fingerprint.as_deref(), fake.fingerprint());
    assert!(
        failed
            .remedy
            .as_ref()
            .is_some_and(|remedy| remedy.contains("fingerprint"))
    );
    assert!(steps.iter().filter(|step| step.status() == StepStatus::Skipped).count() >= 7);
}

#[tokio::test]
async fn a_stored_token_never_goes_to_another_address() {
    let (home, elsewhere) = (
        FakeGateway::start(Options::default()).await,
        FakeGateway::start(Options::default()).await,
    );
    let bridge = Bridge::start().await;
    let organization = org();
    let gateway = bridge.created(organization, &home).await;
    let mut admin = bridge.admin(organization);
    for token in [None, Some(TOKEN_MASK.to_owned())] {
        let request = PreflightGatewayRequest {
            gateway_id: Some(gateway.id.clone()),
            url: Some(elsewhere.url()),
            token,
            ..PreflightGatewayRequest::default()
        };
        let steps = walked(&mut admin, request).await;
        assert!(
            steps
                .iter()
                .any(|step| step.error_code.as_deref() == Some("TOKEN_MISSING")),
            "{steps:?}"
        );
    }
    let steps = walked(
        &mut admin,
        PreflightGatewayRequest {
            gateway_id: Some(gateway.id),
            ..PreflightGatewayRequest::default()
        },
    )
    .await;
    assert!(
        steps.iter().all(|step| step.status() != StepStatus::Failed),
        "at home it is used: {steps:?}"
    );
}

#[tokio::test]
async fn the_status_of_an_address_always_answers() {
    let fake = FakeGateway::start(Options::default()).await;
    let bridge = Bridge::start().await;
    let organization = org();
    let gateway = bridge.created(organization, &fake).await;
    let mut admin = bridge.admin(organization);
    let main = format!("agent:mc-gateway-{}:main", gateway.id);
    let live = GetGatewaysStatusRequest {
        gateway_url: Some(fake.url()),
        ..GetGatewaysStatusRequest::default()
    };
    let status = admin
        .get_gateways_status(live.clone())
        .await
        .expect("a status")
        .into_inner();
    assert!(status.connected && status.main_session_error.is_some(), "{status:?}");

    fake.edit_config(|config| {
        config["agents"]["entries"][format!("mc-gateway-{}", gateway.id)] = serde_json::json!({});
    });
    let message = SendMessageRequest {
        gateway_id: gateway.id.clone(),
        session_key: main.clone(),
        label: "Gateway Agent".into(),
        text: "hello".into(),
        idempotency_key: "1".into(),
        ..SendMessageRequest::default()
    };
    bridge.service(organization).send_message(message).await.expect("sent");
    let status = admin.get_gateways_status(live).await.expect("a status").into_inner();
    assert_eq!(status.sessions_count, Some(1));
    let session: serde_json::Value = serde_json::from_slice(&status.main_session.expect("a session")).expect("json");
    assert_eq!(
        (session["key"].as_str(), session["label"].as_str()),
        (Some(main.as_str()), Some("Gateway Agent"))
    );

    let wrong = GetGatewaysStatusRequest {
        gateway_url: Some(fake.url()),
        gateway_token: Some("wrong".into()),
        ..GetGatewaysStatusRequest::default()
    };
    let status = admin.get_gateways_status(wrong).await.expect("a status").into_inner();
    assert!(
        !status.connected
            && status
                .error
                .as_ref()
                .is_some_and(|error| error.contains("token mismatch")),
        "{status:?}"
    );
    let nothing = admin
        .get_gateways_status(GetGatewaysStatusRequest::default())
        .await
        .expect_err("which one?");
    assert_eq!(kind(nothing).0, Kind::Unprocessable);
}
