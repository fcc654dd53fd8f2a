//! Request lines, traces, metrics and probes, and that `docs/observability.md` says what there is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sidemint::config::Environment;
use sidemint::lifecycle::Lifecycle;
use sidemint::metrics::{Family, Metrics};

use crate::client::{Connection, request};
use crate::fakes::http::Script;
use crate::harness::{LOCAL, SESSION, Service, clock, config};
use crate::pki::{Authority, Mount};

const DOCS: &str = include_str!("../../docs/observability.md");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn with<'h>(user: &'h str, more: &[(&'h str, &'h str)]) -> Vec<(&'h str, &'h str)> {
    [&[("X-Forwarded-User", user), ("X-Forwarded-Name", user)], more].concat()
}

async fn local(overrides: &[(&str, &str)]) -> Service {
    Service::start(&config(LOCAL, overrides), &Environment::default(), clock()).await
}

/// The rows below the header row that begins with `first`: cells without code marks.
fn documented(first: &str) -> Vec<Vec<String>> {
    let mut lines = DOCS.lines().skip_while(|line| !line.starts_with(&format!("| {first} |")));
    assert!(lines.next().is_some() && lines.next().is_some(), "a table of {first}");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    lines.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// One family as `/metrics` shows it.
#[derive(Debug, Default)]
struct Shown {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
    series: BTreeSet<String>,
}

/// Reads the exposition format; anything that does not fit it is a failure.
fn families(text: &str) -> BTreeMap<String, Shown> {
    let mut all: BTreeMap<String, Shown> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            assert!(all.insert(name.to_owned(), Shown { help: help.to_owned(), ..Shown::default() }).is_none());
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kind.clone_into(&mut all.get_mut(name).expect("HELP first").kind);
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = series.strip_suffix('}').map_or((series, ""), |rest| rest.split_once('{').expect("{"));
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let base = base.filter(|base| all.get(*base).is_some_and(|family| family.kind == "histogram"));
            let family = all.get_mut(base.unwrap_or(name)).unwrap_or_else(|| panic!("no TYPE before {line}"));
            assert!(family.series.insert(series.to_owned()), "{series} twice");
            family.labels.extend(labels_of(labels).into_iter().filter(|label| label != "le"));
        }
    }
    all
}

/// Names of `a="x",b="y"`.
fn labels_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').expect("a quoted value");
        assert!(!value.contains('\\'), "a label value needs no escape: {text}");
        names.push(name.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    assert!(rest.is_empty(), "{text}");
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_request_is_carried_on_to_the_provider() {
    let (service, fake) = Service::sendsar().await;
    let parent = "00f067aa0ba902b7";
    let line = format!("00-{TRACE}-{parent}-01");
    let headers = with("alice", &[("traceparent", &line), ("tracestate", "vendor=1")]);
    assert_eq!(service.ask("GET", SESSION, &headers).await.status, 200);
    let mut parents = BTreeSet::new();
    for call in fake.calls() {
        let parts: Vec<_> = call.headers["traceparent"].split('-').collect();
        assert_eq!((parts.len(), parts[0], parts[1], parts[3]), (4, "00", TRACE, "01"));
        assert!(parts[2].len() == 16 && parts[2] != parent && parts[2] != "0000000000000000", "{parts:?}");
        parents.insert(parts[2].to_owned());
        assert_eq!(call.headers["tracestate"], "vendor=1");
    }
    assert_eq!(parents.len(), 2, "each call is a span of its own");
    assert_eq!(service.log_lines(1).await[0]["trace_id"], TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_trace_is_ignored() {
    let (service, fake) = Service::sendsar().await;
    let long = format!("00-{TRACE}-00f067aa0ba902b7-01-more");
    let upper = format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase());
    let zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    for (n, bad) in ["", "x", "00-1-2-3", &long, &upper, &zero, "00-\"}-x-01"].into_iter().enumerate() {
        let user = format!("user{n}");
        let headers = with(&user, &[("traceparent", bad), ("tracestate", "vendor=1")]);
        assert_eq!(service.ask("GET", SESSION, &headers).await.status, 200, "{bad}");
    }
    let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let twice = with("twice", &[("traceparent", &good), ("traceparent", &good)]);
    assert_eq!(service.ask("GET", SESSION, &twice).await.status, 200);
    assert!(fake.calls().iter().all(|call| !call.headers.contains_key("traceparent")));
    assert!(fake.calls().iter().all(|call| !call.headers.contains_key("tracestate")));
    assert!(service.log_lines(8).await.iter().all(|line| line.get("trace_id").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn which_requests_get_a_line_is_the_operator_s_choice() {
    for (which, expected) in [("all", 4), ("changes", 2), ("none", 0)] {
        let service = local(&[("log.requests", &format!("\"{which}\""))]).await;
        for _ in 0..3 {
            assert_eq!(service.session("alice").await.status, 200);
        }
        assert_eq!(service.ask("GET", SESSION, &[]).await.status, 401);
        let (_, lines) = service.stop_and_log().await;
        assert_eq!(lines.len(), expected, "{which}: {lines:?}");
        let statuses: BTreeSet<_> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
        assert!(expected == 0 || statuses == BTreeSet::from([200, 401]), "{which}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_shown_as_the_operator_wants_it() {
    for which in ["hashed", "plain", "none"] {
        let service = local(&[("log.users", &format!("\"{which}\""))]).await;
        for user in ["alice", "bob", "alice"] {
            assert_eq!(service.session(user).await.status, 200);
        }
        let lines = service.log_lines(3).await;
        let users: Vec<_> = lines.iter().map(|line| line.get("user").and_then(Value::as_str)).collect();
        match which {
            "none" => assert_eq!(users, [None; 3]),
            "plain" => assert_eq!(users, [Some("alice"), Some("bob"), Some("alice")]),
            _ => {
                assert_eq!(users[0], users[2]);
                assert_ne!(users[0], users[1]);
                let digits = |user: &str| user.len() == 16 && user.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(users.iter().all(|user| user.is_some_and(digits)), "{users:?}");
            }
        }
    }
    let (one, other) = (local(&[]).await, local(&[]).await);
    one.session("alice").await;
    other.session("alice").await;
    assert_ne!(one.log_lines(1).await[0]["user"], other.log_lines(1).await[0]["user"], "meaningless outside of a run");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_line_has_the_documented_fields() {
    let only = [("identity.peers.networks", "[\"127.0.0.1/32\"]")];
    let (service, fake) = Service::sendsar_with("retries = 0", &only).await;
    let line = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let answer = service.ask("GET", SESSION, &with("alice", &[("traceparent", &line)])).await;
    fake.breaks(Some(Script::Reset));
    assert_eq!(service.session("bob").await.status, 503);
    assert_eq!(service.ask("BREW", "/private/path", &[]).await.status, 404);
    let stranger = tokio::net::TcpSocket::new_v4().unwrap();
    stranger.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut stranger = Connection::over(stranger.connect(service.address()).await.unwrap());
    assert_eq!(stranger.ask("GET", SESSION, &with("alice", &[])).await.status, 403);
    assert_eq!(service.ask("GET", SESSION, &with("alice", &[("Origin", "https://evil.example")])).await.status, 403);
    let lines = service.log_lines(5).await;
    let fields = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let rows = documented("field");
    // The platform's own requests are of no team.
    let all: BTreeSet<_> = rows.iter().map(|row| row[0].clone()).filter(|field| field != "team").collect();
    let always: BTreeSet<_> = rows.iter().filter(|row| row[1] == "always").map(|row| row[0].clone()).collect();
    assert_eq!(lines.iter().flat_map(fields).collect::<BTreeSet<_>>(), all);
    assert_eq!(lines.iter().map(fields).reduce(|one, other| &one & &other).unwrap(), always);
    assert_eq!(lines[0]["request_id"], answer.header("x-request-id").unwrap());
    assert_eq!(lines[0]["timestamp"], "2026-05-04T18:40:00.000Z");
    assert!(lines[0]["duration_us"].is_u64() && lines[0]["status"] == 200);
    assert_eq!((&lines[1]["outcome"], &lines[1]["reason"]), (&json!("provider_unavailable"), &json!("unavailable")));
    assert_eq!((&lines[2]["route"], &lines[2]["method"]), (&json!("other"), &json!("other")));
    assert_eq!((&lines[3]["peer"], &lines[4]["origin"]), (&json!("127.0.0.9"), &json!("https://evil.example")));
}

/// A source whose keys never come.
const CORP: &str = "{ kind = \"jwt\", \
    jwt = { header = \"Authorization\", algorithms = [\"EdDSA\"], issuer = \"https://issuer.example\", audience = \"chat\" }, \
    keys = { url = \"http://127.0.0.1:1/keys\", network = \"private\" } }";

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_well_formed_and_as_documented() {
    // One provider that is asked, one with a key of its own, TLS, and a source with keys of another.
    let mount = Mount::of_pair(&Authority::new().server(), "");
    let (certificate, key) = (mount.toml("tls.crt"), mount.toml("tls.key"));
    let own = [
        ("providers.own.preset", "\"local\""),
        ("providers.own.public_api_url", "\"https://chat.example/v1\""),
        ("server.tls.cert_file", certificate.as_str()),
        ("server.tls.key_file", &key),
        ("identity.source", "[\"corp\", \"plain\"]"),
        ("identity.sources.corp", CORP),
        ("identity.sources.corp.namespace", "\"corp\""),
        ("identity.sources.plain.namespace", "\"\""),
    ];
    let (service, _fake) = Service::sendsar_with("rate = \"90/min\"", &own).await;
    let answer = service.ops("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let shown = families(answer.text());
    for (name, family) in &shown {
        assert!(name.starts_with("sidemint_") && !family.help.is_empty(), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
        assert!(
            !family.series.is_empty() && !["_ms", "_us", "_millis"].iter().any(|end| name.ends_with(end)),
            "{name}"
        );
    }
    let shown: BTreeMap<_, _> = shown
        .into_iter()
        .map(|(name, family)| (name, (family.kind, family.labels.into_iter().collect::<Vec<_>>().join(", "))))
        .collect();
    let told: BTreeMap<_, _> =
        documented("metric").into_iter().map(|row| (row[0].clone(), (row[1].clone(), row[2].clone()))).collect();
    // A service without webhooks shows none of theirs, and so on.
    let is_extra = |name: &str| {
        ["webhook", "gateway", "shared", "team"].iter().any(|own| name.starts_with(&format!("sidemint_{own}_")))
    };
    let usual: BTreeMap<_, _> = told.iter().filter(|(name, _)| !is_extra(name)).collect();
    assert_eq!(shown.iter().collect::<BTreeMap<_, _>>(), usual);
    let labels =
        |family: &Family| family.labels.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    let declared: BTreeMap<_, _> = Metrics::FAMILIES
        .concat()
        .iter()
        .map(|family| (family.name.to_owned(), (family.kind.to_owned(), labels(family).join(", "))))
        .collect();
    assert_eq!(declared, told);
}

/// T-55: whatever users, paths and methods come, and however they end, there are the series that there were.
#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_series_does_not_depend_on_requests() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let series = |text: &str| families(text).into_values().flat_map(|family| family.series).collect::<BTreeSet<_>>();
    let before = series(service.ops("/metrics").await.text());
    let mut connection = service.connect().await;
    for n in 0..200_u64 {
        let user = format!("u{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        assert_eq!(connection.ask("GET", SESSION, &with(&user, &[])).await.status, 200);
        assert_eq!(connection.ask("GET", &format!("/auth/{user}?{user}"), &with(&user, &[])).await.status, 200);
        assert_eq!(connection.ask("GET", &format!("/{user}"), &[]).await.status, 404);
    }
    for method in ["BREW", "X", "PATCH", "TRACE", "PROPFIND"] {
        for path in ["/", "//", "/a\"b", "/a{b=\"c\"}", "/%00", "/..;/x", SESSION, "/auth/../x"] {
            service.ask(method, path, &with("alice", &[("X_Forwarded_User", "eve")])).await;
        }
    }
    fake.breaks(Some(Script::text(418, "text/plain", "teapot")));
    assert_eq!(service.session("late").await.status, 503);
    assert_eq!(series(service.ops("/metrics").await.text()), before);
}

async fn sessions(service: &Service, how: &str) -> f64 {
    service.metric(&format!("sidemint_sessions_total{{how=\"{how}\",route=\"{SESSION}\"}}")).await
}

#[track_caller]
fn is(value: f64, expected: u32) {
    assert!((value - f64::from(expected)).abs() < 0.1, "{value} is not {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_tell_how_sessions_came_about() {
    let (service, fake) = Service::sendsar().await;
    for _ in 0..3 {
        assert_eq!(service.session("alice").await.status, 200);
    }
    is(sessions(&service, "minted").await, 1);
    is(sessions(&service, "hit").await, 2);
    let gate = fake.hold().await;
    service.advance(2900);
    fake.until(|fake| fake.mints() == 2).await;
    assert_eq!(service.session("alice").await.status, 200);
    is(sessions(&service, "stale").await, 1);
    drop(gate);
    let renewed = format!("sidemint_sessions_total{{how=\"renewed\",route=\"{SESSION}\"}}");
    service.metric_reaches(&renewed, 1.0).await;
    is(service.metric("sidemint_upserts_total{provider=\"chat\",result=\"done\"}").await, 1);
    is(service.metric("sidemint_upserts_total{provider=\"chat\",result=\"skipped\"}").await, 1);
    is(service.metric(&format!("sidemint_requests_total{{outcome=\"ok\",route=\"{SESSION}\"}}")).await, 4);
    is(service.metric(&format!("sidemint_request_duration_seconds_count{{route=\"{SESSION}\"}}")).await, 4);
    let calls = "sidemint_provider_call_duration_seconds_count{provider=\"chat\",step=\"mint\"}";
    is(service.metric(calls).await, 2);
    is(service.metric("sidemint_cache_entries").await, 1);
    assert!(service.metric("sidemint_cache_bytes").await > 200.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_used_any_more_is_counted_when_it_goes() {
    let service = Service::local().await;
    assert_eq!(service.session("alice").await.status, 200);
    let expired = format!("sidemint_sessions_total{{how=\"expired\",route=\"{SESSION}\"}}");
    // Renewed once, because the first request counts as use; then unused, and gone at the end of its time.
    service.advance(3100);
    service.metric_reaches(&format!("sidemint_sessions_total{{how=\"renewed\",route=\"{SESSION}\"}}"), 1.0).await;
    is(service.metric("sidemint_cache_entries").await, 1);
    service.advance(3600);
    service.metric_reaches(&expired, 1.0).await;
    is(sessions(&service, "renewed").await, 1);
    is(service.metric("sidemint_cache_entries").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_reason() {
    let service = Service::local().await;
    for (headers, reason) in [
        (vec![], "absent"),
        (vec![("X-Forwarded-Email", "a@b.example")], "subject_missing"),
        (with("alice", &[("X-Forwarded-User", "alice")]), "duplicate"),
        (with("alice", &[("X_Forwarded_User", "bob")]), "alias"),
        (with("alice", &[("Connection", "x-forwarded-user")]), "listed_in_connection"),
        (with("$remote_user", &[]), "template"),
        (with("a\u{200b}b", &[]), "character"),
    ] {
        assert_eq!(service.ask("GET", SESSION, &headers).await.status, 401, "{reason}");
        is(service.metric(&format!("sidemint_identity_refusals_total{{reason=\"{reason}\"}}")).await, 1);
    }
    is(service.metric(&format!("sidemint_requests_total{{outcome=\"unauthorized\",route=\"{SESSION}\"}}")).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_is_seen_from_outside() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let breaker = "sidemint_breaker_state{provider=\"chat\"}";
    is(service.metric(breaker).await, 0);
    fake.breaks(Some(Script::Reset));
    for n in 0..5 {
        assert_eq!(service.session(&format!("user{n}")).await.status, 503);
    }
    is(service.metric(breaker).await, 2);
    assert_eq!(service.ops("/readyz").await.status, 200, "an outage of the provider is no reason to be restarted");
    fake.breaks(None);
    service.advance(1);
    assert_eq!(service.session("alice").await.status, 200);
    is(service.metric(breaker).await, 0);
}

/// Probes and scrapes are no connections of the front.
#[tokio::test(flavor = "multi_thread")]
async fn only_connections_of_the_front_are_counted() {
    let service = Service::local().await;
    let mut probe = Connection::open(service.ops).await;
    assert_eq!(probe.ask("GET", "/livez", &[]).await.status, 200);
    is(service.metric("sidemint_connections").await, 0);
    let (mut one, mut two) = (service.connect().await, service.connect().await);
    assert_eq!(one.ask("GET", SESSION, &with("alice", &[])).await.status, 200);
    assert_eq!(two.ask("GET", SESSION, &with("alice", &[])).await.status, 200);
    is(service.metric("sidemint_connections").await, 2);
}

/// T-56.
#[tokio::test(flavor = "multi_thread")]
async fn ops_and_front_share_no_path() {
    let service = Service::local().await;
    for path in ["/", "/livez", "/readyz", "/metrics", "/metrics/", "/healthz", "/status", "/status.json", "/debug"] {
        let answer = service.ask("GET", path, &with("alice", &[])).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path} on the front");
    }
    for path in [SESSION, "/auth", "/auth/x", "/.well-known/jwks.json", "/status", "/livez/", "//metrics"] {
        let answer = Connection::open(service.ops).await.ask("GET", path, &with("alice", &[])).await;
        assert_eq!((answer.status, answer.text()), (404, "not found\n"), "{path} on ops");
    }
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 200)] {
        let answer = service.ops(path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some("no-store")), "{path}");
    }
}

/// T-56: a page cannot read the probes, not even one of the same site, and nothing can be changed.
#[tokio::test(flavor = "multi_thread")]
async fn ops_is_read_only_and_not_for_browsers() {
    let service = Service::local().await;
    for path in ["/livez", "/readyz", "/metrics"] {
        for site in ["cross-site", "same-site", "same-origin", "none"] {
            let headers = [("Sec-Fetch-Site", site), ("Origin", "https://evil.example")];
            let answer = Connection::open(service.ops).await.ask("GET", path, &headers).await;
            assert_eq!((answer.status, answer.text()), (403, "not for browsers\n"), "{path} {site}");
            assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{answer:?}");
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            let answer = Connection::open(service.ops).await.ask(method, path, &[]).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
        let answer = Connection::open(service.ops).await.ask("HEAD", path, &[]).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
}

async fn reasons(text: &str) -> BTreeSet<String> {
    let service = Service::start(text, &Environment::default(), clock()).await;
    let answer = service.ops("/readyz").await;
    assert_eq!(service.ops("/livez").await.status, 200, "live all the same");
    let json = answer.json();
    assert_eq!((answer.status, &json["ready"]), (503, &json!(false)));
    is(service.metric("sidemint_ready").await, 0);
    let reasons = json["reasons"].as_array().unwrap();
    assert!(reasons.iter().all(|reason| !reason["detail"].as_str().unwrap().is_empty()), "{reasons:?}");
    reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_every_reason_and_the_documents_name_them_all() {
    let believed = config(LOCAL, &[]);
    let without_source = believed.replace("source = \"plain\"", "");
    assert_eq!(reasons(&without_source).await, BTreeSet::from(["no_identity_source".to_owned()]));
    let no_peer = config(LOCAL, &[("identity.peers.networks", "[]")]);
    assert_eq!(reasons(&no_peer).await, BTreeSet::from(["no_peer_proof".to_owned()]));
    let keyless = config(LOCAL, &[("identity.source", "\"corp\""), ("identity.sources.corp", CORP)]);
    let keyless = reasons(&keyless).await;
    assert_eq!(keyless, BTreeSet::from(["keys_missing".to_owned()]));
    let nothing = reasons("[server]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n").await;
    let starting: BTreeSet<_> = Lifecycle::new().objections().iter().map(|reason| reason.code.to_owned()).collect();
    let service = Service::local().await;
    let ready = service.ops("/readyz").await.json();
    assert_eq!((&ready["ready"], &ready["reasons"]), (&json!(true), &json!([])));
    is(service.metric("sidemint_ready").await, 1);
    let mut all = &(&nothing | &starting) | &keyless;
    all.insert("draining".to_owned());
    assert_eq!(all, documented("code").iter().map(|row| row[0].clone()).collect());
}

/// T-42.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_of_the_answer_is_ours() {
    let service = Service::local().await;
    let mut seen = BTreeSet::new();
    for sent in ["0123456789abcdef", "x", "\"}"] {
        let mut connection = service.connect().await;
        connection.send(request("GET", SESSION, &with("alice", &[("X-Request-Id", sent)]), b"")).await;
        let answer = connection.answer().await.expect("an answer");
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!(id != sent && id.len() == 16 && seen.insert(id), "{answer:?}");
    }
    let lines = service.log_lines(3).await;
    let logged: BTreeSet<_> = lines.iter().map(|line| line["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(logged, seen);
}
