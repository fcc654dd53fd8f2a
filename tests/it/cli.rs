//! The binary as operators meet it: verbs, exit codes, sentences, signals. Each test starts a process of its own with an
//! environment that holds nothing but what the test says.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sidemint::identity;
use sidemint::provider::{Alg, PRESETS, SigningKey};
use sidemint::secrets::Secret;
use strum::VariantArray as _;

use crate::client::Connection;
use crate::eventually::eventually_now;
use crate::fakes::sendsar::API_KEY;
use crate::harness::{LOCAL, SESSION, config};
use crate::inputs::{preset, with_client};

const FIVE: [&str; 5] = ["token", "expiresAt", "apiUrl", "chatUserId", "displayName"];

/// Ports that the system chooses.
const ANY_PORTS: [(&str, &str); 2] =
    [("SIDEMINT_SERVER__LISTEN", "127.0.0.1:0"), ("SIDEMINT_OPS__LISTEN", "127.0.0.1:0")];

/// The program in an empty environment, at the root of the repository: there `config.toml` is the shipped one.
pub fn sidemint(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidemint"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// How a run ended.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let output = sidemint(arguments, environment).stdin(Stdio::null()).output().expect("starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A run that must succeed, and its output.
fn good(arguments: &[&str]) -> String {
    let ran = run(arguments, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
    ran.out
}

/// A run that must fail with `code`, say nothing on standard output, and begin each line with its name.
pub fn bad(code: i32, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let ran = run(arguments, environment);
    assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{arguments:?}: {}", ran.err);
    assert!(!ran.err.is_empty() && ran.err.lines().all(|line| line.starts_with("sidemint: ")), "{}", ran.err);
    ran.err
}

pub fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A serving process; killed when the test ends first.
pub struct Process {
    pub child: Child,
    out: BufReader<ChildStdout>,
    pub front: SocketAddr,
    pub ops: SocketAddr,
}

impl Process {
    /// Starts and waits for the line that tells the addresses.
    pub fn serve(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let all = [&ANY_PORTS[..], environment].concat();
        let mut child = sidemint(arguments, &all).stdout(Stdio::piped()).spawn().expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let line = next_line(&mut out, "serving");
        let address = |key: &str| line[key].as_str().expect("an address").parse().expect("an address");
        Self { front: address("front"), ops: address("ops"), child, out }
    }

    /// Waits until the service says that it is ready.
    fn ready(self) -> Self {
        let ops = self.ops.to_string();
        eventually_now("it is ready", || run(&["healthcheck"], &[("SIDEMINT_OPS__LISTEN", &ops)]).code == Some(0));
        self
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("sh");
        assert!(sent.success());
    }

    pub fn wait_for(&mut self, message: &str) -> Value {
        next_line(&mut self.out, message)
    }

    /// Waits for the end: exit code and the rest of the output.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("readable");
        (self.child.wait().expect("ends").code(), rest)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The next log line with this message; the lines before it are skipped.
fn next_line(out: &mut impl std::io::BufRead, message: &str) -> Value {
    let mut seen = String::new();
    loop {
        let mut text = String::new();
        assert!(out.read_line(&mut text).expect("readable") > 0, "ended without «{message}»: {seen}");
        seen.push_str(&text);
        let line: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        if line["message"].as_str().is_some_and(|own| own.starts_with(message)) {
            return line;
        }
    }
}

async fn ask(address: SocketAddr, path: &str, user: &str) -> crate::client::Answer {
    Connection::open(address).await.ask("GET", path, &[("X-Forwarded-User", user), ("X-Forwarded-Name", "Alice")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_configuration_serves_a_session_without_any_account() {
    let process = Process::serve(&[], &[]).ready();
    let answer = ask(process.front, SESSION, "alice").await;
    assert_eq!(answer.status, 200);
    let session = answer.json();
    let members: Vec<&str> = session.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, FIVE);
    assert_eq!((&session["chatUserId"], &session["displayName"]), (&"alice".into(), &"Alice".into()));
    assert_eq!(ask(process.ops, "/readyz", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_drain_and_end_with_0() {
    for name in ["TERM", "INT"] {
        let mut process = Process::serve(&["serve"], &[]);
        assert_eq!(ask(process.front, SESSION, "alice").await.status, 200);
        process.signal(name);
        let (code, rest) = process.end();
        assert_eq!(code, Some(0), "{rest}");
        assert!(rest.contains("\"stopped\"") && !rest.contains("cut"), "drained, not cut: {rest}");
        assert!(rest.contains("\"outcome\":\"ok\""), "the request line was written before the end: {rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_secrets_again_and_ends_no_request() {
    let mut process = Process::serve(&[], &[]);
    process.signal("HUP");
    process.wait_for("SIGHUP: reading secrets");
    assert_eq!(ask(process.front, SESSION, "alice").await.status, 200);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

/// T-58: a file that was weakened, emptied or removed under a running service changes nothing until it is started again,
/// and a start checks it as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_takes_up_no_weaker_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let strict = config(LOCAL, &[("identity.peers.networks", "[\"192.0.2.0/24\"]")]);
    let path = file(folder.path(), "config.toml", &strict);
    let mut process = Process::serve(&["serve", "--config", &path], &[]);
    let weak = strict.replace("192.0.2.0/24", "127.0.0.0/8");
    for content in [Some(weak.as_str()), Some(&strict[..strict.len() / 2]), Some(""), None] {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        process.signal("HUP");
        process.wait_for("SIGHUP: reading secrets");
        let answer = ask(process.front, SESSION, "alice").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "peer_untrusted"), "{content:?}");
    }
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    assert_eq!(run(&["serve", "--config", &path], &ANY_PORTS).code, Some(2), "a missing file is no configuration");
}

#[test]
fn a_signal_right_after_the_first_line_is_heeded() {
    for _ in 0..5 {
        let mut process = Process::serve(&[], &[]);
        process.signal("TERM");
        assert_eq!(process.end().0, Some(0));
    }
}

#[test]
fn check_tells_what_would_be_served() {
    let said = good(&["check"]);
    let kid = regex_lite::Regex::new(r"kid [A-Za-z0-9_-]{43}").unwrap();
    insta::assert_snapshot!(kid.replace_all(&said, "kid …"), @r"
    front listener  127.0.0.1:8080
    ops listener    127.0.0.1:9090
    identity        plain
    told by         127.0.0.0/8, ::1/128
    route           /api/chat/session: session, provider chat, lifetime 1h
    route           /auth: subrequest, optional, provider chat, lifetime 1h
    provider        chat: preset local, apiUrl http://127.0.0.1:8080, signs with EdDSA, made at start (kid …)
    configuration is good
    ");
}

#[test]
fn check_reports_every_mistake_of_a_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = "
[server]
listn = \"127.0.0.1:0\"
idle_timeout = 5
[log]
level = \"loud\"
[identity]
source = \"plane\"
[identity.peers]
networks = [\"10.0.0.1/8\"]
[providers.chat]
preset = \"sendsar\"
api_key = \"sk_live_canary\"
[providers.dev]
preset = \"local\"
[providers.own]
preset = \"local\"
public_api_url = \"https://chat.example\"
[[routes]]
path = \"/a\"
answer = \"session\"
provider = \"own\"
ttl = \"10s\"
[[routes]]
path = \"/a\"
answer = \"subrequest\"
provider = \"nobody\"
";
    let path = file(folder.path(), "config.toml", text);
    let sources: Vec<&str> = identity::PRESETS.iter().map(|(name, _)| *name).collect();
    let said = bad(2, &["check", "--config", &path], &[]).replace(&path, "config.toml");
    let said = said.replace(&sources.join(", "), "SOURCES");
    insta::assert_snapshot!(said, @r#"
    sidemint: config.toml: server.idle_timeout: is 5, write a span of time as text, from "0s" to "1day"
    sidemint: config.toml: server.listn: unknown key; known here: listen, unix_mode, max_connections, header_timeout, idle_timeout, max_headers, max_head_bytes, max_body_bytes, max_unfinished_bytes, http2, drain_delay, drain_timeout, workers, tls; did you mean listen?
    sidemint: config.toml: identity.peers.networks: "10.0.0.1/8" has host bits set; write "10.0.0.0/8"
    sidemint: config.toml: routes[1].provider: no provider "nobody"; configured: chat, dev, own
    sidemint: config.toml: routes[1].path: "/a" is already served by the route "/a"
    sidemint: config.toml: identity.source: no source "plane"; presets: SOURCES; or define identity.sources.plane; did you mean plain?
    sidemint: config.toml: log.level: "loud" is not a level (error, warn, info, debug, trace) nor a filter such as "info,sidemint=debug"
    sidemint: config.toml: providers.chat.api_key: is a secret, and secrets are never written in configuration; write api_key_file = "/path"
    sidemint: config.toml: providers.dev.public_api_url: is missing; write public_api_url = "…" (Address of the chat API as the browser reaches it; it becomes the session's apiUrl)
    sidemint: config.toml: routes[0].ttl: is 10s, and clients refresh 1m before the end, so they would refresh at once and for ever; write more
    "#);
    assert!(!said.contains("canary"));
}

#[test]
fn serve_refuses_what_check_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "config.toml", "[server]\nlistn = 1\n");
    let check = bad(2, &["check", "--config", &path], &[]);
    assert_eq!(bad(2, &["serve", "--config", &path], &[]), check);
    assert_eq!(bad(2, &["--config", &path], &[]), check);
    assert_eq!(bad(2, &["mint", "--user", "alice", "--config", &path], &[]), check);
}

#[test]
fn a_missing_configuration_ends_with_2_and_a_sentence() {
    let said = bad(2, &["--config", "nowhere.toml"], &[]);
    assert_eq!(
        said,
        "sidemint: nowhere.toml: cannot be read (No such file or directory (os error 2)); name a configuration file \
         with --config\n"
    );
    let said = bad(2, &["check"], &[("SIDEMINT_CONFIG", "also-nowhere.toml")]);
    assert!(said.contains("also-nowhere.toml: cannot be read"), "{said}");
}

#[test]
fn files_folder_and_flag_are_layers() {
    let folder = tempfile::tempdir().unwrap();
    let base = file(folder.path(), "base.toml", &config(LOCAL, &[]));
    let more =
        file(folder.path(), "more.toml", "[ops]\nlisten = \"127.0.0.1:7001\"\n[server]\nlisten = \"127.0.0.1:7002\"\n");
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    let drops = folder.path().join("conf.d").display().to_string();
    file(
        folder.path(),
        "conf.d/10.toml",
        "[providers.chat]\naudience = \"team\"\n[ops]\nlisten = \"127.0.0.1:7003\"\n",
    );
    let said = good(&["check", "-c", &base, "-c", &more, "--config-dir", &drops, "--listen", "127.0.0.1:7004"]);
    assert!(said.starts_with("front listener  127.0.0.1:7004\nops listener    127.0.0.1:7003\n"), "{said}");
    let both = format!("{base}:{more}");
    let said = run(&["check"], &[("SIDEMINT_CONFIG", &both), ("SIDEMINT_SERVER__LISTEN", "127.0.0.1:7005")]).out;
    assert!(said.starts_with("front listener  127.0.0.1:7005\nops listener    127.0.0.1:7001\n"), "{said}");
}

#[test]
fn mint_prints_the_session_of_a_user() {
    let said = good(&["mint", "--user", "alice", "--name", "Alice Liddell"]);
    assert_eq!(said.lines().count(), 1);
    let session: Value = serde_json::from_str(&said).unwrap();
    let members: Vec<&str> = session.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, FIVE);
    assert_eq!((&session["chatUserId"], &session["displayName"]), (&"alice".into(), &"Alice Liddell".into()));
}

#[test]
fn mint_prints_the_headers_of_a_subrequest_route() {
    let said = good(&["mint", "--user", "alice", "--route", "/auth"]);
    let names: Vec<&str> = said.lines().map(|line| line.split_once(": ").expect("a header").0).collect();
    for name in ["x-chat-token", "x-chat-token-expires-at", "x-chat-api-url", "x-chat-user-id", "x-chat-display-name"] {
        assert!(names.contains(&name), "{said}");
    }
    assert!(said.contains("x-chat-user-id: alice\n") && said.contains("x-chat-status: ok\n"), "{said}");
}

#[test]
fn mint_prints_the_answer_of_a_client_route() {
    let folder = tempfile::tempdir().unwrap();
    let route = "[[routes]]\npath = \"/livekit/token\"\nanswer = \"client\"\nprovider = \"chat\"\n";
    let path = file(folder.path(), "more.toml", route);
    let definitions = tempfile::tempdir().unwrap();
    file(definitions.path(), "local.toml", &with_client(preset("local")));
    let files = ["-c", "config.toml", "-c", &path, "--definitions", definitions.path().to_str().unwrap()];
    let said = good(&[&["mint", "--user", "alice", "--route", "/livekit/token"][..], &files].concat());
    let session: Value = serde_json::from_str(&said).unwrap();
    let members: Vec<&str> = session.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["server_url", "participant_token"]);
    assert!(good(&[&["check"][..], &files].concat()).contains("/livekit/token: client, provider chat, lifetime 1h\n"));
}

/// A definition with every kind of proof, at an address where nothing listens: a dry run sends nothing.
const EXPLAINED: &str = r#"
name = "explained"
summary = "for the test"
[settings.secret]
about = "secret"
secret = true
env = "OWN_SECRET"
[let]
password = { hmac = "sha256", key = "secret", text = "{{ user.id }}", encode = "hex" }
[user]
case = "counts"
[lifetime]
default = "1h"
margin = "1m"
on_credential_change = "keep"
[[token.steps]]
id = "login"
post = "http://127.0.0.1:1/login"
query = { mail = "{{ user.email? }}" }
json = { id = "{{ user.id }}", password = "{{ let.password }}" }
auth = [{ bearer = "secret" }, { member = "app_secret", secret = "secret" }, { jwt = { alg = "HS256", key = "secret", claims = { server = true } }, header = "x-jwt" }]
take = { id = "/id" }
token = "/token"
expires = { kind = "requested" }
[[token.steps]]
id = "rename"
when = "{{ step.login.id }}"
patch = "http://127.0.0.1:1/users/{{ step.login.id }}"
auth = { signature = { hmac = "sha256", key = "secret", text = "{{ request.path }}", encode = "hex" }, query = "sig" }
[response]
api_url = "https://chat.example"
"#;

#[test]
fn a_dry_run_shows_everything_but_secrets_and_does_nothing() {
    const SECRET: &str = "canary-secret-of-thirty-two-bytes";
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "explained.toml", EXPLAINED);
    let own = folder.path().display().to_string();
    let routes = "[[routes]]\npath = \"/a\"\nanswer = \"session\"\nprovider = \"chat\"\n";
    let config = tempfile::tempdir().unwrap();
    let path =
        file(config.path(), "config.toml", &format!("{routes}[providers.chat]\npreset = \"explained\"\nretries = 0\n"));
    let arguments = ["-c", &path, "--definitions", &own, "mint", "--user", "alice", "--email", "a@b.example"];
    let environment = [("OWN_SECRET", SECRET)];
    let said = run(&[&arguments[..], &["--dry-run"]].concat(), &environment);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    insta::assert_snapshot!("dry_run", said.out);
    let done = run(&[&arguments[..], &["--explain"]].concat(), &environment);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""));
    assert!(
        done.err.starts_with(&said.out)
            && done.err.contains("login: unavailable (no connection: connection refused) at 127.0.0.1:1"),
        "{}",
        done.err
    );
    assert!(!done.err.contains(SECRET) && !said.out.contains(SECRET));
    let listed = good(&["presets", "--definitions", &own]);
    assert!(listed.contains("explained") && listed.contains("for the test"), "{listed}");
    assert_eq!(good(&["presets", "--definitions", &own, "explained"]), EXPLAINED);
}

/// An author of a definition sees what the provider said; no other does.
#[test]
fn explain_shows_what_a_provider_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let _request = stream.read(&mut [0; 4096]).unwrap();
            let body = "{\"code\":\"no_such_member\"}";
            let head = format!("HTTP/1.1 400 X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let routes = "[[routes]]\npath = \"/a\"\nanswer = \"session\"\nprovider = \"chat\"\n";
    let text =
        format!("{routes}[providers.chat]\npreset = \"sendsar\"\nretries = 0\napi_url = \"http://{address}/v1\"\n");
    let path = file(folder.path(), "config.toml", &text);
    let mint = ["mint", "--user", "alice", "-c", &path];
    let said = bad(1, &mint, &[("SENDSAR_API_KEY", API_KEY)]);
    assert_eq!(said, format!("sidemint: no session: upsert: rejected (answered 400) at {address}\n"));
    let explained = run(&[&mint[..], &["--explain"]].concat(), &[("SENDSAR_API_KEY", API_KEY)]).err;
    assert!(explained.contains("upsert answered\n  {\"code\":\"no_such_member\"}\n") && explained.ends_with(&said));
    server.join().unwrap();
}

#[test]
fn mint_takes_only_inputs_that_the_preset_declares() {
    let said = bad(2, &["mint", "--user", "alice", "--input", "room=lobby"], &[]);
    assert_eq!(said, "sidemint: --input: room: not a declared input; this provider takes none\n");
    assert_eq!(run(&["mint", "--user", "alice", "--input", "room"], &[]).code, Some(2), "without a value");
}

#[test]
fn mint_for_a_route_or_user_that_cannot_be_ends_with_2() {
    let said = bad(2, &["mint", "--user", "alice", "--route", "/nowhere"], &[]);
    assert_eq!(said, "sidemint: --route: no such route; configured: /api/chat/session, /auth\n");
    for user in ["", "null", "a\u{202e}b"] {
        let said = bad(2, &["mint", "--user", user], &[]);
        assert!(said.starts_with("sidemint: --user: "), "{said}");
    }
    assert_eq!(run(&["mint"], &[]).code, Some(2), "without a user");
}

#[test]
fn mint_ends_with_1_when_the_provider_fails() {
    // Bound, then closed: nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let routes = "[[routes]]\npath = \"/a\"\nanswer = \"session\"\nprovider = \"chat\"\n";
    let text =
        format!("{routes}[providers.chat]\npreset = \"sendsar\"\nretries = 0\napi_url = \"http://{address}/v1\"\n");
    let path = file(folder.path(), "config.toml", &text);
    let said = bad(1, &["mint", "--user", "alice", "-c", &path], &[("SENDSAR_API_KEY", API_KEY)]);
    let expected = format!("upsert: unavailable (no connection: connection refused) at {address}");
    assert_eq!(said, format!("sidemint: no session: {expected}\n"));
}

#[test]
fn keygen_makes_keys_that_a_provider_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let base = file(folder.path(), "config.toml", &config(LOCAL, &[]));
    for alg in ["EdDSA", "RS256", "ES256", "HS256"] {
        let key = folder.path().join(alg).display().to_string();
        let public = good(&["keygen", "--alg", alg, "--out", &key]);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let over =
            file(folder.path(), "over.toml", &format!("[providers.chat]\nalg = \"{alg}\"\nkey_file = \"{key}\"\n"));
        let said = good(&["check", "-c", &base, "-c", &over]);
        assert!(said.contains(&format!("signs with {alg}")) && !said.contains("made at start"), "{said}");
        if alg == "HS256" {
            assert_eq!(public, "", "a shared secret has no public half");
        } else {
            let jwk: Value = serde_json::from_str(&public).unwrap();
            assert_eq!((&jwk["alg"], jwk.get("d")), (&alg.into(), None));
            assert!(said.contains(jwk["kid"].as_str().unwrap()), "the same key id: {said}");
        }
    }
}

/// PEM as providers want it, checked by another implementation; and the id that the key has by itself.
#[test]
fn keygen_prints_the_public_half_in_the_form_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for alg in ["EdDSA", "ES256", "ES384", "RS256"] {
        let pem = good(&["keygen", "--alg", alg, "--public", "pem", "--out", &at(alg)]);
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{pem}");
        let key = SigningKey::read(Alg::named(alg).unwrap(), &Secret::new(fs::read(at(alg)).unwrap())).unwrap();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = serde_json::json!({"iss": "sidemint", "aud": "chat", "sub": "alice", "iat": 1, "exp": 3});
        let text = format!("{}.{}", encode(&serde_json::json!({"alg": alg})), encode(&claims));
        let token = format!("{text}.{}", key.sign(text.as_bytes()).unwrap());
        let order = serde_json::json!({
            "token": token, "secret": pem, "alg": alg, "audience": "chat", "issuer": "sidemint", "now": 2
        });
        assert_eq!(crate::jose::pyjwt(&order)["claims"]["sub"], "alice", "{alg}");
    }
    let kid = good(&["keygen", "--public", "kid", "--out", &at("kid")]);
    let key = SigningKey::read(Alg::EdDsa, &Secret::new(fs::read(at("kid")).unwrap())).unwrap();
    assert_eq!(Some(kid.trim_end()), key.thumbprint().as_deref());
}

#[test]
fn keys_rotate_says_what_it_needs() {
    let said = bad(2, &["keys", "rotate", "nobody"], &[]);
    assert_eq!(said, "sidemint: no provider \"nobody\"; configured: chat\n");
    let said = bad(2, &["keys", "rotate", "chat"], &[]);
    assert!(said.contains("provider chat has no folder of keys; write key_dir"), "{said}");
}

#[test]
fn keygen_knows_every_algorithm() {
    let folder = tempfile::tempdir().unwrap();
    for &alg in Alg::VARIANTS {
        let key = folder.path().join(alg.name()).display().to_string();
        let public = good(&["keygen", "--alg", alg.name(), "--out", &key]);
        let shown = serde_json::from_str::<Value>(&public).map(|jwk| jwk["alg"].clone()).ok();
        assert_eq!(shown, (!alg.is_hmac()).then(|| alg.name().into()));
        assert!(SigningKey::read(alg, &Secret::new(fs::read(&key).unwrap())).is_ok());
    }
    let newer = folder.path().join("newer").display().to_string();
    assert!(good(&["keygen", "--alg", "Ed25519", "--out", &newer]).contains("\"alg\":\"EdDSA\""));
}

/// A key that is only too short is called that, however it is written.
#[test]
fn a_short_rsa_key_is_called_too_short() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let base = file(folder.path(), "config.toml", &config(LOCAL, &[]));
    for (format, name) in [("-traditional", "pkcs1"), ("", "pkcs8")] {
        let key = at(name);
        let made = Command::new("sh")
            .args([
                "-c",
                &format!("openssl genrsa {format} -out {key} 1024 && openssl rsa -in {key} -pubout -out {key}.pub"),
            ])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let over = format!("[providers.chat]\nalg = \"RS256\"\nkey_file = \"{key}\"\n");
        let said = bad(2, &["check", "-c", &base, "-c", &file(folder.path(), "over.toml", &over)], &[]);
        assert!(said.contains("the modulus is shorter than 2048 bits"), "{said}");
        let source = format!(
            "[identity]\nsource = \"login\"\n[identity.sources.login]\nkind = \"jwt\"\njwt = {{ header = \"Authorization\", \
             algorithms = [\"RS256\"], issuer = \"https://i.example/\", audience = \"a\" }}\nkeys = {{ file = \"{key}.pub\" }}\n"
        );
        let said = bad(2, &["check", "-c", &base, "-c", &file(folder.path(), "source.toml", &source)], &[]);
        assert!(said.contains("holds an RSA key that is shorter than 2048 bits"), "{said}");
    }
}

/// Keys that deliveries are signed with, in the forms of Standard Webhooks.
#[test]
fn keygen_makes_keys_for_deliveries() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let decoded = |text: &str, prefix: &str| {
        let text = text.trim_end().strip_prefix(prefix).expect(prefix).to_owned();
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    };
    let shared = good(&["keygen", "--alg", "webhook"]);
    assert_eq!(decoded(&shared, "whsec_").len(), 32);
    assert_eq!(good(&["keygen", "--alg", "webhook", "--out", &path("shared")]), "", "it has no public half");
    assert_eq!(decoded(&fs::read_to_string(path("shared")).expect("a file"), "whsec_").len(), 32);
    let mode = fs::metadata(path("shared")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let public = good(&["keygen", "--alg", "webhook-ed25519", "--out", &path("private")]);
    let private = decoded(&fs::read_to_string(path("private")).expect("a file"), "whsk_");
    assert_eq!((private.len(), &private[32..]), (64, decoded(&public, "whpk_").as_slice()));
    assert!(bad(1, &["keygen", "--alg", "webhook", "--out", &path("shared")], &[]).contains("exists"));
}

#[test]
fn keygen_never_replaces_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let key = file(folder.path(), "key.pem", "precious");
    let said = bad(1, &["keygen", "--out", &key], &[]);
    assert_eq!(said, format!("sidemint: no key: {key}: File exists (os error 17)\n"));
    assert_eq!(fs::read_to_string(&key).unwrap(), "precious");
    assert_eq!(run(&["keygen", "--alg", "none"], &[]).code, Some(2));
}

#[test]
fn keygen_without_a_file_prints_the_private_key() {
    assert!(good(&["keygen"]).starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let secret = good(&["keygen", "--alg", "HS256"]);
    assert!(secret.trim_end().len() == 64 && secret.trim_end().bytes().all(|b| b.is_ascii_hexdigit()), "{secret}");
    assert!(secret.ends_with('\n'), "a line of its own");
}

#[test]
fn presets_are_listed_and_printed_ready_to_copy() {
    let list = good(&["presets"]);
    let known: Vec<&str> = PRESETS.iter().chain(identity::PRESETS).map(|(name, _)| *name).collect();
    for name in &known {
        assert!(list.lines().any(|line| line.starts_with(&format!("  {name} "))), "{name}: {list}");
        let table: toml::Table = good(&["presets", name]).parse().expect("TOML");
        assert_eq!(table["name"].as_str(), Some(*name));
    }
    let said = bad(2, &["presets", "nope"], &[]);
    assert_eq!(said, format!("sidemint: no preset \"nope\"; there are {}\n", known.join(", ")));
}

#[test]
fn healthcheck_asks_the_service_of_the_same_configuration() {
    let process = Process::serve(&[], &[]).ready();
    let ops = process.ops.to_string();
    let environment = [("SIDEMINT_OPS__LISTEN", ops.as_str())];
    // As the probes of the chart ask: without a configuration file.
    let no_file = &["healthcheck", "--live", "--config", "/dev/null"];
    for arguments in [&["healthcheck"][..], &["healthcheck", "--live"], no_file] {
        let ran = run(arguments, &environment);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "ok\n", ""));
    }
}

#[test]
fn healthcheck_tells_a_service_that_lives_from_one_that_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "config.toml", "[identity]\nsource = \"plain\"\n");
    let process = Process::serve(&["-c", &path], &[]);
    let ops = process.ops.to_string();
    let environment = [("SIDEMINT_OPS__LISTEN", ops.as_str())];
    let said = bad(1, &["healthcheck", "-c", &path], &environment);
    assert!(said.starts_with("sidemint: not ready: ") && said.contains("no_routes"), "{said}");
    assert_eq!(run(&["healthcheck", "--live", "-c", &path], &environment).code, Some(0));
}

#[test]
fn healthcheck_ends_with_1_when_nothing_listens() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for arguments in [&["healthcheck"][..], &["healthcheck", "--live"]] {
        let said = bad(1, arguments, &[("SIDEMINT_OPS__LISTEN", &address)]);
        assert!(said.starts_with(&format!("sidemint: {address} does not answer: ")), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_ends_with_1_and_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = bad(1, &["--listen", &address], &[("SIDEMINT_OPS__LISTEN", "127.0.0.1:0")]);
    assert!(
        said.starts_with(&format!("sidemint: server.listen: cannot listen on {address}: Address already in use")),
        "{said}"
    );
}

#[test]
fn the_help_of_every_verb_mentions_its_options() {
    for (verb, options) in [
        ("serve", &["--config", "--config-dir", "--listen"][..]),
        ("check", &["--config"]),
        ("mint", &["--user", "--name", "--route", "--config"]),
        ("keys", &["rotate"]),
        ("keygen", &["--alg", "--out", "--public", "EdDSA", "RS256", "ES256", "HS256"]),
        ("presets", &["[NAME]"]),
        (
            "doctor",
            &["--through", "--header-file", "--signed-in", "--proxy", "--json", "sidemint-doctor", "Exit codes: "],
        ),
        ("healthcheck", &["--live", "--config"]),
    ] {
        let help = good(&[verb, "--help"]);
        assert!(good(&["--help"]).contains(&format!("  {verb} ")), "{verb} is listed");
        for option in options {
            assert!(help.contains(option), "{verb} {option}: {help}");
        }
    }
    let help = good(&["--help"]);
    assert!(help.contains("Exit codes: 0 success; 1 ") && help.contains("SIDEMINT_CONFIG"), "{help}");
}

#[test]
fn who_is_to_be_denied_on_all_replicas_needs_a_tier_and_a_span() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");
    for (words, wanted) in [
        (&["deny", "ada", "--for", "24h"][..], "cache.shared: is missing"),
        (&["allow", "ada"], "cache.shared: is missing"),
        (&["deny", "ada", "--for", "0s"], "--for: write a span"),
        (&["deny", "ada", "--for", "400d"], "--for: write a span"),
        (&["deny", "ada"], "--for <SPAN>"),
        (&["deny", "", "--for", "1h"], "ID: "),
    ] {
        let ran = run(&[&["users"], words, &["--config", shipped]].concat(), &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{words:?}: {}", ran.err);
        assert!(ran.err.contains(wanted), "{words:?}: {}", ran.err);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(good(&["--version"]), format!("sidemint {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_command_line_that_is_not_understood_ends_with_2() {
    for arguments in [&["--colour"][..], &["bake"], &["check", "--colour"], &["mint", "--user"], &["serve", "now"]] {
        let ran = run(arguments, &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ran.err.contains("--help"), "{}", ran.err);
    }
}

#[test]
fn exit_codes_are_documented() {
    let page = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/command-line.md")).unwrap();
    for code in ["0", "1", "2"] {
        assert!(page.contains(&format!("\n| {code} | ")), "exit code {code}");
    }
    for verb in ["serve", "check", "mint", "keygen", "keys rotate", "presets", "users deny", "healthcheck"] {
        assert!(page.contains(&format!("`sidemint {verb}")), "verb {verb}");
    }
}

/// Each script is one of its shell, and knows the verbs.
#[test]
fn shells_take_their_completions() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "-n")] {
        let script = run(&["completions", shell], &[]);
        assert_eq!((script.code, &*script.err), (Some(0), ""), "{shell}");
        for word in ["keygen", "doctor", "completions", "dry-run"] {
            assert!(script.out.contains(word), "{shell}: {word}");
        }
        let file = folder.path().join(shell);
        fs::write(&file, &script.out).unwrap();
        let output = Command::new(shell).arg(check).arg(&file).output().expect(shell);
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let completed = "source \"$0\"; COMP_WORDS=(sidemint keyg); COMP_CWORD=1; _sidemint sidemint keyg sidemint; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", completed]).arg(folder.path().join("bash")).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "keygen\n", "{output:?}");
}
