//! `@name` in comments.

use std::collections::HashSet;

/// Longest name after the `@`.
const LONGEST: usize = 32;

/// The names a text mentions, in lower case: `@`, a letter, then letters, digits, `_` or `-`. `me@example.org` is an address and mentions
/// nobody, as for those who are told of mentions.
pub fn tokens(text: &str) -> HashSet<String> {
    text.match_indices('@')
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(at, sign)| &text[at + sign.len()..])
        .filter(|rest| rest.starts_with(char::is_alphabetic))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
                .take(LONGEST)
                .collect::<String>()
                .to_lowercase()
        })
        .collect()
}

/// Whether one of the names is an agent's: its full name, the first word of it, or `lead` for the board's lead.
pub fn names(tokens: &HashSet<String>, name: &str, is_lead: bool) -> bool {
    let name = name.trim().to_lowercase();
    let first = name.split_whitespace().next().unwrap_or_default();
    (is_lead && tokens.contains("lead")) || (!name.is_empty() && (tokens.contains(&name) || tokens.contains(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentioned(text: &str) -> Vec<String> {
        let mut found: Vec<String> = tokens(text).into_iter().collect();
        found.sort();
        found
    }

    #[test]
    fn tokens_are_lower_case_words_after_an_at_sign() {
        for (text, expected) in [
            ("ask @Lead, then @bob-2 and @Bob-2!", vec!["bob-2", "lead"]),
            ("mail a@b.example and ä@c", vec![]),
            ("(@ann,@bob) -@carl", vec!["ann", "bob", "carl"]),
            ("@ann@bob", vec!["ann"]),
            ("@1st and @ nothing, @_x", vec![]),
            ("@Zoë", vec!["zoë"]),
            ("", vec![]),
        ] {
            assert_eq!(mentioned(text), expected, "{text}");
        }
        assert_eq!(mentioned(&format!("@{}", "a".repeat(40))), vec!["a".repeat(32)]);
    }

    #[test]
    fn an_agent_is_named_by_full_name_first_word_or_role() {
        let said = tokens("@lead @ann @deploy-bot");
        for (name, is_lead, expected) in [
            ("Ann Smith", false, true),
            ("Deploy-Bot", false, true),
            ("Smith Ann", false, false),
            ("Someone", true, true),
            ("", false, false),
            ("", true, true),
        ] {
            assert_eq!(names(&said, name, is_lead), expected, "{name}");
        }
    }
}
