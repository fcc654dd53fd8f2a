//! What must hold for any token, name and identity: headers that no proxy stumbles over, and keys that lose nothing.

use std::borrow::Cow;

use http::HeaderMap;

use super::answer::{Answer, ENVOY_REMOVE, Form, SESSION_HEADERS};
use super::key::{self, SessionKey};
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::provider::{Minted, Profile, ProfileUse};
use crate::secrets::Fingerprint;

/// Token, address, user id, name and subject, a line each: visible ASCII, the complete set, within the budget; and the
/// same as JSON that says what was put in.
pub(crate) fn answer_headers(bytes: &[u8]) {
    let mut parts = lines(bytes);
    let mut part = || parts.next().unwrap_or_default().into_owned();
    let (token, api_url, user_id, name, subject) = (part(), part(), part(), part(), part());
    let at = Timestamp::from_seconds(1_777_920_000);
    // Some tokens do not end.
    let expires = (name.len() % 2 == 0).then_some(at);
    let minted = Minted { token, expires, minted: at, user_id, extra: Vec::new(), upserted: false };
    let profile = Profile { subject: &subject, name: Some(&name), ..Profile::default() };
    if let Answer::Headers(headers) = Answer::render(&Form::Headers(HeaderMap::new()), &minted, &api_url, &profile, &[])
    {
        let told = usize::from(headers.contains_key(ENVOY_REMOVE));
        assert_eq!(headers.len(), SESSION_HEADERS.len() + 1 + told, "the complete set");
        let is_empty = |name| headers.get(name).is_some_and(http::HeaderValue::is_empty);
        assert_eq!(told == 1, SESSION_HEADERS.iter().any(is_empty), "what is empty is told");
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        assert!(size <= 3584, "{size} bytes");
        for own in [&SESSION_HEADERS[3], &SESSION_HEADERS[4]] {
            let value = headers.get(own).map(http::HeaderValue::as_bytes).unwrap_or_default();
            assert!(value.iter().all(|byte| (0x21..0x7f).contains(byte)), "{own} is visible ASCII");
        }
        let shown = headers.get(&SESSION_HEADERS[4]).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let read = percent_encoding::percent_decode_str(shown).decode_utf8_lossy();
        assert_eq!(read, profile.display_name(), "the name arrives");
    }
    if let Answer::Body(body) = Answer::render(&Form::Json, &minted, &api_url, &profile, &[]) {
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let read = ["token", "apiUrl", "chatUserId", "displayName"].map(|member| json.get(member)?.as_str());
        let put = [&minted.token, &api_url, &minted.user_id, profile.display_name()].map(Some);
        assert_eq!(read, put, "every member arrives");
    }
}

/// Two users, four lines each (subject, name, e-mail, groups): the key gives the question back, and different questions
/// have different keys.
pub(crate) fn session_key(bytes: &[u8]) {
    let parts: Vec<_> = lines(bytes).collect();
    let part = |at: usize| parts.get(at).map_or("", AsRef::as_ref);
    let uses = ProfileUse { name: true, email: true, avatar: false, groups: true, roles: false };
    let roles = crate::identity::Roles::default();
    let depends = key::Depends { credentials: Fingerprint([3; 8]), uses, roles: &roles };
    let question = |at: usize| {
        let identity = Identity::of_operator(part(at), Some(part(at + 1))).ok()?;
        let identity = identity.with((!part(at + 2).is_empty()).then(|| part(at + 2)), part(at + 3));
        let inputs = [Some(part(at + 2).to_owned()), None, Some(part(at + 1).to_owned())];
        let encoded = key::encode(Fingerprint([7; 8]), depends, &identity, &inputs);
        let own = SessionKey::from(encoded.as_slice());
        let read = own.question();
        assert!(read.is_some(), "a key can be read");
        let read = read?;
        let told = (read.profile.subject, read.profile.name, read.profile.email);
        assert_eq!(told, (identity.subject(), identity.name(), identity.email()), "the user is the one who asked");
        assert!(read.profile.groups.iter().copied().eq(identity.groups()));
        assert!(read.inputs.iter().map(|input| input.map(str::to_owned)).eq(inputs.iter().cloned()));
        let groups: Vec<String> = identity.groups().map(str::to_owned).collect();
        let whole = (told.0.to_owned(), told.1.map(str::to_owned), told.2.map(str::to_owned), groups, inputs);
        Some((encoded, whole))
    };
    if let (Some((one, asked)), Some((two, other))) = (question(0), question(4)) {
        assert_eq!(one == two, asked == other, "equal keys are equal questions");
    }
}

/// The lines of any bytes, as text.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    bytes.split(|byte| *byte == b'\n').map(String::from_utf8_lossy)
}
