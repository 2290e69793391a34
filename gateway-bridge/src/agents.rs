//! What the agent service does on gateways.

use std::time::Duration;

use chassis::{
    Caller, Error, Result, Store,
    channel::Peer,
    error::Kind as ErrorKind,
    identity::{optional_uuid, uuid_of},
};
use proto::{
    common::v1::Ok as Done,
    gateway::v1::{
        ConfigureHeartbeatsRequest, ConfigureHeartbeatsResponse, EnsureAgentRequest, EnsureAgentResponse, Gateway,
        GatewayConnection, LookupConnectionRequest, LookupGatewayRequest, ReadAgentFileRequest, ReadAgentFileResponse,
        RemoveAgentRequest, ResetSessionRequest, SendMessageRequest, SendMessageResponse, WriteAgentFilesRequest,
        WriteAgentFilesResponse, gateway_runtime_service_client::GatewayRuntimeServiceClient,
        gateway_runtime_service_server::GatewayRuntimeService,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tonic::{Request, Response, Status};

use crate::{
    gateways::find,
    rules,
    session::{AgentSpec, Failure, FileWrite, Heartbeat, Kind, Retry, WorkspaceFile},
    supervisor::{Live, Supervisor},
};

/// Longest time for a change of agents or configuration: it may wait for others and for the gateway's rate limit. Callers with less
/// patience ask again: everything here adopts what an earlier call did.
const CHANGE: Duration = Duration::from_mins(2);

/// The service behind the agent service.
pub struct Runtime {
    pub store: Store,
    pub supervisor: Supervisor,
}

/// A failure as an error of this service, with what a reconciler decides on beside the message.
fn gateway_error(failure: Failure) -> Error {
    let message = rules::sentence(&failure);
    let error = match failure.kind {
        Kind::Deadline => Error::new(ErrorKind::Deadline, message),
        Kind::ConfigInvalid | Kind::TooLarge => Error::unprocessable(message),
        _ => Error::gateway(message),
    };
    let error = error
        .with("code", rules::error_code(failure.kind))
        .with("retryable", !matches!(failure.retry, Retry::Never | Retry::AwaitUser));
    let error = match failure.pairing_request_id {
        Some(id) => error.with("pairing_request_id", String::from(id)),
        None => error,
    };
    match failure.retry {
        Retry::After(wait) => error.retry_after(wait),
        _ => error,
    }
}

/// A request about one gateway.
trait AboutGateway {
    fn gateway_id(&self) -> &str;
}

macro_rules! about_gateway {
    ($($request:ty),+) => {$(
        impl AboutGateway for $request {
            fn gateway_id(&self) -> &str {
                &self.gateway_id
            }
        }
    )+};
}

about_gateway!(
    EnsureAgentRequest,
    WriteAgentFilesRequest,
    ReadAgentFileRequest,
    ConfigureHeartbeatsRequest,
    SendMessageRequest,
    ResetSessionRequest,
    RemoveAgentRequest
);

impl Runtime {
    /// The replica that keeps the gateway's session, when it is another one.
    async fn elsewhere<T: AboutGateway>(
        &self,
        request: &Request<T>,
    ) -> Result<Option<GatewayRuntimeServiceClient<Peer>>> {
        let id = uuid_of(request.get_ref().gateway_id())?;
        let owner = self.supervisor.elsewhere(request, id).await?;
        Ok(owner.map(GatewayRuntimeServiceClient::new))
    }

    /// The live gateway of a request, of the caller's organization if it acts in one.
    async fn live<T>(&self, request: &Request<T>, gateway: &str) -> Result<Live> {
        let organization = Caller::of(request)?.organization().ok();
        let live = self.supervisor.live(uuid_of(gateway)?).await?;
        match organization {
            Some(organization) if organization != live.organization => Err(Error::not_found("Gateway not found")),
            _ => Ok(live),
        }
    }
}

#[tonic::async_trait]
impl GatewayRuntimeService for Runtime {
    async fn lookup_gateway(&self, request: Request<LookupGatewayRequest>) -> Result<Response<Gateway>, Status> {
        let request = request.into_inner();
        let organization = optional_uuid(Some(&request.organization_id).filter(|id| !id.is_empty()))?;
        let row = find(&self.store, organization, uuid_of(&request.gateway_id)?).await?;
        Ok(Response::new(row.into()))
    }

    async fn lookup_connection(
        &self,
        request: Request<LookupConnectionRequest>,
    ) -> Result<Response<GatewayConnection>, Status> {
        let id = uuid_of(&request.get_ref().gateway_id)?;
        find(&self.store, Caller::of(&request)?.organization().ok(), id).await?;
        Ok(Response::new(self.supervisor.connection(id).await?))
    }

    async fn ensure_agent(
        &self,
        request: Request<EnsureAgentRequest>,
    ) -> Result<Response<EnsureAgentResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request).await? {
            return owner.ensure_agent(request.into_inner()).await;
        }
        let live = self.live(&request, &request.get_ref().gateway_id).await?;
        let request = request.into_inner();
        let spec = AgentSpec {
            id: request.agent_key,
            name: request.name,
            workspace: request.workspace,
            heartbeat: None,
        };
        let outcome = live.gateway.ensure_agent(&spec, CHANGE).await.map_err(gateway_error)?;
        Ok(Response::new(EnsureAgentResponse {
            created: outcome.created,
            updated: outcome.updated,
        }))
    }

    async fn write_agent_files(
        &self,
        request: Request<WriteAgentFilesRequest>,
    ) -> Result<Response<WriteAgentFilesResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request).await? {
            return owner.write_agent_files(request.into_inner()).await;
        }
        let live = self.live(&request, &request.get_ref().gateway_id).await?;
        let request = request.into_inner();
        let files: Vec<_> = request
            .files
            .into_iter()
            .map(|file| WorkspaceFile {
                name: file.name,
                content: SecretString::from(file.content),
                keep_existing: file.keep_existing,
            })
            .collect();
        let profile = live.gateway.profile().await.map_err(gateway_error)?;
        let outcomes = live
            .gateway
            .set_files(&request.agent_key, &files)
            .await
            .map_err(gateway_error)?;
        let mut answer = WriteAgentFilesResponse::default();
        for (name, outcome) in outcomes {
            let place = profile.place_of(&name);
            match (outcome, place) {
                (FileWrite::Unsupported(reason), _) => answer.mapped.push(format!("{name} -> nowhere: {reason}")),
                (outcome, place) => {
                    if let Some(place) = place {
                        answer.mapped.push(format!("{name} -> {place}"));
                    }
                    if outcome == FileWrite::Written {
                        answer.written.push(name);
                    } else {
                        answer.unchanged.push(name);
                    }
                }
            }
        }
        Ok(Response::new(answer))
    }

    async fn read_agent_file(
        &self,
        request: Request<ReadAgentFileRequest>,
    ) -> Result<Response<ReadAgentFileResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request).await? {
            return owner.read_agent_file(request.into_inner()).await;
        }
        let live = self.live(&request, &request.get_ref().gateway_id).await?;
        let request = request.into_inner();
        let content = live
            .gateway
            .get_file(&request.agent_key, &request.name)
            .await
            .map_err(gateway_error)?;
        Ok(Response::new(ReadAgentFileResponse {
            exists: content.is_some(),
            content: content.map(|text| text.expose_secret().to_owned()).unwrap_or_default(),
        }))
    }

    async fn configure_heartbeats(
        &self,
        request: Request<ConfigureHeartbeatsRequest>,
    ) -> Result<Response<ConfigureHeartbeatsResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request).await? {
            return owner.configure_heartbeats(request.into_inner()).await;
        }
        let live = self.live(&request, &request.get_ref().gateway_id).await?;
        let mut heartbeats = Vec::new();
        for agent in request.into_inner().agents {
            let Ok(Value::Object(settings)) = serde_json::from_slice(&agent.heartbeat) else {
                return Err(Error::invalid("agents.heartbeat", "heartbeat must be a JSON object.").into());
            };
            heartbeats.push((agent.agent_key, Heartbeat::new(settings)));
        }
        let changed = live
            .gateway
            .set_heartbeats(&heartbeats, CHANGE)
            .await
            .map_err(gateway_error)?;
        Ok(Response::new(ConfigureHeartbeatsResponse { changed }))
    }

    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        if let Some(mut owner) = self.elsewhere(&request).await? {
            return owner.send_message(request.into_inner()).await;
        }
        let live = self.live(&request, &request.get_ref().gateway_id).await?;
        let request = request.into_inner();
        if request.idempotency_key.is_empty() {
            return Err(Error::invalid(
                "idempotency_key",
                "idempotency_key is required: a message is sent once per key.",
            )
            .into());
        }
        if !request.label.is_empty() {
            live.label(&request.session_key, &request.label)
                .await
                .map_err(gateway_error)?;
        }
        let receipt = live
            .gateway
            .chat_send(
                &request.session_key,
                &request.text,
                &request.idempotency_key,
                request.deliver,
            )
            .await
            .map_err(gateway_error)?;
        Ok(Response::new(SendMessageResponse { run_id: receipt.run_id }))
    }

    async fn reset_session(&self, request: Request<ResetSessionRequest>) -> Result<Response<Done>, Status> {
        if let Some(mut owner) = self.elsewhere(&request).await? {
            return owner.reset_session(request.into_inner()).await;
        }
        let live = self.live(&request, &request.get_ref().gateway_id).await?;
        let key = &request.get_ref().session_key;
        live.gateway.reset_session(key).await.map_err(gateway_error)?;
        live.unlabel(key);
        Ok(Response::new(Done { ok: true }))
    }

    async fn remove_agent(&self, request: Request<RemoveAgentRequest>) -> Result<Response<Done>, Status> {
        if let Some(mut owner) = self.elsewhere(&request).await? {
            return owner.remove_agent(request.into_inner()).await;
        }
        let live = self.live(&request, &request.get_ref().gateway_id).await?;
        let request = request.into_inner();
        live.gateway
            .delete_agent(&request.agent_key, CHANGE)
            .await
            .map_err(gateway_error)?;
        let own = format!("agent:{}:main", request.agent_key);
        if !request.session_key.is_empty() && request.session_key != own {
            live.gateway
                .delete_session(&request.session_key)
                .await
                .map_err(gateway_error)?;
        }
        live.unlabel(&request.session_key);
        Ok(Response::new(Done { ok: true }))
    }
}
