//! Chat of boards and of groups of boards: who is told of a message, and in which words.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::{
    Result, Tx,
    bus::{Consumer, Handler},
    outbox::unpack,
};
use proto::{
    board::v1::{BoardGroupMemory, BoardMemory, Words},
    event::v1::Event,
};
use uuid::Uuid;

use crate::{
    app::App,
    notices::{self, Member},
    notify::{Letter, queue},
    requests,
};

/// Longest part of a chat message that is passed on.
const EXCERPT: usize = 800;
/// The word that stops a whole board.
const PAUSE: &str = "/pause";
/// Words that stop and wake a whole board; passed on as they are.
const COMMANDS: [&str; 2] = [PAUSE, "/resume"];
/// Tag of answers to questions that went through a gateway's main agent.
const GATEWAY_MAIN: &str = "gateway_main";

/// Follows what is written into the memory of boards and groups, and writes the messages agents get about it.
pub fn messages(app: &Arc<App>) -> Consumer {
    Consumer {
        name: "agent.chat",
        topics: &["memory.created", "group_memory.created"],
        store: app.store.clone(),
        handler: Arc::new(Chat { app: app.clone() }),
    }
}

/// One agent that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whom.
    pub agent: Uuid,
    /// The message names it.
    pub mentioned: bool,
}

/// The command that a chat message is, in any case and with blanks around it.
pub fn command(content: &str) -> Option<&'static str> {
    let word = content.trim().to_lowercase();
    COMMANDS.into_iter().find(|command| *command == word)
}

fn tagged(tags: Option<&Words>, tag: &str) -> bool {
    tags.is_some_and(|tags| tags.items.iter().any(|given| given == tag))
}

fn leads_and_mentioned(author: Option<Uuid>, content: &str, roster: &[Member]) -> Vec<Told> {
    let mentions = notices::mentions(content);
    roster
        .iter()
        .filter(|member| Some(member.id) != author)
        .map(|member| {
            (
                member,
                mentions.iter().any(|mention| notices::is_called(member, mention)),
            )
        })
        .filter(|(member, mentioned)| member.is_lead || *mentioned)
        .map(|(member, mentioned)| Told {
            agent: member.id,
            mentioned,
        })
        .collect()
}

fn everybody(author: Option<Uuid>, roster: &[Member]) -> Vec<Told> {
    let others = roster.iter().filter(|member| Some(member.id) != author);
    others
        .map(|member| Told {
            agent: member.id,
            mentioned: false,
        })
        .collect()
}

/// Who is told of an entry of a board: of a command everybody, of a chat message the lead and whom it names; never its author.
pub fn of_board(author: Option<Uuid>, memory: &BoardMemory, roster: &[Member]) -> Vec<Told> {
    if !memory.is_chat {
        return Vec::new();
    }
    if command(&memory.content).is_some() {
        return everybody(author, roster);
    }
    leads_and_mentioned(author, &memory.content, roster)
}

/// Whether an entry of a group is for every agent.
pub fn is_broadcast(memory: &BoardGroupMemory) -> bool {
    tagged(memory.tags.as_ref(), "broadcast")
        || notices::mentions(&memory.content)
            .iter()
            .any(|mention| mention == "all")
}

/// Who is told of an entry of a group: of a broadcast everybody, of a chat message the leads and whom it names; never its author.
pub fn of_group(author: Option<Uuid>, memory: &BoardGroupMemory, roster: &[Member]) -> Vec<Told> {
    if is_broadcast(memory) {
        return everybody(author, roster);
    }
    if memory.is_chat {
        leads_and_mentioned(author, &memory.content, roster)
    } else {
        Vec::new()
    }
}

/// The message about a board's chat.
pub fn board_text(mentioned: bool, board: &str, from: &str, content: &str, reply_url: &str) -> String {
    let header = if mentioned { "BOARD CHAT MENTION" } else { "BOARD CHAT" };
    [
        header,
        &format!("Board: {board}"),
        &format!("From: {from}"),
        "",
        &notices::excerpt(content, EXCERPT),
        "",
        "Reply via board chat:",
        &format!("POST {reply_url}"),
        r#"Body: {"content": "...", "tags": ["chat"]}"#,
    ]
    .join("\n")
}

/// The message about a group's chat or a broadcast in it.
pub fn group_text(broadcast: bool, mentioned: bool, group: &str, from: &str, content: &str, reply_url: &str) -> String {
    let header = match (broadcast, mentioned) {
        (true, _) => "GROUP BROADCAST",
        (false, true) => "GROUP CHAT MENTION",
        (false, false) => "GROUP CHAT",
    };
    [
        header,
        &format!("Group: {group}"),
        &format!("From: {from}"),
        "",
        &notices::excerpt(content, EXCERPT),
        "",
        "Reply via group chat, which every board of the group reads:",
        &format!("POST {reply_url}"),
        r#"Body: {"content": "...", "tags": ["chat"]}"#,
    ]
    .join("\n")
}

struct Chat {
    app: Arc<App>,
}

#[async_trait]
impl Handler for Chat {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let mut letters = Vec::new();
        for event in events {
            if event.r#type == "memory.created" {
                self.board(tx, event, &mut letters).await?;
            } else {
                self.group(tx, event, &mut letters).await?;
            }
        }
        queue(tx, &letters).await?;
        tx.wake_on_commit(&self.app.mail);
        Ok(())
    }
}

impl Chat {
    async fn board(&self, tx: &mut Tx, event: &Event, letters: &mut Vec<Letter>) -> Result<()> {
        let Some(memory) = unpack::<BoardMemory>(event.after.as_ref())
            .filter(|memory| memory.is_chat || tagged(memory.tags.as_ref(), GATEWAY_MAIN))
        else {
            return Ok(());
        };
        let Ok(id) = Uuid::parse_str(&memory.board_id) else {
            return Ok(());
        };
        if memory.is_chat {
            pause(tx, id, command(&memory.content)).await?;
        }
        let Some(board) = self.app.remembered_board(id).await? else {
            return Ok(());
        };
        let seats = seats(tx, &[id]).await?;
        let roster: Vec<Member> = seats.iter().map(|seat| seat.member.clone()).collect();
        let url = format!("{}/api/v1/agent/boards/{id}/memory", self.app.base_url);
        for told in of_board(acting_agent(event), &memory, &roster) {
            let command = command(&memory.content);
            let text = command.map_or_else(
                || {
                    board_text(
                        told.mentioned,
                        &board.name,
                        &author(event, memory.source.as_deref()),
                        &memory.content,
                        &url,
                    )
                },
                str::to_owned,
            );
            letters.extend(letter(&seats, told, event, text, command.is_some()));
        }
        let text = |to_main: bool| {
            let from = author(event, memory.source.as_deref());
            requests::answered(to_main, &board.name, &memory.board_id, &from, &memory.content)
        };
        let lead = seats.iter().find(|seat| seat.member.is_lead);
        match (answer_for(acting_agent(event), &memory, &roster), lead) {
            (Some(AnswerFor::Lead(agent)), _) => {
                let told = Told {
                    agent,
                    mentioned: false,
                };
                letters.extend(letter(&seats, told, event, text(false), false));
            }
            (Some(AnswerFor::Main), Some(lead)) => {
                letters.extend(main_letter(tx, lead.gateway, event, text(true)).await?);
            }
            _ => {}
        }
        Ok(())
    }

    async fn group(&self, tx: &mut Tx, event: &Event, letters: &mut Vec<Letter>) -> Result<()> {
        let Some(memory) = unpack::<BoardGroupMemory>(event.after.as_ref()) else {
            return Ok(());
        };
        let broadcast = is_broadcast(&memory);
        if !broadcast && !memory.is_chat {
            return Ok(());
        }
        let Some(found) = self.app.board_group(&memory.board_group_id).await? else {
            return Ok(());
        };
        let group = found.group.unwrap_or_default();
        let boards: Vec<Uuid> = found
            .boards
            .iter()
            .filter_map(|board| Uuid::parse_str(&board.id).ok())
            .collect();
        let seats = seats(tx, &boards).await?;
        let roster: Vec<Member> = seats.iter().map(|seat| seat.member.clone()).collect();
        let from = author(event, memory.source.as_deref());
        for told in of_group(acting_agent(event), &memory, &roster) {
            let Some(seat) = seats.iter().find(|seat| seat.member.id == told.agent) else {
                continue;
            };
            let url = format!("{}/api/v1/boards/{}/group-memory", self.app.base_url, seat.board);
            let text = group_text(broadcast, told.mentioned, &group.name, &from, &memory.content, &url);
            letters.extend(letter(&seats, told, event, text, false));
        }
        Ok(())
    }
}

/// Whose question an entry with the tag `gateway_main` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFor {
    /// The lead's, that asked a person.
    Lead(Uuid),
    /// The main agent's, that asked the lead.
    Main,
}

/// An answer of the lead is for the main agent, everybody else's for the lead. Chat messages tell the lead anyhow.
pub fn answer_for(author: Option<Uuid>, memory: &BoardMemory, roster: &[Member]) -> Option<AnswerFor> {
    if !tagged(memory.tags.as_ref(), GATEWAY_MAIN) {
        return None;
    }
    let lead = roster.iter().find(|member| member.is_lead)?;
    if author == Some(lead.id) {
        return Some(AnswerFor::Main);
    }
    (!memory.is_chat).then_some(AnswerFor::Lead(lead.id))
}

/// Remembers whether a board is paused: what its chat said last counts.
async fn pause(tx: &mut Tx, board: Uuid, command: Option<&str>) -> Result<()> {
    match command {
        Some(PAUSE) => {
            sqlx::query!(
                "INSERT INTO agent.paused_boards (board_id, paused_at) VALUES ($1, now()) ON CONFLICT (board_id) DO NOTHING",
                board
            )
            .execute(&mut **tx)
            .await?;
        }
        Some(_) => {
            sqlx::query!("DELETE FROM agent.paused_boards WHERE board_id = $1", board)
                .execute(&mut **tx)
                .await?;
        }
        None => {}
    }
    Ok(())
}

/// A message to a gateway's main agent about an event.
async fn main_letter(tx: &mut Tx, gateway: Uuid, event: &Event, text: String) -> Result<Option<Letter>> {
    let main = sqlx::query!(
        "SELECT id, name, session_key FROM agent.agents WHERE gateway_id = $1 AND board_id IS NULL AND deleting_at IS NULL",
        gateway
    )
    .fetch_optional(&mut **tx)
    .await?;
    let (Some(main), Ok(organization)) = (main, Uuid::parse_str(&event.organization_id)) else {
        return Ok(None);
    };
    Ok(Some(Letter {
        id: Uuid::now_v7(),
        organization,
        agent: main.id,
        board: Uuid::parse_str(&event.board_id).ok(),
        task: None,
        gateway,
        session_key: main.session_key,
        label: main.name,
        text,
        deliver: false,
        key: format!("{}-{}", event.id, main.id),
        sent: None,
        failed: None,
        purpose: None,
    }))
}

/// An agent with its address.
pub struct Seat {
    pub member: Member,
    pub board: Uuid,
    gateway: Uuid,
    session_key: String,
}

/// The agents of boards.
pub async fn seats(tx: &mut Tx, boards: &[Uuid]) -> Result<Vec<Seat>> {
    let rows = sqlx::query!(
        "SELECT id, name, is_board_lead, board_id AS \"board_id!\", gateway_id, session_key FROM agent.agents \
         WHERE board_id = ANY($1) AND deleting_at IS NULL ORDER BY created_at, id",
        boards
    )
    .fetch_all(&mut **tx)
    .await?;
    let seat = rows.into_iter().map(|row| Seat {
        member: Member {
            id: row.id,
            name: row.name,
            is_lead: row.is_board_lead,
        },
        board: row.board_id,
        gateway: row.gateway_id,
        session_key: row.session_key,
    });
    Ok(seat.collect())
}

/// A message to one of them. One event tells an agent once.
pub fn letter(seats: &[Seat], told: Told, event: &Event, text: String, deliver: bool) -> Option<Letter> {
    let seat = seats.iter().find(|seat| seat.member.id == told.agent)?;
    Some(Letter {
        id: Uuid::now_v7(),
        organization: Uuid::parse_str(&event.organization_id).ok()?,
        agent: told.agent,
        board: Some(seat.board),
        task: None,
        gateway: seat.gateway,
        session_key: seat.session_key.clone(),
        label: seat.member.name.clone(),
        text,
        deliver,
        key: format!("{}-{}", event.id, told.agent),
        sent: None,
        failed: None,
        purpose: None,
    })
}

fn acting_agent(event: &Event) -> Option<Uuid> {
    event
        .actor
        .as_ref()
        .filter(|actor| actor.kind == "agent")
        .and_then(|actor| Uuid::parse_str(&actor.id).ok())
}

/// Who wrote it: the source it names, else who did it.
fn author(event: &Event, source: Option<&str>) -> String {
    let actor = event.actor.as_ref().map(|actor| actor.name.as_str());
    let named = source.or(actor).map(str::trim).filter(|name| !name.is_empty());
    named.unwrap_or("User").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: Uuid = Uuid::from_u128(1);
    const ANN: Uuid = Uuid::from_u128(2);
    const BOB: Uuid = Uuid::from_u128(3);

    fn roster() -> Vec<Member> {
        [
            (LEAD, "Grace Lead", true),
            (ANN, "Ann Smith", false),
            (BOB, "Bob", false),
        ]
        .map(|(id, name, is_lead)| Member {
            id,
            name: name.to_owned(),
            is_lead,
        })
        .to_vec()
    }

    fn told(found: &[Told]) -> Vec<(Uuid, bool)> {
        found.iter().map(|told| (told.agent, told.mentioned)).collect()
    }

    fn words(tags: &[&str]) -> Words {
        Words {
            items: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }

    #[test]
    fn a_chat_message_tells_the_lead_and_whom_it_names() {
        for (author, content, is_chat, expected) in [
            (None, "hello", true, vec![(LEAD, false)]),
            (None, "hello", false, vec![]),
            (
                None,
                "@ann and @bob",
                true,
                vec![(LEAD, false), (ANN, true), (BOB, true)],
            ),
            (None, "@lead look", true, vec![(LEAD, true)]),
            (Some(LEAD), "@lead @ann", true, vec![(ANN, true)]),
            (Some(ANN), "@ann done", true, vec![(LEAD, false)]),
            (None, " /PAUSE ", true, vec![(LEAD, false), (ANN, false), (BOB, false)]),
            (Some(BOB), "/resume", true, vec![(LEAD, false), (ANN, false)]),
            (None, "/pause", false, vec![]),
        ] {
            let memory = BoardMemory {
                content: content.to_owned(),
                is_chat,
                ..BoardMemory::default()
            };
            assert_eq!(
                told(&of_board(author, &memory, &roster())),
                expected,
                "{author:?} {content}"
            );
        }
    }

    #[test]
    fn a_broadcast_tells_the_whole_group() {
        let everybody = vec![(LEAD, false), (ANN, false), (BOB, false)];
        for (author, content, tags, expected) in [
            (None, "hear", &["broadcast"][..], everybody.clone()),
            (None, "@all hear", &[], everybody),
            (
                Some(ANN),
                "hear",
                &["chat", "broadcast"],
                vec![(LEAD, false), (BOB, false)],
            ),
            (None, "hello @bob", &["chat"], vec![(LEAD, false), (BOB, true)]),
            (None, "a note for @bob", &[], vec![]),
        ] {
            let is_chat = tags.contains(&"chat");
            let memory = BoardGroupMemory {
                content: content.to_owned(),
                is_chat,
                tags: Some(words(tags)),
                ..BoardGroupMemory::default()
            };
            assert_eq!(
                told(&of_group(author, &memory, &roster())),
                expected,
                "{author:?} {content} {tags:?}"
            );
        }
    }

    #[test]
    fn answers_reach_who_asked() {
        for (author, tags, is_chat, expected) in [
            (
                None,
                &["gateway_main", "user_reply"][..],
                false,
                Some(AnswerFor::Lead(LEAD)),
            ),
            (
                Some(Uuid::from_u128(9)),
                &["gateway_main"],
                false,
                Some(AnswerFor::Lead(LEAD)),
            ),
            (
                Some(LEAD),
                &["gateway_main", "lead_reply"],
                false,
                Some(AnswerFor::Main),
            ),
            (Some(LEAD), &["gateway_main", "chat"], true, Some(AnswerFor::Main)),
            (None, &["gateway_main", "chat"], true, None),
            (Some(LEAD), &["lead_reply"], false, None),
        ] {
            let memory = BoardMemory {
                is_chat,
                tags: Some(words(tags)),
                ..BoardMemory::default()
            };
            assert_eq!(answer_for(author, &memory, &roster()), expected, "{author:?} {tags:?}");
        }
        let memory = BoardMemory {
            tags: Some(words(&["gateway_main"])),
            ..BoardMemory::default()
        };
        assert_eq!(answer_for(None, &memory, &roster()[1..]), None, "nobody leads");
    }

    #[test]
    fn commands_are_whole_messages() {
        assert_eq!(
            (command(" /Pause\n"), command("/resume"), command("/pause now")),
            (Some("/pause"), Some("/resume"), None)
        );
    }

    #[test]
    fn messages_say_where_to_answer() {
        let text = board_text(true, "Alpha", "Ann", &"x".repeat(900), "http://mc/reply");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["BOARD CHAT MENTION", "Board: Alpha", "From: Ann"]);
        assert_eq!((lines[4].len(), lines[4].ends_with("...")), (800, true));
        assert_eq!(
            lines[7..],
            ["POST http://mc/reply", r#"Body: {"content": "...", "tags": ["chat"]}"#]
        );
        for (broadcast, mentioned, header) in [
            (true, true, "GROUP BROADCAST"),
            (false, true, "GROUP CHAT MENTION"),
            (false, false, "GROUP CHAT"),
        ] {
            assert!(
                group_text(broadcast, mentioned, "G", "Ann", "hi", "http://mc/reply")
                    .starts_with(&format!("{header}\nGroup: G\n"))
            );
        }
    }
}
