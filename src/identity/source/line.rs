//! The one line of a header that tells identity by itself: R4, R5 and T-07 where one header is all there is.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

use crate::identity::Refusal;

/// The value of `own`, if it is there. Twice, under an alias, or listed in `Connection`, it is refused.
pub(in crate::identity) fn only<'h>(
    own: &HeaderName,
    headers: &'h HeaderMap,
) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut found = None;
    for (name, value) in headers {
        if name == own {
            if found.replace(value).is_some() {
                return Err(Refusal::Duplicate);
            }
        } else if name == CONNECTION {
            let mut listed = value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
            if listed.any(|token| token.eq_ignore_ascii_case(own.as_str().as_bytes())) {
                return Err(Refusal::ListedInConnection);
            }
        } else if is_alias(own.as_str(), name.as_str()) {
            return Err(Refusal::Alias);
        }
    }
    Ok(found)
}

/// Whether some hop reads `name` as `own`: with `_` or `.` for `-`, or with dashes around it.
fn is_alias(own: &str, name: &str) -> bool {
    let trimmed = name.trim_matches(['-', '_', '.']);
    let same = |(own, other): (u8, u8)| own == other || (own == b'-' && matches!(other, b'_' | b'.'));
    trimmed.len() == own.len() && own.bytes().zip(trimmed.bytes()).all(same)
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
        only(&own, &headers).map(|value| value.map(|value| value.to_str().expect("text").to_owned()))
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
