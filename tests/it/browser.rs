//! Pages of other sites: Fetch Metadata, `Origin`, `Host`, the required header, and CORS for origins that are listed.

use sidemint::config::Environment;

use crate::client::Answer;
use crate::harness::{LOCAL, SESSION, Service, clock, config, draw};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
const HOST: (&str, &str) = ("Host", "app.example.com");
const LISTED: &str = "https://shop.example.com";
const OWN: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";

async fn service(overrides: &[(&str, &str)]) -> Service {
    Service::start(&config(LOCAL, overrides), &Environment::default(), clock()).await
}

/// A service with [`LISTED`] on its list.
async fn listing() -> Service {
    service(&[("browser.allow_origins", "[\"https://shop.example.com\", \"http://localhost:3000\"]")]).await
}

/// What a request with this site and origin gets.
async fn ask(service: &Service, method: &str, site: Option<&str>, origin: Option<&str>) -> Answer {
    let mut headers = vec![ALICE, HOST];
    headers.extend(site.map(|site| ("Sec-Fetch-Site", site)));
    headers.extend(origin.map(|origin| ("Origin", origin)));
    service.ask(method, SESSION, &headers).await
}

fn has_cors(answer: &Answer) -> bool {
    answer.headers.iter().any(|(name, _)| name.starts_with("access-control-"))
}

/// T-40: the whole table, for every method that hands out or takes away.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_is_refused() {
    let service = listing().await;
    for (site, origin, fine) in [
        (None, None, true),
        (None, Some(OWN), true),
        (None, Some("http://app.example.com"), true),
        (None, Some(LISTED), true),
        (None, Some(EVIL), false),
        (None, Some("null"), false),
        (None, Some(""), false),
        (Some("same-origin"), None, true),
        (Some("same-origin"), Some(OWN), true),
        (Some("none"), None, true),
        (Some("same-site"), None, true),
        (Some("same-site"), Some(LISTED), true),
        (Some("same-site"), Some("https://other.example.com"), false),
        (Some("cross-site"), None, false),
        (Some("cross-site"), Some(LISTED), true),
        (Some("cross-site"), Some(OWN), false),
        (Some("cross-site"), Some(EVIL), false),
        (Some("cross-site"), Some("null"), false),
        (Some("Cross-Site"), None, false),
        (Some("whatever"), None, false),
        (Some(""), None, false),
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let answer = ask(&service, method, site, origin).await;
            let expected = match (fine, method) {
                (false, _) => 403,
                (true, "DELETE") => 204,
                (true, _) => 200,
            };
            assert_eq!(answer.status, expected, "{method} {site:?} {origin:?}");
            if !fine && method != "HEAD" {
                assert_eq!(answer.code(), "origin_refused");
            }
        }
    }
}

/// T-40: what is refused has no effect: neither a user at the provider nor a sign-out.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_page_changes_nothing() {
    let (service, fake) = Service::sendsar().await;
    assert_eq!(ask(&service, "GET", Some("cross-site"), Some(EVIL)).await.status, 403);
    assert_eq!(ask(&service, "POST", Some("cross-site"), None).await.status, 403);
    assert!(fake.calls().is_empty());
    let token = ask(&service, "GET", None, None).await.json()["token"].clone();
    assert_eq!(ask(&service, "DELETE", Some("cross-site"), Some(EVIL)).await.status, 403);
    assert_eq!(ask(&service, "DELETE", None, Some("null")).await.status, 403);
    assert_eq!(ask(&service, "GET", None, None).await.json()["token"], token, "still signed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_is_off_by_default() {
    let service = service(&[]).await;
    for origin in [OWN, LISTED, EVIL, "null"] {
        for method in ["GET", "OPTIONS", "DELETE"] {
            let answer = ask(&service, method, None, Some(origin)).await;
            assert!(!has_cors(&answer), "{method} {origin}: {answer:?}");
        }
    }
    let preflight = [HOST, ("Origin", LISTED), ("Access-Control-Request-Method", "GET")];
    let answer = service.ask("OPTIONS", SESSION, &preflight).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "origin_refused"));
    assert!(!has_cors(&answer));
}

/// T-41.
#[tokio::test(flavor = "multi_thread")]
async fn origins_are_compared_exactly() {
    let service = listing().await;
    for origin in [
        "https://shop.example.com.evil.example",
        "https://evilshop.example.com",
        "https://a.shop.example.com",
        "http://shop.example.com",
        "https://SHOP.example.com",
        "HTTPS://shop.example.com",
        "https://shop.example.com:80",
        "https://shop.example.com:0443",
        "https://shop.example.com:443:443",
        "https://shop.example.com:8443",
        "https://shop.example.com/",
        "https://shop.example.com.",
        "https://shop.example.com, https://evil.example",
        "https://user@shop.example.com",
        "http://localhost",
        "http://localhost:30000",
        "null",
        "*",
    ] {
        let answer = ask(&service, "GET", Some("cross-site"), Some(origin)).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_refused"), "{origin}");
        assert!(!has_cors(&answer), "{origin}: {answer:?}");
    }
    let twice = [ALICE, HOST, ("Origin", LISTED), ("Origin", EVIL)];
    assert_eq!(service.ask("GET", SESSION, &twice).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_origin_may_read_every_answer() {
    let service = listing().await;
    for (method, user, status) in [
        ("GET", "alice", 200),
        ("POST", "alice", 200),
        ("DELETE", "alice", 204),
        ("OPTIONS", "alice", 204),
        ("GET", "", 401),
        ("PUT", "alice", 405),
    ] {
        let headers = [("X-Forwarded-User", user), HOST, ("Origin", LISTED), ("Sec-Fetch-Site", "cross-site")];
        let answer = service.ask(method, SESSION, &headers).await;
        assert_eq!(answer.status, status, "{method}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED), "{method}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-expose-headers"), Some("Retry-After, X-Request-Id"), "{method}");
        let vary = answer.header("vary").expect("Vary");
        assert!(vary.split(", ").any(|name| name == "origin"), "{vary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_of_a_listed_origin_is_answered_without_a_user() {
    let service = service(&[
        ("browser.allow_origins", "[\"https://shop.example.com\"]"),
        ("browser.require_header", "\"X-Chat-Session\""),
    ])
    .await;
    let headers = [
        HOST,
        ("Origin", LISTED),
        ("Sec-Fetch-Site", "cross-site"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "x-chat-session, content-type"),
    ];
    let answer = service.ask("OPTIONS", SESSION, &headers).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    let methods = answer.header("access-control-allow-methods").unwrap();
    assert!(["GET", "POST", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert_eq!(allowed, "content-type, x-requested-with, x-chat-session");
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert_eq!(answer.header("cache-control"), Some("no-store, private"));
}

#[tokio::test(flavor = "multi_thread")]
async fn vary_always_names_what_was_looked_at() {
    let service = service(&[]).await;
    for (method, site) in [("GET", None), ("GET", Some("cross-site")), ("OPTIONS", None), ("DELETE", None)] {
        let answer = ask(&service, method, site, None).await;
        let vary: Vec<&str> = answer.header("vary").expect("Vary").split(", ").collect();
        for name in ["x-forwarded-user", "x-forwarded-name", "x-forwarded-email", "origin", "sec-fetch-site"] {
            assert!(vary.contains(&name), "{method}: {vary:?}");
        }
    }
}

/// T-43: a forged server-side request can seldom set a header of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_required_header_must_be_there_whatever_it_says() {
    let service = service(&[("browser.require_header", "\"X-Chat-Session\"")]).await;
    for method in ["GET", "POST", "DELETE"] {
        let without = service.ask(method, SESSION, &[ALICE]).await;
        assert_eq!((without.status, without.code().as_str()), (403, "header_missing"), "{method}");
        for value in ["1", "", "anything"] {
            let with = service.ask(method, SESSION, &[ALICE, ("x-chat-session", value)]).await;
            assert!(with.status < 300, "{method} {value:?}: {with:?}");
        }
    }
    assert_eq!(service.ask("GET", "/auth", &[ALICE]).await.status, 200, "subrequests come from proxies");
}

/// T-44: a name that was rebound to loopback.
#[tokio::test(flavor = "multi_thread")]
async fn only_listed_hosts_are_served() {
    let service = service(&[("browser.allow_hosts", "[\"App.example.com\", \"localhost\"]")]).await;
    for (host, fine) in [
        ("app.example.com", true),
        ("APP.EXAMPLE.COM", true),
        ("app.example.com:8443", true),
        ("localhost:8080", true),
        ("evil.example", false),
        ("app.example.com.evil.example", false),
        ("127.0.0.1", false),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = service.ask(method, SESSION, &[ALICE, ("Host", host)]).await;
            if fine {
                assert!(answer.status < 300, "{method} {host}: {answer:?}");
            } else {
                assert_eq!((answer.status, answer.code().as_str()), (421, "host_refused"), "{method} {host}");
            }
        }
    }
    for host in ["app.example.com@evil.example", "app.example.com evil.example", ""] {
        let answer = service.ask("GET", SESSION, &[ALICE, ("Host", host)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "request_malformed"), "{host} is no host");
    }
    let mut connection = service.connect().await;
    connection.send("GET /api/chat/session HTTP/1.0\r\nX-Forwarded-User: alice\r\n\r\n").await;
    assert_eq!(connection.answer().await.expect("an answer").code(), "host_refused", "no host at all");
}

#[test]
fn what_cannot_be_an_origin_is_refused_at_load() {
    for origin in [
        "*",
        "null",
        "https://",
        "shop.example.com",
        "https://shop.example.com/",
        "https://SHOP.example.com",
        "https://*.example.com",
        "https://shop.example.com:0443",
        "ftp://shop.example.com",
        "https://a.example/x",
        "file://",
        "capacitor://",
        "chrome-extension://*",
        "moz-extension://",
    ] {
        let text = config(LOCAL, &[("browser.allow_origins", &format!("[\"{origin}\"]"))]);
        let errors = draw(&text, &Environment::default(), clock()).expect_err(origin).to_string();
        assert!(errors.contains("browser.allow_origins"), "{origin}: {errors}");
    }
}

/// What a preflight on `path` allows.
async fn allowed(service: &Service, path: &str) -> Vec<String> {
    let asked = [HOST, ("Origin", LISTED), ("Access-Control-Request-Method", "GET")];
    let answer = service.ask("OPTIONS", path, &asked).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    answer.header("access-control-allow-headers").expect("a list").split(", ").map(str::to_owned).collect()
}

/// A page may send what its route reads of it. What only a proxy may write stays refused: the name of the user, and a
/// token that needs a proven peer beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_allows_what_the_route_reads_of_a_page() {
    let own = |header: &str, more: &str| {
        format!(
            "{{ kind = \"jwt\", jwt = {{ header = \"{header}\", algorithms = [\"EdDSA\"], issuer = \"https://i.example\", \
             audience = \"chat\"{more} }}, keys = {{ url = \"http://127.0.0.1:1/keys\", network = \"private\" }} }}"
        )
    };
    let sources = [
        ("identity.sources.bearer", own("Authorization", "")),
        ("identity.sources.token", own("X-Login-Jwt", "")),
        ("identity.sources.relayed", own("X-Proxy-Jwt", ", require_peer = true")),
    ];
    let route = |path: &str, source: &str| {
        format!("[[routes]]\npath = \"{path}\"\nanswer = \"session\"\nprovider = \"chat\"\nsource = [\"{source}\"]\n")
    };
    let routes = ["bearer", "token", "relayed", "plain"].map(|source| route(&format!("/{source}"), source)).concat();
    // One person has one name in this test, whichever source tells it.
    let spaces = ["bearer", "token", "relayed", "plain"].map(|name| format!("identity.sources.{name}.namespace"));
    let mut overrides: Vec<(&str, &str)> = sources.iter().map(|(key, value)| (*key, value.as_str())).collect();
    overrides.extend(spaces.iter().map(|key| (key.as_str(), "\"corp\"")));
    overrides.push(("browser.allow_origins", "[\"https://shop.example.com\"]"));
    let text = config(&format!("{routes}{LOCAL}"), &overrides);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    let usual = ["content-type", "x-requested-with"];
    for (path, more) in
        [("/bearer", Some("authorization")), ("/token", Some("x-login-jwt")), ("/relayed", None), ("/plain", None)]
    {
        let expected: Vec<&str> = usual.into_iter().chain(more).collect();
        assert_eq!(allowed(&service, path).await, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_allows_declared_inputs_once() {
    let text = config(
        &LOCAL.replace("\"local\"", "\"with-inputs\""),
        &[("browser.allow_origins", "[\"https://shop.example.com\"]"), ("browser.require_header", "\"X-Room\"")],
    );
    let own = crate::inputs::with_inputs();
    let service = Service::start_with(&text, &Environment::default(), clock(), &[("with-inputs", &own)]).await;
    let allowed = allowed(&service, SESSION).await;
    assert_eq!(allowed.iter().filter(|name| *name == "x-room").count(), 1, "{allowed:?}");
}

/// The shells of apps and extensions are listed by name; what stands for many of them is not.
#[tokio::test(flavor = "multi_thread")]
async fn apps_and_extensions_are_listed_by_name() {
    let extension = "chrome-extension://abcdefghijklmnopabcdefghijklmnop";
    let listed =
        ["capacitor://localhost", "ionic://localhost", "tauri://localhost", "http://tauri.localhost", extension];
    let service = service(&[("browser.allow_origins", &format!("{listed:?}"))]).await;
    for origin in listed {
        for site in [None, Some("cross-site")] {
            let answer = ask(&service, "POST", site, Some(origin)).await;
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)), "{origin}");
        }
    }
    for origin in [
        "null",
        "capacitor://localhost2",
        "capacitor://localhost:80",
        "ionic://LOCALHOST",
        "tauri://tauri.localhost",
        "https://localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnoa",
        "moz-extension://abcdefghijklmnopabcdefghijklmnop",
        "file://",
    ] {
        let answer = ask(&service, "POST", Some("cross-site"), Some(origin)).await;
        assert_eq!((answer.status, has_cors(&answer)), (403, false), "{origin}");
    }
}

/// T-41: a default port is no difference of origin, and any other port is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_port_is_no_difference_of_origin() {
    let service = service(&[]).await;
    for (origin, host, fine) in [
        ("https://app.example.com", "app.example.com:443", true),
        ("https://app.example.com:443", "app.example.com", true),
        ("https://app.example.com:443", "APP.example.com:443", true),
        ("http://app.example.com", "app.example.com:80", true),
        ("http://app.example.com:80", "app.example.com", true),
        ("https://app.example.com:8443", "app.example.com:8443", true),
        ("https://[::1]", "[::1]:443", true),
        ("http://app.example.com", "app.example.com:443", false),
        ("https://app.example.com", "app.example.com:80", false),
        ("https://app.example.com", "app.example.com:8443", false),
        ("https://app.example.com:8443", "app.example.com", false),
        ("https://app.example.com:80", "app.example.com", false),
        ("https://app.example.com", "app.example.com:4430", false),
        ("https://app.example.com", "app.example.com:1443", false),
        ("app.example.com", "app.example.com", false),
    ] {
        let answer = service.ask("POST", SESSION, &[ALICE, ("Host", host), ("Origin", origin)]).await;
        assert_eq!(answer.status, if fine { 200 } else { 403 }, "{origin} at {host}");
    }
    for written in ["https://shop.example.com", "https://shop.example.com:443"] {
        let listing = self::service(&[("browser.allow_origins", &format!("[\"{written}\"]"))]).await;
        for origin in [LISTED, "https://shop.example.com:443"] {
            let answer = ask(&listing, "GET", Some("cross-site"), Some(origin)).await;
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(LISTED)), "{origin}");
        }
        assert_eq!(ask(&listing, "GET", Some("cross-site"), Some("https://shop.example.com:80")).await.status, 403);
    }
}

/// Public keys are public, and so for pages and workers of every origin; nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_every_origin_may_read_public_keys() {
    let service = listing().await;
    let path = "/.well-known/jwks.json";
    for origin in [EVIL, LISTED, "null", "capacitor://localhost"] {
        for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 405), ("OPTIONS", 204)] {
            let answer = service.ask(method, path, &[("Origin", origin), ("Sec-Fetch-Site", "cross-site")]).await;
            assert_eq!(answer.status, status, "{method} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
        let elsewhere = service.ask("GET", "/nowhere", &[("Origin", origin)]).await;
        assert!(!has_cors(&elsewhere), "{elsewhere:?}");
    }
}

/// An operator who may want to list an origin finds it in the request line; what is no origin is not repeated there.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_origin_is_told_in_the_request_line() {
    let service = listing().await;
    let long = format!("https://{}.example", "a".repeat(400));
    let asked = [
        (Some("https://admin.example.com:8443"), Some("https://admin.example.com:8443")),
        (Some("capacitor://localhost"), Some("capacitor://localhost")),
        (Some("null"), Some("null")),
        (Some("https://alice:secret@evil.example"), None),
        (Some("https://evil.example/?token=secret"), None),
        (Some("\"},{\"level\":\"ERROR"), None),
        (Some(long.as_str()), None),
        (None, None),
    ];
    for (origin, _) in asked {
        assert_eq!(ask(&service, "GET", Some("cross-site"), origin).await.status, 403);
    }
    assert_eq!(ask(&service, "GET", Some("cross-site"), Some(LISTED)).await.status, 200);
    let lines = service.log_lines(asked.len() + 1).await;
    for ((origin, told), line) in asked.iter().zip(&lines) {
        assert_eq!(line.get("origin").and_then(|told| told.as_str()), *told, "{origin:?}: {line}");
    }
    assert!(lines.last().unwrap().get("origin").is_none(), "only of those that are refused");
}

#[test]
fn a_host_that_is_listed_with_a_port_is_refused_because_ports_are_not_looked_at() {
    for (host, fine) in [
        ("app.example.com", true),
        ("127.0.0.1", true),
        ("[::1]", true),
        ("app.example.com:443", false),
        ("[::1]:8080", false),
    ] {
        let text = config(LOCAL, &[("browser.allow_hosts", &format!("[\"{host}\"]"))]);
        let drawn = draw(&text, &Environment::default(), clock());
        assert_eq!(drawn.is_ok(), fine, "{host}");
        if let Err(errors) = drawn {
            assert!(errors.to_string().contains("browser.allow_hosts"), "{errors}");
        }
    }
}
