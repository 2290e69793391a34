//! The words of messages between leads, main agents and people. Pure.

use proto::agent::v1::LeadMessageKind;

/// Tags of the answer to a question for a person.
pub const USER_REPLY: [&str; 2] = ["gateway_main", "user_reply"];
/// Tags of a lead's answer to a main agent.
pub const LEAD_REPLY: [&str; 2] = ["gateway_main", "lead_reply"];

/// The board that a message is about.
pub struct Place<'a> {
    /// Display name.
    pub board: &'a str,
    /// Its id.
    pub board_id: &'a str,
    /// Where agents reach Mission Control.
    pub base_url: &'a str,
}

/// How the answer is wanted.
pub struct Reply<'a> {
    /// Comes back with the answer.
    pub correlation: Option<&'a str>,
    /// Tags of the memory entry.
    pub tags: &'a [String],
    /// Source of the memory entry.
    pub source: &'a str,
}

/// The tags that were given, or the usual ones.
pub fn tags(given: &[String], usual: [&str; 2]) -> Vec<String> {
    let given: Vec<String> = given
        .iter()
        .map(|tag| tag.trim().to_owned())
        .filter(|tag| !tag.is_empty())
        .collect();
    if given.is_empty() {
        usual.map(str::to_owned).to_vec()
    } else {
        given
    }
}

fn how_to_answer(lines: &mut Vec<String>, place: &Place<'_>, reply: &Reply<'_>) {
    lines.push(format!(
        "POST {}/api/v1/agent/boards/{}/memory",
        place.base_url, place.board_id
    ));
    let content = match reply.correlation {
        Some(word) => format!("[{word}] <the answer>"),
        None => "<the answer>".to_owned(),
    };
    lines.push(format!(
        "Body: {}",
        serde_json::json!({"content": content, "tags": reply.tags, "source": reply.source})
    ));
}

fn head(header: &str, place: &Place<'_>, from: (&str, &str), reply: &Reply<'_>) -> Vec<String> {
    let mut lines = vec![
        header.to_owned(),
        format!("Board: {}", place.board),
        format!("Board ID: {}", place.board_id),
        format!("{}: {}", from.0, from.1),
    ];
    lines.extend(reply.correlation.map(|word| format!("Correlation ID: {word}")));
    lines
}

/// The message to a gateway's main agent that asks it to reach a person.
pub fn ask_user(place: &Place<'_>, lead: &str, channel: Option<&str>, content: &str, reply: &Reply<'_>) -> String {
    let mut lines = head("LEAD REQUEST: ASK USER", place, ("From lead", lead), reply);
    lines.extend(channel.map(|channel| format!("Preferred channel: {channel}")));
    lines.extend([
        String::new(),
        content.trim().to_owned(),
        String::new(),
        "Put this question to the person over the best channel you have, in the lead's words. When no channel reaches them, write that as the \
         answer. Write the answer, complete and unchanged, into the board's memory; the lead is told of it:"
            .to_owned(),
    ]);
    how_to_answer(&mut lines, place, reply);
    lines.join("\n")
}

/// The message from a gateway's main agent to a lead.
pub fn to_lead(kind: LeadMessageKind, place: &Place<'_>, from: &str, content: &str, reply: &Reply<'_>) -> String {
    let (header, action) = match kind {
        LeadMessageKind::Handoff => (
            "GATEWAY MAIN HANDOFF",
            "This is your board's now: make tasks of it, and say in the board's memory what you made of it:",
        ),
        _ => (
            "GATEWAY MAIN QUESTION",
            "Answer from what the board knows; when you cannot, say what is missing. Write the answer into the board's memory; the main agent is \
             told of it:",
        ),
    };
    let mut lines = head(header, place, ("From agent", from), reply);
    lines.extend([
        String::new(),
        content.trim().to_owned(),
        String::new(),
        action.to_owned(),
    ]);
    how_to_answer(&mut lines, place, reply);
    lines.join("\n")
}

/// The message about an answer in a board's memory: to the lead that asked a person, or to the main agent that asked a lead.
pub fn answered(to_main: bool, board: &str, board_id: &str, from: &str, content: &str) -> String {
    let (header, action) = if to_main {
        ("LEAD REPLY", "Bring the answer to whoever asked for it.")
    } else {
        ("USER REPLY", "Go on with what waited for this answer.")
    };
    [
        header,
        &format!("Board: {board}"),
        &format!("Board ID: {board_id}"),
        &format!("From: {from}"),
        "",
        &crate::notices::excerpt(content, 2_000),
        "",
        action,
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        board: "Shop",
        board_id: "b-1",
        base_url: "http://mc",
    };

    fn lines(text: &str) -> Vec<&str> {
        text.lines().collect()
    }

    #[test]
    fn a_question_for_a_person_says_who_asks_and_where_the_answer_goes() {
        let tags = tags(&[], USER_REPLY);
        let reply = Reply {
            correlation: Some("q-7"),
            tags: &tags,
            source: "user_via_gateway_main",
        };
        let text = ask_user(&PLACE, "Grace", Some("slack"), " Red or blue? ", &reply);
        let lines = lines(&text);
        assert_eq!(
            lines[..8],
            [
                "LEAD REQUEST: ASK USER",
                "Board: Shop",
                "Board ID: b-1",
                "From lead: Grace",
                "Correlation ID: q-7",
                "Preferred channel: slack",
                "",
                "Red or blue?"
            ]
        );
        assert_eq!(lines[lines.len() - 2], "POST http://mc/api/v1/agent/boards/b-1/memory");
        let body = lines[lines.len() - 1].strip_prefix("Body: ").expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({"content": "[q-7] <the answer>", "tags": ["gateway_main", "user_reply"], "source": "user_via_gateway_main"})
        );
    }

    #[test]
    fn a_lead_sees_whether_an_answer_is_wanted() {
        let own = tags(&[" mine ".to_owned(), "  ".to_owned()], LEAD_REPLY);
        assert_eq!(own, ["mine"]);
        let reply = Reply {
            correlation: None,
            tags: &own,
            source: "me",
        };
        for (kind, header) in [
            (LeadMessageKind::Unspecified, "GATEWAY MAIN QUESTION"),
            (LeadMessageKind::Question, "GATEWAY MAIN QUESTION"),
            (LeadMessageKind::Handoff, "GATEWAY MAIN HANDOFF"),
        ] {
            let text = to_lead(kind, &PLACE, "Main", "How is it?", &reply);
            assert_eq!(
                lines(&text)[..6],
                [
                    header,
                    "Board: Shop",
                    "Board ID: b-1",
                    "From agent: Main",
                    "",
                    "How is it?"
                ]
            );
            assert!(
                text.ends_with(r#"Body: {"content":"<the answer>","tags":["mine"],"source":"me"}"#),
                "{text}"
            );
        }
        assert!(answered(true, "Shop", "b-1", "Grace", "Fine").starts_with("LEAD REPLY\nBoard: Shop\n"));
        assert!(answered(false, "Shop", "b-1", "Main", "Red").starts_with("USER REPLY\nBoard: Shop\n"));
    }
}
