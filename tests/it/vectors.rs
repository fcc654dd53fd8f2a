//! Test vectors: every exchange with Sendsar, and every answer that its browser client was seen to take.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::clock::{Clock as _, Timestamp};
use sidemint::config::Environment;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::client::Answer;
use crate::fakes::http::{Call, Script, read_call};
use crate::fakes::sendsar::Sendsar;
use crate::harness::{NOW, SESSION, Service, clock, config, draw, sendsar, sendsar_key};

/// The client's refresh margin, seconds: with this much or less left it asks again at once and for ever.
const CLIENT_MARGIN: i64 = 300;

fn exchanges() -> Value {
    serde_json::from_str(include_str!("../vectors/http-sendsar.json")).unwrap()
}

fn browser_cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../vectors/session-client-sendsar.json")).unwrap();
    assert_eq!(file["now"], NOW.as_seconds());
    file["cases"].as_array().unwrap().clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}

/// A provider that plays one exchange. A call that is not the next one, nor an exact repeat of the last, is refused and
/// noted.
#[derive(Clone)]
struct Player {
    address: SocketAddr,
    state: Arc<Mutex<Played>>,
}

#[derive(Default)]
struct Played {
    steps: Vec<Value>,
    at: usize,
    repeats: usize,
    wrong: Vec<Call>,
    /// Whether a call is being left without an answer.
    silent: bool,
}

impl Player {
    async fn start(steps: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Played { steps, ..Played::default() }));
        let own = Self { address, state };
        let server = own.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.play(stream).await });
            }
        });
        own
    }

    async fn play(&self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Ok(Some(call)) = read_call(&mut stream, &mut buffer).await {
            let answer = self.next(&call);
            match answer["fault"].as_str() {
                Some("no_answer") => {
                    self.state.lock().unwrap().silent = true;
                    std::future::pending::<()>().await;
                }
                Some("connection_reset") => return,
                Some(other) => panic!("unknown fault {other}"),
                None => {}
            }
            let body = answer["text"].as_str().map_or_else(|| answer["json"].to_string(), str::to_owned);
            let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer["status"], body.len());
            for (name, value) in answer["headers"].as_object().unwrap() {
                head.push_str(&format!("{name}: {}\r\n", text(value)));
            }
            if stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn next(&self, call: &Call) -> Value {
        let mut state = self.state.lock().unwrap();
        let at = state.at;
        if state.steps.get(at).is_some_and(|step| fits(&step["request"], call)) {
            state.at += 1;
            return state.steps[at]["response"].clone();
        }
        if at > 0 && fits(&state.steps[at - 1]["request"], call) {
            state.repeats += 1;
            return state.steps[at - 1]["response"].clone();
        }
        state.wrong.push(call.clone());
        json!({"status": 418, "headers": {}, "text": "not the next call of the exchange"})
    }

    fn is_silent(&self) -> bool {
        self.state.lock().unwrap().silent
    }
}

/// Method, path, the listed headers, and the JSON body; `appCode` may be added.
fn fits(request: &Value, call: &Call) -> bool {
    let mut body = call.json.clone();
    if let Some(members) = body.as_object_mut().filter(|_| request["json"].get("appCode").is_none()) {
        members.remove("appCode");
    }
    let headers = request["headers"].as_object().unwrap();
    request["method"] == call.method.as_str()
        && request["path"] == call.path.as_str()
        && headers.iter().all(|(name, value)| call.headers.get(name).map(String::as_str) == value.as_str())
        && request["json"] == body
}

/// Status and code that a class of outcome has on a session route.
fn answer_for(class: &str) -> (u16, &'static str) {
    match class {
        "credential_rejected" => (503, "provider_credentials"),
        "rate_limited" => (503, "provider_rate_limited"),
        "unavailable" => (503, "provider_unavailable"),
        "bad_response" | "rejected" | "user_missing" | "session_lost" => (503, "provider_bad_answer"),
        other => panic!("unknown class {other}"),
    }
}

/// The service before a player, with two routes to one provider.
async fn service_before(player: &Player, key: &str, ttl: &Value, retries: u32) -> Service {
    let rest = format!(
        "
[[routes]]
path = \"{SESSION}\"
answer = \"session\"
provider = \"chat\"
ttl = \"{ttl}s\"
deadline = \"120s\"
[[routes]]
path = \"/elsewhere\"
answer = \"session\"
provider = \"chat\"
ttl = \"{ttl}s\"
[providers.chat]
preset = \"sendsar\"
api_url = \"http://{}/v1\"
timeout = \"60s\"
retries = {retries}
",
        player.address
    );
    Service::start(&config(&rest, &[]), &Environment::of([("SENDSAR_API_KEY", key)]), clock()).await
}

/// Asks while the clock goes on in small steps, so that pauses between repeats end; past the provider's timeout once a
/// call is left without an answer.
async fn ask_while_time_passes(service: &Service, player: &Player, headers: &[(&str, &str)]) -> Answer {
    let time = async {
        while !player.is_silent() {
            tokio::time::sleep(Duration::from_millis(2)).await;
            service.clock.advance(Duration::from_millis(10));
        }
        service.advance(60);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = service.ask("GET", SESSION, headers) => answer,
        () = time => unreachable!("time goes on"),
    }
}

async fn run_case(file: &Value, case: &Value, retries: u32) {
    let name = text(&case["name"]);
    let input = &case["input"];
    let headers = [("X-Forwarded-User", text(&input["user_id"])), ("X-Forwarded-Name", text(&input["display_name"]))];
    let mut steps = case["exchange"].as_array().unwrap().clone();
    // An exchange that begins with the token call is one where the user was sent before.
    let known = steps[0]["request"]["path"] != "/v1/users";
    if known {
        let good = file["cases"].as_array().unwrap().iter().find(|case| case["name"] == "mint_ok_200").unwrap();
        steps.splice(0..0, good["exchange"].as_array().unwrap().clone());
    }
    let player = Player::start(steps.clone()).await;
    let service = service_before(&player, text(&file["credentials"]["api_key"]), &input["ttl_seconds"], retries).await;
    if known {
        assert_eq!(service.ask("GET", "/elsewhere", &headers).await.status, 200, "{name}");
    }
    let answer = ask_while_time_passes(&service, &player, &headers).await;
    check_outcome(name, &case["outcome"], &answer);
    let line = service.log_lines(1 + usize::from(known)).await.pop().unwrap();
    let reason = (case["outcome"]["class"] != "ok").then(|| case["outcome"]["class"].clone());
    assert_eq!(line.get("reason"), reason.as_ref(), "{name}: {line}");
    let state = player.state.lock().unwrap();
    assert!(state.wrong.is_empty(), "{name}: {:?}", state.wrong);
    assert_eq!(state.at, steps.len(), "{name}: the whole exchange took place");
    assert!(state.repeats <= usize::try_from(retries).unwrap(), "{name}: {} repeats", state.repeats);
}

fn check_outcome(name: &str, outcome: &Value, answer: &Answer) {
    if outcome["class"] == "ok" {
        let session = answer.json();
        assert_eq!((answer.status, &session["token"]), (200, &outcome["token"]), "{name}");
        let end = |value: &Value| Timestamp::parse_rfc3339(text(value)).expect(name);
        assert_eq!(end(&session["expiresAt"]), end(&outcome["expires_at"]), "{name}");
        return;
    }
    let (status, code) = answer_for(text(&outcome["class"]));
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
    if let Some(seconds) = outcome["retry_after_seconds"].as_u64() {
        assert_eq!(answer.header("retry-after"), Some(seconds.to_string().as_str()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_with_sendsar_ends_as_its_vector_says() {
    let file = exchanges();
    assert_eq!(file["now"], NOW.as_seconds());
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        run_case(&file, case, 0).await;
    }
}

/// T-39: repeats change no outcome, and there are few of them.
#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_ends_in_the_same_way_when_failed_calls_are_repeated() {
    let file = exchanges();
    for case in file["cases"].as_array().unwrap() {
        run_case(&file, case, 2).await;
    }
}

/// What the vector's client does with an answer: when it asks again.
fn next_fetch(session: &Value) -> i64 {
    let end = Timestamp::parse_rfc3339(text(&session["expiresAt"])).expect("ISO text");
    end.as_seconds() - NOW.as_seconds() - CLIENT_MARGIN
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_s_expiry_is_handed_out_only_where_the_client_can_live_with_it() {
    let cases = browser_cases();
    let with_session: Vec<_> = cases.iter().filter(|case| case["answer"]["status"] == 200).collect();
    assert_eq!(with_session.len(), 8);
    for case in with_session {
        let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
        let told = &case["answer"]["json"];
        let body = json!({"token": told["token"], "expiresAt": told["expiresAt"]});
        fake.always("/v1/auth/token", Some(Script::json(200, &body)));
        let answer = service.session("user_abc123").await;
        match case["next_fetch_in_seconds"].as_i64().unwrap() {
            0 => assert_eq!((answer.status, answer.code().as_str()), (503, "provider_bad_answer"), "{case}"),
            seconds => {
                assert_eq!(answer.status, 200, "{case}");
                assert_eq!(next_fetch(&answer.json()), seconds, "{case}");
                assert_eq!(answer.json()["expiresAt"], told["expiresAt"], "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slash_at_the_end_of_the_browser_s_address_is_not_handed_out() {
    let case = browser_cases().into_iter().find(|case| case["name"] == "trailing_slash_in_api_url").unwrap();
    let address = case["answer"]["json"]["apiUrl"].to_string();
    let (service, _fake) = Service::sendsar_with("", &[("providers.chat.public_api_url", &address)]).await;
    assert_eq!(service.session("user_abc123").await.json()["apiUrl"], "https://api.sendsar.com/v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_within_the_client_s_margin_is_refused_at_load() {
    let fake = Sendsar::start(clock()).await;
    for ttl in ["1s", "4m", "5m", "305s"] {
        let text = config(&sendsar(&fake, ""), &[]).replace("ttl = \"1h\"", &format!("ttl = \"{ttl}\""));
        let errors = draw(&text, &sendsar_key(), clock()).expect_err(ttl).to_string();
        assert!(errors.contains("routes[0].ttl"), "{ttl}: {errors}");
        assert!(errors.contains("refresh at once and for ever; write more"), "{ttl}: {errors}");
    }
    let text = config(&sendsar(&fake, ""), &[]).replace("ttl = \"1h\"", "ttl = \"306s\"");
    assert!(draw(&text, &sendsar_key(), clock()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn error_is_text_at_the_top_of_every_refusal() {
    let failing: Vec<_> = browser_cases().into_iter().filter(|case| case["answer"]["status"] != 200).collect();
    assert_eq!(failing.len(), 4);
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let mut refusals = vec![
        service.ask("GET", SESSION, &[]).await,
        service.ask("PUT", SESSION, &[("X-Forwarded-User", "alice")]).await,
        service.ask("GET", "/nowhere", &[]).await,
        service.ask("GET", &format!("{SESSION}?x=1"), &[("X-Forwarded-User", "alice")]).await,
        service.ask("GET", SESSION, &[("X-Forwarded-User", "alice"), ("Sec-Fetch-Site", "cross-site")]).await,
    ];
    // The provider's own refusals, told in the words of the vectors: none is passed on.
    for case in failing.iter().filter_map(|case| case["answer"].as_object()) {
        let body = case.get("json").map_or_else(|| case["text"].to_string(), Value::to_string);
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        fake.next("/v1/auth/token", Script::text(status, "application/json", body));
        refusals.push(service.session("alice").await);
        service.advance(60);
    }
    for answer in refusals {
        let problem = answer.json();
        assert!(answer.status >= 400 && problem["error"].is_string(), "{answer:?}");
        assert!(!["slow down", "bad"].contains(&text(&problem["error"])), "{answer:?}");
        assert!(problem["code"].is_string() && problem["requestId"].is_string(), "{answer:?}");
    }
}

/// T-38: from the first request to long after the end of every token, in steps that fall on both sides of each edge.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_is_ever_handed_a_token_that_makes_it_loop() {
    let short = |seconds: u64| {
        let end = NOW.plus(Duration::from_secs(seconds)).to_rfc3339();
        Script::json(200, &json!({"token": "T", "expiresAt": end}))
    };
    let later = [
        None,
        Some(Script::Reset),
        Some(Script::text(503, "text/plain", "maintenance")),
        Some(short(3600)),
        Some(Script::json(200, &json!({"token": "T", "expiresAt": 1_777_930_000}))),
    ];
    for script in later {
        let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
        let first = service.session("alice").await;
        assert_eq!(first.status, 200);
        fake.always("/v1/auth/token", script.clone());
        let mut served = 0;
        for _ in 0..2 * 3600 / 13 {
            let answer = service.session("alice").await;
            if answer.status == 200 {
                served += 1;
                let end = answer.json()["expiresAt"].clone();
                assert!(text(&end).len() == 24 && text(&end).ends_with('Z'), "{end}");
                let left =
                    Timestamp::parse_rfc3339(text(&end)).unwrap().as_seconds() - service.clock.now().as_seconds();
                assert!(left > CLIENT_MARGIN, "{left} s left, provider: {script:?}");
            } else {
                assert_eq!((answer.status, &answer.json()["error"]), (503, &json!("Chat unavailable")));
                assert!(script.is_some(), "an honest provider fails nobody");
            }
            service.advance(13);
        }
        assert!(served >= 3290 / 13, "the first token is served up to the margin: {served}, provider: {script:?}");
    }
}

/// The vector `refresh_answers_503`: the client never asks again, so a refresh fails only when nothing usable is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_refreshes_while_the_provider_is_down_keeps_its_session() {
    assert!(browser_cases().iter().any(|case| case["name"] == "refresh_answers_503"));
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    let first = service.session("alice").await.json();
    fake.breaks(Some(Script::text(503, "text/plain", "maintenance")));
    // Past the point of renewal, which fails; a page that is loaded now gets the session that is there.
    service.advance(2900);
    fake.until(|fake| fake.mints() > 1).await;
    for _ in 0..3 {
        let answer = service.session("alice").await;
        assert_eq!((answer.status, answer.json()), (200, first.clone()));
        service.advance(100);
    }
    // A client that comes back exactly when its margin begins finds a renewed one, if the provider came back in time.
    fake.breaks(None);
    service.advance(120);
    let renewed = service.session("alice").await;
    assert_eq!(renewed.status, 200);
    assert_ne!(renewed.json()["token"], first["token"]);
}
