//! Several replicas on one database: one keeps a gateway's session, the others pass calls on and take over when it is gone.

use chassis::{
    Caller, Context,
    channel::{Channel, Peer},
    seal::Sealer,
    server::{Running, serve_grpc},
};
use gateway_bridge::{SCHEMA, role};
use proto::gateway::v1::{
    ConnectionPhase, LookupConnectionRequest, ResetSessionRequest,
    gateway_runtime_service_client::GatewayRuntimeServiceClient,
};
use testkit::{
    database,
    gateway::{FakeGateway, Options},
};
use tokio::runtime::Runtime;
use tonic::Status;
use uuid::Uuid;

use super::{context, eventually, org};

/// A replica with a runtime of its own, so that it can be killed.
struct Replica {
    context: Context,
    address: String,
    runtime: Option<Runtime>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Replica {
    async fn start(database: &str) -> Self {
        let listen = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .to_string();
        let address = format!("http://{listen}");
        let database = database.to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let context = runtime
            .spawn(async move {
                let context = context(&database, &["--grpc-listen", &listen]);
                let role = role(&context).expect("the role");
                let services = role.services.clone();
                let running = Running::start(&context, vec![role], Vec::new());
                let served = context.clone();
                tokio::spawn(async move {
                    serve_grpc(
                        &served,
                        &running,
                        &[("gateway-bridge", services)],
                        served.settings.grpc_listen,
                    )
                    .await
                    .expect("served");
                    running.stop().await;
                });
                context
            })
            .await
            .expect("started");
        Self {
            context,
            address,
            runtime: Some(runtime),
        }
    }

    /// Ends it without a word, as SIGKILL does.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// What the door of this replica answers to the agent service.
    fn service(&self, organization: Uuid) -> GatewayRuntimeServiceClient<Peer> {
        let caller = Caller::service(&self.context.signer, "agent", Some(organization));
        GatewayRuntimeServiceClient::new(Peer::to(
            Channel::far(self.address.clone()).expect("an address"),
            &caller,
        ))
    }

    async fn reset(&self, organization: Uuid, gateway: &str) -> Result<(), Status> {
        let request = ResetSessionRequest {
            gateway_id: gateway.to_owned(),
            session_key: "agent:main:main".into(),
        };
        self.service(organization).reset_session(request).await.map(drop)
    }

    async fn phase(&self, organization: Uuid, gateway: &str) -> ConnectionPhase {
        let request = LookupConnectionRequest {
            gateway_id: gateway.to_owned(),
        };
        self.service(organization)
            .lookup_connection(request)
            .await
            .map_or(ConnectionPhase::Unspecified, |connection| {
                connection.into_inner().phase()
            })
    }
}

/// A gateway as a row: nobody looked at it before.
async fn row(database: &str, organization: Uuid, fake: &FakeGateway, sealer: &Sealer) -> Uuid {
    let id = Uuid::now_v7();
    let token = sealer
        .seal(&format!("gateway.token:{id}"), fake.token().as_bytes())
        .expect("sealed");
    let pool = sqlx::PgPool::connect(database).await.expect("a connection");
    sqlx::query(
        "INSERT INTO gateway.gateways (id, organization_id, name, url, workspace_root, token) VALUES ($1, $2, 'Lab', $3, '~', $4)",
    )
    .bind(id)
    .bind(organization)
    .bind(fake.url())
    .bind(token)
    .execute(&pool)
    .await
    .expect("a row");
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_keeps_a_session_and_another_takes_it_over_when_it_is_killed() {
    let fake = FakeGateway::start(Options::default()).await;
    let database = database(&[SCHEMA]).await;
    let organization = org();
    let mut first = Replica::start(&database.url).await;
    let gateway = row(&database.url, organization, &fake, &first.context.sealer)
        .await
        .to_string();
    let connected = async |replica: &Replica| {
        eventually("the connection", || async {
            (replica.phase(organization, &gateway).await == ConnectionPhase::Connected).then_some(())
        })
        .await;
    };
    connected(&first).await;
    let mut second = Replica::start(&database.url).await;
    // The other one knows how it stands, and passes work on.
    connected(&second).await;
    for replica in [&first, &second] {
        replica.reset(organization, &gateway).await.expect("done");
    }
    assert_eq!(fake.calls_of("sessions.reset").len(), 2);
    assert_eq!(fake.connections(), 1, "there is one session");

    first.kill();
    eventually("the takeover", || async {
        second.reset(organization, &gateway).await.ok()
    })
    .await;
    assert_eq!(fake.connections(), 2);
    connected(&second).await;

    // One that comes back finds its place taken, and gets it when the other one leaves in order.
    let third = Replica::start(&database.url).await;
    connected(&third).await;
    third.reset(organization, &gateway).await.expect("passed on");
    assert_eq!(fake.connections(), 2);
    second.context.stop.cancel();
    eventually("the takeover", || async {
        (fake.connections() == 3 && third.reset(organization, &gateway).await.is_ok()).then_some(())
    })
    .await;
    second.kill();
}
