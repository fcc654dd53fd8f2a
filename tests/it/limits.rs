//! What one user may make us do, and that it is no other user's loss.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sidemint::config::Environment;

use crate::client::{Answer, request};
use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw, sendsar, sendsar_key};

const GUARD: &str =
    "[[routes]]\npath = \"/guard\"\nanswer = \"subrequest\"\nmode = \"required\"\nprovider = \"chat\"\n";

/// A definition that asks for a token and takes tokens back, at the address of the fake.
fn definition(name: &str, fake: &Fake) -> String {
    format!(
        "name = \"{name}\"\nsummary = \"a system of ours\"\n[settings.api_url]\nabout = \"its address\"\nkind = \"url\"\n\
         default = \"{}\"\n[user]\ncase = \"counts\"\n[lifetime]\ndefault = \"1h\"\nmargin = \"60s\"\non_credential_change = \"keep\"\n[response]\napi_url = \"{{{{ config.api_url }}}}\"\n\
         [[token.steps]]\nid = \"mint\"\npost = \"{{{{ config.api_url }}}}/token\"\njson = {{ user = \"{{{{ user.id }}}}\" }}\n\
         token = \"/token\"\nexpires = {{ kind = \"requested\" }}\n\
         [[revoke.steps]]\nid = \"revoke\"\ndelete = \"{{{{ config.api_url }}}}/users/{{{{ user.id }}}}\"\n",
        fake.base_url()
    )
}

async fn of(service: &Service, method: &str, path: &str, user: &str, name: &str) -> Answer {
    service.ask(method, path, &[("X-Forwarded-User", user), ("X-Forwarded-Name", name)]).await
}

/// T-54: the limit is one user's own, and what the cache answers does not count.
#[tokio::test(flavor = "multi_thread")]
async fn mints_and_sign_outs_of_one_user_are_limited_and_hits_are_not() {
    let text = config(&format!("{GUARD}{LOCAL}"), &[("limits.user_rate", "\"4/min\"")]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    assert_eq!(of(&service, "GET", SESSION, "mallory", "one").await.status, 200);
    for _ in 0..50 {
        assert_eq!(of(&service, "GET", SESSION, "mallory", "one").await.status, 200, "from the cache");
    }
    assert_eq!(of(&service, "DELETE", SESSION, "mallory", "one").await.status, 204);
    // Half of the rate came at once; the rest comes free evenly, three in a minute.
    let limited = of(&service, "GET", SESSION, "mallory", "two").await;
    assert_eq!((limited.status, limited.code().as_str()), (429, "rate_limited"));
    assert_eq!((limited.header("retry-after"), limited.header("x-chat-token")), (Some("20"), None));
    assert_eq!(of(&service, "DELETE", SESSION, "mallory", "one").await.status, 429);
    let optional = of(&service, "GET", "/auth", "mallory", "two").await;
    assert_eq!((optional.status, optional.header("x-chat-status")), (200, Some("limited")));
    assert_eq!(of(&service, "GET", "/guard", "mallory", "two").await.status, 403);
    for user in ["alice", "mallory2", "Mallory"] {
        assert_eq!(of(&service, "GET", SESSION, user, "one").await.status, 200, "{user}");
    }
    service.advance(20);
    assert_eq!(of(&service, "GET", SESSION, "mallory", "two").await.status, 200, "as advised");
    assert_eq!(of(&service, "GET", SESSION, "mallory", "three").await.status, 429);
}

/// Renewals are our own doing: a session in use goes on, however long, without a request that counts.
#[tokio::test(flavor = "multi_thread")]
async fn renewals_by_the_clock_do_not_count() {
    let text = config(LOCAL, &[("limits.user_rate", "\"1/day\""), ("routes", &routes())]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    assert_eq!(of(&service, "GET", SESSION, "alice", "Alice").await.status, 200);
    let renewed = format!("sidemint_sessions_total{{how=\"renewed\",route=\"{SESSION}\"}}");
    for n in 1..=5_u32 {
        service.advance(3600 * 85 / 100);
        service.metric_reaches(&renewed, f64::from(n)).await;
        assert_eq!(of(&service, "GET", SESSION, "alice", "Alice").await.status, 200);
    }
}

fn routes() -> String {
    format!("[{{ path = \"{SESSION}\", answer = \"session\", provider = \"chat\", ttl = \"1h\" }}]")
}

/// T-66: by default a user who signs out and in in a loop meets a limit, and the provider is told of the user once.
#[tokio::test(flavor = "multi_thread")]
async fn signing_out_and_in_in_a_loop_ends_with_429() {
    let clock = clock();
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let mut text: toml::Table = config(&sendsar(&fake, ""), &[]).parse().unwrap();
    text.remove("limits");
    let service = Service::start(&text.to_string(), &sendsar_key(), clock).await;
    let mut rounds = 0;
    let limited = loop {
        rounds += 1;
        let out = of(&service, "DELETE", SESSION, "loop", "Loop").await;
        let back = of(&service, "GET", SESSION, "loop", "Loop").await;
        if let Some(limited) = [out, back].into_iter().find(|answer| answer.status == 429) {
            break limited;
        }
        assert!(rounds < 30, "30 a minute, and no time passes");
    };
    assert_eq!(limited.header("retry-after"), Some("4"));
    assert_eq!((fake.upserts(), fake.mints()), (1, 7));
    assert_eq!(of(&service, "GET", SESSION, "other", "Other").await.status, 200);
    let service = Service::local().await;
    for _ in 0..100 {
        assert_eq!(of(&service, "DELETE", SESSION, "loop", "Loop").await.status, 204);
    }
}

/// T-66: who signs out is out, also where that is once too often.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_beyond_the_rate_drops_the_sessions_all_the_same() {
    let text = config(LOCAL, &[("limits.user_rate", "\"1/min\"")]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    assert_eq!(of(&service, "GET", SESSION, "alice", "Alice").await.status, 200);
    assert_eq!(of(&service, "DELETE", SESSION, "alice", "Alice").await.status, 429);
    assert_eq!(of(&service, "GET", SESSION, "alice", "Alice").await.status, 429, "the cache has nothing");
}

/// T-54: a user who asks for very much at once waits alone: others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn one_noisy_user_does_not_delay_others() {
    let (service, fake) = Service::sendsar_with("", &[("routes", &routes())]).await;
    let service = Arc::new(service);
    let gate = fake.hold().await;
    let mut noise = tokio::task::JoinSet::new();
    for n in 0..60 {
        let service = Arc::clone(&service);
        noise.spawn(async move { of(&service, "GET", SESSION, "mallory", &format!("Name {n}")).await });
    }
    // Those beyond the cap are told at once, while the others wait for the provider.
    let mut limited = 0;
    while limited < 60 - 16 {
        let answer = noise.join_next().await.expect("more").expect("no panic");
        assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        limited += 1;
    }
    assert!(fake.upserts() <= 16, "{}", fake.upserts());
    let sign_out = of(&service, "DELETE", SESSION, "bob", "Bob").await;
    assert_eq!(sign_out.status, 204);
    let bob = {
        let service = Arc::clone(&service);
        tokio::spawn(async move { of(&service, "GET", SESSION, "bob", "Bob").await })
    };
    fake.until(|fake| fake.mints() == 17).await;
    drop(gate);
    assert_eq!(bob.await.expect("no panic").status, 200);
    while let Some(answer) = noise.join_next().await {
        assert_eq!(answer.expect("no panic").status, 200);
    }
    assert_eq!(of(&service, "GET", SESSION, "mallory", "later").await.status, 200, "there is room again");
}

/// All providers are asked at once to take tokens back, and no request waits longer than the route says.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_asks_all_providers_at_once_and_keeps_the_deadline() {
    let silent = Fake::start(|_: &Call| Script::Silence).await;
    let good = Fake::start(|_: &Call| Script::json(200, &json!({"token": "tok"}))).await;
    let route = |path: &str, provider: &str| {
        format!("[[routes]]\npath = \"{path}\"\nanswer = \"session\"\nprovider = \"{provider}\"\ndeadline = \"2s\"\n")
    };
    let rest = format!(
        "{}{}[providers.first]\npreset = \"first\"\ntimeout = \"60s\"\n[providers.second]\npreset = \"second\"\n",
        route(SESSION, "first"),
        route("/second", "second")
    );
    let (first, second) = (definition("first", &silent), definition("second", &good));
    let definitions = [("first", first.as_str()), ("second", second.as_str())];
    let service = Service::start_with(&config(&rest, &[]), &Environment::default(), clock(), &definitions).await;
    assert_eq!(of(&service, "GET", "/second", "alice", "Alice").await.status, 200);
    let mut connection = service.connect().await;
    connection.send(request("DELETE", SESSION, &[("X-Forwarded-User", "alice")], b"")).await;
    let both = || silent.calls().len() == 1 && good.asked().contains(&"DELETE /users/alice".to_owned());
    eventually("both are asked", async || both()).await;
    service.clock.advance(Duration::from_secs(2));
    let answer = connection.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (503, "provider_unavailable"));
    assert_eq!(of(&service, "GET", "/second", "alice", "Alice").await.status, 200);
    assert_eq!(good.asked().iter().filter(|call| *call == "POST /token").count(), 2, "signed out all the same");
}

/// T-55: what users send makes no series and stands in no label.
#[tokio::test(flavor = "multi_thread")]
async fn users_make_no_metrics() {
    let overrides = [("limits.user_rate", "\"2/min\""), ("identity.users.deny", "[\"denied\"]")];
    let service = Service::start(&config(LOCAL, &overrides), &Environment::default(), clock()).await;
    let series = async || {
        let text = service.ops("/metrics").await.text().to_owned();
        let names: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect();
        names
    };
    let before = series().await;
    let mut connection = service.connect().await;
    for n in 0..300_u32 {
        let user = format!("canary{n}\"}} x{}", char::from_u32(0xC0 + n % 32).unwrap());
        let groups = format!("group{n},canary");
        for path in [SESSION, "/auth", &format!("/canary{n}")] {
            connection.ask("GET", path, &[("X-Forwarded-User", &user), ("X-Forwarded-Groups", &groups)]).await;
        }
        for name in ["a", "b", "c"] {
            connection
                .ask("GET", SESSION, &[("X-Forwarded-User", "canary"), ("X-Forwarded-Name", &format!("{name}{n}"))])
                .await;
        }
        connection.ask("DELETE", SESSION, &[("X-Forwarded-User", "denied")]).await;
    }
    let after = series().await;
    assert_eq!(before, after);
    assert!(!after.iter().any(|line| line.contains("canary")));
}

#[test]
fn a_rate_that_is_none_is_refused() {
    for (text, expected) in [
        ("\"thirty\"", "limits.user_rate: is \"thirty\"; write calls and a time: \"90/min\""),
        ("\"0/min\"", "limits.user_rate: is \"0/min\", which lets no call pass; or \"none\""),
        ("\"\"", "limits.user_rate: is \"\"; write calls and a time"),
    ] {
        let drawn = draw(&config(LOCAL, &[("limits.user_rate", text)]), &Environment::default(), clock());
        let errors = drawn.map(|_| ()).expect_err("refused").to_string();
        assert!(errors.contains(expected), "{errors}");
    }
}
