//! LiveKit: its vectors, tokens beside those of the official server library, and the unmodified client's token source.

use serde_json::{Value, json};
use sidemint::config::Environment;

use super::{text_of, vectors};
use crate::client::Answer;
use crate::harness::{NOW, SESSION, Service, clock, config, draw};
use crate::judge::judge;

const KEY: &str = "APIvectorKey0001";
const SECRET: &str = "test-secret-for-vectors-only-0123456789abcdef";

fn environment() -> Environment {
    Environment::of([("LIVEKIT_API_KEY", KEY), ("LIVEKIT_API_SECRET", SECRET), ("LIVEKIT_URL", "wss://media.example")])
}

/// A session and a client route, and lines of the provider's table.
fn settings(lines: &str) -> String {
    let route = |path: &str, answer: &str| {
        format!("[[routes]]\npath = \"{path}\"\nanswer = \"{answer}\"\nprovider = \"chat\"\n")
    };
    format!(
        "{}{}[providers.chat]\npreset = \"livekit\"\n{lines}\n",
        route(SESSION, "session"),
        route("/livekit/token", "client")
    )
}

async fn service(lines: &str) -> Service {
    Service::start(&config(&settings(lines), &[]), &environment(), clock()).await
}

/// What the official server library makes of a token.
fn verified(token: &Value, at: i64) -> Value {
    judge("livekit.mjs", json!({ "key": KEY, "secret": SECRET, "token": token, "at": at }))
}

fn toml_of(name: &str, value: &Value) -> String {
    let value: toml::Value = serde_json::from_value(value.clone()).unwrap();
    format!("{name} = {value}\n")
}

/// The lines that make the preset mint what a vector's input asks for.
fn lines_of(input: &Value) -> String {
    let mut video = input["video"].as_object().unwrap().clone();
    let room = video.remove("room").unwrap_or(json!("r"));
    video.remove("roomJoin");
    let mut lines = toml_of("room", &room);
    for (name, value) in [
        ("video", Value::from(video)),
        ("attributes", input["attributes"].clone()),
        ("room_config", input["room_config"].clone()),
    ] {
        if value.as_object().is_some_and(|table| !table.is_empty()) {
            lines.push_str(&toml_of(name, &value));
        }
    }
    if let Some(text) = input["metadata"].as_str() {
        lines.push_str(&toml_of("metadata", &serde_json::from_str(text).unwrap()));
    }
    lines
}

/// Server tokens have no participant, and the preset has no other; a definition of this test mints those.
fn server_definition(input: &Value) -> String {
    let mut definition: toml::Table = text_of("livekit").replace("\"livekit\"", "\"livekit-server\"").parse().unwrap();
    let claims = definition["token"]["jwt"]["claims"].as_table_mut().unwrap();
    claims.remove("sub");
    claims.remove("name");
    for grant in ["video", "sip"] {
        claims.remove(grant);
        if let Some(value) = input.get(grant) {
            claims.insert(grant.to_owned(), serde_json::from_value(value.clone()).unwrap());
        }
    }
    for grant in ["video", "sip"] {
        definition["settings"].as_table_mut().unwrap().remove(grant);
    }
    definition.to_string()
}

async fn session_of(case: &Value) -> Value {
    let input = &case["input"];
    let server = input.get("identity").is_none();
    let lines = if server { "room = \"r\"".to_owned() } else { lines_of(input) };
    let mut text = config(&settings(&lines), &[]);
    if server {
        text = text.replace("\"livekit\"\nroom", "\"livekit-server\"\nroom");
    }
    if let Some(seconds) = input["ttl_seconds"].as_i64() {
        text = text.replace("answer = \"session\"", &format!("answer = \"session\"\nttl = \"{seconds}s\""));
    }
    let definition = server_definition(input);
    let service = Service::start_with(&text, &environment(), clock(), &[("livekit-server", &definition)]).await;
    let mut headers = vec![("X-Forwarded-User", input["identity"].as_str().unwrap_or("nobody"))];
    headers.extend(input["name"].as_str().map(|name| ("X-Forwarded-Name", name)));
    let answer = service.ask("GET", SESSION, &headers).await;
    assert_eq!(answer.status, 200, "{case}: {answer:?}");
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_hold_what_the_vectors_say() {
    let file = vectors(include_str!("../../vectors/livekit-token.json"));
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        assert_eq!(
            (&case["api_key"], &case["api_secret"], &case["now"]),
            (&json!(KEY), &json!(SECRET), &json!(NOW.as_seconds()))
        );
        let session = session_of(case).await;
        let mut expected = case["expected_claims"].clone();
        if expected.get("roomConfig").is_some() {
            // The Node library writes every default as well; only what was asked for is compared, as the vector says.
            expected["roomConfig"] = case["input"]["room_config"].clone();
        }
        let header = parts(&session["token"], 0);
        assert_eq!(header, json!({ "alg": "HS256", "typ": "JWT" }), "{name}");
        // The library's verifier takes it, and says what is in it.
        assert_eq!(verified(&session["token"], NOW.as_seconds())["claims"], expected, "{name}");
        let end = expected["exp"].as_i64().unwrap();
        assert_eq!(session["expiresAt"], sidemint::clock::Timestamp::from_seconds(end).to_rfc3339(), "{name}");
        assert_eq!(verified(&session["token"], end)["error"], "ERR_JWT_EXPIRED", "{name}");
    }
}

fn parts(token: &Value, n: usize) -> Value {
    use base64::Engine as _;
    let part = token.as_str().expect("a token").split('.').nth(n).expect("a JWT");
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_minter_must_refuse_is_refused() {
    let file = vectors(include_str!("../../vectors/livekit-token.json"));
    let checks = file["mint_checks"].as_array().unwrap();
    assert_eq!(checks.len(), 6);
    for check in checks {
        let (name, input) = (check["name"].as_str().unwrap(), &check["input"]);
        let text = config(&settings(&lines_of(input)), &[]);
        if let Some(secret) = check["api_secret"].as_str() {
            let environment = Environment::of([
                ("LIVEKIT_API_KEY", KEY),
                ("LIVEKIT_API_SECRET", secret),
                ("LIVEKIT_URL", "wss://media.example"),
            ]);
            let problem = draw(&text, &environment, clock()).expect_err(name).to_string();
            assert!(problem.contains("api_secret"), "{name}: {problem}");
            continue;
        }
        // Subjects end at 255 bytes, whatever the provider; with a prefix an id is longer.
        let identity = input["identity"].as_str().unwrap_or_default();
        let (prefix, subject) = identity.split_at(identity.len().saturating_sub(255));
        let text =
            text.replace("preset = \"livekit\"\n", &format!("preset = \"livekit\"\nuser_prefix = \"{prefix}\"\n"));
        let service = Service::start(&text, &environment(), clock()).await;
        let headers = if input.get("identity").is_some() { vec![("X-Forwarded-User", subject)] } else { vec![] };
        let answer = service.ask("GET", SESSION, &headers).await;
        let expected = match check["reason"].as_str().unwrap() {
            "identity_required" => (401, "unauthorized"),
            "identity_too_long" => (422, "user_id_invalid"),
            "room_too_long" => (503, "provider_bad_answer"),
            "ok" => (200, ""),
            other => panic!("unknown reason {other}"),
        };
        assert_eq!((answer.status, answer.code().as_str()), expected, "{name}");
        assert_eq!(check["refuse"], answer.status != 200, "{name}");
        if answer.status == 200 {
            assert_eq!(answer.json()["chatUserId"], *identity, "{name}");
        }
    }
}

/// Everything at once, beside the same from the official library.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_equal_those_of_the_official_library() {
    let service = service(
        "room = \"team-{{ user.groups | first }}\"
room_preset = \"hd\"
sip = { call = true }
agent = { admin = true }
inference = { perform = true }
observability = { write = true }
attributes = { locale = \"de-DE\", role = \"{{ user.groups | join(',') }}\" }
metadata = { mail = \"{{ user.email? }}\", name = \"{{ user.name }}\" }
[providers.chat.video]
canPublish = false
canPublishSources = [\"camera\", \"{{ user.avatar? }}\"]
roomAdmin = \"{{ true if 'staff' in user.groups? }}\"
hidden = \"{{ true if 'ghosts' in user.groups? }}\"
",
    )
    .await;
    let headers = [
        ("X-Forwarded-User", "alice@example.com"),
        ("X-Forwarded-Name", "Zoë \"Z\" Kraft"),
        ("X-Forwarded-Groups", "red,staff"),
    ];
    let session = service.ask("GET", SESSION, &headers).await.json();
    let order = json!({
        "key": KEY, "secret": SECRET, "at": NOW.as_seconds(),
        "mint": {
            "identity": "alice@example.com", "name": "Zoë \"Z\" Kraft", "ttl": 6 * 3600,
            "metadata": "{\"name\":\"Zoë \\\"Z\\\" Kraft\"}", "attributes": { "locale": "de-DE", "role": "red,staff" },
        },
        "grant": {
            "roomJoin": true, "room": "team-red", "canPublish": false, "canPublishSources": [1], "roomAdmin": true,
        },
    });
    // The judge gives the grant video only; the others are as LiveKit's protocol names them.
    let mut expected = judge("livekit.mjs", order)["claims"].clone();
    assert_eq!(expected["video"]["canPublishSources"], json!(["camera"]), "1 is the camera");
    for (name, grant) in [("sip", "call"), ("agent", "admin"), ("inference", "perform"), ("observability", "write")] {
        expected[name] = json!({ grant: true });
    }
    expected["roomPreset"] = json!("hd");
    assert_eq!(verified(&session["token"], NOW.as_seconds())["claims"], expected);
    assert_eq!((&session["room"], &session["apiUrl"]), (&json!("team-red"), &json!("wss://media.example")));
    // No user is let into a room that was not named.
    let lonely = service.ask("GET", SESSION, &headers[..2]).await;
    assert_eq!((lonely.status, lonely.code().as_str()), (503, "provider_bad_answer"));
}

fn fetch(service: &Service, wishes: &Value, headers: &Value) -> Value {
    let url = format!("http://{}/livekit/token", service.address());
    judge("livekit-client.mjs", json!({ "url": url, "headers": headers, "wishes": wishes, "at": NOW.as_seconds() }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unmodified_client_fetches_its_token_here() {
    let service = service("allow_rooms = [\"lobby\", \"dm-{{ user.id }}\"]").await;
    let alice = json!({ "X-Forwarded-User": "alice", "X-Forwarded-Name": "Alice" });
    let got = fetch(&service, &json!({ "roomName": "lobby" }), &alice);
    assert_eq!(got["serverUrl"], "wss://media.example");
    let claims = &verified(&got["participantToken"], NOW.as_seconds())["claims"];
    assert_eq!(claims["video"], json!({ "roomJoin": true, "room": "lobby" }));
    assert_eq!((&claims["sub"], &claims["name"]), (&json!("alice"), &json!("Alice")));
    for wishes in [
        json!({ "roomName": "lobby", "participantIdentity": "bob" }),
        json!({ "roomName": "lobby", "participantName": "Bob" }),
        json!({ "roomName": "lobby", "participantMetadata": "{}" }),
        json!({ "roomName": "lobby", "participantAttributes": { "role": "admin" } }),
        json!({ "roomName": "lobby", "agentName": "scribe" }),
        json!({ "roomName": "" }),
        json!({}),
    ] {
        let refused = fetch(&service, &wishes, &alice);
        assert!(refused["message"].as_str().unwrap_or_default().contains("received 400"), "{wishes}: {refused}");
    }
    for room in ["lobby2", "Lobby", "dm-bob", "*"] {
        let refused = fetch(&service, &json!({ "roomName": room }), &alice);
        assert!(refused["message"].as_str().unwrap_or_default().contains("received 403"), "{room}: {refused}");
    }
    let visitor = fetch(&service, &json!({ "roomName": "lobby" }), &json!({}));
    assert!(visitor["message"].as_str().unwrap().contains("received 401"), "{visitor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_is_the_operator_s_word() {
    let ask = async |lines: &str, path: &str| -> Answer {
        let service = service(lines).await;
        let headers = [("X-Forwarded-User", "alice"), ("X-Forwarded-Groups", "red,blue")];
        service.ask("GET", &format!("{SESSION}{path}"), &headers).await
    };
    let teams = "allow_rooms = [{ each = \"user.groups\", as = \"g\", value = \"team-{{ g }}\" }]";
    let all = "allow_rooms = [\"*\"]";
    for (lines, path, granted) in [
        ("room = \"lobby\"", "", "lobby"),
        ("room = \"salón\"", "", "salón"),
        ("room = \"dm-{{ user.id }}\"", "", "dm-alice"),
        ("room = \"team-{{ user.groups | first }}\"", "", "team-red"),
        (teams, "?room=team-blue", "team-blue"),
        (all, "?room=any%20name%20%C3%BC", "any name ü"),
        ("room = \"eu-{{ input.room }}\"\nallow_rooms = [\"red\"]", "?room=red", "eu-red"),
    ] {
        let session = ask(lines, path).await.json();
        assert_eq!(parts(&session["token"], 1)["video"]["room"], granted, "{lines}");
        assert_eq!(session["room"], granted);
    }
    let long = format!("?room={}", "r".repeat(256));
    for (lines, path, code) in [
        ("", "?room=lobby", "input_refused"),
        (teams, "?room=team-green", "input_refused"),
        (teams, "?room=team-", "input_refused"),
        ("room = \"lobby\"", "?room=lobby", "input_invalid"),
        (all, "", "input_invalid"),
        (all, "?room=", "input_invalid"),
        (all, "?room=a%0a", "input_invalid"),
        (all, "?room=a&room=b", "input_invalid"),
        (all, &format!("{long}r"), "input_invalid"),
        // With the text around it, it is a byte too long.
        (&format!("room = \"x{{{{ input.room }}}}\"\n{all}"), &long, "provider_bad_answer"),
    ] {
        assert_eq!(ask(lines, path).await.code(), code, "{lines} {path}");
    }
    assert_eq!(ask(all, &long).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_and_names_are_refused_where_livekit_would_refuse_them() {
    let service = service("room = \"lobby\"").await;
    for subject in ["alice#1", "#"] {
        let answer = service.session(subject).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"), "{subject}");
    }
    // 128 characters at most come this far: only those outside of ASCII can make more than 256 bytes.
    for (name, status) in [("ü".repeat(128), 200), ("😀".repeat(64), 200), (format!("{}x", "😀".repeat(64)), 503)]
    {
        let answer = service.ask("GET", SESSION, &[("X-Forwarded-User", "alice"), ("X-Forwarded-Name", &name)]).await;
        assert_eq!(answer.status, status, "{} bytes", name.len());
    }
    let claims = parts(&service.ask("GET", SESSION, &[("X-Forwarded-User", "bob")]).await.json()["token"], 1);
    let members: Vec<&String> = claims.as_object().unwrap().keys().collect();
    assert_eq!(members, ["iss", "sub", "nbf", "exp", "video"], "what has no value is left out");
}

#[test]
fn settings_that_cannot_be_right_are_refused_at_load() {
    let told = |lines: &str, environment: &Environment| {
        draw(&config(&settings(lines), &[]), environment, clock()).expect_err(lines).to_string()
    };
    for (lines, problem) in [
        ("allow_rooms = [\"{{ user.id }}*\"]", "allow_rooms"),
        ("room = \"{{ config.api_secret }}\"", "is a secret"),
        ("room = \"a\"\nvideo = { room = \"b\" }", "providers.chat.video: holds \"room\""),
        ("room = \"a\"\nvideo = { roomJoin = false }", "providers.chat.video: holds \"roomJoin\""),
        ("room = \"a\"\nvideo = { \"{{ user.name }}\" = true }", "providers.chat.video: holds \"{{ user.name }}\""),
        ("room = \"a\"\nroom_config = { egress = {} }", "providers.chat.room_config: holds \"egress\""),
        ("room = \"a\"\nclaims = { sub = \"x\" }", "claims.sub"),
        ("room = \"a\"\nclaims = { video = {} }", "providers.chat.claims: holds \"video\""),
        ("room = \"a\"\nclaims = { sha256 = \"x\" }", "providers.chat.claims: holds \"sha256\""),
        ("room = \"a\"\nclaims = { \"{{ user.name }}\" = \"x\" }", "providers.chat.claims: holds"),
        ("room = \"a\"\npublic_api_url = \"media.example\"", "public_api_url: does not match"),
        ("room = \"a\"\npublic_api_url = \"wss://user:pass@media.example\"", "public_api_url: does not match"),
    ] {
        let told = told(lines, &environment());
        assert!(told.contains(problem), "{problem}: {told}");
    }
    let short =
        Environment::of([("LIVEKIT_API_KEY", KEY), ("LIVEKIT_API_SECRET", "short"), ("LIVEKIT_URL", "wss://x")]);
    assert!(told("room = \"a\"", &short).contains("api_secret"));
    let development = Environment::of([
        ("LIVEKIT_API_KEY", "devkey"),
        ("LIVEKIT_API_SECRET", "secret"),
        ("LIVEKIT_URL", "ws://localhost:7880"),
    ]);
    draw(&config(&settings("room = \"a\""), &[]), &development, clock()).expect("livekit-server --dev");
}
