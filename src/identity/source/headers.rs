//! Reads identity from headers that a proven peer sent. What must be decoded is read by [`decoded`].

use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue};

use super::decoded;
use super::left_out::LeftOut;
use super::lines::{collect, hold, subject};
use crate::identity::claims::Validity;
use crate::identity::definition::HeaderNames;
use crate::identity::user::Reading;
use crate::identity::user::profile::HeaderLines;
use crate::identity::user::text::{self, SubjectFault};
use crate::identity::{PeerProof, Refusal};

/// Reads the identity that `headers` tell. The proof is not looked at: having it is the point.
pub(super) fn read<'h>(
    names: &HeaderNames,
    validity: &Validity,
    left_out: &LeftOut,
    _proof: PeerProof,
    headers: &'h HeaderMap,
) -> Result<Reading<'h>, Refusal> {
    let mut lines = collect(names, headers)?;
    lines.leave_out_long(|part| left_out.note(part, validity.clock.now()));
    if let Some(decoding) = &names.decoding {
        let profile = decoded::read(names, decoding, validity, &lines, headers)?;
        return Ok(Reading::Profile(Arc::new(profile)));
    }
    let subject = match lines.subject {
        Some(line) => text::of_line(line)
            .ok_or(SubjectFault::Encoding)
            .and_then(|text| subject(names, text.trim_ascii(), names.subject_medium())),
        None => Err(SubjectFault::Absent),
    };
    let subject = subject.map_err(|fault| lines.refusal(fault))?;
    hold(&names.conditions, headers)?;
    Ok(Reading::Lines(HeaderLines {
        subject,
        name: lines.name.and_then(text::of_line).and_then(text::display_name),
        email: lines.email.map(HeaderValue::as_bytes),
        avatar: lines.avatar.and_then(|value| value.to_str().ok()),
        groups: lines.groups.map(|value| (value.as_bytes(), names.group_separator)),
    }))
}
