//! Sends the requests of a run, one at a time and to the one address, and reads what each answer says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, SERVER, VIA};
use http::{HeaderValue, Method};
use serde_json::Value;
use strum::VariantArray as _;
use url::Url;

use super::cases::Who;
use super::proxy::Proxy;
use crate::clock::Clock;
use crate::inbound::Outcome;
use crate::outbound::{Call, Outbound, Reply, SendError};

/// One request and its answer take this long at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who sends.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) outbound: Outbound,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) url: Url,
    /// What every request of a browser must carry here.
    pub(super) always: HeaderMap,
    /// What signs the operator in; its values are marked sensitive.
    pub(super) sign_in: HeaderMap,
    pub(super) pause: Duration,
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// A session of some user.
    Session {
        /// Member `chatUserId`.
        user: String,
        /// Member `displayName`.
        name: String,
    },
    /// A refusal that sidemint itself wrote.
    Refused(u16, Outcome),
    /// Something else, so a hop before sidemint wrote it.
    Before(u16),
    /// No answer.
    Nothing(SendError),
}

impl Probe {
    /// Sends `lines` on top of what belongs to the asker; tells what came back, and the proxy if it names itself.
    pub(super) async fn ask(&self, who: Who, lines: &HeaderMap) -> (Seen, Option<Proxy>) {
        let mut headers = self.always.clone();
        let signs_in = (who == Who::User).then_some(&self.sign_in);
        for (name, value) in signs_in.into_iter().flatten().chain(lines) {
            headers.append(name, value.clone());
        }
        let call = Call { method: Method::GET, url: self.url.clone(), headers, body: None };
        let deadline = self.clock.moment().plus(PATIENCE);
        let reply = self.outbound.send(call, deadline).await;
        tokio::time::sleep(self.pause).await;
        match reply {
            Ok(reply) => (Seen::of(&reply), named(&reply.headers)),
            Err(error) => (Seen::Nothing(error), None),
        }
    }

    /// The address without its query, which may hold secrets.
    pub(super) fn shown_address(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.to_string()
    }
}

impl Seen {
    fn of(reply: &Reply) -> Self {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |member: &str| body.get(member).and_then(Value::as_str);
        if let (200, Some(user), Some(_)) = (reply.status, text("chatUserId"), text("expiresAt").or(text("token"))) {
            return Self::Session { user: user.to_owned(), name: text("displayName").unwrap_or_default().to_owned() };
        }
        let outcome =
            text("code").and_then(|code| Outcome::VARIANTS.iter().copied().find(|outcome| outcome.row().code == code));
        match (outcome, text("requestId")) {
            (Some(outcome), Some(_)) => Self::Refused(reply.status, outcome),
            _ => Self::Before(reply.status),
        }
    }

    /// Status of the answer, if there was one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Session { .. } => Some(200),
            Self::Refused(status, _) | Self::Before(status) => Some(*status),
            Self::Nothing(_) => None,
        }
    }
}

impl fmt::Display for Seen {
    /// Without the user: the reader of the report knows who they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { .. } => f.write_str("200"),
            Self::Refused(status, outcome) => write!(f, "{status} ({})", outcome.row().code),
            Self::Before(status) => write!(f, "{status}"),
            Self::Nothing(error) => write!(f, "nothing: {error}"),
        }
    }
}

impl fmt::Debug for Seen {
    /// Personal data stays out of panics and logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The proxy that an answer names.
fn named(headers: &HeaderMap) -> Option<Proxy> {
    let mut values = headers.get_all(SERVER).iter().chain(headers.get_all(VIA)).map(HeaderValue::as_bytes);
    values.find_map(|value| Proxy::named_in(&String::from_utf8_lossy(value)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn seen(status: u16, body: &'static str) -> Seen {
        Seen::of(&Reply { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) })
    }

    #[test]
    fn an_answer_is_ours_where_it_looks_it() {
        let session = seen(200, r#"{"token":"t","expiresAt":null,"chatUserId":"alice","displayName":"Alice"}"#);
        assert_eq!(session, Seen::Session { user: "alice".to_owned(), name: "Alice".to_owned() });
        let refused = seen(401, r#"{"error":"Unauthorized","code":"unauthorized","requestId":"1"}"#);
        assert_eq!(refused, Seen::Refused(401, Outcome::Unauthorized));
        for (status, body) in [(401, "{}"), (401, ""), (200, "<html>"), (302, ""), (403, r#"{"code":"elsewhere"}"#)] {
            assert_eq!(seen(status, body), Seen::Before(status));
        }
    }

    #[test]
    fn no_user_is_named_in_debug_or_report() {
        let session = Seen::Session { user: "alice".to_owned(), name: "Alice".to_owned() };
        assert_eq!(format!("{session} {session:?}"), "200 200");
    }
}
