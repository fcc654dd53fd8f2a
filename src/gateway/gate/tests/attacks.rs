//! Targets, methods and queries that are meant to be read in two ways.

use super::{Call, Gate, Granted, Head, Ours, Refusal, Target, line, section};

/// G-02, G-03: whatever stands in a path, what arrives is what was matched.
#[test]
fn paths_that_climb_are_refused() {
    for target in [
        "/users/..",
        "/users/.",
        "/users/%2e%2e",
        "/users/%2E.",
        "/users/a%2Fb",
        "/users/a%5cb",
        "/users/a\\b",
        "/users/%252e%252e",
        "/users//",
        "/users/",
        "//users",
        "/users/%00",
        "/users/a%0d%0aHost:%20evil",
        "/users/../apps",
        "/users/%c0%ae%c0%ae",
        "/v1/../users",
        "/./users",
        "/users/%",
        "/users/%ff",
    ] {
        assert_eq!(line(&format!("GET {target}")), Err(Refusal::TargetInvalid), "{target}");
    }
    for target in [
        "/users/a;b",
        "/users;x=y",
        "/users/a%20b",
        "/users/J%C3%B6rg",
        "/Users",
        "/users/a/b",
        "/v1/users",
        "/users%3Flimit=1/x",
        "/users/alice%3Fadmin=1",
        "/users/a%23b",
    ] {
        assert_eq!(line(&format!("GET {target}")), Err(Refusal::OperationUnknown), "{target}");
    }
    assert_eq!(line("GET /apps/other/users/alice"), Err(Refusal::TenantDenied));
    assert_eq!(line("GET /apps/other/nothing"), Err(Refusal::OperationUnknown));
    let long = "a".repeat(257);
    assert_eq!(line(&format!("GET /users/{long}")), Err(Refusal::OperationUnknown));
}

/// G-04: the most exact path has one method, and headers, queries and forms do not change it.
#[test]
fn methods_are_those_of_the_operation() {
    for text in [
        "POST /users",
        "PATCH /users/alice",
        "OPTIONS /users",
        "PROPFIND /users",
        "HEAD /rooms/a/messages",
        "DELETE /users",
    ] {
        assert_eq!(line(text), Err(Refusal::MethodDenied), "{text}");
    }
    for text in ["TRACE /users", "CONNECT /users"] {
        assert_eq!(line(text), Err(Refusal::UpgradeRefused), "{text}");
    }
    assert_eq!(line("GET /users?_method=DELETE"), Err(Refusal::QueryDenied));
    let headers = [("x-http-method-override", "DELETE"), ("x-method-override", "DELETE"), ("x-http-method", "DELETE")];
    let made = Call { line: "GET /users/alice", headers: &headers, ..Call::default() }.make().expect("made");
    assert_eq!(made.headers.len(), 1, "{made:?}");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let call = Call { line: "POST /rooms", headers: &form, body: b"room=a&_METHOD=DELETE", ..Call::default() };
    assert_eq!(call.make(), Err(Refusal::BodyDenied));
}

/// G-02: a method does not make another path of it.
#[test]
fn the_most_exact_path_counts() {
    let calls = r#"
        base = "https://api.example"
        [[calls]]
        read = { me = "GET /users/me" }
        destroy = { delete = "DELETE /users/{user}" }
    "#;
    let section = section(calls);
    let gate = Gate::compile(&section, &section.base.parse().expect("an address"), &Ours::default()).expect("compiles");
    let found = |method: &http::Method, path: &'static str| {
        let uri = http::Uri::from_static(path);
        let target = Target::of(&uri).expect("a target");
        let head = Head { method, target: &target, headers: &http::HeaderMap::new(), body: None };
        gate.head(&head, &Granted::All).map(|matched| matched.operation().name().to_owned())
    };
    assert_eq!(found(&http::Method::GET, "/users/me").as_deref(), Ok("me"));
    assert_eq!(found(&http::Method::DELETE, "/users/alice").as_deref(), Ok("delete"));
    assert_eq!(found(&http::Method::DELETE, "/users/me"), Err(Refusal::MethodDenied));
}

/// G-04, G-05, G-09: parameters of a query are those of the operation, once each; proofs are taken out.
#[test]
fn queries_are_written_anew() {
    let query = |text: &str| {
        line(&format!("GET /users?{text}"))
            .map(|made| made.line.trim_start_matches("GET https://api.example/v1/users").to_owned())
    };
    for (sent, written) in [
        ("", ""),
        ("limit=1", "?limit=1"),
        ("%6cimit=1&&cursor=", "?limit=1&cursor="),
        ("api_key=virtual&limit=1&signature=a&api_%6bey=b", "?limit=1"),
        ("cursor=%26limit%3D9%23", "?cursor=%26limit%3D9%23"),
        ("cursor=1;limit=2", "?cursor=1%3Blimit%3D2"),
    ] {
        assert_eq!(query(sent).as_deref(), Ok(written), "{sent}");
    }
    for text in ["limit=1&limit=2", "limit=1&%6cimit=2", "Limit=1", "limit[]=1", "admin=1", "=1", "limit%00=1", "x"] {
        assert_eq!(query(text), Err(Refusal::QueryDenied), "{text}");
    }
    for text in ["limit=%", "limit=%zz", "limit=%ff", "a%=1"] {
        assert_eq!(query(text), Err(Refusal::TargetInvalid), "{text}");
    }
}
