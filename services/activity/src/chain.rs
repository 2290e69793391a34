//! The hash chain of the log: what is hashed, and how its end is signed. Nothing here touches the database.

use chassis::seal::Sealer;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

/// Begins everything that is hashed, so that another scheme can follow.
const SCHEME: &[u8] = b"mission-control audit 1";

/// What precedes the first entry.
pub const ORIGIN: [u8; 32] = [0; 32];

/// A hash of the chain.
pub type Hash = [u8; 32];

/// Everything of an entry that is protected.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub organization_id: Uuid,
    pub position: i64,
    pub id: Uuid,
    pub event_type: &'a str,
    pub message: &'a str,
    pub actor_type: &'a str,
    pub actor_id: &'a str,
    pub actor_name: &'a str,
    pub agent_id: Option<Uuid>,
    pub task_id: Option<Uuid>,
    pub board_id: Option<Uuid>,
    pub gateway_id: Option<Uuid>,
    pub target_type: &'a str,
    pub target_id: Option<Uuid>,
    pub request_id: &'a str,
    pub before: Option<&'a str>,
    pub after: Option<&'a str>,
    pub created_at: OffsetDateTime,
}

impl Entry<'_> {
    /// The hash of this entry after the one with hash `previous`. Every field is preceded by its length, so that no two entries have the
    /// same bytes; a field that is absent differs from one that is empty.
    pub fn hash(&self, previous: &Hash) -> Hash {
        let mut hasher = Sha256::new();
        let mut field = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => {
                hasher.update([1]);
                hasher.update((bytes.len() as u64).to_be_bytes());
                hasher.update(bytes);
            }
            None => hasher.update([0]),
        };
        field(Some(SCHEME));
        field(Some(previous));
        field(Some(self.organization_id.as_bytes()));
        field(Some(&self.position.to_be_bytes()));
        field(Some(self.id.as_bytes()));
        for text in [
            self.event_type,
            self.message,
            self.actor_type,
            self.actor_id,
            self.actor_name,
            self.target_type,
            self.request_id,
        ] {
            field(Some(text.as_bytes()));
        }
        for id in [
            self.agent_id,
            self.task_id,
            self.board_id,
            self.gateway_id,
            self.target_id,
        ] {
            field(id.as_ref().map(|id| id.as_bytes().as_slice()));
        }
        field(self.before.map(str::as_bytes));
        field(self.after.map(str::as_bytes));
        field(Some(&micros(self.created_at).to_be_bytes()));
        hasher.finalize().into()
    }
}

/// A moment in the precision that the database keeps.
pub fn micros(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos().div_euclid(1000)
}

/// The end of a chain, as it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub organization_id: Uuid,
    pub position: i64,
    pub hash: Hash,
    /// The first position that has a hash.
    pub chain_begins: i64,
}

impl Head {
    /// What is signed of it.
    fn bytes(&self) -> Vec<u8> {
        [
            SCHEME,
            self.organization_id.as_bytes(),
            &self.position.to_be_bytes(),
            &self.chain_begins.to_be_bytes(),
            &self.hash,
        ]
        .concat()
    }

    /// Its signature under the installation's key.
    pub fn sign(&self, sealer: &Sealer) -> Vec<u8> {
        sealer.stamp(&self.bytes())
    }

    /// Whether a signature is that of this head.
    pub fn is_signed(&self, sealer: &Sealer, signature: &[u8]) -> bool {
        sealer.is_stamp(&self.bytes(), signature)
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn entry() -> Entry<'static> {
        Entry {
            organization_id: Uuid::from_u128(1),
            position: 7,
            id: Uuid::from_u128(2),
            event_type: "task.created",
            message: "Task created.",
            actor_type: "user",
            actor_id: "3",
            actor_name: "Ada",
            agent_id: None,
            task_id: Some(Uuid::from_u128(4)),
            board_id: Some(Uuid::from_u128(5)),
            gateway_id: None,
            target_type: "task",
            target_id: Some(Uuid::from_u128(4)),
            request_id: "r",
            before: None,
            after: Some("{}"),
            created_at: datetime!(2026-01-02 03:04:05.000_006 UTC),
        }
    }

    #[test]
    fn every_field_counts() {
        let base = entry();
        let other = Uuid::from_u128(9);
        let changed = [
            Entry {
                organization_id: other,
                ..base
            },
            Entry { position: 8, ..base },
            Entry { id: other, ..base },
            Entry {
                event_type: "task.updated",
                ..base
            },
            Entry { message: "", ..base },
            Entry {
                actor_type: "agent",
                ..base
            },
            Entry { actor_id: "4", ..base },
            Entry {
                actor_name: "Bob",
                ..base
            },
            Entry {
                agent_id: Some(other),
                ..base
            },
            Entry { task_id: None, ..base },
            Entry { board_id: None, ..base },
            Entry {
                gateway_id: Some(other),
                ..base
            },
            Entry {
                target_type: "",
                ..base
            },
            Entry {
                target_id: None,
                ..base
            },
            Entry {
                request_id: "s",
                ..base
            },
            Entry {
                before: Some(""),
                ..base
            },
            Entry { after: None, ..base },
            Entry {
                after: Some(""),
                ..base
            },
            Entry {
                created_at: datetime!(2026-01-02 03:04:05.000_007 UTC),
                ..base
            },
            // The same bytes in other fields.
            Entry {
                actor_id: "3Ada",
                actor_name: "",
                ..base
            },
            Entry {
                agent_id: base.task_id,
                task_id: None,
                ..base
            },
        ];
        let hash = base.hash(&ORIGIN);
        for (index, entry) in changed.iter().enumerate() {
            assert_ne!(entry.hash(&ORIGIN), hash, "change {index}");
        }
        assert_ne!(base.hash(&[1; 32]), hash, "the entry before counts");
        let same = Entry {
            created_at: datetime!(2026-01-02 03:04:05.000_006_9 UTC),
            ..base
        };
        assert_eq!(
            same.hash(&ORIGIN),
            hash,
            "what the database does not keep does not count"
        );
    }

    #[test]
    fn only_the_key_signs_a_head() {
        let sealer = |letter: &str| Sealer::new(&letter.repeat(32).into());
        let head = Head {
            organization_id: Uuid::from_u128(1),
            position: 7,
            hash: [3; 32],
            chain_begins: 1,
        };
        let signature = head.sign(&sealer("a"));
        assert!(head.is_signed(&sealer("a"), &signature));
        assert!(!head.is_signed(&sealer("b"), &signature));
        for other in [
            Head { position: 6, ..head },
            Head { hash: [4; 32], ..head },
            Head {
                chain_begins: 2,
                ..head
            },
            Head {
                organization_id: Uuid::from_u128(2),
                ..head
            },
        ] {
            assert!(!other.is_signed(&sealer("a"), &signature), "{other:?}");
        }
    }

    #[test]
    fn digits_are_those_of_the_bytes() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
    }
}
