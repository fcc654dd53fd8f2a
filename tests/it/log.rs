//! The log as the machine makes it hard: a reader that stalls, one that is gone, a full disk, no output at all. And how
//! it looks (docs/observability.md).

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cli::{Process, file, run, sidemint};
use crate::client::Connection;
use crate::eventually::eventually_now;
use crate::harness::{LOCAL, SESSION, Service, config};

/// Waits for the end.
fn end_of(child: &mut Child) -> ExitStatus {
    eventually_now("it ends", || child.try_wait().expect("a child"))
}

/// T-61: the log is not read, and all users are served; the last lines are not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_reader_stops_nothing() {
    let all = [("SIDEMINT_LOG__REQUESTS", "all"), ("SIDEMINT_SERVER__WORKERS", "2")];
    let mut process = Process::serve(&["serve"], &all);
    let mut connection = Connection::open(process.front).await;
    for _ in 0..1500 {
        // More than any pipe holds: each has a line.
        assert_eq!(connection.ask("GET", SESSION, &[]).await.status, 401);
        assert_eq!(connection.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await.status, 200);
    }
    for probe in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(Connection::open(process.ops).await.ask("GET", probe, &[]).await.status, 200, "{probe}");
    }
    process.signal("TERM");
    assert_eq!(end_of(&mut process.child).code(), Some(0));
}

/// A service on unix sockets, so that nothing of its output is needed to find it.
struct Quiet {
    folder: tempfile::TempDir,
    child: Child,
}

impl Quiet {
    fn serve(out: Stdio, err: Stdio, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = |name: &str| format!("\"unix:{}\"", folder.path().join(name).display());
        let (front, ops) = (socket("front"), socket("ops"));
        let uids = format!("[{}]", own_uid());
        let overrides = [("server.listen", front.as_str()), ("ops.listen", &ops), ("identity.peers.unix_uids", &uids)];
        let text = config(LOCAL, &overrides).replace("networks = [\"127.0.0.0/8\"]\n", "");
        let path = file(folder.path(), "config.toml", &text);
        let mut child = sidemint(&["serve", "--config", &path], environment);
        let child = child.stdout(out).stderr(err).spawn().expect("starts");
        Self { folder, child }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One request on a connection of its own, once the socket is there.
    fn ask(&self, socket: &str, path: &str) -> String {
        let mut stream = eventually_now("it listens", || UnixStream::connect(self.path(socket)).ok());
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: alice\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").expect("a process").uid()
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -s {name} {}", child.id())]).status();
    assert!(sent.expect("sh").success());
}

/// A pipe whose reader is gone.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("a device").into()
}

/// T-61: what cannot be written is counted, and nothing else happens.
#[test]
fn outputs_that_are_closed_or_full_stop_nothing() {
    for (name, out, err) in
        [("full", full(), full()), ("broken", broken(), broken()), ("no reader of errors", Stdio::null(), broken())]
    {
        let mut service = Quiet::serve(out, err, &[]);
        for _ in 0..3 {
            assert!(service.ask("front", SESSION).starts_with("HTTP/1.1 200 "), "{name}");
        }
        assert!(service.ask("ops", "/livez").starts_with("HTTP/1.1 200 "), "{name}");
        signal(&service.child, "TERM");
        assert_eq!(end_of(&mut service.child).code(), Some(0), "{name}");
    }
    let service = Quiet::serve(full(), full(), &[]);
    let lost = |answer: String| {
        let value = answer.lines().find_map(|line| line.strip_prefix("sidemint_log_lines_dropped_total "));
        value.expect("the metric").parse::<u32>().expect("a number") > 0
    };
    // The line that says «serving» is one of them.
    assert!((0..2000).any(|_| lost(service.ask("ops", "/metrics"))), "lines that are lost are counted");
}

/// As a shell closes them, `>&- 2>&-`.
#[test]
fn a_service_without_any_output_serves() {
    let folder = tempfile::tempdir().unwrap();
    let socket = |name: &str| format!("unix:{}", folder.path().join(name).display());
    let binary = env!("CARGO_BIN_EXE_sidemint");
    let mut child = std::process::Command::new("sh")
        .args(["-c", "exec \"$0\" serve <&- >&- 2>&-", binary])
        .env_clear()
        .envs([("SIDEMINT_SERVER__LISTEN", socket("front")), ("SIDEMINT_OPS__LISTEN", socket("ops"))])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .spawn()
        .expect("starts");
    let live = |_| run(&["healthcheck", "--live"], &[("SIDEMINT_OPS__LISTEN", &socket("ops"))]).code == Some(0);
    assert!((0..500).any(live), "it lives");
    signal(&child, "TERM");
    assert_eq!(end_of(&mut child).code(), Some(0));
}

/// Every verb, with an output that is not read to the end (`| head -1`), and one that is full.
#[test]
fn no_verb_stumbles_over_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let ops = format!("unix:{}", folder.path().join("ops").display());
    let verbs: [(&[&str], i32, i32); 9] = [
        (&["--help"], 0, 0),
        (&["--version"], 0, 0),
        (&["mint", "--help"], 0, 0),
        (&["check"], 0, 1),
        (&["mint", "--user", "alice"], 0, 1),
        (&["keygen"], 0, 1),
        (&["presets"], 0, 1),
        (&["presets", "sendsar"], 0, 1),
        (&["healthcheck"], 1, 1),
    ];
    for (arguments, when_broken, when_full) in verbs {
        for (out, expected) in [(broken(), when_broken), (full(), when_full)] {
            let mut command = sidemint(arguments, &[("SIDEMINT_OPS__LISTEN", &ops)]);
            let output = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).output().expect("starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {said}");
            assert!(!said.contains("panicked") && said.lines().count() < 2, "{arguments:?}: {said}");
        }
        let status = sidemint(arguments, &[("SIDEMINT_OPS__LISTEN", &ops)]).stdout(broken()).stderr(broken()).status();
        assert_eq!(status.expect("starts").code(), Some(when_broken), "{arguments:?}");
    }
    let refused = sidemint(&["check", "--config", "/nonexistent"], &[]).stdout(broken()).stderr(broken()).status();
    assert_eq!(refused.expect("starts").code(), Some(2));
}

/// Whether SIGTERM ends the process by itself no more.
fn heeds_sigterm(child: &Child) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(child.id().to_string()).join("status"));
    let caught =
        status.unwrap_or_default().lines().find_map(|line| Some(line.strip_prefix("SigCgt:")?.trim().to_owned()));
    u64::from_str_radix(&caught.unwrap_or_default(), 16).is_ok_and(|caught| caught & (1 << 14) != 0)
}

fn when_it_heeds_sigterm(child: &Child) {
    while !heeds_sigterm(child) {
        std::thread::sleep(Duration::from_micros(100));
    }
    signal(child, "TERM");
}

/// T-62: the configuration takes its time; ending the service meanwhile does not wait for that.
#[test]
fn sigterm_while_files_are_read_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let users = (0..1_000_000).map(|n| format!("user-{n}")).collect::<Vec<_>>().join("\n");
    let denied = file(folder.path(), "denied", &users);
    let any = [("SIDEMINT_SERVER__LISTEN", "127.0.0.1:0"), ("SIDEMINT_OPS__LISTEN", "127.0.0.1:0")];
    let environment = [&any[..], &[("SIDEMINT_IDENTITY__USERS__DENY_FILE", denied.as_str())]].concat();
    let mut child = sidemint(&["serve"], &environment).stdout(Stdio::piped()).spawn().expect("starts");
    when_it_heeds_sigterm(&child);
    assert_eq!(end_of(&mut child).code(), Some(0));
    let mut said = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("readable");
    assert_eq!(said, "", "it never served");
}

#[test]
fn sigterm_at_any_moment_of_the_start_ends_with_0() {
    for _ in 0..10 {
        let any = [("SIDEMINT_SERVER__LISTEN", "127.0.0.1:0"), ("SIDEMINT_OPS__LISTEN", "127.0.0.1:0")];
        let mut child = sidemint(&["serve"], &any).stdout(Stdio::null()).spawn().expect("starts");
        when_it_heeds_sigterm(&child);
        assert_eq!(end_of(&mut child).code(), Some(0));
    }
}

/// One format: events and request lines have the same columns, and the routes are told at start.
#[test]
fn people_read_one_format() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let text = [("SIDEMINT_LOG__FORMAT", "text"), ("SIDEMINT_LOG__LEVEL", "debug")];
    let mut service = Quiet::serve(log.reopen().expect("a file").into(), Stdio::inherit(), &text);
    assert!(service.ask("front", SESSION).starts_with("HTTP/1.1 200 "));
    assert!(service.ask("front", "/nothing").starts_with("HTTP/1.1 404 "));
    signal(&service.child, "TERM");
    assert_eq!(end_of(&mut service.child).code(), Some(0));
    let log = std::fs::read_to_string(log.path()).expect("text");
    let columns = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG| INFO| WARN|ERROR) [a-z0-9_]+(::[a-z0-9_]+)*: \S";
    let columns = regex_lite::Regex::new(columns).expect("a pattern");
    assert!(log.lines().all(|line| columns.is_match(line)), "{log}");
    let request = r"(?m) INFO sidemint::request: GET other 404 not_found duration_ms=\d+\.\d{3} id=[0-9a-f]{16}$";
    assert!(regex_lite::Regex::new(request).expect("a pattern").is_match(&log), "{log}");
    let route =
        format!("route path=\"{SESSION}\" answer=\"session\" provider=\"chat\" sources=\"plain\" listener=unix:/");
    assert!(log.contains(&route), "{log}");
}

#[test]
fn each_route_is_told_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "config.toml", &config(LOCAL, &[]));
    let mut process = Process::serve(&["serve", "--config", &path], &[]);
    let routes: Vec<Value> = (0..2).map(|_| process.wait_for("route")).collect();
    let told =
        |line: &Value| ["path", "answer", "provider", "sources"].map(|key| line[key].as_str().unwrap().to_owned());
    assert_eq!(told(&routes[0]), [SESSION, "session", "chat", "plain"]);
    assert_eq!(told(&routes[1]), ["/auth", "subrequest, optional", "chat", "plain"]);
    assert!(routes.iter().all(|line| line["listener"] == process.front.to_string() && line["level"] == "INFO"));
}

/// Whatever is answered: that something failed is a warning.
#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_service_are_warnings() {
    let (service, fake) = Service::sendsar_with("retries = 0", &[]).await;
    assert_eq!(service.session("alice").await.status, 200);
    assert_eq!(service.ask("GET", SESSION, &[]).await.status, 401);
    fake.breaks(Some(crate::fakes::http::Script::Reset));
    assert_eq!(service.session("bob").await.status, 503);
    assert_eq!(service.ask("GET", "/auth", &[("X-Forwarded-User", "carol")]).await.status, 200, "without a session");
    let lines = service.log_lines(4).await;
    let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["INFO", "INFO", "WARN", "WARN"], "{lines:?}");
}
