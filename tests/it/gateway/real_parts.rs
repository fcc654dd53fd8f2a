//! Real servers behind the gateway: they take its calls, and say what they say to it.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sidemint::config::{Environment, Listen};

use super::stage::refusal;
use crate::client::{Answer, Connection, request};
use crate::harness::{Service, clock, config};
use crate::parts::ejabberd::{self, Ejabberd};
use crate::parts::liveblocks::{self, Liveblocks};
use crate::parts::synapse::Synapse;

pub const KEY: &str = "gwCANARYkey0123456789abcdefghijklmnopqrstuvw";

/// The gateway before one provider.
pub struct Mounted {
    pub service: Service,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    /// The header with the caller's proof, and its value.
    proof: (&'static str, String),
}

impl Mounted {
    /// One provider with these lines, of which the caller `shop` may do this. `proof` is the header with its key, and what
    /// stands before that; `Basic` takes its name too.
    pub async fn start(
        provider: &str,
        allow: &str,
        proof: (&'static str, &'static str),
        secrets: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = String::new();
        for (setting, secret) in secrets {
            let file = folder.path().join(setting);
            std::fs::write(&file, secret).unwrap();
            files.push_str(&format!("{setting}_file = \"{}\"\n", file.display()));
        }
        std::fs::write(folder.path().join("key"), KEY).unwrap();
        let rest = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\n[[gateway.mounts]]\nprovider = \"own\"\nlisten = \"127.0.0.1:0\"\n\
             [gateway.callers.shop]\nkey_files = [\"{}/key\"]\nas_user = \"any\"\n[[gateway.callers.shop.grants]]\n\
             provider = \"own\"\nallow = {allow}\n[providers.own]\n{provider}\n{files}",
            folder.path().display()
        );
        let service = Service::start(&config(&rest, &[]), &Environment::default(), clock()).await;
        let Some(Listen::Tcp(address)) = service.mount.clone() else { panic!("a listener of the mount") };
        let basic = || format!("Basic {}", STANDARD.encode(format!("shop:{KEY}")));
        let value = if proof.1 == "Basic" { basic() } else { format!("{}{KEY}", proof.1) };
        Self { service, address, folder, proof: (proof.0, value) }
    }

    /// A call of `shop`.
    pub async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut headers = [&[(self.proof.0, self.proof.1.as_str())], headers].concat();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        // Some servers answer in chunks, so that an ordinary client reads them.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut call = client.request(method.parse().unwrap(), format!("http://{}{target}", self.address));
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let reply = call.body(body).send().await.unwrap();
        let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = reply.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Answer { status: reply.status().as_u16(), headers, body: reply.bytes().await.unwrap().to_vec() }
    }

    /// The same with the target as it is written here, whatever a client would make of it.
    async fn raw(&self, target: &str) -> Answer {
        let headers = [("Host", "localhost"), (self.proof.0, self.proof.1.as_str())];
        let mut connection = Connection::open(self.address).await;
        connection.send(request("GET", target, &headers, b"")).await;
        connection.answer().await.unwrap()
    }
}

const BEARER: (&str, &str) = ("Authorization", "Bearer ");

/// Ids with `@` and `:` reach the server as the ids that they are; a token that was taken back is not the caller's fault.
#[tokio::test(flavor = "multi_thread")]
async fn synapse() {
    let synapse = Synapse::start().await;
    let provider = format!("preset = \"synapse\"\napi_url = \"{}\"\nserver_name = \"chat.test\"", synapse.base_url());
    let secrets = [("admin_token", synapse.admin_token())];
    let gateway = Mounted::start(&provider, "[\"default\", \"user.deactivate\"]", BEARER, &secrets).await;
    let users = "/_synapse/admin/v2/users";
    let alice = json!({"displayname": "Alice"});
    let made = gateway.ask("PUT", &format!("{users}/%40alice%3Achat.test"), &[], &alice).await;
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("@alice:chat.test")), "{made:?}");
    for id in ["@alice:chat.test", "%40alice%3achat.test", "%40%61lice:chat.test"] {
        let got = gateway.ask("GET", &format!("{users}/{id}"), &[], &Value::Null).await;
        assert_eq!((got.status, &got.json()["displayname"]), (200, &json!("Alice")), "{id}: {got:?}");
    }
    let list = gateway.ask("GET", &format!("{users}?limit=10&from=0"), &[], &Value::Null).await;
    assert_eq!((list.status, &list.json()["total"]), (200, &json!(2)), "{list:?}");
    let missing = gateway.ask("GET", &format!("{users}/%40bob%3Achat.test"), &[], &Value::Null).await;
    assert_eq!((missing.status, &missing.json()["errcode"]), (404, &json!("M_NOT_FOUND")));
    assert_eq!(missing.header("x-chat-gateway-error"), None, "the server's own word");
    for body in [json!({"admin": true}), json!({"password": "x"}), json!({"displayname": "A", "deactivated": false})] {
        let refused = gateway.ask("PUT", &format!("{users}/%40alice%3Achat.test"), &[], &body).await;
        assert_eq!(refusal(&refused), (403, "body_denied"), "{body}");
    }
    let login = gateway.ask("POST", "/_synapse/admin/v1/users/%40alice%3Achat.test/login", &[], &json!({})).await;
    assert_eq!(refusal(&login), (403, "operation_denied"));
    let register = gateway.ask("GET", "/_synapse/admin/v1/register", &[], &Value::Null).await;
    assert_eq!(refusal(&register), (403, "operation_unknown"));
    for target in [format!("{users}/%2e%2e"), format!("{users}/..%2f..%2fv1/register"), format!("{users}/%2540a")] {
        assert_eq!(refusal(&gateway.raw(&target).await), (400, "target_invalid"), "{target}");
    }
    // The server takes the token back; the next one is in the file.
    let admin = Some(synapse.admin_token());
    let out = synapse.ask("POST", "/_matrix/client/v3/logout", admin, json!({})).await;
    assert_eq!(out.status, 200);
    let refused = gateway.ask("GET", &format!("{users}/@alice:chat.test"), &[], &Value::Null).await;
    assert_eq!(refusal(&refused), (503, "provider_credentials"), "{refused:?}");
    let order =
        json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "admin"}, "password": "unused"});
    let session = synapse.ask("POST", "/_matrix/client/v3/login", None, order).await.json();
    std::fs::write(gateway.folder.path().join("admin_token"), session["access_token"].as_str().unwrap()).unwrap();
    crate::eventually::eventually("the new token is read", async || {
        gateway.service.advance(60);
        gateway.ask("GET", &format!("{users}/@alice:chat.test"), &[], &Value::Null).await.status == 200
    })
    .await;
}

/// Rooms of the dev server, and nothing that makes a token.
#[tokio::test(flavor = "multi_thread")]
async fn liveblocks() {
    let server = Liveblocks::start().await;
    let provider = format!("preset = \"liveblocks\"\napi_url = \"{}\"", server.base_url());
    let secrets = [("secret_key", liveblocks::SECRET)];
    let gateway =
        Mounted::start(&provider, "[\"default\", \"room.delete\"]", ("Authorization", "Bearer sk_"), &secrets).await;
    let made = gateway.ask("POST", "/v2/rooms", &[], &json!({"id": "shop-1", "defaultAccesses": ["room:write"]})).await;
    assert_eq!((made.status, &made.json()["id"]), (200, &json!("shop-1")), "{made:?}");
    let got = gateway.ask("GET", "/v2/rooms/shop-1", &[], &Value::Null).await;
    assert_eq!((got.status, &got.json()["id"]), (200, &json!("shop-1")), "{got:?}");
    let missing = gateway.ask("GET", "/v2/rooms/none", &[], &Value::Null).await;
    assert_eq!((missing.status, missing.header("x-chat-gateway-error")), (404, None), "{missing:?}");
    let rights =
        gateway.ask("POST", "/v2/rooms/shop-1", &[], &json!({"usersAccesses": {"alice": ["room:write"]}})).await;
    assert_eq!(refusal(&rights), (403, "body_denied"));
    let token = gateway.ask("POST", "/v2/authorize-user", &[], &json!({"userId": "alice"})).await;
    assert_eq!(refusal(&token), (403, "operation_denied"));
    assert_eq!(gateway.ask("DELETE", "/v2/rooms/shop-1", &[], &Value::Null).await.status, 204);
    assert_eq!(gateway.ask("GET", "/v2/rooms/shop-1", &[], &Value::Null).await.status, 404);
}

/// Commands of `mod_http_api`; the host is ours, whatever a caller says.
#[tokio::test(flavor = "multi_thread")]
async fn ejabberd() {
    let server = Ejabberd::start().await;
    let host = ejabberd::HOST;
    let provider = format!(
        "preset = \"ejabberd\"\napi_url = \"{}\"\nhost = \"{host}\"\napi_user = \"admin@{host}\"",
        server.base_url()
    );
    let proof = ("Authorization", "Basic");
    let gateway =
        Mounted::start(&provider, "[\"default\"]", proof, &[("api_password", &Ejabberd::admin_password())]).await;
    let elsewhere = json!({"name": "shop-1", "host": "evil.test", "service": "conference.evil.test"});
    let made = gateway.ask("POST", "/api/create_room", &[], &elsewhere).await;
    assert_eq!(made.status, 200, "{made:?}");
    let rooms = gateway.ask("POST", "/api/muc_online_rooms", &[], &json!({"service": "global"})).await;
    assert_eq!(rooms.json(), json!([format!("shop-1@conference.{host}")]), "{rooms:?}");
    let message = json!({"type": "chat", "from": format!("admin@{host}"), "to": format!("bob@{host}"), "subject": "", "body": "hi"});
    let missing = gateway.ask("POST", "/api/send_message", &[], &message).await;
    assert_eq!(refusal(&missing), (400, "as_user_missing"));
    let sent = gateway.ask("POST", "/api/send_message", &[("X-Chat-As-User", "alice")], &message).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    for (command, refused) in [
        ("register", (403, "operation_denied")),
        ("check_password", (403, "operation_denied")),
        ("destroy_room", (403, "operation_denied")),
        ("stop", (403, "operation_unknown")),
    ] {
        let answer = gateway.ask("POST", &format!("/api/{command}"), &[], &json!({"name": "shop-1"})).await;
        assert_eq!(refusal(&answer), refused, "{command}");
    }
    // Another password is not the caller's fault, and the server's own 401 stays here.
    let wrong = Mounted::start(&provider, "[\"default\"]", proof, &[("api_password", "of no account at all")]).await;
    let refused = wrong.ask("POST", "/api/muc_online_rooms", &[], &json!({})).await;
    assert_eq!(refusal(&refused), (503, "provider_credentials"), "{refused:?}");
}
