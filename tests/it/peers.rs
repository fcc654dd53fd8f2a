//! Who may tell identity: peers, and no other client.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use sidemint::config::{Environment, Listen};
use tokio::net::UnixStream;

use crate::client::{Answer, Connection, request};
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
/// A network that no test comes from.
const FOREIGN: (&str, &str) = ("identity.peers.networks", "[\"192.0.2.0/24\"]");

async fn local_with(overrides: &[(&str, &str)]) -> Service {
    Service::start(&config(LOCAL, overrides), &Environment::default(), clock()).await
}

async fn refusals(service: &Service, reason: &str) -> f64 {
    service.metric(&format!("sidemint_identity_refusals_total{{reason=\"{reason}\"}}")).await
}

/// The codes of what readiness objects to.
async fn objections(service: &Service) -> (u16, Vec<String>) {
    let answer = service.ops("/readyz").await;
    let json = answer.json();
    let codes = json["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap().to_owned());
    (answer.status, codes.collect())
}

/// T-01: the client reaches the sidecar directly.
#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_foreign_peer_are_nothing() {
    for source in ["plain", "oauth2-proxy", "authelia"] {
        let source = format!("\"{source}\"");
        let (service, fake) = Service::sendsar_with("", &[FOREIGN, ("identity.source", &source)]).await;
        for name in [
            "X-Forwarded-User",
            "X-Forwarded-Name",
            "X-Forwarded-Email",
            "X-Forwarded-Groups",
            "X-Forwarded-Preferred-Username",
            "X-Auth-Request-User",
            "Remote-User",
            "Remote-Name",
            "Remote-Email",
            "Remote-Groups",
            "Remote_User",
            "X.Forwarded.User",
        ] {
            for (method, path) in [("GET", SESSION), ("POST", SESSION), ("DELETE", SESSION)] {
                let answer = service.ask(method, path, &[(name, "alice@example.org")]).await;
                assert_eq!((answer.status, answer.code().as_str()), (403, "peer_untrusted"), "{method} {name}");
            }
            for path in ["/auth", "/guard"] {
                assert_eq!(service.ask("GET", path, &[(name, "alice@example.org")]).await.status, 403, "{path} {name}");
            }
        }
        assert!(fake.calls().is_empty(), "{source}: no call");
        assert!((refusals(&service, "peer_untrusted").await - 60.0).abs() < 0.1);
        assert_eq!(objections(&service).await, (200, vec![]), "others may tell identity");
    }
}

/// T-11: only the other end of the connection counts.
#[tokio::test(flavor = "multi_thread")]
async fn forwarded_addresses_influence_nothing() {
    let (foreign, trusted) = (local_with(&[FOREIGN]).await, Service::local().await);
    let many = vec!["192.0.2.1"; 1000].join(", ");
    for header in [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1, 127.0.0.1"),
        ("X-Forwarded-For", &many),
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-For", "::ffff:192.0.2.1, [2001:db8::1]:80, \u{1f600}"),
        ("X-Real-IP", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1;by=192.0.2.1;host=x"),
        ("X-Envoy-External-Address", "192.0.2.1"),
        ("CF-Connecting-IP", "192.0.2.1"),
        ("True-Client-IP", "192.0.2.1"),
        ("X-Client-IP", "192.0.2.1"),
        ("X-Forwarded-Host", "127.0.0.1"),
        ("Host", "127.0.0.1"),
        ("Via", "1.1 192.0.2.1"),
    ] {
        assert_eq!(foreign.ask("GET", SESSION, &[ALICE, header]).await.code(), "peer_untrusted", "{header:?}");
        assert_eq!(trusted.ask("GET", SESSION, &[ALICE, header]).await.status, 200, "{header:?}");
    }
}

/// T-02: nothing is trusted by default.
#[tokio::test(flavor = "multi_thread")]
async fn without_source_and_peers_no_user_is_believed_and_readiness_says_so() {
    let listen = "[server]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n";
    for (identity, missing) in [
        ("", vec!["no_identity_source", "no_peer_proof"]),
        ("[identity]\nsource = \"plain\"\n", vec!["no_peer_proof"]),
        ("[identity.peers]\nnetworks = [\"127.0.0.0/8\"]\n", vec!["no_identity_source"]),
        // A uid is no proof on TCP.
        ("[identity]\nsource = \"plain\"\n[identity.peers]\nunix_uids = [0, 1000]\n", vec!["no_peer_proof"]),
    ] {
        let text = format!("{listen}{identity}{LOCAL}");
        let service = Service::start(&text, &Environment::default(), clock()).await;
        assert_eq!(objections(&service).await, (503, missing.into_iter().map(str::to_owned).collect()), "{identity}");
        assert_eq!(service.ops("/livez").await.status, 200);
        for headers in [&[ALICE][..], &[], &[("Remote-User", "alice")]] {
            for method in ["GET", "POST", "DELETE"] {
                assert_eq!(service.ask(method, SESSION, headers).await.code(), "peer_untrusted", "{identity}");
            }
            assert_eq!(service.ask("GET", "/auth", headers).await.status, 403, "{identity}");
        }
        assert_eq!(service.ask("GET", "/.well-known/jwks.json", &[]).await.status, 200, "public keys are public");
    }
}

/// T-02 and T-10.
#[test]
fn networks_that_hold_every_address_or_fool_a_check_are_refused_at_load() {
    for network in [
        "*",
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/1",
        "8000::/1",
        "::ffff:10.0.0.0/104",
        "::ffff:0:0/96",
        "::ffff:10.0.0.1",
        "10.0.0.1/8",
        "fd00::1/8",
        "010.0.0.0/8",
        "10.0.0.0/08",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0/24",
        "fe80::1%eth0/64",
        "localhost",
        "loopback",
        "",
    ] {
        let text = config(LOCAL, &[("identity.peers.networks", &format!("[\"10.1.0.0/16\", \"{network}\"]"))]);
        let errors = draw(&text, &Environment::default(), clock()).expect_err(network).to_string();
        assert!(errors.contains("identity.peers.networks"), "{network}: {errors}");
        assert!(errors.contains(&format!("\"{network}\"")), "names the culprit: {errors}");
    }
}

/// T-02: an operator who wants it has to say so, and is reminded for ever.
#[tokio::test(flavor = "multi_thread")]
async fn every_peer_is_believed_only_under_a_name_that_says_insecure() {
    let every_address = [
        ("identity.peers.networks", "[\"0.0.0.0/0\", \"::/0\"]"),
        ("identity.peers.insecure_trust_every_peer", "true"),
    ];
    let service = local_with(&every_address).await;
    assert_eq!(service.session("alice").await.status, 200);
    assert!((service.metric("sidemint_insecure_peers").await - 1.0).abs() < 0.1);
    assert!(Service::local().await.metric("sidemint_insecure_peers").await.abs() < 0.1);
    // The flag opens nothing by itself, and makes no other spelling right.
    let only_flag = local_with(&[every_address[1], FOREIGN]).await;
    assert_eq!(only_flag.session("alice").await.status, 403);
    let mapped = config(LOCAL, &[every_address[1], ("identity.peers.networks", "[\"::ffff:0:0/96\"]")]);
    assert!(draw(&mapped, &Environment::default(), clock()).is_err());
}

// Unix sockets: the kernel says who is there.

/// A service on a unix socket that believes these user ids.
async fn on_unix_socket(folder: &tempfile::TempDir, uids: &[u32], more: &[(&str, &str)]) -> Service {
    let listen = format!("\"unix:{}\"", folder.path().join("front.sock").display());
    let uids = format!("{uids:?}");
    let own = [("server.listen", listen.as_str()), ("identity.peers.unix_uids", &uids)];
    local_with(&[&own[..], more].concat()).await
}

async fn ask_there(service: &Service, path: &str) -> Answer {
    let Listen::Unix(socket) = &service.front else { panic!("on a unix socket") };
    let stream = UnixStream::connect(socket).await.expect("connects");
    Connection::over(stream).ask("GET", path, &[ALICE]).await
}

fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_peer_is_believed_by_its_user_id() {
    let folder = tempfile::tempdir().unwrap();
    let service = on_unix_socket(&folder, &[4_000_000, own_uid()], &[("server.unix_mode", "\"0600\"")]).await;
    let answer = ask_there(&service, SESSION).await;
    assert_eq!((answer.status, answer.json()["chatUserId"].as_str()), (200, Some("alice")));
    assert_eq!(ask_there(&service, "/auth").await.header("x-chat-status"), Some("ok"));
    assert_eq!(objections(&service).await, (200, vec![]));
    let file = std::fs::metadata(folder.path().join("front.sock")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_peer_with_another_user_id_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    // A network, even one that holds every address, is no proof on a unix socket.
    let every_address = [
        ("identity.peers.networks", "[\"0.0.0.0/0\", \"::/0\"]"),
        ("identity.peers.insecure_trust_every_peer", "true"),
    ];
    let service = on_unix_socket(&folder, &[own_uid() + 1], &every_address).await;
    assert_eq!(ask_there(&service, SESSION).await.code(), "peer_untrusted");
    assert_eq!(ask_there(&service, "/auth").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_without_user_ids_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let service = on_unix_socket(&folder, &[], &[]).await;
    assert_eq!(objections(&service).await, (503, vec!["no_peer_proof".to_owned()]));
    assert_eq!(ask_there(&service, SESSION).await.code(), "peer_untrusted");
}

// Presets through the front door.

#[tokio::test(flavor = "multi_thread")]
async fn oauth2_proxy_is_understood() {
    let service = local_with(&[("identity.source", "\"oauth2-proxy\"")]).await;
    let headers = [
        ("X-Forwarded-User", "auth0|5f7c"),
        ("X-Forwarded-Preferred-Username", "Alice Doe"),
        ("X-Forwarded-Email", "alice@example.org"),
        ("X-Forwarded-Groups", "staff,admins"),
    ];
    let session = service.ask("GET", SESSION, &headers).await.json();
    assert_eq!(
        (session["chatUserId"].as_str(), session["displayName"].as_str()),
        (Some("auth0|5f7c"), Some("Alice Doe"))
    );
    // «Prefer email»: the address is the subject, and the other headers are left out.
    let session = service.ask("GET", SESSION, &[("X-Forwarded-User", "alice@example.org")]).await.json();
    assert_eq!(session["chatUserId"], "alice@example.org");
    // Headers of other presets are not its headers.
    for name in ["Remote-User", "X-Auth-Request-User", "X-Forwarded-Name"] {
        assert_eq!(service.ask("GET", SESSION, &[(name, "alice")]).await.status, 401, "{name}");
    }
    assert_eq!(service.ask("GET", SESSION, &headers[1..]).await.status, 401, "no subject");
}

#[tokio::test(flavor = "multi_thread")]
async fn authelia_is_understood() {
    let service = local_with(&[("identity.source", "\"authelia\"")]).await;
    let headers = [
        ("Remote-User", "alice"),
        ("Remote-Name", "Alice Doe"),
        ("Remote-Email", ""),
        ("Remote-Groups", "staff,admins"),
    ];
    let session = service.ask("GET", SESSION, &headers).await.json();
    assert_eq!((session["chatUserId"].as_str(), session["displayName"].as_str()), (Some("alice"), Some("Alice Doe")));
    assert_eq!(service.ask("GET", "/auth", &headers).await.header("x-chat-user-id"), Some("alice"));
    // A bypass rule: no header at all, or empty ones.
    assert_eq!(service.ask("GET", "/auth", &[]).await.header("x-chat-status"), Some("anonymous"));
    let empty = [("Remote-User", ""), ("Remote-Name", ""), ("Remote-Email", "")];
    assert_eq!(service.ask("GET", "/auth", &empty).await.header("x-chat-status"), Some("anonymous"));
    assert_eq!(service.ask("GET", SESSION, &[ALICE]).await.status, 401);
    assert_eq!(service.ask("GET", SESSION, &[("Remote_User", "alice")]).await.status, 401);
}

/// T-53: what exactly was wrong is for the operator, in the counters; outside, all look alike.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_look_alike_and_are_counted_apart() {
    let service = Service::local().await;
    let mut outside = Vec::new();
    for (reason, headers) in [
        ("absent", &[][..]),
        ("subject_missing", &[("X-Forwarded-Email", "alice@example.org")]),
        ("duplicate", &[ALICE, ALICE]),
        ("alias", &[ALICE, ("X_Forwarded_User", "alice")]),
        ("listed_in_connection", &[ALICE, ("Connection", "close, x-forwarded-USER")]),
        ("template", &[("X-Forwarded-User", "${user}")]),
        ("character", &[("X-Forwarded-User", "\u{ff52}oot")]),
        // Latin-1, which text cannot hold: one byte is put in below.
        ("encoding", &[("X-Forwarded-User", "caf~")]),
    ] {
        let before = refusals(&service, reason).await;
        let mut connection = service.connect().await;
        let mut bytes = request("GET", SESSION, headers, b"");
        bytes.iter_mut().filter(|byte| **byte == b'~').for_each(|byte| *byte = 0xe9);
        connection.send(bytes).await;
        let answer = connection.answer().await.expect("an answer");
        assert!((refusals(&service, reason).await - before - 1.0).abs() < 0.1, "{reason} is counted");
        outside.push(without_id(&answer));
    }
    assert!(outside[0].starts_with("401 ") && outside[0].contains("\"code\":\"unauthorized\""), "{}", outside[0]);
    assert!(outside.iter().all(|seen| *seen == outside[0]), "{outside:#?}");
}

/// All of an answer, but for what differs between any two.
fn without_id(answer: &Answer) -> String {
    let own = |name: &str| ["x-request-id", "date", "connection"].contains(&name);
    let lines: Vec<_> = answer.headers.iter().filter(|(name, _)| !own(name)).collect();
    let body = answer.text().replace(answer.header("x-request-id").expect("an id"), "ID");
    format!("{} {lines:?} {body}", answer.status)
}

/// T-12: health checks live on another listener; here no request is let through for what it claims to be.
#[tokio::test(flavor = "multi_thread")]
async fn no_claim_to_be_a_probe_lets_a_request_through() {
    let service = Service::local().await;
    for header in [
        ("User-Agent", "kube-probe/1.34"),
        ("User-Agent", "ELB-HealthChecker/2.0"),
        ("X-Forwarded-Uri", "/livez"),
        ("X-Original-URI", "/livez"),
        ("X-Original-URL", "/.well-known/jwks.json"),
        ("X-Rewrite-URL", "/livez"),
        ("X-Forwarded-Prefix", "/api"),
    ] {
        for (method, path) in [("GET", SESSION), ("HEAD", SESSION), ("DELETE", SESSION), ("POST", SESSION)] {
            assert_eq!(service.ask(method, path, &[header]).await.status, 401, "{method} {header:?}");
        }
        assert_eq!(service.ask("GET", "/livez", &[header]).await.status, 404, "{header:?}");
    }
    // A fragment is no part of an address; it hides nothing.
    assert_eq!(service.ask("GET", "/api/chat/session#/livez", &[]).await.status, 401);
}
