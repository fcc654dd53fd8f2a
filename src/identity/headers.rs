//! Reads identity from headers that a proven peer sent: the ambiguity rules R1–R10.
//!
//! Everything that proxies disagree about (two lines of one header, `_` for `-`, headers that `Connection` tells the
//! next hop to drop) is refused, never resolved.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

use super::definition::HeaderNames;
use super::text::{self, SubjectFault};
use super::{Identity, PeerProof, Refusal};

/// Bytes of one identity header at most (R10).
const MAX_VALUE_BYTES: usize = 8 * 1024;
/// Groups of one user at most (R10).
const MAX_GROUPS: usize = 256;

/// Reads the identity that `headers` tell. The proof is not looked at: having it is the point.
pub(super) fn read<'h>(
    names: &HeaderNames,
    source: &'h str,
    _proof: PeerProof,
    headers: &'h HeaderMap,
) -> Result<Identity<'h>, Refusal> {
    refuse_aliases(names, headers)?;
    refuse_listed_in_connection(names, headers)?;
    let subject = match single(headers, &names.subject)? {
        Some(value) => text::subject(value.as_bytes(), names.allow_comma_in_subject),
        None => Err(SubjectFault::Absent),
    };
    let name = companion(headers, names.name.as_ref())?;
    let email = companion(headers, names.email.as_ref())?;
    let groups = companion(headers, names.groups.as_ref())?;
    let subject = match subject {
        Ok(subject) => subject,
        // A signed-in user whose subject header was dropped on the way, by a `Connection` trick for one: not a visitor.
        Err(SubjectFault::Absent) if [name, email, groups].into_iter().flatten().any(|value| !value.is_empty()) => {
            return Err(Refusal::SubjectMissing);
        }
        Err(fault) => return Err(fault.into()),
    };
    Ok(Identity {
        source,
        issuer: None,
        subject,
        name: name.and_then(|value| text::display_name(value.as_bytes())),
        email: email.and_then(|value| text::email(value.as_bytes())),
        avatar: None,
        groups: groups.map_or_else(Vec::new, |value| split(value, names.group_separator)),
    })
}

/// R5: a header whose name becomes ours when `_` and `.` are read as `-` is an attack or a broken proxy.
fn refuse_aliases(names: &HeaderNames, headers: &HeaderMap) -> Result<(), Refusal> {
    for name in headers.keys().map(HeaderName::as_str) {
        let bytes = name.as_bytes();
        let suspicious = bytes.iter().any(|b| matches!(b, b'_' | b'.'))
            || bytes.first() == Some(&b'-')
            || bytes.last() == Some(&b'-');
        if suspicious {
            let folded = name.replace(['_', '.'], "-");
            let folded = folded.trim_matches('-');
            if names.all().any(|own| own.as_str() == folded) {
                return Err(Refusal::Alias);
            }
        }
    }
    Ok(())
}

/// T-07: `Connection: X-Forwarded-User` makes the next hop drop the header, or shows that somebody tried.
fn refuse_listed_in_connection(names: &HeaderNames, headers: &HeaderMap) -> Result<(), Refusal> {
    for value in headers.get_all(CONNECTION) {
        let bytes = value.as_bytes();
        if bytes.eq_ignore_ascii_case(b"keep-alive") || bytes.eq_ignore_ascii_case(b"close") {
            continue;
        }
        for token in bytes.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if names.all().any(|own| token.eq_ignore_ascii_case(own.as_str().as_bytes())) {
                return Err(Refusal::ListedInConnection);
            }
        }
    }
    Ok(())
}

/// R4 and R10: one line of a header, or none.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut lines = headers.get_all(name).iter();
    let Some(value) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Refusal::Duplicate);
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(Refusal::TooLong);
    }
    Ok(Some(value))
}

/// A header beside the subject; empty counts as absent (R6).
fn companion<'h>(headers: &'h HeaderMap, name: Option<&HeaderName>) -> Result<Option<&'h HeaderValue>, Refusal> {
    let value = name.map(|name| single(headers, name)).transpose()?.flatten();
    Ok(value.filter(|value| !value.as_bytes().trim_ascii().is_empty()))
}

fn split(value: &HeaderValue, separator: char) -> Vec<&str> {
    let Ok(text) = std::str::from_utf8(value.as_bytes()) else { return Vec::new() };
    text.split(separator).map(str::trim).filter(|group| !group.is_empty()).take(MAX_GROUPS).collect()
}
