//! Whose word counts over gRPC: Envoy's own call proves Envoy, the request that it asks about names the user, and what
//! Envoy verified stands in neither's headers.

use serde_json::{Value, json};
use tonic::Code;

use super::client::Check;
use super::{ALICE, assert_denied, assert_empty, assert_session, start_with};
use crate::fakes::sendsar::{Sendsar, subject_of};
use crate::harness::Service;
use crate::pki::Mount;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const JWT: &str = "envoy.filters.http.jwt_authn";
const ISSUER: &str = "https://idp.example.com/";

async fn refusals(service: &Service, reason: &str) -> f64 {
    service.metric(&format!("sidemint_identity_refusals_total{{reason=\"{reason}\"}}")).await
}

/// T-01 over gRPC: a secret proves Envoy where Envoy shows it, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_counts_in_envoys_own_call_only() {
    let mount = Mount::of(&[("secret", SECRET)]);
    let files = format!("[{}]", mount.toml("secret"));
    let (service, fake) = start_with(&[("identity.peers.secret_files", &files)]).await;
    let secret = ("x-chat-peer-secret", SECRET);
    let no_user = [
        Check::of(&[ALICE]),
        // A client that has learnt it, or a proxy that adds it to the wrong request.
        Check::of(&[ALICE, secret]),
        Check::of(&[ALICE, secret]).joined(),
        Check::of(&[ALICE, secret]).own("x-chat-peer-secret", "wrong-wrong-wrong"),
        Check::of(&[ALICE]).own("x-chat-peer-secret", ""),
    ];
    for check in no_user {
        assert_denied(&check.ask(&service).await.unwrap(), Code::PermissionDenied, 403);
    }
    // What two say counts for neither.
    let twice = Check::of(&[ALICE]).own(secret.0, SECRET).own(secret.0, SECRET);
    assert_denied(&twice.ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    assert!(fake.calls().is_empty(), "no call");
    // What the client writes beside the right word changes nothing.
    for forged in ["wrong", SECRET] {
        let check = Check::of(&[ALICE, (secret.0, forged), (secret.0, forged)]).own(secret.0, SECRET);
        assert_session(&check.ask(&service).await.unwrap(), "alice");
    }
    // And Envoy's own metadata never names a user.
    let named = Check::of(&[]).own(secret.0, SECRET).own("x-forwarded-user", "bob");
    assert_empty(&named.ask(&service).await.unwrap(), "anonymous");
    let beside = Check::of(&[ALICE]).own(secret.0, SECRET).own("x-forwarded-user", "bob");
    assert_session(&beside.ask(&service).await.unwrap(), "alice");
}

/// T-01: a mesh's header counts in Envoy's own call only.
#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_named_in_envoys_own_call_only() {
    for (key, header, shown, listed) in [
        ("identity.peers.xfcc", "x-forwarded-client-cert", "URI=spiffe://corp/envoy", "[\"spiffe://corp/envoy\"]"),
        ("identity.peers.linkerd", "l5d-client-id", "envoy.web", "[\"envoy.web\"]"),
    ] {
        let (service, fake) = start_with(&[(key, listed)]).await;
        let forged = Check::of(&[ALICE, (header, shown)]);
        assert_denied(&forged.ask(&service).await.unwrap(), Code::PermissionDenied, 403);
        assert!(fake.calls().is_empty());
        assert!((refusals(&service, "peer_workload").await - 1.0).abs() < 0.1);
        assert_session(&Check::of(&[ALICE]).own(header, shown).ask(&service).await.unwrap(), "alice");
        let beside = Check::of(&[ALICE, (header, "URI=spiffe://corp/other")]).own(header, shown);
        assert_session(&beside.ask(&service).await.unwrap(), "alice");
    }
}

/// T-01: no signature fits a call over gRPC: one in the client's headers signs the client's request, not Envoy's word.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_of_the_client_proves_nothing() {
    let key = SECRET;
    let mount = Mount::of(&[("key", key)]);
    let files = format!("[{}]", mount.toml("key"));
    let (service, fake) = start_with(&[("identity.peers.hmac_key_files", &files)]).await;
    let text = |host: &str, path: &str| {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        format!("v2\n1777920000\nGET\n{host}\n{path}\n{empty}\nx-forwarded-user:alice")
    };
    let tag = |text: &str| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
        data_encoding::HEXLOWER.encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref())
    };
    let signature = |host: &str, path: &str| format!("t=1777920000,v2={}", tag(&text(host, path)));
    let headers = [ALICE, ("X-Chat-Peer-Signature", &*signature("sidemint.test", "/auth"))];
    assert_eq!(service.ask("GET", "/auth", &headers).await.status, 200, "the same over HTTP is good");
    fake.until(|fake| fake.mints() == 1).await;
    let signature = signature("app.test", "/app?x=1");
    let in_headers = Check::of(&[ALICE, ("X-Chat-Peer-Signature", &signature)]);
    let in_both = in_headers.clone().own("x-chat-peer-signature", &signature);
    let in_call = Check::of(&[ALICE]).own("x-chat-peer-signature", &signature);
    for check in [in_headers, in_both, in_call] {
        assert_denied(&check.ask(&service).await.unwrap(), Code::PermissionDenied, 403);
    }
}

/// T-01: a peer from a foreign network names no user, nor one that does not show its secret, with metadata and principal as
/// well.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_peer_is_not_believed() {
    let mount = Mount::of(&[("secret", SECRET)]);
    let files = format!("[{}]", mount.toml("secret"));
    for (key, value) in [("identity.peers.networks", "[\"192.0.2.0/24\"]"), ("identity.peers.secret_files", &files)] {
        let (service, fake) = verified(&[(key, value)]).await;
        for check in [
            Check::of(&[ALICE]),
            Check::of(&[]).metadata(JWT, "jwt", &claims(&json!("alice"))),
            Check::of(&[]).principal("spiffe://corp/user/alice"),
        ] {
            assert_denied(&check.ask(&service).await.unwrap(), Code::PermissionDenied, 403);
        }
        assert!(fake.calls().is_empty());
    }
}

/// T-03, T-04, T-07, T-08 in the headers of a check.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_hops_disagree_about_are_refused() {
    let (service, fake) = start_with(&[]).await;
    for (headers, reason) in [
        (&[ALICE, ("X-Forwarded-User", "mallory")][..], "duplicate"),
        (&[ALICE, ALICE], "duplicate"),
        (&[ALICE, ("X_Forwarded_User", "mallory")], "alias"),
        (&[("x.forwarded.user", "mallory")], "alias"),
        (&[ALICE, ("Connection", "x-forwarded-user")], "listed_in_connection"),
        (&[("X-Forwarded-Name", "Alice")], "subject_missing"),
    ] {
        let before = refusals(&service, reason).await;
        assert_denied(&Check::of(headers).ask(&service).await.unwrap(), Code::Unauthenticated, 401);
        assert!((refusals(&service, reason).await - before - 1.0).abs() < 0.1, "{headers:?}");
    }
    assert!(fake.calls().is_empty());
}

/// T-09, T-15: where Envoy has joined lines, what could have been two is refused, in every header that tells something.
#[tokio::test(flavor = "multi_thread")]
async fn joined_headers_are_refused_where_they_could_be_two() {
    let own = "{ kind = \"headers\", headers = { subject = \"X-User\", groups = \"X-Groups\", name = \"X-Name\", allow_comma_in_subject = true } }";
    let (service, fake) = start_with(&[("identity.source", "\"own\""), ("identity.sources.own", own)]).await;
    let user = ("X-User", "alice");
    for headers in [
        &[user, ("X-User", "mallory")][..],
        &[("X-User", "alice,mallory")],
        &[user, ("X-Groups", "staff"), ("X-Groups", "admin")],
        &[user, ("X-Name", "Doe, Alice")],
        &[("X-User", "alice!")],
    ] {
        assert_denied(&Check::of(headers).joined().ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    }
    let mangled = Check::of(&[]).raw("x-user", b"al\xffce").joined();
    assert_denied(&mangled.ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    assert!(fake.calls().is_empty());
    let fine = Check::of(&[user, ("X-Groups", "staff"), ("Accept", "a/b"), ("Accept", "c/d!")]).joined();
    assert_session(&fine.ask(&service).await.unwrap(), "alice");
    let apart = Check::of(&[("X-User", "alice,mallory"), ("X-Groups", "staff,admin"), ("X-Name", "Doe, Alice!")]);
    let verdict = apart.ask(&service).await.unwrap();
    assert_eq!(subject_of(verdict.header("x-chat-token").unwrap()), "alice,mallory");
}

/// Metadata, then principal, then headers: the users of the first and the last are the same people.
async fn verified(overrides: &[(&str, &str)]) -> (Service, Sendsar) {
    let sources = [
        ("identity.source", "[\"envoy-metadata\", \"envoy-principal\", \"plain\"]"),
        ("identity.sources.envoy-metadata", "{ issuer = \"https://idp.example.com/\", namespace = \"\" }"),
        ("identity.sources.envoy-principal", "{ prefix = \"spiffe://corp/user/\", namespace = \"mesh\" }"),
        ("identity.sources.plain", "{ namespace = \"\" }"),
    ];
    start_with(&[&sources[..], overrides].concat()).await
}

fn claims(subject: &Value) -> Value {
    json!({ "iss": ISSUER, "sub": subject, "exp": 1_777_920_600, "name": "Alice", "email": "alice@example.com",
            "email_verified": true, "groups": ["staff"], "picture": "https://example.com/a.png" })
}

/// The first that tells anything decides, and nothing below it is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_verified_comes_before_headers() {
    let (service, _fake) = verified(&[]).await;
    let bob = [("X-Forwarded-User", "bob")];
    let metadata = |check: Check| check.metadata(JWT, "jwt", &claims(&json!("alice")));
    let principal = |check: Check| check.principal("spiffe://corp/user/carol");
    let verdict = metadata(principal(Check::of(&bob))).ask(&service).await.unwrap();
    assert_session(&verdict, "alice");
    assert_eq!(verdict.header("x-chat-display-name"), Some("Alice"));
    let verdict = principal(Check::of(&bob)).ask(&service).await.unwrap();
    assert_eq!(subject_of(verdict.header("x-chat-token").unwrap()), "mesh-spiffe://corp/user/carol");
    assert_session(&Check::of(&bob).ask(&service).await.unwrap(), "bob");
    assert_empty(&Check::of(&[]).ask(&service).await.unwrap(), "anonymous");
    // One account in metadata and headers alike; another in the mesh.
    assert_session(&Check::of(&[ALICE]).ask(&service).await.unwrap(), "alice");
}

/// Numbers in metadata are doubles: those that are told apart are subjects, the others are refused (T-15).
#[tokio::test(flavor = "multi_thread")]
async fn numeric_subjects_are_whole_or_refused() {
    let (service, _fake) = verified(&[]).await;
    for (subject, user) in [
        (json!(42), Ok("42")),
        (json!(-7), Ok("-7")),
        (json!(9_007_199_254_740_991_u64), Ok("9007199254740991")),
        (json!(9_007_199_254_740_992_u64), Err(())),
        (json!(9_007_199_254_740_993_u64), Err(())),
        (json!(1.5), Err(())),
        (json!(1e300), Err(())),
        (json!("1e2"), Ok("1e2")),
    ] {
        let check = Check::of(&[ALICE]).metadata(JWT, "jwt", &claims(&subject));
        let verdict = check.ask(&service).await.unwrap();
        match user {
            Ok(user) => assert_session(&verdict, user),
            Err(()) => assert_denied(&verdict, Code::Unauthenticated, 401),
        }
    }
}

/// T-21, T-22: claims that are there and wrong end it: none falls through to a header (threats, section 1, rule 4).
#[tokio::test(flavor = "multi_thread")]
async fn wrong_claims_are_never_passed_over() {
    let (service, fake) = verified(&[]).await;
    let with = |name: &str, value: Value| {
        let mut own = claims(&json!("alice"));
        own[name] = value;
        own
    };
    for (told, reason) in [
        (with("iss", json!("https://idp.example.com")), "issuer"),
        (with("iss", json!(null)), "issuer"),
        (with("iss", json!([ISSUER])), "issuer"),
        (with("exp", json!(1_777_919_940)), "expired"),
        (with("exp", json!(null)), "claim"),
        (with("exp", json!("1777920600")), "claim"),
        (with("exp", json!(-1)), "claim"),
        (with("sub", json!(null)), "claim"),
        (with("sub", json!("")), "claim"),
        (with("sub", json!("anonymous")), "claim"),
        (with("sub", json!(["alice"])), "claim"),
        (with("sub", json!({ "a": 1 })), "claim"),
        (with("sub", json!(true)), "claim"),
        (with("sub", json!(" alice")), "character"),
        (with("sub", json!("al\u{200b}ice")), "character"),
        (with("sub", json!("<no value>")), "claim"),
        (with("sub", json!("mesh-spiffe://corp/user/carol")), "namespace"),
        (json!("alice"), "claim"),
        (json!([1]), "claim"),
        (json!({}), "issuer"),
    ] {
        let before = refusals(&service, reason).await;
        let verdict = Check::of(&[ALICE]).metadata(JWT, "jwt", &told).ask(&service).await.unwrap();
        assert_denied(&verdict, Code::Unauthenticated, 401);
        assert!((refusals(&service, reason).await - before - 1.0).abs() < 0.1, "{told} {reason}");
    }
    for (principal, reason) in [
        ("spiffe://corp/workload/web", "issuer"),
        ("spiffe://other/user/carol", "issuer"),
        ("spiffe://corp/user/ca\u{202e}rol", "character"),
        (" spiffe://corp/user/carol", "character"),
    ] {
        let before = refusals(&service, reason).await;
        let verdict = Check::of(&[ALICE]).principal(principal).ask(&service).await.unwrap();
        assert_denied(&verdict, Code::Unauthenticated, 401);
        assert!((refusals(&service, reason).await - before - 1.0).abs() < 0.1, "{principal}");
    }
    assert!(fake.calls().is_empty());
}

/// T-29: an address decides nothing unless it was verified, and time runs out.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_holds_is_told() {
    let by_mail = "{ issuer = \"https://idp.example.com/\", claims = { subject = \"email\" } }";
    let only = [("identity.source", "\"envoy-metadata\""), ("identity.sources.envoy-metadata", by_mail)];
    let (service, _fake) = start_with(&only).await;
    let check = |told: &Value| Check::of(&[]).metadata(JWT, "jwt", told);
    let mut told = claims(&json!("alice"));
    assert_session(&check(&told).ask(&service).await.unwrap(), "alice@example.com");
    told["email_verified"] = json!(false);
    assert_denied(&check(&told).ask(&service).await.unwrap(), Code::Unauthenticated, 401);
    told["email_verified"] = json!(true);
    service.advance(600 + 29);
    assert_session(&check(&told).ask(&service).await.unwrap(), "alice@example.com");
    service.advance(1);
    assert_denied(&check(&told).ask(&service).await.unwrap(), Code::Unauthenticated, 401);
}

/// T-01: nothing but a check can carry what Envoy verified: its words in headers, over HTTP or in a check, are only headers.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_can_write_what_envoy_verified() {
    let only = [
        ("identity.source", "[\"envoy-metadata\", \"envoy-principal\"]"),
        ("identity.sources.envoy-metadata", "{ issuer = \"https://idp.example.com/\", namespace = \"\" }"),
        ("identity.sources.envoy-principal", "{ namespace = \"mesh\" }"),
    ];
    let (service, fake) = start_with(&only).await;
    let told = claims(&json!("alice")).to_string();
    let forged = [
        ("envoy.filters.http.jwt_authn", told.as_str()),
        ("x-envoy-metadata", &told),
        ("x-jwt-payload", &told),
        ("source.principal", "spiffe://corp/user/alice"),
        ("x-forwarded-client-cert", "URI=spiffe://corp/user/alice"),
        ("x-forwarded-user", "alice"),
    ];
    assert_empty(&Check::of(&forged).ask(&service).await.unwrap(), "anonymous");
    let own = forged[1..].iter().fold(Check::of(&[]), |check, (name, value)| check.own(name, value));
    assert_empty(&own.ask(&service).await.unwrap(), "anonymous");
    // Of another filter, or under another key.
    for (filter, key) in [("envoy.filters.http.lua", "jwt"), (JWT, "other"), ("", "jwt"), (JWT, "")] {
        let check = Check::of(&[]).metadata(filter, key, &claims(&json!("alice")));
        assert_empty(&check.ask(&service).await.unwrap(), "anonymous");
    }
    for path in ["/auth", "/guard"] {
        let answer = service.ask("GET", path, &forged).await;
        assert_eq!(answer.header("x-chat-token").unwrap_or_default(), "", "{path}");
        assert_eq!(answer.status, if path == "/auth" { 200 } else { 401 });
    }
    assert!(fake.calls().is_empty());
}
