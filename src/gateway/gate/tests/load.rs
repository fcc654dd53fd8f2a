//! Definitions that could be read in two ways are refused when they are read.

use super::{Gate, section};
use crate::gateway::fuzzing::sample::ours;

/// Where mistakes are, and what they are.
fn mistakes(calls: &str) -> Vec<String> {
    let section = section(&format!("base = \"https://api.example/v1\"\n{calls}"));
    let compiled = Gate::compile(&section, &section.base.parse().expect("an address"), &ours());
    compiled.err().map(|mistakes| mistakes.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

/// G-02: of two calls that one request could be, neither is taken.
#[test]
fn two_calls_that_could_both_win_are_refused() {
    for paths in [
        r#"a = "GET /users/{user}", b = "GET /users/{id}""#,
        r#"a = "GET /users/me", b = "GET /users/me""#,
        r#"a = "GET /{x}/b", b = "GET /a/{y}""#,
        r#"a = "GET /{x}/b", b = "POST /a/{y}""#,
    ] {
        let found = mistakes(&format!("[[calls]]\nread = {{ {paths} }}"));
        assert!(found.len() == 1 && found[0].contains("could be meant by the same request"), "{paths}: {found:?}");
    }
    for paths in [
        r#"a = "GET /users/{user}", b = "POST /users/{id}""#,
        r#"a = "GET /users/me", b = "GET /users/{user}""#,
        r#"a = "GET /users/{user}", b = "GET /users/{user}/rooms""#,
        r#"a = "GET /{x}/b", b = "GET /{x}/c""#,
        r#"a = "GET /{x}/b", b = "GET /a;b/{y}""#,
    ] {
        assert_eq!(mistakes(&format!("[[calls]]\nread = {{ {paths} }}")), Vec::<String>::new(), "{paths}");
    }
    let found = mistakes("[[calls]]\nread = { a = \"GET /a\" }\n[[calls]]\nread = { a = \"GET /b\" }");
    assert_eq!(found.len(), 1, "{found:?}");
}

/// G-02: a pattern says one thing.
#[test]
fn paths_are_whole_segments() {
    for path in [
        "/users/{user}.json",
        "/users/",
        "//users",
        "/users//x",
        "/users/..",
        "/users/%41",
        "/users/{}",
        "/users/{a b}",
        "/a/{x}/{x}",
        "/users/{=config.other}",
        "/users/{=app_id}",
        "/users/{user",
        "/users?x=1",
        "/users#x",
        "/us\\u00e9rs",
    ] {
        let found = mistakes(&format!("[[calls]]\nread = {{ a = \"GET {path}\" }}"));
        assert!(found.len() == 1 && found[0].starts_with("calls[0].read.a"), "{path}: {found:?}");
    }
}

/// G-05, G-09, G-19: a rule that does not reach every body that may come would let something pass unseen.
#[test]
fn rules_reach_every_type() {
    for (rules, place) in [
        ("types = [\"json\", \"protobuf\"]\nforbid = [{ json = [\"/a\"] }]", "calls[0].forbid[0]"),
        ("types = [\"json\", \"form\"]\nforbid = [{ json = [\"/a\"] }]", "calls[0].forbid[0]"),
        ("types = [\"protobuf\", \"json\"]\nonly = [{ proto = 1 }]", "calls[0].only[0]"),
        ("types = [\"any\"]\nforbid = [{ json = [\"/a\"], form = [\"a\"], proto = 1 }]", "calls[0].forbid[0]"),
        ("types = [\"json\", \"protobuf\"]\nparams = { x = { json = [\"/a\"] } }", "calls[0].params.x"),
        ("types = [\"json\", \"form\"]\nforce = { \"/a\" = 1 }", "calls[0].force"),
        ("forbid = [{ json = [\"a\"] }]", "calls[0].write.a.forbid"),
        ("forbid = [{ json = [\"/a/0\"] }]", "calls[0].write.a.forbid"),
        ("forbid = [{ json = [\"/a\"], in = [\"b\"] }]", "calls[0].forbid[0].in"),
        ("params = { x = { json = [\"/a\"] } }\nforce = { \"/a/b\" = 1 }", "calls[0].write.a"),
        ("params = { x = { json = [\"/a\"] } }\nforce = { \"/a\" = 1 }", "calls[0].write.a"),
        ("params = { x = { json = [\"/*\"] } }\nforce = { \"/a\" = 1 }", "calls[0].write.a"),
        ("params = { x = { json = [\"/a\"], pattern = \"(\" } }", "calls[0].params.x.pattern"),
        ("claims = { room = \"{{ param.room }}\" }", "calls[0].write.a"),
        ("query = [\"signature\"]", "calls[0].query"),
        ("query = [\"_method\"]", "calls[0].query"),
        ("as_user = \"required\"", "calls[0].write.a"),
    ] {
        let found = mistakes(&format!("[[calls]]\n{rules}\nwrite = {{ a = \"POST /a\" }}"));
        assert!(!found.is_empty() && found.iter().all(|mistake| mistake.starts_with(place)), "{rules}: {found:?}");
    }
    let user = "as_user = { json = \"/senderId\" }\n[[calls]]\nas_user = \"required\"\n";
    assert!(mistakes(&format!("{user}write = {{ a = \"POST /a\" }}")).is_empty());
    assert_eq!(mistakes(&format!("{user}read = {{ a = \"GET /a\" }}")).len(), 1);
    assert_eq!(mistakes(&format!("{user}types = [\"form\"]\nwrite = {{ a = \"POST /a\" }}")).len(), 1);
}

/// G-18: where one call names our tenant, no other call takes any.
#[test]
fn a_tenant_is_no_parameter_elsewhere() {
    for (paths, is_good) in [
        (r#"a = "GET /apps/{=config.app_id}/users", b = "GET /apps/{app}/rooms""#, false),
        (r#"a = "GET /apps/{=config.app_id}/users", b = "GET /apps/{app}""#, false),
        (r#"a = "GET /apps/{=config.app_id}", b = "DELETE /apps/{app}/rooms/{room}""#, false),
        (r#"a = "GET /{kind}/{=config.app_id}/users", b = "GET /apps/{app}""#, false),
        (r#"a = "GET /apps/{=config.app_id}/users", b = "GET /rooms/{room}/users""#, true),
        (r#"a = "GET /apps/{=config.app_id}/users", b = "GET /apps/{=config.app_id}/rooms/{room}""#, true),
        (r#"a = "GET /apps/{=config.app_id}/users", b = "GET /apps/all""#, true),
    ] {
        let found = mistakes(&format!("[[calls]]\nread = {{ {paths} }}"));
        let is_told = |problem: &String| problem.contains("other tenants would be reached by it");
        assert!(if is_good { found.is_empty() } else { found.iter().any(is_told) }, "{paths}: {found:?}");
    }
}

/// G-09: what carries a proof is no header of a caller.
#[test]
fn headers_of_ours_are_told_with_their_place() {
    assert_eq!(mistakes("headers = [\"x-fine\", \"x-sample-user\"]")[0].split(": ").next(), Some("headers[1]"));
    assert_eq!(mistakes("idempotency = \"authorization\"")[0].split(": ").next(), Some("idempotency"));
}
