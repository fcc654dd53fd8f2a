//! Attacks from the caller's side: whatever bytes come, what arrives is a granted call, made anew, or nothing.

use crate::client::{Connection, request};
use crate::fakes::http::Script;

use super::stage::{KEY, SECRET, Stage, Stand, refusal};

/// Targets that name a host, or that two programs could read in two ways.
#[tokio::test(flavor = "multi_thread")]
async fn targets() {
    let stage = Stage::start().await;
    let host = stage.provider.address;
    let absolute = format!("http://{host}/rooms/a");
    for (method, target, refused) in [
        ("GET", &*absolute, (400, "target_invalid")),
        ("GET", "//evil.example/rooms/a", (400, "target_invalid")),
        ("GET", "/rooms/..", (400, "target_invalid")),
        ("GET", "/rooms/../keys", (400, "target_invalid")),
        ("GET", "/rooms/%2e%2e", (400, "target_invalid")),
        ("GET", "/rooms/.%2E/keys", (400, "target_invalid")),
        ("GET", "/rooms/a%2Fb", (400, "target_invalid")),
        ("GET", "/rooms/a%5cb", (400, "target_invalid")),
        ("GET", "/rooms/a\\b", (400, "target_invalid")),
        ("GET", "/rooms/%252e%252e", (400, "target_invalid")),
        ("GET", "/rooms//a", (400, "target_invalid")),
        ("GET", "/rooms/a/", (400, "target_invalid")),
        ("GET", "/rooms/%00", (400, "target_invalid")),
        ("GET", "/rooms/a%0d%0ax", (400, "target_invalid")),
        ("GET", "/rooms/%ff", (400, "target_invalid")),
        ("GET", "/rooms/%zz", (400, "target_invalid")),
        ("GET", "/rooms/a;b", (403, "operation_unknown")),
        ("GET", "/rooms/a%3bb", (403, "operation_unknown")),
        ("GET", "/rooms/a%20b", (403, "operation_unknown")),
        ("GET", "/Rooms/a", (403, "operation_unknown")),
        ("GET", "/@evil.example/rooms", (403, "operation_unknown")),
        ("GET", "/v1/rooms/a", (403, "operation_unknown")),
        ("GET", "/gateway/own/rooms/a", (403, "operation_unknown")),
        ("GET", "/apps/app-2", (403, "tenant_denied")),
        ("GET", "/rooms/a?limit=1&limit=2", (403, "query_denied")),
        ("GET", "/rooms/a?Limit=1", (403, "query_denied")),
        ("GET", "/rooms/a?li%6dit=1&limit=1", (403, "query_denied")),
        ("GET", "/rooms/a?_method=DELETE", (403, "query_denied")),
        ("OPTIONS", "*", (400, "target_invalid")),
        ("TRACE", "/rooms/a", (501, "upgrade_refused")),
        ("PATCH", "/rooms/a", (405, "method_denied")),
        ("POST", "/keys", (403, "operation_denied")),
        ("DELETE", "/rooms/a", (403, "operation_denied")),
    ] {
        let answer = stage.ask(method, target, &[], b"").await;
        assert_eq!(refusal(&answer), refused, "{method} {target}");
    }
    assert_eq!(stage.arrived(0), None);
    for (target, arrives) in [
        ("/rooms/%40a%3Ab?limit=1%262", "/v1/rooms/@a:b"),
        ("/rooms/%61", "/v1/rooms/a"),
        ("/rooms/...", "/v1/rooms/..."),
        ("/apps/app-1", "/v1/apps/app-1"),
    ] {
        let before = stage.provider.requests().len();
        assert_eq!(stage.ask("GET", target, &[], b"").await.status, 200, "{target}");
        let last = stage.arrived(before + 1).unwrap();
        assert_eq!(last.path().replace("%40", "@").replace("%3A", ":"), arrives);
    }
}

/// What changes the method elsewhere does not here.
#[tokio::test(flavor = "multi_thread")]
async fn methods() {
    let stage = Stand { allow: "[\"default\", \"room.delete\"]", ..Stand::default() }.start().await;
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"] {
        assert_eq!(stage.ask("GET", "/rooms/a", &[(name, "DELETE")], b"").await.status, 200, "{name}");
        assert_eq!(stage.provider.last().method, "GET");
    }
    let head = stage.ask("HEAD", "/rooms/a", &[], b"").await;
    assert_eq!((head.status, &*stage.provider.last().method), (200, "HEAD"));
    stage.arrived(5);
    for method in ["delete", "Get", "PUT"] {
        let answer = stage.ask(method, "/rooms/a", &[], b"").await;
        assert_eq!(refusal(&answer), (405, "method_denied"), "{method}");
    }
    stage.arrived(5);
    assert_eq!(stage.ask("DELETE", "/rooms/a", &[], b"").await.status, 200);
    stage.arrived(6);
}

/// Bodies that two parsers read in two ways, or that hold what is not the caller's to say.
#[tokio::test(flavor = "multi_thread")]
async fn bodies() {
    let stage = Stand { grant: "only = { room = [\"shop-*\"] }", allow: "[\"room.create\"]", ..Stand::default() };
    let stage = stage.start().await;
    for (body, refused) in [
        (r#"{"room":"shop-1","room":"other"}"#, (400, "body_invalid")),
        (r#"{"room":"other","room":"shop-1"}"#, (400, "body_invalid")),
        (r#"{"room":"shop-1","\u0072oom":"other"}"#, (400, "body_invalid")),
        (r#"{"room":"shop-1","roomName":"other"}"#, (403, "parameter_denied")),
        (r#"{"room":"other"}"#, (403, "parameter_denied")),
        (r#"{"room":["shop-1"]}"#, (400, "body_invalid")),
        (r#"{"room":null}"#, (400, "body_invalid")),
        ("{}", (400, "body_invalid")),
        (r#"[{"room":"shop-1"}]"#, (400, "body_invalid")),
        (r#"{"room":"shop-1"} {"room":"other"}"#, (400, "body_invalid")),
        ("{\"room\":\"shop-1\"}\u{0}", (415, "type_denied")),
        ("\u{feff}{\"room\":\"shop-1\"}", (415, "type_denied")),
        (r#"{"room":"shop-1",/*"#, (400, "body_invalid")),
        (r#"{"room":"shop-1","role":"admin"}"#, (403, "body_denied")),
        (r#"{"room":"shop-1","r\u006fle":null}"#, (403, "body_denied")),
        (r#"{"room":"shop-1","members":[{},{"role":"admin"}]}"#, (403, "body_denied")),
    ] {
        assert_eq!(refusal(&stage.post("/rooms", body).await), refused, "{body}");
    }
    let utf16: Vec<u8> = r#"{"room":"shop-1"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let json = ("Content-Type", "application/json");
    for (headers, body, refused) in [
        (vec![json], &utf16[..], (415, "type_denied")),
        (vec![("Content-Type", "application/json; charset=utf-16")], &utf16, (415, "type_denied")),
        (vec![("Content-Type", "application/x-www-form-urlencoded")], b"room=shop-1", (415, "type_denied")),
        (vec![("Content-Type", "application/x-msgpack")], b"\x81", (415, "type_denied")),
        (vec![("Content-Type", "text/plain")], b"{\"room\":\"shop-1\"}", (415, "type_denied")),
        (vec![], b"{\"room\":\"shop-1\"}", (415, "type_denied")),
        (vec![json, ("Content-Encoding", "gzip")], b"{\"room\":\"shop-1\"}", (415, "type_denied")),
    ] {
        let answer = stage.ask("POST", "/rooms", &headers, body).await;
        assert_eq!(refusal(&answer), refused, "{headers:?}");
    }
    let large = format!("{{\"room\":\"shop-1\",\"text\":\"{}\"}}", "x".repeat(256 * 1024));
    assert_eq!(refusal(&stage.post("/rooms", &large).await), (413, "body_too_large"));
    assert_eq!(stage.arrived(0), None);
    // The tenant is ours, whatever is said; what no rule names passes as it is.
    let answer = stage.post("/rooms", r#"{"app_id":"app-2","room":"shop-1","deep":{"a":1,"role":2.50}}"#).await;
    assert_eq!(answer.status, 200);
    let arrived = String::from_utf8(stage.arrived(1).unwrap().body).unwrap();
    assert!(arrived.contains(r#"{"a":1,"role":2.50}"#) && arrived.contains(r#""app_id":"app-1""#), "{arrived}");
    assert!(!arrived.contains("app-2"), "{arrived}");
}

/// Headers that another server believes.
#[tokio::test(flavor = "multi_thread")]
async fn headers() {
    let stage = Stage::start().await;
    for line in ["authorization", "close, X-Api-Key", "keep-alive, x-on-behalf-of", "close,,host"] {
        let answer = stage.ask("GET", "/rooms/a", &[("Connection", line)], b"").await;
        assert_eq!(refusal(&answer), (400, "header_invalid"), "{line}");
    }
    let twice = stage.ask("GET", "/rooms/a", &[("X-Note", "a"), ("X-Note", "b")], b"").await;
    assert_eq!(refusal(&twice), (400, "header_invalid"));
    assert_eq!(stage.arrived(0), None);
    let bearer = format!("Bearer {KEY}");
    let cookie = format!("session={KEY}");
    let lines = [
        ("Authorization", &*bearer),
        ("Cookie", &cookie),
        ("Proxy-Authorization", "Basic eDp5"),
        ("X-On-Behalf-Of", "admin"),
        ("X_On_Behalf_Of", "admin"),
        ("X.On.Behalf.Of", "admin"),
        ("X_Api_Key", "x"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "host=evil.example"),
        ("X-Original-URL", "/v1/keys"),
        ("X-Rewrite-URL", "/v1/keys"),
        ("X-Chat-Anything", "x"),
        ("X-Real-IP", "10.0.0.1"),
        ("Via", "1.1 evil"),
        ("TE", "trailers"),
        ("Expect", "x"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("baggage", "a=b"),
        ("Accept-Encoding", "gzip"),
        ("X-Note", "mine"),
    ];
    for line in lines {
        let answer = stage.ask("GET", "/rooms/a", &[line], b"").await;
        // Some are refused; none arrives but the one that is listed.
        if answer.status == 200 {
            let arrived = stage.provider.last();
            let note = arrived.header("x-note");
            assert_eq!(note, (line.0 == "X-Note").then_some("mine"), "{line:?}");
            assert_eq!(
                (arrived.header("x-on-behalf-of"), arrived.header("x-api-key")),
                (None, Some(SECRET)),
                "{line:?}"
            );
        } else {
            refusal(&answer);
        }
    }
    assert!(stage.provider.requests().len() > 15);
}

/// Whom a call is made for.
#[tokio::test(flavor = "multi_thread")]
async fn users() {
    let json = ("Content-Type", "application/json");
    let alice = ("X-Chat-As-User", "alice");
    let none = Stage::start().await;
    for (headers, refused) in [
        (vec![json], (400, "as_user_missing")),
        (vec![json, alice], (403, "as_user_denied")),
        (vec![json, ("X-On-Behalf-Of", "alice")], (400, "as_user_missing")),
        (vec![json, ("X_Chat_As_User", "alice")], (400, "as_user_missing")),
    ] {
        assert_eq!(refusal(&none.ask("POST", "/me", &headers, b"{}").await), refused, "{headers:?}");
    }
    none.arrived(0);
    let any = Stand { as_user: "any", ..Stand::default() }.start().await;
    for (headers, refused) in [
        (vec![json, ("X-Chat-As-User", "a/../b")], (403, "as_user_denied")),
        (vec![json, ("X-Chat-As-User", "")], (400, "as_user_missing")),
        (vec![json, alice, ("X-Chat-As-User", "bob")], (400, "header_invalid")),
    ] {
        assert_eq!(refusal(&any.ask("POST", "/me", &headers, b"{}").await), refused, "{headers:?}");
    }
    // One that is made for no user does not say one.
    let forbidden = any.ask("GET", "/rooms/a", &[alice], b"").await;
    assert_eq!(refusal(&forbidden), (403, "as_user_denied"));
    any.arrived(0);
    let forged = [json, alice, ("X-On-Behalf-Of", "admin")];
    assert_eq!(any.ask("POST", "/me", &forged, b"{}").await.status, 200);
    assert_eq!(any.arrived(1).unwrap().header("x-on-behalf-of"), Some("alice"));
}

/// One request arrives, or none; what follows it in the same bytes is none of ours.
#[tokio::test(flavor = "multi_thread")]
async fn smuggling() {
    let stage = Stage::start().await;
    let hidden = "DELETE /v1/rooms/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (host, key) = ("Host: localhost\r\n", format!("X-Api-Key: {KEY}\r\nContent-Type: application/json\r\n"));
    let post = format!("POST /rooms/a/messages HTTP/1.1\r\n{host}{key}");
    for (what, bytes) in [
        (
            "two kinds of length",
            format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        ("two lengths", format!("{post}Content-Length: 2\r\nContent-Length: 60\r\n\r\n{{}}{hidden}")),
        ("a list of lengths", format!("{post}Content-Length: 2, 60\r\n\r\n{{}}{hidden}")),
        ("a length with a sign", format!("{post}Content-Length: +2\r\n\r\n{{}}{hidden}")),
        ("another coding", format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        ("a coding twice", format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        ("a blank before the colon", format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("a folded line", format!("{post}X-Note: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("a bare line feed", format!("{post}X-Note: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("a length of a chunk", format!("{post}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        ("no host", format!("GET /rooms/a HTTP/1.1\r\n{key}\r\n")),
        ("two hosts", format!("GET /rooms/a HTTP/1.1\r\n{host}{host}{key}\r\n")),
        ("an old version", format!("GET /rooms/a HTTP/1.0\r\n{host}{key}\r\n")),
        ("a body of GET", format!("GET /rooms/a HTTP/1.1\r\n{host}{key}Content-Length: 58\r\n\r\n{hidden}")),
    ] {
        let mut connection = Connection::open(stage.address).await;
        connection.try_send(&bytes).await;
        let answer = connection.answer().await;
        assert!(answer.as_ref().is_none_or(|answer| answer.status >= 400), "{what}: {answer:?}");
        assert_eq!(stage.provider.asked(), Vec::<String>::new(), "{what}");
    }
    // Trailers are no headers.
    let trailers = format!(
        "{post}Transfer-Encoding: chunked\r\nTrailer: X-Note\r\n\r\n2\r\n{{}}\r\n0\r\nX-Note: forged\r\nX-Api-Key: x\r\n\r\n"
    );
    let mut connection = Connection::open(stage.address).await;
    connection.send(trailers).await;
    let answer = connection.answer().await;
    if answer.is_some_and(|answer| answer.status == 200) {
        assert_eq!(stage.arrived(1).unwrap().header("x-note"), None);
    }
    assert!(stage.provider.requests().len() <= 1);
}

/// No caller learns what exists, and the key of another is none.
#[tokio::test(flavor = "multi_thread")]
async fn callers() {
    let stage = Stage::start().await;
    let mut bodies = Vec::new();
    for (address, target) in [
        (stage.address, "/rooms/a"),
        (stage.address, "/nothing"),
        (stage.address, "/keys"),
        (stage.shared, "/gateway/own/rooms/a"),
    ] {
        let real = ("X-Api-Key", SECRET);
        let other = ("X-Api-Key", "gwOTHERkey0123456789abcdefghijklmnopqrstuvw");
        let twice = [("X-Api-Key", KEY), ("X-Api-Key", KEY)];
        let cases: [&[(&str, &str)]; 5] = [&[], &[real], &[other], &[("Authorization", KEY)], &twice];
        for headers in cases {
            let headers = [&[("Host", "localhost")], headers].concat();
            let mut connection = Connection::open(address).await;
            connection.send(request("GET", target, &headers, b"")).await;
            let answer = connection.answer().await.unwrap();
            assert_eq!(refusal(&answer), (401, "caller_unauthorized"), "{target} {headers:?}");
            let mut body = answer.json();
            // Its number in the log.
            body.as_object_mut().unwrap().remove("requestId");
            bodies.push(body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one body for all");
    stage.arrived(0);
    let mut connection = Connection::open(stage.shared).await;
    let answer = connection.ask("GET", "/gateway/own/rooms/a", &[("Host", "127.0.0.1"), ("X-Api-Key", KEY)]).await;
    assert_eq!(answer.status, 200);
    stage.arrived(1);
}

/// Pages in a browser, and names that an attacker points at this machine.
#[tokio::test(flavor = "multi_thread")]
async fn browsers() {
    let stage = Stage::start().await;
    for host in ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example"] {
        let mut connection = Connection::open(stage.address).await;
        let answer = connection.ask("GET", "/rooms/a", &[("Host", host), ("X-Api-Key", KEY)]).await;
        assert_eq!(refusal(&answer), (421, "host_refused"), "{host}");
    }
    for line in [
        ("Origin", "http://localhost"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
    ] {
        let answer = stage.ask("GET", "/rooms/a", &[line], b"").await;
        assert_eq!(refusal(&answer), (403, "browser_refused"), "{line:?}");
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{answer:?}");
    }
    let preflight = stage.ask("OPTIONS", "/rooms/a", &[("Origin", "http://evil.example")], b"").await;
    assert_eq!(refusal(&preflight), (403, "browser_refused"));
    stage.arrived(0);
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    assert_eq!(refusal(&stage.ask("GET", "/rooms/a", &upgrade, b"").await), (501, "upgrade_refused"));
    // Node's fetch says this alone.
    assert_eq!(stage.ask("GET", "/rooms/a", &[("Sec-Fetch-Mode", "cors")], b"").await.status, 200);
    stage.arrived(1);
}

/// An answer that leads elsewhere leads nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn redirects() {
    let stage = Stage::start().await;
    let own = format!("http://{}/rooms/b", stage.address);
    for (status, to) in
        [(301, "http://evil.example/"), (302, "/v1/keys"), (303, &own), (307, "//evil.example"), (308, "ftp://x")]
    {
        let headers = vec![("Location".to_owned(), to.to_owned())];
        let answer = stage.answered("/rooms/a", Script::Answer { status, headers, body: Vec::new() }).await;
        assert_eq!(refusal(&answer), (502, "provider_bad_answer"), "{status} {to}");
        assert_eq!(answer.header("location"), None);
    }
    let switching = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec();
    let answer = stage.answered("/rooms/a", Script::Raw(switching)).await;
    assert_eq!(refusal(&answer), (502, "provider_bad_answer"));
    let created = vec![("Location".to_owned(), "http://evil.example/".to_owned())];
    let answer = stage.answered("/rooms/a", Script::Answer { status: 201, headers: created, body: Vec::new() }).await;
    assert_eq!((answer.status, answer.header("location")), (201, None));
    let fresh = stage.answered("/rooms/a", Script::Answer { status: 304, headers: Vec::new(), body: Vec::new() }).await;
    assert_eq!((fresh.status, fresh.header("x-chat-gateway-error")), (304, None));
    assert!(stage.provider.requests().iter().all(|request| request.path() == "/v1/rooms/a"));
}

/// An answer that says what we sent.
#[tokio::test(flavor = "multi_thread")]
async fn echoes() {
    use base64::Engine as _;
    let stage = Stage::start().await;
    let base64 = base64::engine::general_purpose::STANDARD.encode(SECRET);
    let percent: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let json = SECRET.replace('/', "\\/");
    for text in [SECRET, &base64, &percent, &json] {
        let answer = stage.answered("/rooms/a", Script::text(200, "text/plain", format!("<{text}>"))).await;
        // The last character of Base64 says two bits of what is not there yet.
        let masked =
            answer.text().trim_end_matches(['=', '>']).trim_end_matches(|c: char| text.ends_with(&format!("{c}==")));
        assert!(masked.starts_with("<*") && masked[1..].bytes().all(|byte| byte == b'*'), "{text}: {answer:?}");
        assert_eq!(answer.body.len(), text.len() + 2, "{text}");
        let headers = vec![("X-Answer-Note".to_owned(), format!("key {text}"))];
        let answer = stage.answered("/rooms/a", Script::Answer { status: 200, headers, body: Vec::new() }).await;
        assert!(!answer.header("x-answer-note").unwrap_or_default().contains(text), "{answer:?}");
    }
    // A head of its own for each byte of the body.
    let chunks = SECRET.chars().map(|c| format!("1\r\n{c}\r\n")).collect::<Vec<_>>().concat();
    let chunked =
        format!("HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    stage.provider.next("/v1/rooms/a", Script::Raw(chunked.into_bytes()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/rooms/a", stage.address);
    let answer = client.get(url).header("X-Api-Key", KEY).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "*".repeat(SECRET.len()));
    for status in [200, 404, 500] {
        let headers = vec![("Content-Encoding".to_owned(), "gzip".to_owned())];
        let answer = stage.answered("/rooms/a", Script::Answer { status, headers, body: SECRET.into() }).await;
        assert_eq!(refusal(&answer), (502, "provider_bad_answer"), "{status}");
    }
    let answer = stage.answered("/rooms/a", Script::text(401, "text/plain", format!("bad key {SECRET}"))).await;
    assert_eq!(refusal(&answer), (503, "provider_credentials"));
    let headers =
        [("Set-Cookie", "a=b"), ("Access-Control-Allow-Origin", "*"), ("WWW-Authenticate", "Basic"), ("ETag", "\"1\"")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let answer = stage.answered("/rooms/a", Script::Answer { status: 200, headers, body: b"{}".to_vec() }).await;
    let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["set-cookie", "access-control-allow-origin", "www-authenticate"] {
        assert!(!names.contains(&name), "{answer:?}");
    }
    assert_eq!((answer.header("etag"), answer.header("cache-control")), (Some("\"1\""), Some("no-store")));
    let (log, metrics) = (stage.service.log(), stage.service.ops("/metrics").await);
    for secret in [SECRET, KEY, &base64, &percent] {
        assert!(!log.contains(secret) && !metrics.text().contains(secret), "{secret}");
    }
    assert!(!log.contains("/rooms/a"), "no path in a line: {log}");
}
