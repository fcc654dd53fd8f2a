//! Definitions of one's own: what they can say, seen from both ends, and what is refused before anything is served.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sidemint::config::Environment;

use crate::client::{Answer, request};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION, Service, clock, config, draw_with, own_definition};

const SECRET: &str = "a-secret-of-thirty-two-characters";

/// A session route on the definition `own`; `lines` go into the provider's table.
fn routes(lines: &str) -> String {
    config(
        &format!(
            "[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"\n[providers.chat]\npreset = \"own\"\n{lines}"
        ),
        &[],
    )
}

fn secrets() -> Environment {
    Environment::of([("OWN_SECRET", SECRET), ("OWN_SECOND", "second-secret-of-thirty-two-bytes")])
}

/// A definition whose parts are `rest`, at the address of the fake.
fn definition(fake: &Fake, rest: &str) -> String {
    let address =
        format!("[settings.api_url]\nabout = \"its address\"\nkind = \"url\"\ndefault = \"{}\"", fake.base_url());
    own_definition("{{ config.api_url }}", &format!("{rest}\n{address}"))
}

async fn serve(definition: &str, lines: &str) -> Service {
    Service::start_with(&routes(lines), &secrets(), clock(), &[("own", definition)]).await
}

fn fine(value: &Value) -> Script {
    Script::json(200, value)
}

/// What a definition made of `rest` is refused for.
fn refused(rest: &str) -> String {
    let text = own_definition("https://chat.example", rest);
    match draw_with(&routes(""), &secrets(), clock(), &[("own", &text)]) {
        Ok(_) => "accepted".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

const SIGNED: &str =
    "[token.jwt]\nalg = \"HS256\"\nkey = \"secret\"\nclaims = { sub = \"{{ user.id }}\", exp = \"{{ exp.s }}\" }\n";
const ASKED: &str = "[auth]\nbearer = \"secret\"\n[[token.steps]]\nid = \"mint\"\npost = \"https://api.example/token\"\ntoken = \"/token\"\nexpires = { kind = \"requested\" }\n";

/// `text` with `from`, which must be in it, replaced.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

/// A MAC over `text` as the token, and an input `socket` of this pattern.
fn mac(text: &str, pattern: &str) -> String {
    format!(
        "[inputs.socket]\nabout = \"socket\"\npattern = '{pattern}'\n[let]\nsig = {{ hmac = \"sha256\", key = \"secret\", text = \"{text}\", encode = \"hex\" }}\n\
         [token.render]\ntoken = \"{{{{ let.sig }}}}\"\n"
    )
}

#[test]
fn what_cannot_work_or_is_not_safe_is_refused_at_load() {
    for (rest, expected) in [
        (
            with(SIGNED, "{{ user.id }}", "{{ config.secret }}"),
            "own.toml: token.jwt.claims.sub: \"config.secret\" is a secret and could reach a claim or an output",
        ),
        (
            format!("{SIGNED}[response.extra]\nx = \"{{{{ secret.secret }}}}\"\n"),
            "response.extra.x: \"secret.secret\" is a secret",
        ),
        (
            with(ASKED, "token = \"/token\"", "json = { s = \"{{ config.secret }}\" }\ntoken = \"/token\""),
            "token.steps.mint.json.s: \"config.secret\" is a secret",
        ),
        (
            with(ASKED, "https://api.example/", "https://{{ user.id }}.example/"),
            "must have a fixed scheme, host and a path",
        ),
        (
            format!(
                "[inputs.host]\nabout = \"host\"\npattern = \"[a-z]+\"\n{}",
                with(ASKED, "https://api.example/", "https://{{ input.host }}/")
            ),
            "must have a fixed scheme, host and a path",
        ),
        (with(SIGNED, "HS256", "none"), "token.jwt.alg: \"none\" is not one of"),
        (with(SIGNED, "HS256", "RS256"), "is not a PEM private key"),
        (with(SIGNED, "key = \"secret\"", "key = \"other\""), "token.jwt.key: \"other\" is not a secret setting"),
        (with(SIGNED, ", exp = \"{{ exp.s }}\"", ""), "token.jwt.claims.exp: must be \"{{ exp.s }}\""),
        (with(SIGNED, "\"{{ exp.s }}\"", "\"{{ exp.ms }}\""), "token.jwt.claims.exp: must be"),
        (with(SIGNED, "\"{{ exp.s }}\"", "4000000000"), "token.jwt.claims.exp: must be"),
        (with(SIGNED, "[token.jwt]", "[token.jwt]\nexpires = \"none\""), "token.jwt.claims.exp: must be"),
        (with(SIGNED, "[token.jwt]", "[token.jwt]\ncolour = \"red\""), "token.jwt.colour: unknown key"),
        (format!("{SIGNED}{ASKED}"), "token: must have exactly one of jwt, render and steps"),
        (
            with(ASKED, "expires = { kind = \"requested\" }\n", ""),
            "says where the token is, and not how its end is told",
        ),
        (with(ASKED, "token = \"/token\"\n", ""), "one step that always runs must say where the token is"),
        (with(ASKED, "token = \"/token\"", "token = \"token\""), "is not a JSON Pointer"),
        (with(ASKED, "bearer = \"secret\"", "bearer = \"nothing\""), "\"nothing\" is not a secret setting"),
        (format!("{ASKED}on = [{{ status = 404 }}]\n"), "on[0]: must say exactly one of class, accept = true and run"),
        (format!("{ASKED}on = [{{ class = \"rejected\" }}]\n"), "on[0]: would fit every answer"),
        (format!("{ASKED}on = [{{ status = 404, run = \"x\" }}]\n"), "on[0]: no step \"x\""),
        (
            format!("{ASKED}on = [{{ status = 200, code = \"/a\", class = \"rejected\" }}]\n"),
            "code says where, and is or is_not what must be there",
        ),
        (mac("{{ input.socket }}:{{ user.id }}", ".+"), "the pattern of an input in it allows ':'"),
        (mac("{{ input.socket }}::user::x", r"\d+\.\d+(:.*)?"), "the pattern of an input in it allows ':'"),
        (mac("{{ input.socket }}{{ user.id }}", r"\d+"), "two values with nothing between them"),
        (mac("{{ input.socket }}:{{ user.id }}", "["), "inputs.socket.pattern"),
        (format!("{SIGNED}[user]\ncase = \"counts\"\npattern = \"[\"\n"), "user.pattern"),
        (
            format!("{SIGNED}[user]\n"),
            "user.case: is missing; write case = \"counts\" if the provider takes Bob and bob",
        ),
        (format!("{SIGNED}[user]\ncase = \"maybe\"\n"), "user.case: \"maybe\" is not one of counts, folds"),
        (format!("{SIGNED}[user]\ncase = \"folds\"\naccount = [\"x\"]\n"), "user.account: \"x\" is not a setting"),
        (format!("{SIGNED}[limits]\nrate = \"fast\"\n"), "limits.rate"),
        (
            format!("{SIGNED}[settings.id]\nabout = \"id\"\npart_of = {{ secret = \"secret\" }}\n"),
            "would make the whole secret public",
        ),
        (
            with(SIGNED, "key = \"secret\"", "key = { secret = \"secret\", after = \"-\" }\nkid = \"{{ config.id }}\"")
                + "[settings.id]\nabout = \"id\"\npart_of = { secret = \"secret\", after = \"-\" }\n",
            "has its key where the public setting id is expected",
        ),
        (
            with(ASKED, "bearer = \"secret\"", "basic = \"secret\"")
                .replace("https://api.example/token", "https://api.example/{{ config.id }}")
                + "[settings.id]\nabout = \"id\"\npart_of = { secret = \"secret\", after = \"-\" }\n",
            "has its key where the public setting id is expected",
        ),
        (format!("{SIGNED}[let]\nx = {{ hmac = \"sha256\", key = \"secret\" }}\n"), "let.x: is neither a MAC"),
        (
            format!("{SIGNED}[settings.spare]\nabout = \"spare\"\nsecret = true\nenv = \"OWN_SECOND\"\n"),
            "settings.spare: is a secret that no auth and no key uses",
        ),
        (
            format!(
                "{SIGNED}[response.extra]\nx = {{ each = \"user.groups\", as = \"g\", value = {{ each = \"user.groups\", as = \"h\", value = \"h\" }} }}\n"
            ),
            "an iteration within an iteration",
        ),
    ] {
        let told = refused(&rest);
        assert!(told.contains(expected), "{rest}\nexpected {expected}\nfound    {told}");
    }
    assert_eq!((refused(SIGNED), refused(ASKED)), ("accepted".to_owned(), "accepted".to_owned()));
    assert_eq!(refused(&mac("{{ input.socket }}:{{ user.id }}", r"\d+\.\d+")), "accepted");
}

#[test]
fn files_are_named_in_mistakes_and_by_their_definitions() {
    let told = |definitions: &[(&str, &str)]| {
        let errors = draw_with(&routes(""), &secrets(), clock(), definitions).expect_err("refused");
        errors.to_string()
    };
    let broken = told(&[("own", "name = "), ("other", "name = \"own\"\nsummary = \"x\"\n")]);
    assert!(broken.contains("own.toml") && broken.contains("other.toml"), "{broken}");
    let lifetime = "[user]\ncase = \"counts\"\n[lifetime]\ndefault = \"1h\"\nmargin = \"1m\"\non_credential_change = \"keep\"\n[response]\napi_url = \"https://x\"\n";
    let misnamed = told(&[("mine", &format!("name = \"own\"\nsummary = \"x\"\n{lifetime}{SIGNED}"))]);
    assert!(misnamed.contains("call the file own.toml"), "{misnamed}");
    assert!(told(&[]).contains("no preset \"own\"; there are"));
}

/// Signed text that could be read in two ways, the operator's own key, a host by header, and a signature that is no more.
#[test]
fn what_could_be_turned_against_a_user_is_refused_at_load() {
    for (rest, expected) in [
        (mac("{{ user.id }}:{{ input.socket }}", ".+"), "the pattern of an input in it allows ':'"),
        (mac("{{ input.socket | lower }}:x", ".+"), "the pattern of an input in it allows ':'"),
        (mac("{{ input.socket }}{{ '' }}{{ user.id }}", r"\d+"), "two values with nothing between them"),
        (mac("{{ user.id ~ input.socket }}:x", r"\d+"), "puts two values together with nothing between them"),
        (
            mac("{{ let.pair }}:x", "[a-z-]+").replace("[let]", "[let]\npair = \"{{ input.socket }}-{{ user.id }}\""),
            "let.pair: is signed, and the pattern of an input in it allows '-'",
        ),
        (
            mac("{{ let.pair }}:x", ".+").replace("[let]", "[let]\npair = \"{{ input.socket ~ ';' ~ user.id }}\""),
            "let.pair: is signed, and the pattern of an input in it allows ';'",
        ),
        (with(ASKED, "bearer = \"secret\"", "bearer = \"user_key\""), "\"user_key\" is not a secret setting"),
        (
            format!("{SIGNED}[settings.user_key]\nabout = \"x\"\nsecret = true\nenv = \"OWN_SECOND\"\n"),
            "settings.user_key: is the key of user ids",
        ),
        (
            with(ASKED, "token = \"/token\"", "headers = { Host = \"{{ user.id }}\" }\ntoken = \"/token\""),
            "\"Host\" says where a call goes",
        ),
        (with(SIGNED, "key = \"secret\"", "key = \"secret\"\nlabel = \"None\""), "token.jwt.label: says that tokens"),
    ] {
        let told = refused(&rest);
        assert!(told.contains(expected), "{rest}\nexpected {expected}\nfound    {told}");
    }
}

/// A name that varies is no way around those that the definition keeps to itself.
#[test]
fn an_operators_table_has_fixed_names() {
    let table = |reserved: &str, name: &str| {
        let text = format!(
            "name = \"own\"\nsummary = \"x\"\n[settings.secret]\nabout = \"s\"\nsecret = true\nenv = \"OWN_SECRET\"\n\
             [settings.own_claims]\nabout = \"claims\"\nkind = \"table\"\noptional = true\nreserved = [{reserved}]\n\
             [user]\ncase = \"counts\"\n[lifetime]\ndefault = \"1h\"\nmargin = \"1m\"\non_credential_change = \"keep\"\n[response]\napi_url = \"https://x\"\n\
             {}",
            SIGNED.replace("[token.jwt]", "[token.jwt]\nextra = \"own_claims\"")
        );
        let lines = format!("[providers.chat.own_claims]\n\"{name}\" = \"x\"\n");
        match draw_with(&routes(&lines), &secrets(), clock(), &[("own", &text)]) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => errors.to_string(),
        }
    };
    assert_eq!(table("\"admin\"", "role"), "accepted");
    for (reserved, name, expected) in [
        ("\"admin\"", "admin", "which the provider keeps for itself"),
        ("\"admin\"", "{{ 'admin' }}", "a name that varies"),
        ("", "{{ 'nbf' }}", "a name that varies"),
        ("", "{{ user.name }}", "a name that varies"),
        ("", "sub", "is set by the definition"),
    ] {
        let told = table(reserved, name);
        assert!(told.contains(expected), "{name}: {told}");
    }
}

/// What can never be part of an address is refused as such: no repeat helps, and nothing climbs.
#[tokio::test(flavor = "multi_thread")]
async fn dots_are_no_segments_of_a_path() {
    let fake = Fake::start(|_: &Call| fine(&json!({"token": "tok"}))).await;
    let input = "[auth]\nbearer = \"secret\"\n[inputs.room]\nabout = \"a room\"\npattern = \".*\"\noptional = true\n";
    let steps = |path: &str| {
        format!(
            "{input}[[token.steps]]\nid = \"mint\"\npost = \"{{{{ config.api_url }}}}{path}\"\njson = {{ room = \"{{{{ input.room? }}}}\" }}\n\
                 token = \"/token\"\nexpires = {{ kind = \"requested\" }}\n"
        )
    };
    let user = "{{ user.id }}";
    for (path, lines, users) in [
        (format!("/users/{user}/token"), "", [(".", 422), ("..", 422), ("%2e%2e", 200), ("a/..", 200), ("...", 200)]),
        (format!("/users/{user}"), "", [(".", 422), ("..", 422), ("%2E.", 200), (".%2e", 200), ("..;x", 200)]),
        (format!("/users/{user}.json"), "", [(".", 200), ("..", 200), ("%2e%2e", 200), ("a", 200), ("b", 200)]),
        (
            "/users/{{ user.local }}".to_owned(),
            "user_prefix = \"shop-\"",
            [(".", 422), ("..", 422), ("a", 200), ("b", 200), ("c", 200)],
        ),
        (
            format!("/users/{user}"),
            "user_prefix = \"shop-\"",
            [("a", 200), ("b", 200), ("c", 200), ("d", 200), ("e", 200)],
        ),
        (
            format!("/users/{user}"),
            "user_unfit = \"hash\"",
            [(".", 200), ("..", 200), ("a", 200), ("b", 200), ("c", 200)],
        ),
    ] {
        let service = serve(&definition(&fake, &steps(&path)), lines).await;
        for (subject, status) in users {
            let answer = service.session(subject).await;
            assert_eq!(answer.status, status, "{path} {lines} {subject}: {}", answer.text());
            if status == 422 {
                assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("user_id_invalid", None));
            }
        }
    }
    let rooms = steps("/rooms/{{ input.room }}/token").replace("optional = true\n", "");
    let service = serve(&definition(&fake, &rooms), "").await;
    for (room, status) in [(".", 400), ("..", 400), ("%2e%2E", 400), ("%252e", 200), ("...", 200), ("a", 200)] {
        let path = format!("{SESSION}?room={room}");
        let answer = service.ask("GET", &path, &[("X-Forwarded-User", "alice")]).await;
        assert_eq!(answer.status, status, "{room}: {}", answer.text());
    }
    assert!(fake.calls().iter().all(|call| call.path.starts_with("/users/") || call.path.starts_with("/rooms/")));
}

/// A failure of ours says nothing about the provider: it neither closes the breaker nor starts its count anew, and a step
/// that is called like our limiter is no way around it.
#[tokio::test(flavor = "multi_thread")]
async fn what_never_reached_the_provider_does_not_count_for_it() {
    let fake = Fake::start(|_: &Call| Script::json(500, &json!({}))).await;
    let steps = "[auth]\nbearer = \"secret\"\n[[token.steps]]\nid = \"limiter\"\npost = \"{{ config.api_url }}/token\"\n\
                 json = { mail = \"{{ user.email }}\" }\ntoken = \"/token\"\nexpires = { kind = \"requested\" }\n";
    let service = serve(&definition(&fake, steps), "retries = 0").await;
    let ask = async |user: &str, mail: &str| {
        let headers = [("X-Forwarded-User", user), ("X-Forwarded-Email", mail)];
        let given = if mail.is_empty() { &headers[..1] } else { &headers[..] };
        service.ask("POST", SESSION, given).await.status
    };
    for n in 0..5 {
        assert_eq!(ask(&format!("u{n}"), "u@example.com").await, 503);
        ask("nobody", "").await;
    }
    assert_eq!(fake.calls().len(), 5);
    assert_eq!(ask("u6", "u@example.com").await, 503);
    assert_eq!(fake.calls().len(), 5, "the breaker is open");
}

/// Values with a name are worked out once a mint: what an upsert sets is what a token step uses.
#[tokio::test(flavor = "multi_thread")]
async fn a_random_value_is_the_same_in_every_call() {
    let fake = Fake::start(|_: &Call| fine(&json!({"token": "tok"}))).await;
    let steps = "[auth]\nbearer = \"secret\"\n[let]\npassword = \"{{ random.hex }}\"\n[upsert]\nremember = \"1h\"\n\
                 [[upsert.steps]]\nid = \"create\"\npost = \"{{ config.api_url }}/users\"\njson = { p = \"{{ let.password }}\" }\n\
                 [[token.steps]]\nid = \"login\"\npost = \"{{ config.api_url }}/login\"\njson = { p = \"{{ let.password }}\" }\n\
                 token = \"/token\"\nexpires = { kind = \"requested\" }\n";
    let service = serve(&definition(&fake, steps), "").await;
    assert_eq!(service.session("alice").await.status, 200);
    let calls = fake.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].json, calls[1].json);
}

/// Every way to prove who is calling, in one step each; the fake refuses what lacks its proof.
#[tokio::test(flavor = "multi_thread")]
async fn every_proof_of_the_caller_arrives() {
    let fake = Fake::start(|call: &Call| {
        let good = match call.path.as_str() {
            "/header" => call.header("x-key") == format!("Token {SECRET}"),
            "/basic" => call.header("authorization") == format!("Basic {}", STANDARD.encode(format!("me:{SECRET}"))),
            "/pair" => call.header("authorization") == format!("Basic {}", STANDARD.encode(SECRET)),
            "/member" => call.json == json!({"app_secret": SECRET, "a": 1}),
            "/form" => call.form() == [("app_secret", SECRET), ("a", "b&c")].map(|(n, v)| (n.to_owned(), v.to_owned())),
            "/jwt" => {
                let mut parts = call.header("x-jwt").split('.').map(str::to_owned);
                let (head, claims, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                let own = hmac::sign(&key, format!("{head}.{claims}").as_bytes());
                let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
                signature == URL_SAFE_NO_PAD.encode(own)
                    && claims == json!({"server": true, "exp": NOW.as_seconds() + 30})
            }
            // PubNub's canonical text: method, publish key, path, sorted query, body.
            "/v3/pam/demo/grant" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                let text = format!(
                    "POST\npub\n/v3/pam/demo/grant\ntimestamp={}&uuid=alice\n{}",
                    NOW.as_seconds(),
                    String::from_utf8_lossy(&call.body)
                );
                let signature = format!("v2.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes())));
                call.parameters().contains(&("signature".to_owned(), signature))
            }
            other => panic!("{other}"),
        };
        if good { fine(&json!({"data": {"token": "tok"}})) } else { Script::json(401, &json!({"error": "no"})) }
    })
    .await;
    let steps = r#"
[[upsert.steps]]
id = "header"
post = "{{ config.api_url }}/header"
auth = { header = "X-Key", secret = "secret", scheme = "Token" }
[[upsert.steps]]
id = "basic"
post = "{{ config.api_url }}/basic"
auth = { basic = "secret", user = "me" }
[[upsert.steps]]
id = "pair"
post = "{{ config.api_url }}/pair"
auth = { basic = "secret" }
[[upsert.steps]]
id = "member"
post = "{{ config.api_url }}/member"
json = { a = 1 }
auth = { member = "app_secret", secret = "secret" }
[[upsert.steps]]
id = "form"
post = "{{ config.api_url }}/form"
form = { a = "b&c" }
auth = { member = "app_secret", secret = "secret" }
[[upsert.steps]]
id = "jwt"
post = "{{ config.api_url }}/jwt"
auth = { jwt = { alg = "HS256", key = "secret", claims = { server = true, exp = "{{ now.s + 30 }}" } }, header = "X-Jwt", scheme = "" }
[upsert]
remember = "1h"
[[token.steps]]
id = "grant"
post = "{{ config.api_url }}/v3/pam/demo/grant"
query = { uuid = "{{ user.id }}", timestamp = "{{ now.s }}" }
json = { ttl = "{{ ttl.min }}", permissions = { uuid = "{{ user.id }}" } }
auth = { signature = { hmac = "sha256", key = "secret", text = "{{ request.method }}\npub\n{{ request.path }}\n{{ request.query }}\n{{ request.body }}", encode = "base64url" }, query = "signature", prefix = "v2." }
token = "/data/token"
expires = { kind = "requested" }
"#;
    let service = serve(&definition(&fake, steps), "").await;
    let answer = service.session("alice").await;
    assert_eq!(answer.status, 200, "{:?} {answer:?}", fake.asked());
    assert_eq!(answer.json()["token"], "tok");
    assert_eq!(fake.calls().last().unwrap().json, json!({"ttl": 60, "permissions": {"uuid": "alice"}}));
}

/// A login that creates the account when there is none, and changes the name when it differs.
const LOGIN: &str = r#"
[auth]
bearer = "secret"
[[token.steps]]
id = "login"
post = "{{ config.api_url }}/login"
json = { id = "{{ user.id }}" }
on = [{ status = 400, code = "/code", is = [7, 8], run = "create", then = "THEN" }, { status = 200, code = "/success", is_not = true, class = "rejected" }]
take = { name = "/user/name?", id = "/user/id" }
token = "/token"
expires = { at = "/expires", kind = "relative" }
[[token.steps]]
id = "create"
only = "called"
post = "{{ config.api_url }}/create"
json = { id = "{{ user.id }}" }
[[token.steps]]
id = "rename"
when = "{{ step.login.name != user.display_name }}"
patch = "{{ config.api_url }}/name"
json = { name = "{{ user.display_name }}" }
"#;

async fn login(then: &str, honest: impl Fn(&Call, usize) -> Script + Send + Sync + 'static) -> (Service, Fake) {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let fake =
        Fake::start(move |call: &Call| honest(call, count.fetch_add(1, std::sync::atomic::Ordering::Relaxed))).await;
    let text = definition(&fake, &LOGIN.replace("THEN", then))
        .replace("[response]", "[response]\nuser_id = \"{{ step.login.id }}\"");
    (serve(&text, "").await, fake)
}

fn welcome(name: &str) -> Script {
    fine(&json!({"success": true, "token": "tok", "expires": "3600", "user": {"id": "u-1", "name": name}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_account_is_created_once_and_the_call_made_again() {
    let (service, fake) = login("retry", |call, n| match (call.path.as_str(), n) {
        ("/login", 0) => Script::json(400, &json!({"code": 7})),
        ("/create", 1) => Script::json(201, &json!({})),
        ("/login", 2) => welcome("somebody"),
        ("/name", 3) => Script::json(204, &json!({})),
        other => panic!("{other:?}"),
    })
    .await;
    let answer = service.session("alice").await;
    assert_eq!((answer.status, &answer.json()["chatUserId"]), (200, &json!("u-1")), "{answer:?}");
    assert_eq!(fake.asked(), ["POST /login", "POST /create", "POST /login", "PATCH /name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_steps_answer_may_stand_for_its_own() {
    let (service, fake) = login("instead", |call, n| match (call.path.as_str(), n) {
        ("/login", 0) => Script::json(400, &json!({"code": 8})),
        ("/create", 1) => welcome("alice"),
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(service.session("alice").await.status, 200);
    assert_eq!(fake.asked(), ["POST /login", "POST /create"], "the name is right, so nothing is patched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_never_loops_and_a_success_that_is_none_is_a_failure() {
    let (service, fake) = login("retry", |call, _| match call.path.as_str() {
        "/login" => Script::json(400, &json!({"code": 7})),
        _ => Script::json(201, &json!({})),
    })
    .await;
    assert_eq!(service.session("alice").await.status, 503);
    assert_eq!(fake.asked(), ["POST /login", "POST /create", "POST /login"]);
    let (service, _fake) = login("retry", |_, _| fine(&json!({"success": false, "token": "tok"}))).await;
    assert_eq!(service.session("alice").await.json()["code"], "provider_bad_answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_takes_tokens_back() {
    let fake = Fake::start(|_: &Call| fine(&json!({"token": "tok"}))).await;
    let steps = "[auth]\nbearer = \"secret\"\n[[token.steps]]\nid = \"mint\"\npost = \"{{ config.api_url }}/token\"\ntoken = \"/token\"\nexpires = { kind = \"requested\" }\n\
                 [[revoke.steps]]\nid = \"revoke\"\ndelete = \"{{ config.api_url }}/users/{{ user.id }}/tokens\"\n";
    let service = serve(&definition(&fake, steps), "").await;
    assert_eq!(service.session("alice").await.status, 200);
    let sign_out =
        async || service.ask("DELETE", SESSION, &[("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "alice")]).await;
    assert_eq!(sign_out().await.status, 204);
    assert_eq!(fake.asked(), ["POST /token", "DELETE /users/alice/tokens"]);
    // The session is gone even when the provider cannot be told; and that is said.
    assert_eq!(service.session("alice").await.status, 200);
    fake.next("/users/alice/tokens", Script::json(400, &json!({})));
    assert_eq!(sign_out().await.status, 503);
    assert_eq!(service.session("alice").await.status, 200);
    assert_eq!(fake.asked().iter().filter(|call| *call == "POST /token").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_the_provider_is_kept() {
    let fake = Fake::start(|_: &Call| fine(&json!({"token": "tok"}))).await;
    let steps = "[auth]\nbearer = \"secret\"\n[limits]\nrate = \"3/min\"\nburst = 3\nqueue = 0\n[[token.steps]]\nid = \"mint\"\npost = \"{{ config.api_url }}/token\"\n\
                 token = \"/token\"\nexpires = { kind = \"requested\" }\n";
    let service = serve(&definition(&fake, steps), "").await;
    let ask = async |user: &str| service.session(user).await;
    for user in ["a", "b", "c"] {
        assert_eq!(ask(user).await.status, 200);
    }
    let limited: Answer = ask("d").await;
    assert_eq!((limited.status, &limited.json()["code"]), (503, &json!("provider_rate_limited")));
    let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(ask("a").await.status, 200, "who has a session is not limited");
    service.clock.advance(Duration::from_secs(wait));
    assert_eq!(ask("d").await.status, 200, "our own limit opens no breaker");
    assert_eq!(fake.calls().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_choose_how_ids_are_made() {
    let fake = Fake::start(|_: &Call| fine(&json!({}))).await;
    let text = definition(
        &fake,
        &format!(
            "[user]\ncase = \"counts\"\nprefix = \"@\"\nsuffix = \":x\"\npattern = \"@[a-z0-9_-]+:x\"\nmax_bytes = 80\n{SIGNED}"
        ),
    );
    let id = async |lines: &str, user: &str| {
        let service = serve(&text, lines).await;
        let answer = service.session(user).await;
        if answer.status == 200 {
            answer.json()["chatUserId"].as_str().unwrap().to_owned()
        } else {
            answer.json()["code"].to_string()
        }
    };
    assert_eq!(id("", "alice").await, "@alice:x");
    assert_eq!(id("", "Alice").await, "\"user_id_invalid\"");
    assert_eq!(id("user_prefix = \"team-\"", "alice").await, "@team-alice:x");
    let folded = id("user_unfit = \"hash\"", "Alice").await;
    assert!(folded.starts_with("@alice-") && folded.len() == "@alice-:x".len() + 32, "{folded}");
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "a key for user ids").unwrap();
    let hashed = id(&format!("user_key_file = \"{}\"", key.display()), "alice@example.com").await;
    assert!(hashed.len() == "@:x".len() + 32 && !hashed.contains("alice"), "{hashed}");
}

fn block(page: &str, language: &str) -> String {
    let (_, behind) = page.split_once(&format!("```{language}\n")).expect("a block");
    behind.split_once("```").expect("its end").0.to_owned()
}

/// The page that teaches the format, done as it says.
#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_works() {
    let page = include_str!("../../docs/providers/write-a-definition.md");
    let fake = Fake::start(|call: &Call| {
        if call.header("x-parley-key") != SECRET {
            return Script::json(401, &json!({}));
        }
        match (call.method.as_str(), call.path.as_str(), &call.json) {
            ("PUT", "/v2/members/alice", body) if *body == json!({"name": "alice"}) => Script::json(201, &json!({})),
            ("POST", "/v2/members/alice/sessions", body) if *body == json!({"ttl_seconds": 3600}) => {
                fine(&json!({"session": {"jwt": "tok", "expires": NOW.as_seconds() + 3600}}))
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("parley-key");
    std::fs::write(&key, SECRET).unwrap();
    let lines = block(page, "toml,parley").replace("/run/secrets/parley-key", &key.display().to_string());
    let text = config(&format!("{lines}api_url = \"{}/v2\"\n", fake.base_url()), &[]);
    let definition = block(page, "toml,definition");
    let service = Service::start_with(&text, &Environment::default(), clock(), &[("parley", &definition)]).await;
    let answer = service.session("alice").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        (&answer.json()["token"], &answer.json()["expiresAt"]),
        (&json!("tok"), &json!("2026-05-04T19:40:00.000Z"))
    );
    // Its client library, and a hub with a cookie.
    let text = format!("{}{text}", block(page, "toml,route"));
    let sdk = json!({"sdk": "web"}).to_string();
    for client in ["toml,client", "toml,cookie"] {
        let definition = format!("{definition}{}", block(page, client));
        let service = Service::start_with(&text, &Environment::default(), clock(), &[("parley", &definition)]).await;
        let mut connection = service.connect().await;
        let alice =
            [("X-Forwarded-User", "alice"), ("X-Forwarded-Name", "alice"), ("Content-Type", "application/json")];
        if client == "toml,client" {
            connection.send(request("POST", "/parley/token", &alice, sdk.as_bytes())).await;
            let answer = connection.answer().await.expect("an answer");
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!(answer.json(), json!({"jwt": "tok", "until": "2026-05-04T19:40:00.000Z"}));
            assert_eq!(connection.ask("POST", "/parley/token", &[]).await.status, 403);
        } else {
            let answer = connection.ask("GET", "/parley/token", &alice[..2]).await;
            let cookie = "mercureAuthorization=tok; Path=/.well-known/mercure; Secure; HttpOnly; SameSite=Strict";
            assert_eq!((answer.status, answer.header("set-cookie")), (200, Some(cookie)));
        }
    }
}
