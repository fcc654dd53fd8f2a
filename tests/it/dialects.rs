//! One question in the words of every proxy that can ask it: the same identity and the same status for all.
//!
//! The requests of nginx, Caddy, HAProxy, Traefik and Envoy were recorded as a server behind their documented configurations
//! got them (`docs/proxies`), as `POST /app/page?x=1&mode=optional` of a browser made them. The others are written after
//! the documents of their projects, because they need a cluster. Only the names of the identity headers were made alike.

use crate::client::Answer;
use crate::fakes::http::Script;
use crate::fakes::sendsar::subject_of;
use crate::harness::Service;

/// How a proxy asks.
struct Dialect {
    proxy: &'static str,
    /// The head of the request; `{identity}` stands where the proxy says who the user is.
    head: &'static str,
    /// What two lines of one header of a client arrive as, where a configuration lets them pass.
    doubled: &'static str,
}

const LINES: &str = "X-Forwarded-User: alice\nX-Forwarded-User: mallory";
const SPACED: &str = "x-forwarded-user: alice, mallory";
const JOINED: &str = "x-forwarded-user: alice,mallory";

const DIALECTS: &[Dialect] = &[
    Dialect {
        proxy: "nginx 1.22",
        head: "GET /auth HTTP/1.1\n{identity}\nHost: sidemint\nUser-Agent: curl/7.88.1\nAccept: */*\n\
               Content-Type: application/x-www-form-urlencoded",
        doubled: LINES,
    },
    Dialect {
        proxy: "nginx without keep-alive",
        head: "GET /auth HTTP/1.0\n{identity}\nHost: 127.0.0.1:8080\nConnection: close\nUser-Agent: curl/7.88.1\nAccept: */*",
        doubled: LINES,
    },
    Dialect {
        proxy: "ingress-nginx",
        head: "GET /auth HTTP/1.1\nHost: chat.default.svc.cluster.local\nX-Original-URL: https://app.example.com/app/page?x=1\n\
               X-Original-Method: POST\nX-Sent-From: nginx-ingress-controller\nX-Real-IP: 203.0.113.9\n\
               X-Forwarded-For: 203.0.113.9\nX-Auth-Request-Redirect: /app/page?x=1\nCookie: _oauth2_proxy=abc\n{identity}",
        doubled: LINES,
    },
    Dialect {
        proxy: "ingress-nginx with auth-method",
        head: "POST /auth HTTP/1.1\nHost: chat.default.svc.cluster.local\nX-Original-URI: /app/page?x=1&mode=optional\n\
               X-Original-Method: DELETE\nX-Sent-From: nginx-ingress-controller\n{identity}",
        doubled: LINES,
    },
    Dialect {
        proxy: "Caddy 2.11",
        head: "GET /auth HTTP/1.1\nHost: app.example.com\nUser-Agent: curl/7.88.1\nAccept: */*\n\
               Content-Type: application/x-www-form-urlencoded\nVia: 1.1 Caddy\nX-Forwarded-For: 127.0.0.1\n\
               X-Forwarded-Host: app.example.com\nX-Forwarded-Method: POST\nX-Forwarded-Proto: http\n\
               X-Forwarded-Uri: /app/page?x=1&mode=optional\n{identity}\nAccept-Encoding: gzip",
        doubled: LINES,
    },
    Dialect {
        proxy: "Caddy, uri without a question mark of its own",
        head: "GET /auth?x=1&mode=optional HTTP/1.1\nHost: app.example.com\nVia: 1.1 Caddy\nX-Forwarded-Method: POST\n\
               X-Forwarded-Uri: /app/page?x=1&mode=optional\n{identity}",
        doubled: LINES,
    },
    Dialect {
        proxy: "HAProxy 2.6, Lua",
        head: "GET /auth HTTP/1.1\n{identity}\nhost: 127.0.0.1:8080\naccept: */*\nuser-agent: HAProxy",
        doubled: SPACED,
    },
    Dialect {
        proxy: "HAProxy, auth-request.lua",
        head: "HEAD /auth HTTP/1.1\nhost: 127.0.0.1:8080\nconnection: close\n{identity}",
        doubled: SPACED,
    },
    Dialect {
        proxy: "Traefik 3.7",
        head: "GET /auth HTTP/1.1\nHost: 127.0.0.1:8080\nUser-Agent: Go-http-client/1.1\n{identity}\n\
               X-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: app.example.com\nX-Forwarded-Method: POST\n\
               X-Forwarded-Port: 8000\nX-Forwarded-Proto: http\nX-Forwarded-Uri: /app/page?x=1&mode=optional\n\
               Accept-Encoding: gzip",
        doubled: LINES,
    },
    Dialect {
        proxy: "Traefik with preserveRequestMethod",
        head: "PROPFIND /auth HTTP/1.1\nHost: 127.0.0.1:8080\nUser-Agent: Go-http-client/1.1\n{identity}\n\
               X-Forwarded-Method: PROPFIND\nX-Forwarded-Uri: /app/page\nAccept-Encoding: gzip",
        doubled: LINES,
    },
    Dialect {
        proxy: "Envoy 1.40",
        head: "POST /auth/app/page?x=1&mode=optional HTTP/1.1\nhost: app.example.com\ncontent-length: 0\n{identity}\n\
               x-envoy-internal: true\nx-envoy-expected-rq-timeout-ms: 500",
        doubled: JOINED,
    },
    Dialect {
        proxy: "Envoy with encode_raw_headers",
        head: "OPTIONS /auth/app/page?x=1 HTTP/1.1\nhost: app.example.com\ncontent-length: 0\n{identity}\n\
               x-envoy-internal: true",
        doubled: LINES,
    },
    Dialect {
        proxy: "Istio",
        head: "DELETE /auth/app/page HTTP/1.1\nhost: app.example.com\ncontent-length: 0\n{identity}\n\
               x-request-id: 935a6c4c-c7a6-4a9e-8fd2-000000000000\nx-envoy-internal: true\n\
               x-envoy-expected-rq-timeout-ms: 200",
        doubled: JOINED,
    },
];

impl Dialect {
    /// Asks the route of this mode, with these lines for the identity.
    async fn ask(&self, service: &Service, route: &str, identity: &str) -> Answer {
        let text = self.head.replacen("/auth", route, 1).replace("{identity}", identity);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let mut connection = service.connect().await;
        connection.send(lines.join("\r\n") + "\r\n\r\n").await;
        connection.answer().await.unwrap_or_else(|| panic!("{}: no answer", self.proxy))
    }
}

/// Status, and what the application is told of why.
fn outcome(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("x-chat-status"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_proxy_gets_the_same_answer() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let alice = "X-Forwarded-User: alice\nX-Forwarded-Name: Alice Doe\nX-Forwarded-Email: alice@example.org";
    let mut tokens = Vec::new();
    for dialect in DIALECTS {
        for route in ["/auth", "/guard"] {
            let answer = dialect.ask(&service, route, alice).await;
            assert_eq!(outcome(&answer), (200, Some("ok")), "{} {route}", dialect.proxy);
            assert_eq!(answer.header("x-chat-user-id"), Some("alice"), "{} {route}", dialect.proxy);
            assert_eq!(answer.header("x-chat-display-name"), Some("Alice%20Doe"), "{} {route}", dialect.proxy);
            tokens.push(answer.header("x-chat-token").unwrap().to_owned());
            for refused in
                [dialect.doubled, "X-Forwarded-User: {x}", "X-Forwarded-User: alice\nX_Forwarded_User: mallory"]
            {
                let answer = dialect.ask(&service, route, refused).await;
                assert_eq!(outcome(&answer), (401, None), "{} {route}: {refused}", dialect.proxy);
            }
        }
        for line in ["", "X-Forwarded-User:"] {
            let passes = dialect.ask(&service, "/auth", line).await;
            assert_eq!(outcome(&passes), (200, Some("anonymous")), "{}", dialect.proxy);
            assert_eq!(outcome(&dialect.ask(&service, "/guard", line).await), (401, None), "{}", dialect.proxy);
        }
    }
    tokens.sort();
    tokens.dedup();
    assert_eq!((fake.upserts(), fake.mints(), tokens.len()), (1, 2, 2), "one user, and one session for each route");
    assert!(tokens.iter().all(|token| subject_of(token) == "alice"));

    fake.breaks(Some(Script::Reset));
    service.advance(86_400);
    for dialect in DIALECTS {
        let passes = dialect.ask(&service, "/auth", alice).await;
        assert_eq!(outcome(&passes), (200, Some("unavailable")), "{}", dialect.proxy);
        assert_eq!(outcome(&dialect.ask(&service, "/guard", alice).await), (503, None), "{}", dialect.proxy);
    }
}
