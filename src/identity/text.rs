//! What counts as a subject, a display name and an e-mail address, once the bytes are here (R6–R8, R10, T-13 to T-16).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_public_assigned;

use super::Refusal;

/// Bytes of a subject at most.
const MAX_SUBJECT_BYTES: usize = 255;
/// Characters of a display name at most.
const MAX_NAME_CHARS: usize = 128;
/// Bytes of an e-mail address at most (RFC 5321, 4.5.3.1.3).
const MAX_EMAIL_BYTES: usize = 254;

/// Words that upstreams write where nobody is signed in.
const NOBODY: [&str; 5] = ["-", "(null)", "null", "undefined", "anonymous"];

/// Why bytes are not a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubjectFault {
    Absent,
    Template,
    Encoding,
    Character,
    Comma,
    TooLong,
}

impl From<SubjectFault> for Refusal {
    fn from(fault: SubjectFault) -> Self {
        match fault {
            SubjectFault::Absent => Self::Absent,
            SubjectFault::Template => Self::Template,
            SubjectFault::Encoding => Self::Encoding,
            SubjectFault::Character => Self::Character,
            SubjectFault::Comma => Self::Duplicate,
            SubjectFault::TooLong => Self::TooLong,
        }
    }
}

/// The subject, exactly as it was sent: it is opaque, so it is refused or kept, never changed (R8).
pub(super) fn subject(bytes: &[u8], allow_comma: bool) -> Result<&str, SubjectFault> {
    let bytes = bytes.trim_ascii();
    let text = std::str::from_utf8(bytes).map_err(|_| SubjectFault::Encoding)?;
    if text.is_empty() || NOBODY.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Err(SubjectFault::Absent);
    }
    if text.len() > MAX_SUBJECT_BYTES {
        return Err(SubjectFault::TooLong);
    }
    let look = Look::at(bytes);
    if look.has(Look::MARK) && is_unresolved_template(text) {
        return Err(SubjectFault::Template);
    }
    if look.has(Look::COMMA) && !allow_comma {
        // Two lines that a proxy joined look like this (T-09).
        return Err(SubjectFault::Comma);
    }
    if !look.has(Look::UNPRINTABLE) || (!text.is_ascii() && is_plain(text)) {
        Ok(text)
    } else {
        Err(SubjectFault::Character)
    }
}

/// What one pass over bytes finds. Nearly every value is printable and has none of the rest.
#[derive(Clone, Copy)]
struct Look(u8);

impl Look {
    const UNPRINTABLE: u8 = 1;
    const COMMA: u8 = 2;
    /// What templates begin with.
    const MARK: u8 = 4;
    const SPACE: u8 = 8;

    /// Class of every byte: a table, because this runs for each request.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which finds a wrong index")]
    const CLASSES: [u8; 256] = {
        let mut classes = [Self::UNPRINTABLE; 256];
        let mut b = 0x20;
        while b < 0x7f {
            classes[b] = match b {
                0x20 => Self::SPACE,
                0x2c => Self::COMMA,
                0x24 | 0x7b => Self::MARK,
                _ => 0,
            };
            b += 1;
        }
        classes
    };

    fn at(bytes: &[u8]) -> Self {
        let class = |b: &u8| Self::CLASSES.get(usize::from(*b)).copied().unwrap_or(Self::UNPRINTABLE);
        Self(bytes.iter().fold(0, |seen, b| seen | class(b)))
    }

    const fn has(self, class: u8) -> bool {
        self.0 & class != 0
    }
}

/// `{http.auth.user.id}`, `${user}`, `%{REMOTE_USER}e`, `$remote_user`: what a proxy sends when a placeholder has no
/// value. Taken for a name, every visitor would be the same user (T-16).
fn is_unresolved_template(text: &str) -> bool {
    if let Some(open) = text.find('{') {
        return text.get(open..).is_some_and(|rest| rest.contains('}'));
    }
    text.strip_prefix('$').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

/// Whether no character of a non-ASCII subject can be mistaken for another or hides (T-14).
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !is_invisible(c) && is_public_assigned(c)) && text.nfkc().eq(text.chars())
}

/// Zero-width characters and those that turn the direction of writing.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

/// A display name: for people only, so it is cleaned where a subject would be refused. `None` when nothing is left.
pub(super) fn display_name(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let bytes = bytes.trim_ascii();
    let text = std::str::from_utf8(bytes).ok()?;
    let look = Look::at(bytes);
    let has_gap = look.has(Look::SPACE) && bytes.windows(2).any(|pair| pair == b"  ");
    let name = if !look.has(Look::UNPRINTABLE) && !has_gap && text.len() <= MAX_NAME_CHARS {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(clean(text))
    };
    let is_template = look.has(Look::MARK) && is_unresolved_template(&name);
    (!name.is_empty() && !is_template).then_some(name)
}

fn clean(text: &str) -> String {
    let visible = text.nfc().filter(|c| !is_invisible(*c)).map(|c| if c.is_control() { ' ' } else { c });
    let visible: String = visible.collect();
    let mut name = String::with_capacity(visible.len());
    for word in visible.split_whitespace() {
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(word);
    }
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => name.get(..end).unwrap_or_default().trim_end().to_owned(),
        None => name,
    }
}

/// An e-mail address, if it can be one: a single `@` with something on both sides (two have fooled domain checks, T-13).
pub(super) fn email(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let (local, domain) = text.split_once('@')?;
    let fine = !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && text.len() <= MAX_EMAIL_BYTES
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !is_invisible(c));
    fine.then_some(text)
}

/// Groups of one user at most (R10).
pub(super) const MAX_GROUPS: usize = 256;
/// Bytes of a picture's address at most.
const MAX_AVATAR_BYTES: usize = 2048;

/// The groups in a header; what is not UTF-8 is none.
pub(super) fn groups(bytes: &[u8], separator: char) -> impl Iterator<Item = &str> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split(separator).map(str::trim).filter(|group| !group.is_empty()).take(MAX_GROUPS)
}

/// The address of a picture, if it is one that a page of any site may show: https, and nothing that hides.
pub(super) fn avatar(text: &str) -> Option<&str> {
    let fine = text.len() <= MAX_AVATAR_BYTES
        && text.starts_with("https://")
        && url::Url::parse(text).is_ok_and(|url| url.host().is_some() && url.username().is_empty());
    let visible = text.bytes().all(|b| b.is_ascii_graphic());
    (fine && visible).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_kept_byte_for_byte() {
        for good in [
            "alice",
            "Alice",
            "user_abc123",
            "auth0|5f7c",
            "a.b+c@example.org",
            "jörg",
            "李小龙",
            "two words",
            "{",
            "$1",
        ] {
            assert_eq!(subject(good.as_bytes(), false), Ok(good), "{good}");
        }
    }

    #[test]
    fn nobody_is_absent() {
        for nobody in ["", " ", "\t", "-", "(null)", "NULL", "undefined", "Anonymous"] {
            assert_eq!(subject(nobody.as_bytes(), false), Err(SubjectFault::Absent), "{nobody:?}");
        }
    }

    #[test]
    fn templates_without_value_are_refused() {
        for text in ["{http.auth.user.id}", "${user}", "%{REMOTE_USER}e", "$remote_user", "user-{id}"] {
            assert_eq!(subject(text.as_bytes(), false), Err(SubjectFault::Template), "{text}");
        }
    }

    #[test]
    fn confusing_subjects_are_refused() {
        for text in [
            "ｒoot",
            "ro\u{200B}ot",
            "\u{202E}toor",
            "a\u{0007}b",
            "a\u{0085}b",
            "alice\u{00A0}",
            "\u{FEFF}alice",
            "a＠b",
            "ﬁona",
            "e\u{0301}ve",
            "a\u{00AD}b",
            "x\u{2066}y",
            "\u{E0041}dmin",
            "a\u{0378}",
            "①",
        ] {
            assert_eq!(subject(text.as_bytes(), false), Err(SubjectFault::Character), "{text:?}");
        }
        for bytes in [&b"\xff"[..], b"a\xc0\xafb", b"\xed\xa0\x80", b"caf\xe9"] {
            assert_eq!(subject(bytes, false), Err(SubjectFault::Encoding), "{bytes:?}");
        }
    }

    #[test]
    fn commas_need_leave_and_length_is_bounded() {
        assert_eq!(subject(b"alice, mallory", false), Err(SubjectFault::Comma));
        assert_eq!(subject(b"cn=alice,dc=example", true), Ok("cn=alice,dc=example"));
        assert_eq!(subject(&[b'a'; 256], false), Err(SubjectFault::TooLong));
        assert!(subject(&[b'a'; 255], false).is_ok());
    }

    #[test]
    fn names_are_cleaned() {
        for (sent, shown) in [
            ("Alice", Some("Alice")),
            ("  Jane   Doe ", Some("Jane Doe")),
            ("Zoe\u{0308}", Some("Zoë")),
            ("a\r\nb", Some("a b")),
            ("\u{202E}evil\u{200B}", Some("evil")),
            ("{name}", None),
            ("\u{200B}", None),
            (" ", None),
        ] {
            assert_eq!(display_name(sent.as_bytes()).as_deref(), shown, "{sent:?}");
        }
        assert_eq!(display_name(b"caf\xe9"), None);
        let long = "ä".repeat(500);
        assert_eq!(display_name(long.as_bytes()).map(|name| name.chars().count()), Some(MAX_NAME_CHARS));
    }

    #[test]
    fn addresses_have_one_at() {
        assert_eq!(email(b"a@example.org"), Some("a@example.org"));
        for bad in ["a", "@b", "a@", "a@b@c", "a b@c", "a@b\u{200B}"] {
            assert_eq!(email(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
