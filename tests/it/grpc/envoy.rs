//! A real Envoy with the documented configuration: only addresses, paths and its patience are replaced.

use std::net::SocketAddr;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::start_with;
use crate::client::{Answer, Connection};
use crate::fakes::http::{Script, listen, read_call};
use crate::fakes::sendsar::subject_of;
use crate::harness::Service;
use crate::judge::tool;
use crate::parts::Part;
use crate::parts::proxies::{moved, own_address};

const DOCUMENT: &str = include_str!("../../../docs/proxies/envoy-grpc.yaml");
const PAGE: &str = include_str!("../../../docs/proxies/envoy.md");

/// A login that signs.
struct Login(EcdsaKeyPair);

impl Login {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwks(&self) -> String {
        let [x, y] = [1..33, 33..65].map(|part| URL_SAFE_NO_PAD.encode(&self.0.public_key().as_ref()[part]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1", "x": x, "y": y }] }).to_string()
    }

    /// `Authorization` of a user until 2100: Envoy goes by the time of the day.
    fn token(&self, user: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "iss": "https://idp.example.com/", "aud": "app", "sub": user, "exp": 4_102_444_800_u64 });
        let signed = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": "1" })), part(&claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// An application that answers with the headers that it was sent.
async fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listen(listener, |mut stream| async move {
        let mut buffer = Vec::new();
        while let Ok(Some(call)) = read_call(&mut stream, &mut buffer).await {
            Script::json(200, &json!(call.headers)).play(&mut stream).await?;
        }
        Ok(())
    }));
    address
}

struct Envoy {
    address: SocketAddr,
    part: Part,
}

impl Envoy {
    async fn start(service: &Service, login: &Login) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        let Some(sidemint::config::Listen::Tcp(grpc)) = service.grpc else { panic!("gRPC on TCP") };
        let mut text = moved(DOCUMENT, &[(8000, address), (9001, grpc), (3000, app().await)]);
        text = text.replace("/etc/envoy/", &format!("{}/", folder.path().display()));
        // Machines that run everything at once are slower than 200 ms.
        assert_eq!(text.matches("timeout: 0.2s").count(), 1);
        text = text.replace("timeout: 0.2s", "timeout: 60s");
        std::fs::write(folder.path().join("envoy.yaml"), text).unwrap();
        std::fs::write(folder.path().join("jwks.json"), login.jwks()).unwrap();
        let arguments = ["-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "error"];
        let part = Part::start("envoy", folder, &tool("venv/bin/envoy"), arguments, &[]);
        let envoy = Self { address, part };
        envoy.part.listens(address).await;
        envoy
    }

    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        Connection::open(self.address).await.ask("GET", path, headers).await
    }
}

/// T-01, T-05: what Envoy verified is who the user is, what sidemint says of chat reaches the application, and what a
/// client writes of either is passed on to none.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_asks_and_heeds_the_answer() {
    assert!(PAGE.contains(&format!("\n{DOCUMENT}```\n")), "the page prints the file that is tested");
    let identity = [
        ("identity.source", "\"envoy-metadata\""),
        ("identity.sources.envoy-metadata", "{ issuer = \"https://idp.example.com/\" }"),
    ];
    let (service, fake) = start_with(&identity).await;
    let login = Login::new();
    let envoy = Envoy::start(&service, &login).await;
    let alice = login.token(&json!("alice"));
    let forged = [
        ("X-Chat-Token", "forged"),
        ("X-Chat-Display-Name", "forged"),
        ("X.Chat.User.Id", "mallory"),
        ("X-Forwarded-User", "mallory"),
        ("sidemint.route", "/auth"),
    ];
    // A user whom Envoy knows, on either route.
    for path in ["/", "/members/a?b=c"] {
        let answer = envoy.ask(path, &[&forged[..], &[("Authorization", &alice)]].concat()).await;
        assert_eq!(answer.status, 200, "{answer:?}\n{}", service.log());
        let seen = answer.json();
        assert_eq!(subject_of(seen["x-chat-token"].as_str().unwrap()), "alice");
        assert_eq!((&seen["x-chat-user-id"], &seen["x-chat-status"]), (&json!("alice"), &json!("ok")));
        // Who has no name is shown by the id. Nothing forged is left, under no spelling.
        assert_eq!((&seen["x-chat-display-name"], &seen["x.chat.user.id"]), (&json!("alice"), &Value::Null), "{seen}");
    }
    // Digits in a text stay a text, beyond what a double can hold as well. A number is no subject, and Envoy refuses it.
    for digits in ["42", "9007199254740993"] {
        let answer = envoy.ask("/", &[("Authorization", &login.token(&json!(digits)))]).await;
        assert_eq!(answer.json()["x-chat-user-id"], digits);
    }
    for number in [42, 9_007_199_254_740_993_u64] {
        let answer = envoy.ask("/", &[("Authorization", &login.token(&json!(number)))]).await;
        assert_eq!(answer.status, 401, "{number}: {answer:?}");
    }
    // A visitor, and what is no token.
    let visitor = envoy.ask("/", &forged).await;
    let seen = visitor.json();
    assert_eq!((visitor.status, &seen["x-chat-status"]), (200, &json!("anonymous")));
    assert!(
        ["x-chat-token", "x-chat-user-id", "x-chat-display-name"].iter().all(|name| seen[name].is_null()),
        "{seen}"
    );
    let refused = envoy.ask("/members/", &forged).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(refused.body.len(), 0);
    assert!(!refused.headers.iter().any(|(name, _)| name.starts_with("x-chat")), "{refused:?}");
    // The guard holds under every spelling that an application may take for this path.
    for path in [
        "/members",
        "/members?a=b",
        "//members/x",
        "/members//x",
        "/members%2Fx",
        "/members%2fx",
        "/members%5Cx",
        "/members\\x",
        "/%2Fmembers/x",
        "/./members/x",
        "/x/../members/x",
        "/x/%2e%2e/members/x",
        "/%6dembers/x",
    ] {
        let answer = envoy.ask(path, &forged).await;
        // The spelling that this leads to is guarded as well.
        let path = if answer.status == 307 { answer.header("location").unwrap() } else { path };
        let last = envoy.ask(path, &forged).await;
        assert_eq!(last.status, 401, "{path}: {answer:?}, {last:?}");
    }
    let other = Login::new().token(&json!("alice"));
    assert_eq!(envoy.ask("/", &[("Authorization", &other)]).await.status, 401, "Envoy verifies");
    // Our failure is the operator's failure mode: status_on_error, or a pass without a session.
    fake.breaks(Some(Script::json(503, &json!({}))));
    let carol = login.token(&json!("carol"));
    assert_eq!(envoy.ask("/members/", &[("Authorization", &carol)]).await.status, 503);
    let passed = envoy.ask("/", &[("Authorization", &carol)]).await;
    assert_eq!((passed.status, &passed.json()["x-chat-status"]), (200, &json!("unavailable")));
    service.stop().await;
    assert_eq!(envoy.ask("/", &[("Authorization", &alice)]).await.status, 503, "no request passes unasked");
}
