//! The protobuf wire format: varints, tags, and walking over a message's fields.
#![expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what the format asks for"
)]

/// Wire type of varints.
pub(crate) const VARINT: u8 = 0;
/// Wire type of eight-byte values.
pub(crate) const FIXED64: u8 = 1;
/// Wire type of length-delimited values.
pub(crate) const LEN: u8 = 2;
/// Wire type of four-byte values.
pub(crate) const FIXED32: u8 = 5;

/// Bytes that are not a message of the expected shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf message at byte {offset}: {what}")]
pub struct DecodeError {
    /// Where in the innermost message being read.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// One value as it lies in a message: the number itself for scalars, `start..end` for length-delimited values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw {
    pub a: u64,
    pub b: u64,
}

impl Raw {
    /// The bytes of a length-delimited value of `wire`.
    pub(crate) fn slice(self, wire: &[u8]) -> &[u8] {
        let (start, end) = (position(self.a), position(self.b));
        wire.get(start..end).unwrap_or_default()
    }
}

/// Offsets come from `usize` positions, so the way back never loses bits.
pub(crate) fn position(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Reads a message from front to back.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A cursor over `bytes[..end]` that starts at `start`.
    pub(crate) fn between(bytes: &'a [u8], start: usize, end: usize) -> Self {
        Self {
            bytes: bytes.get(..end).unwrap_or(bytes),
            at: start,
        }
    }

    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { offset: self.at, what }
    }

    pub(crate) fn done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in 0..10 {
            let Some(&byte) = self.bytes.get(self.at + shift) else {
                return Err(self.error("a number is cut off"));
            };
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                self.at += shift + 1;
                return Ok(value);
            }
        }
        Err(self.error("a number is longer than ten bytes"))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .ok_or_else(|| self.error("a fixed-size number is cut off"))?;
        self.at += N;
        Ok(*bytes)
    }

    /// The next field number and wire type.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<(u32, u8), DecodeError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        match number {
            Some(number) => Ok((number, (tag & 7) as u8)),
            None => Err(self.error("a field number is out of range")),
        }
    }

    /// The value that follows a tag of this wire type.
    #[inline]
    pub(crate) fn value(&mut self, wire_type: u8) -> Result<Raw, DecodeError> {
        match wire_type {
            VARINT => Ok(Raw {
                a: self.varint()?,
                b: 0,
            }),
            LEN => {
                let length = position(self.varint()?);
                let start = self.at;
                let end = start.checked_add(length).filter(|end| *end <= self.bytes.len());
                let Some(end) = end else {
                    return Err(self.error("a value reaches beyond the end of its message"));
                };
                self.at = end;
                Ok(Raw {
                    a: start as u64,
                    b: end as u64,
                })
            }
            FIXED64 => Ok(Raw {
                a: u64::from_le_bytes(self.take::<8>()?),
                b: 0,
            }),
            FIXED32 => Ok(Raw {
                a: u64::from(u32::from_le_bytes(self.take::<4>()?)),
                b: 0,
            }),
            3 | 4 => Err(self.error("groups are not supported")),
            _ => Err(self.error("an unknown wire type")),
        }
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field's tag.
pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, (u64::from(number) << 3) | u64::from(wire_type));
}

/// Appends a length-delimited value.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Puts the length of everything from `start` on in front of it.
pub(crate) fn close(out: &mut Vec<u8>, start: usize) {
    let before = out.len();
    put_varint(out, (before - start) as u64);
    let prefix = out.len() - before;
    if let Some(tail) = out.get_mut(start..) {
        tail.rotate_right(prefix);
    }
}
