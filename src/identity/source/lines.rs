//! The one line of each header that a source reads: the ambiguity rules R1–R10.
//!
//! Everything that proxies disagree about (two lines of one header, `_` for `-`, headers that `Connection` tells the
//! next hop to drop) is refused, never resolved.

use http::header::{CONNECTION, HeaderMap, HeaderValue};

use crate::identity::Refusal;
use crate::identity::definition::{Condition, HeaderNames, HeaderUse};
use crate::identity::request::ambiguity::{is_alias, refuse_listed};
use crate::identity::user::text::{self, SubjectFault};

/// Bytes of one identity header at most.
const MAX_VALUE_BYTES: usize = 8 * 1024;
/// Bytes of a header with all claims of a user at most: as much as a token may have.
const MAX_PAYLOAD_BYTES: usize = 16 * 1024;

/// The one line of each configured header.
#[derive(Default)]
pub(super) struct Lines<'h> {
    pub(super) subject: Option<&'h HeaderValue>,
    pub(super) name: Option<&'h HeaderValue>,
    pub(super) email: Option<&'h HeaderValue>,
    pub(super) avatar: Option<&'h HeaderValue>,
    /// The last of them, where there may be several.
    pub(super) groups: Option<&'h HeaderValue>,
    pub(super) payload: Option<&'h HeaderValue>,
    /// Whether something was there that was too long to be read.
    pub(super) has_long: bool,
    /// Whether a line is so long that it must be looked at for that.
    pub(super) may_be_long: bool,
}

/// The subject in decoded text; the source's own words for no user are absent.
pub(super) fn subject<'h>(names: &HeaderNames, text: &'h str, medium: text::Medium) -> Result<&'h str, SubjectFault> {
    let subject = text::subject(text, medium)?;
    if names.nobody.iter().any(|word| subject.eq_ignore_ascii_case(word)) {
        return Err(SubjectFault::Absent);
    }
    Ok(subject)
}

impl Lines<'_> {
    /// Why there is no subject. A signed-in user whose subject header was dropped on the way, by a `Connection` trick for
    /// one, is not a visitor.
    pub(super) fn refusal(&self, fault: SubjectFault) -> Refusal {
        let companions = [self.name, self.email, self.avatar, self.groups, self.payload];
        let companions = companions.into_iter().flatten().any(says_something) || self.has_long;
        // T-06: companions without subject
        if fault == SubjectFault::Absent && companions {
            return Refusal::SubjectMissing;
        }
        fault.into()
    }

    /// Leaves out what is too long and does not decide who the user is: it costs a name or groups, and no sign-in. Groups
    /// go as a whole, because half a list would depend on their order.
    pub(super) fn leave_out_long(&mut self, mut note: impl FnMut(HeaderUse)) {
        if !self.may_be_long {
            return;
        }
        for (part, line) in [
            (HeaderUse::Name, &mut self.name),
            (HeaderUse::Email, &mut self.email),
            (HeaderUse::Avatar, &mut self.avatar),
            (HeaderUse::Groups, &mut self.groups),
            (HeaderUse::Payload, &mut self.payload),
        ] {
            if line.is_some_and(|line| line.len() > most_bytes(part)) {
                *line = None;
                self.has_long = true;
                note(part);
            }
        }
    }
}

/// Bytes of the header of a part at most (R10).
const fn most_bytes(part: HeaderUse) -> usize {
    match part {
        HeaderUse::Payload => MAX_PAYLOAD_BYTES,
        _ => MAX_VALUE_BYTES,
    }
}

/// One pass over all lines: picks ours, and refuses what proxies disagree about.
pub(super) fn collect<'h>(names: &HeaderNames, headers: &'h HeaderMap) -> Result<Lines<'h>, Refusal> {
    let mut lines = Lines::default();
    for (name, value) in headers {
        if let Some(part) = names.part(name) {
            let line = match part {
                HeaderUse::Subject => &mut lines.subject,
                HeaderUse::Name => &mut lines.name,
                HeaderUse::Email => &mut lines.email,
                HeaderUse::Avatar => &mut lines.avatar,
                HeaderUse::Groups => &mut lines.groups,
                HeaderUse::Payload => &mut lines.payload,
                // Looked at once there is a subject.
                HeaderUse::Condition => continue,
            };
            lines.may_be_long |= value.len() > MAX_VALUE_BYTES;
            // R4: one line of a header, even if two would say the same.
            let before = line.replace(value);
            // T-08, T-57: repeated header
            if before.is_some() && !(part == HeaderUse::Groups && names.repeats_groups()) {
                return Err(Refusal::Duplicate);
            }
            let is_long = |value: &HeaderValue| value.len() > most_bytes(part);
            match part {
                HeaderUse::Subject if is_long(value) => return Err(Refusal::SubjectTooLong),
                HeaderUse::Payload if is_long(value) && names.depends_on_payload() => return Err(Refusal::TooLong),
                // Of several lines, one that is too long is remembered.
                _ => *line = before.filter(|before| is_long(before)).or(Some(value)),
            }
        } else if name == CONNECTION {
            refuse_listed(value, || names.all())?;
        } else if is_alias(name, names.all()) {
            return Err(Refusal::Alias);
        }
    }
    Ok(lines)
}

/// Whether the headers beside the user's are as they must be.
pub(super) fn hold(conditions: &[Condition], headers: &HeaderMap) -> Result<(), Refusal> {
    for condition in conditions {
        let mut values = headers.get_all(&condition.header).iter().map(|value| value.as_bytes().trim_ascii());
        let fits = |value: &[u8]| condition.value.as_ref().is_none_or(|wanted| wanted.as_bytes() == value);
        let holds = match (condition.wanted, values.next()) {
            (true, Some(_)) if values.next().is_some() => return Err(Refusal::Duplicate),
            (true, first) => first.is_some_and(|value| !value.is_empty() && fits(value)),
            (false, first) => !first.into_iter().chain(values).any(fits),
        };
        if !holds {
            return Err(Refusal::Condition);
        }
    }
    Ok(())
}

/// Empty counts as absent (R6).
fn says_something(value: &HeaderValue) -> bool {
    !value.as_bytes().trim_ascii().is_empty()
}
