//! Queries: the parameters of an operation, once each, written anew.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::decode::form;
use crate::gateway::refusal::Refusal;

/// Everything but RFC 3986 «unreserved» is encoded. A blank becomes `%20`: `+` is not a blank to every server.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The pairs of `query` that are an operation's, whose names are `known`. Those in `dropped` carry a proof or something else of
/// ours, and are taken out, however often they stand there.
pub(in crate::gateway) fn read<'k>(
    query: &str,
    known: &'k [String],
    dropped: &[String],
) -> Result<Vec<(&'k str, String)>, Refusal> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for (name, value) in form::pairs(query.as_bytes()).ok_or(Refusal::TargetInvalid)? {
        // G-09: proof in a query
        if dropped.contains(&name) {
            continue;
        }
        let known = known.iter().find(|own| **own == name);
        let is_new = |own: &&String| !pairs.iter().any(|(seen, _)| seen == *own);
        // G-04, G-05: parameter of a query
        let name = known.filter(is_new).ok_or(Refusal::QueryDenied)?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Writes pairs as a query; `None` where there are none.
pub(in crate::gateway) fn write(pairs: &[(&str, String)]) -> Option<String> {
    let encode = |text| utf8_percent_encode(text, ENCODED);
    let written: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    (!written.is_empty()).then(|| written.join("&"))
}
