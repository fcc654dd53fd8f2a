//! Reads a JSON text piece by piece, without recursion: names and structure here, values by `serde_json`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::gateway::refusal::Refusal;

/// Levels of lists and objects at most in a value that passes as it is.
const MAX_LEVELS: usize = 64;

/// A JSON text (RFC 8259) in UTF-8, and how far it was read.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    /// Begins to read. Another encoding than UTF-8 without a mark is another type: the provider could read something else.
    pub(super) fn new(body: &'t [u8]) -> Result<Self, Refusal> {
        const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"];
        // No JSON text in UTF-8 holds NUL; every one in UTF-16 or UTF-32 does.
        let is_other = MARKS.iter().any(|mark| body.starts_with(mark)) || memchr::memchr(0, body).is_some();
        // G-06: UTF-16
        if is_other {
            return Err(Refusal::TypeDenied);
        }
        std::str::from_utf8(body).map(|text| Self { text, at: 0 }).map_err(|_bytes| Refusal::BodyInvalid)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no blank, without taking it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let blanks = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().bytes().take_while(blanks).count();
        self.rest().bytes().next()
    }

    /// Takes this byte, if it is the next.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes this byte, which must be the next.
    pub(super) fn take(&mut self, byte: u8) -> Result<(), Refusal> {
        if self.takes(byte) { Ok(()) } else { Err(Refusal::BodyInvalid) }
    }

    /// A string, with its escapes decoded.
    pub(super) fn string(&mut self) -> Result<String, Refusal> {
        self.piece()
    }

    /// The text of a value that passes as it is.
    pub(super) fn value(&mut self) -> Result<&'t str, Refusal> {
        self.peek();
        let from = self.at;
        self.piece::<IgnoredAny>()?;
        let text = self.text.get(from..self.at).unwrap_or_default();
        // G-05: depth
        if levels(text) > MAX_LEVELS {
            return Err(Refusal::BodyInvalid);
        }
        Ok(text)
    }

    /// Nothing but blanks may be left.
    pub(super) fn end(&mut self) -> Result<(), Refusal> {
        if self.peek().is_none() { Ok(()) } else { Err(Refusal::BodyInvalid) }
    }

    fn piece<T: Deserialize<'t>>(&mut self) -> Result<T, Refusal> {
        let mut pieces = serde_json::Deserializer::from_str(self.rest()).into_iter();
        let piece = pieces.next().and_then(Result::ok).ok_or(Refusal::BodyInvalid)?;
        self.at += pieces.byte_offset();
        Ok(piece)
    }
}

/// How deep the brackets of a JSON text go.
fn levels(text: &str) -> usize {
    let (mut level, mut most, mut is_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            b'[' | b'{' if !is_string => {
                level += 1;
                most = most.max(level);
            }
            b']' | b'}' if !is_string => level = level.saturating_sub(1),
            _ => {}
        }
    }
    most
}
