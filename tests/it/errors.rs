//! The one table of outcomes: as documented, and as answered.

use std::collections::BTreeMap;

use serde_json::json;
use sidemint::config::Environment;
use sidemint::gateway::refusal::Refusal;
use sidemint::inbound::{Outcome, Subrequest, gateway_row};
use strum::VariantArray as _;

use crate::client::{Answer, request};
use crate::fakes::http::Script;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{LOCAL, SESSION, Service, clock, config};
use crate::inputs::with_inputs;
use crate::teams::world::World;
use crate::webhooks::fixture::{Setup, signature};

const PAGE: &str = include_str!("../../docs/errors.md");
const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
/// What no request of these tests can bring about: defects are not known, no source here waits for keys, and no replica
/// shares a tier.
const OUT_OF_REACH: [Outcome; 3] = [Outcome::Internal, Outcome::IdentityUnavailable, Outcome::SignedOutHere];

/// The cells of the rows of a table below a heading, backticks removed; «–» is empty.
fn table(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).expect(heading);
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cell = |text: &str| text.trim().replace(['`', '–'], "");
    rows.map(|row| row.trim_matches('|').split('|').map(cell).collect()).collect()
}

/// A documented row of a session route.
struct Documented {
    status: u16,
    error: String,
    code: String,
    headers: String,
}

fn documented() -> BTreeMap<String, Documented> {
    let row = |cells: Vec<String>| {
        let [outcome, status, error, code, headers, _, _] = cells.try_into().expect("seven columns");
        (outcome, Documented { status: status.parse().unwrap(), error, code, headers: headers.to_lowercase() })
    };
    table("On a session route").into_iter().map(row).collect()
}

#[test]
fn the_documented_table_is_the_table() {
    let page: Vec<Vec<String>> = table("On a session route").into_iter().map(|row| row[..4].to_vec()).collect();
    let service: Vec<Vec<String>> = Outcome::VARIANTS
        .iter()
        .map(|outcome| {
            let row = outcome.row();
            vec![format!("{outcome:?}"), row.status.as_u16().to_string(), row.error.to_owned(), row.code.to_owned()]
        })
        .collect();
    assert_eq!(page, service, "docs/errors.md has every outcome, in order, and no other");
    for row in table("On a session route") {
        assert!(row.len() == 7 && row[5].ends_with('.') && row[6].ends_with('.'), "meaning and advice: {row:?}");
    }
}

#[test]
fn the_documented_table_of_subrequests_is_the_table() {
    let service: Vec<Vec<String>> = Outcome::VARIANTS
        .iter()
        .filter_map(|outcome| {
            let (optional, required) = match outcome.subrequest() {
                Subrequest::Never => return None,
                Subrequest::Always(status) => (status.as_u16().to_string(), status.as_u16().to_string()),
                Subrequest::ByMode("ok", _) => ("200 ok".to_owned(), "200 ok".to_owned()),
                Subrequest::ByMode(chat, status) => (format!("200 {chat}"), status.as_u16().to_string()),
            };
            Some(vec![outcome.row().code.to_owned(), optional, required])
        })
        .collect();
    assert_eq!(table("On a subrequest route"), service, "docs/errors.md has every end of a subrequest, in order");
}

#[test]
fn the_documented_table_of_the_gateway_is_the_table() {
    let page: Vec<Vec<String>> = table("On the gateway").into_iter().map(|row| row[..3].to_vec()).collect();
    let page: Vec<Vec<String>> =
        page.into_iter().map(|row| row.iter().map(|cell| cell.trim_end_matches(" *").to_owned()).collect()).collect();
    let service: Vec<Vec<String>> = Refusal::VARIANTS
        .iter()
        .map(|refusal| {
            let row = gateway_row(*refusal);
            assert_eq!(row.code, <&str>::from(refusal), "one code each");
            vec![row.status.as_u16().to_string(), row.error.to_owned(), row.code.to_owned()]
        })
        .collect();
    assert_eq!(page, service, "docs/errors.md has every code of the gateway, in order, and no other");
}

/// What holds for every answer of a route that was configured (T-31, T-45).
fn assert_as_documented(outcome: Outcome, answer: &Answer) {
    let row = &documented()[&format!("{outcome:?}")];
    assert_eq!(answer.status, row.status, "{outcome:?}: {answer:?}");
    for (name, value) in [
        ("cache-control", "no-store, private"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{outcome:?}");
    }
    // Only a subrequest passes without a user, and its answers are for proxies.
    let policy = (outcome != Outcome::Anonymous).then_some("same-origin");
    assert_eq!(answer.header("cross-origin-resource-policy"), policy, "{outcome:?}");
    let vary: Vec<&str> = answer.header("vary").expect("Vary").split(", ").collect();
    for name in ["cookie", "authorization", "origin", "sec-fetch-site"] {
        assert_eq!(vary.iter().filter(|own| **own == name).count(), 1, "{outcome:?}: {vary:?}");
    }
    for name in ["retry-after", "allow", "www-authenticate"] {
        assert_eq!(answer.header(name).is_some(), row.headers.contains(name), "{outcome:?}: {name}");
    }
    assert!(!row.headers.contains("connection") || answer.header("connection") == Some("close"), "{outcome:?}");
    if let Some(seconds) = answer.header("retry-after") {
        assert!(seconds.parse::<u32>().unwrap() >= 1, "whole seconds: {seconds}");
    }
    if row.status >= 400 {
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(answer.text(), json!({"error": row.error, "code": row.code, "requestId": id}).to_string());
    } else {
        assert!(row.error.is_empty() && (row.status == 200 || answer.body.is_empty()), "{outcome:?}");
    }
}

/// How the fake must fail, and what comes of it.
fn failures() -> [(Script, Outcome); 4] {
    [
        (Script::Reset, Outcome::ProviderUnavailable),
        (Script::text(429, "application/json", "{}"), Outcome::ProviderRateLimited),
        (Script::text(200, "text/html", "<html>"), Outcome::ProviderBadAnswer),
        (Script::json(401, &json!({"error": "Invalid API key"})), Outcome::ProviderCredentials),
    ]
}

async fn sendsar() -> (Service, Sendsar) {
    Service::sendsar_with("retries = 0", &[("server.drain_timeout", "\"100ms\"")]).await
}

async fn local_with(overrides: &[(&str, &str)]) -> Service {
    Service::start(&config(LOCAL, overrides), &Environment::default(), clock()).await
}

/// A provider that takes no # in user ids, and input from a header whose values an operator allows; this one allows none.
/// With a session and two subrequest routes.
async fn particular() -> Service {
    let guard = "[[routes]]\npath = \"/guard\"\nanswer = \"subrequest\"\nmode = \"required\"\nprovider = \"chat\"\n";
    let text = format!("{LOCAL}{guard}").replace("\"local\"", "\"with-inputs\"");
    let rooms =
        "[settings.rooms]\nabout = \"Rooms.\"\nkind = \"list\"\noptional = true\n[inputs.room]\nallow = \"rooms\"\n";
    let user = "[user]\npattern = '[^#]+'\n";
    let definition = with_inputs().replace("[inputs.room]\n", rooms).replace("[user]\n", user);
    Service::start_with(&config(&text, &[]), &Environment::default(), clock(), &[("with-inputs", &definition)]).await
}

/// A user id that the provider cannot take.
const UNFIT: (&str, &str) = ("X-Forwarded-User", "alice#1");

pub async fn by_the_request() -> Vec<(Outcome, Answer)> {
    let service =
        local_with(&[("browser.require_header", "\"X-Chat-Session\""), ("browser.allow_hosts", "[\"sidemint.test\"]")])
            .await;
    let own = ("X-Chat-Session", "1");
    let (mut over, mut hostless) = (service.connect().await, service.connect().await);
    hostless.send("GET / HTTP/1.1\r\n\r\n").await;
    let long = "x".repeat(33_000);
    over.send(request("POST", SESSION, &[ALICE, own], &[b' '; 8193])).await;
    vec![
        (Outcome::Ok, service.ask("GET", SESSION, &[ALICE, own]).await),
        (Outcome::Anonymous, service.ask("GET", "/auth", &[]).await),
        (Outcome::SignedOut, service.ask("DELETE", SESSION, &[ALICE, own]).await),
        (Outcome::Options, service.ask("OPTIONS", SESSION, &[]).await),
        (Outcome::Unauthorized, service.ask("GET", SESSION, &[own]).await),
        (Outcome::OriginRefused, service.ask("GET", SESSION, &[ALICE, own, ("Origin", "null")]).await),
        (Outcome::HeaderMissing, service.ask("GET", SESSION, &[ALICE]).await),
        (Outcome::HostRefused, service.ask("GET", SESSION, &[ALICE, own, ("Host", "evil.example")]).await),
        (Outcome::InputInvalid, service.ask("GET", &format!("{SESSION}?a=b"), &[ALICE, own]).await),
        (Outcome::UserIdInvalid, particular().await.ask("GET", SESSION, &[UNFIT]).await),
        (Outcome::BodyTooLarge, over.answer().await.expect("an answer")),
        (Outcome::RequestMalformed, hostless.answer().await.expect("an answer")),
        (Outcome::HeadTooLarge, service.ask("GET", SESSION, &[ALICE, ("Cookie", &long)]).await),
        (Outcome::TargetTooLong, service.ask("GET", &format!("/{long}"), &[ALICE]).await),
        (Outcome::Overloaded, without_room().await),
        (Outcome::NotFound, service.ask("GET", "/nowhere", &[]).await),
        (Outcome::MethodNotAllowed, service.ask("PUT", SESSION, &[ALICE, own]).await),
    ]
}

/// What becomes of an unfinished head where others have taken all the memory for such heads.
async fn without_room() -> Answer {
    let service = local_with(&[("server.max_unfinished_bytes", "81920")]).await;
    let half = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(30_000));
    let mut open = [service.connect().await, service.connect().await, service.connect().await];
    for connection in &mut open {
        connection.send(&half).await;
    }
    let [one, two, three] = &mut open;
    let answer = tokio::select! {
        answer = one.answer() => answer,
        answer = two.answer() => answer,
        answer = three.answer() => answer,
    };
    answer.expect("an answer")
}

/// A preset that asks the operator what users may have, and an operator who allows nothing.
async fn refused_input() -> Answer {
    let preset = "preset = \"centrifugo-subscription\"\npublic_api_url = \"https://push.example\"";
    let route = format!("[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"");
    let text = config(&format!("{route}\n[providers.chat]\n{preset}\n"), &[]);
    let secret = [("CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY", "0123456789abcdef0123456789abcdef")];
    let service = Service::start(&text, &Environment::of(secret), clock()).await;
    service.ask("GET", &format!("{SESSION}?channel=news"), &[ALICE]).await
}

/// A service where alice has made all the work for today that a user may make.
async fn used_up() -> Service {
    let guard = "[[routes]]\npath = \"/guard\"\nanswer = \"subrequest\"\nmode = \"required\"\nprovider = \"chat\"\n";
    let text = config(&format!("{LOCAL}{guard}"), &[("limits.user_rate", "\"1/day\"")]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    assert_eq!(service.ask("DELETE", SESSION, &[ALICE]).await.status, 204);
    service
}

pub async fn by_the_surroundings() -> Vec<(Outcome, Answer)> {
    let foreign = local_with(&[("identity.peers.networks", "[\"192.0.2.0/24\"]")]).await;
    let mut provoked = vec![(Outcome::PeerUntrusted, foreign.ask("GET", SESSION, &[ALICE]).await)];
    for (failure, outcome) in failures() {
        let (service, fake) = sendsar().await;
        fake.breaks(Some(failure));
        provoked.push((outcome, service.ask("GET", SESSION, &[ALICE]).await));
    }
    provoked.push((Outcome::InputRefused, refused_input().await));
    let denied = local_with(&[("identity.users.deny", "[\"alice\"]")]).await;
    provoked.push((Outcome::UserDenied, denied.ask("GET", SESSION, &[ALICE]).await));
    let limited = used_up().await;
    provoked.push((Outcome::RateLimited, limited.ask("GET", SESSION, &[ALICE]).await));
    let teams = World::start("", "", &[]).await;
    provoked.push((Outcome::TeamUnavailable, teams.session("shop", "alice").await));
    provoked.push((Outcome::Draining, while_draining(SESSION).await));
    provoked
}

/// The answer to a request that waits for the provider when the drain deadline passes.
async fn while_draining(path: &str) -> Answer {
    // Nothing but the end of the service ends this wait.
    let (service, fake) = sendsar().await;
    let _gate = fake.hold().await;
    let mut connection = service.connect().await;
    connection.send(request("GET", path, &[ALICE], b"")).await;
    fake.until(|fake| fake.mints() == 1).await;
    service.begin_stop();
    let answer = connection.answer().await.expect("an answer");
    assert!(connection.is_closed().await);
    answer
}

/// Ends of requests to a webhook.
async fn by_a_provider() -> Vec<(Outcome, Answer)> {
    let lines = "mode = \"through\"".to_owned();
    let overrides = vec![("webhook_server.body_timeout", "\"50ms\"".to_owned())];
    let fixture = Setup { lines, overrides, ..Setup::default() }.start().await;
    fixture.application.next(Script::Reset);
    let signed = signature(b"{}");
    let mut slow = fixture.connect().await;
    let head = "POST /webhooks/chat HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
    slow.send(format!("{head}X-Signature: {signed}\r\n\r\n{{")).await;
    let coded = [("X-Signature", signed.as_str()), ("Content-Encoding", "br")];
    vec![
        (Outcome::Timeout, slow.answer().await.expect("an answer")),
        (Outcome::Unsupported, fixture.send(&coded, b"{}").await),
        (Outcome::WebhookUnavailable, fixture.post("{}").await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_answered_as_documented() {
    let mut provoked = Box::pin(by_the_request()).await;
    provoked.extend(by_the_surroundings().await);
    provoked.extend(by_a_provider().await);
    for (outcome, answer) in &provoked {
        assert_as_documented(*outcome, answer);
    }
    for &outcome in Outcome::VARIANTS {
        let seen = provoked.iter().any(|(own, _)| *own == outcome);
        assert_ne!(seen, OUT_OF_REACH.contains(&outcome), "{outcome:?} is provoked, or known to be out of reach");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_counted_under_its_code() {
    let (service, fake) = sendsar().await;
    let count = |code: &str| format!("sidemint_requests_total{{outcome=\"{code}\",route=\"{SESSION}\"}}");
    service.ask("GET", SESSION, &[]).await;
    service.ask("GET", SESSION, &[ALICE, ("Sec-Fetch-Site", "cross-site")]).await;
    service.ask("PUT", SESSION, &[ALICE]).await;
    fake.next("/v1/users", Script::Reset);
    service.ask("GET", SESSION, &[ALICE]).await;
    service.ask("GET", SESSION, &[ALICE]).await;
    for code in ["unauthorized", "origin_refused", "method_not_allowed", "provider_unavailable", "ok"] {
        assert!((service.metric(&count(code)).await - 1.0).abs() < 0.1, "{code}");
    }
    service.ask("GET", "/nowhere", &[]).await;
    assert!((service.metric("sidemint_requests_total{outcome=\"not_found\",route=\"other\"}").await - 1.0).abs() < 0.1);
}

/// The cell that an answer of a subrequest route belongs into.
fn cell_of(answer: &Answer) -> String {
    assert_eq!(answer.header("retry-after").is_some(), answer.status == 503, "{answer:?}");
    match answer.header("x-chat-status") {
        Some(status) => format!("{} {status}", answer.status),
        None => answer.status.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subrequest_ends_as_documented() {
    let mut seen: Vec<[String; 3]> = Vec::new();
    let (service, _fake) = sendsar().await;
    for (code, headers) in [("ok", &[ALICE][..]), ("anonymous", &[]), ("unauthorized", &[ALICE, ALICE])] {
        let (optional, required) =
            (service.ask("GET", "/auth", headers).await, service.ask("GET", "/guard", headers).await);
        seen.push([code.to_owned(), cell_of(&optional), cell_of(&required)]);
    }
    let (foreign, _fake) = Service::sendsar_with("", &[("identity.peers.networks", "[\"192.0.2.0/24\"]")]).await;
    let (optional, required) = (foreign.ask("GET", "/auth", &[ALICE]).await, foreign.ask("GET", "/guard", &[]).await);
    seen.push(["peer_untrusted".to_owned(), cell_of(&optional), cell_of(&required)]);
    let (denied, _fake) = Service::sendsar_with("", &[("identity.users.deny", "[\"alice\"]")]).await;
    for (code, service) in [("user_denied", &denied), ("rate_limited", &used_up().await)] {
        let (optional, required) =
            (service.ask("GET", "/auth", &[ALICE]).await, service.ask("GET", "/guard", &[ALICE]).await);
        seen.push([code.to_owned(), cell_of(&optional), cell_of(&required)]);
    }
    let particular = particular().await;
    for (code, headers) in [
        ("user_id_invalid", &[UNFIT][..]),
        ("input_invalid", &[ALICE, ("X-Room", "LOBBY")]),
        ("input_refused", &[ALICE, ("X-Room", "lobby")]),
    ] {
        let (optional, required) =
            (particular.ask("GET", "/auth", headers).await, particular.ask("GET", "/guard", headers).await);
        seen.push([code.to_owned(), cell_of(&optional), cell_of(&required)]);
    }
    for (failure, outcome) in failures() {
        let (service, fake) = sendsar().await;
        fake.breaks(Some(failure));
        let (optional, required) =
            (service.ask("GET", "/auth", &[ALICE]).await, service.ask("GET", "/guard", &[ALICE]).await);
        seen.push([outcome.row().code.to_owned(), cell_of(&optional), cell_of(&required)]);
    }
    let (optional, required) = (while_draining("/auth").await, while_draining("/guard").await);
    seen.push(["draining".to_owned(), cell_of(&optional), cell_of(&required)]);
    let mut page = table("On a subrequest route");
    page.retain(|row| OUT_OF_REACH.iter().all(|outcome| outcome.row().code != row[0]));
    page.sort();
    seen.sort();
    assert_eq!(page, seen);
}
