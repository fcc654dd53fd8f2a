//! What calls carry that is ours. What a caller sends in these places proves the caller at most, and never arrives.

use http::HeaderName;

use super::gate::Ours;
use crate::provider;

/// Proofs, what the section sets, where callers show their keys, and where users are named.
pub(super) fn of(provider: &provider::Gateway) -> Ours {
    let section = provider.section();
    let mut headers: Vec<HeaderName> = provider.proof_headers().cloned().collect();
    let mut query: Vec<String> = provider.proof_query().map(str::to_owned).collect();
    let mut header = |name: &str| headers.extend(HeaderName::try_from(name).ok());
    section.set.headers.keys().for_each(|name| header(name));
    query.extend(section.set.query.keys().cloned());
    if let Some(key) = &section.virtual_key {
        key.header.iter().for_each(|name| header(name));
        query.extend(key.query.clone());
        for place in [&key.key_id, &key.time].into_iter().flatten() {
            match place.split_once(':') {
                Some(("query", name)) => query.push(name.to_owned()),
                Some(("header", name)) => header(name),
                _ => {}
            }
        }
    }
    if let Some(user) = &section.as_user {
        user.header.iter().for_each(|name| header(name));
        query.extend(user.query.clone());
        match user.sent_as.as_deref().map(|place| place.split_once(':').unwrap_or(("header", place))) {
            Some(("query", name)) => query.push(name.to_owned()),
            Some((_, name)) => header(name),
            None => {}
        }
    }
    headers.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    headers.dedup();
    query.sort_unstable();
    query.dedup();
    Ours { headers, query }
}
