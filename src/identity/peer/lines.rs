//! Headers that prove something are held to the rules of those that name a user (R4, R5, T-07): one line, no name that
//! some hop reads as the same, and not listed in `Connection`.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

use crate::identity::Refusal;

/// Refuses a request in which one of `names` is ambiguous.
pub(super) fn guard(headers: &HeaderMap, names: &[HeaderName]) -> Result<(), Refusal> {
    if names.is_empty() {
        return Ok(());
    }
    for name in names {
        one(headers, name)?;
    }
    for (name, value) in headers {
        if name == CONNECTION {
            let mut tokens = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            if tokens.any(|token| names.iter().any(|own| token.eq_ignore_ascii_case(own.as_str().as_bytes()))) {
                return Err(Refusal::ListedInConnection);
            }
        } else if is_alias(name, names) {
            return Err(Refusal::Alias);
        }
    }
    Ok(())
}

/// The one line of a header.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    if lines.next().is_some() { Err(Refusal::Duplicate) } else { Ok(first) }
}

/// Whether `name` is another spelling of one of `names`: some hops read `_` and `.` as `-`.
fn is_alias(name: &HeaderName, names: &[HeaderName]) -> bool {
    let name = name.as_str();
    if !name.contains(['_', '.']) && !name.starts_with('-') && !name.ends_with('-') {
        return false;
    }
    let folded = name.replace(['_', '.'], "-");
    let folded = folded.trim_matches('-');
    names.iter().any(|own| own.as_str() == folded)
}
