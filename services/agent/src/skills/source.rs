//! Which repositories may be skill packs, and what their addresses are in one form. Pure decisions.

use chassis::{Error, Result, error::Kind};
use url::{Host, Url};

/// The branch when none is given.
pub const BRANCH: &str = "main";
const GITHUB: &str = "github.com";

/// Hosts that skill packs may come from.
#[derive(Clone, Debug)]
pub struct Hosts {
    every: bool,
    /// `host` or `host:port`, lower case.
    named: Vec<String>,
}

impl Hosts {
    /// Reads `SKILL_PACK_HOSTS`.
    pub fn parse(text: &str) -> Self {
        let named: Vec<String> = text
            .split(',')
            .map(|host| host.trim().to_lowercase())
            .filter(|host| !host.is_empty())
            .collect();
        Self {
            every: named.iter().any(|host| host == "*"),
            named,
        }
    }

    fn has(&self, authority: &str) -> bool {
        self.every || self.named.iter().any(|host| host == authority)
    }

    fn only_github(&self) -> bool {
        !self.every && self.named == [GITHUB]
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Kind::BadRequest, message)
}

/// The address of a repository in its plain form (no blanks, slash or `.git` at its end), if it may be a pack.
pub fn repository(text: &str, hosts: &Hosts) -> Result<String> {
    let Ok(url) = Url::parse(text.trim()) else {
        return Err(Error::invalid(
            "source_url",
            "source_url must be an absolute URL: https://github.com/<owner>/<repo>.",
        ));
    };
    if url.scheme() != "https" {
        return Err(refused(format!(
            "Unsupported pack source URL scheme: '{}'",
            url.scheme()
        )));
    }
    let host = url.host_str().unwrap_or_default().to_lowercase();
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.clone(),
    };
    let local = host == "localhost" || host.ends_with(".localhost") || !matches!(url.host(), Some(Host::Domain(_)));
    if local && !hosts.named.contains(&authority) {
        return Err(refused("Pack source URL hostname is not allowed"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "Pack source URL must not carry a user or password: packs are public repositories",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused(
            "Pack source URL must be the repository's own address, without `?` or `#`",
        ));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
    let parts = path.split('/').filter(|part| !part.is_empty()).count();
    if !hosts.has(&authority) || (host == GITHUB && parts != 2) || parts == 0 {
        return Err(refused(if hosts.only_github() || host == GITHUB {
            "Pack source URL must be a GitHub repository URL (https://github.com/<owner>/<repo>)".to_owned()
        } else if hosts.every {
            "Pack source URL must name a repository (https://<host>/<path>)".to_owned()
        } else {
            format!(
                "Pack source URL must name a repository on one of these hosts: {}",
                hosts.named.join(", ")
            )
        }));
    }
    Ok(format!("https://{authority}{path}"))
}

/// The name of a pack that was given none: the last part of its address, with blanks.
pub fn named(repository: &str) -> String {
    let last = repository.rsplit('/').next().unwrap_or_default();
    let name = last.replace(['-', '_'], " ").trim().to_owned();
    if name.is_empty() { repository.to_owned() } else { name }
}

/// The branch to read: what is given, if it can be a branch.
pub fn branch(given: Option<&str>) -> String {
    let given = given.map(str::trim).unwrap_or_default();
    let fits = !given.is_empty()
        && given
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'));
    if fits { given.to_owned() } else { BRANCH.to_owned() }
}

/// The address of a single skill in its plain form.
pub fn skill(text: &str) -> Result<String> {
    match Url::parse(text.trim()) {
        Ok(url) if url.username().is_empty() && url.password().is_none() => {
            Ok(url.as_str().trim_end_matches('/').to_owned())
        }
        Ok(_) => Err(Error::invalid(
            "source_url",
            "source_url must not carry a user or password.",
        )),
        Err(_) => Err(Error::invalid("source_url", "source_url must be an absolute URL.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_one_plain_form() {
        let hosts = Hosts::parse("github.com, git.example.com:8443");
        for (given, plain) in [
            (
                " https://github.com/acme/skills.git/ ",
                "https://github.com/acme/skills",
            ),
            ("https://GitHub.com/acme/skills", "https://github.com/acme/skills"),
            ("https://github.com:443/acme/skills/", "https://github.com/acme/skills"),
            (
                "https://git.example.com:8443/one.git",
                "https://git.example.com:8443/one",
            ),
            (
                "https://git.example.com:8443/a/b/c",
                "https://git.example.com:8443/a/b/c",
            ),
        ] {
            assert_eq!(repository(given, &hosts).expect(given), plain);
        }
    }

    #[test]
    fn other_places_are_refused_with_the_reason() {
        let hosts = Hosts::parse("github.com");
        for (given, why) in [
            ("http://github.com/a/b", "Unsupported pack source URL scheme: 'http'"),
            ("ssh://git@github.com/a/b", "Unsupported pack source URL scheme: 'ssh'"),
            ("https://github.com/a", "must be a GitHub repository URL"),
            ("https://github.com/a/b/tree/main", "must be a GitHub repository URL"),
            ("https://gitlab.com/a/b", "must be a GitHub repository URL"),
            ("https://localhost/a/b", "hostname is not allowed"),
            ("https://127.0.0.1/a/b", "hostname is not allowed"),
            ("https://[::1]/a/b", "hostname is not allowed"),
            ("https://me:secret@github.com/a/b", "user or password"),
            ("https://github.com/a/b?x=1", "without `?`"),
            ("https://github.com:8443/a/b", "must be a GitHub repository URL"),
        ] {
            let error = repository(given, &hosts).expect_err(given);
            assert_eq!(error.kind(), Kind::BadRequest, "{given}");
            assert!(error.to_string().contains(why), "{given}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let every = Hosts::parse("*");
        assert!(repository("https://gitlab.com/a/b/c", &every).is_ok());
        assert!(
            repository("https://10.0.0.1/a", &every).is_err(),
            "addresses are named or not allowed"
        );
        let named = Hosts::parse("*,127.0.0.1:8443");
        assert!(repository("https://127.0.0.1:8443/a", &named).is_ok());
        assert_eq!(
            repository("nonsense", &hosts).expect_err("no URL").kind(),
            Kind::Invalid
        );
    }

    #[test]
    fn names_and_branches_have_defaults() {
        assert_eq!(named("https://github.com/a/ai-marketing_skills"), "ai marketing skills");
        assert_eq!(named("https://github.com/a/---"), "https://github.com/a/---");
        for (given, expected) in [
            (None, "main"),
            (Some(" "), "main"),
            (Some(" dev/x-1_2.3 "), "dev/x-1_2.3"),
            (Some("a b"), "main"),
            (Some("a;b"), "main"),
        ] {
            assert_eq!(branch(given), expected, "{given:?}");
        }
    }
}
