//! Security headers of every answer.

use chassis::settings::Settings;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use parking_lot::RwLock;

use crate::oidc;

/// What the page may load; and talk to, beside itself: nothing, or where people sign in.
fn page_policy(origins: &[String]) -> HeaderValue {
    let connect: Vec<_> = ["'self'"]
        .into_iter()
        .chain(origins.iter().map(String::as_str))
        .collect();
    let connect = connect.join(" ");
    HeaderValue::try_from(format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src {connect}; worker-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ))
    .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// Headers from the settings; blank ones are left out.
pub struct SecurityHeaders {
    headers: Vec<(HeaderName, HeaderValue)>,
    page: RwLock<HeaderValue>,
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
        // Until the issuer has said where its endpoints are, its own origin is all that is known.
        let issuer = settings
            .auth_mode
            .has_issuer()
            .then(|| oidc::origin(&settings.oidc_issuer))
            .flatten();
        let page = RwLock::new(page_policy(issuer.as_slice()));
        Self { headers, page }
    }

    /// Lets the page talk to these origins and to no others, beside its own.
    pub fn allow(&self, origins: &[String]) {
        *self.page.write() = page_policy(origins);
    }

    /// Adds the headers that the answer does not have.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }

    /// The content security policy of the page's files.
    pub fn page(&self) -> HeaderValue {
        self.page.read().clone()
    }
}
