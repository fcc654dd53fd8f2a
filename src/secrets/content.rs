//! What a secret may look like, the same for files and for variables: the one rule for what editors, shells and consoles
//! add to a value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::IgnoredAny;

use crate::definition::{Mistake, is_quoted, line};

/// Lines of base64 are at least this long where a tool breaks them: 64 (OpenSSL) or 76 (RFC 2045).
const WRAPPED: usize = 64;

/// The secret in `bytes`, without the one line break that editors and `echo` put at the end. `Err` says what is wrong, as
/// the rest of a sentence that begins with the place; it never says what was found there.
///
/// Bytes that are no text are a raw key and stay as they are. A document (PEM, JSON) may have line breaks around it,
/// because its readers skip them.
pub(super) fn cleaned(mut bytes: Vec<u8>) -> Result<Vec<u8>, Mistake> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16; save it as UTF-8".into());
    }
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err("is empty".into());
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => check(text)?,
        Err(_) => return Ok(bytes),
    }
    Ok(bytes)
}

fn check(text: &str) -> Result<(), Mistake> {
    if is_document(text) {
        return Ok(());
    }
    line(text)
}

/// Whether this is read by a parser that skips blanks: PEM, a JSON object, or base64 of a PEM or DER in several lines.
fn is_document(text: &str) -> bool {
    if is_quoted(text.trim()) || text.starts_with('\u{feff}') {
        return false;
    }
    text.contains("-----BEGIN ")
        || text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
        || is_wrapped_key(text)
}

fn is_wrapped_key(text: &str) -> bool {
    let mut lines = text.lines().rev().skip_while(|line| line.is_empty()).skip(1).peekable();
    let letters = || text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>();
    lines.peek().is_some()
        && lines.all(|line| line.len() >= WRAPPED)
        && BASE64.decode(letters()).is_ok_and(|key| key.starts_with(b"-----BEGIN ") || key.starts_with(&[0x30]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(bytes: &[u8]) -> String {
        match cleaned(bytes.to_vec()) {
            Ok(kept) => format!("= {}", String::from_utf8_lossy(&kept)),
            Err(mistake) => mistake.problem.split(';').next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn one_line_break_goes_and_what_no_console_shows_is_refused() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for (bytes, expected) in [
            (&b"abc"[..], "= abc"),
            (b"abc\n", "= abc"),
            (b"abc\r\n", "= abc"),
            (b"0012", "= 0012"),
            (b"two words", "= two words"),
            (b"\"", "= \""),
            ("pässword".as_bytes(), "= pässword"),
            (b"", "is empty"),
            (b"\n", "is empty"),
            (b"\r\n", "is empty"),
            (b"abc\n\n", "ends with a line break"),
            (b"abc\r\n\r\n", "ends with a line break"),
            (b"abc\r", "ends with a line break"),
            (b"abc \n", "ends with a blank"),
            (b"abc\t", "ends with a blank"),
            ("abc\u{a0}".as_bytes(), "ends with a blank"),
            (b" abc", "begins with a blank or a line break"),
            (b"\nabc", "begins with a blank or a line break"),
            (b"          \n", "is blank"),
            ("\u{3000}".as_bytes(), "is blank"),
            (b"\"abc\"", "stands in quotes"),
            (b"'abc'\n", "stands in quotes"),
            ("\u{201c}abc\u{201d}".as_bytes(), "stands in quotes"),
            ("\u{feff}abc\r\n".as_bytes(), "begins with a byte order mark"),
            (&utf16("abc"), "holds NUL characters, as UTF-16 does"),
            (&utf16("\u{feff}abc"), "is UTF-16"),
            (&[0xfe, 0xff, 0, b'a'], "is UTF-16"),
            (b"one\ntwo", "holds a line break, a control character or an invisible one (character 4)"),
            ("ab\u{200b}c".as_bytes(), "holds a line break, a control character or an invisible one (character 3)"),
            ("abc\u{feff}".as_bytes(), "holds a line break, a control character or an invisible one (character 4)"),
            (b"\"-----BEGIN PRIVATE KEY-----\\nx\"", "stands in quotes"),
            ("\u{feff}-----BEGIN PRIVATE KEY-----\n".as_bytes(), "begins with a byte order mark"),
            ("\u{feff}{}".as_bytes(), "begins with a byte order mark"),
            (b"{not json\n\n", "ends with a line break"),
        ] {
            assert_eq!(outcome(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn documents_and_raw_keys_stay_as_they_are() {
        let wrapped = format!("{}\n{}\n{}\n", "MC4CAQAwBQYDK2VwBCIEIAAA".repeat(3), "A".repeat(72), "AAAA");
        for (bytes, kept) in [
            (
                &b"\n-----BEGIN PRIVATE KEY-----\r\nx\r\n-----END PRIVATE KEY-----\r\n\r\n"[..],
                &b"\n-----BEGIN PRIVATE KEY-----\r\nx\r\n-----END PRIVATE KEY-----\r\n"[..],
            ),
            (b"{\n  \"kty\": \"oct\"\n}\n\n", b"{\n  \"kty\": \"oct\"\n}\n"),
            (&[0, 0x80, b' '], &[0, 0x80, b' ']),
            (wrapped.as_bytes(), wrapped.trim_end().as_bytes()),
        ] {
            assert_eq!(cleaned(bytes.to_vec()).as_deref(), Ok(kept), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
