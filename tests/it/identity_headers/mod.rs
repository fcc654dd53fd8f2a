//! Every preset of kind `headers`: understood as its upstream sends it, and every attack on headers refused.

mod attacks;
mod encodings;
mod upstreams;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;
use sidemint::config::Environment;

use crate::client::{Answer, Connection};
use crate::harness::{LOCAL, NOW, SESSION, Service, clock, config};

pub use upstreams::{UPSTREAMS, Upstream};

/// A header line; values are bytes, because that is what they are.
pub type Line = (String, Vec<u8>);

pub fn line(name: &str, value: impl AsRef<[u8]>) -> Line {
    (name.to_owned(), value.as_ref().to_vec())
}

/// Shows in the token what was understood.
const CLAIMS: &str =
    "claims = { email = \"{{ user.email? }}\", picture = \"{{ user.avatar? }}\", groups = \"{{ user.groups }}\" }\n";

/// A service whose only source is this one; `table` is what the operator writes below it.
pub async fn service(source: &str, table: &str) -> Service {
    service_for(source, table, "127.0.0.0/8").await
}

/// The same with another network to believe.
pub async fn service_for(source: &str, table: &str, network: &str) -> Service {
    service_with(source, table, &[("identity.peers.networks", &format!("[\"{network}\"]"))]).await
}

/// The same with other settings beside the source.
pub async fn service_with(source: &str, table: &str, settings: &[(&str, &str)]) -> Service {
    let quoted = format!("\"{source}\"");
    let table_key = format!("identity.sources.{source}");
    let mut overrides = vec![("identity.source", quoted.as_str())];
    overrides.extend(settings);
    if !table.is_empty() {
        overrides.push((&table_key, table));
    }
    let text = config(&format!("{LOCAL}{CLAIMS}"), &overrides);
    Service::start(&text, &Environment::default(), clock()).await
}

/// A client of a service, that sends bytes.
pub struct Client<'s> {
    service: &'s Service,
    connection: Connection,
}

impl<'s> Client<'s> {
    pub async fn of(service: &'s Service) -> Self {
        Self { service, connection: service.connect().await }
    }

    pub async fn send(&mut self, path: &str, lines: &[Line]) -> Answer {
        let mut bytes = format!("GET {path} HTTP/1.1\r\nHost: sidemint.test\r\n").into_bytes();
        for (name, value) in lines {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        self.connection.send(bytes).await;
        if let Some(answer) = self.connection.answer().await {
            if answer.header("connection") == Some("close") {
                self.connection = self.service.connect().await;
            }
            return answer;
        }
        panic!("closed without an answer: {lines:?}");
    }

    /// The claims of the token that these lines get.
    pub async fn claims(&mut self, lines: &[Line]) -> Value {
        let answer = self.send(SESSION, lines).await;
        assert_eq!(answer.status, 200, "{lines:?}: {answer:?}");
        let token = answer.json()["token"].as_str().expect("a token").to_owned();
        let claims = BASE64URL.decode(token.split('.').nth(1).expect("claims")).expect("base64url");
        serde_json::from_slice(&claims).expect("JSON")
    }

    /// These lines are no user, for this reason; outside, the reason is not told.
    pub async fn refused(&mut self, lines: &[Line], reason: &str) {
        let counter = format!("sidemint_identity_refusals_total{{reason=\"{reason}\"}}");
        let before = self.service.metric(&counter).await;
        let answer = self.send(SESSION, lines).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{reason}: {lines:?}");
        let counted = self.service.metric(&counter).await - before;
        assert!((counted - 1.0).abs() < 0.1, "{reason} is counted: {lines:?}\n{}", self.service.log());
    }
}

/// A time in seconds, this far from now.
pub fn seconds(ahead: i64) -> i64 {
    NOW.as_seconds() + ahead
}

/// Moves time on a service.
pub fn wait(service: &Service, seconds: u64) {
    service.clock.advance(Duration::from_secs(seconds));
}
