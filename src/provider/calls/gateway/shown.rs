//! What a request shows as proof of its caller, and what of a request is ours to say.

use http::HeaderName;

use super::Gateway;
use crate::clock::Timestamp;
use crate::provider::calls::auth::{Carrier, StepAuth};
use crate::provider::calls::virtual_key::{NotShown, Presented, Shown, VirtualScheme};
use crate::provider::template::{Profile, Variables};
use crate::provider::user::UserId;

/// Where there is no body, some libraries leave its hash out, and some send this one: Pusher's for Python does.
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

impl Gateway {
    /// Where an SDK puts its key.
    pub fn virtual_key(&self) -> &VirtualScheme {
        &self.rules.virtual_key
    }

    /// What a request shows, to be held against keys. Where [`VirtualScheme::reads_body`], its body is there.
    pub fn shown(&self, request: &Presented<'_>, now: Timestamp) -> Result<Shown, NotShown> {
        let auths = self.rules.groups.first().map(|group| group.auth.as_slice()).unwrap_or_default();
        let credentials = self.access.vault.current();
        self.rules.virtual_key.read(request, auths, &credentials.parts, now)
    }

    /// Whether a request has the body that was signed. What a signature covers by a hash of the body is what every call
    /// carries: made of the body that came, it must be what was sent.
    pub fn check_body(&self, request: &Presented<'_>, now: Timestamp) -> Result<(), NotShown> {
        if !self.rules.virtual_key.hashes_body() {
            return Ok(());
        }
        let credentials = self.access.vault.current();
        let parts = &credentials.parts;
        let url = request.address(None)?;
        let text = request.text(&url);
        let (user, profile) = (UserId::default(), Profile::default());
        let variables = Variables { request: Some(&text), parts, now, ..Variables::of(&user, &profile) };
        let section = &self.rules.section.set;
        let is_of_body = |text: Option<&String>| text.is_some_and(|text| text.contains("request.body"));
        for (name, template) in self.rules.set.query.iter().filter(|(name, _)| is_of_body(section.query.get(name))) {
            let own = template.render(&variables).map_err(|_missing| NotShown::KeyBody)?;
            let sent = request.parameter(name).ok().filter(|sent| own.is_some() || sent != MD5_OF_NOTHING);
            // G-15: hash of the body
            if own != sent {
                return Err(NotShown::KeyBody);
            }
        }
        let written =
            |name: &HeaderName| section.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name.as_str()));
        for (name, template) in &self.rules.set.headers {
            if !is_of_body(written(name).map(|(_, text)| text)) {
                continue;
            }
            let own = template.render(&variables).map_err(|_missing| NotShown::KeyBody)?;
            if own.as_deref() != request.line(name).ok() {
                return Err(NotShown::KeyBody);
            }
        }
        Ok(())
    }

    /// Headers and query parameters that are ours to say: proofs, what every call carries, and users. What a caller sends
    /// there is for us, and never goes any further.
    pub fn ours(&self) -> (Vec<HeaderName>, Vec<String>) {
        let (mut headers, mut query) = self.rules.virtual_key.places();
        for auth in self.rules.groups.iter().flat_map(|group| &group.auth) {
            match auth {
                StepAuth::Header { name, .. }
                | StepAuth::Jwt { header: name, .. }
                | StepAuth::Signature { carrier: Carrier::Header(name), .. } => headers.push(name.clone()),
                StepAuth::Signature { carrier: Carrier::Query(name), .. } => query.push(name.clone()),
                StepAuth::Member { .. } => {}
            }
        }
        headers.extend(self.rules.set.headers.iter().map(|(name, _)| name.clone()));
        query.extend(self.rules.set.query.iter().map(|(name, _)| name.clone()));
        if let Some(own) = &self.rules.section.as_user {
            let sent_as = own.sent_as.as_deref();
            let in_query = sent_as.and_then(|text| text.strip_prefix("query:"));
            let in_header = sent_as.filter(|_| in_query.is_none());
            query.extend(own.query.as_deref().into_iter().chain(in_query).map(str::to_owned));
            headers.extend(own.header.as_deref().into_iter().chain(in_header).filter_map(|name| name.parse().ok()));
        }
        headers.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        headers.dedup();
        query.sort_unstable();
        query.dedup();
        (headers, query)
    }
}
