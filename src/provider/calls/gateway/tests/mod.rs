//! Calls that are sealed with definitions as operators write them.

mod load;
mod pace;

use std::collections::BTreeMap;
use std::path::Path;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::config::{self, Environment, Unfit};
use crate::outbound::Services;
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
virtual = { key_id = "query:auth_key", time = "query:auth_timestamp" }
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
