//! Security headers of every answer.

use chassis::settings::Settings;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What the page may load and talk to: itself, nothing else.
pub const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                               connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers from the settings; blank ones are left out.
pub struct SecurityHeaders(Vec<(HeaderName, HeaderValue)>);

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
        Self(headers)
    }

    /// Adds the headers that the answer does not have.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}
