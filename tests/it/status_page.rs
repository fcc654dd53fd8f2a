//! The status page of the ops listener: what it tells, whom it lets in, and how it looks in a real browser.

use std::time::Duration;

use serde_json::{Value, json};
use sidemint::config::Environment;

use crate::client::{Answer, Connection};
use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::harness::{LOCAL, SESSION, Service, clock, config};
use crate::parts::chromium::Chromium;

const MINUTE: Duration = Duration::from_secs(60);
const ALICE: [(&str, &str); 2] = [("X-Forwarded-User", "CANARYalice"), ("X-Forwarded-Name", "CANARYname")];

async fn local(overrides: &[(&str, &str)]) -> Service {
    Service::start(&config(LOCAL, overrides), &Environment::default(), clock()).await
}

async fn ask(service: &Service, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    Connection::open(service.ops).await.ask(method, path, headers).await
}

/// A page, as a person's browser asks for it.
async fn get(service: &Service, path: &str) -> Answer {
    ask(service, "GET", path, &[("Host", "localhost:9090"), ("Sec-Fetch-Site", "none")]).await
}

async fn told(service: &Service) -> Value {
    get(service, "/status.json").await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_that_all_is_well_and_what_was_asked() {
    let service = local(&[]).await;
    for _ in 0..4 {
        assert_eq!(service.ask("GET", SESSION, &ALICE).await.status, 200);
    }
    assert_eq!(service.ask("GET", SESSION, &[]).await.status, 401);
    let status = told(&service).await;
    assert_eq!(status["summary"], "Ready. No request failed in the last 15 minutes.");
    assert_eq!((&status["ready"], &status["reasons"]), (&json!(true), &json!([])));
    let route = &status["routes"][0];
    assert_eq!(
        (&route["path"], &route["answer"], &route["provider"]),
        (&json!(SESSION), &json!("session"), &json!("chat"))
    );
    for (span, minutes) in [1, 15, 60].into_iter().enumerate() {
        let wanted = json!({"minutes": minutes, "requests": 5, "warm": 3, "sessions": 4, "refusals": 1, "failures": 0});
        assert_eq!(route["last"][span], wanted);
    }
    assert_eq!((&status["sessions"]["cached"], &status["version"]), (&json!(1), &json!(env!("CARGO_PKG_VERSION"))));
    let cautions = status["cautions"].as_array().unwrap();
    assert!(cautions.iter().any(|own| own.as_str().unwrap().starts_with("provider chat: NO SIGNING KEY CONFIGURED")));
    let page = get(&service, "/").await;
    let text = page.text();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    for part in
        ["✓ Ready. No request failed", "<caption>", "75 %", SESSION, "calls are made", "<time datetime=\"2026-05-04T"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("CANARY") && !status.to_string().contains("CANARY"));
    assert!(!text.contains("<script") && !text.contains("<img") && !text.contains("url("));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_fails_and_for_how_long() {
    let (service, fake) = Service::sendsar().await;
    assert_eq!(
        service.ask("GET", SESSION, &[("X-Forwarded-User", "bob"), ("X-Forwarded-Name", "Bob")]).await.status,
        200
    );
    service.clock.advance(MINUTE);
    let minutes = async || told(&service).await["calls"][0]["lastOkMinutes"].as_u64();
    eventually("the minute is over", async || minutes().await == Some(1)).await;
    fake.always("/v1/auth/token", Some(Script::json(403, &json!({"error": "CANARYtext"}))));
    let failed = service.ask("GET", SESSION, &ALICE).await;
    assert_eq!(failed.status, 503);
    let status = told(&service).await;
    let summary = status["summary"].as_str().unwrap();
    // Alice was told to the provider before her token was refused.
    let calls = "Ready. Calls to provider chat fail (credential_rejected); the last one that succeeded was less than a minute ago.";
    assert!(summary.starts_with(calls), "{summary}");
    assert!(summary.ends_with("One request failed in the last 15 minutes."), "{summary}");
    let failure = &status["failures"][0];
    assert_eq!((&failure["route"], &failure["outcome"]), (&json!(SESSION), &json!("provider_credentials")));
    assert_eq!(failure["requestId"].as_str(), failed.header("x-request-id"));
    assert_eq!(status["calls"][0]["lastFailure"]["minutes"], 0);
    assert_eq!(status["routes"][0]["last"][0]["failures"], 1);
    let page = get(&service, "/").await.text().to_owned();
    assert!(page.contains("✗ 1") && page.contains("provider_credentials"), "{page}");
    assert!(!page.contains("CANARY") && !status.to_string().contains("CANARY"));
    // An hour later it is no news any more, but for the list of failures.
    service.clock.advance(61 * MINUTE);
    let counts = async || {
        let status = told(&service).await;
        (status["routes"][0]["last"][2]["failures"].as_u64(), status["calls"][0]["failed"].as_u64())
    };
    eventually("the hour is over", async || counts().await == (Some(0), Some(0))).await;
    let status = told(&service).await;
    assert_eq!(status["failures"].as_array().unwrap().len(), 1);
}

/// A route that is for one host alone counts as any other.
#[tokio::test(flavor = "multi_thread")]
async fn routes_of_a_host_are_counted() {
    let service = local(&[(
        "routes",
        "[{ path = \"/api/chat/session\", host = \"chat.example\", answer = \"session\", provider = \"chat\" }]",
    )])
    .await;
    let headers = [&ALICE[..], &[("Host", "chat.example")]].concat();
    assert_eq!(service.ask("GET", SESSION, &headers).await.status, 200);
    let route = &told(&service).await["routes"][0];
    assert_eq!((&route["host"], &route["last"][0]["requests"]), (&json!("chat.example"), &json!(1)));
    // A minute is over where the next one begins, and not at each look at the counters.
    service.clock.advance(Duration::from_secs(50));
    let requests = async |span: usize| told(&service).await["routes"][0]["last"][span]["requests"].as_u64();
    assert_eq!(requests(0).await, Some(1));
    service.clock.advance(Duration::from_secs(20));
    eventually("the minute is over", async || requests(0).await == Some(0)).await;
    assert_eq!(requests(1).await, Some(1));
}

/// T-76: a person's browser shows it; a page of another site or behind a name bound to this address gets nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_it_for_a_person_alone() {
    let service = local(&[("ops.allow_hosts", "[\"sidemint.ops.svc\"]")]).await;
    for path in ["/", "/status.json"] {
        for (site, status) in [
            (None, 200),
            (Some("none"), 200),
            (Some("same-origin"), 200),
            (Some("same-site"), 403),
            (Some("cross-site"), 403),
            (Some("None"), 403),
            (Some(""), 403),
        ] {
            let headers: Vec<_> =
                [("Host", "localhost")].into_iter().chain(site.map(|site| ("Sec-Fetch-Site", site))).collect();
            assert_eq!(ask(&service, "GET", path, &headers).await.status, status, "{path} {site:?}");
        }
        for (host, status) in [
            ("127.0.0.1:9090", 200),
            ("[::1]:9090", 200),
            ("localhost", 200),
            ("LOCALHOST:9090", 200),
            ("sidemint.ops.svc:9090", 200),
            ("evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("localhost.evil.example", 421),
        ] {
            assert_eq!(ask(&service, "GET", path, &[("Host", host)]).await.status, status, "{path} {host}");
        }
        let answer = get(&service, path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'none'; base-uri 'none'; form-action 'none'"), "{policy}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let answer = ask(&service, "POST", path, &[("Host", "localhost")]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_there_unless_it_is_turned_off() {
    let service = local(&[("ops.status", "false")]).await;
    for path in ["/", "/status.json"] {
        assert_eq!(get(&service, path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_loads_itself_anew_by_choice_alone() {
    let service = local(&[]).await;
    for (query, is_anew) in [("", false), ("?refresh=30", true), ("?refresh=1", false), ("?refresh=30x", false)] {
        let page = get(&service, &format!("/{query}")).await;
        assert_eq!(page.text().contains("<meta http-equiv=\"refresh\" content=\"30\">"), is_anew, "{query}");
    }
}

/// With 20 routes it is below 60 KB, so that it comes over a bad line at night.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_small() {
    let mut text = config(LOCAL, &[]);
    for n in 0..20 {
        text +=
            &format!("[[routes]]\npath = \"/api/team-{n}/chat/session\"\nanswer = \"session\"\nprovider = \"chat\"\n");
    }
    let service = Service::start(&text, &Environment::default(), clock()).await;
    let page = get(&service, "/").await;
    assert!(page.text().contains("/api/team-19/chat/session"));
    assert!(page.body.len() < 60 * 1024, "{}", page.body.len());
}

/// In a real browser: no fault that axe finds in any theme, nothing wider than a phone, all of it by keyboard and without scripts.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_can_read_it() {
    let (service, fake) = Service::sendsar().await;
    assert_eq!(service.ask("GET", SESSION, &ALICE).await.status, 200);
    fake.always("/v1/auth/token", Some(Script::json(403, &json!({}))));
    let bob = [("X-Forwarded-User", "bob"), ("X-Forwarded-Name", "Bob")];
    assert_eq!(service.ask("GET", SESSION, &bob).await.status, 503);
    let (url, chromium) = (format!("http://{}/", service.ops), Chromium::start().await);
    let person = chromium.visitor("person", &json!({})).await;
    person.visit(&url).await;
    for how in [
        json!({"colorScheme": "light", "width": 1280}),
        json!({"colorScheme": "dark", "width": 1280}),
        json!({"colorScheme": "dark", "width": 320}),
        json!({"forcedColors": "active", "width": 640}),
    ] {
        person.look(how.clone()).await;
        let audit = person.audit().await;
        assert_eq!((&audit["wrong"], &audit["wide"]), (&json!([]), &json!(false)), "{how}");
        assert!(audit["checked"].as_u64().unwrap() > 10, "{audit}");
    }
    let reached = person.tab(5).await;
    assert_eq!(reached, json!(["/", "/?refresh=30", "/status.json", "routes", "providers"]));
    let report = person.report().await;
    assert_eq!(report["complaints"], json!([]), "the policy allows the style");
    let person = chromium.visitor_without_scripts("without").await;
    person.visit(&url).await;
    person.read("h1", "sidemint").await;
    person.read("td", "provider_credentials").await;
}
