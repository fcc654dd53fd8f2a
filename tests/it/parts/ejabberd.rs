//! An ejabberd whose users log in with tokens alone, and whose HTTP API tells whether it would take one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{Part, call};

/// The domain of its users.
pub const HOST: &str = "chat.test";
/// What the tokens are signed with, as HS256.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The claim with the full user id.
pub const CLAIM: &str = "jid";

/// A running server.
pub struct Ejabberd {
    address: SocketAddr,
    part: Part,
}

impl Ejabberd {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let key = json!({"kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET)});
        std::fs::write(path.join("key.jwk"), key.to_string()).unwrap();
        std::fs::write(path.join("ejabberd.yml"), configuration(path)).unwrap();
        let (settings, log) = (path.join("ejabberd.yml"), path.join("ejabberd.log"));
        let (database, dump) = (format!("\"{}\"", path.join("database").display()), path.join("crash"));
        let libraries = libraries();
        let environment = [
            ("ERL_LIBS", libraries.as_path()),
            ("EJABBERD_CONFIG_PATH", &settings),
            ("EJABBERD_LOG_PATH", &log),
            ("ERL_CRASH_DUMP", &dump),
        ];
        // Without the control script: that one changes the user, and makes a node with a name, for which a port mapper
        // starts that outlives it. A node without a name does all that is needed here.
        let arguments = ["-noinput", "-mnesia", "dir", &database, "-s", "ejabberd"];
        let part = Part::start("ejabberd", folder, Path::new("erl"), arguments, &environment);
        let address = part.address_after("Start accepting TCP connections at 127.0.0.1:").await;
        Self { address, part }
    }

    /// The file with the signing key, as a JSON Web Key.
    pub fn key_file(&self) -> PathBuf {
        self.part.path("key.jwk")
    }

    /// Where its API is, without a path.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The password of `admin`, who may call what the gateway's tests call: a token, as of every user.
    pub fn admin_password() -> String {
        token(&format!("admin@{HOST}"), 4_000_000_000, SECRET)
    }

    /// Whether `user` (without the domain) gets in with this token.
    pub async fn check_password(&self, user: &str, token: &str) -> bool {
        let order = json!({"user": user, "host": HOST, "password": token});
        let answer = call(self.address, "POST", "/api/check_password", None, &order).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        match answer.text() {
            "0" => true,
            "1" => false,
            other => panic!("{other}"),
        }
    }
}

/// One domain, one listener, tokens as the only way in. Anyone may ask the API about a password: it is on loopback, in a test.
fn configuration(folder: &Path) -> String {
    format!(
        "hosts: [{HOST}]\nloglevel: info\nauth_method: [jwt]\njwt_key: \"{}/key.jwk\"\njwt_jid_field: {CLAIM}\n\
         certfiles: []\nmodules: {{ mod_admin_extra: {{}}, mod_muc: {{}}, mod_muc_admin: {{}} }}\n\
         acl: {{ admin: {{ user: [admin@{HOST}] }} }}\n\
         api_permissions: {{ tests: {{ who: all, what: [check_password] }}, \
         admin: {{ who: {{ access: {{ allow: {{ acl: admin }} }} }}, what: \"*\" }} }}\n\
         listen: [{{ port: 0, ip: \"127.0.0.1\", module: ejabberd_http, request_handlers: {{ /api: mod_http_api }} }}]\n",
        folder.display()
    )
}

/// Where Debian keeps the Erlang libraries of ejabberd: a folder named after the machine's architecture.
fn libraries() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let holds_it = |folder: &PathBuf| {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_string_lossy().starts_with("ejabberd-"))
    };
    folders.into_iter().find(holds_it).expect("ejabberd is not installed: run tests/install-parts")
}

fn token(jid: &str, expires: i64, secret: &str) -> String {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let claims = json!({CLAIM: jid, "exp": expires});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[tokio::test]
async fn it_takes_the_right_token_and_no_other() {
    let ejabberd = Ejabberd::start().await;
    let good = token("alice@chat.test", 4_000_000_000, SECRET);
    assert!(ejabberd.check_password("alice", &good).await);
    for (why, user, token) in [
        ("of another user", "bob", good),
        ("of another domain", "alice", token("alice@mail.test", 4_000_000_000, SECRET)),
        ("of the past", "alice", token("alice@chat.test", 1_700_000_000, SECRET)),
        ("of another key", "alice", token("alice@chat.test", 4_000_000_000, "fedcba9876543210fedcba9876543210")),
        ("no token", "alice", "secret".to_owned()),
    ] {
        assert!(!ejabberd.check_password(user, &token).await, "{why}");
    }
    let key = std::fs::read_to_string(ejabberd.key_file()).unwrap();
    assert!(key.contains(&URL_SAFE_NO_PAD.encode(SECRET)));
}
