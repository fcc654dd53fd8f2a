//! What is asked for and what is refused when a definition is read for calls.

use http::Method;
use serde_json::{Value, json};

use super::super::*;
use super::{CALLS, LIVE, Setup, call};
use crate::config::Listen;
use crate::provider::Wanted;

pub(super) const SECTION: &str = r#"
[gateway]
base = "{{ config.api_url }}"
auth = { bearer = "app_secret" }
as_user = { header = "X-User" }
[[gateway.calls]]
read = { "a" = "GET /a/{id}" }
"#;

/// What cannot be safe is refused at load, at its place.
#[test]
fn what_would_not_be_safe_is_refused_at_load() {
    for (from, to, problem) in [
        ("config.api_url }}\"", "request.path }}\"", "gateway.base: unknown variable \"request.path\""),
        ("config.api_url }}\"", "config.api_url }}{{ now.s }}\"", "gateway.base: \"now.s\" varies"),
        ("config.api_url }}\"", "config.api_url }}?a=b\"", "gateway.base: \"{{ config.api_url }}?a=b/\" holds a query"),
        (
            "as_user =",
            "set = { query = { k = \"{{ config.app_secret }}\" } }\nas_user =",
            "gateway.set.query.k: \"config.app_secret\" is a secret",
        ),
        (
            "as_user =",
            "error = { k = \"{{ config.app_secret }}\" }\nas_user =",
            "gateway.error.k: \"config.app_secret\" is a secret",
        ),
        (
            "as_user =",
            "error = { k = \"{{ request.path }}\" }\nas_user =",
            "gateway.error.k: unknown variable \"request.path\"",
        ),
        (
            "as_user =",
            "set = { headers = { k = \"{{ user.id }}\" } }\nas_user =",
            "gateway.set.headers.k: \"user.id\" varies, and a call for an application has no user",
        ),
        (
            "as_user =",
            "set = { headers = { Host = \"x\" } }\nas_user =",
            "gateway.set.headers: \"Host\" says where a call goes",
        ),
        (
            "as_user =",
            "prefix = \"/{{ config.app_secret }}\"\nas_user =",
            "gateway.prefix: \"config.app_secret\" is a secret",
        ),
        ("as_user =", "needs = [\"region\"]\nas_user =", "gateway.needs: \"region\" is not a setting"),
        ("read =", "claims = { a = 1 }\nread =", "gateway.calls[0].claims: stand in no JWT"),
        ("read =", "as_user = \"required\"\nread =", "user.case: is missing"),
        (
            "as_user = { header = \"X-User\" }\n[[gateway.calls]]",
            "[[gateway.calls]]\nas_user = \"allowed\"",
            "gateway.as_user: is missing",
        ),
        ("as_user =", "limits = { rate = \"often\" }\nas_user =", "gateway.limits.rate: is \"often\""),
        ("bearer = \"app_secret\"", "bearer = \"app_key\"", "gateway.auth: \"app_key\" is not a secret setting"),
    ] {
        let definition = SECTION.replacen(from, to, 1);
        assert_ne!(definition, SECTION, "{from}");
        let told = Setup::new(&definition).told(json!({}), json!({}));
        assert!(told.len() == 1 && told[0].contains(problem), "{problem}: {told:?}");
        assert!(told[0].contains("test.toml"), "{told:?}");
    }
}

#[test]
fn claims_are_about_what_every_call_of_their_group_has() {
    for (from, to, problem) in [
        (
            "roomCreate = true }",
            "room = \"{{ param.room }}\" }",
            "gateway.calls[0].claims: names param.room, and room.create has no such parameter",
        ),
        (
            "json = [\"/room\"]",
            "json = [\"/rooms/*\"]",
            "gateway.calls[1].claims: names param.room, which has several values",
        ),
        ("video = { roomCreate = true }", "iss = \"other\"", "gateway.calls[0].claims.iss: is a claim of auth already"),
        (
            "exp = \"{{ now.s + 60 }}\"",
            "exp = \"{{ now.s + 60 }}\", h = \"{{ request.body | sha256 }}\"",
            "gateway.calls[0].types: allows a body that is no text",
        ),
    ] {
        let definition = LIVE.replacen(from, to, 1);
        let told = Setup::new(&definition).told(json!({}), json!({}));
        assert!(told[0].contains(problem), "{problem}: {told:?}");
    }
}

#[test]
fn what_an_operator_adds_is_told_at_the_operators_place() {
    let setup = Setup::new(LIVE);
    let own = |own: Value| setup.told(json!({}), own);
    let calls = json!({ "calls": [{ "claims": { "iss": "me" }, "read": { "x": "/X" } }, { "raed": {} }] });
    assert_eq!(own(calls).len(), 1, "the shape first");
    let told = own(json!({ "calls": [{ "claims": { "iss": "me" }, "read": { "x": "/X" } }] }));
    assert_eq!(
        told,
        ["sidemint.toml: providers.chat.gateway.calls[0].claims.iss: is a claim of auth already; remove it"]
    );
    let told = own(json!({ "lift": { "room.crate": [] } }));
    assert_eq!(
        told,
        ["sidemint.toml: providers.chat.gateway.lift.room.crate: no call has this name; did you mean room.create?"]
    );
    let calls = json!({ "calls": [{ "read": { "x": "/X" } }] });
    let configured = setup.configured(CALLS, json!({}), calls).expect("configured");
    let gateway = configured.gateway.expect("a gateway");
    gateway.seal(2, &mut call(&gateway, Method::POST, "/X", None), &[]).expect("sealed");
}

/// A definition that makes tokens as well, with a secret and a setting for each half.
const BOTH: &str = r#"
[settings.token_key]
about = "Key of tokens."
secret = true
[settings.public_url]
about = "Address for browsers."
[settings.extra_key]
about = "Key of calls."
secret = true
optional = true
[user]
case = "counts"
[lifetime]
default = "1h"
margin = "10s"
on_credential_change = "drop"
[token.jwt]
alg = "HS256"
key = "token_key"
claims = { sub = "{{ user.id }}", exp = "{{ exp.s }}", app = "{{ config.app_key }}" }
[auth]
bearer = "app_secret"
[[revoke.steps]]
id = "out"
post = "{{ config.api_url }}/out"
[response]
api_url = "{{ config.public_url }}"
[gateway]
needs = ["extra_key"]
base = "{{ config.api_url }}"
auth = { header = "X-Key", secret = "extra_key" }
[[gateway.calls]]
read = { "a" = "GET /a" }
"#;

#[test]
fn only_what_calls_need_is_asked_for_where_no_route_names_the_provider() {
    let setup = Setup::new(BOTH);
    std::fs::write(setup.file("extra"), "the key of all the calls").expect("written");
    std::fs::write(setup.file("tokens"), "a key of 32 bytes, as it should be").expect("written");
    let nothing = json!({ "app_key": null, "app_secret_file": null });
    let missing = "providers.chat.extra_key_file: is missing, and its gateway needs it; write extra_key_file = \"/path\" (Key of calls)";
    assert_eq!(setup.told(nothing.clone(), json!({})), [format!("sidemint.toml: {missing}")]);
    let mut given = nothing;
    given["extra_key_file"] = json!(setup.file("extra"));
    let alone = setup.configured(CALLS, given, json!({})).expect("configured");
    assert!(alone.provider.is_none() && alone.gateway.is_some());
    // A route asks for the rest, and not for what calls need.
    let sessions = Wanted { sessions: true, gateway: false };
    let told = setup.configured(sessions, json!({}), json!({})).expect_err("refused");
    assert_eq!(told.len(), 2, "{told:?}");
    let given = json!({ "token_key_file": setup.file("tokens"), "public_url": "https://chat.test" });
    let alone = setup.configured(sessions, given, json!({})).expect("configured");
    assert!(alone.provider.is_some() && alone.gateway.is_none());
}

#[test]
fn both_halves_have_the_same_secrets_and_those_of_calls_end_no_session() {
    let setup = Setup::new(BOTH);
    std::fs::write(setup.file("extra"), "the key of all the calls").expect("written");
    std::fs::write(setup.file("tokens"), "a key of 32 bytes, as it should be").expect("written");
    let given = json!({
        "token_key_file": setup.file("tokens"),
        "extra_key_file": setup.file("extra"),
        "public_url": "https://chat.test",
    });
    let both = Wanted { sessions: true, gateway: true };
    let configured = setup.configured(both, given, json!({})).expect("configured");
    let (provider, gateway) = (configured.provider.expect("one"), configured.gateway.expect("one"));
    let sessions = provider.session_credentials();
    std::fs::write(setup.file("extra"), "another key of all the calls").expect("written");
    crate::secrets::Reload::reload(&*provider);
    assert!(gateway.has_secret(&Secret::new(b"another key of all the calls".to_vec())));
    assert_eq!(provider.session_credentials(), sessions);
    setup.secret("another secret of the account");
    crate::secrets::Reload::reload(&*gateway);
    assert_ne!(provider.session_credentials(), sessions);
}

/// G-26: a call that came back to us would be made again, and again.
#[test]
fn an_address_of_our_own_is_refused() {
    let setup = Setup::new(LIVE);
    let listen = |address: &str| Listen::Tcp(address.parse().expect("an address"));
    for (url, listens, refused) in [
        ("http://127.0.0.1:8070", "127.0.0.1:8070", true),
        ("http://localhost:8070/v1", "0.0.0.0:8070", true),
        ("http://127.0.0.1:8071", "127.0.0.1:8070", false),
        ("http://chat.test:8070", "127.0.0.1:8070", false),
    ] {
        let configured = setup.configured(CALLS, json!({ "api_url": url }), json!({})).expect("configured");
        let listen = listen(listens);
        let told = configured.gateway.expect("a gateway").check_circle(&[("gateway.listen".to_owned(), &listen)]);
        let expected = format!(
            "sidemint.toml: providers.chat.api_url: leads to gateway.listen ({listens}), which is sidemint itself; write the \
             provider's address"
        );
        assert_eq!(told.err().map(|error| error.to_string()), refused.then_some(expected), "{url}");
    }
}

/// The example of the page about definitions is one.
#[test]
fn the_example_of_the_page_is_a_gateway() {
    let page = include_str!("../../../../../docs/providers/definition.md");
    let example = page.split("```toml,gateway\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let head = "[user]\ncase = \"counts\"\n[settings.api_key]\nabout = \"Key.\"\nsecret = true\noptional = true\n";
    let setup = Setup::new(&format!("{head}{example}"));
    let given = json!({ "api_key_file": setup.file("secret") });
    let gateway = setup.configured(CALLS, given, json!({})).expect("configured").gateway.expect("a gateway");
    assert_eq!(gateway.user_id("alice").as_deref(), Some("alice"));
    let entries = gateway.section().calls.iter().flat_map(|calls| calls.entries(gateway.section()));
    assert!(entries.map(|entry| entry.map(|own| own.path)).collect::<Result<Vec<_>, _>>().expect("paths").len() == 5);
}
