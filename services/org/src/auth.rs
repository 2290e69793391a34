//! How to sign in.

use std::sync::Arc;

use chassis::settings::Settings;
use proto::org::v1::{AuthConfig, GetAuthConfigRequest, auth_service_server::AuthService};
use tonic::{Request, Response, Status};

/// The service behind `/auth/config`.
pub struct Auth {
    pub settings: Arc<Settings>,
}

#[tonic::async_trait]
impl AuthService for Auth {
    async fn get_auth_config(&self, _: Request<GetAuthConfigRequest>) -> Result<Response<AuthConfig>, Status> {
        let settings = &self.settings;
        if !settings.auth_mode.has_issuer() {
            return Ok(Response::new(AuthConfig {
                mode: "local".to_owned(),
                ..AuthConfig::default()
            }));
        }
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(Response::new(AuthConfig {
            mode: "oidc".to_owned(),
            issuer: text(&settings.oidc_issuer),
            client_id: text(&settings.oidc_client_id),
            audience: settings.oidc_audience.split(',').find_map(text),
            scope: text(&settings.oidc_scope),
        }))
    }
}
