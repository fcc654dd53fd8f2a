//! Files that hold nothing up: what is no regular file is refused at once, and what changes beside a file is no news.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sidemint::config::Environment;

use crate::cli::{bad, file};
use crate::fakes::sendsar::{API_KEY, Sendsar};
use crate::harness::{LOCAL, Service, clock, config, draw, sendsar};
use crate::pki::{Authority, Mount};

const REJECTED: &str = "sidemint_credentials_rejected_total{provider=\"chat\"}";
const GENERATION: &str = "sidemint_credentials_generation{provider=\"chat\"}";

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

/// A source of signed tokens whose keys are told by `keys`.
fn source(keys: &str) -> String {
    let algorithm = if keys.contains("secret_file") { "HS256" } else { "EdDSA" };
    format!(
        "{{ kind = \"jwt\", jwt = {{ header = \"Authorization\", algorithms = [\"{algorithm}\"], issuer = \"https://issuer.example\", \
         audience = \"chat\" }}, keys = {{ {keys} }} }}"
    )
}

/// T-62: a pipe would be waited for until a program writes. Every key that names a file says so instead.
#[test]
fn what_is_no_regular_file_is_a_mistake_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    make_pipe(&path("pipe"));
    std::fs::create_dir(path("keys")).unwrap();
    make_pipe(&path("keys/a.pem"));
    let pair = Authority::new().server();
    let good = Mount::of_pair(&pair, "");
    let (certificate, key) = (good.toml("tls.crt"), good.toml("tls.key"));
    let pipe = format!("\"{}\"", path("pipe").display());
    let (list, keys) = (format!("[{pipe}]"), format!("\"{}\"", path("keys").display()));
    let url = "url = \"https://issuer.example/keys\"";
    let corp = |keys: String| source(&keys);
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("providers.chat.key: ", &[("providers.chat.key_file", &pipe)]),
        ("providers.chat.user_key: ", &[("providers.chat.user_key_file", &pipe)]),
        ("providers.chat.key: ", &[("providers.chat.key_dir", &keys)]),
        ("identity.users.deny_file: ", &[("identity.users.deny_file", &pipe)]),
        ("identity.peers.secret_files[0]: ", &[("identity.peers.secret_files", &list)]),
        ("identity.peers.hmac_key_files[0]: ", &[("identity.peers.hmac_key_files", &list)]),
        ("server.tls.cert_file: ", &[("server.tls.cert_file", &pipe), ("server.tls.key_file", &key)]),
        ("server.tls.key_file: ", &[("server.tls.cert_file", &certificate), ("server.tls.key_file", &pipe)]),
        (
            "server.tls.client_ca_file: ",
            &[
                ("server.tls.cert_file", &certificate),
                ("server.tls.key_file", &key),
                ("server.tls.client_ca_file", &pipe),
            ],
        ),
        ("identity.sources.corp.keys.file: ", &[("identity.sources.corp", &corp(format!("file = {pipe}")))]),
        (
            "identity.sources.corp.keys.secret_file: ",
            &[("identity.sources.corp", &corp(format!("secret_file = {pipe}")))],
        ),
        (
            "identity.sources.corp.keys.ca_file: ",
            &[("identity.sources.corp", &corp(format!("{url}, ca_file = {pipe}")))],
        ),
        (
            "identity.sources.corp.keys.bearer_file: ",
            &[("identity.sources.corp", &corp(format!("{url}, bearer_file = {pipe}")))],
        ),
    ];
    for (place, overrides) in cases {
        let all = if place.contains("corp") {
            [&[("identity.source", "\"corp\"")], *overrides].concat()
        } else {
            overrides.to_vec()
        };
        let said = draw(&config(LOCAL, &all), &Environment::default(), clock()).expect_err(place).to_string();
        assert!(
            said.contains(place) && said.contains("/pipe is not a regular file") || said.contains("/a.pem is not"),
            "{said}"
        );
    }
    let by_variable = Environment::of([("SENDSAR_API_KEY_FILE", path("pipe").to_str().unwrap())]);
    let text = "[[routes]]\npath = \"/s\"\nanswer = \"session\"\nprovider = \"chat\"\n[providers.chat]\npreset = \"sendsar\"\n";
    let said = draw(&config(text, &[]), &by_variable, clock()).expect_err("refused").to_string();
    assert!(said.contains("/pipe is not a regular file"), "{said}");
    let pipe = path("pipe").display().to_string();
    assert!(bad(2, &["check", "--config", &pipe], &[]).contains("/pipe: is not a regular file"));
    std::fs::rename(path("pipe"), path("keys/own.toml")).unwrap();
    let definitions = path("keys").display().to_string();
    assert!(bad(2, &["check", "--definitions", &definitions], &[]).contains("/own.toml: is not a regular file"));
}

async fn sendsar_with(folder: &Path, overrides: &[(&str, &str)]) -> (Service, Sendsar) {
    let clock = clock();
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let key = file(folder, "api-key", API_KEY);
    let text = config(&sendsar(&fake, &format!("retries = 0\napi_key_file = \"{key}\"")), overrides);
    (Service::start(&text, &Environment::default(), clock).await, fake)
}

/// A pipe in the place of a file is refused and counted; sessions, new ones too, are made with what was there.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_the_place_of_a_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let denied = file(folder.path(), "denied", "mallory");
    let quoted = format!("\"{denied}\"");
    let (service, _fake) = sendsar_with(folder.path(), &[("identity.users.deny_file", &quoted)]).await;
    for name in ["api-key", "denied"] {
        let pipe = folder.path().join("pipe");
        make_pipe(&pipe);
        std::fs::rename(&pipe, folder.path().join(name)).unwrap();
    }
    service.nudge.now();
    service.metric_reaches(REJECTED, 1.0).await;
    service.metric_reaches("sidemint_deny_list_rejected_total", 1.0).await;
    assert_eq!(service.session("alice").await.status, 200);
    assert_eq!(service.session("mallory").await.status, 403);
    assert_eq!(service.ops("/livez").await.status, 200);
    std::fs::remove_file(folder.path().join("denied")).unwrap();
    file(folder.path(), "denied", "mallory\nbob\n");
    service.metric_reaches("sidemint_denied_users", 2.0).await;
}

/// What is refused is told and counted once for each new content, however often something changes beside it.
#[tokio::test(flavor = "multi_thread")]
async fn changes_beside_a_file_are_no_news() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Authority::new().server();
    let at = |name: &str, text: &str| format!("\"{}\"", file(folder.path(), name, text));
    let (certificate, key) = (at("tls.crt", &pair.certificate), at("tls.key", &pair.key));
    let secrets = format!("[{}]", at("secret", "0123456789abcdef"));
    let keys = source(&format!("secret_file = {}", at("shared", &"k".repeat(32))));
    let overrides = [
        ("server.tls.cert_file", certificate.as_str()),
        ("server.tls.key_file", &key),
        ("identity.peers.secret_files", &secrets),
        ("identity.sources.corp", &keys),
        ("identity.source", "\"corp\""),
        ("identity.users.deny_file", &at("denied", "user-0")),
    ];
    let (service, _fake) = sendsar_with(folder.path(), &overrides).await;
    let counters = [
        REJECTED,
        "sidemint_tls_rejected_total{listener=\"server\"}",
        "sidemint_peer_secrets_rejected_total",
        "sidemint_key_set_fetches_total{outcome=\"file\",source=\"corp\"}",
    ];
    let spoil = |content: &str| {
        for name in ["api-key", "tls.crt", "secret", "shared"] {
            file(folder.path(), name, content);
        }
    };
    let mut users = 1_u32;
    for (times, content) in [(1.0, "é"), (2.0, "è")] {
        spoil(content);
        for counter in counters {
            service.metric_reaches(counter, times).await;
        }
        for _ in 0..5 {
            // A look has ended when the list of denied users is a new one, which comes last.
            users += 1;
            file(folder.path(), "neighbour.log", &format!("line {users}"));
            file(folder.path(), "denied", &(0..users).map(|n| format!("user-{n}")).collect::<Vec<_>>().join("\n"));
            service.metric_reaches("sidemint_denied_users", f64::from(users)).await;
        }
        for counter in counters {
            let counted = service.metric(counter).await;
            assert!((counted - times).abs() < 0.1, "{counter} is {counted}, not {times}");
        }
    }
    file(folder.path(), "denied", "\n");
    let refused = "sidemint_deny_list_rejected_total";
    service.metric_reaches(refused, 1.0).await;
    let key_of = |n: usize| format!("sk_live_{n:048x}");
    for n in 0..3 {
        file(folder.path(), "api-key", &key_of(n));
        service.metric_reaches(GENERATION, f64::from(u8::try_from(n).unwrap() + 2)).await;
    }
    assert!((service.metric(refused).await - 1.0).abs() < 0.1);
}
