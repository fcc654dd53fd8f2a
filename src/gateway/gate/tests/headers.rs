//! Headers of requests, and the form of a request before its caller is known.

use super::{Call, Made, Refusal};
use crate::gateway::fuzzing::sample::ours;
use crate::gateway::gate::{Hosts, RequestHeaders, read};

fn with(headers: &[(&str, &str)]) -> Result<Made, Refusal> {
    Call { line: "POST /rooms", headers, body: br#"{"room":"a"}"#, ..Call::default() }.make()
}

/// G-08, G-09, G-10: what is not listed does not pass, however it is spelled; nor does what asks for a part of an answer, in
/// which no secret would be found.
#[test]
fn only_listed_headers_pass() {
    let listed = [
        ("accept", "application/json"),
        ("accept-language", "de"),
        ("if-none-match", "\"a\""),
        ("user-agent", "sdk/1"),
        ("x-sample", "a"),
        ("x-call-id", "b"),
        ("content-type", "application/json"),
    ];
    let made = with(&listed).expect("made").headers;
    for (name, value) in listed {
        assert!(made.contains(&(name.to_owned(), value.to_owned())), "{name}");
    }
    for name in [
        "authorization",
        "cookie",
        "proxy-authorization",
        "x-sample-user",
        "x-forwarded-for",
        "x-forwarded-host",
        "forwarded",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x_sample",
        "x.sample",
        "x-chat-as-user",
        "x-real-ip",
        "te",
        "keep-alive",
        "range",
        "if-range",
        "traceparent",
        "x-other",
        "expect",
        "content_type",
        "accept-encoding",
        "range",
        "if-range",
    ] {
        let made = with(&[(name, "forged")]).expect(name).headers;
        assert!(made.iter().all(|(_, value)| value != "forged"), "{name}: {made:?}");
    }
}

/// G-05, G-08: two lines, and lines that name others.
#[test]
fn lines_that_hops_read_in_two_ways_are_refused() {
    for name in ["content-type", "accept", "x-sample", "x-call-id", "user-agent"] {
        let value = if name == "content-type" { "application/json" } else { "a" };
        assert_eq!(with(&[(name, value), (name, value)]), Err(Refusal::HeaderInvalid), "{name}");
    }
    for value in ["authorization", "close, x-sample", "keep-alive,content-type", "te, host", "upgrade", "clo se"] {
        assert_eq!(with(&[("connection", value)]), Err(Refusal::HeaderInvalid), "{value}");
        assert_eq!(with(&[("connection", "close"), ("connection", value)]), Err(Refusal::HeaderInvalid), "{value}");
    }
    for value in ["close", "Keep-Alive", "te, close", "", "close,"] {
        assert!(with(&[("connection", value)]).is_ok(), "{value}");
    }
}

/// G-01, G-07, G-21: who asks, and by which name.
#[test]
fn strangers_and_browsers_are_refused_before_anything_else() {
    for host in [
        "localhost",
        "LOCALHOST:8070",
        "127.0.0.1:1",
        "[::1]:8070",
        "[::1]",
        "sidemint.internal",
        "sidemint.internal:80",
    ] {
        assert!(with(&[("host", host)]).is_ok(), "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:8070",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::2]",
        "localhost:x",
        ":80",
        "",
    ] {
        assert_eq!(with(&[("host", host)]), Err(Refusal::HostRefused), "{host}");
    }
    assert_eq!(with(&[("host", "localhost"), ("host", "localhost")]), Err(Refusal::HostRefused));
    for header in [
        ("origin", "null"),
        ("origin", "http://localhost:8070"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        assert_eq!(with(&[header]), Err(Refusal::BrowserRefused), "{header:?}");
    }
    assert!(with(&[("sec-fetch-mode", "cors")]).is_ok(), "Node's fetch");
    assert_eq!(with(&[("upgrade", "h2c"), ("connection", "upgrade")]), Err(Refusal::UpgradeRefused));
    let (hosts, mut parts) =
        (Hosts::new(["a"; 0]), http::Request::get("/users").body(()).expect("a request").into_parts().0);
    assert_eq!(read(&parts, &hosts), Err(Refusal::HostRefused), "no host");
    parts.headers.insert("host", http::HeaderValue::from_static("localhost"));
    assert!(read(&parts, &hosts).is_ok());
    parts.version = http::Version::HTTP_10;
    assert_eq!(read(&parts, &hosts), Err(Refusal::TargetInvalid));
}

/// G-04, G-08, G-09, G-10: a definition cannot let them pass either.
#[test]
fn some_headers_pass_under_no_definition() {
    let ours = ours();
    let compile = |name: &str| {
        RequestHeaders::new(&["x-fine".to_owned(), name.to_owned()], &ours.headers).map_err(|wrong| wrong[0].0)
    };
    for name in [
        "Authorization",
        "Cookie",
        "Host",
        "Connection",
        "Transfer-Encoding",
        "Content-Length",
        "Content-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-HTTP-Method",
        "X-Real-IP",
        "Via",
        "X-Chat-As-User",
        "x_fine",
        "x.fine",
        "Expect",
        "Origin",
        "Sec-Fetch-Site",
        "X-Sample-User",
        "a b",
        "traceparent",
        "Accept-Encoding",
    ] {
        assert_eq!(compile(name).err(), Some(1), "{name}");
    }
    for name in ["X-Fine-2", "Tenant", "Viator", "X-LiveKit-Request-Id", "X-Stream-Client", "Content-Language"] {
        assert!(compile(name).is_ok(), "{name}");
    }
}
