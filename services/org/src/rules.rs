//! Pure decisions about people.

/// The e-mail to store when it differs from what the identity provider says now: the provider knows better.
pub fn email_to_store(stored: Option<&str>, claimed: Option<&str>) -> Option<String> {
    let claimed = claimed?.trim().to_lowercase();
    (!claimed.is_empty() && stored != Some(claimed.as_str())).then_some(claimed)
}

/// The name to store when there is none: what a person chose is never overwritten.
pub fn name_to_store(stored: Option<&str>, claimed: Option<&str>) -> Option<String> {
    let claimed = claimed?.trim();
    (stored.is_none_or(|name| name.trim().is_empty()) && !claimed.is_empty()).then(|| claimed.to_owned())
}

/// What to call a person in the audit trail.
pub fn display_name<'a>(name: Option<&'a str>, email: Option<&'a str>, subject: &'a str) -> &'a str {
    [name, email]
        .into_iter()
        .flatten()
        .find(|text| !text.trim().is_empty())
        .unwrap_or(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_decides_the_email() {
        for (stored, claimed, expected) in [
            (None, None, None),
            (Some("a@b.c"), None, None),
            (Some("a@b.c"), Some(" "), None),
            (Some("a@b.c"), Some(" A@B.c "), None),
            (None, Some("A@b.c"), Some("a@b.c")),
            (Some(""), Some("a@b.c"), Some("a@b.c")),
            (Some("a@b.c"), Some("x@b.c"), Some("x@b.c")),
        ] {
            assert_eq!(
                email_to_store(stored, claimed).as_deref(),
                expected,
                "{stored:?} {claimed:?}"
            );
        }
    }

    #[test]
    fn a_chosen_name_stays() {
        for (stored, claimed, expected) in [
            (None, None, None),
            (None, Some(" "), None),
            (None, Some(" Ada "), Some("Ada")),
            (Some(" "), Some("Ada"), Some("Ada")),
            (Some("Countess"), Some("Ada"), None),
        ] {
            assert_eq!(
                name_to_store(stored, claimed).as_deref(),
                expected,
                "{stored:?} {claimed:?}"
            );
        }
    }

    #[test]
    fn people_are_called_by_name_then_email_then_subject() {
        assert_eq!(display_name(Some("Ada"), Some("a@b.c"), "sub"), "Ada");
        assert_eq!(display_name(Some(" "), Some("a@b.c"), "sub"), "a@b.c");
        assert_eq!(display_name(None, Some(""), "sub"), "sub");
    }
}
