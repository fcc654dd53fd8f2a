//! Test vectors: every exchange with Sendsar, and every answer that its browser client was seen to take.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::clock::{Clock as _, Timestamp};
use sidemint::config::Environment;

use crate::eventually::eventually;
use crate::exchange::{Case, Stage, text};
use crate::fakes::http::Script;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{NOW, SESSION, Service, clock, config, draw, sendsar, sendsar_key};

/// The client's refresh margin, seconds: with this much or less left it asks again at once and for ever.
const CLIENT_MARGIN: i64 = 300;

fn exchanges() -> Value {
    serde_json::from_str(include_str!("../vectors/http-sendsar.json")).unwrap()
}

fn browser_cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../vectors/session-client-sendsar.json")).unwrap();
    assert_eq!(file["now"], NOW.as_seconds());
    file["cases"].as_array().unwrap().clone()
}

async fn run_case(file: &Value, case: &Value, retries: u32) {
    let mut played = Case { besides: &["appCode"], ..Case::of(case) };
    // An exchange that begins with the token call is one where the user was sent before.
    played.known = played.steps[0]["request"]["path"] != "/v1/users";
    if played.known {
        let good = file["cases"].as_array().unwrap().iter().find(|case| case["name"] == "mint_ok_200").unwrap();
        played.steps.splice(0..0, good["exchange"].as_array().unwrap().clone());
    }
    let stage = Stage {
        provider: "preset = \"sendsar\"\napi_url = \"{mock}/v1\"".to_owned(),
        environment: Environment::of([("SENDSAR_API_KEY", text(&file["credentials"]["api_key"]))]),
        ttl: Some(format!("{}s", case["input"]["ttl_seconds"])),
        retries,
        ..Stage::default()
    };
    played.play(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_with_sendsar_ends_as_its_vector_says() {
    let file = exchanges();
    assert_eq!(file["now"], NOW.as_seconds());
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        run_case(&file, case, 0).await;
    }
}

/// T-39: repeats change no outcome, and there are few of them.
#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_ends_in_the_same_way_when_failed_calls_are_repeated() {
    let file = exchanges();
    for case in file["cases"].as_array().unwrap() {
        run_case(&file, case, 2).await;
    }
}

/// What the vector's client does with an answer: when it asks again.
fn next_fetch(session: &Value) -> i64 {
    let end = Timestamp::parse_rfc3339(text(&session["expiresAt"])).expect("ISO text");
    end.as_seconds() - NOW.as_seconds() - CLIENT_MARGIN
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_s_expiry_is_handed_out_only_where_the_client_can_live_with_it() {
    let cases = browser_cases();
    let with_session: Vec<_> = cases.iter().filter(|case| case["answer"]["status"] == 200).collect();
    assert_eq!(with_session.len(), 8);
    for case in with_session {
        // Asked for a day: what is told beyond the lifetime that was asked for is not handed out.
        let clock = clock();
        let fake = Sendsar::start(Arc::clone(&clock)).await;
        let config = config(&sendsar(&fake, "retries = 0"), &[]).replace("ttl = \"1h\"", "ttl = \"24h\"");
        let service = Service::start(&config, &sendsar_key(), clock).await;
        let told = &case["answer"]["json"];
        let body = json!({"token": told["token"], "expiresAt": told["expiresAt"]});
        fake.always("/v1/auth/token", Some(Script::json(200, &body)));
        let answer = service.session("user_abc123").await;
        match case["next_fetch_in_seconds"].as_i64().unwrap() {
            0 => assert_eq!((answer.status, answer.code().as_str()), (503, "provider_bad_answer"), "{case}"),
            seconds => {
                assert_eq!(answer.status, 200, "{case}");
                assert_eq!(next_fetch(&answer.json()), seconds, "{case}");
                assert_eq!(answer.json()["expiresAt"], told["expiresAt"], "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slash_at_the_end_of_the_browser_s_address_is_not_handed_out() {
    let case = browser_cases().into_iter().find(|case| case["name"] == "trailing_slash_in_api_url").unwrap();
    let address = case["answer"]["json"]["apiUrl"].to_string();
    let (service, _fake) = Service::sendsar_with("", &[("providers.chat.public_api_url", &address)]).await;
    assert_eq!(service.session("user_abc123").await.json()["apiUrl"], "https://api.sendsar.com/v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_within_the_client_s_margin_is_refused_at_load() {
    let fake = Sendsar::start(clock()).await;
    for ttl in ["1s", "4m", "5m", "305s"] {
        let text = config(&sendsar(&fake, ""), &[]).replace("ttl = \"1h\"", &format!("ttl = \"{ttl}\""));
        let errors = draw(&text, &sendsar_key(), clock()).expect_err(ttl).to_string();
        assert!(errors.contains("routes[0].ttl"), "{ttl}: {errors}");
        assert!(errors.contains("refresh at once and for ever; write more"), "{ttl}: {errors}");
    }
    let text = config(&sendsar(&fake, ""), &[]).replace("ttl = \"1h\"", "ttl = \"306s\"");
    assert!(draw(&text, &sendsar_key(), clock()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn error_is_text_at_the_top_of_every_refusal() {
    let failing: Vec<_> = browser_cases().into_iter().filter(|case| case["answer"]["status"] != 200).collect();
    assert_eq!(failing.len(), 4);
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let mut refusals = vec![
        service.ask("GET", SESSION, &[]).await,
        service.ask("PUT", SESSION, &[("X-Forwarded-User", "alice")]).await,
        service.ask("GET", "/nowhere", &[]).await,
        service.ask("GET", &format!("{SESSION}?x=1"), &[("X-Forwarded-User", "alice")]).await,
        service.ask("GET", SESSION, &[("X-Forwarded-User", "alice"), ("Sec-Fetch-Site", "cross-site")]).await,
    ];
    // The provider's own refusals, told in the words of the vectors: none is passed on.
    for case in failing.iter().filter_map(|case| case["answer"].as_object()) {
        let body = case.get("json").map_or_else(|| case["text"].to_string(), Value::to_string);
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        fake.next("/v1/auth/token", Script::text(status, "application/json", body));
        refusals.push(service.session("alice").await);
        service.advance(60);
    }
    for answer in refusals {
        let problem = answer.json();
        assert!(answer.status >= 400 && problem["error"].is_string(), "{answer:?}");
        assert!(!["slow down", "bad"].contains(&text(&problem["error"])), "{answer:?}");
        assert!(problem["code"].is_string() && problem["requestId"].is_string(), "{answer:?}");
    }
}

/// T-38: from the first request to long after the end of every token, in steps that fall on both sides of each edge.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_is_ever_handed_a_token_that_makes_it_loop() {
    let short = |seconds: u64| {
        let end = NOW.plus(Duration::from_secs(seconds)).to_rfc3339();
        Script::json(200, &json!({"token": "T", "expiresAt": end}))
    };
    let later = [
        None,
        Some(Script::Reset),
        Some(Script::text(503, "text/plain", "maintenance")),
        Some(short(3600)),
        Some(Script::json(200, &json!({"token": "T", "expiresAt": 1_777_930_000}))),
    ];
    let running = "sidemint_calls_running{provider=\"chat\"}";
    for script in later {
        // A renewal that begins while the clock moves on by a step has time for another.
        let (service, fake) = Service::sendsar_with("retries = 0\ntimeout = \"60s\"", &[]).await;
        let first = service.session("alice").await;
        assert_eq!(first.status, 200);
        fake.always("/v1/auth/token", script.clone());
        let mut served = 0;
        for _ in 0..2 * 3600 / 13 {
            let answer = service.session("alice").await;
            if answer.status == 200 {
                served += 1;
                let end = answer.json()["expiresAt"].clone();
                assert!(text(&end).len() == 24 && text(&end).ends_with('Z'), "{end}");
                let left =
                    Timestamp::parse_rfc3339(text(&end)).unwrap().as_seconds() - service.clock.now().as_seconds();
                assert!(left > CLIENT_MARGIN, "{left} s left, provider: {script:?}");
            } else {
                assert_eq!((answer.status, &answer.json()["error"]), (503, &json!("Chat unavailable")));
                assert!(script.is_some(), "an honest provider fails no user");
            }
            eventually("no call is under way", async || service.metric(running).await == 0.0).await;
            service.advance(13);
        }
        assert!(served >= 3290 / 13, "the first token is served up to the margin: {served}, provider: {script:?}");
    }
}

/// The vector `refresh_answers_503`: the client never asks again, so a refresh fails only when nothing usable is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_refreshes_while_the_provider_is_down_keeps_its_session() {
    assert!(browser_cases().iter().any(|case| case["name"] == "refresh_answers_503"));
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let first = service.session("alice").await.json();
    fake.breaks(Some(Script::text(503, "text/plain", "maintenance")));
    // Past the point of renewal, which fails; a page that is loaded now gets the session that is there.
    service.advance(2900);
    fake.until(|fake| fake.mints() > 1).await;
    for _ in 0..3 {
        let answer = service.session("alice").await;
        assert_eq!((answer.status, answer.json()), (200, first.clone()));
        service.advance(100);
    }
    // A client that comes back exactly when its margin begins finds a renewed one, if the provider came back in time.
    fake.breaks(None);
    service.advance(120);
    // A renewal that began before may still bring the last failure; the next one does not.
    let mut renewed = service.session("alice").await;
    for _ in 0..5 {
        if renewed.status != 200 {
            service.advance(2);
            renewed = service.session("alice").await;
        }
    }
    assert_eq!(renewed.status, 200);
    assert_ne!(renewed.json()["token"], first["token"]);
}
