//! Pure decisions about people and their rights.

use chassis::{Error, Result};
use proto::org::v1::BoardAccessSpec;
use uuid::Uuid;

/// A member's role, in growing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Uses what access allows.
    Member,
    /// Manages members and invites.
    Admin,
    /// Manages everything.
    Owner,
}

impl Role {
    /// Reads what people send, without regard to case and blanks.
    pub fn sent(text: &str) -> Result<Self> {
        match text.trim().to_lowercase().as_str() {
            "" | "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            "owner" => Ok(Self::Owner),
            _ => Err(Error::invalid("role", "role must be owner, admin or member.")),
        }
    }

    /// Reads what is stored; the table holds nothing else.
    pub fn stored(text: &str) -> Self {
        match text {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            _ => Self::Member,
        }
    }

    /// The word of REST and the database.
    pub fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Owners and admins.
    pub fn is_admin(self) -> bool {
        self >= Self::Admin
    }
}

/// Refuses whoever does not manage members.
pub fn check_admin(actor: Role) -> Result<()> {
    if actor.is_admin() {
        Ok(())
    } else {
        Err(Error::denied("Forbidden"))
    }
}

/// Whether `actor` may give the role `to` to somebody new.
pub fn check_invite(actor: Role, to: Role) -> Result<()> {
    check_admin(actor)?;
    if to == Role::Owner && actor != Role::Owner {
        return Err(Error::denied("Only owners can invite owners."));
    }
    Ok(())
}

/// Whether `actor` may change a member's role, in an organization with so many owners.
pub fn check_role_change(actor: Role, from: Role, to: Role, owners: i64) -> Result<()> {
    check_admin(actor)?;
    if from == to {
        return Ok(());
    }
    if actor != Role::Owner && (from == Role::Owner || to == Role::Owner) {
        return Err(Error::denied("Only owners can make or change owners."));
    }
    if from == Role::Owner && owners <= 1 {
        return Err(last_owner());
    }
    Ok(())
}

/// Whether `actor` may change what a member may do on boards.
pub fn check_access_change(actor: Role, target: Role) -> Result<()> {
    check_admin(actor)?;
    if target == Role::Owner && actor != Role::Owner {
        return Err(Error::denied("Only owners can change an owner's access."));
    }
    Ok(())
}

/// Whether `actor` may remove a member, in an organization with so many owners.
pub fn check_removal(actor: Role, is_self: bool, target: Role, owners: i64) -> Result<()> {
    check_admin(actor)?;
    if is_self {
        return Err(Error::denied("You cannot remove yourself from the organization"));
    }
    if target == Role::Owner && actor != Role::Owner {
        return Err(Error::denied("Only owners can remove owners"));
    }
    if target == Role::Owner && owners <= 1 {
        return Err(last_owner());
    }
    Ok(())
}

fn last_owner() -> Error {
    Error::unprocessable("Organization must have at least one owner")
}

/// Rights on boards, ready to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Every board may be read.
    pub read: bool,
    /// Every board may be written.
    pub write: bool,
    /// Single boards: (board, may read, may write), each once. Empty when a flag is set.
    pub boards: Vec<(Uuid, bool, bool)>,
}

/// What was sent as what is stored: writing includes reading, a board named twice gets both rights, and flags make single boards
/// superfluous.
pub fn access(read: Option<bool>, write: Option<bool>, specs: &[BoardAccessSpec]) -> Result<Access> {
    let (read, write) = (read.unwrap_or(false), write.unwrap_or(false));
    let mut boards: Vec<(Uuid, bool, bool)> = Vec::new();
    for spec in specs {
        let board = chassis::identity::uuid_of(&spec.board_id)?;
        let may_write = spec.can_write.unwrap_or(false);
        let may_read = may_write || spec.can_read.unwrap_or(true);
        match boards.iter_mut().find(|(known, ..)| *known == board) {
            Some((_, known_read, known_write)) => {
                *known_read |= may_read;
                *known_write |= may_write;
            }
            None => boards.push((board, may_read, may_write)),
        }
    }
    boards.retain(|(_, may_read, may_write)| *may_read || *may_write);
    Ok(Access { read, write, boards })
}

impl Access {
    /// The boards to store.
    pub fn stored_boards(&self) -> &[(Uuid, bool, bool)] {
        if self.read || self.write { &[] } else { &self.boards }
    }
}

/// An e-mail address as it is compared. Only what is surely none is refused: whether it exists shows when the invite arrives.
pub fn email(text: &str) -> Result<String> {
    let email = text.trim().to_lowercase();
    match email.split_once('@') {
        Some((name, host)) if !name.is_empty() && !host.is_empty() && !email.contains(char::is_whitespace) => Ok(email),
        _ => Err(Error::invalid(
            "invited_email",
            "invited_email must be an e-mail address.",
        )),
    }
}

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
    use chassis::error::Kind;

    use super::*;

    const ROLES: [Role; 3] = [Role::Member, Role::Admin, Role::Owner];

    #[test]
    fn roles_are_read_without_case_and_blanks() {
        for (text, expected) in [
            ("", Some(Role::Member)),
            (" Member ", Some(Role::Member)),
            ("ADMIN", Some(Role::Admin)),
            ("owner", Some(Role::Owner)),
            ("root", None),
        ] {
            assert_eq!(Role::sent(text).ok(), expected, "{text:?}");
        }
        for role in ROLES {
            assert_eq!(Role::stored(role.word()), role);
        }
    }

    #[test]
    fn only_owners_touch_owners_and_one_remains() {
        for actor in ROLES {
            for from in ROLES {
                for to in ROLES {
                    for owners in [1, 2] {
                        let expected = match (actor, from, to) {
                            (Role::Member, ..) => Some(Kind::Denied),
                            (_, from, to) if from == to => None,
                            (Role::Admin, Role::Owner, _) | (Role::Admin, _, Role::Owner) => Some(Kind::Denied),
                            (Role::Owner, Role::Owner, _) if owners == 1 => Some(Kind::Unprocessable),
                            _ => None,
                        };
                        let found = check_role_change(actor, from, to, owners)
                            .err()
                            .map(|error| error.kind());
                        assert_eq!(found, expected, "{actor:?} {from:?} {to:?} {owners}");
                    }
                }
            }
        }
    }

    #[test]
    fn removals_are_checked_in_order() {
        for actor in ROLES {
            for target in ROLES {
                for (is_self, owners) in [(true, 1), (true, 2), (false, 1), (false, 2)] {
                    let expected = match (actor, is_self, target) {
                        (Role::Member, ..) => Some("Forbidden"),
                        (_, true, _) => Some("You cannot remove yourself from the organization"),
                        (Role::Admin, _, Role::Owner) => Some("Only owners can remove owners"),
                        (Role::Owner, _, Role::Owner) if owners == 1 => {
                            Some("Organization must have at least one owner")
                        }
                        _ => None,
                    };
                    let found = check_removal(actor, is_self, target, owners)
                        .err()
                        .map(|error| error.to_string());
                    assert_eq!(found.as_deref(), expected, "{actor:?} {is_self} {target:?} {owners}");
                }
            }
        }
    }

    #[test]
    fn invites_and_access_need_an_admin_and_owners_an_owner() {
        for actor in ROLES {
            for other in ROLES {
                let allowed = actor == Role::Owner || (actor == Role::Admin && other != Role::Owner);
                assert_eq!(check_invite(actor, other).is_ok(), allowed, "{actor:?} {other:?}");
                assert_eq!(
                    check_access_change(actor, other).is_ok(),
                    allowed,
                    "{actor:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn access_is_merged_and_flags_win() {
        let spec = |board: u128, can_read, can_write| BoardAccessSpec {
            board_id: Uuid::from_u128(board).to_string(),
            can_read,
            can_write,
        };
        let specs = [
            spec(1, None, None),
            spec(2, Some(false), Some(true)),
            spec(3, Some(false), None),
            spec(1, Some(false), Some(true)),
        ];
        let merged = access(None, None, &specs).unwrap();
        assert_eq!(
            merged.stored_boards(),
            [(Uuid::from_u128(1), true, true), (Uuid::from_u128(2), true, true)]
        );
        assert!(access(Some(true), None, &specs).unwrap().stored_boards().is_empty());
        assert!(access(None, Some(true), &specs).unwrap().stored_boards().is_empty());
        assert!(access(None, None, &[BoardAccessSpec::default()]).is_err());
    }

    #[test]
    fn addresses_are_compared_in_lower_case() {
        assert_eq!(email(" Ada@Example.ORG ").unwrap(), "ada@example.org");
        for text in ["", " ", "ada", "@example.org", "ada@", "a b@c"] {
            assert!(email(text).is_err(), "{text:?}");
        }
    }

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
