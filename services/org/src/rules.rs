//! Pure decisions about people and their rights.

use chassis::{Error, Result};
use proto::{
    identity::v1::{BoardGrant, Membership},
    org::v1::BoardAccessSpec,
};
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

/// What an API key allows at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRights {
    /// It may change things.
    pub write: bool,
    /// The highest role it acts with: admin or member.
    pub role: Role,
    /// The only boards it reaches; empty: every board of its membership.
    pub boards: Vec<Uuid>,
}

impl KeyRights {
    /// Reads what people send: for reading and as a member unless they say otherwise. No key acts as an owner: what only owners do is worth a
    /// sign-in.
    pub fn sent(scope: Option<&str>, role: Option<&str>, mut boards: Vec<Uuid>) -> Result<Self> {
        let write = match scope.unwrap_or_default().trim().to_lowercase().as_str() {
            "" | "read" => false,
            "write" => true,
            _ => return Err(Error::invalid("scope", "scope must be read or write.")),
        };
        let role = match role.unwrap_or_default().trim().to_lowercase().as_str() {
            "" | "member" => Role::Member,
            "admin" => Role::Admin,
            _ => return Err(Error::invalid("role", "role must be admin or member.")),
        };
        boards.sort_unstable();
        boards.dedup();
        if role == Role::Admin && !boards.is_empty() {
            return Err(Error::invalid(
                "role",
                "A key for single boards acts as a member: leave out role or board_ids.",
            ));
        }
        Ok(Self { write, role, boards })
    }

    /// Reads what is stored.
    pub fn stored(scope: &str, role: &str, boards: Vec<Uuid>) -> Self {
        Self {
            write: scope == "write",
            role: Role::stored(role).min(Role::Admin),
            boards,
        }
    }

    /// The word of REST and the database.
    pub fn scope(&self) -> &'static str {
        if self.write { "write" } else { "read" }
    }

    /// What is left of a membership.
    pub fn cut(&self, mut membership: Membership) -> Membership {
        let role = Role::stored(&membership.role).min(self.role);
        role.word().clone_into(&mut membership.role);
        if !self.boards.is_empty() {
            let (all_read, all_write) = (membership.all_boards_read, membership.all_boards_write);
            let grant = |board: &Uuid| {
                let board_id = board.to_string();
                let held = membership.grants.iter().find(|grant| grant.board_id == board_id);
                let can_write = all_write || held.is_some_and(|grant| grant.can_write);
                let can_read = can_write || all_read || held.is_some_and(|grant| grant.can_read);
                can_read.then_some(BoardGrant {
                    board_id,
                    can_read,
                    can_write,
                })
            };
            membership.grants = self.boards.iter().filter_map(grant).collect();
            membership.all_boards_read = false;
            membership.all_boards_write = false;
        }
        if !self.write {
            membership.all_boards_read |= membership.all_boards_write;
            membership.all_boards_write = false;
            for grant in &mut membership.grants {
                grant.can_read |= grant.can_write;
                grant.can_write = false;
            }
        }
        membership
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
    fn keys_are_for_reading_and_members_unless_they_say_otherwise() {
        let one = Uuid::from_u128(1);
        let rights = |write, role, boards: &[Uuid]| KeyRights {
            write,
            role,
            boards: boards.to_vec(),
        };
        assert_eq!(
            KeyRights::sent(None, None, vec![]).unwrap(),
            rights(false, Role::Member, &[])
        );
        assert_eq!(
            KeyRights::sent(Some(" Write "), Some("ADMIN"), vec![]).unwrap(),
            rights(true, Role::Admin, &[])
        );
        assert_eq!(
            KeyRights::sent(Some("read"), Some("member"), vec![one, one]).unwrap(),
            rights(false, Role::Member, &[one])
        );
        for (scope, role, boards) in [
            (Some("all"), None, vec![]),
            (None, Some("owner"), vec![]),
            (None, Some("admin"), vec![one]),
        ] {
            assert!(KeyRights::sent(scope, role, boards).is_err(), "{scope:?} {role:?}");
        }
    }

    #[test]
    fn a_key_never_gives_more_than_its_membership_has() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let grant = |board: Uuid, can_read, can_write| BoardGrant {
            board_id: board.to_string(),
            can_read,
            can_write,
        };
        for role in ROLES {
            for (all_read, all_write) in [(false, false), (true, false), (false, true)] {
                for held in [
                    vec![],
                    vec![grant(one, true, false)],
                    vec![grant(one, true, true), grant(two, true, false)],
                ] {
                    let membership = Membership {
                        role: role.word().into(),
                        all_boards_read: all_read,
                        all_boards_write: all_write,
                        grants: held.clone(),
                        ..Membership::default()
                    };
                    for key in [Role::Member, Role::Admin] {
                        for write in [false, true] {
                            for boards in [vec![], vec![one], vec![two]] {
                                let rights = KeyRights {
                                    write,
                                    role: key,
                                    boards: boards.clone(),
                                };
                                let cut = rights.cut(membership.clone());
                                let reads = |of: &Membership, board: Uuid| {
                                    of.all_boards_read
                                        || of.all_boards_write
                                        || of.grants.iter().any(|grant| {
                                            grant.board_id == board.to_string() && (grant.can_read || grant.can_write)
                                        })
                                };
                                let writes = |of: &Membership, board: Uuid| {
                                    of.all_boards_write
                                        || of
                                            .grants
                                            .iter()
                                            .any(|grant| grant.board_id == board.to_string() && grant.can_write)
                                };
                                assert_eq!(Role::stored(&cut.role), role.min(key));
                                for board in [one, two] {
                                    let named = boards.is_empty() || boards.contains(&board);
                                    assert_eq!(
                                        reads(&cut, board),
                                        named && reads(&membership, board),
                                        "{rights:?} {membership:?}"
                                    );
                                    assert_eq!(
                                        writes(&cut, board),
                                        write && named && writes(&membership, board),
                                        "{rights:?} {membership:?}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
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
