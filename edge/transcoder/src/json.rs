//! A JSON reader that keeps what error answers need: the text of every value, duplicate keys, and positions and words of
//! syntax errors as Python's `json` module gives them (clients of the contract see those).

use std::borrow::Cow;

use crate::{
    MAX_DEPTH,
    problem::{Fault, Loc, Problem},
    text,
};

/// One JSON value.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    /// Its text in the document; empty for values that did not come from JSON (query parameters).
    pub raw: &'a str,
    pub value: Value<'a>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The token as written.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// A text that did not come from JSON.
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            raw: "",
            value: Value::String(text.into()),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value as compact JSON.
    pub(crate) fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            // Beyond the range of floats most readers refuse a number, and an echo must be readable.
            Value::Number(token) if token.parse::<f64>().is_ok_and(f64::is_infinite) => out.extend_from_slice(b"null"),
            Value::Number(token) => out.extend_from_slice(token.as_bytes()),
            Value::String(value) => text::string(value, out),
            Value::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Object(entries) => {
                out.push(b'{');
                for (index, (key, item)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    text::string(key, out);
                    out.push(b':');
                    item.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The text for an error's `input`; long values are not echoed, so they are not rendered either.
    pub(crate) fn echo(&self) -> Option<String> {
        (self.raw.len() <= crate::problem::MAX_ECHO).then(|| self.to_json())
    }

    /// Whether any string or key of the value contains a NUL character.
    pub(crate) fn has_nul(&self) -> bool {
        match &self.value {
            Value::String(value) => value.contains('\0'),
            Value::Array(items) => items.iter().any(Node::has_nul),
            Value::Object(entries) => entries.iter().any(|(key, item)| key.contains('\0') || item.has_nul()),
            _ => false,
        }
    }
}

/// A syntax error: byte position and Python's words.
#[derive(Debug, PartialEq)]
pub(crate) struct SyntaxError {
    pub at: usize,
    pub what: Cow<'static, str>,
}

impl SyntaxError {
    /// The 422 problem. Its position counts characters of `source`, not bytes.
    pub(crate) fn problem(self, source: &[u8]) -> Problem {
        let before = source.get(..self.at).unwrap_or(source);
        let characters = before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        Problem {
            kind: "json_invalid",
            loc: vec![Loc::Name("body".into()), Loc::Index(characters)],
            msg: "JSON decode error".to_owned(),
            input: serde_json::value::RawValue::from_string("{}".to_owned()).ok(),
            ctx: Some(serde_json::json!({ "error": self.what })),
        }
    }
}

/// Parses a whole document. `Ok(None)`: there is nothing in it.
pub(crate) fn parse(source: &[u8]) -> Result<Option<Node<'_>>, SyntaxError> {
    if source.is_empty() {
        return Ok(None);
    }
    let source = match std::str::from_utf8(source) {
        Ok(text) => text,
        Err(error) => {
            return Err(SyntaxError {
                at: error.valid_up_to(),
                what: "The text is not valid UTF-8".into(),
            });
        }
    };
    let mut parser = Parser {
        source,
        bytes: source.as_bytes(),
        at: 0,
    };
    if source.starts_with('\u{feff}') {
        parser.at = '\u{feff}'.len_utf8();
    }
    parser.space();
    let node = parser.value(0)?;
    parser.space();
    if parser.at < parser.bytes.len() {
        return Err(parser.error("Extra data"));
    }
    Ok(Some(node))
}

/// Why `bytes` are not a JSON text of the expected kind, if they are not.
pub(crate) fn check(bytes: &[u8]) -> Result<Node<'_>, Fault> {
    let fault = || Fault::value("the bytes are not a JSON text");
    parse(bytes).map_err(|_| fault())?.ok_or_else(fault)
}

struct Parser<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, what: &'static str) -> SyntaxError {
        Self::error_at(self.at, what)
    }

    fn error_at(at: usize, what: &'static str) -> SyntaxError {
        SyntaxError { at, what: what.into() }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn slice(&self, start: usize) -> &'a str {
        self.source.get(start..self.at).unwrap_or_default()
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, SyntaxError> {
        if self
            .bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word.as_bytes()))
        {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.error("Expecting value"))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, SyntaxError> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.error("Expecting value")),
        };
        Ok(Node {
            raw: self.slice(start),
            value,
        })
    }

    fn deeper(&self, depth: usize) -> Result<usize, SyntaxError> {
        if depth < MAX_DEPTH {
            return Ok(depth + 1);
        }
        Err(SyntaxError {
            at: self.at,
            what: format!("Nested deeper than {MAX_DEPTH} levels").into(),
        })
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, SyntaxError> {
        let depth = self.deeper(depth)?;
        let mut entries = Vec::new();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(entries));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error("Expecting property name enclosed in double quotes"));
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("Expecting ':' delimiter"));
            }
            self.at += 1;
            self.space();
            entries.push((key, self.value(depth)?));
            self.space();
            match self.peek() {
                Some(b'}') => break,
                Some(b',') => self.at += 1,
                _ => return Err(self.error("Expecting ',' delimiter")),
            }
            self.space();
        }
        self.at += 1;
        Ok(Value::Object(entries))
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, SyntaxError> {
        let depth = self.deeper(depth)?;
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            match self.peek() {
                Some(b']') => break,
                Some(b',') => self.at += 1,
                _ => return Err(self.error("Expecting ',' delimiter")),
            }
            self.space();
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    /// The longest number at this place: what follows it is somebody else's error, as in Python.
    fn number(&mut self) -> Result<Value<'a>, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else if !self.digits() {
            return Err(Self::error_at(start, "Expecting value"));
        }
        let end = self.at;
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.digits() {
                self.at = end;
            }
        }
        let end = self.at;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.digits() {
                self.at = end;
            }
        }
        Ok(Value::Number(self.slice(start)))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        let opening = self.at;
        self.at += 1;
        let start = self.at;
        let mut owned: Option<String> = None;
        let mut run = start;
        loop {
            match self.peek() {
                None => return Err(Self::error_at(opening, "Unterminated string starting at")),
                Some(b'"') => {
                    let tail = self.slice(run);
                    self.at += 1;
                    return Ok(match owned {
                        Some(mut text) => {
                            text.push_str(tail);
                            Cow::Owned(text)
                        }
                        None => Cow::Borrowed(tail),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(self.source.get(run..self.at).unwrap_or_default());
                    let escape = self.at;
                    self.at += 1;
                    let character = match self.peek() {
                        None => return Err(Self::error_at(opening, "Unterminated string starting at")),
                        Some(b'"') => '"',
                        Some(b'\\') => '\\',
                        Some(b'/') => '/',
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => self.unicode()?,
                        Some(_) => return Err(Self::error_at(escape, "Invalid \\escape")),
                    };
                    self.at += 1;
                    text.push(character);
                    run = self.at;
                }
                Some(0..0x20) => return Err(self.error("Invalid control character at")),
                Some(_) => self.at += 1,
            }
        }
    }

    /// Four hex digits after the `u` at `at`; stays on the last of them.
    fn hex(&mut self, escape: usize) -> Result<u32, SyntaxError> {
        let mut value = 0;
        for step in 1..=4 {
            let digit = self
                .bytes
                .get(self.at + step)
                .and_then(|byte| char::from(*byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(Self::error_at(escape, "Invalid \\uXXXX escape"));
            };
            value = value * 16 + digit;
        }
        self.at += 4;
        Ok(value)
    }

    /// Python lets lone surrogates through; they have no UTF-8 form, so here they are errors.
    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let escape = self.at;
        let first = self.hex(escape)?;
        let code = if (0xd800..0xdc00).contains(&first) && self.bytes.get(self.at + 1..self.at + 3) == Some(b"\\u") {
            self.at += 2;
            let second = self.hex(self.at)?;
            if (0xdc00..0xe000).contains(&second) {
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            } else {
                first
            }
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| Self::error_at(escape, "Unpaired surrogate in \\uXXXX escape"))
    }
}
