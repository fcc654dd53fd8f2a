//! A Synapse home server: with an admin, whose API mints sessions of others, and with login by token.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{Part, call};
use crate::client::Answer;
use crate::judge::tool;

/// The domain of its users.
pub const SERVER_NAME: &str = "chat.test";
/// What login tokens are signed with, as HS256; their issuer and audience. It forgives 120 seconds after their end.
pub const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const JWT_ISSUER: &str = "sidemint";
pub const JWT_AUDIENCE: &str = "chat.test";

const REGISTRATION_SECRET: &str = "who knows this makes admins";

/// A running server.
pub struct Synapse {
    address: SocketAddr,
    admin_token: String,
    _part: Part,
}

impl Synapse {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let made = Command::new(tool("synapse/bin/generate_signing_key"))
            .arg("-o")
            .arg(path.join("signing.key"))
            .status()
            .expect("starts");
        assert!(made.success());
        std::fs::write(path.join("homeserver.yaml"), configuration(path).to_string()).unwrap();
        let arguments = ["-m", "synapse.app.homeserver", "-c", "homeserver.yaml"];
        let part = Part::start("synapse", folder, &tool("synapse/bin/python"), arguments, &[]);
        let address = part.address_after("Synapse now listening on TCP port ").await;
        Self { address, admin_token: register_admin(address).await, _part: part }
    }

    /// Where its API is, without a path.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The access token of an admin, `@admin:chat.test`.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// One request to its API.
    pub async fn ask(&self, method: &str, path: &str, token: Option<&str>, body: Value) -> Answer {
        call(self.address, method, path, token, &body).await
    }

    /// The user whose access token this is; `None` when it is no user's.
    pub async fn whoami(&self, token: &str) -> Option<String> {
        let answer = self.ask("GET", "/_matrix/client/v3/account/whoami", Some(token), Value::Null).await;
        match answer.status {
            200 => answer.json()["user_id"].as_str().map(str::to_owned),
            401 => None,
            _ => panic!("{answer:?}"),
        }
    }

    /// Makes a room as the owner of this access token and says something in it; gives the event's id.
    pub async fn create_room_and_send(&self, token: &str, text: &str) -> String {
        let room = self.ask("POST", "/_matrix/client/v3/createRoom", Some(token), json!({})).await.json();
        let room = room["room_id"].as_str().unwrap_or_else(|| panic!("{room}")).replace('!', "%21");
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/1");
        let sent = self.ask("PUT", &path, Some(token), json!({"msgtype": "m.text", "body": text})).await.json();
        sent["event_id"].as_str().unwrap_or_else(|| panic!("{sent}")).to_owned()
    }

    /// What it answers to a login with this token.
    pub async fn login(&self, jwt: &str) -> Answer {
        let order = json!({"type": "org.matrix.login.jwt", "token": jwt});
        self.ask("POST", "/_matrix/client/v3/login", None, order).await
    }
}

/// Every YAML reader takes JSON. It asks no other server for anything, and does not count logins.
fn configuration(folder: &Path) -> Value {
    let unlimited = json!({"per_second": 1000, "burst_count": 1000});
    json!({
        "server_name": SERVER_NAME,
        "signing_key_path": folder.join("signing.key"),
        "media_store_path": folder.join("media"),
        "macaroon_secret_key": "signs what this server alone reads",
        "registration_shared_secret": REGISTRATION_SECRET,
        "report_stats": false,
        "trusted_key_servers": [],
        "federation_domain_whitelist": [],
        "database": {"name": "sqlite3", "args": {"database": folder.join("database")}},
        "listeners": [{
            "port": 0, "bind_addresses": ["127.0.0.1"], "type": "http", "resources": [{"names": ["client"]}],
        }],
        "jwt_config": {
            "enabled": true, "secret": JWT_SECRET, "algorithm": "HS256", "subject_claim": "sub",
            "issuer": JWT_ISSUER, "audiences": [JWT_AUDIENCE],
        },
        "rc_login": {"address": unlimited, "account": unlimited, "failed_attempts": unlimited},
    })
}

/// Registers an admin by the shared secret, as Synapse's own script does; gives the access token.
async fn register_admin(address: SocketAddr) -> String {
    const PATH: &str = "/_synapse/admin/v1/register";
    let nonce = call(address, "GET", PATH, None, &Value::Null).await.json()["nonce"].as_str().unwrap().to_owned();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, REGISTRATION_SECRET.as_bytes());
    let signature = hmac::sign(&key, format!("{nonce}\0admin\0unused\0admin").as_bytes());
    let mac = signature.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let order = json!({"nonce": nonce, "username": "admin", "password": "unused", "admin": true, "mac": mac});
    let admin = call(address, "POST", PATH, None, &order).await.json();
    admin["access_token"].as_str().unwrap_or_else(|| panic!("{admin}")).to_owned()
}

#[tokio::test]
async fn an_admin_makes_users_and_sessions_of_theirs() {
    let synapse = Synapse::start().await;
    let admin = Some(synapse.admin_token());
    assert_eq!(synapse.whoami(synapse.admin_token()).await.as_deref(), Some("@admin:chat.test"));
    assert_eq!(synapse.whoami("forged").await, None);
    let path = "/_synapse/admin/v1/users/@alice:chat.test/login";
    let missing = synapse.ask("POST", path, admin, json!({})).await;
    assert_eq!((missing.status, &missing.json()["errcode"]), (404, &json!("M_NOT_FOUND")));
    let user = json!({"displayname": "Alice"});
    let made = synapse.ask("PUT", "/_synapse/admin/v2/users/@alice:chat.test", admin, user).await;
    assert_eq!((made.status, &made.json()["displayname"]), (201, &json!("Alice")));
    let session = synapse.ask("POST", path, admin, json!({})).await.json();
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(synapse.whoami(token).await.as_deref(), Some("@alice:chat.test"));
    assert!(synapse.create_room_and_send(token, "hello").await.starts_with('$'));
    let refused = synapse.ask("POST", path, Some(token), json!({})).await;
    assert_eq!(refused.status, 403, "alice is no admin");
    assert!(synapse.base_url().starts_with("http://127.0.0.1:"));
}

#[tokio::test]
async fn a_login_token_is_judged_by_key_issuer_audience_and_time() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let synapse = Synapse::start().await;
    let token = |member: &str, value: Value, secret: &str| {
        let mut claims = json!({"sub": "bob", "iss": JWT_ISSUER, "aud": JWT_AUDIENCE, "exp": 4_000_000_000_u32});
        claims[member] = value;
        encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let session = synapse.login(&token("sub", json!("bob"), JWT_SECRET)).await.json();
    assert_eq!(session["user_id"], "@bob:chat.test", "{session}");
    for (member, value, secret) in [
        ("sub", json!("bob"), "fedcba9876543210fedcba9876543210"),
        ("iss", json!("nobody"), JWT_SECRET),
        ("aud", json!("mail.test"), JWT_SECRET),
        ("exp", json!(1_700_000_000), JWT_SECRET),
    ] {
        let refused = synapse.login(&token(member, value, secret)).await;
        assert_eq!((refused.status, &refused.json()["errcode"]), (403, &json!("M_FORBIDDEN")), "{member}");
    }
}
