//! A server with a sign-in of its own names the user in the body of its request.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidemint::config::{ConfigErrors, Environment};

use crate::client::{Answer, Connection, request};
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw, draw_with};
use crate::inputs::{preset, with_client, with_inputs};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A session and a client route of preset `local`, both for a server of one's own.
const ROUTES: &str = "
[[routes]]
path = \"/api/chat/session\"
answer = \"session\"
provider = \"chat\"
[[routes]]
path = \"/livekit/token\"
answer = \"client\"
provider = \"chat\"
[providers.chat]
preset = \"local\"
public_api_url = \"https://chat.example/v1\"
";

const SOURCE: (&str, &str) = ("identity.source", "\"body\"");

async fn service(overrides: &[(&str, &str)]) -> Service {
    let all: Vec<_> = [SOURCE].iter().chain(overrides).copied().collect();
    let definitions = [("local", &*with_client(preset("local")))];
    Service::start_with(&config(ROUTES, &all), &Environment::default(), clock(), &definitions).await
}

async fn send(connection: &mut Connection, method: &str, path: &str, body: &str) -> Answer {
    connection.send(request(method, path, &[JSON], body.as_bytes())).await;
    connection.answer().await.expect("an answer")
}

async fn ask(service: &Service, method: &str, path: &str, body: &str) -> Answer {
    send(&mut service.connect().await, method, path, body).await
}

fn claims(answer: &Answer) -> Value {
    let json = answer.json();
    let token = json["token"].as_str().or_else(|| json["participant_token"].as_str()).expect("a token");
    let part = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// An answer without what differs in each: its request id.
fn bare(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let headers = answer.headers.iter().filter(|(name, _)| name != "x-request-id" && name != "date").cloned().collect();
    let mut body = answer.json();
    assert!(body.as_object_mut().expect("an object").remove("requestId").is_some());
    (answer.status, headers, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_names_the_user() {
    let service = service(&[]).await;
    let body = r#"{"user":{"id":"u,1","name":"Jörg","email":"j@example.org","avatar":"https://a.example/j","groups":["staff"]}}"#;
    let first = ask(&service, "POST", SESSION, body).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(
        (first.json()["chatUserId"].clone(), first.json()["displayName"].clone()),
        (json!("u,1"), json!("Jörg"))
    );
    assert_eq!((claims(&first)["sub"].clone(), claims(&first)["name"].clone()), (json!("u,1"), json!("Jörg")));
    assert_eq!(ask(&service, "POST", SESSION, body).await.json()["token"], first.json()["token"], "from the cache");
    let room = ask(&service, "POST", "/livekit/token", body).await;
    assert_eq!((room.status, claims(&room)["sub"].clone()), (201, json!("u,1")));
    assert_eq!(ask(&service, "DELETE", SESSION, body).await.status, 204);
    service.advance(1);
    assert_ne!(ask(&service, "POST", SESSION, body).await.json()["token"], first.json()["token"], "signed out");
}

/// What a body adds beside the user is held against the inputs, and nothing else of it.
#[tokio::test(flavor = "multi_thread")]
async fn inputs_stand_beside_the_user() {
    let text = config(&ROUTES.replace("\"local\"", "\"with-inputs\""), &[SOURCE]);
    let own = with_inputs();
    let service = Service::start_with(&text, &Environment::default(), clock(), &[("with-inputs", &own)]).await;
    let answer = ask(&service, "POST", SESSION, r#"{"room":"lobby","user":{"id":"alice"}}"#).await;
    assert_eq!((answer.status, claims(&answer)["room"].clone()), (200, json!("lobby")), "{answer:?}");
    for body in [
        r#"{"user":{"id":"alice"},"role":"admin"}"#,
        r#"{"user":{"id":"alice"},"room":{"id":"a"}}"#,
        r#"{"user":{"id":"alice"},"room":"LOBBY"}"#,
    ] {
        let answer = ask(&service, "POST", SESSION, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{body}");
    }
    // The whole body says who the user is, so all of it must say one thing.
    let twice = ask(&service, "POST", SESSION, r#"{"user":{"id":"alice"},"room":"a","room":"b"}"#).await;
    assert_eq!((twice.status, twice.code().as_str()), (401, "unauthorized"));
    let beside = ask(&service, "DELETE", SESSION, r#"{"user":{"id":"alice"},"room":"lobby"}"#).await;
    assert_eq!(beside.status, 400, "a sign-out takes no input");
    let query = ask(&service, "DELETE", &format!("{SESSION}?room=lobby"), r#"{"user":{"id":"alice"}}"#).await;
    assert_eq!(query.status, 400);
}

/// T-53: whatever is wrong with a user, the answer is one and the same.
#[tokio::test(flavor = "multi_thread")]
async fn every_refused_user_gets_the_same_answer() {
    let service = service(&[("server.max_body_bytes", "65536")]).await;
    let long = format!("{{\"user\":{{\"id\":\"{}\"}}}}", "x".repeat(300));
    let bodies = [
        "",
        "{}",
        "[]",
        "{",
        "user=alice",
        r#"{"user":null}"#,
        r#"{"user":"alice"}"#,
        r#"{"user":["alice"]}"#,
        r#"{"user":{}}"#,
        r#"{"user":{"id":1}}"#,
        r#"{"user":{"id":""}}"#,
        r#"{"user":{"id":"null"}}"#,
        r#"{"user":{"id":" alice"}}"#,
        r#"{"user":{"id":"{user}"}}"#,
        "{\"user\":{\"id\":\"ro\u{200b}ot\"}}",
        r#"{"user":{"id":"a","id":"b"}}"#,
        r#"{"user":{"id":"a"},"user":{"id":"b"}}"#,
        r#"{"user":{"id":"a","admin":true}}"#,
        r#"{"user":{"id":"a","name":["b"]}}"#,
    ];
    let mut seen = Vec::new();
    for body in bodies {
        let answer = ask(&service, "POST", SESSION, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{body}");
        seen.push(bare(&answer));
    }
    seen.push(bare(&service.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await));
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let reasons = ["absent", "body", "character", "template"];
    let mut counted = 0.0;
    for reason in reasons {
        let count = service.metric(&format!("sidemint_identity_refusals_total{{reason=\"{reason}\"}}")).await;
        assert!(count > 0.5, "{reason}");
        counted += count;
    }
    assert!((counted - 20.0).abs() < 0.1, "each has its reason: {counted}");
    // A good id of a real user that no provider could have: signing in again would not help.
    let answer = ask(&service, "POST", SESSION, &long).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"));
    let log = service.log();
    assert!(!log.contains("alice") && !log.contains("admin") && !log.contains("xxx"), "{log}");
}

/// T-01: a peer that is not trusted names no user, whatever it sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_peer_names_no_user() {
    let service = service(&[("identity.peers.networks", "[\"192.0.2.0/24\"]")]).await;
    for body in ["", "{}", r#"{"user":{"id":"alice"}}"#, r#"{"user":{"id":"a"},"user":{"id":"b"}}"#, "{"] {
        for (method, path) in [("POST", SESSION), ("DELETE", SESSION), ("GET", SESSION), ("POST", "/livekit/token")] {
            let answer = ask(&service, method, path, body).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "peer_untrusted"), "{method} {path} {body}");
        }
    }
}

/// The limits of a body hold before it is known who asks, and pages of other sites do not get so far.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_and_pages_are_judged_first() {
    let service = service(&[]).await;
    let large = format!("{{\"user\":{{\"id\":\"alice\"}},\"x\":\"{}\"}}", "x".repeat(9000));
    for method in ["POST", "DELETE"] {
        let answer = ask(&service, method, SESSION, &large).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{method}");
        let mut connection = service.connect().await;
        let evil = [JSON, ("Sec-Fetch-Site", "cross-site")];
        connection.send(request(method, SESSION, &evil, br#"{"user":{"id":"alice"}}"#)).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_refused"), "{method}");
    }
    let mut form = service.connect().await;
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    form.send(request("POST", SESSION, &[kind], b"user=alice")).await;
    assert_eq!(form.answer().await.expect("an answer").status, 401);
}

/// T-32: a thousand users at once, in random order on shared connections. Every answer is that of the user in its request.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_users_get_their_own_sessions() {
    let service = Arc::new(service(&[("cache.max_entries", "300")]).await);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..20_u64 {
        let service = Arc::clone(&service);
        clients.spawn(async move {
            let mut connection = service.connect().await;
            // A walk through all users, in an order of its own.
            let (step, start) = ([7, 11, 13, 17, 19, 23, 29, 31][usize::try_from(client % 8).unwrap()], client * 37);
            for n in 0..1000_u64 {
                let user = format!("user{}", (start + n * step) % 1000);
                let body = json!({ "user": { "id": user, "name": format!("Name of {user}") } }).to_string();
                let answer = send(&mut connection, "POST", SESSION, &body).await;
                let (session, claims) = (answer.json(), claims(&answer));
                assert_eq!((&session["chatUserId"], &claims["sub"]), (&json!(user), &json!(user)));
                assert_eq!(session["displayName"], json!(format!("Name of {user}")));
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no answer was another's");
    }
}

fn refused(errors: Result<impl std::fmt::Debug, ConfigErrors>) -> String {
    errors.expect_err("refused").to_string()
}

#[test]
fn bodies_name_users_only_where_no_visitor_can_send_one() {
    let text = config(LOCAL, &[SOURCE]);
    let errors = refused(draw(&text, &Environment::default(), clock()));
    assert!(
        errors.contains("routes[1].source: names \"body\", which reads bodies, and the body of a subrequest"),
        "{errors}"
    );
    let sources = [
        ("identity.source", "[\"plain\", \"own\"]"),
        ("identity.sources.own", "{ kind = \"body\", namespace = \"own\" }"),
        ("identity.sources.plain", "{ namespace = \"web\" }"),
    ];
    let errors = refused(draw(&config(ROUTES, &sources), &Environment::default(), clock()));
    assert!(errors.contains("routes[0].source: names \"own\", which reads bodies, beside others"), "{errors}");
    let own = with_inputs().replace("\"body:room_name\"", "\"body:user\"");
    let text = config(&ROUTES.replace("\"local\"", "\"with-inputs\""), &[SOURCE]);
    let errors = refused(draw_with(&text, &Environment::default(), clock(), &[("with-inputs", &own)]));
    assert!(
        errors.contains("routes[0].provider: \"with-inputs\" declares an input in the member \"user\""),
        "{errors}"
    );
}
