//! Security headers of every answer.

use chassis::settings::Settings;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What the page may load; and talk to, beside itself: nothing, or the issuer that people sign in with.
fn page_policy(issuer: Option<&str>) -> String {
    let issuer = issuer.map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'{issuer}; worker-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// The origin of the issuer of the settings, when people sign in with one.
fn issuer(settings: &Settings) -> Option<String> {
    let (scheme, rest) = settings.oidc_issuer.trim().split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    settings.auth_mode.has_issuer().then(|| format!("{scheme}://{host}"))
}

/// Headers from the settings; blank ones are left out.
pub struct SecurityHeaders {
    headers: Vec<(HeaderName, HeaderValue)>,
    page: HeaderValue,
}

impl SecurityHeaders {
    /// The headers of the settings. Values that cannot be header values are left out with a warning.
    pub fn new(settings: &Settings) -> Self {
        let configured = [
            (header::X_CONTENT_TYPE_OPTIONS, &settings.x_content_type_options),
            (header::X_FRAME_OPTIONS, &settings.x_frame_options),
            (header::REFERRER_POLICY, &settings.referrer_policy),
            (
                HeaderName::from_static("permissions-policy"),
                &settings.permissions_policy,
            ),
        ];
        let mut headers = Vec::new();
        for (name, value) in configured {
            match HeaderValue::from_str(value.trim()) {
                Ok(value) if !value.is_empty() => headers.push((name, value)),
                Ok(_) => {}
                Err(_) => tracing::warn!(header = %name, "the configured value is not a header value: it is left out"),
            }
        }
        let page = HeaderValue::try_from(page_policy(issuer(settings).as_deref()))
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        Self { headers, page }
    }

    /// Adds the headers that the answer does not have.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }

    /// The content security policy of the page's files.
    pub fn page(&self) -> HeaderValue {
        self.page.clone()
    }
}
