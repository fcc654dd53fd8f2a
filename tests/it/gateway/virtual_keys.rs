//! Keys where SDKs put them: `auth` of a definition, read backwards, in requests as SDKs make them.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::fixture::{Fixture, OTHER, SECRET, SHOP, Setup, code};
use super::recorder::{Recorder, Rules};
use crate::fakes::http::Script;
use crate::harness::NOW;

/// A definition whose `[gateway]` begins with these lines.
fn definition(lines: &str) -> (&'static str, String) {
    let text = format!(
        r#"
name = "keyed"
summary = "Calls with another proof."
[settings.api_url]
about = "Address of the API."
kind = "url"
[settings.app]
about = "Id of the application."
default = "app1"
[settings.api_key]
about = "Key of the API."
secret = true
[gateway]
base = "{{{{ config.api_url }}}}"
types = ["json"]
{lines}
[[gateway.calls]]
query = ["filter"]
read = {{ "channel.list" = "GET /apps/app1/channels", "channel.get" = "GET /apps/app1/channels/{{channel}}" }}
write = {{ "event.send" = "POST /apps/app1/events" }}
"#
    );
    ("keyed", text)
}

async fn start(lines: &str) -> Fixture {
    let overrides =
        vec![("gateway.callers.other.grants", "[{ provider = \"own\", allow = [\"default\"] }]".to_owned())];
    let setup = Setup { definition: definition(lines), overrides, ..Setup::default() };
    let rules = Rules::strict(&[SHOP, OTHER], &["authorization", "x-app-key"]);
    setup.start_at(Recorder::start(rules, |_| Script::json(200, &json!({}))).await).await
}

fn jwt(header: &Value, claims: &Value, key: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes())))
}

async fn status(fixture: &Fixture, target: &str, headers: &[(&str, &str)]) -> u16 {
    let answer = fixture.raw("GET", target, headers, b"").await;
    assert!(
        answer.status == 200 || (answer.status, code(&answer)) == (401, "caller_unauthorized"),
        "{}",
        answer.text()
    );
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_alone_in_a_header_of_its_own() {
    let fixture = start("auth = { header = \"X-App-Key\", secret = \"api_key\" }").await;
    for (headers, expected) in [
        (vec![("X-App-Key", SHOP)], 200),
        (vec![("X-App-Key", OTHER)], 200),
        (vec![("X-App-Key", SECRET)], 401),
        (vec![("Authorization", SHOP)], 401),
        (vec![("X-App-Key", SHOP), ("X-App-Key", SHOP)], 401),
    ] {
        assert_eq!(status(&fixture, "/apps/app1/channels", &headers).await, expected, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_and_key_as_basic() {
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let shaped = "auth = { basic = \"api_key\" }\nvirtual = { form = \"{{ caller }}.gateway:sk_{{ key }}\" }";
    for (lines, good) in [
        ("auth = { basic = \"api_key\", user = \"{{ config.app }}\" }", format!("shop:{SHOP}")),
        ("auth = { basic = \"api_key\" }", format!("shop:{SHOP}")),
        (shaped, format!("shop.gateway:sk_{SHOP}")),
    ] {
        let fixture = start(lines).await;
        let (user, key) = good.split_once(':').unwrap();
        for (pair, expected) in [
            (good.as_str(), 200),
            (&format!("{}:{key}", user.replace("shop", "other")), 401),
            (&format!("app1:{key}"), 401),
            (&format!("{good}x"), 401),
            (SHOP, 401),
            ("shop:", 401),
        ] {
            let own = [("Authorization", basic(pair))];
            let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(status(&fixture, "/apps/app1/channels", &own).await, expected, "{lines} {pair}");
        }
    }
}

/// G-15: one algorithm, an end where the scheme has one, and the caller that the token names.
#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_is_verified_as_the_provider_would_verify_it() {
    let lines = "auth = { jwt = { alg = \"HS256\", key = \"api_key\", claims = { iss = \"{{ config.app }}\", exp = \"{{ now.s + 60 }}\" } } }\n\
                 virtual = { key_id = \"iss\" }";
    let fixture = start(lines).await;
    let now = NOW.as_seconds();
    let hs256 = json!({ "alg": "HS256", "typ": "JWT" });
    let good = json!({ "iss": "shop", "exp": now + 60, "nbf": 0, "video": { "roomCreate": true } });
    let none = {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({ "alg": "none" })), part(&good))
    };
    let token = jwt(&hs256, &good, SHOP);
    assert_eq!(status(&fixture, "/apps/app1/channels", &[("Authorization", &format!("Bearer {token}"))]).await, 200);
    let cut = &token[..token.len() - 2];
    for bad in [
        none.as_str(),
        cut,
        &token.replace('.', ".."),
        &jwt(&json!({ "alg": "RS256" }), &good, SHOP),
        &jwt(&json!({ "alg": "HS384" }), &good, SHOP),
        &jwt(&json!({ "alg": "HS256", "crit": ["exp"] }), &good, SHOP),
        &jwt(&hs256, &good, OTHER),
        &jwt(&hs256, &json!({ "iss": "other", "exp": now + 60 }), SHOP),
        &jwt(&hs256, &json!({ "iss": "nobody", "exp": now + 60 }), SHOP),
        &jwt(&hs256, &json!({ "iss": "nobody", "exp": now + 60 }), OTHER),
        &jwt(&hs256, &json!({ "exp": now + 60 }), SHOP),
        &jwt(&hs256, &json!({ "iss": "shop" }), SHOP),
        &jwt(&hs256, &json!({ "iss": "shop", "exp": now - 31 }), SHOP),
        &jwt(&hs256, &json!({ "iss": "shop", "exp": "never" }), SHOP),
        &jwt(&hs256, &json!({ "iss": "shop", "exp": now + 60, "nbf": now + 31 }), SHOP),
    ] {
        let line = format!("Bearer {bad}");
        assert_eq!(status(&fixture, "/apps/app1/channels", &[("Authorization", &line)]).await, 401, "{bad}");
    }
    assert_eq!(fixture.provider.requests().len(), 1);
}

/// G-15: a library makes tokens for users with the same key. Whoever was handed one is no caller.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_user_proves_no_caller() {
    let lines = "auth = { jwt = { alg = \"HS256\", key = \"api_key\", claims = { iss = \"{{ config.app }}\", exp = \"{{ now.s + 60 }}\" } } }\n\
                 virtual = { key_id = \"iss\", user_claims = [\"sub\"] }";
    let fixture = start(lines).await;
    for (subject, expected) in
        [(Value::Null, 200), (json!(""), 200), (json!("alice"), 401), (json!(7), 401), (json!({}), 401)]
    {
        let claims = json!({ "iss": "shop", "exp": NOW.as_seconds() + 60, "sub": subject });
        let line = format!("Bearer {}", jwt(&json!({ "alg": "HS256" }), &claims, SHOP));
        assert_eq!(status(&fixture, "/apps/app1/channels", &[("Authorization", &line)]).await, expected, "{claims}");
    }
}

/// As Stream has it: no end, and the key id in the query.
#[tokio::test(flavor = "multi_thread")]
async fn a_bare_jwt_without_an_end_and_a_key_id_in_the_query() {
    let lines = "auth = { jwt = { alg = \"HS256\", key = \"api_key\", claims = { server = true } }, scheme = \"\" }\n\
                 virtual = { key_id = \"query:api_key\" }\nset = { query = { api_key = \"{{ config.app }}\" } }";
    let fixture = start(lines).await;
    let token = jwt(&json!({ "alg": "HS256" }), &json!({ "server": true }), SHOP);
    let own = [("Authorization", token.as_str())];
    for (query, expected) in [
        ("?api_key=shop", 200),
        ("?api_key=other", 401),
        ("", 401),
        ("?api_key=shop&api_key=shop", 401),
        ("?api_key=app1", 401),
    ] {
        let target = format!("/apps/app1/channels{query}");
        assert_eq!(status(&fixture, &target, &own).await, expected, "{query}");
    }
    assert_eq!(fixture.provider.last().parameter("api_key").as_deref(), Some("app1"));
}

const PUSHER: &str = r#"
set = { query = { auth_key = "{{ config.app }}", auth_timestamp = "{{ now.s }}", auth_version = "1.0", body_md5 = "{{ request.body | md5? }}" } }
auth = { query = "auth_signature", signature = { hmac = "sha256", key = "api_key", text = "{{ request.method }}\n{{ request.path }}\n{{ request.query_plain }}", encode = "hex" } }
virtual = { key_id = "query:auth_key", time = "query:auth_timestamp", skew = "10m" }
"#;

/// The target of a request as Pusher's library signs it: pairs are signed as they are, and sent encoded.
fn signed(method: &str, path: &str, pairs: &[(&str, &str)], key: &str) -> String {
    let mut plain: Vec<_> = pairs.to_vec();
    plain.sort_unstable();
    let joined = plain.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let tag = hmac::sign(&key, format!("{method}\n{path}\n{joined}").as_bytes());
    let tag = data_encoding::HEXLOWER.encode(tag.as_ref());
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs).append_pair("auth_signature", &tag);
    format!("{path}?{}", query.finish())
}

/// G-15: what was signed is what came, lately.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_verified_over_the_request_as_it_came() {
    let fixture = start(PUSHER).await;
    let path = "/apps/app1/channels";
    let time = |shift: i64| (NOW.as_seconds() + shift).to_string();
    let pairs = |key: &'static str, time: &str| {
        let all = [("auth_key", key), ("auth_timestamp", time), ("auth_version", "1.0"), ("filter", "a,b c")];
        all.map(|(name, value)| (name, value.to_owned()))
    };
    let target = |method: &str, caller: &'static str, shift: i64, key: &str| {
        let own = pairs(caller, &time(shift));
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        signed(method, path, &own, key)
    };
    let good = target("GET", "shop", 0, SHOP);
    for (what, target, expected) in [
        ("as it is", good.clone(), 200),
        ("within the skew", target("GET", "shop", -600, SHOP), 200),
        ("late replay", target("GET", "shop", -601, SHOP), 401),
        ("of the future", target("GET", "shop", 601, SHOP), 401),
        ("another's name", target("GET", "other", 0, SHOP), 401),
        ("another's key", target("GET", "shop", 0, OTHER), 401),
        ("another method", target("POST", "shop", 0, SHOP), 401),
        ("another path", good.replace("/channels", "/channels/x"), 401),
        ("another value", good.replace("filter=a", "filter=b"), 401),
        ("one more", format!("{good}&limit=1"), 401),
        ("two signatures", format!("{good}&auth_signature=0"), 401),
    ] {
        assert_eq!(status(&fixture, &target, &[]).await, expected, "{what}");
    }
    let last = fixture.provider.last();
    assert_eq!(last.parameter("auth_key").as_deref(), Some("app1"));
    assert_eq!(last.parameter("filter").as_deref(), Some("a,b c"));
}

/// G-15: a signature over a hash of the body is good for that body alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_has_the_body_that_was_signed() {
    let fixture = start(PUSHER).await;
    let body = "{\"name\":\"a\",\"channels\":[\"x\"]}";
    let md5 = |body: &str| data_encoding::HEXLOWER.encode(&Md5::digest(body));
    let time = NOW.as_seconds().to_string();
    let send = async |hash: Option<String>, body: &str| {
        let mut pairs = vec![("auth_key", "shop"), ("auth_timestamp", time.as_str()), ("auth_version", "1.0")];
        pairs.extend(hash.as_deref().map(|hash| ("body_md5", hash)));
        let target = signed("POST", "/apps/app1/events", &pairs, SHOP);
        fixture.raw("POST", &target, &[("Content-Type", "application/json")], body.as_bytes()).await.status
    };
    assert_eq!(send(Some(md5(body)), body).await, 200);
    assert_eq!(send(Some(md5(body)), &body.replace('x', "y")).await, 401);
    assert_eq!(send(None, body).await, 401);
    assert_eq!(fixture.provider.requests().len(), 1);
}

/// G-22: the signature is over a hash of the body, so whose it is is known before a byte of the body is taken.
#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_stranger_is_not_waited_for() {
    let fixture = start(PUSHER).await;
    let time = NOW.as_seconds().to_string();
    let hash = data_encoding::HEXLOWER.encode(&Md5::digest("{}"));
    let pairs = [("auth_key", "shop"), ("auth_timestamp", &time), ("auth_version", "1.0"), ("body_md5", &hash)];
    let mut connection = fixture.connect().await;
    let target = signed("POST", "/apps/app1/events", &pairs, OTHER);
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    );
    connection.send(head.into_bytes()).await;
    let answer = connection.answer_to("POST").await.expect("an answer before the body");
    assert_eq!((answer.status, code(&answer)), (401, "caller_unauthorized"));
}

/// Where `auth` cannot be read backwards, the definition says where the key stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_may_say_where_the_key_stands() {
    let lines = "auth = { header = \"X-App-Key\", secret = \"api_key\" }\nvirtual = { header = \"X-Key\", scheme = \"Token\", form = \"sk_{{ key }}\" }";
    let fixture = start(lines).await;
    for (value, expected) in [
        (format!("Token sk_{SHOP}"), 200),
        (format!("token sk_{SHOP}"), 200),
        (format!("Token {SHOP}"), 401),
        (format!("sk_{SHOP}"), 401),
    ] {
        assert_eq!(status(&fixture, "/apps/app1/channels", &[("X-Key", &value)]).await, expected, "{value}");
    }
}
