//! The gate from its front door: a request goes in, and a call or a refusal comes out.

mod attacks;
mod bodies;
mod headers;
mod load;
mod property;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::gateway::fuzzing::sample::{self, Granted};

/// A section, with its settings.
fn section(text: &str) -> Gateway {
    sample::section(text).expect("a section")
}

/// A request. Without a content type, a body is JSON.
struct Call<'r> {
    line: &'r str,
    headers: &'r [(&'r str, &'r str)],
    body: &'r [u8],
    user: Option<&'r str>,
    granted: Granted,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self { line: "GET /users", headers: &[], body: b"", user: None, granted: Granted::All }
    }
}

/// The call that a request became.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    operation: String,
    line: String,
    body: Option<String>,
    headers: Vec<(String, String)>,
    parameters: Vec<(String, String)>,
}

impl Call<'_> {
    /// Lines with the value `-` are left out.
    fn sample(&self) -> sample::Call<'_> {
        let (method, uri) = self.line.split_once(' ').expect("a line");
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers
                .append(HeaderName::try_from(*name).expect("a name"), HeaderValue::try_from(*value).expect("a value"));
        }
        if !self.body.is_empty() {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        let (method, uri) = (method.parse().expect("a method"), uri.parse().expect("a target"));
        sample::Call { method, uri, headers, body: Some(self.body.to_vec().into()), user: self.user }
    }

    /// All steps, as the gateway takes them.
    fn make(&self) -> Result<Made, Refusal> {
        let made = sample::make(&self.sample(), &self.granted)?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut headers: Vec<_> =
            made.call.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        headers.sort();
        Ok(Made {
            operation: made.operation,
            line: format!("{} {}", made.call.method, made.call.url),
            body: made.call.body.map(|body| String::from_utf8_lossy(&body).into_owned()),
            headers,
            parameters: made.parameters,
        })
    }
}

fn line(line: &str) -> Result<Made, Refusal> {
    Call { line, ..Call::default() }.make()
}

#[test]
fn a_call_is_built_anew_from_what_was_matched() {
    let made = line("GET /users?limit=10&cursor=a+b%2Fc").expect("made");
    assert_eq!(
        (made.operation.as_str(), made.line.as_str()),
        ("user.list", "GET https://api.example/v1/users?limit=10&cursor=a%20b%2Fc")
    );
    let made = line("HEAD /users/%40a%3ab").expect("made");
    assert_eq!(
        (made.operation.as_str(), made.line.as_str()),
        ("user.get", "HEAD https://api.example/v1/users/%40a%3Ab")
    );
    assert_eq!(made.parameters, [("user".to_owned(), "@a:b".to_owned())]);
    let made = line("GET /apps/a%201/users/alice").expect("made");
    assert_eq!(
        (made.operation.as_str(), made.line.as_str()),
        ("app.user", "GET https://api.example/v1/apps/a%201/users/alice")
    );
    assert_eq!(line("GET /apps/a%201/users/me").expect("made").operation, "app.me", "a literal beats a parameter");
    assert_eq!(made.headers, [("accept-encoding".to_owned(), "identity".to_owned())]);
}

/// G-14, G-18, G-20: what a grant does not hold for is not made.
#[test]
fn grants_are_about_operations_and_every_value_of_a_parameter() {
    let call =
        |line, body: &'static str, granted| Call { line, body: body.as_bytes(), granted, ..Call::default() }.make();
    assert_eq!(call("GET /users", "", Granted::None), Err(Refusal::OperationDenied));
    assert_eq!(call("GET /nothing", "", Granted::None), Err(Refusal::OperationUnknown));
    let rooms = |line, body| call(line, body, Granted::Rooms).map(|made| made.operation);
    assert!(rooms("POST /rooms", r#"{"room":"mine-1"}"#).is_ok());
    assert!(rooms("POST /rooms/mine-1/messages", "{}").is_ok());
    for (line, body) in [
        ("POST /rooms", r#"{"room":"other"}"#),
        ("POST /rooms/other/messages", "{}"),
        ("GET /users", ""),
        ("GET /users/mine", ""),
    ] {
        assert_eq!(rooms(line, body), Err(Refusal::ParameterDenied), "{line}");
    }
}
