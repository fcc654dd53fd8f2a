//! What counts as a subject, whichever way it comes in: the one place that says so.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_public_assigned;

use super::look::Look;
use super::{hidden, placeholder};
use crate::identity::Refusal;

/// Bytes of a subject at most.
const MAX_BYTES: usize = 255;

/// How a subject came in, which decides what else it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Medium {
    /// In a header line: a proxy may have joined two of them with a comma, or not filled in a placeholder.
    Line,
    /// By a proxy or an application as a value of its own, which no hop joins to another.
    Value,
    /// In what an issuer signed, or by the operator: a brace or a dollar is part of it.
    Signed,
}

/// Why bytes are not a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum SubjectFault {
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
            SubjectFault::TooLong => Self::SubjectTooLong,
        }
    }
}

/// The subject, exactly as it was sent: it is opaque, so it is refused or kept, never changed (R8). What stands around a
/// header line (RFC 9110, 5.5) is no part of it, and is gone before this.
pub(in crate::identity) fn subject(text: &str, medium: Medium) -> Result<&str, SubjectFault> {
    // T-06: blank subject
    if text.trim_ascii().is_empty() || placeholder::is_word(text) {
        return Err(SubjectFault::Absent);
    }
    if text.len() > MAX_BYTES {
        return Err(SubjectFault::TooLong);
    }
    let look = Look::at(text.as_bytes());
    // T-16: placeholders
    if look.has(Look::MARK) && medium != Medium::Signed && placeholder::holds_placeholder(text) {
        return Err(SubjectFault::Template);
    }
    // T-09: joined lines
    if look.has(Look::COMMA) && medium == Medium::Line {
        // Two lines that a proxy joined look like this (T-09).
        return Err(SubjectFault::Comma);
    }
    // " a" is another user than "a" where it comes from, so it cannot become "a" here.
    // T-13: surrounding blanks
    if text.trim_ascii().len() != text.len() {
        return Err(SubjectFault::Character);
    }
    // T-13, T-14: plain
    if !look.has(Look::UNPRINTABLE) || (!text.is_ascii() && is_plain(text)) {
        Ok(text)
    } else {
        Err(SubjectFault::Character)
    }
}

/// Whether no character of a non-ASCII subject can be mistaken for another or hides (T-14). U+FFFD stands for bytes that
/// a program could not read, so two users may have become one.
fn is_plain(text: &str) -> bool {
    let is_seen =
        // T-14: hidden or unassigned
        |c: char| !c.is_control() && !hidden::is_hidden(c) && is_public_assigned(c) && c != char::REPLACEMENT_CHARACTER;
    // T-14: normal form
    text.chars().all(|c| c.is_ascii_graphic() || c == ' ' || is_seen(c)) && text.nfkc().eq(text.chars())
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
            "none",
            "nobody",
            "{",
            "$1",
            "100%",
        ] {
            assert_eq!(subject(good, Medium::Line), Ok(good), "{good}");
        }
    }

    #[test]
    fn words_for_no_user_are_absent() {
        for word in ["", " ", "\t", "-", "(null)", "NULL", "undefined", "Anonymous", "<no value>", "None"] {
            for medium in [Medium::Line, Medium::Value, Medium::Signed] {
                assert_eq!(subject(word, medium), Err(SubjectFault::Absent), "{word:?}");
            }
        }
    }

    /// T-13: nothing is taken off, so that no two subjects become one.
    #[test]
    fn blanks_around_a_subject_are_refused() {
        for text in [" alice", "alice ", "\talice", "alice\n", " null", "alice\u{a0}", "\u{3000}alice"] {
            for medium in [Medium::Line, Medium::Value, Medium::Signed] {
                assert_eq!(subject(text, medium), Err(SubjectFault::Character), "{text:?}");
            }
        }
    }

    #[test]
    fn templates_without_value_are_refused() {
        for text in ["{http.auth.user.id}", "${user}", "%{REMOTE_USER}e", "$remote_user", "user-{id}", "%REMOTE_USER%"]
        {
            for medium in [Medium::Line, Medium::Value] {
                assert_eq!(subject(text, medium), Err(SubjectFault::Template), "{text}");
            }
            assert_eq!(subject(text, Medium::Signed), Ok(text), "no proxy fills in what is signed");
        }
    }

    /// T-14, T-72.
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
            "al\u{115F}ice",
            "al\u{17B4}ice",
            "al\u{1BCA0}ice",
            "al\u{2028}ice",
            "al\u{2029}ice",
            "al\u{1680}ice",
            "al\u{2800}ice",
            "al\u{3164}ice",
            "al\u{1D173}ice",
            "j\u{FFFD}rg",
            "a\u{FFFC}",
            "a\u{E000}",
        ] {
            assert_eq!(subject(text, Medium::Signed), Err(SubjectFault::Character), "{text:?}");
        }
    }

    #[test]
    fn commas_need_leave_and_length_is_bounded() {
        assert_eq!(subject("alice, mallory", Medium::Line), Err(SubjectFault::Comma));
        assert_eq!(subject("cn=alice,dc=example", Medium::Value), Ok("cn=alice,dc=example"));
        assert_eq!(subject(&"a".repeat(256), Medium::Line), Err(SubjectFault::TooLong));
        assert!(subject(&"a".repeat(255), Medium::Line).is_ok());
    }
}
