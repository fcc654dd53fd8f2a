//! Several sources: equal subjects of two are two people, unless the operator says that they are one.

use std::sync::Arc;

use serde_json::json;
use sidemint::config::Environment;

use crate::client::Answer;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{SESSION, Service, clock, config, draw, sendsar, sendsar_key};

const SECOND: &str = "/partners/session";

/// Two session routes at the fake, each with a source of its own.
fn routes(fake: &Sendsar, extra: &str) -> String {
    let second =
        format!("[[routes]]\npath = \"{SECOND}\"\nanswer = \"session\"\nprovider = \"chat\"\nsource = \"partners\"\n");
    format!("{second}{}", sendsar(fake, extra))
}

/// The table of the source that reads `X-Partner-User`.
fn partners(namespace: &str) -> (&'static str, String) {
    let headers = "{ subject = \"X-Partner-User\", name = \"X-Partner-Name\" }";
    ("identity.sources.partners", format!("{{ kind = \"headers\", headers = {headers}, namespace = \"{namespace}\" }}"))
}

async fn service(ours: &str, theirs: &str, extra: &str) -> (Service, Sendsar) {
    let clock = clock();
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let (key, table) = partners(theirs);
    let own = format!("{{ namespace = \"{ours}\" }}");
    let text = config(&routes(&fake, extra), &[("identity.sources.plain", &own), (key, &table)]);
    (Service::start(&text, &sendsar_key(), clock).await, fake)
}

async fn ours(service: &Service, user: &str) -> Answer {
    service.ask("GET", SESSION, &[("X-Forwarded-User", user)]).await
}

async fn theirs(service: &Service, user: &str) -> Answer {
    service.ask("GET", SECOND, &[("X-Partner-User", user)]).await
}

/// T-30: a subject is one person at each of two sources.
#[tokio::test(flavor = "multi_thread")]
async fn equal_subjects_of_two_sources_are_two_chat_users() {
    let (service, fake) = service("corp", "ext", "").await;
    let (own, other) = (ours(&service, "alice").await, theirs(&service, "alice").await);
    assert_eq!(
        (own.json()["chatUserId"].clone(), other.json()["chatUserId"].clone()),
        (json!("corp-alice"), json!("ext-alice"))
    );
    assert_eq!(
        (own.json()["displayName"].clone(), other.json()["displayName"].clone()),
        (json!("alice"), json!("alice"))
    );
    assert_ne!(own.json()["token"], other.json()["token"]);
    assert_eq!((fake.upserts(), fake.mints()), (2, 2));
    // What was told by one source is nothing on the route of the other.
    assert_eq!(service.ask("GET", SECOND, &[("X-Forwarded-User", "alice")]).await.status, 401);
    let signed_out = service.ask("DELETE", SECOND, &[("X-Partner-User", "alice")]).await;
    assert_eq!(signed_out.status, 204);
    assert_eq!(ours(&service, "alice").await.json()["token"], own.json()["token"], "the namesake stays signed in");
    assert_ne!(theirs(&service, "alice").await.json()["token"], other.json()["token"]);
    let lines = service.log_lines(6).await;
    let users: Vec<_> = lines.iter().filter(|line| line["status"] == 200).map(|line| line["user"].clone()).collect();
    assert_ne!(users[0], users[1], "two people in the log as well: {lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_with_one_namespace_tell_the_same_people() {
    let (service, fake) = service("corp", "corp", "").await;
    let (own, other) = (ours(&service, "alice").await, theirs(&service, "alice").await);
    assert_eq!(own.json()["chatUserId"], other.json()["chatUserId"]);
    assert_eq!(fake.upserts(), 1, "one user at the provider");
    assert_eq!(service.ask("DELETE", SECOND, &[("X-Partner-User", "alice")]).await.status, 204);
    assert_ne!(ours(&service, "alice").await.json()["token"], own.json()["token"], "signed out everywhere");
}

/// T-15, T-30: the sources that keep their ids cannot take those of the others.
#[tokio::test(flavor = "multi_thread")]
async fn subjects_without_namespace_do_not_look_like_others() {
    let (service, fake) = service("", "ext", "").await;
    assert_eq!(ours(&service, "alice").await.json()["chatUserId"], "alice");
    for subject in ["ext-alice", "ext-", "ext-ext-alice"] {
        let answer = ours(&service, subject).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{subject}");
    }
    assert_eq!(ours(&service, "external-alice").await.status, 200);
    assert_eq!(
        theirs(&service, "ext-alice").await.json()["chatUserId"],
        "ext-ext-alice",
        "behind one's own, all is free"
    );
    let refused = service.metric("sidemint_identity_refusals_total{reason=\"namespace\"}").await;
    assert!((refused - 3.0).abs() < 0.1, "{refused}");
    assert_eq!(fake.upserts(), 3);
}

/// Hashes are made of the subject with its namespace, so they keep people apart as well.
#[tokio::test(flavor = "multi_thread")]
async fn folded_and_hashed_ids_differ_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
    let hashed = format!("user_key_file = \"{}\"", key.display());
    for extra in ["user_unfit = \"hash\"", &hashed] {
        let (service, _fake) = service("corp", "ext", extra).await;
        for subject in ["alice", "alice@example.org"] {
            let (own, other) = (ours(&service, subject).await, theirs(&service, subject).await);
            assert_eq!((own.status, other.status), (200, 200), "{extra} {own:?}");
            assert_ne!(own.json()["chatUserId"], other.json()["chatUserId"], "{extra}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sources_must_say_whose_subjects_they_are() {
    let fake = Sendsar::start(clock()).await;
    let refuse = |overrides: &[(&str, &str)]| {
        let text = config(&routes(&fake, ""), overrides);
        draw(&text, &sendsar_key(), clock()).map(|_| ()).expect_err("refused").to_string()
    };
    let bare = "{ kind = \"headers\", headers = { subject = \"X-Partner-User\" } }";
    let errors = refuse(&[("identity.sources.partners", bare)]);
    for (source, suggestion) in [("plain", "plain"), ("partners", "partners")] {
        let expected = format!("identity.sources.{source}.namespace: is missing: the routes use several sources");
        assert!(errors.contains(&expected) && errors.contains(&format!("namespace = \"{suggestion}\"")), "{errors}");
    }
    let (key, table) = partners("not-one");
    let errors = refuse(&[("identity.sources.plain", "{ namespace = \"corp\" }"), (key, &table)]);
    assert!(
        errors.contains("identity.sources.partners.namespace: is \"not-one\"; write letters and digits"),
        "{errors}"
    );
    let (key, table) = partners("ext");
    let deny = ("identity.users.deny", "[\"corp-bob\", \"alice\"]");
    let errors = refuse(&[("identity.sources.plain", "{ namespace = \"corp\" }"), (key, &table), deny]);
    assert!(errors.contains("identity.users.deny: holds an entry, number 2, that matches no user"), "{errors}");
    assert!(errors.contains("write corp-SUBJECT or ext-SUBJECT") && !errors.contains("alice"), "{errors}");
}

/// One source needs no namespace, and a source that no route asks is none.
#[test]
fn one_source_in_use_needs_nothing() {
    let table = ("identity.sources.partners", "{ kind = \"headers\", headers = { subject = \"X-Partner-User\" } }");
    let text = config(crate::harness::LOCAL, &[table]);
    assert!(draw(&text, &Environment::default(), clock()).is_ok());
}
