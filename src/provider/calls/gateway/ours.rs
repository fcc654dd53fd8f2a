//! What calls carry that is ours. What a caller sends in these places proves the caller at most, and never arrives.

use http::HeaderName;

use super::Gateway;
use crate::provider::calls::auth::StepAuth;

impl Gateway {
    /// Headers and query parameters of proofs, of what the section sets, of callers' keys, and of users.
    pub fn ours(&self) -> (Vec<HeaderName>, Vec<String>) {
        let section = &self.rules.section;
        let auths = || self.rules.groups.iter().flat_map(|group| &group.auth);
        let mut headers: Vec<HeaderName> = auths().filter_map(StepAuth::header).cloned().collect();
        let mut query: Vec<String> = auths().filter_map(StepAuth::query).map(str::to_owned).collect();
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
        (headers, query)
    }
}
