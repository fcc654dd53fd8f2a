//! A provider that fails, limits or stalls: whose failure it is, who waits for it, and what the log says.

use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use sidemint::clock::{Clock as _, ManualClock, SystemClock};
use sidemint::config::Environment;

use crate::client::{Answer, Connection};
use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::fakes::sendsar::{API_KEY, Sendsar};
use crate::harness::{SESSION, Service, clock, config, draw, draw_with, sendsar};
use crate::parts::sidemint::Program;
use crate::pki::Authority;

/// A definition whose one step has these rules, at the address of the fake.
fn definition(fake: &Fake, rules: &str) -> String {
    format!(
        "name = \"own\"\nsummary = \"a system of ours\"\n[settings.api_url]\nabout = \"its address\"\nkind = \"url\"\n\
         default = \"{}\"\n[user]\ncase = \"counts\"\n[lifetime]\ndefault = \"1h\"\nmargin = \"60s\"\non_credential_change = \"keep\"\n[response]\napi_url = \"{{{{ config.api_url }}}}\"\n\
         [[token.steps]]\nid = \"mint\"\npost = \"{{{{ config.api_url }}}}/token\"\njson = {{ user = \"{{{{ user.id }}}}\" }}\n\
         token = \"/token\"\nexpires = {{ kind = \"requested\" }}\non = [{rules}]\n\
         [[revoke.steps]]\nid = \"revoke\"\ndelete = \"{{{{ config.api_url }}}}/users/{{{{ user.id }}}}\"\n",
        fake.base_url()
    )
}

/// A service on that definition whose provider answers calls for users that begin with `mallory` with `bad`.
async fn beside_mallory(bad: Script, rules: &str, extra: &str) -> (Service, Fake) {
    let fake = Fake::start(move |call: &Call| {
        if call.json["user"].as_str().is_some_and(|user| user.starts_with("mallory")) {
            bad.clone()
        } else {
            Script::json(200, &json!({"token": "tok"}))
        }
    })
    .await;
    let text = config(
        &format!(
            "[[routes]]\npath = \"{SESSION}\"\nanswer = \"session\"\nprovider = \"chat\"\n[providers.chat]\npreset = \"own\"\nretries = 0\n{extra}\n"
        ),
        &[],
    );
    let own = definition(&fake, rules);
    (Service::start_with(&text, &Environment::default(), clock(), &[("own", &own)]).await, fake)
}

fn answer(status: u16, headers: &[(&str, &str)]) -> Script {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Script::Answer { status, headers, body: b"{}".to_vec() }
}

fn told(answer: &Answer) -> (u16, String, Option<u64>) {
    (answer.status, answer.code(), answer.header("retry-after").map(|text| text.parse().expect("seconds")))
}

fn calls_for(fake: &Fake, user: &str) -> usize {
    fake.calls().iter().filter(|call| call.json["user"] == user).count()
}

/// T-63: whatever a provider answers one user, all others get their sessions, and the user is left alone by itself.
#[tokio::test(flavor = "multi_thread")]
async fn one_users_bad_answers_are_no_other_users_loss() {
    for (bad, code) in [
        (answer(429, &[("Retry-After", "60")]), "provider_rate_limited"),
        (answer(429, &[("Retry-After", "2")]), "provider_rate_limited"),
        (answer(429, &[]), "provider_rate_limited"),
        (answer(400, &[]), "provider_bad_answer"),
        (answer(404, &[]), "provider_bad_answer"),
        (answer(500, &[]), "provider_unavailable"),
        (answer(502, &[]), "provider_unavailable"),
        (answer(503, &[("Retry-After", "60")]), "provider_unavailable"),
        (answer(599, &[]), "provider_unavailable"),
        (answer(302, &[]), "provider_bad_answer"),
        (Script::text(200, "text/html", "<html>"), "provider_bad_answer"),
        (Script::json(200, &json!({"tok": "en"})), "provider_bad_answer"),
        (Script::Reset, "provider_unavailable"),
    ] {
        let (service, fake) = beside_mallory(bad.clone(), "", "").await;
        for n in 0..40 {
            let refused = told(&service.session("mallory").await);
            assert_eq!((refused.0, refused.1.as_str()), (503, code), "{bad:?}");
            assert!(refused.2.is_some_and(|wait| (1..=60).contains(&wait)), "{bad:?}: {refused:?}");
            assert_eq!(service.session(&format!("user{n}")).await.status, 200, "{bad:?}: user{n}");
            service.advance(1);
        }
        assert!(calls_for(&fake, "mallory") <= 20, "{bad:?}: {}", calls_for(&fake, "mallory"));
    }
}

/// T-63: an answer that does not come is no other.
#[tokio::test(flavor = "multi_thread")]
async fn one_users_slow_calls_are_no_other_users_loss() {
    let (service, fake) = beside_mallory(Script::Silence, "", "timeout = \"2s\"").await;
    for n in 1..=8 {
        let (slow, ()) = tokio::join!(service.session("mallory"), async {
            eventually("mallory's call is under way", async || calls_for(&fake, "mallory") == n).await;
            service.advance(2);
        });
        assert_eq!(slow.status, 503);
        assert_eq!(service.session(&format!("user{n}")).await.status, 200);
        // One is an accident. Then longer each time; the wait that is told is the wait that is meant.
        if n > 1 {
            let wait = told(&service.session("mallory").await).2;
            assert_eq!(calls_for(&fake, "mallory"), n, "left alone");
            service.advance(wait.expect("advice"));
        }
    }
}

/// T-63: what happens to several users in a row is the provider's, and it is not asked then.
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_five_users_in_a_row_pauses_the_provider() {
    for (bad, code, wait) in [
        (answer(429, &[("Retry-After", "60")]), "provider_rate_limited", 60),
        (answer(500, &[]), "provider_unavailable", 1),
        (Script::json(200, &json!([])), "provider_unavailable", 1),
    ] {
        let (service, fake) = beside_mallory(bad.clone(), "", "").await;
        for n in 0..4 {
            service.session(&format!("mallory{n}")).await;
        }
        assert_eq!(service.session("early").await.status, 200, "{bad:?}: a success between them");
        for n in 4..9 {
            assert_eq!(service.session(&format!("mallory{n}")).await.status, 503);
        }
        let calls = fake.calls().len();
        assert_eq!(told(&service.session("new").await), (503, code.to_owned(), Some(wait)), "{bad:?}");
        assert_eq!(fake.calls().len(), calls, "{bad:?}: no call");
        service.advance(wait);
        assert_eq!(service.session("new").await.status, 200, "{bad:?}");
    }
}

/// T-63: with the breaker open, a user who always fails is no probe: that would keep all others out.
#[tokio::test(flavor = "multi_thread")]
async fn a_blamed_user_keeps_no_breaker_open() {
    let (service, _fake) = beside_mallory(answer(429, &[("Retry-After", "2")]), "", "").await;
    for n in 0..5 {
        service.session(&format!("mallory{n}")).await;
    }
    for _ in 0..4 {
        service.advance(2);
        for n in 0..5 {
            service.session(&format!("mallory{n}")).await;
        }
        assert_eq!(service.session("new").await.status, 503, "a probe has failed for each of them");
    }
    // One of them could still be the probe.
    service.advance(60);
    for round in 0..20 {
        service.session("mallory0").await;
        assert_eq!(service.session(&format!("user{round}")).await.status, 200);
        service.advance(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_may_say_whom_an_answer_is_about() {
    let bad = answer(429, &[("Retry-After", "9")]);
    let account = "{ status = 429, class = \"rate_limited\", blame = \"account\" }";
    let (service, fake) = beside_mallory(bad.clone(), account, "").await;
    service.session("mallory").await;
    assert_eq!(told(&service.session("alice").await), (503, "provider_rate_limited".to_owned(), Some(9)));
    assert_eq!(fake.calls().len(), 1);
    service.advance(9);
    assert_eq!(service.session("alice").await.status, 200);

    let (service, _fake) = beside_mallory(bad, &account.replace("account", "user"), "").await;
    for n in 0..20 {
        service.session(&format!("mallory{n}")).await;
    }
    assert_eq!(service.session("alice").await.status, 200);

    let mistaken = definition(&service_less().await, "{ status = 409, accept = true, blame = \"user\" }");
    let text = config("[providers.chat]\npreset = \"own\"\n", &[]);
    let drawn = draw_with(&text, &Environment::default(), clock(), &[("own", &mistaken)]);
    let errors = drawn.map(|_| ()).expect_err("refused").to_string();
    assert!(errors.contains("blame says whom a failure is about"), "{errors}");
}

async fn service_less() -> Fake {
    Fake::start(|_: &Call| answer(200, &[])).await
}

/// T-63: failures of one's own are no way to keep one's tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_blamed_user_can_sign_out() {
    let (service, fake) = beside_mallory(answer(429, &[("Retry-After", "60")]), "", "").await;
    assert_eq!(service.session("mallory").await.status, 503);
    assert_eq!(service.ask("DELETE", SESSION, &[("X-Forwarded-User", "mallory")]).await.status, 204);
    assert!(fake.asked().contains(&"DELETE /users/mallory".to_owned()));
}

/// T-64: calls that were under way when a stall was noticed do not make the pause any longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_over_a_second_after_it_is_over() {
    for number in [5, 8, 40] {
        let (service, fake) = beside_mallory(Script::Silence, "", "timeout = \"5s\"").await;
        let service = Arc::new(service);
        let mut stalled = tokio::task::JoinSet::new();
        for n in 0..number {
            let service = Arc::clone(&service);
            stalled.spawn(async move { service.session(&format!("mallory{n}")).await.status });
        }
        eventually("all calls are under way", async || fake.calls().len() == number).await;
        service.advance(5);
        assert!(stalled.join_all().await.iter().all(|status| *status == 503));
        service.metric_reaches("sidemint_breaker_state{provider=\"chat\"}", 2.0).await;
        assert_eq!(told(&service.session("early").await).2, Some(1));
        service.advance(1);
        assert_eq!(service.session("new").await.status, 200, "{number}");
    }
}

/// T-64: calls without end take so many places and no more; who has a session does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_bounded() {
    let (service, fake) = beside_mallory(Script::Silence, "", "timeout = \"5s\"\ncalls_at_once = 3").await;
    let service = Arc::new(service);
    assert_eq!(service.session("warm").await.status, 200);
    let metric = |name: &str| format!("{name}{{provider=\"chat\"}}");
    let mut asked = tokio::task::JoinSet::new();
    for n in 0..30 {
        let service = Arc::clone(&service);
        asked.spawn(async move { told(&service.session(&format!("mallory{n}")).await) });
    }
    // Three call, 24 wait, and three find too many before them.
    for _ in 0..3 {
        let refused = asked.join_next().await.unwrap().unwrap();
        assert_eq!(refused, (503, "provider_unavailable".to_owned(), Some(1)));
    }
    eventually("three calls are under way", async || fake.calls().len() == 4).await;
    assert_eq!(service.session("warm").await.status, 200);
    for (name, value) in [("running", 3.0), ("waiting", 24.0), ("refused_total", 3.0)] {
        let name = format!("sidemint_calls_{name}");
        service.metric_reaches(&metric(&name), value).await;
    }
    assert_eq!(fake.calls().len(), 4);
    service.advance(5);
    assert!(asked.join_all().await.iter().all(|(status, _, wait)| *status == 503 && wait.is_some()));
}

#[test]
fn calls_at_once_has_limits() {
    for (value, good) in [("0", false), ("1", true), ("4096", true), ("4097", false), ("1000000000000", false)] {
        let text =
            format!("[providers.chat]\npreset = \"local\"\npublic_api_url = \"http://x\"\ncalls_at_once = {value}\n");
        let drawn = draw(&config(&text, &[]), &Environment::default(), clock());
        let errors = drawn.err().map(|errors| errors.to_string()).unwrap_or_default();
        assert_eq!(!errors.contains("providers.chat.calls_at_once: is "), good, "{value}: {errors}");
    }
}

/// Log lines about the provider, of a program that is asked by `users` while the provider does `script` on `path`.
async fn log_of(path: &str, script: Script, users: usize) -> Vec<Value> {
    let fake = Sendsar::start(Arc::new(ManualClock::new(SystemClock.now()))).await;
    fake.always(path, Some(script));
    let log = [("log.format", "\"json\"")];
    let mut program = Program::start(&sendsar(&fake, "retries = 0"), &log, &[("SENDSAR_API_KEY", API_KEY)]).await;
    let mut connection = Connection::open(program.front).await;
    for n in 0..users {
        let user = format!("user{n}");
        let answer = connection.ask("GET", SESSION, &[("X-Forwarded-User", &user)]).await;
        assert_eq!(answer.status, 503);
    }
    program.signal("TERM");
    let (_, log) = program.ended().await;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    lines.filter(|line| line["target"] == "sidemint::provider::calls::journal").collect()
}

/// T-63: why a provider failed stands in the log once, however many users meet it, and nothing of them or its answer.
#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_failure_is_told_once() {
    for (path, script, expected) in [
        ("/v1/auth/token", Script::text(200, "text/plain", "CANARY"), json!(["mint", 200, "bad_response", "shape"])),
        ("/v1/users", Script::json(400, &json!({"CANARY": 1})), json!(["upsert", 400, "rejected", "status"])),
        ("/v1/users", Script::text(503, "text/plain", "CANARY"), json!(["upsert", 503, "unavailable", "status"])),
        ("/v1/auth/token", Script::Reset, json!(["mint", null, "unavailable", "broken"])),
    ] {
        let lines = log_of(path, script, 30).await;
        let fields: Vec<&Value> = lines.iter().map(|line| line.get("fields").unwrap_or(line)).collect();
        let failures: Vec<_> = fields.iter().filter(|line| line["message"] == "the provider failed").collect();
        assert_eq!(failures.len(), 1, "{lines:?}");
        let told = failures[0];
        assert_eq!(json!([told["step"], told["status"], told["class"], told["cause"]]), expected, "{told}");
        assert!(told["host"].as_str().unwrap().starts_with("127.0.0.1:"), "{told}");
        assert_eq!(told["request_id"].as_str().unwrap().len(), 16, "{told}");
        let paused = fields.iter().filter(|line| line["message"].as_str().unwrap().contains("left alone")).count();
        assert_eq!(paused, usize::from(told["class"] != "rejected"), "{lines:?}");
        assert!(lines.iter().all(|line| line["level"] == "WARN"), "{lines:?}");
        let text = json!(lines).to_string();
        assert!(!text.contains("CANARY") && !text.contains("user0") && !text.contains("/v1"), "{text}");
    }
}

/// The same sentence at the command line: what went wrong, and where.
#[tokio::test(flavor = "multi_thread")]
async fn mint_tells_why_there_is_no_session() {
    let silent = Fake::start(|_: &Call| Script::Silence).await;
    let encrypted = Fake::start(|_: &Call| answer(200, &[])).await;
    encrypted.shows(&Authority::new().server());
    let failing = Fake::start(|_: &Call| answer(502, &[])).await;
    for (url, expected) in [
        ("http://127.0.0.1:1".to_owned(), "upsert: unavailable (no connection: connection refused) at 127.0.0.1:1"),
        (
            "http://nowhere.invalid:8080".to_owned(),
            "upsert: unavailable (no connection: DNS lookup of the host failed) at nowhere.invalid:8080",
        ),
        (encrypted.tls_url(), "unavailable (no connection: TLS failed, the certificate is from an unknown authority)"),
        (failing.base_url(), "unavailable (answered 502)"),
        (silent.base_url(), "unavailable (timed out: no answer within the deadline)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let provider = format!(
            "[[routes]]\npath = \"/auth\"\nanswer = \"subrequest\"\nprovider = \"chat\"\n[providers.chat]\npreset = \"sendsar\"\n\
             api_url = \"{url}\"\npublic_api_url = \"https://x\"\ntimeout = \"300ms\"\nretries = 0\n"
        );
        std::fs::write(folder.path().join("config.toml"), config(&provider, &[])).unwrap();
        let mut run = Command::new(env!("CARGO_BIN_EXE_sidemint"));
        run.args(["mint", "--user", "alice"]).current_dir(folder.path()).env_clear().env("SENDSAR_API_KEY", API_KEY);
        let output = tokio::task::spawn_blocking(move || run.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("no session: ") && said.contains(expected), "{url}: {said}");
    }
}
