//! The canary again, for every other way in which a definition uses a secret: a member of a body, Basic, a JWT for a call, a
//! MAC over a request, a MAC of `let`, and a part of a JSON document (T-33, T-34, T-36).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sidemint::config::Environment;
use sidemint::provider::{Alg, Order, Profile, generate};
use sidemint::trace::Origin;

use crate::canary::{Traces, assert_clean};
use crate::client::Answer;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{SESSION, Service, clock, config, draw_with};

const MEMBER: &str = "CANARYmember0123456789abcdef0123";
const BASIC: &str = "CANARYbasic0123456789abcdef01234";
const PROOF: &str = "CANARYproof0123456789abcdef01234";
const SIGNING: &str = "CANARYsigning0123456789abcdef012";
const SALT: &str = "CANARYsalt0123456789abcdef012345";

/// One call that is proven in four ways, and a token that a key in a service account signs.
const DEFINITIONS: [(&str, &str); 2] = [
    (
        "asked",
        "
name = \"asked\"
summary = \"a system with many proofs\"
settings.api_url = { about = \"its address\", kind = \"url\" }
settings.member = { about = \"a member\", secret = true }
settings.basic = { about = \"a password\", secret = true }
settings.proof = { about = \"a key of JWTs\", secret = true }
settings.signing = { about = \"a key of signatures\", secret = true }
settings.salt = { about = \"a key of values\", secret = true }
auth = [
    { member = \"secret\", secret = \"member\" },
    { basic = \"basic\", user = \"app\" },
    { jwt = { alg = \"HS256\", key = \"proof\", claims = { exp = \"{{ now.s + 60 }}\" } }, header = \"X-Proof\" },
    { signature = { hmac = \"sha256\", key = \"signing\", text = \"{{ request.method }}\\n{{ request.path }}\\n{{ request.body }}\", encode = \"hex\" }, header = \"X-Signature\" },
]
let.password = { hmac = \"sha256\", key = \"salt\", text = \"{{ user.id }}\", encode = \"hex\" }
lifetime = { default = \"1h\", margin = \"60s\", on_credential_change = \"drop\" }
user = { case = \"counts\" }
response = { api_url = \"https://chat.example\" }
[[token.steps]]
id = \"mint\"
post = \"{{ config.api_url }}/token\"
json = { password = \"{{ let.password }}\" }
token = \"/token\"
expires = { kind = \"requested\" }
",
    ),
    (
        "signed",
        "
name = \"signed\"
summary = \"a system with a service account\"
settings.account = { about = \"a service account\", secret = true }
settings.mail = { about = \"its address\", part_of = { secret = \"account\", json = \"/client_email\" } }
lifetime = { default = \"1h\", margin = \"60s\", on_credential_change = \"drop\" }
user = { case = \"counts\" }
response = { api_url = \"https://chat.example\" }
[token.jwt]
alg = \"EdDSA\"
key = { secret = \"account\", json = \"/private_key\" }
claims = { iss = \"{{ config.mail }}\", sub = \"{{ user.id }}\", exp = \"{{ exp.s }}\" }
",
    ),
];

/// Files with every secret; the account's key and what else it may not show.
struct Secrets {
    folder: tempfile::TempDir,
    /// Texts that are secret beside the words.
    derived: Vec<String>,
}

impl Secrets {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = generate(Alg::EdDsa).unwrap();
        let pem = key.expose_text().unwrap();
        let account = json!({
            "client_email": "signer@example.com", "private_key": pem, "private_key_id": "CANARYkeyid",
            "project_id": "CANARYproject",
        });
        for (name, text) in [
            ("member", MEMBER.to_owned()),
            ("basic", BASIC.to_owned()),
            ("proof", PROOF.to_owned()),
            ("signing", SIGNING.to_owned()),
            ("salt", SALT.to_owned()),
            ("account", account.to_string()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut derived = vec![STANDARD.encode(format!("app:{BASIC}")), pem.lines().nth(1).unwrap().to_owned()];
        for secret in [MEMBER, PROOF, SIGNING, SALT] {
            derived.extend([STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)]);
        }
        Self { folder, derived }
    }

    fn text(&self, fake: &Fake) -> String {
        let file = |name: &str| format!("{name}_file = \"{}\"\n", self.folder.path().join(name).display());
        let asked: String = ["member", "basic", "proof", "signing", "salt"].into_iter().map(file).collect();
        let text = format!(
            "[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"asked\"
[[routes]]\npath = \"/signed\"\nanswer = \"session\"\nprovider = \"signed\"
[providers.asked]\npreset = \"asked\"\nretries = 0\napi_url = \"{}\"\n{asked}
[providers.signed]\npreset = \"signed\"\n{}",
            fake.base_url(),
            file("account")
        );
        config(&text, &[])
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// No word, and nothing that is made of one.
    fn assert_kept(&self, what: &str, text: &str) {
        assert_clean(what, text);
        assert!(self.derived.iter().all(|own| !text.contains(own)), "{what} holds a secret");
    }

    fn assert_answer(&self, answer: &Answer) {
        self.assert_kept("an answer", &format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)));
    }
}

/// Takes a call that is proven in every way; others are told back what they sent.
fn honest(call: &Call) -> Script {
    let basic = format!("Basic {}", STANDARD.encode(format!("app:{BASIC}")));
    let proven = call.json["secret"] == MEMBER
        && call.header("authorization") == basic
        && call.header("x-proof").starts_with("Bearer ey")
        && call.header("x-signature").len() == 64
        && call.json["password"].as_str().is_some_and(|mac| mac.len() == 64);
    if proven { Script::json(200, &json!({ "token": "T" })) } else { echo(401, call) }
}

/// An answer that holds everything that was sent, as some frameworks do when they fail.
fn echo(status: u16, call: &Call) -> Script {
    let seen = format!("{:?} {}", call.headers, String::from_utf8_lossy(&call.body));
    Script::text(status, "text/plain", seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proof_is_found_where_it_does_not_belong() {
    let traces = Traces::capture();
    let (secrets, fake) = (Secrets::new(), Fake::start(honest).await);
    let service = Service::start_with(&secrets.text(&fake), &Environment::default(), clock(), &DEFINITIONS).await;
    for path in [SESSION, "/signed"] {
        let answer = service.ask("GET", path, &[("X-Forwarded-User", "alice")]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        secrets.assert_answer(&answer);
    }
    // Failures that tell back what was sent, and a redirect to elsewhere that would carry it.
    let sent = fake.calls().pop().unwrap();
    let location = |status| {
        let Script::Answer { mut headers, body, .. } = echo(status, &sent) else { panic!("an answer") };
        headers.push(("Location".to_owned(), format!("{}/elsewhere", fake.base_url())));
        Script::Answer { status, headers, body }
    };
    let token = Script::json(200, &json!({ "token": format!("{MEMBER} "), "x": BASIC }));
    for (n, script) in
        [echo(400, &sent), echo(401, &sent), echo(500, &sent), echo(200, &sent), location(307), token, Script::Reset]
            .into_iter()
            .enumerate()
    {
        fake.next("/token", script);
        let answer = service.session(&format!("user{n}")).await;
        assert_eq!(answer.status, 503, "{n}");
        secrets.assert_answer(&answer);
        service.advance(120);
    }
    assert!(fake.calls().iter().all(|call| call.path == "/token"), "no redirect was followed");
    // New secrets that cannot be used.
    let rejected = |provider: &str| format!("sidemint_credentials_rejected_total{{provider=\"{provider}\"}}");
    for (name, content, provider) in [
        ("proof", &b"CANARYshort"[..], "asked"),
        ("account", b"{\"private_key\":\"CANARY\",\"client_email\":\"CANARY\"}", "signed"),
    ] {
        secrets.write(name, content);
        service.nudge.now();
        service.metric_reaches(&rejected(provider), 1.0).await;
    }
    assert!(traces.text().contains("unusable"), "errors are captured");
    secrets.assert_kept("the log", &traces.text());
    service.log_lines(9).await;
    secrets.assert_kept("the request log", &service.log());
    for path in ["/metrics", "/readyz"] {
        secrets.assert_answer(&service.ops(path).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_errors_and_explanations_show_no_proof() {
    let (secrets, fake) = (Secrets::new(), Fake::start(honest).await);
    let (environment, clock) = (Environment::default(), clock());
    let blueprint = draw_with(&secrets.text(&fake), &environment, Arc::clone(&clock), &DEFINITIONS).unwrap();
    secrets.assert_kept("Blueprint", &format!("{blueprint:?} {blueprint} {:?}", blueprint.config()));
    let profile = Profile { subject: "alice", ..Profile::default() };
    let order =
        Order { profile, inputs: vec![], ttl: Duration::from_secs(3600), is_known: false, origin: Origin::default() };
    for plan in blueprint.plans() {
        let explained = plan.provider.explain(&order).unwrap();
        assert!(explained.to_string().contains("alice"), "{explained}");
        secrets.assert_kept("an explanation", &format!("{explained} {explained:?} {:?}", plan.provider));
    }
    fake.next("/token", echo(400, &blank()));
    let error = blueprint.plans()[0].provider.mint(&order).await.expect_err("refused");
    secrets.assert_kept("an error", &format!("{error} {error:?}"));
    let minted = blueprint.plans()[0].provider.mint(&order).await.unwrap();
    secrets.assert_kept("Minted", &format!("{minted:?}"));
}

/// A call that holds a secret.
fn blank() -> Call {
    let (method, path, query) = ("POST".to_owned(), "/token".to_owned(), String::new());
    Call { method, path, query, headers: [("x".to_owned(), MEMBER.to_owned())].into(), body: vec![], json: json!(null) }
}

/// Secrets that cannot be used are told by name, not by content; nor is one that stands where a path should.
#[tokio::test(flavor = "multi_thread")]
async fn messages_about_unusable_secrets_do_not_repeat_them() {
    let fake = Fake::start(honest).await;
    let private = "-----BEGIN PRIVATE KEY-----\\nCANARY\\n-----END PRIVATE KEY-----\\n";
    for (name, content) in [
        ("member", b"CANARY\xff".to_vec()),
        ("basic", b"CANARY\xff".to_vec()),
        ("proof", b"CANARYshort".to_vec()),
        ("signing", b"CANARYshort".to_vec()),
        ("salt", b"CANARYshort".to_vec()),
        ("account", b"CANARY, which is not JSON".to_vec()),
        ("account", b"{\"private_key\": 1, \"client_email\": \"CANARY\"}".to_vec()),
        ("account", format!("{{\"private_key\": \"{private}\", \"client_email\": \"CANARY\"}}").into_bytes()),
        ("account", format!("{{\"private_key\": \"{private}\"}}").into_bytes()),
    ] {
        let secrets = Secrets::new();
        secrets.write(name, &content);
        let outcome = draw_with(&secrets.text(&fake), &Environment::default(), clock(), &DEFINITIONS);
        let errors = outcome.expect_err(name);
        assert!(errors.to_string().contains(name), "{name}: {errors}");
        secrets.assert_kept("a message", &format!("{errors} {errors:?}"));
    }
    let secrets = Secrets::new();
    let path = |name: &str| secrets.folder.path().join(name).display().to_string();
    for name in ["member", "basic", "proof", "account"] {
        let secret = std::fs::read_to_string(Path::new(&path(name))).unwrap();
        let text = secrets.text(&fake).replace(&format!("\"{}\"", path(name)), &toml::Value::from(secret).to_string());
        let errors = draw_with(&text, &Environment::default(), clock(), &DEFINITIONS).expect_err(name);
        secrets.assert_kept("a message", &format!("{errors} {errors:?}"));
    }
}
