//! What the application gets of an event: its headers, and the proven bytes.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, PROXY_AUTHORIZATION};
use http::{HeaderName, HeaderValue, Method};
use url::Url;

use super::sign::SignKeys;
use crate::clock::Timestamp;
use crate::outbound::Call;
use crate::pacing::jitter;
use crate::trace::TraceContext;
use crate::webhook::event::Event;
use crate::webhook::store::Taken;

/// Longest name or id of an event that is passed on.
const MOST_TEXT: usize = 128;
/// Headers about credentials, or about a connection that has ended.
const WITHHELD: [HeaderName; 11] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HOST,
    CONTENT_LENGTH,
    http::header::CONNECTION,
    http::header::TRANSFER_ENCODING,
    http::header::CONTENT_ENCODING,
    http::header::UPGRADE,
    http::header::TE,
    http::header::TRAILER,
];
/// What headers begin with that only we write.
const OURS: [&str; 2] = ["webhook-", "sidemint-"];

/// An event on its way to the application.
#[derive(Clone)]
pub(super) struct Message<'e> {
    pub(super) webhook: &'e str,
    pub(super) webhook_id: Cow<'e, str>,
    event: Option<&'e str>,
    id: Option<&'e str>,
    pub(super) received: Timestamp,
    /// 1 for the first.
    attempt: u32,
    headers: &'e [(HeaderName, HeaderValue)],
    body: &'e Bytes,
}

impl<'e> Message<'e> {
    /// An event that was kept.
    pub(super) fn of_taken(webhook: &'e str, taken: &'e Taken) -> Self {
        Self {
            webhook,
            webhook_id: Cow::Borrowed(&taken.webhook_id),
            event: taken.event.as_deref(),
            id: taken.id.as_deref(),
            received: taken.received,
            attempt: taken.attempts.saturating_add(1),
            headers: &taken.headers,
            body: &taken.body,
        }
    }

    /// An event that is not kept: its only attempt.
    pub(super) fn of_event(event: &'e Event) -> Self {
        Self {
            webhook: &event.webhook,
            webhook_id: Cow::Owned(event.key.webhook_id(&event.webhook)),
            event: event.event.as_deref(),
            id: event.id.as_deref(),
            received: event.received,
            attempt: 1,
            headers: &event.headers,
            body: &event.body,
        }
    }

    /// The call that brings it to `url`, signed at `now`.
    pub(super) fn call(&self, url: &Url, keys: &SignKeys, now: Timestamp) -> Call {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers.iter().filter(|(name, _)| may_pass(name)) {
            headers.append(name, value.clone());
        }
        if let Some(trace) = TraceContext::of(&headers) {
            trace.write(jitter::number(), &mut headers);
        }
        let mut set = |name, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("webhook-id", HeaderValue::try_from(&*self.webhook_id).ok());
        set("webhook-timestamp", Some(HeaderValue::from(now.as_seconds())));
        set("webhook-signature", keys.sign(&self.webhook_id, now, self.body));
        set("sidemint-webhook", visible(self.webhook));
        set("sidemint-event", self.event.and_then(visible));
        set("sidemint-event-id", self.id.and_then(visible));
        set("sidemint-received", HeaderValue::try_from(self.received.to_rfc3339()).ok());
        set("sidemint-attempt", Some(HeaderValue::from(self.attempt)));
        Call { method: Method::POST, url: url.clone(), headers, body: Some(self.body.clone()) }
    }
}

/// Whether a header of the provider's request may reach the application. What the provider proved its request with would
/// let the application, or what it logs, play the provider.
fn may_pass(name: &HeaderName) -> bool {
    let text = name.as_str();
    !WITHHELD.contains(name) && !text.contains("signature") && !OURS.iter().any(|own| text.starts_with(own))
}

/// `text` as a header, where it is short and visible ASCII.
fn visible(text: &str) -> Option<HeaderValue> {
    let fits = text.len() <= MOST_TEXT && text.bytes().all(|byte| byte.is_ascii_graphic());
    HeaderValue::try_from(text).ok().filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::super::sign::SignKey;
    use super::*;
    use crate::secrets::Secret;

    fn taken(event: &str, id: &str, headers: &[(&'static str, &'static str)]) -> Taken {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Taken {
            seq: 1,
            webhook_id: "evt_abc".to_owned(),
            event: Some(event.to_owned()),
            id: Some(id.to_owned()),
            received: Timestamp::from_millis(1_780_142_400_007),
            attempts: 2,
            headers: headers.iter().map(header).collect(),
            body: Bytes::from_static(b"{}"),
        }
    }

    fn headers(taken: &Taken) -> HeaderMap {
        let secret = Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec());
        let keys = SignKeys::new(vec![SignKey::read(&secret).expect("a key")]);
        let url = "http://127.0.0.1/hook".parse().expect("an address");
        Message::of_taken("chat", taken).call(&url, &keys, Timestamp::from_seconds(1_780_142_460)).headers
    }

    #[test]
    fn the_application_gets_these_headers() {
        let (id, trace) =
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let got = headers(&taken("message.new", "m1", &[("content-type", "application/json"), ("traceparent", trace)]));
        for (name, value) in [
            ("webhook-id", "evt_abc"),
            ("webhook-timestamp", "1780142460"),
            ("sidemint-webhook", "chat"),
            ("sidemint-event", "message.new"),
            ("sidemint-event-id", "m1"),
            ("sidemint-received", "2026-05-30T12:00:00.007Z"),
            ("sidemint-attempt", "3"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(got[name], value, "{name}");
        }
        assert!(got["webhook-signature"].to_str().expect("text").starts_with("v1,"));
        let own = got["traceparent"].to_str().expect("text");
        assert!(own.starts_with(id) && own != trace, "the trace goes on below a span of ours: {own}");
        assert_eq!(got.len(), 10);
    }

    #[test]
    fn what_is_long_or_not_visible_is_left_out() {
        let long = "x".repeat(129);
        for text in [long.as_str(), "two words", "zeile\n", "häl", "\u{7f}"] {
            let got = headers(&taken(text, text, &[]));
            assert!(!got.contains_key("sidemint-event") && !got.contains_key("sidemint-event-id"), "{text}");
        }
        let fits = "x".repeat(128);
        assert_eq!(headers(&taken(&fits, "m1", &[]))["sidemint-event"], fits);
    }

    /// Whatever a definition forwards.
    #[test]
    fn no_credential_of_the_provider_reaches_the_application() {
        let got = headers(&taken(
            "e",
            "i",
            &[
                ("authorization", "Bearer canary"),
                ("cookie", "canary=1"),
                ("proxy-authorization", "canary"),
                ("x-hub-signature", "sha1=canary"),
                ("x-twilio-signature", "canary"),
                ("webhook-signature", "v1,canary"),
                ("webhook-id", "canary"),
                ("svix-signature", "v1,canary"),
                ("sidemint-attempt", "canary"),
                ("content-length", "7"),
                ("transfer-encoding", "chunked"),
                ("content-encoding", "gzip"),
                ("x-room", "kept"),
            ],
        ));
        assert_eq!(got["x-room"], "kept");
        assert!(!format!("{got:?}").contains("canary"), "{got:?}");
        assert!(
            ["content-length", "transfer-encoding", "content-encoding"].iter().all(|name| !got.contains_key(*name))
        );
    }
}
