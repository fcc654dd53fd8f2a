//! Calls that are sealed with definitions as operators write them.

use std::collections::BTreeMap;
use std::path::Path;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::config::{self, Environment, Listen, Unfit};
use crate::outbound::{ConnectError, Services};
use crate::provider::{Configured, Definitions, Wanted, configure};

/// What a definition has beside what is tested.
const HEAD: &str = r#"
name = "test"
summary = "A test."
[settings.api_url]
about = "Address."
kind = "url"
[settings.app_key]
about = "Key id."
[settings.app_secret]
about = "Secret."
secret = true
"#;

struct Setup {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Setup {
    fn new(definition: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("test.toml"), format!("{HEAD}{definition}")).expect("written");
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_353_088_179)));
        let setup = Self { folder, clock };
        setup.secret("7ad3773142a6692b25b8");
        setup
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn secret(&self, text: &str) {
        std::fs::write(self.file("secret"), text).expect("written");
    }

    fn configured(&self, wanted: Wanted, settings: Value, own: Value) -> Result<Configured, Vec<String>> {
        let (definitions, mistakes) = Definitions::read(Some(Path::new(self.folder.path())));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let mut given: BTreeMap<String, Value> = [
            ("api_url".to_owned(), json!("http://chat.test:8080")),
            ("app_key".to_owned(), json!("278d425bdf160c739803")),
            ("app_secret_file".to_owned(), json!(self.file("secret"))),
        ]
        .into();
        let more: BTreeMap<String, Value> = serde_json::from_value(settings).expect("a table");
        given.extend(more);
        given.retain(|_, value| !value.is_null());
        let table = config::Provider {
            preset: "test".to_owned(),
            timeout: Duration::from_secs(5),
            retries: 0,
            calls_at_once: 1,
            client_margin: None,
            upsert_memory: None,
            rate: None,
            user_prefix: String::new(),
            user_unfit: Unfit::default(),
            gateway: serde_json::from_value(own).expect("a table"),
            settings: given,
            origin: "sidemint.toml".to_owned(),
            origins: BTreeMap::new(),
        };
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let services = Services { clock, ..Services::for_test() };
        let configured = configure("chat", &table, &Environment::default(), &definitions, &services, wanted);
        configured.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    fn gateway(&self) -> Arc<Gateway> {
        self.configured(CALLS, json!({}), json!({})).expect("configured").gateway.expect("a gateway")
    }

    fn told(&self, settings: Value, own: Value) -> Vec<String> {
        self.configured(CALLS, settings, own).expect_err("refused")
    }
}

const CALLS: Wanted = Wanted { sessions: false, gateway: true };

fn call(gateway: &Gateway, method: Method, path: &str, body: Option<&str>) -> Call {
    let url = gateway.base().join(path.trim_start_matches('/')).expect("an address");
    Call { method, url, headers: HeaderMap::new(), body: body.map(|body| Bytes::from(body.to_owned())) }
}

fn shown(carried: &Carried) -> Vec<&str> {
    carried.secrets().map(|own| own.expose_text().expect("text")).collect()
}

fn header<'c>(call: &'c Call, name: &str) -> &'c str {
    call.headers.get(name).expect(name).to_str().expect("text")
}

#[test]
fn a_secret_stands_where_auth_says_and_what_was_sent_there_is_gone() {
    for (auth, name, value, secrets) in [
        (r#"{ bearer = "app_secret" }"#, "authorization", "Bearer 7ad3773142a6692b25b8", 1),
        (
            r#"{ header = "X-{{ config.app_key }}", secret = "app_secret" }"#,
            "x-278d425bdf160c739803",
            "7ad3773142a6692b25b8",
            1,
        ),
        (
            r#"{ basic = "app_secret", user = "{{ config.app_key }}" }"#,
            "authorization",
            "Basic Mjc4ZDQyNWJkZjE2MGM3Mzk4MDM6N2FkMzc3MzE0MmE2NjkyYjI1Yjg=",
            2,
        ),
    ] {
        let setup = Setup::new(&format!(
            "[gateway]\nbase = \"{{{{ config.api_url }}}}/v1\"\nauth = {auth}\n[[gateway.calls]]\nread = {{ a = \"GET /a\" }}"
        ));
        let gateway = setup.gateway();
        assert_eq!(gateway.base().as_str(), "http://chat.test:8080/v1/");
        let mut own = call(&gateway, Method::GET, "/a", None);
        own.headers
            .insert(HeaderName::from_bytes(name.as_bytes()).expect("a name"), "theirs".parse().expect("a value"));
        let carried = gateway.seal(0, &mut own, &[]).expect("sealed");
        assert_eq!(header(&own, name), value);
        assert!(own.headers.values().all(http::HeaderValue::is_sensitive), "{auth}");
        let shown = shown(&carried);
        assert_eq!((shown.len(), shown[0], carried.is_made()), (secrets, "7ad3773142a6692b25b8", false), "{auth}");
        assert!(secrets == 1 || shown[1] == "278d425bdf160c739803:7ad3773142a6692b25b8");
        assert!(!format!("{carried:?}{gateway:?}").contains("7ad377"), "{auth}");
        let mut masked = call(&gateway, Method::GET, "/a", None);
        gateway.mask(0, &mut masked, &[]).expect("masked");
        assert_eq!(header(&masked, name), "***");
    }
}

const PUSHER: &str = r#"
[settings.app_id]
about = "App."
[gateway]
base = "{{ config.api_url }}"
set = { query = { auth_key = "{{ config.app_key }}", auth_timestamp = "{{ now.s }}", auth_version = "1.0", body_md5 = "{{ request.body | md5? }}" } }
auth = { query = "auth_signature", signature = { hmac = "sha256", key = "app_secret", text = "{{ request.method }}\n{{ request.path }}\n{{ request.query_plain }}", encode = "hex" } }
prefix = "/apps/{=config.app_id}"
[[gateway.calls]]
query = ["filter_by_prefix", "info"]
read = { "channel.list" = "GET /channels" }
write = { "event.trigger" = "POST /events" }
"#;

fn pusher() -> (Setup, Arc<Gateway>) {
    let setup = Setup::new(PUSHER);
    let configured = setup.configured(CALLS, json!({ "app_id": "3" }), json!({})).expect("configured");
    (setup, configured.gateway.expect("a gateway"))
}

fn query(call: &Call) -> BTreeMap<String, String> {
    call.url.query_pairs().into_owned().collect()
}

/// The example of <https://pusher.com/docs/channels/library_auth_reference/rest-api/>.
#[test]
fn a_call_is_signed_as_the_documentation_of_pusher_has_it() {
    let (_setup, gateway) = pusher();
    assert!(gateway.needs_body());
    assert_eq!(gateway.section().settings["app_id"], "3");
    let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
    let mut own = call(&gateway, Method::POST, "/apps/3/events", Some(body));
    // What a caller sent under the names of ours is replaced, however it is written.
    own.url.set_query(Some("auth_key=theirs&%61uth_key=theirs&body_md5=0&auth_version=1.0&auth_signatur%65=theirs"));
    let carried = gateway.seal(0, &mut own, &[]).expect("sealed");
    let query = query(&own);
    assert_eq!(query["body_md5"], "ec365a775a4cd0599faeb73354201b6f");
    assert_eq!(query["auth_key"], "278d425bdf160c739803");
    assert_eq!(query["auth_signature"], "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c");
    assert_eq!(own.url.query_pairs().count(), 5);
    assert_eq!((shown(&carried), carried.is_made()), (vec![query["auth_signature"].as_str()], true));
}

/// Values are signed as they are before they are encoded, and of no body there is no checksum. The signature is that of
/// Pusher's own library: `createSignedQueryString` of npm's pusher 5.
#[test]
fn what_is_encoded_is_signed_as_it_was_before() {
    let (_setup, gateway) = pusher();
    let mut own = call(&gateway, Method::GET, "/apps/3/channels", None);
    own.url.set_query(Some("info=user_count%2Csubscription_count&filter_by_prefix=presence-"));
    gateway.seal(0, &mut own, &[]).expect("sealed");
    let query = query(&own);
    assert_eq!(query["auth_signature"], "ff97d40ab3fbbd15394386a29c12998c33635305357b2e2abd18dc67efe3f87d");
    assert!(!query.contains_key("body_md5"));
}

const LIVE: &str = r#"
[gateway]
base = "{{ config.api_url }}"
auth = { jwt = { alg = "HS256", key = { secret = "app_secret", min_bytes = 6 }, claims = { iss = "{{ config.app_key }}", exp = "{{ now.s + 60 }}" } } }
error = { code = "{{ error.code }}", msg = "{{ error.text }}", status = "{{ error.status }}" }
method = "POST"
types = ["json", "protobuf"]
[[gateway.calls]]
claims = { video = { roomCreate = true } }
write = { "room.create" = "/CreateRoom" }
[[gateway.calls]]
claims = { video = { roomAdmin = true, room = "{{ param.room }}" } }
params = { room = { json = ["/room"], proto = 1 } }
read = { "participant.list" = "/ListParticipants" }
"#;

#[test]
fn a_token_is_made_for_one_call_with_no_more_grants_than_it_needs() {
    let setup = Setup::new(LIVE);
    let gateway = setup.gateway();
    assert!(!gateway.needs_body());
    let claims = |group, parameters: &[(&str, &str)]| {
        let mut own = call(&gateway, Method::POST, "/x", None);
        let carried = gateway.seal(group, &mut own, parameters)?;
        let token = header(&own, "authorization").strip_prefix("Bearer ").expect("a token");
        assert_eq!(shown(&carried), [token]);
        let payload = token.split('.').nth(1).expect("claims");
        let payload = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).expect("base64url");
        Ok::<Value, ProviderError>(serde_json::from_slice(&payload).expect("JSON"))
    };
    let common = |video: Value| json!({ "iss": "278d425bdf160c739803", "exp": 1_353_088_239, "video": video });
    assert_eq!(claims(0, &[]).expect("sealed"), common(json!({ "roomCreate": true })));
    let room = "a\",\"roomCreate\":true,\"b\":\"";
    let expected = common(json!({ "roomAdmin": true, "room": room }));
    assert_eq!(claims(1, &[("room", room), ("other", "x"), ("room", room)]).expect("sealed"), expected);
    for parameters in [&[][..], &[("other", "x")], &[("room", "a"), ("room", "b")]] {
        assert!(claims(1, parameters).is_err(), "{parameters:?}");
    }
}

#[test]
fn refusals_are_told_as_sdks_of_the_provider_understand_them() {
    let gateway = Setup::new(LIVE).gateway();
    let status = http::StatusCode::FORBIDDEN;
    let failure = FailureView { message: "\"no\"", code: "operation_denied", status, request_id: "r" };
    let body: Value = serde_json::from_slice(&gateway.error_body(&failure).expect("a body")).expect("JSON");
    assert_eq!(body, json!({ "code": "operation_denied", "msg": "\"no\"", "status": 403 }));
}

#[tokio::test]
async fn a_refused_credential_is_looked_for_anew() {
    let setup = Setup::new(LIVE);
    let gateway = setup.gateway();
    let seal = || gateway.seal(0, &mut call(&gateway, Method::POST, "/x", None), &[]).expect("sealed");
    let before = seal();
    assert!(!gateway.reread(&before).await);
    assert!(gateway.has_secret(&Secret::new(b"7ad3773142a6692b25b8".to_vec())));
    setup.secret("another secret of the app");
    setup.clock.advance(Duration::from_secs(2));
    assert!(gateway.reread(&before).await);
    assert!(gateway.has_secret(&Secret::new(b"another secret of the app".to_vec())));
    assert!(seal().generation() > before.generation());
}

const SECTION: &str = r#"
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

#[tokio::test]
async fn a_provider_that_asks_for_fewer_calls_pauses_the_gateway_alone() {
    let setup = Setup::new(LIVE);
    let gateway = setup.gateway();
    let admit = || gateway.admit(Duration::ZERO);
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", "7".parse().expect("a value"));
    for (headers, seconds) in [(&HeaderMap::new(), 1), (&HeaderMap::new(), 2), (&headers, 7)] {
        let admitted = admit().await.expect("no pause");
        admitted.report(Ended::Answered { status: 429, headers }, None);
        assert_eq!(admit().await.err(), Some(Refused::RateLimited(Duration::from_secs(seconds))));
        assert_eq!(gateway.access().gate.status().breaker, crate::pacing::BreakerState::Closed);
        setup.clock.advance(Duration::from_secs(seconds));
    }
    admit().await.expect("no pause").report(Ended::Answered { status: 200, headers: &headers }, None);
    admit().await.expect("no pause").report(Ended::Answered { status: 429, headers: &HeaderMap::new() }, None);
    assert_eq!(admit().await.err(), Some(Refused::RateLimited(Duration::from_secs(1))), "a pause of its own again");
}

#[tokio::test]
async fn calls_under_way_when_a_pause_begins_neither_end_it_nor_add_to_it() {
    let setup = Setup::new(LIVE);
    let gateway = setup.gateway();
    let mut under_way = Vec::new();
    for _ in 0..6 {
        under_way.push(gateway.admit(Duration::ZERO).await.expect("no pause"));
    }
    let none = HeaderMap::new();
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", "3".parse().expect("a value"));
    for (status, headers, seconds) in
        [(429, &none, 1), (429, &none, 1), (200, &none, 1), (429, &headers, 3), (429, &none, 3), (200, &none, 3)]
    {
        under_way.pop().expect("one more").report(Ended::Answered { status, headers }, None);
        let refused = gateway.admit(Duration::ZERO).await.err();
        assert_eq!(refused, Some(Refused::RateLimited(Duration::from_secs(seconds))), "{status}");
    }
    setup.clock.advance(Duration::from_secs(3));
    gateway
        .admit(Duration::ZERO)
        .await
        .expect("no pause")
        .report(Ended::Answered { status: 429, headers: &none }, None);
    assert_eq!(gateway.admit(Duration::ZERO).await.err(), Some(Refused::RateLimited(Duration::from_secs(2))));
}

/// G-23: what a caller can bring about says nothing about the provider.
#[tokio::test]
async fn the_breaker_hears_of_connections_and_of_the_providers_front_alone() {
    let headers = HeaderMap::new();
    let answered = |status| Ended::Answered { status, headers: &headers };
    for (ended, opens) in [
        (answered(500), false),
        (answered(404), false),
        (answered(401), false),
        (Ended::Failed(SendError::Timeout), false),
        (Ended::Failed(SendError::Broken), false),
        (answered(502), true),
        (answered(504), true),
        (Ended::Failed(SendError::Connect(ConnectError::Refused)), true),
    ] {
        let setup = Setup::new(LIVE);
        let gateway = setup.gateway();
        for _ in 0..5 {
            gateway.admit(Duration::ZERO).await.expect("let through").report(ended, None);
        }
        let refused = gateway.admit(Duration::ZERO).await.err();
        assert_eq!(refused, opens.then_some(Refused::Unavailable(Duration::from_secs(1))), "{ended:?}");
    }
}

#[tokio::test]
async fn calls_that_the_provider_counts_apart_have_a_pace_of_their_own() {
    let setup = Setup::new(&SECTION.replace("as_user =", "limits = { rate = \"4/min\", burst = 2 }\nas_user ="));
    let gateway = setup.gateway();
    for _ in 0..2 {
        gateway.admit(Duration::ZERO).await.expect("within the burst");
    }
    assert_eq!(gateway.admit(Duration::ZERO).await.err(), Some(Refused::RateLimited(Duration::from_secs(20))));
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
    let page = include_str!("../../../../docs/providers/definition.md");
    let example = page.split("```toml,gateway\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let head = "[user]\ncase = \"counts\"\n[settings.api_key]\nabout = \"Key.\"\nsecret = true\noptional = true\n";
    let setup = Setup::new(&format!("{head}{example}"));
    let given = json!({ "api_key_file": setup.file("secret") });
    let gateway = setup.configured(CALLS, given, json!({})).expect("configured").gateway.expect("a gateway");
    assert_eq!(gateway.user_id("alice").as_deref(), Some("alice"));
    let entries = gateway.section().calls.iter().flat_map(|calls| calls.entries(gateway.section()));
    assert!(entries.map(|entry| entry.map(|own| own.path)).collect::<Result<Vec<_>, _>>().expect("paths").len() == 5);
}
