//! What becomes of the service where it may open few files.

use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::client::Connection;
use crate::eventually::eventually;
use crate::harness::{LOCAL, SESSION, config};
use crate::places::strangers;

/// The program under these limits, with a configuration in which one address is trusted.
fn limited(folder: &std::path::Path, limits: &str, verb: &str, overrides: &[(&str, &str)]) -> Command {
    let file = folder.join("config.toml");
    let one = [("identity.peers.networks", "[\"127.0.0.1/32\"]")];
    std::fs::write(&file, config(LOCAL, &[&one[..], overrides].concat())).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_sidemint"), verb, "--config"]);
    command.arg(file).env_clear().stdin(Stdio::null());
    command
}

/// A serving process that logs into a file.
struct Limited {
    child: Child,
    folder: tempfile::TempDir,
    front: SocketAddr,
    ops: SocketAddr,
}

impl Drop for Limited {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Limited {
    async fn serve(limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = limited(folder.path(), limits, "serve", &[]);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("starts");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut service = Self { child, folder, front: nowhere, ops: nowhere };
        let serving = async || service.lines().into_iter().find(|line| line["message"] == "serving");
        let line = eventually("it serves", serving).await;
        let address = |key: &str| line[key].as_str().expect("an address").parse().expect("an address");
        (service.front, service.ops) = (address("front"), address("ops"));
        service
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn said(&self, level: &str, words: &str) -> Vec<String> {
        let fits = |line: &Value| line["level"] == level && line["message"].as_str().is_some_and(|m| m.contains(words));
        self.lines().iter().filter(|line| fits(line)).map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }
}

/// T-71: strangers take no descriptor that a probe or a trusted peer needs.
#[tokio::test(flavor = "multi_thread")]
async fn few_descriptors_are_enough_for_probes_and_trusted_peers() {
    let service = Limited::serve("ulimit -n 64").await;
    for to in [service.front, service.ops] {
        let held = strangers(to, 200, b"").await;
        for path in ["/livez", "/metrics"] {
            assert_eq!(Connection::open(service.ops).await.ask("GET", path, &[]).await.status, 200, "{path}");
        }
        let answer = Connection::open(service.front).await.ask("GET", SESSION, &[("X-Forwarded-User", "alice")]).await;
        assert_eq!(answer.status, 200);
        drop(held);
    }
    let told = service.said("WARN", "server.max_connections is 4096");
    assert!(told.len() == 1 && told[0].contains("64 files"), "{told:?}");
    assert_eq!(service.said("ERROR", "cannot accept connections"), Vec::<String>::new());
}

fn check(limits: &str, overrides: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } =
        limited(folder.path(), limits, "check", overrides).output().expect("starts");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// T-71: the soft limit is raised to the hard one, and what does not fit even then is told.
#[test]
fn check_tells_where_places_are_fewer_than_configured() {
    let hundred = [("server.max_connections", "100")];
    assert!(!check("ulimit -Sn 64 && ulimit -Hn 512", &hundred).contains("ulimit"), "raised to 512");
    let both = [("server.max_connections", "100"), ("grpc.listen", "\"127.0.0.1:0\"")];
    assert!(!check("ulimit -Sn 64 && ulimit -Hn 512", &both).contains("ulimit"), "both listeners fit");
    for overrides in [&hundred[..], &both] {
        let said = check("ulimit -n 128", overrides);
        assert!(
            said.contains("warning         server.max_connections is 100, but the process may open 128 files"),
            "{said}"
        );
    }
}
