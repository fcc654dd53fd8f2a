//! Plays the exchanges of test vectors: a provider that knows one sequence of calls, the service before it, and what the
//! vector says of the outcome.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::clock::Timestamp;
use sidemint::config::Environment;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::client::Answer;
use crate::fakes::http::{Call, read_call};
use crate::harness::{SESSION, Service, clock, config};

/// A second session route to the same provider.
pub const ELSEWHERE: &str = "/elsewhere";

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}

/// A provider that plays one exchange. A call that is not the next one, nor an exact repeat of the last, is refused and
/// noted.
#[derive(Clone)]
pub struct Player {
    address: SocketAddr,
    /// Members that a body may have beside those of the vector.
    besides: &'static [&'static str],
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
    pub async fn start(steps: Vec<Value>, besides: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Played { steps, ..Played::default() }));
        let own = Self { address, besides, state };
        let server = own.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.play(stream).await });
            }
        });
        own
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
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
        if state.steps.get(at).is_some_and(|step| self.fits(&step["request"], call)) {
            state.at += 1;
            return state.steps[at]["response"].clone();
        }
        if at > 0 && self.fits(&state.steps[at - 1]["request"], call) {
            state.repeats += 1;
            return state.steps[at - 1]["response"].clone();
        }
        state.wrong.push(call.clone());
        json!({"status": 418, "headers": {}, "text": "not the next call of the exchange"})
    }

    /// Method, path, the listed headers, and the JSON body.
    fn fits(&self, request: &Value, call: &Call) -> bool {
        let mut body = call.json.clone();
        if let Some(members) = body.as_object_mut() {
            members.retain(|name, _| !self.besides.contains(&name.as_str()) || request["json"].get(name).is_some());
        }
        let headers = request["headers"].as_object().unwrap();
        request["method"] == call.method.as_str()
            && request["path"] == call.path.as_str()
            && call.query.is_empty()
            && headers.iter().all(|(name, value)| call.headers.get(name).map(String::as_str) == value.as_str())
            && request["json"] == body
    }

    fn is_silent(&self) -> bool {
        self.state.lock().unwrap().silent
    }
}

/// How the service stands before a player.
#[derive(Clone, Default)]
pub struct Stage {
    /// Lines of the provider's table; `{mock}` stands for the player's address.
    pub provider: String,
    pub environment: Environment,
    /// Definitions that ship with no binary: name and text.
    pub definitions: Vec<(&'static str, String)>,
    pub ttl: Option<String>,
    pub retries: u32,
}

impl Stage {
    /// The service before `player`, with two routes to one provider.
    async fn service(&self, player: &Player) -> Service {
        let ttl = self.ttl.as_ref().map(|ttl| format!("ttl = \"{ttl}\"")).unwrap_or_default();
        let rest = format!(
            "
[[routes]]
path = \"{SESSION}\"
answer = \"session\"
provider = \"chat\"
deadline = \"120s\"
{ttl}
[[routes]]
path = \"{ELSEWHERE}\"
answer = \"session\"
provider = \"chat\"
{ttl}
[providers.chat]
timeout = \"60s\"
retries = {}
{}
",
            self.retries,
            self.provider.replace("{mock}", &player.base_url())
        );
        let definitions: Vec<_> = self.definitions.iter().map(|(name, text)| (*name, text.as_str())).collect();
        Service::start_with(&config(&rest, &[]), &self.environment, clock(), &definitions).await
    }
}

/// One case of a vector.
pub struct Case<'c> {
    pub name: &'c str,
    pub headers: Vec<(&'c str, &'c str)>,
    /// Steps of the exchange; those of an earlier session stand before them.
    pub steps: Vec<Value>,
    /// Whether there was an earlier session, on the other route.
    pub known: bool,
    pub outcome: &'c Value,
    pub besides: &'static [&'static str],
}

impl<'c> Case<'c> {
    /// A case as a vector writes it.
    pub fn of(case: &'c Value) -> Self {
        let input = &case["input"];
        let mut headers = vec![("X-Forwarded-User", input["user_id"].as_str().unwrap_or("alice"))];
        headers.extend(input["display_name"].as_str().map(|name| ("X-Forwarded-Name", name)));
        Self {
            name: text(&case["name"]),
            headers,
            steps: case["exchange"].as_array().unwrap().clone(),
            known: false,
            outcome: &case["outcome"],
            besides: &[],
        }
    }

    /// Plays it, and holds the outcome against what the vector says. Gives the answer for further looks.
    pub async fn play(&self, stage: &Stage) -> Answer {
        let player = Player::start(self.steps.clone(), self.besides).await;
        let service = stage.service(&player).await;
        let name = self.name;
        if self.known {
            assert_eq!(service.ask("GET", ELSEWHERE, &self.headers).await.status, 200, "{name}");
        }
        let answer = if self.outcome["class"] == "ok" {
            service.ask("GET", SESSION, &self.headers).await
        } else {
            ask_while_time_passes(&service, &player, &self.headers).await
        };
        check_outcome(name, self.outcome, &answer);
        let line = service.log_lines(1 + usize::from(self.known)).await.pop().unwrap();
        let reason = (self.outcome["class"] != "ok").then(|| self.outcome["class"].clone());
        assert_eq!(line.get("reason"), reason.as_ref(), "{name}: {line}");
        let state = player.state.lock().unwrap();
        assert!(state.wrong.is_empty(), "{name}: {:?}", state.wrong);
        assert_eq!(state.at, self.steps.len(), "{name}: the whole exchange took place");
        assert!(state.repeats <= usize::try_from(stage.retries).unwrap(), "{name}: {} repeats", state.repeats);
        answer
    }
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

fn check_outcome(name: &str, outcome: &Value, answer: &Answer) {
    if let Some(refresh) = outcome["refresh_token"].as_str() {
        assert!(!answer.text().contains(refresh), "{name}: the refresh token stays here");
    }
    if outcome["class"] == "ok" {
        let session = answer.json();
        assert_eq!((answer.status, &session["token"]), (200, &outcome["token"]), "{name}");
        let end = |value: &Value| Timestamp::parse_rfc3339(text(value)).expect(name);
        assert_eq!(end(&session["expiresAt"]), end(&outcome["expires_at"]), "{name}");
        if let Some(user) = outcome["provider_user_id"].as_str() {
            assert_eq!(session["chatUserId"], user, "{name}");
        }
        return;
    }
    let (status, code) = answer_for(text(&outcome["class"]));
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
    if let Some(seconds) = outcome["retry_after_seconds"].as_u64() {
        assert_eq!(answer.header("retry-after"), Some(seconds.to_string().as_str()), "{name}");
    }
}
