//! `answer = "client"`: what a definition says of the provider's own client library, seen from the client's end, and what
//! it may not say.

use serde_json::{Value, json};
use sidemint::config::Environment;
use sidemint::provider::PRESETS;

use crate::client::{Answer, request};
use crate::harness::{Service, clock, config, draw_with, own_definition};

const ALICE: (&str, &str) = ("X-Forwarded-User", "alice");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const TOKEN: &str = "/chat/token";

const ROUTES: &str = "
[[routes]]
path = \"/chat/token\"
answer = \"client\"
provider = \"chat\"
[providers.chat]
preset = \"own\"
";

/// A definition that signs, and takes a room; `client` says how its library asks.
fn definition(client: &str) -> String {
    let rest = format!(
        "extra = {{ kid = \"{{{{ let.kid }}}}\", mail = \"{{{{ user.email? }}}}\", list = [1, \"{{{{ user.id }}}}\"] }}
[settings.key_name]
about = \"a part of it\"
part_of = {{ secret = \"secret\", before = \"-\" }}
[settings.host]
about = \"a host\"
default = \"chat.example\"
[inputs.room]
about = \"A room.\"
pattern = \"[a-z]+\"
from = [\"body\"]
optional = true
[let]
kid = \"{{{{ config.key_name }}}}\"
[token.jwt]
alg = \"HS256\"
key = \"secret\"
claims = {{ sub = \"{{{{ user.id }}}}\", exp = \"{{{{ exp.s }}}}\", room = \"{{{{ input.room? }}}}\" }}
{client}
"
    );
    own_definition("https://{{ config.host }}/v1", &rest)
}

fn environment() -> Environment {
    Environment::of([("OWN_SECRET", "a-secret-of-thirty-two-characters")])
}

async fn service(client: &str, overrides: &[(&str, &str)]) -> Service {
    let definition = definition(client);
    Service::start_with(&config(ROUTES, overrides), &environment(), clock(), &[("own", &definition)]).await
}

async fn post(service: &Service, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut connection = service.connect().await;
    connection.send(request("POST", path, headers, body.as_bytes())).await;
    connection.answer().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_the_form_of_the_client() {
    let service = service(
        "[client]
methods = [\"GET\", \"POST\"]
status = 203
[client.json]
access = { token = \"{{ session.token }}\", until = \"{{ session.expiresAt }}\" }
url = \"{{ session.apiUrl }}/ws\"
who = [\"{{ session.chatUserId }}\", \"{{ session.displayName }}\"]
room = \"{{ input.room? }}\"
kid = \"{{ session.kid | upper }}\"
mail = \"{{ session.mail? }}\"
list = \"{{ session.list }}\"
host = \"{{ config.host }}\"
groups = \"{{ user.groups }}\"
",
        &[],
    )
    .await;
    let named = [ALICE, ("X-Forwarded-Name", "Zoë \"Z\""), ("X-Forwarded-Groups", "red,blue"), JSON];
    let answer = post(&service, TOKEN, &named, "{\"room\":\"lobby\"}").await;
    assert_eq!((answer.status, answer.header("content-type")), (203, Some("application/json")), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store, private"));
    let mut body = answer.json();
    let token = body["access"]["token"].take();
    assert_eq!(token.as_str().expect("text").split('.').count(), 3);
    let expected = json!({
        "access": { "token": null, "until": "2026-05-04T19:40:00.000Z" },
        "url": "https://chat.example/v1/ws",
        "who": ["alice", "Zoë \"Z\""],
        "room": "lobby",
        "kid": "A",
        "list": [1, "alice"],
        "host": "chat.example",
        "groups": ["red", "blue"],
    });
    assert_eq!(body, expected);
    // What it shows is what it depends on; the rest comes from the cache.
    let minted = async || service.metric("sidemint_sessions_total{how=\"minted\",route=\"/chat/token\"}").await;
    assert_eq!(post(&service, TOKEN, &named, "{\"room\":\"lobby\"}").await.body, answer.body);
    assert!((minted().await - 1.0).abs() < 0.1);
    let other = [ALICE, ("X-Forwarded-Name", "Zoë \"Z\""), ("X-Forwarded-Groups", "red"), JSON];
    assert_eq!(post(&service, TOKEN, &other, "{\"room\":\"lobby\"}").await.json()["groups"], json!(["red"]));
    let without = service.ask("GET", TOKEN, &named[..3]).await;
    assert_eq!((without.status, without.json().get("room")), (203, None));
    assert!((minted().await - 3.0).abs() < 0.1);
    let head = service.ask("HEAD", TOKEN, &named[..3]).await;
    assert_eq!((head.status, head.body.len()), (203, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_headers_are_answers_as_well() {
    let client = "[client]
methods = [\"GET\"]
text = \"{{ session.token }}\"
content_type = \"application/jwt\"
[client.headers]
Link = '<https://{{ config.host }}/hub>; rel=\"hub\"'
Set-Cookie = \"hub={{ session.token }}; Path=/hub; Secure; HttpOnly; SameSite=Strict\"
X-Mail = \"{{ user.email? }}\"
";
    let origin = ("Origin", "https://shop.example.com");
    let service = service(client, &[("browser.allow_origins", "[\"https://shop.example.com\"]")]).await;
    for _ in 0..2 {
        let answer = service.ask("GET", TOKEN, &[ALICE, origin]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/jwt")), "{answer:?}");
        let token = answer.text();
        assert_eq!(token.split('.').count(), 3);
        let cookie = format!("hub={token}; Path=/hub; Secure; HttpOnly; SameSite=Strict");
        assert_eq!(answer.header("set-cookie"), Some(cookie.as_str()));
        assert_eq!(answer.header("link"), Some("<https://chat.example/hub>; rel=\"hub\""));
        assert_eq!(answer.header("x-mail"), None);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example.com"));
        for (name, value) in [
            ("cache-control", "no-store, private"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
    }
    let options = service.ask("OPTIONS", TOKEN, &[]).await;
    assert_eq!(
        (options.status, options.header("allow"), options.header("set-cookie")),
        (204, Some("GET, HEAD, OPTIONS"), None)
    );
    for method in ["POST", "DELETE", "PUT"] {
        let answer = service.ask(method, TOKEN, &[ALICE]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let denied = service.ask("GET", TOKEN, &[]).await;
    assert_eq!((denied.status, denied.header("set-cookie")), (401, None));
    assert_eq!(denied.header("content-type"), Some("application/json"), "our own failures are JSON");
    assert_eq!(denied.code(), "unauthorized");
}

/// T-75: what a user is called brings no attribute into a cookie, no second cookie and no header.
#[tokio::test(flavor = "multi_thread")]
async fn values_in_a_cookie_stay_values() {
    let client = "[client]
methods = [\"GET\"]
text = \"ok\"
[client.headers]
Set-Cookie = \"who={{ session.displayName }}; Secure; HttpOnly; SameSite=Lax\"
";
    let service = service(client, &[]).await;
    for (name, encoded) in [
        ("a; Domain=evil.example; Path=/", "a%3B%20Domain=evil.example%3B%20Path=/"),
        ("a, b=c", "a%2C%20b=c"),
        ("Zoë \"Z\" \\ 100%", "Zo%C3%AB%20%22Z%22%20%5C%20100%25"),
    ] {
        let answer = service.ask("GET", TOKEN, &[ALICE, ("X-Forwarded-Name", name)]).await;
        let cookie = format!("who={encoded}; Secure; HttpOnly; SameSite=Lax");
        assert_eq!((answer.status, answer.header("set-cookie")), (200, Some(cookie.as_str())), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_for_nothing_is_ignored_and_nothing_else() {
    let client = "[client]
methods = [\"POST\"]
json = { token = \"{{ session.token }}\", room = \"{{ input.room? }}\" }
ignored = [\"query:rnd\", \"body:clientId\", \"body:rnd\"]
";
    let service = service(client, &[]).await;
    for (path, kind, body) in [
        ("/chat/token?rnd=17", JSON, "{\"room\":\"lobby\"}"),
        ("/chat/token?rnd=17&rnd=18", FORM, "room=lobby&clientId=bob"),
        ("/chat/token", JSON, "{\"clientId\":{\"a\":1},\"rnd\":null,\"room\":\"lobby\"}"),
    ] {
        let answer = post(&service, path, &[ALICE, kind], body).await;
        assert_eq!((answer.status, &answer.json()["room"]), (200, &json!("lobby")), "{path} {body}");
    }
    let minted = service.metric("sidemint_sessions_total{how=\"minted\",route=\"/chat/token\"}").await;
    assert!((minted - 1.0).abs() < 0.1, "what is ignored makes no other session: {minted}");
    for (path, kind, body) in [
        ("/chat/token?clientId=bob", JSON, "{}"),
        ("/chat/token?room=lobby", JSON, "{}"),
        ("/chat/token", JSON, "{\"userId\":\"bob\"}"),
        ("/chat/token", FORM, "room=lobby&room=lobby"),
        ("/chat/token", FORM, "room=%zz"),
        ("/chat/token", JSON, "{\"room\":null}"),
        ("/chat/token", ("Content-Type", "text/plain"), "{\"room\":\"lobby\"}"),
    ] {
        let answer = post(&service, path, &[ALICE, kind], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{path} {body}");
    }
    let large = post(&service, TOKEN, &[ALICE, FORM], &format!("room={}", "a".repeat(9000))).await;
    assert_eq!((large.status, large.code().as_str()), (413, "body_too_large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_form_of_the_client_and_say_nothing_of_the_request() {
    let client = "[client]
methods = [\"POST\"]
text = \"{{ session.token }}\"
[client.error]
statuses = { 400 = 403, 401 = 403, 503 = 500 }
json = { error = { code = \"{{ error.code }}\", message = \"{{ error.message }} at {{ config.host }}\", id = \"{{ error.requestId }}\", status = \"{{ error.status * 100 }}\" } }
";
    let service = service(client, &[]).await;
    let evil = "{\"room\":\"<script>alert(1)</script>\"}";
    for (headers, body, status, code) in [
        (&[JSON][..], "{}", 403, "unauthorized"),
        (&[ALICE, JSON], evil, 403, "input_invalid"),
        (&[ALICE, JSON, ("Sec-Fetch-Site", "cross-site")], "{}", 403, "origin_refused"),
    ] {
        let answer = post(&service, TOKEN, headers, body).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/json")), "{answer:?}");
        let id = answer.header("x-request-id").expect("an id");
        let message = match code {
            "unauthorized" => "Unauthorized",
            "input_invalid" => "Bad request",
            _ => "Forbidden",
        };
        let expected = json!({ "error": { "code": code, "message": format!("{message} at chat.example"), "id": id, "status": 40300 } });
        assert_eq!(answer.json(), expected);
    }
    let lines = service.log_lines(3).await;
    let told: Vec<(&Value, &Value)> = lines.iter().map(|line| (&line["status"], &line["outcome"])).collect();
    assert_eq!(told[0], (&json!(403), &json!("unauthorized")), "{lines:?}");
    assert!(service.metric("sidemint_requests_total{outcome=\"unauthorized\",route=\"/chat/token\"}").await > 0.9);
    let method = service.ask("GET", TOKEN, &[ALICE]).await;
    assert_eq!((method.status, method.header("allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(method.json()["error"]["code"], "method_not_allowed");
    let options = service.ask("OPTIONS", TOKEN, &[]).await;
    assert_eq!((options.status, options.body.len()), (204, 0));
    let lost = service.ask("GET", "/nowhere", &[]).await;
    assert_eq!((lost.status, lost.code().as_str()), (404, "not_found"), "no route, no client");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_may_be_text() {
    let client = "[client]
methods = [\"GET\"]
json = { token = \"{{ session.token }}\", mail = \"{{ session.mail }}\" }
error = { text = \"{{ error.message }}\" }
";
    let service = service(client, &[]).await;
    let denied = service.ask("GET", TOKEN, &[]).await;
    assert_eq!(
        (denied.status, denied.header("content-type"), denied.text()),
        (401, Some("text/plain"), "Unauthorized")
    );
    // A value that the client must have and that is not there.
    let lacking = service.ask("GET", TOKEN, &[ALICE]).await;
    assert_eq!((lacking.status, lacking.text()), (503, "Chat unavailable"));
    let line = &service.log_lines(2).await[1];
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("provider_bad_answer"), &json!("incomplete")));
    let whole = service.ask("GET", TOKEN, &[ALICE, ("X-Forwarded-Email", "a@example.com")]).await;
    assert_eq!((whole.status, &whole.json()["mail"]), (200, &json!("a@example.com")));
}

/// Where no user is signed in, and where a request is wrong: by what each library stops asking.
#[tokio::test(flavor = "multi_thread")]
async fn presets_tell_their_clients_when_to_stop() {
    const ABLY: &str = "{\"error\":{\"message\":\"MESSAGE\",\"code\":40300,\"statusCode\":403}}";
    const OURS: &str = "{\"error\":\"MESSAGE\",\"code\":";
    let environment = Environment::of([
        ("ABLY_API_KEY", "app.key:0123456789abcdef"),
        ("PUSHER_SECRET", "0123456789abcdef"),
        ("LIVEBLOCKS_SECRET_KEY", "sk_test"),
        ("CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ("EJABBERD_JWT_KEY", "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}"),
        ("LIVEKIT_API_SECRET", "0123456789abcdef0123456789abcdef"),
    ]);
    let pusher = "app_id = \"1\"\napp_key = \"k\"\ncluster = \"eu\"";
    let address = "public_api_url = \"https://a.example\"";
    let livekit = "public_api_url = \"wss://a.example\"\napi_key = \"k\"";
    let ejabberd = format!("{address}\nhost = \"a.example\"");
    let cases = [
        ("ably", "capability = { a = [\"*\"] }", [403, 403], ABLY),
        ("ably-token-request", "capability = { a = [\"*\"] }", [403, 403], ABLY),
        ("pusher", pusher, [401, 400], OURS),
        ("pusher-channel", pusher, [401, 400], OURS),
        ("liveblocks", "", [401, 400], "MESSAGE"),
        ("livekit", livekit, [401, 400], OURS),
        ("centrifugo", address, [403, 403], OURS),
        ("centrifugo-subscription", address, [403, 403], OURS),
        ("ejabberd", &ejabberd, [401, 400], OURS),
    ];
    let speaks = |(_, text): &&(&str, &str)| text.contains("\n[client]\n");
    let all: Vec<&str> = PRESETS.iter().filter(speaks).map(|(name, _)| *name).collect();
    let mut known: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    known.sort_unstable();
    assert_eq!(known, all);
    for (name, lines, statuses, body) in cases {
        let text = ROUTES.replace("\"own\"", &format!("\"{name}\"\n{lines}"));
        let service = Service::start(&config(&text, &[]), &environment, clock()).await;
        let method = if name == "ejabberd" { "GET" } else { "POST" };
        for (path, headers, status, message) in [
            (TOKEN, &[][..], statuses[0], "Unauthorized"),
            ("/chat/token?user=bob", &[ALICE][..], statuses[1], "Bad request"),
        ] {
            let answer = service.ask(method, path, headers).await;
            assert_eq!(answer.status, status, "{name}: {answer:?}");
            assert!(answer.text().starts_with(&body.replace("MESSAGE", message)), "{name}: {}", answer.text());
        }
    }
}

/// What a definition made with this `[client]` is refused for.
fn refused(client: &str) -> String {
    let text = definition(client);
    match draw_with(&config(ROUTES, &[]), &environment(), clock(), &[("own", &text)]) {
        Ok(_) => "accepted".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

/// T-75: nor what would open an answer to others.
#[test]
fn what_no_client_could_be_told_is_refused_at_load() {
    let fine = "[client]\nmethods = [\"GET\"]\njson = { token = \"{{ session.token }}\" }\n";
    assert_eq!(refused(fine), "accepted");
    let with = |line: &str| format!("{fine}{line}");
    let cookie = |text: &str| with(&format!("headers = {{ Set-Cookie = \"{text}\" }}"));
    let json = |text: &str| fine.replace("{{ session.token }}", text);
    for (client, told) in [
        ("", "routes[0].answer: \"client\" is nothing that \"own\" describes in [client]; write answer = \"session\""),
        ("[client]\nmethods = [\"GET\"]", "client: has neither json nor text"),
        ("[client]\nmethods = []\ntext = \"x\"", "client.methods: is empty"),
        ("[client]\nmethods = [\"DELETE\"]\ntext = \"x\"", "client.methods[0]: \"DELETE\" is not one of GET, POST"),
        (&with("text = \"x\""), "client: has both json and text"),
        (&with("status = 204"), "client.status: is 204; write a status of success with a body: 200"),
        (&with("status = 302"), "client.status: is 302"),
        (&with("content_type = \"text/html\""), "client.content_type: \"text/html\" is not one of "),
        (&with("ignored = [\"room\"]"), "client.ignored: \"room\" is not query:NAME or body:NAME"),
        (&with("ignored = [\"query\"]"), "client.ignored: \"query\" is not query:NAME or body:NAME"),
        (&with("ignored = [\"header:X-User\"]"), "client.ignored: \"header:X-User\" is not query:NAME or body:NAME"),
        (
            &with("ignored = [\"body:room\"]"),
            "client.ignored: \"body:room\" stands here twice, or is the place of an input",
        ),
        (&with("ignored = [\"query:a\", \"query:a\"]"), "client.ignored: \"query:a\" stands here twice"),
        (&with("error = { statuses = { 200 = 403 } }"), "client.error.statuses: 200 = 403: a failure is 400 to 599"),
        (&with("error = { statuses = { 401 = 200 } }"), "client.error.statuses: 401 = 200: a failure is 400 to 599"),
        (
            &with("error = { text = \"{{ input.room }}\" }"),
            "client.error.text: \"input.room\" varies, and nothing of a request is told with a failure",
        ),
        (&with("error = { text = \"{{ user.name }}\" }"), "nothing of a request is told with a failure"),
        (&with("error = { text = \"{{ session.token }}\" }"), "client.error.text: unknown variable \"session.token\""),
        (
            &with("headers = { Location = \"x\", Vary = \"x\" }"),
            "client.headers.Vary: frames or protects answers, and is set here",
        ),
        (&with("headers = { Access-Control-Allow-Origin = \"*\" }"), "frames or protects answers"),
        (&with("headers = { \"a b\" = \"x\" }"), "client.headers.a b: is not a header name"),
        (&cookie("a={{ session.token }}"), "client.headers.Set-Cookie: must be one cookie with a fixed name"),
        (&cookie("a={{ session.token }}; HttpOnly; SameSite=Strict"), "must be one cookie with a fixed name"),
        (&cookie("a={{ session.token }}; Secure; SameSite=Strict"), "must be one cookie with a fixed name"),
        (&cookie("a={{ session.token }}; Secure; HttpOnly; SameSite=None"), "must be one cookie with a fixed name"),
        (&cookie("{{ user.name }}=a; Secure; HttpOnly; SameSite=Strict"), "must be one cookie with a fixed name"),
        (&json("{{ config.secret }}"), "\"config.secret\" is a secret and could reach a claim or an output"),
        (&json("{{ config.key_name }}"), "client.json.token: \"config.key_name\" is part of a secret that may change"),
        (&json("{{ let.kid }}"), "client.json.token: \"let.kid\" varies, and a client is told what the session says"),
        (&json("{{ user.id }}"), "client.json.token: \"user.id\" varies, and a client is told what the session says"),
        (&json("{{ now.s }}"), "client.json.token: \"now.s\" varies, and a client is told what the session says"),
        (
            &json("{{ session.nothing }}"),
            "client.json.token: unknown variable \"session.nothing\"; known: config.*, session.token",
        ),
        (&format!("{fine}[client.error]\njson = 1\ntext = \"x\""), "client.error: has both json and text"),
    ] {
        let problem = refused(client);
        assert!(problem.contains(told), "{client}\n  expected {told}\n  found    {problem}");
    }
}
