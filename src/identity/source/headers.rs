//! Reads identity from headers that a proven peer sent: the ambiguity rules R1–R10.
//!
//! Everything that proxies disagree about (two lines of one header, `_` for `-`, headers that `Connection` tells the
//! next hop to drop) is refused, never resolved.

use std::borrow::Cow;

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

use crate::identity::definition::HeaderNames;
use crate::identity::text::{self, SubjectFault};
use crate::identity::{PeerProof, Refusal};

/// Bytes of one identity header at most (R10).
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// Which of the configured headers a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Subject,
    Name,
    Email,
    Groups,
}

/// The one line of each configured header.
#[derive(Default)]
struct Lines<'h> {
    subject: Option<&'h HeaderValue>,
    name: Option<&'h HeaderValue>,
    email: Option<&'h HeaderValue>,
    groups: Option<&'h HeaderValue>,
}

/// What plain lines tell, borrowed from the request.
#[derive(Clone, Default)]
pub(in crate::identity) struct Told<'h> {
    pub(in crate::identity) subject: &'h str,
    pub(in crate::identity) name: Option<Cow<'h, str>>,
    /// As sent; read when somebody asks.
    pub(in crate::identity) email: Option<&'h [u8]>,
    pub(in crate::identity) avatar: Option<&'h str>,
    /// As sent, and the separator; taken apart when somebody asks.
    pub(in crate::identity) groups: Option<(&'h [u8], char)>,
}

/// Reads the identity that `headers` tell. The proof is not looked at: having it is the point.
pub(super) fn read<'h>(names: &HeaderNames, _proof: PeerProof, headers: &'h HeaderMap) -> Result<Told<'h>, Refusal> {
    let lines = collect(names, headers)?;
    let subject = match lines.subject {
        Some(value) => text::subject(value.as_bytes(), names.allow_comma_in_subject),
        None => Err(SubjectFault::Absent),
    };
    let subject = match subject {
        Ok(subject) => subject,
        // A signed-in user whose subject header was dropped on the way, by a `Connection` trick for one: not a visitor.
        Err(SubjectFault::Absent)
            if [lines.name, lines.email, lines.groups].into_iter().flatten().any(says_something) =>
        {
            return Err(Refusal::SubjectMissing);
        }
        Err(fault) => return Err(fault.into()),
    };
    Ok(Told {
        subject,
        name: lines.name.and_then(|value| text::display_name(value.as_bytes())),
        email: lines.email.map(HeaderValue::as_bytes),
        avatar: None,
        groups: lines.groups.map(|value| (value.as_bytes(), names.group_separator)),
    })
}

/// One pass over all lines: picks ours, and refuses what proxies disagree about.
fn collect<'h>(names: &HeaderNames, headers: &'h HeaderMap) -> Result<Lines<'h>, Refusal> {
    let mut lines = Lines::default();
    for (name, value) in headers {
        if let Some(part) = names.part(name) {
            let line = match part {
                Part::Subject => &mut lines.subject,
                Part::Name => &mut lines.name,
                Part::Email => &mut lines.email,
                Part::Groups => &mut lines.groups,
            };
            // R4: one line of a header, even if two would say the same.
            if line.replace(value).is_some() {
                return Err(Refusal::Duplicate);
            }
            if value.len() > MAX_VALUE_BYTES {
                return Err(Refusal::TooLong);
            }
        } else if name == CONNECTION {
            refuse_listed(names, value)?;
        } else if is_alias(names, name) {
            return Err(Refusal::Alias);
        }
    }
    Ok(lines)
}

impl HeaderNames {
    fn part(&self, name: &HeaderName) -> Option<Part> {
        let is = |own: &Option<HeaderName>| own.as_ref().is_some_and(|own| own == name);
        if self.subject == *name {
            Some(Part::Subject)
        } else if is(&self.name) {
            Some(Part::Name)
        } else if is(&self.email) {
            Some(Part::Email)
        } else if is(&self.groups) {
            Some(Part::Groups)
        } else {
            None
        }
    }
}

/// R5: a header whose name becomes ours when `_` and `.` are read as `-` is an attack or a broken proxy.
fn is_alias(names: &HeaderNames, name: &HeaderName) -> bool {
    let name = name.as_str();
    let bytes = name.as_bytes();
    let folds = bytes.iter().any(|b| matches!(b, b'_' | b'.'));
    if !folds && bytes.first() != Some(&b'-') && bytes.last() != Some(&b'-') {
        return false;
    }
    let folded = name.replace(['_', '.'], "-");
    let folded = folded.trim_matches('-');
    names.all().any(|own| own.as_str() == folded)
}

/// T-07: `Connection: X-Forwarded-User` makes the next hop drop the header, or shows that somebody tried.
fn refuse_listed(names: &HeaderNames, value: &HeaderValue) -> Result<(), Refusal> {
    let bytes = value.as_bytes();
    if bytes.eq_ignore_ascii_case(b"keep-alive") || bytes.eq_ignore_ascii_case(b"close") {
        return Ok(());
    }
    let mut tokens = bytes.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let listed = tokens.any(|token| names.all().any(|own| token.eq_ignore_ascii_case(own.as_str().as_bytes())));
    if listed { Err(Refusal::ListedInConnection) } else { Ok(()) }
}

/// Empty counts as absent (R6).
fn says_something(value: &HeaderValue) -> bool {
    !value.as_bytes().trim_ascii().is_empty()
}
