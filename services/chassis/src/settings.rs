//! Configuration: environment variables, with the reference's names where it has them. `mission-control serve --help` is the list.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

/// How people sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// One shared local token.
    Local,
    /// JSON Web Tokens of an OpenID Connect issuer.
    Oidc,
    /// The same with Clerk's issuer, whose session tokens name no audience.
    Clerk,
}

impl AuthMode {
    /// Whether people show tokens of an issuer.
    pub fn has_issuer(self) -> bool {
        self != Self::Local
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// All settings. `Debug` shows none of them: some are secrets, and URLs hold passwords.
#[derive(Args, Clone)]
pub struct Settings {
    /// PostgreSQL connection URL. `up` starts a private PostgreSQL when it is not set.
    #[arg(long, env = "DATABASE_URL", default_value = "", hide_env_values = true)]
    pub database_url: String,
    /// Connections a role keeps at most.
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 12)]
    pub database_connections: u32,
    /// RabbitMQ URL (amqp:// or amqps://). Empty: the bus inside the process, for `up` only.
    #[arg(long, env = "AMQP_URL", default_value = "", hide_env_values = true)]
    pub amqp_url: String,
    /// How people sign in.
    #[arg(long, env = "AUTH_MODE", value_enum, default_value = "local")]
    pub auth_mode: AuthMode,
    /// The local token: at least 50 characters and no placeholder. `up` makes one on the first start.
    #[arg(long, env = "LOCAL_AUTH_TOKEN", default_value = "", hide_env_values = true)]
    pub local_auth_token: SecretString,
    /// The OpenID Connect issuer of AUTH_MODE=oidc and clerk, exactly as its tokens name it in `iss`.
    #[arg(long, env = "OIDC_ISSUER", default_value = "")]
    pub oidc_issuer: String,
    /// Where the issuer's keys are. Empty: found by discovery below OIDC_ISSUER.
    #[arg(long, env = "OIDC_JWKS_URL", default_value = "")]
    pub oidc_jwks_url: String,
    /// Audiences of which a token must name one, comma separated. Needed for AUTH_MODE=oidc.
    #[arg(long, env = "OIDC_AUDIENCE", default_value = "")]
    pub oidc_audience: String,
    /// Client id of the page at the issuer, for signing in with authorization code and PKCE.
    #[arg(long, env = "OIDC_CLIENT_ID", default_value = "")]
    pub oidc_client_id: String,
    /// Scopes that the page asks for.
    #[arg(long, env = "OIDC_SCOPE", default_value = "openid profile email")]
    pub oidc_scope: String,
    /// How far the issuer's clock may be off, in seconds.
    #[arg(long, env = "OIDC_LEEWAY", default_value_t = 10)]
    pub oidc_leeway: u64,
    /// Master secret that signing and encryption keys are derived from: at least 32 characters. `up` makes one on the first start.
    #[arg(long, env = "SECRET_KEY", default_value = "", hide_env_values = true)]
    pub secret_key: SecretString,
    /// Address of the one public port.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// Address of the internal gRPC port of `serve`.
    #[arg(long, env = "GRPC_LISTEN", default_value = "127.0.0.1:5100")]
    pub grpc_listen: SocketAddr,
    /// Where other replicas of the same role reach this process (`http://host:port`), for `serve gateway-bridge`. Empty: GRPC_LISTEN, when
    /// that names an address.
    #[arg(long, env = "GRPC_ADVERTISE", default_value = "")]
    pub grpc_advertise: String,
    /// Where the other roles are (`org=http://host:port,board=...`), for `serve`.
    #[arg(long, env = "PEERS", default_value = "")]
    pub peers: String,
    /// Directory of `up`: private PostgreSQL, token and keys.
    #[arg(long, env = "DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory with PostgreSQL's binaries (`initdb`, `postgres`, `pg_ctl`), for `up`; searched when not set.
    #[arg(long, env = "PG_BIN_DIR")]
    pub pg_bin_dir: Option<PathBuf>,
    /// Public URL of the edge: written into agents' files. Empty: `http://` and LISTEN.
    #[arg(long, env = "BASE_URL", default_value = "")]
    pub base_url: String,
    /// Origins that browsers may call from, comma separated. Empty: none but our own.
    #[arg(long, env = "CORS_ORIGINS", default_value = "")]
    pub cors_origins: String,
    /// Addresses or networks whose forwarding headers count, comma separated.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: String,
    /// Oldest gateway version that is fully supported; older ones get a warning.
    #[arg(long, env = "GATEWAY_MIN_VERSION", default_value = "2026.02.9")]
    pub gateway_min_version: String,
    /// Networks that webhooks may go to although they are private (CIDR, comma separated); `*` is all, for development.
    #[arg(long, env = "WEBHOOK_ALLOWED_NETWORKS", default_value = "")]
    pub webhook_allowed_networks: String,
    /// PEM file with certificate authorities that calls to the outside trust beside the public ones and the machine's.
    #[arg(long, env = "TLS_CA_FILE")]
    pub tls_ca_file: Option<PathBuf>,
    /// Hosts whose repositories may be skill packs (`github.com,git.example.com:8443`); `*` is every host.
    #[arg(long, env = "SKILL_PACK_HOSTS", default_value = "github.com")]
    pub skill_pack_hosts: String,
    /// Networks that skill packs may be read from although they are private (CIDR, comma separated); `*` is all.
    #[arg(long, env = "SKILL_PACK_ALLOWED_NETWORKS", default_value = "")]
    pub skill_pack_allowed_networks: String,
    /// The directory of souls: its sitemap lists them. Empty: none.
    #[arg(long, env = "SOULS_DIRECTORY_URL", default_value = "https://souls.directory")]
    pub souls_directory_url: String,
    /// Delays before webhook attempts 2, 3, ... (`5s,5m,30m,2h,5h,10h,10h`).
    #[arg(long, env = "WEBHOOK_RETRY_SCHEDULE", default_value = "5s,5m,30m,2h,5h,10h,10h")]
    pub webhook_retry_schedule: String,
    /// Largest request body, in bytes.
    #[arg(long, env = "MAX_BODY_BYTES", default_value_t = 2 * 1024 * 1024)]
    pub max_body_bytes: usize,
    /// Requests a minute of one agent; 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_AGENT", default_value_t = 600)]
    pub rate_limit_agent: u32,
    /// Requests a minute of one person; 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_USER", default_value_t = 12_000)]
    pub rate_limit_user: u32,
    /// Value of X-Content-Type-Options; blank leaves it out.
    #[arg(long, env = "SECURITY_HEADER_X_CONTENT_TYPE_OPTIONS", default_value = "nosniff")]
    pub x_content_type_options: String,
    /// Value of X-Frame-Options; blank leaves it out.
    #[arg(long, env = "SECURITY_HEADER_X_FRAME_OPTIONS", default_value = "DENY")]
    pub x_frame_options: String,
    /// Value of Referrer-Policy; blank leaves it out.
    #[arg(
        long,
        env = "SECURITY_HEADER_REFERRER_POLICY",
        default_value = "strict-origin-when-cross-origin"
    )]
    pub referrer_policy: String,
    /// Value of Permissions-Policy; blank leaves it out.
    #[arg(long, env = "SECURITY_HEADER_PERMISSIONS_POLICY", default_value = "")]
    pub permissions_policy: String,
    /// What is logged (`info`, or a filter such as `info,sqlx=debug`).
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// How logs are written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Requests that take longer are logged as slow, in milliseconds.
    #[arg(long, env = "REQUEST_LOG_SLOW_MS", default_value_t = 1000)]
    pub request_log_slow_ms: u64,
    /// Log health requests too.
    #[arg(long, env = "REQUEST_LOG_INCLUDE_HEALTH", default_value_t = false, action = clap::ArgAction::Set)]
    pub request_log_include_health: bool,
    /// OTLP endpoint (gRPC) for traces; empty: none.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", default_value = "")]
    pub otlp_endpoint: String,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Settings").finish_non_exhaustive()
    }
}

const PLACEHOLDERS: [&str; 4] = [
    "change-me",
    "changeme",
    "replace-me",
    "replace-with-strong-random-token",
];

impl Settings {
    /// Every mistake at once, each with its remedy; empty when there is none.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.database_url.is_empty() {
            found.push(
                "DATABASE_URL is not set: give a PostgreSQL URL, or use `mission-control up`, which brings its own."
                    .to_owned(),
            );
        } else if self.database_url.parse::<sqlx::postgres::PgConnectOptions>().is_err() {
            found
                .push("DATABASE_URL is not a PostgreSQL URL (postgres://user:password@host:port/database).".to_owned());
        }
        if self.auth_mode.has_issuer() {
            self.issuer_mistakes(&mut found);
        } else {
            self.token_mistakes(&mut found);
        }
        if self.secret_key.expose_secret().len() < 32 {
            found.push("SECRET_KEY must have at least 32 characters: `openssl rand -hex 32` makes one. Keep it: stored secrets cannot be read without it.".to_owned());
        }
        if !self.base_url.is_empty()
            && !matches!(url::Url::parse(&self.base_url), Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            found.push("BASE_URL must be an absolute http or https URL.".to_owned());
        }
        if !self.souls_directory_url.is_empty()
            && !matches!(url::Url::parse(&self.souls_directory_url), Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            found.push("SOULS_DIRECTORY_URL must be an absolute http or https URL, or empty.".to_owned());
        }
        if let Some(file) = &self.tls_ca_file
            && let Err(error) = crate::tls::client_config_with(Some(file))
        {
            found.push(format!("TLS_CA_FILE cannot be used: {}", error.report()));
        }
        if let Err(error) = self.peer_list() {
            found.push(error);
        }
        found
    }

    fn token_mistakes(&self, found: &mut Vec<String>) {
        let token = self.local_auth_token.expose_secret().trim();
        if token.chars().count() < 50 {
            found.push(
                "LOCAL_AUTH_TOKEN must have at least 50 characters: `openssl rand -hex 32` makes one.".to_owned(),
            );
        } else if PLACEHOLDERS
            .iter()
            .any(|placeholder| token.to_lowercase().starts_with(placeholder))
        {
            found.push("LOCAL_AUTH_TOKEN is a placeholder: `openssl rand -hex 32` makes a real one.".to_owned());
        }
    }

    fn issuer_mistakes(&self, found: &mut Vec<String>) {
        // What is fetched decides who may sign in: it must not be changed on the way.
        let safe = |text: &str| {
            url::Url::parse(text).is_ok_and(|url| {
                let loopback = match url.host() {
                    Some(url::Host::Domain(name)) => name == "localhost",
                    Some(url::Host::Ipv4(address)) => address.is_loopback(),
                    Some(url::Host::Ipv6(address)) => address.is_loopback(),
                    None => false,
                };
                url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
            })
        };
        if !safe(self.oidc_issuer.trim()) {
            found.push(
                "OIDC_ISSUER must be the https URL of the identity provider, exactly as its tokens name it.".to_owned(),
            );
        }
        let keys = self.oidc_jwks_url.trim();
        if !keys.is_empty() && !safe(keys) {
            found.push("OIDC_JWKS_URL must be an https URL; leave it out to find the keys by discovery.".to_owned());
        }
        if self.auth_mode == AuthMode::Oidc && self.oidc_audience.trim().is_empty() {
            found.push("OIDC_AUDIENCE is not set: without it tokens that were made for other applications would count. Most providers put the client id there.".to_owned());
        }
    }

    /// `BASE_URL` without a trailing slash; by default the public port.
    pub fn public_url(&self) -> String {
        match self.base_url.trim_end_matches('/') {
            "" => format!("http://{}", self.listen),
            url => url.to_owned(),
        }
    }

    /// Where other replicas reach this process; `None` when only a name that is not set could say it.
    pub fn advertised(&self) -> Option<String> {
        match self.grpc_advertise.trim_end_matches('/') {
            "" if self.grpc_listen.ip().is_unspecified() => None,
            "" => Some(format!("http://{}", self.grpc_listen)),
            url => Some(url.to_owned()),
        }
    }

    /// `PEERS` as pairs of role and URL.
    pub fn peer_list(&self) -> Result<Vec<(String, String)>, String> {
        self.peers
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                pair.split_once('=')
                    .map(|(role, url)| (role.trim().to_owned(), url.trim().to_owned()))
                    .ok_or_else(|| format!("PEERS has `{pair}`: write role=http://host:port, comma separated."))
            })
            .collect()
    }
}
