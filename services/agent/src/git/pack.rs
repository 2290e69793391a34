//! Packs: objects, many of them as differences to others (gitformat-pack).

use std::collections::HashMap;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use sha1::{Digest as _, Sha1};

use super::{Id, Limits, Trouble};

/// Longest row of differences on differences. Git makes 50 by default and 4095 at most.
const CHAIN: usize = 4096;
/// Bytes of unpacked objects that are kept for those that build on them.
const KEPT: usize = 16 << 20;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// What an entry begins with.
#[derive(Clone, Copy)]
enum Base {
    /// The object itself.
    Whole(Kind),
    /// A difference to the entry at this offset.
    At(usize),
    /// A difference to an object.
    Of(Id),
}

struct Entry {
    base: Base,
    /// Where the compressed bytes begin.
    data: usize,
    /// How many bytes they become.
    size: usize,
}

/// A pack whose objects can be found by their names.
pub struct Pack {
    bytes: Bytes,
    entries: Vec<Entry>,
    offsets: HashMap<usize, usize>,
    ids: HashMap<Id, usize>,
    kept: HashMap<usize, (Kind, Bytes)>,
    kept_bytes: usize,
    budget: usize,
    limit: usize,
}

fn broken() -> Trouble {
    Trouble::new("The git server sent a pack that is not readable.")
}

fn too_large() -> Trouble {
    Trouble::new("The repository is too large to be a skill pack.")
}

impl Pack {
    /// Reads a pack and names every object in it.
    pub fn read(bytes: &Bytes, limits: Limits) -> Result<Self, Trouble> {
        let end = bytes
            .len()
            .checked_sub(20)
            .filter(|end| *end >= 12)
            .ok_or_else(broken)?;
        if Sha1::digest(&bytes[..end]).as_slice() != &bytes[end..] {
            return Err(Trouble::new("The pack was damaged on its way: its checksum differs."));
        }
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if &bytes[..4] != b"PACK" || !matches!(word(4), 2 | 3) {
            return Err(broken());
        }
        let count = usize::try_from(word(8)).map_err(|_| too_large())?;
        if count > limits.objects {
            return Err(too_large());
        }
        let mut pack = Self {
            bytes: bytes.slice(..end),
            entries: Vec::with_capacity(count),
            offsets: HashMap::with_capacity(count),
            ids: HashMap::with_capacity(count),
            kept: HashMap::new(),
            kept_bytes: 0,
            budget: limits.unpacked,
            limit: limits.object,
        };
        let mut at = 12;
        for number in 0..count {
            let start = at;
            let entry = pack.header(&mut at, start)?;
            pack.offsets.insert(start, number);
            let keep = entry.size <= pack.limit;
            let (content, used) = pack.inflate(entry.data, entry.size, keep)?;
            at = entry.data + used;
            if let (Base::Whole(kind), Some(content)) = (entry.base, content) {
                pack.name(number, kind, &content);
                pack.keep(number, kind, content.into());
            }
            pack.entries.push(entry);
        }
        if at != pack.bytes.len() {
            return Err(broken());
        }
        pack.name_differences()?;
        Ok(pack)
    }

    /// An object; `None` when the pack has none of that name, or one that is too large.
    pub fn find(&mut self, id: Id) -> Result<Option<(Kind, Bytes)>, Trouble> {
        match self.ids.get(&id) {
            Some(number) => self.content(*number),
            None => Ok(None),
        }
    }

    /// Bases usually stand before what builds on them; those that are named only later take further rounds.
    fn name_differences(&mut self) -> Result<(), Trouble> {
        let mut open: Vec<usize> = (0..self.entries.len())
            .filter(|number| !matches!(self.entries[*number].base, Base::Whole(_)))
            .collect();
        while !open.is_empty() {
            let before = open.len();
            let mut left = Vec::new();
            for number in open {
                match self.content(number)? {
                    Some((kind, content)) => self.name(number, kind, &content),
                    None => left.push(number),
                }
            }
            // What is left builds on objects that are too large or missing, and is not there for us.
            if left.len() == before {
                break;
            }
            open = left;
        }
        Ok(())
    }

    fn name(&mut self, number: usize, kind: Kind, content: &[u8]) {
        let mut hash = Sha1::new();
        hash.update(format!("{} {}\0", kind.word(), content.len()));
        hash.update(content);
        self.ids.insert(Id(hash.finalize().into()), number);
    }

    fn keep(&mut self, number: usize, kind: Kind, content: Bytes) {
        if self.kept_bytes + content.len() > KEPT {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        self.kept_bytes += content.len();
        self.kept.insert(number, (kind, content));
    }

    /// The object of an entry: the nearest whole one below it, with the differences above applied.
    fn content(&mut self, number: usize) -> Result<Option<(Kind, Bytes)>, Trouble> {
        let mut above = Vec::new();
        let mut at = number;
        let (kind, mut content) = loop {
            if let Some((kind, content)) = self.kept.get(&at) {
                break (*kind, content.clone());
            }
            let entry = &self.entries[at];
            let (data, size) = (entry.data, entry.size);
            let below = match entry.base {
                Base::Whole(kind) => match self.inflate(data, size, size <= self.limit)?.0 {
                    Some(content) => {
                        let content = Bytes::from(content);
                        self.keep(at, kind, content.clone());
                        break (kind, content);
                    }
                    None => return Ok(None),
                },
                Base::At(offset) => self.offsets.get(&offset),
                Base::Of(id) => self.ids.get(&id),
            };
            let Some(below) = below.copied() else { return Ok(None) };
            above.push(at);
            if above.len() > CHAIN {
                return Err(broken());
            }
            at = below;
        };
        while let Some(next) = above.pop() {
            let (data, size) = (self.entries[next].data, self.entries[next].size);
            let Some(difference) = self.inflate(data, size, size <= self.limit)?.0 else {
                return Ok(None);
            };
            let Some(applied) = self.apply(&content, &difference)? else {
                return Ok(None);
            };
            content = applied.into();
            self.keep(next, kind, content.clone());
        }
        Ok(Some((kind, content)))
    }

    /// An entry's beginning: kind and size, and for a difference what it builds on.
    fn header(&self, at: &mut usize, start: usize) -> Result<Entry, Trouble> {
        let mut byte = self.byte(at)?;
        let kind = (byte >> 4) & 7;
        let (mut size, mut shift) = (usize::from(byte & 15), 4);
        while byte & 0x80 != 0 {
            byte = self.byte(at)?;
            let part = usize::from(byte & 0x7f);
            size |= part
                .checked_shl(shift)
                .filter(|part| part >> shift == usize::from(byte & 0x7f))
                .ok_or_else(broken)?;
            shift += 7;
        }
        let base = match kind {
            1 => Base::Whole(Kind::Commit),
            2 => Base::Whole(Kind::Tree),
            3 => Base::Whole(Kind::Blob),
            4 => Base::Whole(Kind::Tag),
            6 => {
                let mut byte = self.byte(at)?;
                let mut back = usize::from(byte & 0x7f);
                while byte & 0x80 != 0 {
                    byte = self.byte(at)?;
                    back = back
                        .checked_add(1)
                        .and_then(|back| back.checked_mul(128))
                        .ok_or_else(broken)?
                        | usize::from(byte & 0x7f);
                }
                Base::At(start.checked_sub(back).filter(|_| back > 0).ok_or_else(broken)?)
            }
            7 => {
                let mut id = [0; 20];
                id.copy_from_slice(self.bytes.get(*at..*at + 20).ok_or_else(broken)?);
                *at += 20;
                Base::Of(Id(id))
            }
            _ => return Err(broken()),
        };
        Ok(Entry { base, data: *at, size })
    }

    fn byte(&self, at: &mut usize) -> Result<u8, Trouble> {
        let byte = self.bytes.get(*at).copied().ok_or_else(broken)?;
        *at += 1;
        Ok(byte)
    }

    /// Unpacks `size` bytes that begin at an offset, or only finds their end. Also says how many packed bytes that took.
    fn inflate(&mut self, at: usize, size: usize, keep: bool) -> Result<(Option<Vec<u8>>, usize), Trouble> {
        self.budget = self.budget.checked_sub(size.max(1)).ok_or_else(too_large)?;
        let input = self.bytes.get(at..).ok_or_else(broken)?;
        let mut content = Vec::with_capacity(if keep { size } else { 0 });
        let mut inflater = Decompress::new(true);
        let mut chunk = [0; 16 * 1024];
        loop {
            let (read, written) = (position(inflater.total_in())?, position(inflater.total_out())?);
            let status = inflater
                .decompress(&input[read..], &mut chunk, FlushDecompress::None)
                .map_err(|_| broken())?;
            let new = position(inflater.total_out())? - written;
            if written + new > size {
                return Err(broken());
            }
            if keep {
                content.extend_from_slice(&chunk[..new]);
            }
            if status == Status::StreamEnd {
                break;
            }
            if new == 0 && position(inflater.total_in())? == read {
                return Err(broken());
            }
        }
        if position(inflater.total_out())? != size {
            return Err(broken());
        }
        Ok((keep.then_some(content), position(inflater.total_in())?))
    }

    /// Builds an object from its base and a difference; `None` when it would be too large.
    fn apply(&mut self, base: &[u8], difference: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        let mut at = 0;
        if number(difference, &mut at)? != base.len() {
            return Err(broken());
        }
        let size = number(difference, &mut at)?;
        if size > self.limit {
            return Ok(None);
        }
        self.budget = self.budget.checked_sub(size).ok_or_else(too_large)?;
        let mut result = Vec::with_capacity(size);
        while let Some(&order) = difference.get(at) {
            at += 1;
            let piece = if order & 0x80 == 0 {
                let length = usize::from(order);
                let piece = difference
                    .get(at..at + length)
                    .filter(|_| length > 0)
                    .ok_or_else(broken)?;
                at += length;
                piece
            } else {
                let mut part = |bit: u8, shift: u32| -> Result<usize, Trouble> {
                    if order & (1 << bit) == 0 {
                        return Ok(0);
                    }
                    let byte = difference.get(at).copied().ok_or_else(broken)?;
                    at += 1;
                    Ok(usize::from(byte) << shift)
                };
                let offset = part(0, 0)? | part(1, 8)? | part(2, 16)? | part(3, 24)?;
                let length = match part(4, 0)? | part(5, 8)? | part(6, 16)? {
                    0 => 0x10000,
                    length => length,
                };
                base.get(offset..offset + length).ok_or_else(broken)?
            };
            if result.len() + piece.len() > size {
                return Err(broken());
            }
            result.extend_from_slice(piece);
        }
        if result.len() == size {
            Ok(Some(result))
        } else {
            Err(broken())
        }
    }
}

fn position(total: u64) -> Result<usize, Trouble> {
    usize::try_from(total).map_err(|_| broken())
}

/// A number in groups of seven bits, lowest first.
fn number(bytes: &[u8], at: &mut usize) -> Result<usize, Trouble> {
    let (mut value, mut shift) = (0usize, 0u32);
    loop {
        let byte = bytes.get(*at).copied().ok_or_else(broken)?;
        *at += 1;
        if shift > 56 {
            return Err(broken());
        }
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    /// An entry: kind, declared size, what stands between header and data, content.
    struct Made(u8, usize, Vec<u8>, Vec<u8>);

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("written");
        encoder.finish().expect("finished")
    }

    fn whole(kind: u8, content: &[u8]) -> Made {
        Made(kind, content.len(), Vec::new(), content.to_vec())
    }

    fn pack(entries: &[Made]) -> (Bytes, Vec<usize>) {
        let mut bytes = b"PACK\0\0\0\x02".to_vec();
        bytes.extend_from_slice(&u32::try_from(entries.len()).expect("few").to_be_bytes());
        let mut offsets = Vec::new();
        for Made(kind, size, between, content) in entries {
            offsets.push(bytes.len());
            let (mut first, mut rest) = ((kind << 4) | u8::try_from(size & 15).expect("small"), size >> 4);
            while rest > 0 {
                bytes.push(first | 0x80);
                (first, rest) = (u8::try_from(rest & 0x7f).expect("small"), rest >> 7);
            }
            bytes.push(first);
            bytes.extend_from_slice(between);
            bytes.extend_from_slice(&packed(content));
        }
        let sum = Sha1::digest(&bytes);
        bytes.extend_from_slice(&sum);
        (bytes.into(), offsets)
    }

    fn id(kind: &str, content: &[u8]) -> Id {
        let mut hash = Sha1::new();
        hash.update(format!("{kind} {}\0", content.len()));
        hash.update(content);
        Id(hash.finalize().into())
    }

    /// "hello world" from "hello there": the first six bytes copied, the rest new.
    const DIFFERENCE: &[u8] = b"\x0b\x0b\x90\x06\x05world";

    #[test]
    fn whole_objects_and_differences_are_found_by_their_names() {
        let base = b"hello there";
        let (probe, offsets) = pack(&[whole(3, base)]);
        drop(probe);
        let second = {
            let (bytes, _) = pack(&[whole(3, base)]);
            bytes.len() - 20
        };
        let back = u8::try_from(second - offsets[0]).expect("near");
        assert!(back < 128);
        let (bytes, _) = pack(&[
            whole(3, base),
            Made(6, DIFFERENCE.len(), vec![back], DIFFERENCE.to_vec()),
            // Before its base, and by name.
            Made(
                7,
                6,
                id("commit", b"tree x").0.to_vec(),
                b"\x06\x06\x90\x05\x01y".to_vec(),
            ),
            whole(1, b"tree x"),
        ]);
        let mut pack = Pack::read(&bytes, Limits::default()).expect("a pack");
        for (kind, word, content) in [
            (Kind::Blob, "blob", &b"hello there"[..]),
            (Kind::Blob, "blob", b"hello world"),
            (Kind::Commit, "commit", b"tree x"),
            (Kind::Commit, "commit", b"tree y"),
        ] {
            let found = pack.find(id(word, content)).expect("readable");
            assert_eq!(found, Some((kind, Bytes::copy_from_slice(content))));
        }
        assert_eq!(pack.find(id("blob", b"other")).expect("readable"), None);
    }

    #[test]
    fn limits_hold_before_memory_is_used() {
        let bomb = vec![0; 4 << 20];
        let (bytes, _) = pack(&[whole(3, &bomb), whole(3, b"small")]);
        assert!(bytes.len() < 64 * 1024);
        let limits = Limits {
            object: 1 << 20,
            ..Limits::default()
        };
        let mut read = Pack::read(&bytes, limits).expect("large objects are passed over");
        assert_eq!(read.find(id("blob", &bomb)).expect("readable"), None);
        assert!(read.find(id("blob", b"small")).expect("readable").is_some());
        for tight in [
            Limits {
                unpacked: 1 << 20,
                ..limits
            },
            Limits { objects: 1, ..limits },
        ] {
            assert_eq!(Pack::read(&bytes, tight).err(), Some(too_large()));
        }
        // A difference that promises more than may be.
        let (bytes, _) = pack(&[
            whole(3, b"x"),
            Made(
                7,
                9,
                id("blob", b"x").0.to_vec(),
                b"\x01\xff\xff\xff\x7f\x01a\x01b".to_vec(),
            ),
        ]);
        assert!(Pack::read(&bytes, limits).is_ok());
    }

    #[test]
    fn what_is_not_a_pack_is_refused_and_never_panics() {
        let (good, _) = pack(&[
            whole(3, b"hello there"),
            Made(
                7,
                DIFFERENCE.len(),
                id("blob", b"hello there").0.to_vec(),
                DIFFERENCE.to_vec(),
            ),
        ]);
        for length in 0..good.len() {
            assert!(
                Pack::read(&good.slice(..length), Limits::default()).is_err(),
                "{length}"
            );
        }
        let end = good.len() - 20;
        for at in 0..end {
            for flip in [1, 0x10, 0x80] {
                let mut bad = good[..end].to_vec();
                bad[at] ^= flip;
                let sum = Sha1::digest(&bad);
                bad.extend_from_slice(&sum);
                // A damaged object may be readable, but not under its name.
                if let Ok(mut pack) = Pack::read(&bad.into(), Limits::default()) {
                    let _ = pack.find(id("blob", b"hello world"));
                }
            }
        }
        let mut summed = good.to_vec();
        summed[end] ^= 1;
        let error = Pack::read(&summed.into(), Limits::default()).err().expect("refused");
        assert!(error.0.contains("checksum"), "{error}");
        // A circle of differences leads nowhere, and a wrong size is a lie.
        let (bytes, _) = pack(&[Made(3, 5, Vec::new(), b"longer".to_vec())]);
        assert_eq!(Pack::read(&bytes, Limits::default()).err(), Some(broken()));
    }
}
