//! The conversation: which branches there are, and one commit without its history (gitprotocol-v2, gitprotocol-http).

use bytes::{Buf as _, Bytes, BytesMut};
use chassis::egress;
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};
use url::Url;

use super::{Id, Limits, Trouble};

/// Longest packet: four digits of length and 65516 bytes.
const LONGEST: usize = 65_520;
/// Bytes of the answers that are not the pack.
const TALK: usize = 1 << 20;
/// Some servers answer with pages to clients that do not call themselves git.
const AGENT: &str = concat!("git/2 (mission-control ", env!("CARGO_PKG_VERSION"), ")");
/// Blobs above this size are left out by servers that can.
const FILTER: &str = "filter blob:limit=1m";

/// A commit with everything below it, still packed.
pub struct Fetched {
    pub commit: Id,
    /// The branch it was taken from.
    pub branch: String,
    pub pack: Bytes,
}

/// Asks for the newest commit of a branch.
pub async fn fetch(client: &Client, repository: &Url, branch: &str, limits: Limits) -> Result<Fetched, Trouble> {
    let (base, abilities) = greet(client, repository).await?;
    let (commit, branch) = branch_tip(client, &base, branch).await?;
    let mut request = Vec::new();
    line(&mut request, "command=fetch\n");
    line(
        &mut request,
        concat!("agent=mission-control/", env!("CARGO_PKG_VERSION"), "\n"),
    );
    line(&mut request, "object-format=sha1\n");
    request.extend_from_slice(b"0001");
    line(&mut request, "no-progress\n");
    line(&mut request, "ofs-delta\n");
    if abilities.shallow {
        line(&mut request, "deepen 1\n");
    }
    if abilities.filter {
        line(&mut request, &format!("{FILTER}\n"));
    }
    line(&mut request, &format!("want {commit}\n"));
    line(&mut request, "done\n");
    request.extend_from_slice(b"0000");
    let mut answer = Packets::new(post(client, &base, request).await?, limits.received);
    let mut pack = BytesMut::new();
    let mut packing = false;
    while let Some(packet) = answer.next().await? {
        match packet {
            Packet::Data(data) if packing => match data.first() {
                Some(1) => pack.extend_from_slice(&data[1..]),
                Some(3) => return Err(said(&data[1..])),
                _ => {}
            },
            Packet::Data(data) => {
                if let Some(error) = data.strip_prefix(b"ERR ") {
                    return Err(said(error));
                }
                packing = data.trim_ascii_end() == b"packfile";
            }
            Packet::Flush if packing => break,
            Packet::Flush | Packet::Mark => {}
        }
    }
    if pack.is_empty() {
        return Err(Trouble::new("The git server sent no objects."));
    }
    Ok(Fetched {
        commit,
        branch,
        pack: pack.freeze(),
    })
}

/// What a server can do beyond the least.
#[derive(Default)]
struct Abilities {
    shallow: bool,
    filter: bool,
}

/// Finds the repository. Some servers know it only with `.git` at the end.
async fn greet(client: &Client, repository: &Url) -> Result<(Url, Abilities), Trouble> {
    let mut base = repository.clone();
    let mut answer = advertisement(client, &base).await?;
    let elsewhere = answer.status().is_redirection() || answer.status() == StatusCode::NOT_FOUND;
    let path = base.path().trim_end_matches('/').to_owned();
    if elsewhere && path.strip_suffix(".git").is_none() {
        base.set_path(&format!("{path}.git"));
        let second = advertisement(client, &base).await?;
        // The first answer is the one about the address as it was given.
        if second.status().is_success() {
            answer = second;
        }
    }
    let answer = checked(answer)?;
    let smart = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/x-git-upload-pack-advertisement");
    if !smart {
        return Err(Trouble::new("There is no git repository at this address."));
    }
    let mut packets = Packets::new(answer, TALK);
    let (mut abilities, mut version) = (Abilities::default(), None);
    while let Some(packet) = packets.next().await? {
        let Packet::Data(data) = packet else {
            // Older servers put a service line and a flush first.
            if version.is_some() {
                break;
            }
            continue;
        };
        let text = String::from_utf8_lossy(data.trim_ascii_end());
        if text.starts_with("# service=") {
            continue;
        }
        if version.is_none() {
            if text != "version 2" {
                break;
            }
            version = Some(2);
        } else if let Some(can) = text.strip_prefix("fetch=") {
            abilities.shallow = can.split(' ').any(|word| word == "shallow");
            abilities.filter = can.split(' ').any(|word| word == "filter");
        } else if let Some(format) = text.strip_prefix("object-format=")
            && format != "sha1"
        {
            return Err(Trouble::new(format!(
                "The repository uses {format} objects, which are not supported."
            )));
        }
    }
    match version {
        Some(_) => Ok((base, abilities)),
        None => Err(Trouble::new("The git server does not speak protocol 2.")),
    }
}

async fn advertisement(client: &Client, base: &Url) -> Result<Response, Trouble> {
    let mut url = below(base, "info/refs");
    url.set_query(Some("service=git-upload-pack"));
    client
        .get(url)
        .header("git-protocol", "version=2")
        .header(USER_AGENT, AGENT)
        .send()
        .await
        .map_err(|error| unreachable(&error))
}

async fn post(client: &Client, base: &Url, body: Vec<u8>) -> Result<Response, Trouble> {
    let answer = client
        .post(below(base, "git-upload-pack"))
        .header("git-protocol", "version=2")
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
        .header(ACCEPT, "application/x-git-upload-pack-result")
        .body(body)
        .send()
        .await
        .map_err(|error| unreachable(&error))?;
    checked(answer)
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

fn unreachable(error: &reqwest::Error) -> Trouble {
    Trouble::new(format!("The git server cannot be reached: {}.", egress::explain(error)))
}

fn checked(answer: Response) -> Result<Response, Trouble> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    Err(Trouble::new(match status {
        status if status.is_redirection() => {
            "The repository has moved: give the address that it has now (redirects are not followed).".to_owned()
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            format!(
                "There is no public repository at this address (the server answered {}).",
                status.as_u16()
            )
        }
        status => format!("The git server answered {}.", status.as_u16()),
    }))
}

/// The commit of a branch, or of the default branch when there is no such branch.
async fn branch_tip(client: &Client, base: &Url, branch: &str) -> Result<(Id, String), Trouble> {
    let wanted = format!("refs/heads/{branch}");
    let mut request = Vec::new();
    line(&mut request, "command=ls-refs\n");
    line(
        &mut request,
        concat!("agent=mission-control/", env!("CARGO_PKG_VERSION"), "\n"),
    );
    line(&mut request, "object-format=sha1\n");
    request.extend_from_slice(b"0001");
    line(&mut request, "symrefs\n");
    line(&mut request, "ref-prefix HEAD\n");
    line(&mut request, &format!("ref-prefix {wanted}\n"));
    request.extend_from_slice(b"0000");
    let mut packets = Packets::new(post(client, base, request).await?, TALK);
    let (mut tip, mut head) = (None, None);
    while let Some(packet) = packets.next().await? {
        let Packet::Data(data) = packet else { break };
        let text = String::from_utf8_lossy(data.trim_ascii_end()).into_owned();
        if let Some(error) = text.strip_prefix("ERR ") {
            return Err(said(error.as_bytes()));
        }
        let mut words = text.split(' ');
        let (Some(id), Some(name)) = (words.next().and_then(Id::parse), words.next()) else {
            continue;
        };
        if name == wanted {
            tip = Some(id);
        } else if name == "HEAD" {
            let target = words.find_map(|word| word.strip_prefix("symref-target:refs/heads/"));
            head = Some((id, target.unwrap_or("HEAD").to_owned()));
        }
    }
    match (tip, head) {
        (Some(id), _) => Ok((id, branch.to_owned())),
        (None, Some(head)) => Ok(head),
        (None, None) => Err(Trouble::new(format!(
            "The repository has neither a branch `{branch}` nor a default branch: it is empty."
        ))),
    }
}

/// What a server says about its own failure; a stranger's words, so only some of them.
fn said(text: &[u8]) -> Trouble {
    let text: String = String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    Trouble::new(format!("The git server says: {}", text.trim()))
}

/// Appends a packet.
fn line(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(format!("{:04x}", text.len() + 4).as_bytes());
    to.extend_from_slice(text.as_bytes());
}

enum Packet {
    Data(Bytes),
    /// `0000`.
    Flush,
    /// `0001` and `0002`: between sections, and the end of an answer.
    Mark,
}

/// The packets of an answer, as they come.
struct Packets {
    response: Response,
    buffer: BytesMut,
    left: usize,
}

impl Packets {
    fn new(response: Response, limit: usize) -> Self {
        Self {
            response,
            buffer: BytesMut::new(),
            left: limit,
        }
    }

    /// The next packet; `None` at the end.
    async fn next(&mut self) -> Result<Option<Packet>, Trouble> {
        if !self.fill(4).await? {
            return Ok(None);
        }
        let length = std::str::from_utf8(&self.buffer[..4])
            .ok()
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .filter(|length| *length <= LONGEST && *length != 3)
            .ok_or_else(|| Trouble::new("The git server's answer is not readable."))?;
        self.buffer.advance(4);
        if length < 4 {
            return Ok(Some(if length == 0 { Packet::Flush } else { Packet::Mark }));
        }
        if !self.fill(length - 4).await? {
            return Err(Trouble::new("The git server's answer broke off."));
        }
        Ok(Some(Packet::Data(self.buffer.split_to(length - 4).freeze())))
    }

    /// Makes so many bytes available; false when the answer ends before the first of them.
    async fn fill(&mut self, wanted: usize) -> Result<bool, Trouble> {
        while self.buffer.len() < wanted {
            let Some(chunk) = self.response.chunk().await.map_err(|error| unreachable(&error))? else {
                return if self.buffer.is_empty() && wanted > 0 {
                    Ok(false)
                } else {
                    Err(Trouble::new("The git server's answer broke off."))
                };
            };
            self.left = self
                .left
                .checked_sub(chunk.len())
                .ok_or_else(|| Trouble::new("The repository is too large to be a skill pack."))?;
            self.buffer.extend_from_slice(&chunk);
        }
        Ok(true)
    }
}
