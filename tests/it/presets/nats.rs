//! Preset `nats`, judged by a real NATS server.

use serde_json::{Value, json};

use super::front::{parts, refused, session, session_of_alice, start, start_today, takes_none_of};
use crate::harness::{NOW, SESSION};
use crate::judge::judge;
use crate::parts::nats::{Nats, Objection};

const SEED: &str = "NATS_ACCOUNT_SEED";
const URL: &str = "public_api_url = \"https://nats.example.com\"\n";
/// The clients of the tests connect over TCP.
const TCP: &str = "connection_types = [\"STANDARD\"]\n";

fn lines_of(more: &str) -> String {
    format!("{URL}{TCP}{more}")
}

const RIGHTS: &str = "publish = [\"chat.{{ user.id }}\"]\nsubscribe = [\"chat.>\"]\n\
    group_publish = \"team.{{ group }}.>\"\ngroup_subscribe = \"team.{{ group }}.>\"\n";

/// The client of the judge writes everything in lower case.
#[track_caller]
fn is_forbidden(outcome: Result<(), Objection>, subject: &str) {
    assert!(matches!(&outcome, Err(Objection::Subject(text)) if text.contains(&subject.to_lowercase())), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_may_do_what_their_token_says_and_nothing_else() {
    let nats = Nats::start().await;
    let service = start_today("nats", &lines_of(RIGHTS), [(SEED, nats.account_seed())]).await;
    let own = session_of_alice(&service).await;
    let token = own["token"].as_str().unwrap();
    for subject in ["chat.alice", "team.staff.news", "team.admins.x.y", "_INBOX_alice.1"] {
        assert_eq!(nats.publish(token, subject), Ok(()), "{subject}");
    }
    for subject in ["chat.bob", "chat.alice.x", "team.others.news", "_INBOX_bob.1", "$SYS.REQ.USER.INFO"] {
        is_forbidden(nats.publish(token, subject), subject);
    }
    for subject in ["chat.bob", "team.staff.>", "_INBOX_alice.>"] {
        assert_eq!(nats.subscribe(token, subject), Ok(()), "{subject}");
    }
    for subject in ["mail.alice", "team.>", "_INBOX.>", "_INBOX_bob.>", ">"] {
        is_forbidden(nats.subscribe(token, subject), subject);
    }
}

/// An empty list would mean that everything is allowed.
#[tokio::test(flavor = "multi_thread")]
async fn without_rights_there_is_the_own_inbox_alone() {
    let nats = Nats::start().await;
    for more in ["", "publish = []\nsubscribe = []\n"] {
        let service = start_today("nats", &lines_of(more), [(SEED, nats.account_seed())]).await;
        let token = session(&service, "bob").await.json()["token"].as_str().unwrap().to_owned();
        is_forbidden(nats.publish(&token, "chat.bob"), "chat.bob");
        is_forbidden(nats.subscribe(&token, ">"), ">");
        assert_eq!(nats.subscribe(&token, "_INBOX_bob.>"), Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_never_brings_a_wildcard() {
    let nats = Nats::start().await;
    let service = start_today("nats", &lines_of(RIGHTS), [(SEED, nats.account_seed())]).await;
    let headers = [("X-Forwarded-User", "eve"), ("X-Forwarded-Groups", "*,>,a.b,c d,good")];
    let own = service.ask("GET", SESSION, &headers).await.json();
    let (_, claims) = parts(&own["token"]);
    assert_eq!(claims["nats"]["pub"]["allow"], json!(["_INBOX_eve.>", "chat.eve", "team.good.>"]));
    is_forbidden(nats.publish(own["token"].as_str().unwrap(), "team.staff.news"), "team.staff.news");
}

/// Browsers come over WebSocket; the same token is no good elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_for_websockets_unless_it_is_said_otherwise() {
    let nats = Nats::start().await;
    let service = start_today("nats", URL, [(SEED, nats.account_seed())]).await;
    let token = session(&service, "alice").await.json()["token"].as_str().unwrap().to_owned();
    let objection = nats.publish(&token, "_INBOX_alice.1").unwrap_err();
    assert!(matches!(objection, Objection::Token(_)), "{objection:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_sign_for_their_account() {
    let nats = Nats::start().await;
    let of_account = format!("{RIGHTS}account = \"{}\"\n", nats.account());
    let token = async |lines: &str, seed: &str| {
        let service = start_today("nats", &lines_of(lines), [(SEED, seed)]).await;
        session(&service, "alice").await.json()["token"].as_str().unwrap().to_owned()
    };
    let signed = token(&of_account, nats.signing_seed()).await;
    assert_eq!(nats.publish(&signed, "chat.alice"), Ok(()));
    is_forbidden(nats.publish(&signed, "chat.bob"), "chat.bob");
    // Without the account's name it is not known whose key that is.
    let stray = token(RIGHTS, nats.signing_seed()).await;
    assert!(matches!(nats.publish(&stray, "chat.alice"), Err(Objection::Token(_))));
    // A scoped key: the template speaks, and what the configuration says does not count.
    let scoped = token(&format!("{of_account}scoped = true\n"), nats.scoped_seed()).await;
    assert_eq!(nats.publish(&scoped, "chat.alice.news"), Ok(()));
    assert_eq!(nats.subscribe(&scoped, "chat.bob"), Ok(()));
    is_forbidden(nats.publish(&scoped, "chat.bob.news"), "chat.bob.news");
    is_forbidden(nats.publish(&scoped, "chat.alice"), "chat.alice");
    // NATS refuses rights in a token of such a key.
    let both = token(&of_account, nats.scoped_seed()).await;
    assert!(matches!(nats.publish(&both, "chat.alice.news"), Err(Objection::Token(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_these() {
    let chain = judge("nats_chain.py", Value::Null);
    let (seed, account) = (chain["account_seed"].as_str().unwrap(), &chain["account"]);
    let service = start("nats", &format!("{URL}{RIGHTS}"), [(SEED, seed)]).await;
    let own = session_of_alice(&service).await;
    let (header, mut claims) = parts(&own["token"]);
    assert_eq!(header, json!({"alg": "ed25519-nkey", "typ": "JWT"}));
    let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(jti.as_str().unwrap().len(), 36);
    let teams = |first: &str| json!({"allow": ["_INBOX_alice.>", first, "team.staff.>", "team.admins.>"]});
    let expected = json!({
        "iat": NOW.as_seconds(), "exp": NOW.as_seconds() + 900, "iss": account, "name": "alice",
        // SHA-256 of the id; there is no seed for it.
        "sub": "UAV5QBWJP4HABLY2D7BTFD5HMOUSNFZDZDNY7LCPSOXXDWYYNVXJAYZP",
        "nats": {
            "type": "user", "version": 2, "bearer_token": true, "subs": -1, "data": -1, "payload": -1,
            "pub": teams("chat.alice"), "sub": teams("chat.>"), "allowed_connection_types": ["WEBSOCKET"],
        },
    });
    assert_eq!(claims, expected);
    assert_eq!(own["inboxPrefix"], "_INBOX_alice");
    assert_eq!(own["expiresAt"], "2026-05-04T18:55:00.000Z");
    assert!(!own.to_string().contains(seed));
    // Each user has a key of the own, by which tokens can be revoked.
    let bob = session(&service, "bob").await.json();
    assert_ne!(parts(&bob["token"]).1["sub"], claims["sub"]);
    // What a signing key signs names the account; what a scoped one signs says nothing else.
    let other = judge("nats_chain.py", Value::Null)["account"].as_str().unwrap().to_owned();
    let scoped = format!("{URL}{RIGHTS}account = \"{other}\"\nscoped = true\n");
    let service = start("nats", &scoped, [(SEED, seed)]).await;
    let (_, claims) = parts(&session_of_alice(&service).await["token"]);
    assert_eq!(claims["nats"], json!({"type": "user", "version": 2, "issuer_account": other}));
    assert_eq!((&claims["iss"], &claims["name"]), (account, &json!("alice")));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_one_token_of_a_subject() {
    let seed = judge("nats_chain.py", Value::Null)["account_seed"].as_str().unwrap().to_owned();
    let service = start("nats", URL, [(SEED, &seed)]).await;
    takes_none_of(&service, &["*", ">", "a.b", "a b", "a*", "alice@example.org", "ä", &"a".repeat(129)]).await;
    assert_eq!(session(&service, "Al-i_ce1").await.json()["chatUserId"], "Al-i_ce1");
}

#[test]
fn seeds_of_others_are_refused_and_not_repeated() {
    for seed in ["SUAM", "SOAM", "SA", "secret"] {
        let long = format!("{seed:A<58}");
        let problem = refused("nats", URL, [(SEED, &long)]);
        assert!(problem.contains("account_seed") && !problem.contains(&long), "{problem}");
    }
}
