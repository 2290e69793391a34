//! Changes that hold only for what the caller has seen: `If-Match` ([RFC 9110, 13.1.1](https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1)).
//!
//! A resource answers an `etag`; a method with the option `if_match` compares it with the one the caller sends, as the REST header or the gRPC
//! metadata of that name, after it has locked the row:
//!
//! ```ignore
//! let if_match = IfMatch::of(&request);
//! // ... begin, read the row FOR UPDATE ...
//! if_match.check(&row.etag())?;
//! ```
//!
//! In proto the field is `string etag = N [(missioncontrol.options.v1.field) = {header: "ETag", in_body: true}]`.

use tonic::Request;

use crate::{Error, Result, error::Kind};

/// Name of the header and of the metadata key.
pub const IF_MATCH: &str = "if-match";

/// The etags for which a caller wants a change to happen. Without any, it happens whatever the resource's is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// The condition of a request.
    pub fn of<T>(request: &Request<T>) -> Self {
        let mut given = request
            .metadata()
            .get_all(IF_MATCH)
            .iter()
            // What is no text matches nothing.
            .map(|value| value.to_str().unwrap_or("\u{0}"))
            .peekable();
        if given.peek().is_none() {
            return Self::default();
        }
        Self::parse(given)
    }

    /// Quotes, and the mark of weak etags that proxies add when they compress, do not matter.
    fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let etags = values
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .map(|etag| etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"').to_owned());
        Self(Some(etags.collect()))
    }

    /// Refuses the change ([`Kind::Stale`]) when the resource's etag is none of those the caller named.
    pub fn check(&self, etag: &str) -> Result<()> {
        match &self.0 {
            Some(seen) if !seen.iter().any(|seen| seen == "*" || seen == etag) => Err(Error::new(
                Kind::Stale,
                "It has changed since you read it: the etag in If-Match is not the current one.",
            )
            .with("rule", "if_match")
            .with("etag", etag)
            .with("remedy", "Read it again, and repeat the change with its current etag; without If-Match the change is made regardless.")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_made_for_what_was_seen() {
        for (given, etag, fits) in [
            (&[][..], "7", true),
            (&["7"], "7", true),
            (&["\"7\""], "7", true),
            (&["W/\"7\""], "7", true),
            (&["\"5\", \"7\""], "7", true),
            (&["\"5\"", "\"7\""], "7", true),
            (&["*"], "7", true),
            (&["\"6\""], "7", false),
            (&["77"], "7", false),
            (&[""], "7", false),
        ] {
            let mut request = Request::new(());
            for value in given {
                request.metadata_mut().append(IF_MATCH, value.parse().unwrap());
            }
            let outcome = IfMatch::of(&request).check(etag);
            assert_eq!(outcome.is_ok(), fits, "{given:?}");
            if let Err(error) = outcome {
                assert_eq!(error.kind(), Kind::Stale);
            }
        }
    }
}
