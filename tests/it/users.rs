//! Who is served: lists of users, and roles made of groups.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::config::Environment;

use crate::client::Answer;
use crate::eventually::eventually;
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw};

const GUARD: &str =
    "[[routes]]\npath = \"/guard\"\nanswer = \"subrequest\"\nmode = \"required\"\nprovider = \"chat\"\n";

async fn service(overrides: &[(&str, &str)]) -> Service {
    let text = config(&format!("{GUARD}{LOCAL}"), overrides);
    Service::start(&text, &Environment::default(), clock()).await
}

async fn ask(service: &Service, path: &str, user: &str, groups: &str) -> Answer {
    service.ask("GET", path, &[("X-Forwarded-User", user), ("X-Forwarded-Groups", groups)]).await
}

fn claims(answer: &Answer) -> Value {
    let json = answer.json();
    let part = json["token"].as_str().and_then(|token| token.split('.').nth(1)).expect("a JWT").to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// The number of sessions in the cache.
async fn cached(service: &Service) -> f64 {
    service.metric("sidemint_cache_entries").await
}

/// T-37: a user who is put on the list loses service with the next request, although a session is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_denied_loses_service_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("deny");
    std::fs::write(&list, "# left the company\nmallory\n").unwrap();
    let file = format!("\"{}\"", list.display());
    let service = service(&[("identity.users.deny_file", &file)]).await;
    for user in ["alice", "bob"] {
        for path in [SESSION, "/auth", "/guard"] {
            assert_eq!(ask(&service, path, user, "").await.status, 200);
        }
    }
    assert_eq!(ask(&service, SESSION, "mallory", "").await.code(), "user_denied");
    assert!((cached(&service).await - 6.0).abs() < 0.1);
    std::fs::write(&list, "# left the company\nmallory\nbob\n").unwrap();
    service.nudge.now();
    service.metric_reaches("sidemint_denied_users", 2.0).await;
    let denied = ask(&service, SESSION, "bob", "").await;
    assert_eq!((denied.status, denied.code().as_str()), (403, "user_denied"));
    let optional = ask(&service, "/auth", "bob", "").await;
    assert_eq!((optional.status, optional.header("x-chat-status")), (200, Some("denied")));
    assert_eq!((optional.header("x-chat-token"), optional.header("x-chat-user-id")), (Some(""), Some("")));
    let required = ask(&service, "/guard", "bob", "").await;
    assert_eq!((required.status, required.header("x-chat-token")), (403, None));
    let sign_out = service.ask("DELETE", SESSION, &[("X-Forwarded-User", "bob")]).await;
    assert_eq!(sign_out.status, 403);
    let left = eventually("bob's sessions are gone", async || Some(cached(&service).await).filter(|n| *n < 3.5)).await;
    assert!((left - 3.0).abs() < 0.1, "and those of others are not");
    assert_eq!(ask(&service, SESSION, "alice", "").await.status, 200);
    let refusals = service.metric("sidemint_identity_refusals_total{reason=\"denied\"}").await;
    assert!((refusals - 5.0).abs() < 0.1, "{refusals}");
}

/// T-58: a list that cannot be used never lets a user back in; a good one does.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_list_keeps_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("deny");
    std::fs::write(&list, "mallory\n").unwrap();
    let file = format!("\"{}\"", list.display());
    let service = service(&[("identity.users.deny_file", &file)]).await;
    let rejected = "sidemint_deny_list_rejected_total";
    for (n, broken) in
        [Some(""), Some("bob\nnull\n"), Some("bob\nalice,\n"), Some("bob\n\"alice\"\n"), None].into_iter().enumerate()
    {
        match broken {
            Some(text) => std::fs::write(&list, text).unwrap(),
            None => std::fs::remove_file(&list).unwrap(),
        }
        let before = service.metric(rejected).await;
        service.nudge.now();
        service.metric_reaches(rejected, before + 1.0).await;
        assert_eq!(ask(&service, SESSION, "mallory", "").await.status, 403, "{n}");
        assert_eq!(ask(&service, SESSION, "bob", "").await.status, 200, "{n}");
    }
    std::fs::write(&list, "# none any more\n").unwrap();
    service.nudge.now();
    let served = async || ask(&service, SESSION, "mallory", "").await.status == 200;
    eventually("who is off the list is served", served).await;
}

#[test]
fn a_list_that_is_not_there_is_refused_at_start() {
    let refuse = |overrides: &[(&str, &str)]| {
        let drawn = draw(&config(LOCAL, overrides), &Environment::default(), clock());
        drawn.map(|_| ()).expect_err("refused").to_string()
    };
    let errors = refuse(&[("identity.users.deny_file", "\"/nowhere/deny\"")]);
    assert!(errors.contains("identity.users.deny_file: /nowhere/deny cannot be read"), "{errors}");
    let errors = refuse(&[("identity.users.allow", "[\"alice\", \"\"]")]);
    assert!(errors.contains("identity.users.allow: holds an entry, number 2, that can be no subject"), "{errors}");
    // What can match no user is refused, with its place and without a word of it.
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("deny");
    let file = format!("\"{}\"", list.display());
    for (line, why) in [
        ("bob,canaryalice", "holds a comma"),
        ("canaryalice,", "ends with a comma"),
        ("\"canaryalice\"", "stands in quotes"),
        ("'canaryalice'", "stands in quotes"),
        ("canaryalice # left in May", "has a comment behind it"),
        ("canaryalice\t2026-05-01", "holds a character"),
        ("canary\u{200b}alice", "holds a character"),
        ("- canaryalice", "begins like a comment, or like an item"),
        ("{canaryalice}", "looks like a placeholder"),
        ("None", "a word that means no user"),
    ] {
        std::fs::write(&list, format!("# left\r\nbob\r\n{line}\r\n")).unwrap();
        let errors = refuse(&[("identity.users.deny_file", &file)]);
        let place = format!("identity.users.deny_file: {}, line 3: can be no subject, because it ", list.display());
        assert!(errors.contains(&place) && errors.contains(why), "{line}: {errors}");
        assert!(!errors.contains("canary"), "{errors}");
        for key in ["allow", "deny"] {
            let errors =
                refuse(&[(&format!("identity.users.{key}"), &format!("[{line:?}]").replace("\\u{200b}", "\\u200b"))]);
            assert!(
                errors.contains(&format!("identity.users.{key}: holds an entry, number 1, that can be no subject")),
                "{errors}"
            );
            assert!(errors.contains(why) && !errors.contains("canary"), "{line}: {errors}");
        }
    }
    // A source that makes subjects lower case has no other; a token may hold what a line may not.
    let lower = ("identity.sources.plain", "{ headers = { subject_case = \"lower\" } }");
    let errors = refuse(&[lower, ("identity.users.deny", "[\"Alice\"]")]);
    assert!(errors.contains("is not in lower case"), "{errors}");
    let body = ("identity.sources.plain", "{ headers = { allow_comma_in_subject = true } }");
    assert!(
        draw(
            &config(LOCAL, &[body, ("identity.users.deny", "[\"cn=alice,dc=example\"]")]),
            &Environment::default(),
            clock()
        )
        .is_ok()
    );
    let errors = refuse(&[("identity.users.allow_groups", "[\"staff\", \" ops\"]")]);
    assert!(errors.contains("identity.users.allow_groups: holds an entry, number 2"), "{errors}");
    let errors = refuse(&[("identity.roles.moderator", "[]")]);
    assert!(errors.contains("identity.roles.moderator: names no group"), "{errors}");
    let errors = refuse(&[("identity.roles.moderator", "[\"chat-mods\", \" admins\"]")]);
    assert!(errors.contains("identity.roles.moderator: holds an entry, number 2, that no group is called"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_are_allowed_are_served() {
    let service = service(&[
        ("identity.users.allow", "[\"alice\", \"mallory\"]"),
        ("identity.users.allow_groups", "[\"staff\"]"),
        ("identity.users.deny", "[\"mallory\"]"),
    ])
    .await;
    for (user, groups, status) in [
        ("alice", "", 200),
        ("Alice", "", 403),
        ("bob", "guests", 403),
        ("bob", "guests,staff", 200),
        ("bob", "Staff", 403),
        ("mallory", "staff", 403),
    ] {
        let answer = ask(&service, SESSION, user, groups).await;
        assert_eq!(answer.status, status, "{user} {groups}");
        assert!(status == 200 || answer.code() == "user_denied");
    }
    let refusals = service.metric("sidemint_identity_refusals_total{reason=\"not_allowed\"}").await;
    assert!((refusals - 3.0).abs() < 0.1, "{refusals}");
}

/// Groups that the operator lists make roles; the rest are dropped, and do not even make another session.
#[tokio::test(flavor = "multi_thread")]
async fn groups_become_roles_by_the_operators_list() {
    let service = service(&[
        ("identity.roles.moderator", "[\"chat-mods\", \"admins\"]"),
        ("identity.roles.agent", "[\"support\"]"),
        ("providers.chat.claims", "{ roles = \"{{ user.roles }}\" }"),
    ])
    .await;
    let mut tokens = Vec::new();
    for (groups, roles) in [
        ("", json!([])),
        ("staff,x", json!([])),
        ("admins", json!(["moderator"])),
        ("y,chat-mods,admins", json!(["moderator"])),
        ("admins,support", json!(["agent", "moderator"])),
        ("support,z,admins", json!(["agent", "moderator"])),
        ("Admins", json!([])),
    ] {
        let answer = ask(&service, SESSION, "alice", groups).await;
        assert_eq!(claims(&answer)["roles"], roles, "{groups}");
        tokens.push(answer.json()["token"].clone());
    }
    assert!((cached(&service).await - 3.0).abs() < 0.1, "one session for each set of roles");
    assert_eq!((&tokens[0], &tokens[2], &tokens[4]), (&tokens[1], &tokens[3], &tokens[5]));
}
