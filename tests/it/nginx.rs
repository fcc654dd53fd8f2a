//! A real nginx with the documented configuration, word for word.

use crate::fakes::http::Script;
use crate::fakes::sendsar::{Sendsar, subject_of};
use crate::harness::SESSION;
use crate::parts::proxies::{COOKIES, NGINX, PAIR, PASSWORDS};
use crate::proxies::{Scene, has_chat_header};

const CONFIGURATION: &str = include_str!("../../docs/proxies/nginx.conf");
const PAGE: &str = include_str!("../../docs/nginx.md");
/// By password.
const ALICE: (&str, &str) = PASSWORDS.alice;
const BOB: (&str, &str) = PASSWORDS.bob;
const TEMPLATE: (&str, &str) = PASSWORDS.placeholder;
/// `alice:wrong` and `mallory:secret`.
const WRONG: (&str, &str) = ("Authorization", "Basic YWxpY2U6d3Jvbmc=");
const MALLORY: (&str, &str) = ("Authorization", "Basic bWFsbG9yeTpzZWNyZXQ=");

async fn everything() -> (Scene, Sendsar) {
    Scene::sendsar(&NGINX, &[]).await
}

#[test]
fn the_page_prints_the_file_that_is_tested() {
    let mut blocks = PAGE.split("```nginx\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    assert_eq!(blocks.next(), Some(CONFIGURATION));
    // The names of certificates, which a test below runs.
    assert_eq!(blocks.next(), Some(certified()));
    // The variant for two instances, which `outages` runs.
    assert!(blocks.next().is_some_and(|two| two.contains(PAIR.1)));
    assert_eq!(blocks.next(), None);
}

/// The map of the page that takes the name out of a certificate.
fn certified() -> &'static str {
    let blocks = PAGE.split("```nginx\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.into_iter().find(|block| block.contains("$certified")).expect("a map")
}

/// A certificate's subject is the user's name where nginx has verified it and the name comes first and whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_one_user_or_none() {
    // What nginx says of the certificate comes in headers here.
    let map = certified().replace("$ssl_client_verify $ssl_client_s_dn", "$http_test_verify $http_test_subject");
    let map = format!("{map}\nmap $http_authorization");
    let bend = [("map $http_authorization", map.as_str()), ("$remote_user", "$certified")];
    let (scene, _fake) = Scene::sendsar(&NGINX, &bend).await;
    for (verified, subject, user) in [
        ("SUCCESS", "CN=alice,O=Example", Some("alice")),
        ("SUCCESS", "CN=alice", Some("alice")),
        ("NONE", "CN=alice", None),
        ("FAILED:self-signed certificate", "CN=alice", None),
        ("SUCCESS", "CN=alice\\,bob,O=Example", None),
        ("SUCCESS", "CN=alice+UID=1,O=Example", None),
        ("SUCCESS", "O=x\\,CN=mallory", None),
        ("SUCCESS", "O=Example,CN=alice", None),
        ("SUCCESS", "", None),
    ] {
        let answer = scene.ask("GET", "/", &[("Test-Verify", verified), ("Test-Subject", subject)]).await;
        assert_eq!(answer.status, 200, "{verified} {subject}: {answer:?}");
        assert_eq!(scene.app.last().said("X-Chat-User-Id"), user, "{verified} {subject}");
    }
}

#[test]
fn the_page_prints_a_configuration_of_sidemint_that_loads() {
    let block = PAGE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let drawn = crate::harness::draw(block, &crate::harness::sendsar_key(), crate::harness::clock());
    let blueprint = drawn.unwrap_or_else(|errors| panic!("{errors}"));
    let paths: Vec<&str> = blueprint.plans().iter().map(|plan| plan.route.path.as_str()).collect();
    assert_eq!(paths, [SESSION, "/auth", "/guard"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_reaches_the_application() {
    let (scene, _fake) = everything().await;
    for path in ["/", "/page?x=1", "/members/", "/members/page"] {
        let answer = scene.ask("GET", path, &[ALICE]).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert!(!has_chat_header(&answer), "the token is for the application");
        let request = scene.app.last();
        assert!(request.0.starts_with(&format!("GET {path} ")), "{request:?}");
        assert_eq!(subject_of(request.header("X-Chat-Token").unwrap()), "alice");
        assert_eq!(request.header("X-Chat-Token-Expires-At"), Some("2026-05-04T19:40:00.000Z"));
        assert_eq!(request.header("X-Chat-Api-Url"), Some("https://api.sendsar.com/v1"));
        assert_eq!(request.header("X-Chat-User-Id"), Some("alice"));
        assert_eq!(request.header("X-Chat-Display-Name"), Some("Alice%20Doe"));
        assert_eq!(request.header("X-Chat-Status"), Some("ok"));
        assert_eq!(request.header("X-Forwarded-User"), Some("alice"));
    }
}

/// Two names of one user would rename the user at the provider at each change.
#[tokio::test(flavor = "multi_thread")]
async fn all_shapes_send_the_same_name() {
    let (scene, fake) = everything().await;
    for _ in 0..2 {
        for path in ["/", "/members/"] {
            assert_eq!(scene.ask("GET", path, &[ALICE]).await.status, 200);
            assert_eq!(scene.app.last().header("X-Forwarded-Name"), Some("Alice Doe"), "{path}");
        }
        assert_eq!(scene.ask("GET", SESSION, &[COOKIES.alice]).await.json()["displayName"], "Alice Doe");
    }
    assert_eq!((fake.upserts(), fake.mints()), (1, 3), "one user, and a session for each route");
}

/// T-01, T-03 and T-05, through the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_forges_is_replaced() {
    let (scene, fake) = everything().await;
    let forged = [
        ("X-Forwarded-User", "mallory"),
        ("X-Forwarded-Name", "Mallory"),
        ("X-Forwarded-Email", "mallory@example.org"),
        ("X-Forwarded-Groups", "admins"),
        ("X_Forwarded_User", "mallory"),
        ("X-Chat-Token", "forged"),
        ("X-Chat-Token", "forged again"),
        ("X-Chat-Token-Expires-At", "forged"),
        ("X-Chat-Api-Url", "https://forged.example"),
        ("X-Chat-User-Id", "mallory"),
        ("X-Chat-Display-Name", "Mallory"),
        ("X-Chat-Status", "ok"),
        ("X_Chat_Token", "forged"),
    ];
    // As a visitor there is nothing to replace it with, and it is gone all the same.
    assert_eq!(scene.ask("GET", "/", &forged).await.status, 200);
    let request = scene.app.last();
    assert!(!request.holds("mallory") && !request.holds("forged"), "{request:?}");
    assert_eq!(request.header("X-Chat-Status"), Some("anonymous"));
    assert!(fake.calls().is_empty());
    for path in ["/", "/members/"] {
        assert_eq!(scene.ask("GET", path, &[&forged[..], &[ALICE]].concat()).await.status, 200);
        let request = scene.app.last();
        assert!(!request.holds("mallory") && !request.holds("forged"), "{request:?}");
        assert_eq!(subject_of(request.header("X-Chat-Token").unwrap()), "alice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_pass_without_a_token_where_chat_is_optional() {
    let (scene, fake) = everything().await;
    assert_eq!(scene.ask("GET", "/", &[]).await.status, 200);
    let request = scene.app.last();
    assert_eq!(request.header("X-Chat-Status"), Some("anonymous"));
    for name in ["X-Chat-Token", "X-Chat-Token-Expires-At", "X-Chat-Api-Url", "X-Chat-User-Id", "X-Forwarded-User"] {
        assert_eq!(request.header(name), None, "{name}: nginx leaves empty headers out");
    }
    assert_eq!(scene.ask("GET", "/members/", &[]).await.status, 401);
    assert!(scene.app.is_untouched() && fake.calls().is_empty());
    let asked = "sidemint_requests_total{outcome=\"unauthorized\",route=\"/guard\"}";
    assert!(scene.service.metric(asked).await.abs() < 0.1, "nginx refused by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_user_without_the_right_password_goes_nowhere() {
    let (scene, fake) = everything().await;
    for claim in [WRONG, MALLORY, ("Authorization", "Basic"), ("Authorization", "Bearer alice")] {
        for path in ["/", "/members/"] {
            assert_eq!(scene.ask("GET", path, &[claim]).await.status, 401, "{path} {claim:?}");
        }
    }
    assert!(scene.app.is_untouched() && fake.calls().is_empty());
}

/// T-35.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_carries_nothing_to_the_client() {
    let (scene, fake) = everything().await;
    for path in ["/", "/members/"] {
        let denied = scene.ask("GET", path, &[TEMPLATE]).await;
        assert_eq!(denied.status, 401, "a user id that is a placeholder");
        assert_eq!(denied.header("www-authenticate"), Some("Bearer"), "no password box");
        assert!(!has_chat_header(&denied), "{denied:?}");
    }
    fake.always("/v1/users", Some(Script::text(429, "application/json", "{}")));
    let limited = scene.ask("GET", "/members/", &[ALICE]).await;
    assert_eq!(limited.status, 403);
    assert!(!has_chat_header(&limited), "{limited:?}");
    assert!(scene.app.is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_bodies_pass_by_the_question() {
    let (scene, fake) = everything().await;
    for path in ["/", "/members/"] {
        let mut visit = scene.proxy.visit().await;
        assert_eq!(visit.ask_with("POST", path, &[ALICE], &[b'x'; 5000]).await.status, 200);
        let request = scene.app.last();
        assert_eq!((request.method(), request.body()), ("POST", "x".repeat(5000).as_str()));
        assert!(request.header("X-Chat-Token").is_some());
        for method in ["HEAD", "DELETE", "OPTIONS", "PROPFIND"] {
            assert_eq!(visit.ask(method, path, &[ALICE]).await.status, 200, "{method}");
            assert_eq!(scene.app.last().method(), method);
        }
    }
    assert_eq!((fake.upserts(), fake.mints()), (1, 2), "one session for each route; no DELETE signed a user out");
    let bodies = "sidemint_requests_total{outcome=\"ok\",route=\"/auth\"}";
    assert!((scene.service.metric(bodies).await - 5.0).abs() < 0.1);
}

/// A3: an answer with a body would cost a connection each.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_keeps_its_connections_to_the_service() {
    let (scene, fake) = everything().await;
    for n in 0..20 {
        let path = if n % 2 == 0 { "/" } else { "/members/" };
        assert_eq!(scene.ask("GET", path, &[ALICE]).await.status, 200);
        assert_eq!(scene.ask("GET", "/", &[]).await.status, 200);
        assert_eq!(scene.ask("GET", path, &[TEMPLATE]).await.status, 401);
    }
    fake.breaks(Some(Script::Reset));
    scene.service.advance(7200);
    for _ in 0..5 {
        assert_eq!(scene.ask("GET", "/members/", &[ALICE]).await.status, 500, "503 is an error to nginx");
        assert_eq!(scene.ask("GET", "/", &[ALICE]).await.status, 200, "optional");
    }
    assert_eq!(scene.way.connections(), 1, "70 questions, one after the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_provider_is_not_noticed_by_users_with_a_session() {
    let (scene, fake) = everything().await;
    assert_eq!(scene.ask("GET", "/", &[ALICE]).await.status, 200);
    assert_eq!(scene.ask("GET", "/members/", &[ALICE]).await.status, 200);
    let before = scene.app.last();
    fake.breaks(Some(Script::Reset));
    assert_eq!(scene.ask("GET", "/members/", &[ALICE]).await.status, 200);
    assert_eq!(scene.app.last().header("X-Chat-Token"), before.header("X-Chat-Token"));
    // A day later nothing is left, and the application goes on without chat.
    scene.service.advance(86_400);
    assert_eq!(scene.ask("GET", "/", &[ALICE]).await.status, 200);
    let request = scene.app.last();
    assert_eq!((request.header("X-Chat-Status"), request.header("X-Chat-Token")), (Some("unavailable"), None));
}

/// As documented: nginx makes 500 of everything but 2xx, 401 and 403.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_service_nginx_answers_500() {
    let (mut scene, _fake) = everything().await;
    assert_eq!(scene.ask("GET", "/", &[ALICE]).await.status, 200);
    scene.app.last();
    scene.way.close().await;
    for path in ["/", "/members/"] {
        let answer = scene.ask("GET", path, &[ALICE]).await;
        assert_eq!(answer.status, 500, "{path}");
        assert!(!has_chat_header(&answer));
    }
    assert!(scene.app.is_untouched());
    assert!(scene.proxy.log().contains("Connection refused"), "{}", scene.proxy.log());
}

/// The third shape: the login's auth endpoint says who it is, and the page gets its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_its_session_behind_a_login() {
    let (scene, fake) = everything().await;
    let login = COOKIES.alice;
    let forged = [("X-Forwarded-User", "mallory"), ("X-Forwarded-Name", "Mallory"), ("X-Auth-Request-User", "mallory")];
    for headers in [&forged[..], &[("Cookie", "login=mallory")], &[ALICE], &[]] {
        assert_eq!(scene.ask("GET", SESSION, headers).await.status, 401, "not signed in");
    }
    assert!(fake.calls().is_empty());
    for method in ["GET", "POST"] {
        let answer = scene.ask(method, SESSION, &[&forged[..], &[login]].concat()).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(
            (answer.json()["chatUserId"].as_str(), answer.json()["displayName"].as_str()),
            (Some("alice"), Some("Alice Doe"))
        );
        assert_eq!(answer.header("cache-control"), Some("no-store, private"));
    }
    let elsewhere = scene.ask("GET", SESSION, &[login, ("Sec-Fetch-Site", "cross-site")]).await;
    assert_eq!((elsewhere.status, elsewhere.code().as_str()), (403, "origin_refused"));
    assert_eq!(scene.ask("DELETE", SESSION, &[login]).await.status, 204);
    let asked = scene.login.calls();
    assert!(asked.iter().all(|call| call.header("x-original-uri") == SESSION), "{asked:#?}");
}

/// Who gets the session of whom from an nginx that caches by address alone, on each of the three locations.
async fn sessions_through_a_cache(heeding: &str) -> Vec<Option<String>> {
    assert_eq!(CONFIGURATION.matches("proxy_cache off;").count(), 3, "every location that asks sidemint");
    let caching = format!("proxy_cache shared; proxy_cache_key $uri; proxy_cache_valid any 10m; {heeding}");
    let (scene, _fake) = Scene::sendsar(&NGINX, &[("proxy_cache off;", &caching)]).await;
    let mut users = Vec::new();
    for (password, cookie) in [(ALICE, COOKIES.alice), (BOB, COOKIES.bob)] {
        for path in ["/", "/members/"] {
            assert_eq!(scene.ask("GET", path, &[password]).await.status, 200);
            users.push(scene.app.last().header("X-Chat-User-Id").map(str::to_owned));
        }
        let page = scene.ask("GET", SESSION, &[cookie]).await;
        assert_eq!(page.status, 200, "{page:?}");
        users.push(page.json()["chatUserId"].as_str().map(str::to_owned));
    }
    users
}

/// T-31: a cache whose key does not hold the user, as in a well-known example. `Cache-Control` keeps sessions out of it;
/// where an operator told nginx to ignore that, `Vary` still keeps users with different cookies apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_cache_hands_no_session_to_another_user() {
    let names = |users: [&str; 6]| users.map(|user| Some(user.to_owned())).to_vec();
    let own = names(["alice", "alice", "alice", "bob", "bob", "bob"]);
    let without_vary = "proxy_ignore_headers Vary;";
    assert_eq!(sessions_through_a_cache(without_vary).await, own, "nothing is kept");
    let heedless = "proxy_ignore_headers Cache-Control;";
    assert_eq!(sessions_through_a_cache(heedless).await, own, "different cookies and credentials");
    // The cache was really there: with both headers ignored, every user is alice.
    let reckless = "proxy_ignore_headers Cache-Control Vary;";
    assert_eq!(sessions_through_a_cache(reckless).await, names(["alice"; 6]));
}
