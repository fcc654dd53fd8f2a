//! The canary: every secret and every piece of personal data of a whole run is a word that stands nowhere else, and no
//! such word is found where it does not belong (T-33, T-34, T-36, T-47).

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use sidemint::clock::{Clock, ManualClock};
use sidemint::config::{Config, Environment, Sources};
use sidemint::identity::Identity;
use sidemint::metrics::Metrics;
use sidemint::outbound::{Call, Outbound, Reply, Services};
use sidemint::provider::{Alg, Definitions, Order, Profile, Provider, SigningKey, Wanted, configure, generate};
use sidemint::secrets::Secret;
use sidemint::session::{SessionError, SessionKey};
use sidemint::trace::Origin;

use crate::client::{Answer, Connection, request};
use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::fakes::sendsar::Sendsar;
use crate::harness::{LOCAL, NOW, SESSION, Service, clock, config, draw, sendsar};

const API_KEY: &str = "sk_CANARYapikey0123456789";
const HMAC_KEY: &str = "CANARYhmackey0123456789abcdef0123456789abcdef";
const TOKEN: &str = "CANARYtoken.abc.def";
const USER: &str = "CANARYsubject";
const NAME: &str = "CANARYname";
const MAIL: &str = "CANARYmail@secret.example";
const GROUP: &str = "CANARYgroup";
const COOKIE: &str = "session=CANARYcookie";
const AUTH: &str = "Bearer CANARYauthorization";
const BODY: &str = "CANARYproviderbody";

/// What every request of the run carries.
const HEADERS: [(&str, &str); 10] = [
    ("X-Forwarded-User", USER),
    ("X-Forwarded-Name", NAME),
    ("X-Forwarded-Email", MAIL),
    ("X-Forwarded-Groups", GROUP),
    ("Cookie", COOKIE),
    ("Authorization", AUTH),
    ("User-Agent", "CANARYagent"),
    ("X-Request-Id", "CANARYrequestid"),
    ("Referer", "https://app.example/CANARYreferer"),
    ("traceparent", "00-CANARYtraceparent"),
];

/// Everything that this process tells through `tracing`: ours down to the finest level, libraries down to debug.
#[derive(Clone, Default)]
pub struct Traces(Arc<Mutex<Vec<u8>>>);

impl Traces {
    /// Starts capturing; the same capture however often it is asked for.
    pub fn capture() -> Self {
        static ALL: OnceLock<Traces> = OnceLock::new();
        ALL.get_or_init(|| {
            let traces = Self::default();
            let writer = traces.clone();
            let filter = tracing_subscriber::EnvFilter::new("debug,sidemint=trace");
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .try_init()
                .expect("the first subscriber");
            traces
        })
        .clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Traces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The words in a text, for messages; none may be left.
fn canaries(text: &str) -> Vec<&str> {
    text.match_indices("CANARY").map(|(at, _)| &text[at..text.len().min(at + 24)]).collect()
}

pub fn assert_clean(what: &str, text: &str) {
    assert!(canaries(text).is_empty(), "{what} holds {:?}", canaries(text));
}

/// A session answer may hold the token, the user and the name, each in its place; everything else nothing.
fn assert_in_place(answer: &Answer) {
    let session = answer.status == 200 && answer.header("content-type") == Some("application/json");
    let mut rest = answer.clone();
    if session && !answer.body.is_empty() {
        let mut members = answer.json();
        for (member, own) in [("token", TOKEN), ("chatUserId", USER), ("displayName", NAME)] {
            assert!(member == "token" || members[member] == own, "{member} of {answer:?}");
            members.as_object_mut().unwrap().remove(member);
        }
        rest.body = members.to_string().into_bytes();
    }
    if answer.header("x-chat-status") == Some("ok") {
        rest.headers.retain(|(name, _)| !["x-chat-token", "x-chat-user-id", "x-chat-display-name"].contains(&&**name));
    }
    assert_clean("an answer", &format!("{:?} {}", rest.headers, String::from_utf8_lossy(&rest.body)));
}

/// Sendsar and a local key side by side, both with keys from files, and every route kind on both.
async fn whole_service(folder: &std::path::Path) -> (Service, Sendsar) {
    std::fs::write(folder.join("api-key"), API_KEY).unwrap();
    std::fs::write(folder.join("hmac-key"), HMAC_KEY).unwrap();
    let clock = clock();
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    fake.accept_key(API_KEY);
    let key_file = |name: &str| folder.join(name).display().to_string();
    let rest = format!(
        "{}\napi_key_file = \"{}\"\nretries = 0
[[routes]]
path = \"/local\"
answer = \"session\"
provider = \"own\"
[providers.own]
preset = \"local\"
alg = \"HS256\"
key_file = \"{}\"
public_api_url = \"https://chat.example/v1\"
",
        sendsar(&fake, ""),
        key_file("api-key"),
        key_file("hmac-key")
    );
    let text = config(&rest, &[("browser.allow_origins", "[\"https://other.example\"]")]);
    (Service::start(&text, &Environment::default(), clock).await, fake)
}

/// Every route and most ways to fail, in every state of the provider.
async fn exercise(service: &Service) {
    for path in [
        SESSION,
        "/auth",
        "/auth/CANARYpath?CANARYquery=1",
        "/guard",
        "/local",
        "/CANARYpath",
        "/.well-known/jwks.json",
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "PUT", "CANARYMETHOD"] {
            assert_in_place(&service.ask(method, path, &HEADERS).await);
        }
    }
    let query = format!("{SESSION}?CANARYquery=1");
    let twice = [HEADERS.as_slice(), &[("X-Forwarded-User", USER)]].concat();
    let alias = [HEADERS.as_slice(), &[("X_Forwarded_User", USER)]].concat();
    let origin =
        [HEADERS.as_slice(), &[("Origin", "https://CANARYuser:CANARYsecret@other.example/CANARYpath")]].concat();
    for (path, headers) in [(query.as_str(), &HEADERS[..]), (SESSION, &twice), (SESSION, &alias), (SESSION, &origin)] {
        assert_in_place(&service.ask("GET", path, headers).await);
        assert_in_place(&service.ask("GET", "/guard", headers).await);
    }
    let mut connection = service.connect().await;
    connection.send(request("POST", SESSION, &HEADERS, b"{\"room\":\"CANARYinput\"}")).await;
    assert_in_place(&connection.answer().await.expect("an answer"));
    for raw in ["CANARYgarbage\r\n\r\n", "GET / HTTP/1.1\r\nCANARY header: 1\r\n\r\n"] {
        let mut connection = service.connect().await;
        connection.send(raw).await;
        if let Some(answer) = connection.answer().await {
            assert_in_place(&answer);
        }
    }
}

fn token_answer() -> Script {
    let headers = vec![("X-Provider".to_owned(), "CANARYproviderheader".to_owned())];
    let body = json!({"token": TOKEN, "expiresAt": NOW.plus(Duration::from_secs(3600)).to_rfc3339(), "x": BODY});
    Script::Answer { status: 200, headers, body: body.to_string().into_bytes() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_token_or_user_is_found_where_it_does_not_belong() {
    let traces = Traces::capture();
    let folder = tempfile::tempdir().unwrap();
    let (service, fake) = whole_service(folder.path()).await;
    fake.always("/v1/auth/token", Some(token_answer()));
    exercise(&service).await;
    let failures = [
        Script::text(500, "text/plain", BODY),
        Script::text(400, "text/plain", BODY),
        Script::text(401, "text/plain", BODY),
        Script::text(302, "text/plain", BODY),
        Script::json(200, &json!({"token": format!("{TOKEN} "), "expiresAt": BODY})),
        Script::json(200, &json!({"token": TOKEN, "expiresAt": BODY})),
        Script::Raw(BODY.into()),
        Script::Reset,
    ];
    for script in failures {
        // Renewals fail first, behind sessions in service; then the sessions end, and requests fail.
        fake.breaks(Some(script));
        service.advance(2900);
        exercise(&service).await;
        service.advance(3600);
        exercise(&service).await;
        fake.breaks(None);
        fake.always("/v1/auth/token", None);
        service.advance(120);
        exercise(&service).await;
    }
    // New secrets, unusable ones among them.
    for content in ["CANARYnosuchkey", "", "sk_CANARYnew\nsk_CANARYline"] {
        std::fs::write(folder.path().join("api-key"), content).unwrap();
        std::fs::write(folder.path().join("hmac-key"), content).unwrap();
        service.nudge.now();
        service.metric_reaches("sidemint_credentials_rejected_total{provider=\"own\"}", 1.0).await;
    }
    check_traces_of_the_run(&service, &fake, &traces).await;
}

async fn check_traces_of_the_run(service: &Service, fake: &Sendsar, traces: &Traces) {
    let lines = service.log_lines(100).await;
    assert!(lines.iter().any(|line| line["user"].is_string()), "users are there, as hashes");
    assert_clean("the request log", &service.log());
    assert!(traces.text().contains("session not renewed"), "warnings are captured");
    assert!(traces.text().contains("unusable"), "errors are captured");
    assert_clean("the log", &traces.text());
    for path in ["/metrics", "/readyz", "/livez", "/", "/status.json", "/CANARYpath"] {
        let answer = Connection::open(service.ops).await.ask("GET", path, &[("Host", "localhost")]).await;
        assert_clean(path, &format!("{answer:?} {}", answer.text()));
    }
    for call in fake.calls() {
        assert!(["/v1/users", "/v1/auth/token"].contains(&call.path.as_str()), "{}", call.path);
        let strange = call.headers.iter().filter(|(name, _)| *name != "x-api-key");
        assert_clean("a call to the provider", &format!("{:?}", strange.collect::<Vec<_>>()));
        assert_eq!(call.headers["x-api-key"], API_KEY);
        let mut members = call.json.clone();
        for member in ["id", "username", "userId"] {
            members.as_object_mut().unwrap().remove(member);
        }
        assert_clean("a body to the provider", &members.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_and_display_show_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hmac-key"), HMAC_KEY).unwrap();
    let clock: Arc<ManualClock> = clock();
    let environment = Environment::of([("SENDSAR_API_KEY", API_KEY), ("OTHER", "CANARYvariable")]);
    assert_clean("Environment", &format!("{environment:?}"));
    let fake = Sendsar::start(Arc::clone(&clock)).await;
    let text = config(&sendsar(&fake, ""), &[]);
    let blueprint = draw(&text, &environment, Arc::clone(&clock)).unwrap();
    assert_clean("Blueprint", &format!("{blueprint:?} {blueprint} {:?}", blueprint.config()));
    for secret in [API_KEY, HMAC_KEY] {
        assert_clean("Secret", &format!("{:?}", Secret::new(secret.as_bytes().to_vec())));
    }
    let identity = Identity::of_operator(USER, Some(NAME)).unwrap();
    assert_clean("Identity", &format!("{identity:?}"));
    let key = blueprint.plans()[0].key(&identity, &[]);
    assert_clean("SessionKey", &format!("{:?}", SessionKey::from(key.as_slice())));
    let sessions = blueprint.sessions(&sidemint::lifecycle::Lifecycle::new());
    fake.accept_key(API_KEY);
    fake.always("/v1/auth/token", Some(token_answer()));
    let minted = sessions.cold(&blueprint.plans()[0], &key, Origin::default()).await.unwrap();
    assert_clean("a session in the cache", &format!("{minted:?} {sessions:?}"));
    fake.breaks(Some(Script::text(500, "text/plain", BODY)));
    let other = blueprint.plans()[1].key(&identity, &[]);
    let (failed, ()) = tokio::join!(sessions.cold(&blueprint.plans()[1], &other, Origin::default()), async {
        fake.until(|fake| fake.mints() == 2).await;
        clock.advance(Duration::from_secs(10));
    });
    let error: SessionError = failed.expect_err("the provider fails");
    assert_clean("an error", &format!("{error:?} {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_mint_show_nothing_in_debug() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), HMAC_KEY).unwrap();
    let clock: Arc<dyn Clock> = clock();
    let provider = local_provider(&folder.path().join("key"), &clock);
    let profile =
        Profile { subject: USER, name: Some(NAME), email: Some(MAIL), groups: vec![GROUP], ..Profile::default() };
    assert_clean("Profile", &format!("{profile:?}"));
    let order =
        Order { profile, inputs: vec![], ttl: Duration::from_secs(3600), is_known: false, origin: Origin::default() };
    assert_clean("Order", &format!("{order:?}"));
    let minted = provider.mint_here(&order).unwrap();
    let shown = format!("{minted:?} {provider:?}");
    assert_clean("Minted, Provider", &shown);
    assert!(!shown.contains(&minted.token), "the token is not shown");
    let pem = generate(Alg::EdDsa).unwrap();
    let line = pem.expose_text().unwrap().lines().nth(1).unwrap().to_owned();
    let key = SigningKey::read(Alg::EdDsa, &pem).unwrap();
    assert!(!format!("{pem:?} {key:?}").contains(&line));
    let mut headers = http::HeaderMap::new();
    headers.insert("x-api-key", sensitive(API_KEY));
    let url = "https://api.example/v1/users".parse().unwrap();
    let call = Call { method: http::Method::POST, url, headers, body: Some(NAME.into()) };
    assert_clean("Call", &format!("{call:?}"));
    let reply = Reply { status: 200, headers: http::HeaderMap::new(), body: TOKEN.into() };
    assert_clean("Reply", &format!("{reply:?}"));
}

fn sensitive(text: &str) -> http::HeaderValue {
    let mut value = http::HeaderValue::from_str(text).unwrap();
    value.set_sensitive(true);
    value
}

fn local_provider(key: &std::path::Path, clock: &Arc<dyn Clock>) -> Arc<Provider> {
    let extra = format!("{LOCAL}\nalg = \"HS256\"\nkey_file = \"{}\"", key.display());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config(&extra, &[])).unwrap();
    let sources = Sources { files: vec![file.path().to_owned()], ..Sources::default() };
    let config = Config::load(&sources, &Environment::default()).unwrap();
    let services = Services {
        outbound: Outbound::new(Arc::clone(clock)).unwrap(),
        clock: Arc::clone(clock),
        metrics: Arc::new(Metrics::new().unwrap()),
    };
    let (table, wanted) = (&config.providers["chat"], Wanted { sessions: true, gateway: false });
    let definitions = Definitions::default();
    let configured = configure("chat", table, &Environment::default(), &definitions, &services, wanted).unwrap();
    configured.provider.unwrap()
}

/// Secrets that were put in the wrong place are not repeated by the message that says so.
#[tokio::test(flavor = "multi_thread")]
async fn messages_about_mistakes_do_not_repeat_secrets() {
    let fake = Sendsar::start(clock()).await;
    let key = format!("\"{API_KEY}\"");
    let address = format!("\"https://CANARYuser:CANARYpassword@{}/v1?CANARYquery=1\"", fake.address);
    for (overrides, variable) in [
        (vec![("providers.chat.api_key", key.as_str())], API_KEY),
        (vec![("providers.chat.api_url", address.as_str())], API_KEY),
        (vec![("providers.chat.public_api_url", address.as_str())], API_KEY),
        (vec![], "CANARYwrongprefix"),
        (vec![], "sk_CANARYline\nCANARYline"),
        (vec![], "sk_CANARYé"),
    ] {
        let text = config(&sendsar(&fake, ""), &overrides);
        let environment = Environment::of([("SENDSAR_API_KEY", variable)]);
        let errors = draw(&text, &environment, clock()).expect_err("refused");
        assert_clean("a message", &format!("{errors} {errors:?}"));
    }
    for key in ["CANARYshort", "-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----\n"] {
        let environment = Environment::of([("SIDEMINT_SIGNING_KEY", key)]);
        for alg in ["\"HS256\"", "\"EdDSA\"", "\"RS256\""] {
            let text = config(LOCAL, &[("providers.chat.alg", alg)]);
            let errors = draw(&text, &environment, clock()).expect_err("refused");
            assert_clean("a message", &format!("{errors} {errors:?}"));
        }
    }
}

/// T-47: even with users in plain, a line is one line and JSON, and nothing in it can be taken for something else.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_line_is_json_whatever_comes_in() {
    let text = config(LOCAL, &[("log.users", "\"plain\"")]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    let subjects = [
        "a\"b",
        "a\\b",
        "a\\",
        "x\",\"level\":\"ERROR",
        "</script>",
        "a'b",
        "%0d%0a",
        "\\u0000",
        "é",
        "日本",
        "a\u{1b}[31mb",
        "a\tb",
        "\u{202e}gnp",
        "a\u{85}b",
        "a\u{2028}b",
        "a\u{9b}31m",
        "a\u{feff}",
        "{\"a\":1}",
        "a\u{7f}",
    ];
    let (mut shown, mut lines) = (0, 0);
    for subject in subjects {
        for agent in [subject, "x\",\"level\":\"ERROR"] {
            let mut connection = Connection::open(service.address()).await;
            connection
                .send(request("GET", SESSION, &[("X-Forwarded-User", subject), ("User-Agent", agent)], b""))
                .await;
            let answer = connection.answer().await.expect("an answer");
            // What is not even HTTP is refused before there is a request of this route, and has a line all the same.
            lines += usize::from(answer.header("x-request-id").is_some());
            shown += usize::from(answer.status == 200);
            assert!([200, 400, 401].contains(&answer.status), "{subject:?}: {answer:?}");
        }
    }
    let lines: Vec<Value> = service.log_lines(lines).await;
    assert!(service.log().bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)), "{}", service.log());
    assert!(
        lines.iter().all(|line| line["level"] == "INFO" && (line["route"] == SESSION || line["route"] == "other")),
        "{lines:?}"
    );
    let users: Vec<_> = lines.iter().filter_map(|line| line["user"].as_str()).collect();
    assert!(shown >= 16 && users.len() == shown, "{users:?}");
    assert!(users.iter().all(|user| subjects.contains(user)), "{users:?}");
}

/// T-47: the same for lines as text: one line per request, nothing that steers a terminal, nothing that adds a field.
#[tokio::test(flavor = "multi_thread")]
async fn every_text_line_is_one_line_whatever_comes_in() {
    let text = config(LOCAL, &[("log.users", "\"plain\""), ("log.format", "\"text\"")]);
    let service = Service::start(&text, &Environment::default(), clock()).await;
    let subjects = [
        "a b",
        "a\u{1b}[31mb",
        "x user=eve id=1",
        "é\u{85}",
        "日本",
        "\u{202e}gnp",
        "a\"b",
        "a\\nb",
        "a\u{9b}31m",
        "a\tb",
    ];
    for subject in subjects {
        let mut connection = Connection::open(service.address()).await;
        connection.send(request("GET", SESSION, &[("X-Forwarded-User", subject), ("User-Agent", subject)], b"")).await;
        assert!(connection.answer().await.is_some(), "{subject:?}");
    }
    eventually("the lines are written", async || service.log().lines().count() >= 5).await;
    let (_, log) = (service.session("last").await, service.log());
    assert!(log.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)), "{log}");
    for line in log.lines() {
        let bare: String = line.split('"').step_by(2).collect();
        assert!(bare.matches(" id=").count() == 1 && bare.matches(" user=").count() <= 1, "{line}");
    }
}
