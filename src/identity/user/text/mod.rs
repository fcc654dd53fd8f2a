//! What counts as a subject, a display name and an e-mail address, once the bytes are here (R6–R8, R10, T-13 to T-16).

mod entry;
mod hidden;
mod look;
mod name;
mod placeholder;
mod subject;

use http::HeaderValue;

pub(in crate::identity) use entry::{SubjectRules, written_as_id};
pub(in crate::identity) use name::display_name;
pub(in crate::identity) use subject::{Medium, SubjectFault, subject};

/// Bytes of an e-mail address at most (RFC 5321, 4.5.3.1.3).
const MAX_EMAIL_BYTES: usize = 254;
/// Groups of one user at most (R10).
pub(in crate::identity) const MAX_GROUPS: usize = 256;
/// Bytes of the name of a group at most.
const MAX_GROUP_BYTES: usize = 255;
/// Bytes of a picture's address at most.
const MAX_AVATAR_BYTES: usize = 2048;

/// The text of a header line; `None` where it is not UTF-8.
pub(in crate::identity) fn of_line(line: &HeaderValue) -> Option<&str> {
    // Nearly every line is printable ASCII, and found to be so in a third of the time.
    if let Ok(text) = line.to_str() {
        return Some(text);
    }
    std::str::from_utf8(line.as_bytes()).ok() // T-57: not UTF-8
}

/// An e-mail address, if it can be one: a single `@` with something on both sides (two have fooled domain checks, T-13).
pub(in crate::identity) fn email(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let (local, domain) = text.split_once('@')?;
    let fine = !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && text.len() <= MAX_EMAIL_BYTES
        && text.chars().all(|c| !c.is_control() && c != ' ' && (c.is_ascii() || !hidden::is_hidden(c)));
    fine.then_some(text)
}

/// Whether a text can be the name of a group, whichever way it comes in: not blank, at most 255 bytes, no control
/// character. It is compared as it is, so blanks around it are part of it.
pub(in crate::identity) fn is_group(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_GROUP_BYTES && !name.chars().any(char::is_control)
}

/// The groups in a header that holds several; what is not UTF-8 is none.
pub(in crate::identity) fn groups(bytes: &[u8], separator: char) -> impl Iterator<Item = &str> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split(separator).map(str::trim).filter(|group| is_group(group)).take(MAX_GROUPS)
}

/// The address of a picture, if it is one that a page of any site may show: https, and nothing that hides.
pub(in crate::identity) fn avatar(text: &str) -> Option<&str> {
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
    fn addresses_have_one_at() {
        assert_eq!(email(b"a@example.org"), Some("a@example.org"));
        for bad in ["a", "@b", "a@", "a@b@c", "a b@c", "a@b\u{200B}", "a\u{115F}@b", "a@b\u{2028}c"] {
            assert_eq!(email(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn groups_have_one_rule() {
        let long = "x".repeat(255);
        for name in ["staff", " staff", "team,a", "ä", long.as_str()] {
            assert!(is_group(name), "{name}");
        }
        for name in ["", " ", "\u{3000}", "a\tb", "a\u{85}", &format!("{long}x")] {
            assert!(!is_group(name), "{name}");
        }
        assert_eq!(groups(format!("a, b ,,{long}x,c\u{1}d,e").as_bytes(), ',').collect::<Vec<_>>(), ["a", "b", "e"]);
    }
}
