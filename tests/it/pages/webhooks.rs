//! `docs/webhooks.md` and `examples/webhooks`: the five minutes of the page with each of its receivers, up to an event that
//! the receiver prints. Replaced are the folders, and the addresses.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sidemint::clock::{Clock as _, SystemClock};

use super::shell;
use crate::cli::Process;
use crate::docs::{blocks, pages, root};
use crate::eventually::eventually;
use crate::parts::Part;
use crate::parts::proxies::own_address;

/// The block of the page in this language that holds `mark`.
fn block(language: &str, mark: &str) -> String {
    super::block("docs/webhooks.md", language, mark)
}

/// The page on this machine: its folders, and its addresses.
struct Place {
    folder: tempfile::TempDir,
    hooks: SocketAddr,
    app: SocketAddr,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), hooks: own_address(), app: own_address() }
    }

    /// What a block says, here.
    fn here(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let (host, port) = (self.app.ip().to_string(), self.app.port().to_string());
        text.replace("/run/secrets", &folder)
            .replace("/var/lib/sidemint", &format!("{folder}/queue"))
            .replace("127.0.0.1:8081", &self.hooks.to_string())
            .replace("127.0.0.1:3000", &self.app.to_string())
            .replace("(\"127.0.0.1\", 3000)", &format!("(\"{host}\", {port})"))
            .replace("(3000, \"127.0.0.1\")", &format!("({port}, \"{host}\")"))
    }

    async fn run(&self, lines: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_sidemint")).parent().unwrap().display();
        let lines = format!("PATH={program}:$PATH\nexport no_proxy='*'\n{}", self.here(lines));
        shell(&lines, ([127, 0, 0, 1], 8080).into()).await
    }

    fn receiver(&self, receiver: &Receiver) -> Part {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(receiver.file), self.here(&block(receiver.language, receiver.file))).unwrap();
        let environment = [("GOTOOLCHAIN", Path::new("local")), ("PYTHONUNBUFFERED", Path::new("1"))];
        Part::start(receiver.language, folder, &PathBuf::from("sh"), ["-c", receiver.start], &environment)
    }
}

/// A receiver of the page.
struct Receiver {
    language: &'static str,
    file: &'static str,
    start: &'static str,
}

const PYTHON: Receiver = Receiver { language: "python", file: "receiver.py", start: "exec python3 receiver.py" };

/// Status of a delivery that the test signs by itself.
async fn deliver(place: &Place, key: &str, id: &str, seconds: i64) -> u16 {
    let key = BASE64.decode(key.trim().strip_prefix("whsec_").unwrap()).unwrap();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), format!("{id}.{seconds}.{{}}").as_bytes());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://{}/hooks/chat", place.app)).body("{}");
    let request = request.header("webhook-id", id).header("webhook-timestamp", seconds);
    let request = request.header("webhook-signature", format!("v1,AAAA v1,{}", BASE64.encode(mac.as_ref())));
    request.header("sidemint-event", "by-hand").send().await.unwrap().status().as_u16()
}

async fn check(receiver: Receiver) {
    let place = Place::new();
    place.run(&block("sh", "openssl rand")).await;
    let file = place.folder.path().join("webhooks.toml");
    fs::write(&file, place.here(&block("toml,fragment", "[webhooks.chat]"))).unwrap();
    assert_eq!(block("sh", "sidemint serve"), "sidemint serve --config webhooks.toml\n");
    let _process = Process::serve(&["serve", "--config", &file.display().to_string()], &[]);

    // The event waits for the receiver.
    let play = block("sh", "curl");
    assert_eq!(place.run(&play).await, "200\n");
    let part = place.receiver(&receiver);
    let line = "message.new {\"event\":\"message.new\",\"roomId\":\"r1\",\"text\":\"hello\"}";
    eventually("it comes", async || part.log().contains(line)).await;
    assert_eq!(place.run(&play).await, "200\n", "a repeat");
    assert_eq!(place.run(&play.replace("hello", "second")).await, "200\n");
    eventually("the next one comes", async || part.log().contains(&line.replace("hello", "second"))).await;
    assert_eq!(part.log().matches(line).count(), 1, "once");

    let key = fs::read_to_string(place.folder.path().join("forward.key")).unwrap();
    let now = SystemClock.now().as_seconds();
    assert_eq!(deliver(&place, &key, "evt_one", now).await, 204);
    assert_eq!(deliver(&place, &key, "evt_one", now).await, 204, "it is taken, and not again");
    assert_eq!(part.log().matches("by-hand").count(), 1);
    for seconds in [now - 400, now + 400, 0] {
        assert_eq!(deliver(&place, &key, "evt_two", seconds).await, 401, "{seconds}");
    }
    let other = format!("whsec_{}", BASE64.encode([7; 32]));
    assert_eq!(deliver(&place, &other, "evt_two", now).await, 401, "another key");
    assert_eq!(part.log().matches("by-hand").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_comes_to_the_receiver_in_python() {
    check(PYTHON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_comes_to_the_receiver_in_node() {
    check(Receiver { language: "js", file: "receiver.mjs", start: "exec node receiver.mjs" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_comes_to_the_receiver_in_go() {
    check(Receiver { language: "go", file: "receiver.go", start: "go build -o app receiver.go && exec ./app" }).await;
}

/// What the example prints is what its page shows.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs() {
    let page = pages().into_iter().find(|page| page.path == "examples/webhooks/README.md").expect("the page");
    let shown = blocks(&page).into_iter().find(|block| block.language == "text").expect("what it prints").text;
    let mut command = Command::new(root().join("examples/webhooks/run"));
    let program = Path::new(env!("CARGO_BIN_EXE_sidemint")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    command.env("PATH", std::env::join_paths([program].into_iter().chain(std::env::split_paths(&path))).unwrap());
    for name in ["HOOKS", "FRONT", "OPS", "APP"] {
        // The application listens at 127.0.0.1 and nowhere else.
        let port = own_address().port();
        command.env(name, format!("127.0.0.1:{port}"));
    }
    let output = tokio::task::spawn_blocking(move || command.output().expect("starts")).await.expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown);
}

/// The application of the example is the one of the page.
#[test]
fn the_example_and_the_page_have_one_receiver() {
    let example = fs::read_to_string(root().join("examples/webhooks/receiver.py")).unwrap();
    let own = example
        .replace("http.server, os, time", "http.server, time")
        .replace("os.environ[\"KEY_FILE\"]", "\"/run/secrets/forward.key\"")
        .replace("int(os.environ[\"PORT\"])", "3000");
    assert_eq!(own, block(PYTHON.language, PYTHON.file));
}
