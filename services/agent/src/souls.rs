//! The directory of souls: searched and read for people and agents, and asked for the soul of a worker's role.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chassis::{Caller, Error, Result, Store, egress, settings::Settings};
use proto::agent::v1::{
    GetSoulRequest, SearchSoulsRequest, SearchSoulsResponse, Soul, SoulRef,
    soul_directory_service_server::SoulDirectoryService,
};
use reqwest::{Client, StatusCode};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};
use url::Url;

use crate::{app::App, row::AgentRow};

/// How long the directory may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How old the list of souls may be.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a directory that failed is left alone.
const REST: Duration = Duration::from_secs(15);
/// Largest list and largest soul, in bytes.
const LIST: usize = 16 << 20;
const TEXT: usize = 1 << 20;
/// Longest soul of a role, in characters.
const ROLE_SOUL: usize = 24_000;

/// A soul's place in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    handle: String,
    slug: String,
}

/// The soul of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSoul {
    /// Its text, markdown.
    pub markdown: String,
    /// Where it was read.
    pub source_url: String,
}

/// The directory.
pub struct Souls {
    base: Option<Url>,
    client: Client,
    store: Store,
    list: Mutex<Listed>,
}

/// What is known of the directory's list.
#[derive(Default)]
struct Listed {
    souls: Option<(Instant, Arc<[Place]>)>,
    /// The last failure, while the directory is left alone.
    failed: Option<(Instant, String)>,
}

impl Souls {
    /// The directory that the settings name.
    pub fn new(settings: &Settings, store: Store) -> Result<Self> {
        let base = match settings.souls_directory_url.trim() {
            "" => None,
            url => Some(Url::parse(url).map_err(|error| Error::invalid("SOULS_DIRECTORY_URL", error.to_string()))?),
        };
        Ok(Self {
            base,
            client: egress::trusted_client(settings.tls_ca_file.as_deref(), TIMEOUT)?,
            store,
            list: Mutex::default(),
        })
    }

    fn url(&self, path: &str) -> Result<Url> {
        let Some(base) = &self.base else {
            return Err(Error::gateway(
                "There is no souls directory: SOULS_DIRECTORY_URL is empty.",
            ));
        };
        let mut url = base.clone();
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
        Ok(url)
    }

    fn reference(&self, place: &Place) -> Result<SoulRef> {
        let Place { handle, slug } = place;
        Ok(SoulRef {
            page_url: self.url(&format!("souls/{handle}/{slug}"))?.into(),
            raw_md_url: self.url(&format!("api/souls/{handle}/{slug}.md"))?.into(),
            handle: handle.clone(),
            slug: slug.clone(),
        })
    }

    /// The directory's list. Whoever comes while it is fetched waits for that.
    async fn list(&self) -> Result<Arc<[Place]>> {
        let mut listed = self.list.lock().await;
        if let Some((at, souls)) = &listed.souls
            && at.elapsed() < FRESH
        {
            return Ok(souls.clone());
        }
        if let Some((at, why)) = &listed.failed
            && at.elapsed() < REST
        {
            return Err(Error::gateway(why.clone()));
        }
        match self.fetch(&self.url("sitemap.xml")?, LIST).await {
            Ok(Some(sitemap)) => {
                let souls: Arc<[Place]> = places(&sitemap).into();
                *listed = Listed {
                    souls: Some((Instant::now(), souls.clone())),
                    failed: None,
                };
                Ok(souls)
            }
            Ok(None) => {
                let why = "The souls directory has no sitemap: check SOULS_DIRECTORY_URL.";
                listed.failed = Some((Instant::now(), why.to_owned()));
                Err(Error::gateway(why))
            }
            Err(error) => {
                listed.failed = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
    }

    /// What the directory has at a place; `None` when it has nothing there.
    async fn fetch(&self, url: &Url, most: usize) -> Result<Option<String>> {
        let away = |error: reqwest::Error| {
            Error::gateway(format!(
                "The souls directory cannot be reached: {}. Try again later.",
                egress::explain(&error)
            ))
        };
        let mut response = self.client.get(url.clone()).send().await.map_err(away)?;
        let status = response.status();
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(Error::gateway(format!(
                "The souls directory answered {}. Try again later.",
                status.as_u16()
            )));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if text.len() + chunk.len() > most {
                return Err(Error::gateway("The souls directory sent more than a soul can be."));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(Some(String::from_utf8_lossy(&text).replace('\0', "")))
    }

    async fn read(&self, place: &Place) -> Result<Option<String>> {
        let url = self.url(&format!("api/souls/{}/{}.md", place.handle, place.slug))?;
        self.fetch(&url, TEXT).await
    }

    /// The soul that the directory has for a worker's role. What it gave once stays for a day, and longer while it is away, so that
    /// agents' files do not change with it. None for every failure.
    pub async fn role_soul(&self, role: &str) -> Option<RoleSoul> {
        let slug = role_slug(role);
        if slug.is_empty() || self.base.is_none() {
            return None;
        }
        let known = sqlx::query!(
            "SELECT markdown, source_url, fetched_at > now() - interval '1 day' AS \"fresh!\" FROM agent.role_souls WHERE role = $1",
            slug
        )
        .fetch_optional(self.store.pool())
        .await
        .ok()?;
        let stored = known.as_ref().and_then(|known| {
            Some(RoleSoul {
                markdown: known.markdown.clone()?,
                source_url: known.source_url.clone()?,
            })
        });
        if known.is_some_and(|known| known.fresh) {
            return stored;
        }
        match self.look_up(&slug).await {
            Ok(soul) => {
                let (markdown, source) = soul
                    .as_ref()
                    .map(|soul| (soul.markdown.as_str(), soul.source_url.as_str()))
                    .unzip();
                let written = sqlx::query!(
                    "INSERT INTO agent.role_souls (role, markdown, source_url, fetched_at) VALUES ($1, $2, $3, now()) \
                     ON CONFLICT (role) DO UPDATE SET markdown = $2, source_url = $3, fetched_at = now()",
                    slug,
                    markdown,
                    source
                )
                .execute(self.store.pool())
                .await;
                if let Err(error) = written {
                    tracing::warn!(%error, role = slug, "the soul of a role could not be kept");
                }
                soul
            }
            Err(error) => {
                tracing::info!(
                    role = slug,
                    error = error.report(),
                    "no soul of a role from the directory"
                );
                stored
            }
        }
    }

    async fn look_up(&self, role: &str) -> Result<Option<RoleSoul>> {
        let list = self.list().await?;
        let Some(place) = best(role, &list) else {
            return Ok(None);
        };
        let Some(text) = self.read(place).await? else {
            return Ok(None);
        };
        let markdown: String = text.trim().chars().take(ROLE_SOUL).collect();
        if markdown.is_empty() {
            return Ok(None);
        }
        Ok(Some(RoleSoul {
            markdown,
            source_url: self.reference(place)?.page_url,
        }))
    }
}

/// Souls that a sitemap lists, each once, in its order.
fn places(sitemap: &str) -> Vec<Place> {
    let mut seen = std::collections::HashSet::new();
    sitemap
        .split("<loc>")
        .skip(1)
        .filter_map(|rest| {
            let url = Url::parse(rest.split("</loc>").next()?.trim()).ok()?;
            let mut path = url.path().trim_end_matches('/').split('/').skip(1);
            let (Some("souls"), Some(handle), Some(slug), None) = (path.next(), path.next(), path.next(), path.next())
            else {
                return None;
            };
            (is_name(handle) && is_name(slug)).then(|| Place {
                handle: handle.to_owned(),
                slug: slug.to_owned(),
            })
        })
        .filter(|place| seen.insert((place.handle.clone(), place.slug.clone())))
        .collect()
}

/// Whether a text can be a handle or a slug.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// A segment of a request, without slashes around it and `.md` behind it.
fn segment(field: &str, text: &str) -> Result<String> {
    let text = text.trim().trim_matches('/');
    let text = text.strip_suffix(".md").unwrap_or(text);
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(Error::unprocessable(format!("{field} contains unsupported characters")))
    }
}

/// The role that an agent gets a soul for: workers have one that is theirs to live by.
pub fn role_of(agent: &AgentRow) -> Option<&str> {
    if agent.board_id.is_none() || agent.is_board_lead {
        return None;
    }
    agent.identity_profile.as_ref()?.get("role")?.as_str()
}

/// A role as one word: runs of letters and digits, joined by `-`.
fn role_slug(role: &str) -> String {
    let words: Vec<String> = role
        .to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    words.join("-")
}

/// The soul that fits a role best: of its name, else beginning with it, else containing it, else sharing at least two words; the
/// shortest of several.
fn best<'a>(role: &str, places: &'a [Place]) -> Option<&'a Place> {
    let slug = |place: &Place| place.slug.to_lowercase();
    let shortest = |fits: &dyn Fn(&str) -> bool| {
        places
            .iter()
            .filter(|place| fits(&slug(place)))
            .min_by_key(|place| place.slug.len())
    };
    let beginning = format!("{role}-");
    let words: Vec<&str> = role.split('-').collect();
    let hits = |place: &Place| {
        let whole = format!("{}-{}", place.handle, place.slug).to_lowercase();
        words.iter().filter(|word| whole.contains(**word)).count()
    };
    shortest(&|slug| slug == role)
        .or_else(|| shortest(&|slug| slug.starts_with(&beginning)))
        .or_else(|| shortest(&|slug| slug.contains(role)))
        .or_else(|| {
            places
                .iter()
                .map(|place| (hits(place), place))
                .filter(|(hits, _)| words.len() >= 2 && *hits >= 2)
                .min_by_key(|(hits, place)| (std::cmp::Reverse(*hits), place.slug.len()))
                .map(|(_, place)| place)
        })
}

/// The gRPC service.
#[derive(Clone)]
pub struct Service {
    pub app: Arc<App>,
}

#[tonic::async_trait]
impl SoulDirectoryService for Service {
    async fn search_souls(
        &self,
        request: Request<SearchSoulsRequest>,
    ) -> Result<Response<SearchSoulsResponse>, Status> {
        Caller::of(&request)?;
        let request = request.into_inner();
        let limit = request.limit.unwrap_or(20);
        if !(1..=100).contains(&limit) {
            return Err(Error::invalid("limit", "limit must be between 1 and 100.").into());
        }
        let wanted = request.q.unwrap_or_default().trim().to_lowercase();
        let list = self.app.souls.list().await?;
        let items = list
            .iter()
            .filter(|place| {
                format!("{}/{}", place.handle, place.slug)
                    .to_lowercase()
                    .contains(&wanted)
            })
            .take(usize::try_from(limit).unwrap_or_default())
            .map(|place| self.app.souls.reference(place))
            .collect::<Result<_>>()?;
        Ok(Response::new(SearchSoulsResponse { items }))
    }

    async fn get_soul(&self, request: Request<GetSoulRequest>) -> Result<Response<Soul>, Status> {
        Caller::of(&request)?;
        let request = request.into_inner();
        let place = Place {
            handle: segment("handle", &request.handle)?,
            slug: segment("slug", &request.slug)?,
        };
        let content = self
            .app
            .souls
            .read(&place)
            .await?
            .ok_or_else(|| Error::not_found("Soul not found in the directory"))?;
        Ok(Response::new(Soul {
            handle: place.handle,
            slug: place.slug,
            content,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        let (handle, slug) = text.split_once('/').expect("handle/slug");
        Place {
            handle: handle.into(),
            slug: slug.into(),
        }
    }

    #[test]
    fn sitemaps_list_souls_among_other_pages() {
        let sitemap = "<urlset><url><loc>https://souls.example/</loc></url><url><loc> https://souls.example/souls/ann/writer </loc></url>\
            <url><loc>https://souls.example/souls/ann</loc></url><url><loc>https://souls.example/souls/bob/code_1/</loc></url>\
            <url><loc>https://souls.example/souls/ann/writer</loc></url><url><loc>https://souls.example/souls/a/b%20c</loc></url>\
            <url><loc>nonsense</loc></url><url><loc>https://souls.example/souls/a/b/c</loc></url></urlset>";
        assert_eq!(places(sitemap), [place("ann/writer"), place("bob/code_1")]);
        assert!(places("").is_empty());
    }

    #[test]
    fn segments_are_names() {
        for (text, name) in [("ann", "ann"), (" /a-b_1.md ", "a-b_1"), ("A", "A")] {
            assert_eq!(segment("slug", text).expect(text), name);
        }
        for wrong in ["", "-a", "a.b", "a/b", "..", "é", ".md", "a b"] {
            let error = segment("slug", wrong).expect_err(wrong);
            assert_eq!(error.to_string(), "slug contains unsupported characters");
        }
    }

    #[test]
    fn roles_get_the_nearest_soul() {
        let list: Vec<Place> = [
            "a/engineer",
            "a/engineer-senior-backend",
            "b/engineer-web",
            "c/the-qa-lead",
            "d/data-science-expert",
            "e/security-code-reviewer",
            "f/reviewer-of-code",
        ]
        .map(place)
        .into();
        for (role, expected) in [
            ("Engineer", Some("a/engineer")),
            ("QA", Some("c/the-qa-lead")),
            ("Data Science", Some("d/data-science-expert")),
            ("Code Security Reviewer", Some("e/security-code-reviewer")),
            ("code reviewer", Some("e/security-code-reviewer")),
            ("reviewer code", Some("f/reviewer-of-code")),
            ("gardener", None),
            ("reviewer gardener", None),
        ] {
            let found = best(&role_slug(role), &list).map(|place| format!("{}/{}", place.handle, place.slug));
            assert_eq!(found.as_deref(), expected, "{role}");
        }
        assert_eq!(
            best("engineer-web", &list[1..2]).map(|place| place.slug.as_str()),
            None,
            "one shared word is not enough"
        );
        assert_eq!(role_slug(" Front-End  Ärzt! "), "front-end-rzt");
        assert_eq!(role_slug("!"), "");
    }
}
