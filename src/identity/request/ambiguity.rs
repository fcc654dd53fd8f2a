//! What hops disagree about, for every header that tells or proves something: two lines of one header (R4), names that
//! some read as the same (R5), and headers that `Connection` tells the next hop to drop (T-07). It is refused, never
//! resolved.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

use crate::identity::Refusal;

/// The one line of a header. Two are refused, even if they say the same.
pub(in crate::identity) fn one<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    // T-08: one line
    if lines.next().is_some() { Err(Refusal::Duplicate) } else { Ok(first) }
}

/// The one line of a header that tells something by itself.
pub(in crate::identity) fn only<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Refusal> {
    guard(headers, std::slice::from_ref(name))?;
    one(headers, name)
}

/// Refuses a request in which one of `names` is ambiguous.
pub(in crate::identity) fn guard(headers: &HeaderMap, names: &[HeaderName]) -> Result<(), Refusal> {
    if names.is_empty() {
        return Ok(());
    }
    for name in names {
        one(headers, name)?;
    }
    for (name, value) in headers {
        if name == CONNECTION {
            refuse_listed(value, || names.iter())?;
        } else if is_alias(name, names) {
            return Err(Refusal::Alias);
        }
    }
    Ok(())
}

/// Whether a proxy that joins lines could have made this value of two, or of bytes that are not text (T-09, T-15). What
/// it was cannot be known any more.
pub(in crate::identity) fn may_be_joined(value: &HeaderValue) -> bool {
    value.as_bytes().iter().any(|byte| matches!(byte, b',' | b'!'))
}

/// R5: a header whose name becomes one of `own` when `_` and `.` are read as `-` is an attack or a broken proxy.
pub(in crate::identity) fn is_alias<'n, I: IntoIterator<Item = &'n HeaderName>>(name: &HeaderName, own: I) -> bool {
    let name = name.as_str();
    let bytes = name.as_bytes();
    let folds = bytes.iter().any(|b| matches!(b, b'_' | b'.')); // T-03, T-04: look-alike header names
    if !folds && bytes.first() != Some(&b'-') && bytes.last() != Some(&b'-') {
        return false;
    }
    let folded = name.replace(['_', '.'], "-");
    let folded = folded.trim_matches('-');
    own.into_iter().any(|own| own.as_str() == folded)
}

/// T-07: `Connection: X-Forwarded-User` makes the next hop drop the header, or shows an attempt.
pub(in crate::identity) fn refuse_listed<'n, I>(value: &HeaderValue, own: impl Fn() -> I) -> Result<(), Refusal>
where
    I: Iterator<Item = &'n HeaderName>,
{
    let bytes = value.as_bytes();
    if bytes.eq_ignore_ascii_case(b"keep-alive") || bytes.eq_ignore_ascii_case(b"close") {
        return Ok(());
    }
    let mut tokens = bytes.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let listed = tokens.any(|token| own().any(|own| token.eq_ignore_ascii_case(own.as_str().as_bytes())));
    // T-07: listed in Connection
    if listed { Err(Refusal::ListedInConnection) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_of(lines: &[(&str, &str)]) -> Result<Option<String>, Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let own = HeaderName::from_static("x-the-token");
        only(&headers, &own).map(|value| value.map(|value| value.to_str().expect("text").to_owned()))
    }

    /// T-03, T-04, T-07, T-08 for headers that carry tokens.
    #[test]
    fn one_line_under_its_own_name() {
        assert_eq!(only_of(&[("X-The-Token", "a"), ("Connection", "keep-alive")]), Ok(Some("a".to_owned())));
        assert_eq!(only_of(&[("X-Other", "a"), ("x-the-tokens", "b"), ("x_thetoken", "c")]), Ok(None));
        assert_eq!(only_of(&[("X-The-Token", "a"), ("x-the-token", "a")]), Err(Refusal::Duplicate));
        for alias in ["X_The_Token", "x.the-token", "X-The_Token", "X-The-Token-", "_x-the-token", "-x-the.token_"] {
            assert_eq!(only_of(&[(alias, "b"), ("X-The-Token", "a")]), Err(Refusal::Alias), "{alias}");
        }
        for listed in ["X-The-Token", "close, x-the-token", "x-THE-token ,close"] {
            let lines = [("X-The-Token", "a"), ("Connection", listed)];
            assert_eq!(only_of(&lines), Err(Refusal::ListedInConnection), "{listed}");
        }
    }
}
